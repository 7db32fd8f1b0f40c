//! Kinds of workflow step that plugins bring: the host's own and a tenant's, granted as tools are, pinned by
//! runs.

use std::fs;

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, repository};

/// A tenant's own kind of step, which an example is.
fn loyalty() -> Vec<u8> {
    fs::read(repository().join("plugins/dist/examples/loyalty.wasm")).unwrap()
}

/// The same as another version: other bytes.
fn marked(mut wasm: Vec<u8>, mark: u8) -> Vec<u8> {
    wasm.extend([0, 3, 1, b'v', mark]);
    wasm
}

async fn upload(host: &Host, query: &str, wasm: Vec<u8>) -> Value {
    let asked = host.post(&format!("/api/plugins{query}"), wasm).header("Content-Type", "application/wasm");
    let (status, body) = answer(asked).await;
    assert!(matches!(status, 200 | 201), "{status} {body:#}");
    body
}

async fn execute(host: &Host, name: &str, inputs: Value) -> (u16, Value) {
    answer(host.post(&format!("/api/workflows/execute/{name}"), json!({"inputs": inputs}).to_string())).await
}

async fn load(host: &Host, yaml: &str) -> (u16, String) {
    let (status, body) = answer(host.post("/api/workflows/load", json!({"yaml": yaml}).to_string())).await;
    (status, if status == 200 { body.to_string() } else { body["problems"].to_string() })
}

/// Waits until the host has taken in a workflow that it could not use before.
async fn taken_in(host: &Host, name: &str) {
    let listed = async || {
        let (_, body) = answer(host.get("/api/workflows")).await;
        body["workflows"].as_array().unwrap().iter().any(|workflow| workflow["name"] == name)
    };
    eventually("the workflow to be there", listed).await;
}

const LEVELS: &str = "agentType: sales
inputs: {customer: {type: string}}
steps:
  - id: level
    type: loyalty.level
    config: {source: primary, customer: '{{ inputs.customer }}', threshold: 1}
    branches:
      regular:
        - {id: thanks, type: set, config: {text: 'Thank you, {{ steps.level.output.customer }}'}}
      new:
        - {id: welcome, type: set, config: {text: Welcome}}
";

#[tokio::test]
async fn a_tenant_brings_a_kind_of_step_and_uses_it() {
    let mut host = Setup::demo()
        .edit(|root| {
            fs::write(root.join("workflows/customers/techstart/sales/levels.yml"), format!("name: levels\n{LEVELS}"))
                .unwrap();
        })
        .start()
        .await;
    let (status, body) = execute(&host, "levels", json!({"customer": "cust_123"})).await;
    assert_eq!((status, &body["code"]), (404, &json!("workflow_missing")), "there is no such plugin yet: {body:#}");
    let (status, said) = load(&host, &format!("name: x\n{LEVELS}")).await;
    assert!(status == 422 && said.contains("workflow.yml:6:11: there is no plugin `loyalty`"), "{said}");

    let uploaded = upload(&host, "?activate=true", loyalty()).await;
    assert_eq!(uploaded["nodes"][0]["name"], "level", "{uploaded:#}");
    assert_eq!((&uploaded["tools"], &uploaded["warnings"]), (&json!([]), &json!([])), "no mapping has to name it");
    taken_in(&host, "levels").await;
    let (status, body) = execute(&host, "levels", json!({"customer": "cust_123"})).await;
    assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body:#}");
    let level = &body["outputs"]["level"];
    assert_eq!((&level["success"], &level["branch"]), (&json!(true), &json!("regular")), "{body:#}");
    let (_, body) = execute(&host, "levels", json!({"customer": "nobody"})).await;
    assert_eq!((&body["outputs"]["level"]["branch"], &body["outputs"]["level"]["orders"]), (&json!("new"), &json!(0)));
    let shown =
        answer(host.get(&format!("/api/workflows/executions/{}", body["executionId"].as_str().unwrap()))).await.1;
    let paths: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["level", "welcome"], "{shown:#}");

    // What decides a grant is written out, and granted to the step's agent; what comes in is a plain value.
    let step = |config: &str| {
        format!("name: x\nagentType: sales\nsteps:\n  - {{id: a, type: loyalty.level, config: {config}}}\n")
    };
    let (status, said) = load(&host, &step("{source: '{{ inputs.source }}', customer: a}")).await;
    assert!(status == 422 && said.contains("workflow.yml:4:51: `source` can't be an expression"), "{said}");
    let (status, said) = load(&host, &step("{source: warehouse, customer: a}")).await;
    let denied = "workflow.yml:4:51: Agent sales doesn't have access to warehouse";
    assert!(status == 422 && said.contains(denied), "{said}");
    let (status, said) = load(&host, &step("{source: primary, customer: a, level: 5}")).await;
    assert!(status == 422 && said.contains("workflow.yml:4:42:"), "{said}");
    let (status, body) = execute(&host, "levels", json!({"customer": {"gt": ""}})).await;
    assert_eq!(status, 422, "{body:#}");

    // Another tenant has no such step.
    let asked = json!({"yaml": format!("name: x\n{LEVELS}")}).to_string();
    let others = host.http.post(format!("{}/api/workflows/load", host.url)).header("X-Context", "fashionboutique");
    let (status, _) = answer(others.header("Content-Type", "application/json").body(asked)).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(host.stop().0, Some(0));
    let rows = host.audit().await;
    let row = rows.iter().find(|row| row.name == "loyalty.level").unwrap();
    assert_eq!((row.door.as_str(), row.agent.as_str()), ("workflow", "sales"));
    assert_eq!(row.plugin, Some(format!("loyalty@{}", uploaded["digest"].as_str().unwrap())));
}

