//! What is seen of runs, by whom, for how long; and who has a word in them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, run};

const ASKING: &str = "name: asking
agentType: sales
steps:
  - {id: found, type: mcp, config: {tool_name: search_customers, parameters: {query: canary, limit: 1}}}
  - {id: ok, type: approval, config: {message: 'May I?', approvers: [admin]}}
  - {id: after, type: mcp, on_error: continue, config: {tool_name: search_customers, parameters: {query: b, limit: 1}}}
outputs: {by: '{{ steps.ok.output.by }}', after: '{{ steps.after.output.success }}'}
onFailure: [{id: tell, type: mcp, config: {tool_name: get_current_promotions}}]
";

const KEEPING: &str = "name: keeping
agentType: sales
steps:
  - {id: a, type: set, config: {text: '{{ inputs.text }}'}}
  - {id: b, type: set, config: {n: '{{ steps.a.output.text.length }}'}}
outputs: {n: '{{ steps.b.output.n }}'}
";

/// A host with these workflows of the sales agent's.
fn with(files: &[(&'static str, &'static str)]) -> Setup {
    let files = files.to_vec();
    Setup::demo().edit(move |root| {
        for (name, text) in files {
            let file = root.join("workflows/customers/techstart/sales").join(name).with_extension("yml");
            std::fs::write(file, text).unwrap();
        }
    })
}

fn create(host: &Host, more: &[&str]) -> String {
    let made = [&["keys", "create", "--profile", "demo", "--state", "var", "--tenant", "techstart"], more].concat();
    let (code, token, log) = run(host.root.path(), &made);
    assert_eq!(code, Some(0), "{log}");
    token.trim().to_owned()
}

/// The public name of a key.
fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

async fn ask(host: &Host, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = host.http.request(method, format!("{}/api/workflows/{path}", host.url)).bearer_auth(token);
    answer(if body.is_null() { request } else { request.body(body.to_string()) }).await
}

/// Begins a run and waits for its question.
async fn asked(host: &Host, token: &str) -> String {
    let (status, body) = ask(host, token, Method::POST, "execute/asking?wait=0", json!({})).await;
    assert_eq!(status, 202, "{body:#}");
    let run = body["executionId"].as_str().unwrap().to_owned();
    let path = format!("executions/{run}");
    eventually("the question", async || {
        let (_, shown) = ask(host, token, Method::GET, &path, Value::Null).await;
        shown["steps"].as_array().unwrap().iter().any(|step| step["path"] == "ok")
    })
    .await;
    run
}

async fn ends(host: &Host, token: &str, run: &str) -> Value {
    let path = format!("executions/{run}");
    let show = async || ask(host, token, Method::GET, &path, Value::Null).await.1;
    eventually("the end", async || show().await["status"] != "running").await;
    show().await
}

