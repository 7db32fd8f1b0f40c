//! Workflows over HTTP: run to their end, taken up after a kill, decided on, and refused.

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually};

/// A host with a workflow of the sales agent's.
fn with(name: &'static str, text: &'static str) -> Setup {
    Setup::demo().edit(move |root| {
        let file = root.join("workflows/customers/techstart/sales").join(name).with_extension("yml");
        std::fs::write(file, format!("name: {name}\n{text}")).unwrap();
    })
}

async fn execute(host: &Host, name: &str, inputs: Value) -> (u16, Value) {
    answer(host.post(&format!("/api/workflows/execute/{name}"), json!({"inputs": inputs}).to_string())).await
}

async fn show(host: &Host, id: &str) -> Value {
    let (status, body) = answer(host.get(&format!("/api/workflows/executions/{id}"))).await;
    assert_eq!(status, 200, "{body:#}");
    body
}

async fn ends(host: &Host, id: &str, status: &str) -> Value {
    eventually("the run to end", async || show(host, id).await["status"] == status).await;
    show(host, id).await
}

#[tokio::test]
async fn the_seeds_fallback_runs_as_printed() {
    let mut host = Setup::demo().start().await;
    let (status, body) = execute(&host, "graceful-degradation", json!({"customer_id": "cust_123"})).await;
    assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body:#}");
    assert_eq!(body["outputs"]["primary_data_fetch"]["success"], true);
    assert_eq!(body["outputs"]["primary_data_fetch"]["tool_name"], "search_customers");
    assert_eq!(body["outputs"]["fallback_data_fetch"], json!({"skipped": true}));
    let shown = show(&host, body["executionId"].as_str().unwrap()).await;
    let steps = shown["steps"].as_array().unwrap();
    assert_eq!(steps[0]["input"], json!({"query": "cust_123", "limit": 1}));
    assert_eq!((&steps[0]["status"], &steps[1]["status"]), (&json!("completed"), &json!("skipped")));
    assert_eq!(shown["plan"]["name"], "graceful-degradation");
    let (_, listed) = answer(host.get("/api/workflows")).await;
    let names: Vec<&str> =
        listed["workflows"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"graceful-degradation") && names.contains(&"ai-lead-qualification"), "{names:?}");
    assert_eq!(host.stop().0, Some(0));
    let rows = host.audit().await;
    let row = rows.iter().find(|row| row.name == "search_customers").unwrap();
    assert_eq!((row.door.as_str(), row.agent.as_str(), row.actor.as_str()), ("workflow", "sales", "anyone"));
    assert_eq!(Some(row.request.as_str()), body["executionId"].as_str());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_reason() {
    let host = Setup::demo().start().await;
    let (status, body) = execute(&host, "graceful-degradation", json!({"customer": 5})).await;
    assert_eq!((status, &body["code"]), (422, &json!("invalid_arguments")), "{body:#}");
    assert!(body["problems"].to_string().contains("customer_id"), "{body:#}");
    let (status, body) = execute(&host, "no-such", json!({})).await;
    assert_eq!((status, &body["code"]), (404, &json!("workflow_missing")));
    let load = async |asked: Value| answer(host.post("/api/workflows/load", asked.to_string())).await;
    let (status, body) = load(json!({"filePath": "examples/graceful-degradation.yml"})).await;
    assert_eq!((status, &body["workflow"]["name"]), (200, &json!("graceful-degradation")), "{body:#}");
    let (status, _) = load(json!({"filePath": "customers/techstart/sales/ai-lead-qualification.yml"})).await;
    assert_eq!(status, 200);
    for path in [
        "../configs/host.yaml",
        "examples/../../configs/host.yml",
        "customers/other/sales/x.yml",
        "/etc/passwd",
        "examples/%2e%2e/x.yml",
        "examples/.hidden.yml",
        "examples",
        "",
    ] {
        let (status, body) = load(json!({"filePath": path})).await;
        assert_eq!((status, &body["code"]), (404, &json!("workflow_missing")), "{path}");
    }
    let yaml = "name: x\nsteps:\n  - {id: a, type: mpc}\n  - {id: a, type: set, config: {x: '{{ steps.b.output }}'}}\n";
    let (status, body) = load(json!({"yaml": yaml})).await;
    assert_eq!(status, 422);
    let faults = body["problems"].to_string();
    assert!(faults.contains("workflow.yml:3:19: unknown kind of step `mpc` (did you mean `mcp`?)"), "{faults}");
    assert!(faults.contains("a second step `a`") && faults.contains("there is no step `b`"), "{faults}");
    let (status, body) = answer(host.get("/api/workflows/executions/not-one")).await;
    assert_eq!((status, &body["code"]), (404, &json!("execution_missing")));
    let (status, _) = answer(host.get("/api/workflows/executions?status=odd")).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn a_run_goes_on_after_a_kill_and_repeats_nothing_that_is_recorded() {
    let text = "agentType: sales
steps:
  - {id: first, type: mcp, config: {tool_name: search_customers, parameters: {query: a, limit: 1}}}
  - {id: pause, type: wait, config: {duration: 2s}}
  - {id: second, type: mcp, config: {tool_name: search_customers, parameters: {query: b, limit: 1}}}
outputs: {done: '{{ steps.second.output.success }}'}
";
    let mut host = with("pausing", text).start().await;
    let asked = host.post("/api/workflows/execute/pausing?wait=0", "{}").header("Idempotency-Key", "one");
    let (status, body) = answer(asked).await;
    assert_eq!((status, &body["status"]), (202, &json!("running")), "{body:#}");
    let id = body["executionId"].as_str().unwrap().to_owned();
    let waits = async || show(&host, &id).await["steps"].as_array().unwrap().len() == 2;
    eventually("the pause to begin", waits).await;
    host.kill();
    host.restart();
    let ended = ends(&host, &id, "completed").await;
    assert_eq!(ended["outputs"], json!({"done": true}));
    // The same key is the same run, and no other tenant sees it.
    let again = host.post("/api/workflows/execute/pausing", "{}").header("Idempotency-Key", "one");
    assert_eq!(answer(again).await.1["executionId"], json!(id));
    let others = host.http.get(format!("{}/api/workflows/executions/{id}", host.url)).header("X-Context", "template");
    assert_eq!(answer(others).await.0, 404);
    assert_eq!(host.stop().0, Some(0));
    let calls = host.audit().await.into_iter().filter(|row| row.request == id).count();
    assert_eq!(calls, 2, "each step once");
}

#[tokio::test]
async fn an_approval_waits_for_its_signal_and_a_run_can_be_stopped() {
    let text = "agentType: sales
steps:
  - {id: ok, type: approval, config: {message: 'May I?'}}
  - {id: done, type: set, condition: '{{ steps.ok.output.approved }}', config: {by: '{{ steps.ok.output.by }}'}}
outputs: {by: '{{ steps.done.output.by }}'}
";
    let host = with("asking", text).start().await;
    let begin = async || {
        let (status, body) =
            answer(host.post("/api/workflows/execute/asking", "{}").header("Prefer", "respond-async")).await;
        assert_eq!(status, 202, "{body:#}");
        let id = body["executionId"].as_str().unwrap().to_owned();
        eventually("the question", async || show(&host, &id).await["steps"][0]["status"] == "running").await;
        id
    };
    let act = async |id: &str, what: &str, body: Value| {
        answer(host.post(&format!("/api/workflows/executions/{id}/{what}"), body.to_string())).await
    };
    let id = begin().await;
    let (status, body) = act(&id, "signals/done", json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!("execution_state")), "{body:#}");
    assert_eq!(act(&id, "signals/ok", json!({"approved": true})).await.0, 200);
    assert_eq!(ends(&host, &id, "completed").await["outputs"], json!({"by": "anyone"}));
    assert_eq!(act(&id, "cancel", json!({})).await.0, 409);
    assert_eq!(act(&id, "resolve", json!({"choice": "skip"})).await.0, 409);
    let id = begin().await;
    assert_eq!(act(&id, "cancel", json!({})).await.0, 200);
    ends(&host, &id, "cancelled").await;
    let (_, page) = answer(host.get("/api/workflows/executions?workflow=asking&limit=1")).await;
    assert_eq!(
        (&page["executions"][0]["executionId"], &page["executions"][0]["status"]),
        (&json!(id), &json!("cancelled"))
    );
    let next = format!("/api/workflows/executions?workflow=asking&cursor={}", page["next"].as_str().unwrap());
    let (_, page) = answer(host.get(&next)).await;
    assert_eq!((page["executions"].as_array().unwrap().len(), &page["next"]), (1, &Value::Null));
}

#[tokio::test]
async fn an_agents_answer_has_the_fields_that_later_steps_read() {
    let text = "agentType: sales
inputs: {order: {type: string}}
steps:
  - {id: check, type: agent, config: {prompt: 'How risky is {{ inputs.order }}?', temperature: 0.2}}
  - id: route
    type: conditional
    condition: '{{ steps.check.output.fraud_score < 0.3 }}'
    if_true: [{id: low, type: set, config: {why: '{{ steps.check.output.risk_level }}'}}]
outputs: {score: '{{ steps.check.output.fraud_score }}', why: '{{ steps.low.output.why }}', model: '{{ steps.check.output.model }}'}
";
    let host = with("risky", text).start().await;
    let (status, body) = execute(&host, "risky", json!({"order": "7"})).await;
    assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body:#}");
    assert_eq!(body["outputs"]["score"], 0);
    assert_eq!(body["outputs"]["model"], "remit-offline");
    assert!(body["outputs"]["why"].is_string());
}
