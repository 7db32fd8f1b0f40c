//! The same tools over a real MariaDB, with the account that README tells the operator to make.

use remit_upstreams::{data::techstart, demo, mariadb::Mariadb};
use serde_json::json;

use crate::host::{Setup, patch_json};

#[tokio::test]
async fn the_same_tools_answer_over_mariadb() {
    let Some(server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("skipped: MariaDB is not installed (Debian: mariadb-server)");
        return;
    };
    let data = techstart::dataset();
    demo::seed_mysql(&server.url(), &data).await.unwrap();
    server.account("techstart_user", "SELECT, INSERT, UPDATE, DELETE").await.unwrap();
    let url = server.url_of("techstart_user");
    let host = Setup::demo()
        .env("TECHSTART_DB_URI", url)
        .edit(|root| {
            patch_json(&root.join("configs/profiles/demo/techstart.json"), |patch| {
                patch["dataSources"]["databases"].as_object_mut().unwrap().remove("primary");
            });
        })
        .start()
        .await;

    let found = host.result("search_customers", json!({"query": "ACME Corp", "include_inactive": true})).await;
    let expected = data.customers.iter().filter(|customer| customer.company == "ACME Corp").count().min(10);
    assert_eq!(found["total"], expected, "{found:#}");

    let orders = host.result("get_customer_orders", json!({"customer_id": "cust_123", "limit": 1000})).await;
    let of = |customer: &str| data.orders.iter().filter(|order| order.customer_id == customer).count();
    assert_eq!(orders["orders"].as_array().unwrap().len(), of("cust_123"));
    let value = host.result("calculate_customer_ltv", json!({"customer_id": "cust_123"})).await;
    assert!(value["current_ltv"].as_f64().unwrap() > 0.0, "{value:#}");

    let linked = data.customers.iter().find(|customer| customer.salesforce_id.is_some()).unwrap();
    host.salesforce.forget();
    let notes = "O'Brien said: 100 % \u{1F600}; DROP TABLE customers";
    host.result("update_customer_notes", json!({"customer_id": linked.id, "notes": notes, "interaction_type": "call"}))
        .await;
    let tasks = host.salesforce.received();
    assert!(tasks.iter().any(|task| task.path.ends_with("/sobjects/Task")), "a task at Salesforce: {tasks:?}");
    let kept = server.text("SELECT notes FROM customer_interactions ORDER BY id DESC LIMIT 1").await.unwrap();
    assert_eq!(kept, notes);
}