#[tokio::test]
async fn each_role_sees_what_is_its_own_and_only_those_who_are_named_approve() {
    let mut host = with(&[("asking", ASKING)]).start().await;
    let admin = create(&host, &["--role", "admin"]);
    let agent = create(&host, &["--role", "agent"]);
    let lead = create(&host, &["--role", "agent", "--label", "ops lead"]);
    let viewer = create(&host, &["--role", "viewer"]);
    let closed = async || answer(host.get("/api/keys")).await.0 == 401;
    eventually("the first key closes the door", closed).await;
    let named = ASKING.replace("[admin]", &format!("[admin, 'key:{}']", id(&lead)));
    assert_eq!(ask(&host, &admin, Method::POST, "load", json!({"yaml": named})).await.0, 200);
    // Called as the approver is, and not the same.
    let imitator = create(&host, &["--role", "agent", "--label", id(&lead)]);
    let run = asked(&host, &agent).await;
    let path = format!("executions/{run}");

    let (_, outline) = ask(&host, &viewer, Method::GET, &path, Value::Null).await;
    assert_eq!((&outline["status"], &outline["agent"]), (&json!("running"), &json!("sales")));
    assert_eq!((&outline["steps"][0]["status"], &outline["steps"][0]["attempts"]), (&json!("completed"), &json!(1)));
    assert!(outline["steps"][0]["endedAt"].is_string() && outline["steps"][0].get("input").is_none());
    assert_eq!(outline["plan"]["edges"][0], json!({"from": "found", "to": "ok", "label": null}));
    for (key, hidden) in [(&viewer, true), (&agent, false)] {
        let (_, shown) = ask(&host, key, Method::GET, &path, Value::Null).await;
        assert_eq!(!shown.to_string().contains("canary"), hidden, "{shown:#}");
        assert_eq!(shown.get("definition").is_none(), hidden);
    }

    let signal = format!("{path}/signals/ok");
    let yes = json!({"approved": true});
    for other in [&agent, &imitator] {
        let (status, body) = ask(&host, other, Method::POST, &signal, yes.clone()).await;
        assert_eq!((status, &body["code"]), (403, &json!("not_an_approver")), "{body:#}");
        let said = body["error"].as_str().unwrap();
        assert!(said.contains(&format!("admin, key:{}", id(&lead))) && said.contains(id(other)), "{said}");
    }
    assert_eq!(ask(&host, &viewer, Method::POST, &signal, yes.clone()).await.0, 403);
    assert_eq!(ask(&host, &lead, Method::POST, &format!("{path}/signals/after"), yes.clone()).await.0, 409);
    assert_eq!(ask(&host, &lead, Method::POST, &signal, yes.clone()).await.0, 200);
    assert_eq!(ends(&host, &agent, &run).await["outputs"], json!({"by": id(&lead), "after": true}));
    let (_, ended) = ask(&host, &viewer, Method::GET, &path, Value::Null).await;
    assert_eq!((&ended["status"], ended.get("outputs")), (&json!("completed"), None));
    let (_, listed) = ask(&host, &viewer, Method::GET, "executions?agent=sales&status=completed", Value::Null).await;
    assert!(listed["executions"][0].get("outputs").is_none() && listed["executions"][0]["executionId"] == run);

    let cancelled = asked(&host, &agent).await;
    assert_eq!(ask(&host, &admin, Method::POST, &format!("executions/{cancelled}/cancel"), json!({})).await.0, 200);
    ends(&host, &agent, &cancelled).await;
    for (key, status) in [(&viewer, 403), (&agent, 403), (&admin, 200), (&admin, 404)] {
        assert_eq!(ask(&host, key, Method::DELETE, &path, Value::Null).await.0, status);
    }
    assert_eq!(ask(&host, &agent, Method::GET, &path, Value::Null).await.0, 404);

    assert_eq!(host.stop().0, Some(0));
    let rows = host.audit().await;
    let deeds: Vec<(String, String, bool)> = rows
        .iter()
        .rev()
        .filter(|row| row.action.starts_with("execution."))
        .map(|row| (row.action.clone(), row.actor.clone(), row.name == run))
        .collect();
    let deed = |action: &str, key: &str, of: bool| (format!("execution.{action}"), id(key).to_owned(), of);
    assert_eq!(
        deeds,
        [
            deed("start", &agent, true),
            deed("signal", &lead, true),
            deed("start", &agent, false),
            deed("cancel", &admin, false),
            deed("delete", &admin, true),
        ]
    );
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_runs_at_their_next_step() {
    let mut host = with(&[("asking", ASKING)]).start().await;
    let admin = create(&host, &["--role", "admin"]);
    let agent = create(&host, &["--role", "agent", "--agents", "sales"]);
    let run = asked(&host, &agent).await;
    let revoke = host.http.delete(format!("{}/api/keys/{}", host.url, id(&agent))).bearer_auth(&admin);
    assert_eq!(answer(revoke).await.0, 200);
    let signal = format!("executions/{run}/signals/ok");
    assert_eq!(ask(&host, &admin, Method::POST, &signal, json!({"approved": true})).await.0, 200);
    let ended = ends(&host, &admin, &run).await;
    assert_eq!(
        (&ended["status"], &ended["code"], &ended["step"]),
        (&json!("failed"), &json!("key_revoked"), &json!("after"))
    );
    assert_eq!(host.stop().0, Some(0));
    let calls: Vec<_> = host.audit().await.into_iter().filter(|row| row.request == run).collect();
    assert_eq!(calls.len(), 1, "neither the next step nor one for failures: {calls:?}");
}

/// A stream of events, read as it comes.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(host: &Host, run: &str, after: Option<&str>) -> Self {
        let request = host.get(&format!("/api/workflows/executions/{run}/events"));
        let request = after.into_iter().fold(request, |request, after| request.header("Last-Event-ID", after));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's id, name and what it says; `None` at the end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(data) = field("data:") {
                    let said = serde_json::from_str(data).unwrap();
                    return Some((field("id:").unwrap_or("").to_owned(), field("event:").unwrap().to_owned(), said));
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(60), self.response.chunk());
            self.text.push_str(std::str::from_utf8(&chunk.await.unwrap().unwrap()?).unwrap());
        }
    }
}

