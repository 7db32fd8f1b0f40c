//! The life of workflows over HTTP: handed in and taken back, begun by times and by others' requests, in turn,
//! within each other, and run again from a step.

use hmac::{Hmac, KeyInit, Mac};
use remit_domain::workflows::{Definitions as _, Trigger};
use remit_upstreams::Fault;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::host::{Host, Setup, answer, eventually, run};

const SECRET: &str = "a secret of sixteen bytes";

/// A host whose tenant has a webhook's secret.
fn hooked() -> Setup {
    Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            context["webhooks"] = json!({"orders": {"credentials": "TECHSTART_ORDERS"}});
        })
        .env("TECHSTART_ORDERS_HOOK_SECRET", SECRET)
}

async fn load(host: &Host, yaml: &str) -> (u16, Value) {
    answer(host.post("/api/workflows/load", json!({"yaml": yaml}).to_string())).await
}

async fn stored(host: &Host, yaml: &str) -> u64 {
    let (status, body) = load(host, yaml).await;
    assert_eq!(status, 200, "{body:#}");
    body["workflow"]["version"].as_u64().unwrap()
}

async fn execute(host: &Host, name: &str, inputs: Value) -> Value {
    let asked = host.post(&format!("/api/workflows/execute/{name}"), json!({"inputs": inputs}).to_string());
    let (status, body) = answer(asked).await;
    assert_eq!(status, 200, "{body:#}");
    body
}

async fn show(host: &Host, id: &str) -> Value {
    answer(host.get(&format!("/api/workflows/executions/{id}"))).await.1
}

async fn ends(host: &Host, id: &str, status: &str) -> Value {
    eventually("the run to end", async || show(host, id).await["status"] == status).await;
    show(host, id).await
}

async fn executions(host: &Host, workflow: &str) -> Vec<Value> {
    let (_, page) = answer(host.get(&format!("/api/workflows/executions?workflow={workflow}"))).await;
    page["executions"].as_array().unwrap().clone()
}

fn greeting(word: &str) -> String {
    format!(
        "name: greet\nsteps: [{{id: a, type: set, config: {{said: {word}}}}}]\noutputs: {{said: '{{{{ steps.a.output.said }}}}'}}\n"
    )
}

