//! Which tables an agent's statements may name, of a source that is one dataset and of one that is all.

use super::*;

#[tokio::test]
async fn only_tables_in_scope_are_named() {
    let replies = || {
        vec![
            (Wish::DryRun, vec![would("SELECT", 10)]),
            (Wish::Begin, vec![begun()]),
            (Wish::Page, vec![page(&[1], None)]),
        ]
    };
    let token = || Credentials { token: Some("t".to_owned().into()), ..Credentials::default() };
    let stand_in = StandIn::start(replies()).await;
    let scope = Scope::only(["orders".to_owned(), "lab.runs".to_owned()]);
    let narrow = Ground::of(patient(), kind(stand_in.url(), token()), scope.clone()).await.unwrap();
    let Kind::BigQuery(warehouse) = kind(stand_in.url(), token()) else { panic!("another kind") };
    let whole = Kind::BigQuery(Warehouse { dataset: None, ..warehouse });
    let project = Ground::of(patient(), whole, scope).await.unwrap();
    for (ground, statement, admitted) in [
        (&narrow, "SELECT n FROM orders", true),
        (&narrow, "SELECT n FROM sales.orders", true),
        (&narrow, "SELECT n FROM `acme.sales.orders`", true),
        (&narrow, "SELECT n FROM acme.sales.orders", true),
        (&narrow, "WITH x AS (SELECT n FROM orders) SELECT n FROM x", true),
        (&narrow, "SELECT n FROM orders, UNNEST(orders.items) AS item", true),
        (&narrow, "SELECT n FROM customers", false),
        (&narrow, "SELECT n FROM ORDERS", false),
        (&narrow, "SELECT n FROM lab.runs", false),
        (&narrow, "SELECT n FROM lab.orders", false),
        (&narrow, "SELECT n FROM `other.sales.orders`", false),
        (&narrow, "SELECT n FROM orders WHERE n IN (SELECT n FROM customers)", false),
        (&narrow, "WITH customers AS (SELECT n FROM customers) SELECT n FROM customers", false),
        (&narrow, "SELECT n FROM (WITH customers AS (SELECT 1 AS n) SELECT n FROM customers), customers", false),
        (&narrow, "SELECT n FROM orders o, o.items", false),
        (&narrow, "SELECT n FROM `orders*`", false),
        (&narrow, "SELECT n FROM INFORMATION_SCHEMA.TABLES", false),
        (&narrow, "SELECT n FROM sales.INFORMATION_SCHEMA.TABLES", false),
        (&narrow, "SELECT n FROM `sales.INFORMATION_SCHEMA.TABLES`", false),
        (&project, "SELECT n FROM lab.runs", true),
        (&project, "SELECT n FROM acme.lab.runs", true),
        (&project, "SELECT n FROM sales.orders", false),
        (&project, "SELECT n FROM runs", false),
        (&project, "SELECT n FROM other.lab.runs", false),
        (&project, "SELECT n FROM `region-eu`.INFORMATION_SCHEMA.JOBS", false),
    ] {
        let result = ground.query(statement, &[]).await;
        assert_eq!(result.is_ok(), admitted, "{statement}: {result:?}");
        assert!(admitted || matches!(result, Err(Error::Denied(_))), "{statement}: {result:?}");
    }
    for statement in [
        "DELETE FROM customers WHERE TRUE",
        "UPDATE customers SET n = 1 WHERE TRUE",
        "INSERT INTO customers (n) SELECT n FROM orders",
        "INSERT INTO orders (n) SELECT n FROM customers",
        "MERGE customers USING orders ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        "MERGE orders USING customers ON FALSE WHEN NOT MATCHED THEN INSERT ROW",
        "DELETE FROM orders WHERE n IN (SELECT n FROM customers)",
    ] {
        assert_eq!(case(narrow.execute(statement, &[]).await), "denied", "{statement}");
    }
}
