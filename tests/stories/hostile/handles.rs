//! Handles used out of their time, or made up.

use serde_json::json;

use super::{host, refused, still_well};

#[tokio::test]
async fn a_handle_is_good_for_what_it_was_given_for_and_no_longer() {
    let host = host().await;
    for how in ["after_drop", "dropped_twice", "of_another_kind", "of_a_freed_place"] {
        refused(&host, "misuse", json!({ "how": how }), 500, "plugin_trapped", "hostile-calls failed").await;
        still_well(&host).await;
    }
    let twice = host.result("misuse", json!({"how": "answered_twice"})).await.to_string();
    assert!(twice.contains("Invalid"), "an answer is collected once: {twice}");
}

#[tokio::test]
async fn a_handle_that_is_made_up_is_nobodys() {
    let host = host().await;
    for index in [0, 77, 0x7fff_ffff, u64::from(u32::MAX)] {
        refused(&host, "forge", json!({ "index": index }), 500, "plugin_trapped", "hostile-calls failed").await;
    }
    still_well(&host).await;
}

#[tokio::test]
async fn nothing_lasts_beyond_its_call() {
    let host = host().await;
    for _ in 0..5 {
        let kept = host.result("remember", json!({})).await;
        assert_eq!(kept["before"], json!(0), "no state of an earlier call: {kept:#}");
        let index = kept["handle"].clone();
        refused(&host, "forge", json!({ "index": index }), 500, "plugin_trapped", "hostile-calls failed").await;
    }
}
