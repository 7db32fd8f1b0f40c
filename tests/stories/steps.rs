//! The steps that come with the host, in the workflows that are shipped: each changes what it says in the
//! demo's data, at the stand-ins, and among the messages.

use remit_upstreams::{sheets, shopify};
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer};

async fn execute(host: &Host, name: &str, inputs: Value) -> Value {
    let asked = host.post(&format!("/api/workflows/execute/{name}"), json!({"inputs": inputs}).to_string());
    let (status, body) = answer(asked).await;
    assert_eq!((status, &body["status"]), (200, &json!("completed")), "{body:#}");
    body
}

/// What the shop itself says.
async fn shop(host: &Host, path: &str) -> Value {
    let url = format!("{}/admin/api/{}/{path}", host.shopify.url(), shopify::VERSION);
    let (status, body) = answer(host.http.get(url).header("X-Shopify-Access-Token", shopify::TOKEN)).await;
    assert_eq!(status, 200, "{body:#}");
    body
}

/// The messages that would have been sent, newest last.
async fn messages(host: &Host) -> Vec<Value> {
    let (status, body) = answer(host.get("/api/notifications")).await;
    assert_eq!(status, 200, "{body:#}");
    body["notifications"].as_array().unwrap().iter().rev().cloned().collect()
}

/// An order of the shop with this payment.
async fn order(host: &Host, payment: &str) -> Value {
    let found = shop(host, &format!("orders.json?status=any&limit=1&financial_status={payment}")).await;
    found["orders"][0].clone()
}

#[tokio::test]
async fn an_order_of_the_shop_is_marked_or_given_to_people() {
    let host = Setup::demo().start().await;
    let paid = order(&host, "paid").await;
    let id = paid["id"].clone();
    let gid = format!("gid://shopify/Order/{id}");
    let body = execute(&host, "shopify-order-processor", json!({"order_id": gid, "review_above": 10_000_000})).await;
    assert_eq!(body["outputs"], json!({"order": paid["name"], "review": false}));
    let now = shop(&host, &format!("orders/{id}.json")).await["order"].clone();
    assert_eq!(now["tags"], "approved");
    assert_eq!(now["note_attributes"], json!([{"name": "status", "value": "processing"}]));
    assert_eq!(messages(&host).await, Vec::<Value>::new());
    let body = execute(&host, "shopify-order-processor", json!({"order_id": id.to_string(), "review_above": 0})).await;
    assert_eq!(body["outputs"]["review"], true);
    assert_eq!(shop(&host, &format!("orders/{id}.json")).await["order"]["tags"], "review");
    let told = messages(&host).await;
    assert_eq!((told.len(), &told[0]["room"], &told[0]["kind"]), (1, &json!("#order-review"), &json!("post")));
    assert!(told[0]["text"].as_str().unwrap().contains(paid["total_price"].as_str().unwrap()), "{told:#?}");
}

#[tokio::test]
async fn a_day_is_counted_into_the_spreadsheet() {
    let host = Setup::demo().start().await;
    let body = execute(&host, "daily-sales-report", json!({"day": "2026-09-29"})).await;
    assert_eq!(body["outputs"]["range"], "Daily!A4:C4");
    let url = format!("{}/v4/spreadsheets/{}/values/Daily!A4:C4", host.sheets.url(), sheets::REPORT);
    let (_, row) = answer(host.http.get(url).bearer_auth(host.tokens.issued.give())).await;
    let row = &row["values"][0];
    assert_eq!(row[0], "2026-09-29");
    assert!(row[1].as_f64().unwrap() > 0.0 && row[2].as_f64().unwrap() > 0.0, "{row}");
    let told = messages(&host).await;
    assert_eq!((&told[0]["room"], told.len()), (&json!("#techstart-sales"), 1));
}

