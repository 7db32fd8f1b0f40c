//! The same tools over MongoDB's protocol, as the context has it without the demo's file of documents.

use remit_upstreams::{data::techstart, demo::ANALYTICS_COLLECTION, mongo::Emulator};
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, patch_json};

const DATABASE: &str = "events";

async fn host(server: &Emulator, collections: &'static [&'static str]) -> Host {
    Setup::demo()
        .env("TECHSTART_MONGO_URI", server.url(DATABASE))
        .edit(|root| {
            patch_json(&root.join("configs/profiles/demo/techstart.json"), |patch| {
                patch["dataSources"]["databases"].as_object_mut().unwrap().remove("analytics");
            });
        })
        .patch("configs/contexts/techstart.json", move |context| {
            context["agentMappings"]["sales"]["only"] = json!({"analytics": {"collections": collections}});
        })
        .start()
        .await
}

/// What calls have touched, and what became of them.
async fn outcome(host: &Host, tool: &str) -> String {
    let row = host.audit().await.into_iter().find(|row| format!("{row:?}").contains(tool));
    format!("{:?}", row.unwrap())
}

#[tokio::test]
async fn the_same_tools_answer_over_mongodb() {
    let Some(mut server) = Emulator::start_if_installed().await.unwrap() else {
        eprintln!("skipped: nx-27017 is not installed (`cargo xtask test --all` installs it)");
        return;
    };
    let data = techstart::dataset();
    server.seed(DATABASE, ANALYTICS_COLLECTION, &data.analytics).await.unwrap();
    let known = data.analytics.iter().find(|document| document["customer_id"] == "cust_123").unwrap();
    let asked = json!({"customer_id": "cust_123"});

    let owner = host(&server, &[ANALYTICS_COLLECTION, "others"]).await;
    let value = owner.result("calculate_customer_ltv", asked.clone()).await;
    assert_eq!(value["analytics"]["segment"], known["segment"], "{value:#}");
    assert_eq!(value["analytics"]["avg_orders_per_month"], known["avg_orders_per_month"], "{value:#}");
    assert!(value["projected_ltv"].as_f64().unwrap() > 0.0, "{value:#}");
    let (_, health) = answer(owner.get("/api/health/datasources/sales")).await;
    assert_eq!(health["data_sources"]["analytics"]["status"], "healthy", "{health:#}");
    let row = outcome(&owner, "calculate_customer_ltv").await;
    assert!(row.contains("analytics"), "{row}");

    // A mapping that names other collections finds this one closed, whatever is in it.
    let narrow = host(&server, &["others"]).await;
    let value = narrow.result("calculate_customer_ltv", asked.clone()).await;
    assert_eq!((&value["projected_ltv"], &value["analytics"]), (&Value::Null, &json!({})), "{value:#}");
    assert_eq!(value["projection_note"], "the analytics could not be read");

    // A server that is gone costs its own part of the answer and no more, and nobody learns where it was.
    server.kill().unwrap();
    let value = owner.result("calculate_customer_ltv", asked).await;
    assert_eq!(value["projection_note"], "the analytics could not be read", "{value:#}");
    let (_, health) = answer(owner.get("/api/health/datasources/sales")).await;
    assert!(!health.to_string().contains("127.0.0.1"), "{health:#}");
    assert_eq!(health["data_sources"]["analytics"]["status"], "error", "{health:#}");
}