#[tokio::test]
async fn a_run_is_watched_while_it_goes_on_and_from_where_a_client_left() {
    let host = with(&[("asking", ASKING)]).start().await;
    let (_, body) = answer(host.post("/api/workflows/execute/asking?wait=0", "{}")).await;
    let run = body["executionId"].as_str().unwrap();
    let mut watching = Stream::open(&host, run, None).await;
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, _, path)| path != "ok") {
        let (id, name, said) = watching.next().await.unwrap();
        seen.push((id, name, said["path"].as_str().unwrap_or_default().to_owned()));
    }
    let names: Vec<_> = seen.iter().map(|(_, name, path)| format!("{name} {path}")).collect();
    assert_eq!(names, ["began found", "ended found", "began ok"]);
    // The connection goes; whoever comes back has what came after.
    drop(watching);
    let mut again = Stream::open(&host, run, Some(&seen[0].0)).await;
    let (id, name, said) = again.next().await.unwrap();
    assert_eq!((id, name.as_str(), said["status"].as_str()), (seen[1].0.clone(), "ended", Some("completed")));
    let (status, _) =
        answer(host.post(&format!("/api/workflows/executions/{run}/signals/ok"), r#"{"approved": true}"#)).await;
    assert_eq!(status, 200);
    let mut rest = Vec::new();
    while let Some(event) = again.next().await {
        rest.push(event);
    }
    let names: Vec<_> = rest.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["began", "signalled", "ended", "began", "ended", "end"]);
    let (_, _, end) = rest.last().unwrap();
    assert_eq!((&end["status"], &end["outputs"]["after"]), (&json!("completed"), &json!(true)));
    // All of it is there afterwards too, and who has it all is told to stay away.
    let mut whole = Stream::open(&host, run, None).await;
    let mut count = 0;
    while whole.next().await.is_some() {
        count += 1;
    }
    assert_eq!(count, 8);
    let path = format!("/api/workflows/executions/{run}/events");
    let last = rest[rest.len() - 2].0.clone();
    assert_eq!(host.get(&path).header("Last-Event-ID", last).send().await.unwrap().status(), 204);
    assert_eq!(answer(host.get(&path).header("Last-Event-ID", "x")).await.0, 422);
    let other = host.http.get(format!("{}{path}", host.url)).header("X-Context", "template");
    assert_eq!(answer(other).await.0, 404);
}

#[tokio::test]
async fn who_watches_too_often_is_refused_and_who_goes_away_makes_room() {
    const WATCHERS: usize = 32;
    let host = with(&[("asking", ASKING)]).start().await;
    let (_, body) = answer(host.post("/api/workflows/execute/asking?wait=0", "{}")).await;
    let run = body["executionId"].as_str().unwrap();
    let mut all = Vec::new();
    for _ in 0..WATCHERS {
        all.push(Stream::open(&host, run, None).await);
    }
    let path = format!("/api/workflows/executions/{run}/events");
    let (status, body) = answer(host.get(&path)).await;
    assert_eq!((status, &body["code"]), (429, &json!("busy")), "{body:#}");
    all.truncate(WATCHERS / 2);
    eventually("room for one more", async || host.get(&path).send().await.unwrap().status() == 200).await;
    // A host that stops waits for none of them.
    let mut host = host;
    assert_eq!(host.stop().0, Some(0));
    for mut watching in all {
        while watching.next().await.is_some() {}
    }
}

#[tokio::test]
async fn large_outputs_are_linked_given_out_and_removed_with_their_run() {
    let mut host = with(&[("keeping", KEEPING)]).start().await;
    let text = format!("a word that nobody else says {}", "x".repeat(100_000));
    let start = |text: &str| json!({"inputs": {"text": text}}).to_string();
    let (status, body) = answer(host.post("/api/workflows/execute/keeping", start(&text))).await;
    assert_eq!((status, &body["outputs"]), (200, &json!({"n": text.len()})), "{body:#}");
    let run = body["executionId"].as_str().unwrap().to_owned();
    let (_, shown) = answer(host.get(&format!("/api/workflows/executions/{run}"))).await;
    let output = &shown["steps"][0]["output"];
    assert!(output["bytes"].as_u64().unwrap() > 100_000, "{output}");
    let link = output["href"].as_str().unwrap();
    assert_eq!(answer(host.get(link)).await, (200, json!({"text": text})));
    let other = host.http.get(format!("{}{link}", host.url)).header("X-Context", "template");
    assert_eq!(answer(other).await.0, 404);
    let (_, second) = answer(host.post("/api/workflows/execute/keeping", start("small"))).await;
    let digest = output["artifact"].as_str().unwrap();
    let crossed = format!("/api/workflows/executions/{}/artifacts/{digest}", second["executionId"].as_str().unwrap());
    let (status, body) = answer(host.get(&crossed)).await;
    assert_eq!((status, &body["code"]), (404, &json!("artifact_missing")), "a digest of another run's");

    let root = host.root.path().to_owned();
    let verb = |verb: &[&str]| run_in(&root, verb);
    let (code, log) = verb(&["tenant", "export", "techstart", "--to", "given"]);
    assert_eq!(code, Some(0), "{log}");
    let given = std::fs::read_dir(root.join("given/outputs")).unwrap().map(|it| it.unwrap().path()).collect::<Vec<_>>();
    assert!(given.len() == 1 && std::fs::read_to_string(&given[0]).unwrap().contains(&text));
    let (code, log) = verb(&["backup", "--to", "kept"]);
    assert_eq!(code, Some(0), "{log}");

    let lies = || std::fs::read_dir(root.join("var/artifacts/outputs")).unwrap().count();
    assert_eq!(lies(), 1);
    let path = format!("/api/workflows/executions/{run}");
    assert_eq!(answer(host.http.delete(format!("{}{path}", host.url)).header("X-Context", "techstart")).await.0, 200);
    assert_eq!(answer(host.get(&path)).await.0, 404);
    assert_eq!(answer(host.get(link)).await.0, 404);
    eventually("what it left to be gone", async || lies() == 0).await;
    assert_eq!(host.stop().0, Some(0));

    // Put back, it is there again, and goes with its tenant.
    let (code, log) = verb(&["restore", "--from", "kept", "--force"]);
    assert_eq!(code, Some(0), "{log}");
    host.restart();
    assert_eq!(answer(host.get(link)).await, (200, json!({"text": text})));
    assert_eq!(host.stop().0, Some(0));
    let (code, log) = verb(&["tenant", "delete", "techstart", "--yes"]);
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(lies(), 0);
}

