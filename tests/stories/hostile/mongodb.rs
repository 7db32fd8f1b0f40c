//! A guest that attacks a MongoDB source: what was refused never reaches the wire.

use remit_upstreams::mongo::Recorder;
use serde_json::{Value, json};

use super::{setup, still_well};
use crate::host::patch_json;

#[tokio::test]
async fn a_read_handle_of_mongodb_sends_no_change_and_no_code() {
    let server = Recorder::start().await.unwrap();
    let host = setup(&["hostile-calls"])
        .hostile("calls")
        .env("TECHSTART_MONGO_URI", format!("mongodb://{}/events", server.address()))
        .edit(|root| {
            patch_json(&root.join("configs/profiles/demo/techstart.json"), |patch| {
                patch["dataSources"]["databases"].as_object_mut().unwrap().remove("analytics");
            });
        })
        .patch("configs/contexts/techstart.json", |context| {
            let sales = &mut context["agentMappings"]["sales"];
            sales["dataSources"] = json!(["primary", "analytics"]);
            sales["permissions"] = json!({"primary": ["read"], "analytics": ["read"]});
            sales["only"] = json!({"analytics": {"collections": ["mine"]}});
        })
        .start()
        .await;
    let tried = async |through: &str, collection: &str, json: Value| {
        let asked = json!({"through": through, "collection": collection, "json": json});
        host.result("write_documents", asked).await.to_string()
    };
    let code = json!({"$where": "function() { while (true) {} }"});
    for (through, collection, json) in [
        ("insert", "mine", json!({"_id": "new"})),
        ("update", "mine", json!({"$set": {"a": 1}})),
        ("upsert", "mine", json!({"_id": "new"})),
        ("delete", "mine", json!({"_id": {"$exists": true}})),
        ("aggregate", "mine", json!([{"$out": "mine"}])),
        ("aggregate", "mine", json!([{"$facet": {"a": [{"$merge": {"into": "mine"}}]}}])),
        ("start_aggregate", "mine", json!([{"$match": code}])),
        ("aggregate", "mine", json!([{"$project": {"x": {"$function": {"body": "1", "args": [], "lang": "js"}}}}])),
        ("aggregate", "mine", json!([{"$unionWith": "payroll"}])),
        ("aggregate", "mine", json!([{"$lookup": {"from": "payroll", "pipeline": [], "as": "x"}}])),
        ("aggregate", "mine", json!([{"$currentOp": {}}])),
        ("find", "mine", json!({"$or": [{"a": 1}, code]})),
        ("start_find", "mine", json!({"$expr": {"$function": {}}})),
        ("count", "mine", code.clone()),
        ("find", "payroll", json!({})),
        ("count", "payroll", json!({})),
        ("aggregate", "payroll", json!([])),
    ] {
        let tried = tried(through, collection, json.clone()).await;
        assert!(tried.contains("Denied") && !tried.contains("allowed:"), "{through} {json}: {tried}");
    }
    assert_eq!(server.received().len(), 0, "{:?}", server.received());

    let found = tried("find", "mine", json!({"a": 1})).await;
    assert!(found.contains("allowed:"), "{found}");
    let received = server.received();
    let names: Vec<_> = received.iter().filter_map(|command| command.keys().next()).collect();
    assert_eq!(names, ["find"]);
    assert!(received[0].contains_key("maxTimeMS") && received[0].contains_key("limit"), "{received:?}");
    still_well(&host).await;
}