#[tokio::test]
async fn what_is_handed_in_is_found_first_and_outlasts_the_host() {
    let mut host = Setup::demo()
        .edit(|root| {
            let folder = root.join("workflows/customers/techstart/sales");
            std::fs::write(folder.join("greet.yml"), greeting("file")).unwrap();
            let timed = format!("{}triggers: {{schedules: {{often: {{cron: '* * * * *'}}}}}}\n", greeting("example"));
            std::fs::write(root.join("workflows/examples/timed.yml"), timed.replace("greet", "timed")).unwrap();
        })
        .start()
        .await;
    assert_eq!(execute(&host, "greet", json!({})).await["outputs"]["said"], "file");
    assert_eq!(stored(&host, &greeting("one")).await, 1);
    assert_eq!(stored(&host, &greeting("two")).await, 2);
    assert_eq!(stored(&host, &greeting("two")).await, 2, "the same again is no new version");
    assert_eq!(host.stop().0, Some(0));
    host.restart();
    assert_eq!(execute(&host, "greet", json!({})).await["outputs"]["said"], "two");
    let (status, shown) = answer(host.get("/api/workflows/greet")).await;
    assert_eq!((status, &shown["workflow"]["version"]), (200, &json!(2)), "{shown:#}");
    let numbers: Vec<u64> =
        shown["versions"].as_array().unwrap().iter().map(|it| it["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 1]);
    assert!(shown["workflow"]["source"].as_str().unwrap().contains("two"));
    let (_, shown) = answer(host.get("/api/workflows/timed")).await;
    assert_eq!(shown["triggers"], json!([]), "an example's begin nothing");
    // Another tenant has none of it.
    let others = host.http.get(format!("{}/api/workflows/greet", host.url)).header("X-Context", "template");
    assert_eq!(answer(others).await.0, 404);
    let delete = async |path: &str| {
        let asked = host.http.delete(format!("{}/api/workflows/{path}", host.url));
        answer(asked.header("X-Context", "techstart")).await
    };
    let (status, body) = delete("greet?version=2").await;
    assert_eq!((status, &body["removed"], &body["workflow"]["version"]), (200, &json!([2]), &json!(1)), "{body:#}");
    assert_eq!(execute(&host, "greet", json!({})).await["outputs"]["said"], "one");
    let (_, body) = delete("greet").await;
    assert_eq!(body["workflow"]["file"], "customers/techstart/sales/greet.yml");
    assert_eq!(execute(&host, "greet", json!({})).await["outputs"]["said"], "file");
    let (status, body) = delete("greet").await;
    assert_eq!((status, &body["code"]), (404, &json!("workflow_missing")));
    // What a workflow calls has to be there.
    let calls = "name: calls\nsteps: [{id: c, type: workflow, config: {name: gone}}]\n";
    let (status, body) = load(&host, calls).await;
    assert_eq!(status, 422);
    assert!(body["problems"].to_string().contains("there is no workflow `gone`"), "{body:#}");
    assert_eq!(host.stop().0, Some(0));
    let deeds: Vec<String> =
        host.audit().await.into_iter().map(|row| row.action).filter(|action| action.starts_with("workflow.")).collect();
    assert_eq!(deeds, ["workflow.delete", "workflow.delete", "workflow.store", "workflow.store"]);
    let (code, _, log) =
        run(host.root.path(), &["tenant", "delete", "techstart", "--profile", "demo", "--state", "var"]);
    assert_eq!(code, Some(1));
    assert!(log.contains("runs"), "{log}");
}

#[tokio::test]
async fn storing_takes_an_administrator_and_checking_does_not() {
    let host = Setup::demo().start().await;
    let make = |role: &str| {
        let verb = ["keys", "create", "--tenant", "techstart", "--role", role, "--profile", "demo", "--state", "var"];
        let (code, token, log) = run(host.root.path(), &verb);
        assert_eq!(code, Some(0), "{log}");
        token.trim().to_owned()
    };
    let (agent, admin) = (make("agent"), make("admin"));
    let asked = async |token: &str, body: Value| {
        let request = host.http.post(format!("{}/api/workflows/load", host.url)).bearer_auth(token);
        answer(request.body(body.to_string())).await
    };
    eventually("keys to count", async || asked("none", json!({})).await.0 == 401).await;
    let (status, body) = asked(&agent, json!({"yaml": greeting("a")})).await;
    assert_eq!((status, &body["code"]), (403, &json!("role_too_low")), "{body:#}");
    let (status, body) = asked(&agent, json!({"yaml": greeting("a"), "store": false})).await;
    assert_eq!((status, &body["stored"]), (200, &json!(false)), "{body:#}");
    let (status, body) = asked(&admin, json!({"yaml": greeting("a")})).await;
    assert_eq!((status, &body["stored"]), (200, &json!(true)), "{body:#}");
    for path in ["/api/workflows/greet", "/api/workflows/greet/triggers/daily/pause"] {
        let method = if path.ends_with("pause") { reqwest::Method::POST } else { reqwest::Method::DELETE };
        let request = host.http.request(method, format!("{}{path}", host.url)).bearer_auth(&agent);
        assert_eq!(answer(request).await.0, 403, "{path}");
    }
}

const DAILY: &str = "name: daily
agentType: sales
triggers: {schedules: {morning: {cron: '0 9 * * *', timezone: Europe/Berlin}}}
steps: [{id: a, type: mcp, config: {tool_name: search_customers, parameters: {query: a, limit: 1}}}]
";

#[tokio::test]
async fn a_missed_time_begins_one_run_when_the_host_is_back() {
    let mut host = Setup::demo().start().await;
    stored(&host, DAILY).await;
    let first = async |host: &Host| answer(host.get("/api/workflows/daily")).await.1["triggers"][0].clone();
    let trigger = first(&host).await;
    assert_eq!(
        (&trigger["name"], &trigger["paused"], &trigger["lastAt"]),
        (&json!("morning"), &json!(false), &Value::Null)
    );
    assert!(trigger["nextAt"].is_string(), "{trigger:#}");
    let triggers = async |host: &Host| {
        let file = host.root.path().join("var/remit.db").display().to_string();
        remit_journal::Journal::open(&file).await.unwrap()
    };
    eventually("it to be known", async || {
        let journal = triggers(&host).await;
        let known = !journal.triggers().await.unwrap().is_empty();
        journal.close().await;
        known
    })
    .await;
    assert_eq!(host.stop().0, Some(0));
    // The host was away for two days.
    let journal = triggers(&host).await;
    let known = journal.triggers().await.unwrap().remove(0);
    let handled = OffsetDateTime::now_utc() - time::Duration::days(2);
    journal.keep_trigger(&Trigger { handled, ..known }).await.unwrap();
    journal.close().await;
    host.restart();
    eventually("the run", async || executions(&host, "daily").await.len() == 1).await;
    let run = executions(&host, "daily").await.remove(0);
    assert_eq!(run["startedBy"], "schedule:daily");
    let id = run["executionId"].as_str().unwrap().to_owned();
    ends(&host, &id, "completed").await;
    eventually("it to say so", async || first(&host).await["lastExecutionId"] == json!(id)).await;
    host.kill();
    host.restart();
    let switch = async |host: &Host, what: &str| {
        answer(host.post(&format!("/api/workflows/daily/triggers/morning/{what}"), "")).await
    };
    let (status, body) = switch(&host, "pause").await;
    assert_eq!((status, &body["triggers"][0]["paused"]), (200, &json!(true)), "{body:#}");
    assert_eq!(body["triggers"][0]["nextAt"], Value::Null);
    let (status, _) = answer(host.post("/api/workflows/daily/triggers/noon/pause", "")).await;
    assert_eq!(status, 404);
    host.kill();
    host.restart();
    assert_eq!(first(&host).await["paused"], true, "over a restart");
    assert_eq!(switch(&host, "resume").await.1["triggers"][0]["paused"], false);
    assert_eq!(executions(&host, "daily").await.len(), 1, "once, however often the host began");
    assert_eq!(host.stop().0, Some(0));
    let row = host.audit().await.into_iter().find(|row| row.request == id).unwrap();
    assert_eq!((row.actor.as_str(), row.name.as_str()), ("schedule:daily", "search_customers"));
}

const HOOK: &str = "name: order
agentType: sales
triggers: {webhook: {secret: orders}}
inputs: {n: {type: integer}}
steps: [{id: a, type: set, config: {twice: '{{ inputs.n * 2 }}'}}]
outputs: {twice: '{{ steps.a.output.twice }}'}
";

/// A delivery, signed now and so many seconds.
fn delivery(host: &Host, path: &str, body: &str, later: i64) -> reqwest::RequestBuilder {
    let timestamp = OffsetDateTime::now_utc().unix_timestamp() + later;
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    host.http
        .post(format!("{}/api/hooks/{path}", host.url))
        .header("X-Remit-Timestamp", timestamp)
        .header("X-Remit-Signature", format!("sha256={signature}"))
        .body(body.to_owned())
}

#[tokio::test]
async fn a_signed_request_begins_a_workflow_and_no_other_learns_of_it() {
    let mut host = hooked().start().await;
    stored(&host, HOOK).await;
    let body = r#"{"n": 21}"#;
    let request = delivery(&host, "techstart/order", body, 0).header("X-Remit-Delivery", "d-1");
    let again = request.try_clone().unwrap();
    let (status, begun) = answer(request).await;
    assert_eq!(status, 202, "{begun:#}");
    let id = begun["executionId"].as_str().unwrap().to_owned();
    let ended = ends(&host, &id, "completed").await;
    assert_eq!((&ended["outputs"], &ended["startedBy"]), (&json!({"twice": 42}), &json!("hook:order")));
    let (status, same) = answer(again.try_clone().unwrap()).await;
    assert_eq!((status, &same["executionId"], &same["repeated"]), (202, &json!(id), &json!(true)));
    host.kill();
    host.restart();
    let unsigned = |path: &str| host.http.post(format!("{}/api/hooks/{path}", host.url)).body(body);
    let mut refusals = Vec::new();
    for path in ["techstart/order", "techstart/gone", "techstart/graceful-degradation", "nobody/order", "Not%20One/x"] {
        let (status, refused) = answer(unsigned(path)).await;
        assert_eq!((status, &refused["code"]), (404, &json!("hook_missing")), "{path}");
        refusals.push(refused);
        let (status, refused) = answer(unsigned(path).header("X-Remit-Signature", "sha256=00")).await;
        assert_eq!(status, 404, "{path}");
        refusals.push(refused);
    }
    assert!(refusals.windows(2).all(|two| two[0] == two[1]), "{refusals:#?}");
    let code = async |request: reqwest::RequestBuilder| {
        let (status, body) = answer(request).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let stale = delivery(&host, "techstart/order", body, -400);
    assert_eq!(code(stale).await, (403, "delivery_stale".to_owned()));
    let replayed = delivery(&host, "techstart/order", body, 1);
    let other = replayed.try_clone().unwrap().header("X-Remit-Delivery", "d-2");
    assert_eq!(answer(replayed).await.0, 202);
    assert_eq!(code(other).await, (409, "delivery_replayed".to_owned()));
    assert_eq!(
        code(delivery(&host, "techstart/order", r#"{"n": "x"}"#, 0)).await,
        (422, "invalid_arguments".to_owned())
    );
    assert_eq!(code(delivery(&host, "techstart/order", "[1]", 0)).await, (422, "invalid_arguments".to_owned()));
    assert_eq!(code(delivery(&host, "techstart/order", "{", 0)).await, (400, "bad_json".to_owned()));
    let large = format!("{{\"n\": 1, \"x\": \"{}\"}}", "x".repeat(300 * 1024));
    assert_eq!(code(delivery(&host, "techstart/order", &large, 0)).await, (413, "body_too_large".to_owned()));
    let (status, _) = answer(host.post("/api/workflows/order/triggers/webhook/pause", "")).await;
    assert_eq!(status, 200);
    assert_eq!(code(delivery(&host, "techstart/order", body, 2)).await, (409, "trigger_paused".to_owned()));
    assert_eq!(executions(&host, "order").await.len(), 2);
    let (_, log) = host.stop();
    assert!(!log.contains(SECRET), "the secret is in no log");
}

#[tokio::test]
async fn deliveries_are_counted_like_all_requests() {
    let host = hooked()
        .patch("configs/contexts/techstart.json", |context| context["quotas"] = json!({"requestsPerDay": 3}))
        .start()
        .await;
    stored(&host, HOOK).await;
    let mut statuses = Vec::new();
    for at in 0..4 {
        statuses.push(answer(delivery(&host, "techstart/order", r#"{"n": 1}"#, at)).await.0);
    }
    assert_eq!(statuses, [202, 202, 429, 429], "handing it in was the first");
    let unsigned = host.http.post(format!("{}/api/hooks/techstart/order", host.url)).body("{}");
    assert_eq!(answer(unsigned).await.0, 404, "who proves nothing is told nothing of quotas");
}

#[tokio::test]
async fn runs_of_one_workflow_take_turns() {
    let host = Setup::demo().start().await;
    let text = "name: turns
agentType: sales
concurrency: {limit: 1, queue: 1}
steps: [{id: a, type: mcp, config: {tool_name: get_current_promotions}}]
";
    stored(&host, text).await;
    host.shopify.faults().always(Fault::Delay(std::time::Duration::from_secs(2)));
    let begin = async || answer(host.post("/api/workflows/execute/turns?wait=0", "{}")).await;
    let first = begin().await.1["executionId"].as_str().unwrap().to_owned();
    eventually("it to be at work", async || !show(&host, &first).await["steps"].as_array().unwrap().is_empty()).await;
    let (status, second) = begin().await;
    assert_eq!((status, &second["queued"]), (202, &json!(true)), "{second:#}");
    let (status, refused) = begin().await;
    assert_eq!((status, &refused["code"]), (429, &json!("busy")), "{refused:#}");
    ends(&host, &first, "completed").await;
    let ended = ends(&host, second["executionId"].as_str().unwrap(), "completed").await;
    assert_eq!(ended.get("queued"), None);
}

#[tokio::test]
async fn a_workflow_within_another_is_decided_on_and_stopped_there() {
    let mut host = Setup::demo().start().await;
    stored(
        &host,
        "name: ask\nsteps:\n  - {id: ok, type: approval}\noutputs: {yes: '{{ steps.ok.output.approved }}'}\n",
    )
    .await;
    let text = "name: outer
agentType: sales
steps:
  - {id: inner, type: workflow, config: {name: ask}}
  - {id: after, type: set, config: {yes: '{{ steps.inner.output.yes }}'}}
outputs: {yes: '{{ steps.after.output.yes }}'}
";
    stored(&host, text).await;
    let begin = async |host: &Host| {
        let (_, body) = answer(host.post("/api/workflows/execute/outer?wait=0", "{}")).await;
        let id = body["executionId"].as_str().unwrap().to_owned();
        let asks = async || show(host, &id).await["steps"].to_string().contains("inner/ok");
        eventually("the question", asks).await;
        id
    };
    let id = begin(&host).await;
    // Its definition may go: the run has it.
    let gone = host.http.delete(format!("{}/api/workflows/ask", host.url)).header("X-Context", "techstart");
    assert_eq!(answer(gone).await.0, 200);
    host.kill();
    host.restart();
    let signal = host.post(&format!("/api/workflows/executions/{id}/signals/inner%2Fok"), r#"{"approved": true}"#);
    assert_eq!(answer(signal).await.0, 200);
    assert_eq!(ends(&host, &id, "completed").await["outputs"], json!({"yes": true}));
    let (status, body) = answer(host.post("/api/workflows/execute/outer", "{}")).await;
    assert_eq!(status, 422, "{body:#}");
    stored(
        &host,
        "name: ask\nsteps:\n  - {id: ok, type: approval}\noutputs: {yes: '{{ steps.ok.output.approved }}'}\n",
    )
    .await;
    let id = begin(&host).await;
    assert_eq!(answer(host.post(&format!("/api/workflows/executions/{id}/cancel"), "")).await.0, 200);
    ends(&host, &id, "cancelled").await;
}

#[tokio::test]
async fn a_failed_run_goes_on_in_another_with_a_mended_definition() {
    let host = Setup::demo().start().await;
    let text = |sku: &str| {
        format!(
            "name: stock
agentType: sales
steps:
  - {{id: who, type: mcp, config: {{tool_name: search_customers, parameters: {{query: ACME, limit: 1}}}}}}
  - id: each
    type: foreach
    config: {{items: [1, 2]}}
    steps:
      - {{id: stock, type: mcp, config: {{tool_name: check_inventory, parameters: {{product_id: {sku}}}}}}}
outputs: {{count: '{{{{ steps.each.output.count }}}}'}}
"
        )
    };
    stored(&host, &text("NO-SUCH-SKU")).await;
    let (_, failed) = answer(host.post("/api/workflows/execute/stock", "{}")).await;
    assert_eq!((&failed["status"], &failed["step"]), (&json!("failed"), &json!("each[0].stock")), "{failed:#}");
    let first = failed["executionId"].as_str().unwrap().to_owned();
    let before = show(&host, &first).await;
    let rerun = async |id: &str, asked: Value| {
        let path = format!("/api/workflows/executions/{id}/rerun");
        answer(host.post(&path, asked.to_string()).header("Idempotency-Key", "again")).await
    };
    let (status, body) = rerun(&first, json!({"from": "nowhere"})).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid_arguments")), "{body:#}");
    let catalogue = remit_upstreams::data::catalogue::catalogue();
    stored(&host, &text(&catalogue.first().unwrap().variants[0].sku)).await;
    let asked = json!({"from": "each[0].stock", "definition": "current"});
    let (status, again) = rerun(&first, asked.clone()).await;
    assert!([200, 202].contains(&status), "{again:#}");
    let second = again["executionId"].as_str().unwrap().to_owned();
    assert_eq!(again["rerunOf"], json!({"executionId": first, "from": "each[0].stock"}));
    let ended = ends(&host, &second, "completed").await;
    assert_eq!(ended["outputs"], json!({"count": 2}));
    assert_eq!(rerun(&first, asked).await.1["executionId"], json!(second), "the same key is the same run");
    let mut after = show(&host, &first).await;
    assert_eq!(after["reruns"], json!([{"executionId": second, "from": "each[0].stock"}]));
    after["reruns"] = json!([]);
    assert_eq!(after, before, "the first stays as it was");
    let (_, page) = answer(host.get(&format!("/api/workflows/executions?rerunOf={first}"))).await;
    assert_eq!(page["executions"][0]["executionId"], json!(second));
    let started = |shown: &Value| shown["steps"][0]["startedAt"].clone();
    assert_eq!(started(&ended), started(&before), "what was recorded of the step before");
    let others = host.http.post(format!("{}/api/workflows/executions/{first}/rerun", host.url));
    let others = others.header("X-Context", "template").body(r#"{"from": "who"}"#);
    assert_eq!(answer(others).await.0, 404);
}
