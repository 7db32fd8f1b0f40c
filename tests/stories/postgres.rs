//! The same tools over a real PostgreSQL, with the account that README tells the operator to make; and
//! a hostile guest before one that may do everything.

use remit_upstreams::{data::techstart, demo, postgres::Postgres};
use serde_json::json;

use super::hostile::setup;
use crate::host::{Setup, patch_json};

/// TechStart's `primary` on the server, in place of the demo's file.
fn on_postgres(setup: Setup, url: String) -> Setup {
    setup.env("TECHSTART_DB_URI", url).edit(|root| {
        patch_json(&root.join("configs/profiles/demo/techstart.json"), |patch| {
            patch["dataSources"]["databases"]["primary"] = json!({"type": "postgres"});
        });
    })
}

#[tokio::test]
async fn the_same_tools_answer_over_postgres() {
    let Some(server) = Postgres::start_if_installed().await.unwrap() else {
        eprintln!("skipped: PostgreSQL is not installed (Debian: postgresql)");
        return;
    };
    let data = techstart::dataset();
    demo::seed_postgres(&server.url(), &data).await.unwrap();
    assert!(demo::seed_postgres(&server.url(), &data).await.is_err(), "existing tables are left alone");
    server.account("techstart_user", "SELECT, INSERT, UPDATE, DELETE").await.unwrap();
    let host = on_postgres(Setup::demo(), server.url_of("techstart_user")).start().await;

    let found = host.result("search_customers", json!({"query": "ACME Corp", "include_inactive": true})).await;
    let expected = data.customers.iter().filter(|customer| customer.company == "ACME Corp").count().min(10);
    assert_eq!(found["total"], expected, "{found:#}");

    let orders = host.result("get_customer_orders", json!({"customer_id": "cust_123", "limit": 1000})).await;
    let of = |customer: &str| data.orders.iter().filter(|order| order.customer_id == customer).count();
    assert_eq!(orders["orders"].as_array().unwrap().len(), of("cust_123"));
    let value = host.result("calculate_customer_ltv", json!({"customer_id": "cust_123"})).await;
    assert!(value["current_ltv"].as_f64().unwrap() > 0.0, "{value:#}");

    let linked = data.customers.iter().find(|customer| customer.salesforce_id.is_some()).unwrap();
    let notes = "O'Brien said: 100 % \u{1F600}; DROP TABLE customers";
    host.result("update_customer_notes", json!({"customer_id": linked.id, "notes": notes, "interaction_type": "call"}))
        .await;
    let kept = server.text("SELECT notes FROM customer_interactions ORDER BY id DESC LIMIT 1").await.unwrap();
    assert_eq!(kept, notes);
}

#[tokio::test]
async fn what_is_refused_is_on_record_and_leaves_no_trace() {
    let Some(server) = Postgres::start_if_installed().await.unwrap() else {
        eprintln!("skipped: PostgreSQL is not installed (Debian: postgresql)");
        return;
    };
    demo::seed_postgres(&server.url(), &techstart::dataset()).await.unwrap();
    // A superuser: what the handle refuses is refused by the host.
    let hostile = setup(&["hostile-calls"]).hostile("calls").patch("configs/contexts/techstart.json", |context| {
        context["agentMappings"]["sales"]["only"] = json!({"primary": {"tables": ["customers"]}});
    });
    let mut host = on_postgres(hostile, server.url()).start().await;
    let asked = async |statement: &str| {
        host.result("write_read_only", json!({"statement": statement, "through": "rows"})).await.to_string()
    };
    let read = asked("SELECT COUNT(*) AS n FROM customers").await;
    assert!(read.contains("allowed:"), "{read}");
    for statement in [
        "SELECT COUNT(*) FROM orders",
        "SELECT COUNT(*) FROM customers WHERE id IN (SELECT customer_id FROM orders)",
        "WITH orders AS (SELECT * FROM orders) SELECT COUNT(*) FROM orders",
        "SELECT * FROM pg_authid",
        "SELECT * FROM information_schema.tables",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_create(4711)",
        "COPY customers TO PROGRAM 'touch /tmp/remit-stolen-by-postgres'",
        "SET TRANSACTION READ WRITE",
        "WITH gone AS (DELETE FROM customers RETURNING id) SELECT * FROM gone",
    ] {
        let tried = asked(statement).await;
        let refused = ["Denied", "Invalid"].iter().any(|case| tried.contains(case));
        assert!(refused && !tried.contains("allowed:"), "{statement}: {tried}");
    }
    let count = format!("{}", techstart::dataset().customers.len());
    assert_eq!(server.text("SELECT count(*)::text FROM customers").await.unwrap(), count);
    assert_eq!(server.text("SELECT count(*)::text FROM pg_largeobject_metadata").await.unwrap(), "0");
    assert!(!std::path::Path::new("/tmp/remit-stolen-by-postgres").exists());
    host.stop();
    let tried: Vec<_> = host.audit().await.into_iter().filter(|row| row.name == "write_read_only").collect();
    assert_eq!(tried.len(), 11, "each is on record");
    assert!(tried.iter().any(|row| row.sources.to_string().contains("\"denied\"")), "{tried:?}");
}
