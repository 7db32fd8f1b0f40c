//! Each operation on a source: on record, held back while the source fails, answered from what was kept.

use remit_journal::Row;
use remit_upstreams::{Fault, proxy::Proxy, proxy::Trouble};
use serde_json::{Value, json};

use super::hostile::{figure, setup};
use crate::host::{Host, Setup, answer, eventually, run};

/// What the shop has.
fn product() -> Value {
    let catalogue = remit_upstreams::data::catalogue::catalogue();
    json!({"product_id": catalogue.first().unwrap().id.to_string()})
}

/// What the newest call of a tool did.
async fn operations(host: &Host, tool: &str) -> Vec<Value> {
    let rows = host.audit().await;
    let row: &Row = rows.iter().find(|row| row.name == tool).unwrap();
    row.operations.as_ref().unwrap().as_array().unwrap().clone()
}

fn told(operations: &[Value]) -> Vec<(&str, &str, &str)> {
    fn text<'a>(operation: &'a Value, key: &str) -> &'a str {
        operation[key].as_str().unwrap_or("-")
    }
    operations.iter().map(|it| (text(it, "source"), text(it, "operation"), text(it, "outcome"))).collect()
}

#[tokio::test]
async fn every_operation_is_in_its_calls_record_without_values() {
    let mut host = setup(&["hostile-calls"]).hostile("calls").start().await;
    host.result("search_customers", json!({"query": "hunter2hunter2", "limit": 3})).await;
    let found = operations(&host, "search_customers").await;
    assert_eq!(told(&found), [("primary", "query", "ok")]);
    let query = &found[0];
    assert_eq!((&query["count"], query["digest"].as_str().map(str::len)), (&json!(1), Some(32)), "{query:#}");
    assert!(query["durationUs"].as_u64().is_some() && query["rows"].as_u64().is_some());

    host.result("check_inventory", product()).await;
    let asked = operations(&host, "check_inventory").await;
    assert!(told(&asked).contains(&("ecommerce", "send", "ok")), "{asked:#?}");
    assert!(asked.iter().all(|it| it["bytes"].as_u64().unwrap() > 0), "{asked:#?}");

    host.result("update_customer_notes", json!({"customer_id": "cust_123", "notes": "hunter2hunter2"})).await;
    let changed = operations(&host, "update_customer_notes").await;
    let changes = ["begin", "transaction-execute", "commit", "execute"];
    assert!(told(&changed).iter().any(|(_, name, _)| changes.contains(name)), "{changed:#?}");

    // What is refused by the statement's checks has its digest, and what the handle refuses is told too.
    let statement = "DELETE FROM customers";
    host.result("write_read_only", json!({"statement": statement, "through": "query"})).await;
    let refused = operations(&host, "write_read_only").await;
    assert_eq!((refused.len(), &refused[0]["operation"]), (1, &json!("query")), "{refused:#?}");
    assert!(["denied", "invalid"].contains(&refused[0]["outcome"].as_str().unwrap()), "{refused:#?}");
    let digest = remit_domain::operation::Digest::of_text(statement).to_string();
    assert_eq!(refused[0]["digest"], json!(digest), "it is the statement's");
    host.result("write_read_only", json!({"statement": statement, "through": "execute"})).await;
    assert_eq!(told(&operations(&host, "write_read_only").await), [("primary", "write", "denied")]);

    // A flood of different statements makes no larger a record than so.
    host.result("wait_many", json!({"count": 10})).await;
    assert!(operations(&host, "wait_many").await.len() <= 65);

    let (status, page) = answer(host.get("/api/audit?source=ecommerce")).await;
    assert_eq!(status, 200, "{page:#}");
    let events = page["events"].as_array().unwrap();
    assert!(!events.is_empty() && events.iter().all(|event| event["name"] == "check_inventory"), "{page:#}");
    assert_eq!(events[0]["operations"], json!(asked));
    assert_eq!(answer(host.get("/api/audit?source=no%20name")).await.0, 422);

    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("an operation on a source") && log.contains(&digest), "at the level debug");
    let (code, out, log) = run(host.root.path(), &["audit", "verify", "--profile", "demo", "--state", "var"]);
    assert_eq!(code, Some(0), "{out}{log}");
    let rows = format!("{:?}", host.audit().await);
    assert!(!rows.contains("hunter2") && !rows.contains("DELETE FROM"), "digests and sizes, no values");
}