#[tokio::test]
async fn a_run_keeps_to_the_version_that_it_began_with() {
    let text = "name: slowly
agentType: sales
steps:
  - {id: pause, type: approval, config: {message: go on}}
  - {id: level, type: loyalty.level, config: {source: primary, customer: cust_123}}
";
    let mut host = Setup::demo()
        .edit(move |root| fs::write(root.join("workflows/customers/techstart/sales/slowly.yml"), text).unwrap())
        .start()
        .await;
    let first = upload(&host, "?activate=true", loyalty()).await;
    taken_in(&host, "slowly").await;
    let (status, body) = answer(host.post("/api/workflows/execute/slowly?wait=0", "{}")).await;
    assert_eq!(status, 202, "{body:#}");
    let run = format!("/api/workflows/executions/{}", body["executionId"].as_str().unwrap());
    let waits = async || answer(host.get(&run)).await.1["steps"][0]["status"] == "running";
    eventually("the question", waits).await;
    let second = upload(&host, "?activate=true", marked(loyalty(), 2)).await;
    let delete = async |host: &Host, query: &str| {
        answer(host.http.delete(format!("{}/api/plugins/loyalty{query}", host.url)).header("X-Context", "techstart"))
            .await
    };
    let (status, body) = delete(&host, "?version=1").await;
    assert_eq!((status, &body["code"]), (409, &json!("version_in_use")), "{body:#}");
    assert!(body["error"].as_str().unwrap().contains("pinned by a run"), "{body:#}");
    // The next host takes the run up with what it has kept of that version.
    host.kill();
    host.restart();
    let (status, body) =
        answer(host.post(&format!("{run}/signals/pause"), json!({"approved": true}).to_string())).await;
    assert_eq!(status, 200, "{body:#}");
    eventually("the end", async || answer(host.get(&run)).await.1["status"] == "completed").await;
    assert_eq!(delete(&host, "?version=1").await.0, 200, "the run has ended");
    assert_eq!(host.stop().0, Some(0));
    let row = host.audit().await.into_iter().find(|row| row.name == "loyalty.level").unwrap();
    assert_eq!(row.plugin, Some(format!("loyalty@{}", first["digest"].as_str().unwrap())));
    assert_ne!(first["digest"], second["digest"]);
}