#[tokio::test]
async fn support_hands_over_to_sales() {
    let host = Setup::demo().start().await;
    let inputs = json!({
        "customer_id": "cust_789", "opportunity_type": "upsell",
        "details": "Customer scaling 10x, needs higher API limits <!channel>",
    });
    let body = execute(&host, "support-to-sales-handoff", inputs).await;
    assert!(body["outputs"]["interaction_id"].is_i64(), "{body:#}");
    let told = messages(&host).await;
    assert_eq!((&told[0]["room"], &told[0]["agent"]), (&json!("#techstart-sales"), &json!("support")));
    assert!(told[0]["text"].as_str().unwrap().contains("limits &lt;!channel>"), "{told:#?}");
    let body = execute(
        &host,
        "customer-support-alert",
        json!({"customer_id": "cust_789", "issue": "403", "priority": "high"}),
    )
    .await;
    let told = messages(&host).await;
    let alert = told.iter().find(|message| message["id"] == body["outputs"]["message"]).unwrap();
    assert_eq!(alert["room"], "#techstart-support");
    assert!(alert["text"].as_str().unwrap().starts_with("HIGH: "), "{alert:#}");
    let unknown = json!({"inputs": {"customer_id": "cust_none", "opportunity_type": "x", "details": "y"}});
    let asked = host.post("/api/workflows/execute/support-to-sales-handoff", unknown.to_string());
    assert_eq!(answer(asked).await.1["status"], "failed", "nobody is nobody's referral");
}

#[tokio::test]
async fn the_seeds_hybrid_workflows_run_as_printed() {
    let host = Setup::demo().start().await;
    let id = order(&host, "paid").await["id"].clone();
    let inputs = json!({"customer_id": "cust_123", "order_id": id});
    let body = execute(&host, "intelligent-order-processing", inputs).await;
    let branch = body["outputs"]["auto_approve_or_flag"]["result"].as_bool().unwrap();
    let told = messages(&host).await;
    let now = shop(&host, &format!("orders/{id}.json")).await["order"].clone();
    match branch {
        true => assert_eq!(now["note_attributes"], json!([{"name": "status", "value": "processing"}])),
        false => assert_eq!(told[0]["room"], "#order-review"),
    }
    let inputs = json!({
        "customer_id": "cust_123", "order_id": id, "customer_email": "ann@manufacturing.example",
        "order_details": {"total": "1200.00", "items": 3},
    });
    let before = told.len();
    let body = execute(&host, "smart-order-processing", inputs).await;
    let told = messages(&host).await.split_off(before);
    match body["outputs"]["route_order"]["result"].as_bool().unwrap() {
        true => {
            let now = shop(&host, &format!("orders/{id}.json")).await["order"].clone();
            assert_eq!(now["tags"], "auto-approved,ai-processed");
            assert_eq!((&told[0]["kind"], &told[0]["to"]), (&json!("mail"), &json!(["ann@manufacturing.example"])));
        }
        false => {
            assert_eq!(told[0]["room"], "#fraud-review");
            let approve = format!("https://admin.techstart.com/orders/{id}/approve");
            assert_eq!(told[0]["blocks"][2]["elements"][0]["url"], approve);
        }
    }
    let lead = json!({"lead_email": "john@acmecorp.com", "company": "ACME Corp", "message": "Interested"});
    let before = messages(&host).await.len();
    let body = execute(&host, "intelligent-lead-qualification", lead).await;
    let told = messages(&host).await.split_off(before);
    let mail = told.iter().find(|message| message["kind"] == "mail").unwrap();
    let hot = body["outputs"]["route_based_on_score"]["result"] == true;
    assert_eq!(mail["template"], if hot { "high_value_lead" } else { "nurture_sequence_start" });
    assert_eq!((told.len(), &mail["to"]), (if hot { 2 } else { 1 }, &json!(["john@acmecorp.com"])));
}

#[tokio::test]
async fn a_step_gets_no_more_than_its_agents_mapping_gives() {
    let host = Setup::demo()
        .edit(|root| {
            let file = root.join("workflows/customers/techstart/sales/greedy.yml");
            let text = "name: greedy\nsteps:\n  - {id: a, type: database, config: {operation: warehouse.bigquery.query, query: SELECT 1}}\n";
            std::fs::write(file, text).unwrap();
        })
        .start()
        .await;
    let (status, body) = answer(host.post("/api/workflows/execute/greedy", "{}")).await;
    assert_ne!((status, &body["status"]), (200, &json!("completed")), "{body:#}");
    assert!(body.to_string().contains("warehouse") || status == 404, "{body:#}");
}
