//! Every call is on record, whatever became of it, and stays there.

use std::collections::BTreeSet;

use serde_json::json;

use super::chain::verify;
use crate::host::{Setup, answer, eventually};

#[tokio::test]
async fn every_call_is_on_record_without_its_values() {
    let mut host = Setup::demo().start().await;
    host.result("search_customers", json!({"query": "hunter2-in-a-query"})).await;
    host.tool("search_customers", json!({"limit": 1})).await;
    host.tool("no_such_tool", json!({})).await;
    let asked = json!({"agent_type": "sales", "tool_name": "check_inventory", "parameters": {"product_id": "1"}});
    let request = host.post("/api/mcp/test", asked.to_string()).header("X-Request-Id", "my-own-id");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "my-own-id");
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));

    let rows = host.audit().await;
    let told: BTreeSet<(&str, &str)> = rows.iter().map(|row| (row.name.as_str(), row.outcome.as_str())).collect();
    for expected in [("search_customers", "ok"), ("search_customers", "failed"), ("no_such_tool", "failed")] {
        assert!(told.contains(&expected), "{expected:?} in {told:?}");
    }
    let traced = rows.iter().find(|row| row.request == "my-own-id").unwrap();
    assert_eq!(
        (traced.tenant.as_str(), traced.agent.as_str(), traced.name.as_str()),
        ("techstart", "sales", "check_inventory")
    );
    let text = format!("{rows:?}");
    assert!(!text.contains("hunter2"), "names and sizes, no values");
    assert!(log.contains("my-own-id") && !log.contains("hunter2"), "the log line too");
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let mut host = Setup::demo().start().await;
    let mut conversation = String::new();
    for round in 0..3 {
        let mut acknowledged = Vec::new();
        for at in 0..20 {
            let id = format!("kill-{round}-{at}");
            let asked = json!({"agent_type": "sales", "tool_name": "search_customers", "parameters": {"query": "a", "limit": 1}});
            let sent = host.post("/api/mcp/test", asked.to_string()).header("X-Request-Id", &id).send().await.unwrap();
            assert_eq!(sent.status(), 200);
            acknowledged.push(id);
        }
        let said = if conversation.is_empty() {
            json!({"message": "Search for ACME Corp"})
        } else {
            json!({"message": "And again", "conversationId": conversation})
        };
        let (status, body) = answer(host.post("/api/sales/chat", said.to_string())).await;
        assert_eq!(status, 200, "{body:#}");
        conversation = body["conversationId"].as_str().unwrap().to_owned();
        let length = body["conversationLength"].as_u64().unwrap();
        host.kill();
        let recorded: BTreeSet<String> = host.audit().await.into_iter().map(|row| row.request).collect();
        assert!(acknowledged.iter().all(|id| recorded.contains(id)), "round {round}");
        host.restart();
        let again = json!({"message": "What did I ask?", "conversationId": conversation});
        let (status, body) = answer(host.post("/api/sales/chat", again.to_string())).await;
        assert_eq!(status, 200);
        assert!(body["conversationLength"].as_u64().unwrap() > length, "the conversation goes on: {body:#}");
    }
    host.kill();
    assert_eq!(verify(&host, &[]).0, Some(0), "the chain has no gap where the host was killed");
}

#[tokio::test]
async fn a_call_whose_client_goes_away_is_stopped_and_on_record() {
    let mut host = Setup::demo().start().await;
    host.shopify.faults().always(remit_upstreams::Fault::Delay(std::time::Duration::from_secs(20)));
    let asked = json!({"agent_type": "sales", "tool_name": "check_inventory", "parameters": {"product_id": "1"}});
    let request = host.post("/api/mcp/test", asked.to_string()).timeout(std::time::Duration::from_millis(500));
    assert!(request.send().await.unwrap_err().is_timeout());
    // The host notices, and the guest's place is free long before its answer would have come.
    eventually("the place is free", async || {
        let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
        figures.as_str().unwrap().contains("remit_sandbox_places_taken 0")
    })
    .await;
    host.stop();
    let rows = host.audit().await;
    assert!(rows.iter().any(|row| row.name == "check_inventory" && row.outcome == "cancelled"), "{rows:?}");
}