fn run_in(root: &std::path::Path, verb: &[&str]) -> (Option<i32>, String) {
    let (code, _, log) = run(root, &[verb, &["--profile", "demo", "--state", "var"]].concat());
    (code, log)
}

#[tokio::test]
async fn a_tenant_keeps_as_much_of_its_runs_as_its_limits_say() {
    let host = with(&[("keeping", KEEPING)])
        .patch("configs/contexts/techstart.json", |context| {
            context["limits"]["runBytes"] = json!(2_000_000);
            context["limits"]["runs"] = json!(3);
        })
        .start()
        .await;
    let begin = async |bytes: usize| {
        let start = json!({"inputs": {"text": "x".repeat(bytes)}}).to_string();
        answer(host.post("/api/workflows/execute/keeping", start)).await
    };
    for _ in 0..5 {
        assert_eq!(begin(10).await.0, 200);
    }
    let listed = async || {
        let (_, page) = answer(host.get("/api/workflows/executions")).await;
        page["executions"].as_array().unwrap().clone()
    };
    eventually("the oldest to go", async || listed().await.len() == 3).await;
    assert_eq!(begin(800_000).await.0, 200);
    let (status, body) = begin(800_000).await;
    assert_eq!((status, &body["code"]), (409, &json!("history_full")), "{body:#}");
    assert!(body["hint"].as_str().unwrap().contains("runBytes"));
    let large = listed().await[0]["executionId"].as_str().unwrap().to_owned();
    let path = format!("{}/api/workflows/executions/{large}", host.url);
    assert_eq!(answer(host.http.delete(path).header("X-Context", "techstart")).await.0, 200);
    assert_eq!(begin(800_000).await.0, 200, "there is room again");
}

#[tokio::test]
async fn runs_are_listed_by_what_is_asked_and_faulty_questions_are_refused() {
    let host = with(&[("keeping", KEEPING)]).start().await;
    let mut runs = Vec::new();
    for _ in 0..5 {
        let (_, body) = answer(host.post("/api/workflows/execute/keeping", r#"{"inputs": {"text": "x"}}"#)).await;
        runs.push((body["executionId"].clone(), body["startedAt"].as_str().unwrap().to_owned()));
    }
    let ids = async |query: &str| {
        let (status, page) = answer(host.get(&format!("/api/workflows/executions?{query}"))).await;
        assert_eq!(status, 200, "{page:#}");
        let ids: Vec<Value> =
            page["executions"].as_array().unwrap().iter().map(|it| it["executionId"].clone()).collect();
        (ids, page["next"].clone())
    };
    let mut all: Vec<Value> = runs.iter().map(|(id, _)| id.clone()).collect();
    all.reverse();
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let (page, next) = ids(&format!("limit=2&agent=sales{cursor}")).await;
        paged.extend(page);
        let Some(next) = next.as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    let (since, _) = ids(&format!("since={}", runs[2].1)).await;
    assert!(since.contains(&runs[2].0) && since.contains(&runs[4].0) && since.len() >= 3);
    let (until, _) = ids(&format!("until={}", runs[2].1)).await;
    assert!(!until.contains(&runs[2].0) && until.len() + since.len() == 5, "{until:?} {since:?}");
    assert_eq!(ids("agent=support").await.0, [Value::Null; 0]);
    for query in ["agent=A%20B", "since=yesterday", "until=2026", "cursor=x", "status=odd"] {
        let (status, body) = answer(host.get(&format!("/api/workflows/executions?{query}"))).await;
        assert_eq!((status, &body["code"]), (422, &json!("invalid_arguments")), "{query}");
    }
}