#[tokio::test]
async fn a_source_that_is_down_is_answered_for_at_once_and_is_back_by_itself() {
    let host = Setup::demo().settings("sources:\n  breakerFailures: 2\n  breakerMs: 50\n  breakerLongestMs: 100\n");
    let host = host.start().await;
    let ask = async || host.tool("check_inventory", product()).await;
    host.shopify.faults().always(Fault::status(503));
    let mut last = (0, Value::Null);
    eventually("the breaker opens", async || {
        last = ask().await;
        last.1.to_string().contains("not asked for a moment")
    })
    .await;
    let (status, body) = last;
    assert_eq!((status, &body["code"], &body["retriable"]), (503, &json!("source_unavailable"), &json!(true)));
    // Nobody else is held back by it.
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    let (_, health) = answer(host.get("/api/health/datasources/sales")).await;
    let shop = &health["data_sources"]["ecommerce"];
    assert_eq!(shop["status"], "error", "{health:#}");
    assert!(["open", "half-open"].contains(&shop["breaker"].as_str().unwrap()), "{shop:#}");
    assert!(shop["lastError"]["at"].is_string() && shop["lastError"]["code"].is_string(), "{shop:#}");
    assert!(!shop.to_string().contains("127.0.0.1"), "no host names: {shop:#}");
    let primary = &health["data_sources"]["primary"];
    assert_eq!((&primary["status"], &primary["breaker"]), (&json!("healthy"), &json!("closed")), "{primary:#}");
    assert!(primary["latencyMs"].is_number() && primary.get("lastError").is_none(), "{primary:#}");

    host.shopify.faults().clear();
    eventually("it is used again", async || ask().await.0 == 200).await;
    let (_, health) = answer(host.get("/api/health/datasources/sales")).await;
    assert_eq!(health["data_sources"]["ecommerce"]["breaker"], "closed", "{health:#}");
}

#[tokio::test]
async fn an_answer_that_may_be_given_again_is_until_something_is_written() {
    let host = Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            let sources = &mut context["dataSources"];
            sources["apis"]["ecommerce"]["cache"] = json!({"seconds": 3600});
            sources["databases"]["primary"]["cache"] = json!({"seconds": 3600});
        })
        .start()
        .await;
    let stock = async || host.result("check_inventory", product()).await;
    let first = stock().await;
    let requests = host.shopify.received().len();
    assert_eq!(stock().await, first);
    assert_eq!(host.shopify.received().len(), requests, "the shop was not asked again");
    let again = operations(&host, "check_inventory").await;
    assert!(again.iter().all(|it| it["cached"] == it["count"]), "{again:#?}");

    // What is written through the host is seen at once.
    let notes = async || {
        let found = host.result("search_customers", json!({"query": "cust_123", "limit": 1})).await;
        found.to_string()
    };
    let before = notes().await;
    assert_eq!(notes().await, before);
    let kept = operations(&host, "search_customers").await;
    assert_eq!((&kept[0]["cached"], &kept[0]["outcome"]), (&json!(1), &json!("ok")), "{kept:#?}");
    host.result("update_customer_notes", json!({"customer_id": "cust_123", "notes": "seen at once"})).await;
    notes().await;
    let fresh = operations(&host, "search_customers").await;
    assert!(fresh[0].get("cached").is_none(), "{fresh:#?}");
    let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
    let figures = figures.as_str().unwrap().to_owned();
    assert!(figures.contains(r#"remit_source_cache_total{family="sql",outcome="hit"}"#), "{figures}");
}

#[tokio::test]
async fn what_is_kept_is_not_given_to_who_may_not_read_any_more() {
    let host = Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            context["dataSources"]["apis"]["ecommerce"]["cache"] = json!({"seconds": 3600});
        })
        .start()
        .await;
    host.result("check_inventory", product()).await;
    crate::host::patch_json(&host.root.path().join("configs/contexts/techstart.json"), |context| {
        let sales = &mut context["agentMappings"]["sales"];
        sales["dataSources"] = json!(["primary"]);
        sales["permissions"] = json!({"primary": ["read", "write"]});
        sales.as_object_mut().unwrap().remove("only");
    });
    host.signal("HUP");
    let ask = async || host.tool("check_inventory", product()).await;
    eventually("the revocation is in force", async || ask().await.0 == 403).await;
    assert_eq!(ask().await.1["code"], "permission_denied");
}

#[tokio::test]
async fn a_bad_wire_leaves_no_place_taken() {
    let server = remit_upstreams::shopify::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let proxy = Proxy::before(server.addr()).await.unwrap();
    let host = Setup::demo()
        .env("TECHSTART_SHOPIFY_URI", format!("http://{}", proxy.addr()))
        .settings("sources:\n  apiTimeoutMs: 500\n  breakerMs: 20\n  breakerLongestMs: 50\n")
        .start()
        .await;
    let ask = async || host.tool("check_inventory", product()).await;
    assert_eq!(ask().await.0, 200);
    for trouble in [Trouble::Reset, Trouble::BlackHole, Trouble::HalfClose] {
        proxy.set(trouble);
        let (status, body) = ask().await;
        assert_eq!((status, &body["code"]), (503, &json!("source_unavailable")), "{trouble:?} {body:#}");
        proxy.set(Trouble::None);
        eventually("it is used again", async || ask().await.0 == 200).await;
    }
    assert_eq!(figure(&host, r#"remit_source_operations_under_way{family="http-api"}"#).await, 0.0);
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    assert_eq!(figure(&host, r#"remit_source_connections_lent{family="sql"}"#).await, 0.0);
    assert_eq!(figure(&host, "remit_sandbox_places_taken").await, 0.0);
}
