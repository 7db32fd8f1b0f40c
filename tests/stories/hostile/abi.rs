//! Guests written by hand, which no compiler would make: they break the rules between a component and its
//! host where these are made of numbers.

use serde_json::json;

use super::{LIMITS, figure, not_refused, places_are_free, refused, set_limits, setup, still_well};

/// The guests that load and attack when they are called, with the code and the words that answer them.
const CALLED: [(&str, &str, &str); 15] = [
    ("realloc", "plugin_limit", "cpuTimeMs"),
    ("afterwards", "plugin_limit", "cpuTimeMs"),
    ("fill", "plugin_limit", "cpuTimeMs"),
    ("asks-again", "plugin_limit", "hostCalls (2000 calls)"),
    ("realloc-beyond", "plugin_trapped", "failed"),
    ("beyond", "plugin_trapped", "failed"),
    ("nowhere", "plugin_trapped", "failed"),
    ("no-text", "plugin_trapped", "failed"),
    ("no-case", "plugin_trapped", "failed"),
    // It lies beyond the memory, which is found out before anything is copied.
    ("endless-list", "plugin_trapped", "failed"),
    ("same-text", "plugin_limit", "hostCallBytes"),
    ("table-trap", "plugin_limit", "tableElements"),
    ("handle-dropped", "plugin_trapped", "failed"),
    ("handle-dropped-twice", "plugin_trapped", "failed"),
    ("handle-of-another-kind", "plugin_trapped", "failed"),
];

#[tokio::test]
async fn answers_and_handles_made_of_wrong_numbers_are_refused() {
    const SETS: [&str; 15] = [
        "hostile-realloc",
        "hostile-afterwards",
        "hostile-fill",
        "hostile-asks-again",
        "hostile-realloc-beyond",
        "hostile-beyond",
        "hostile-nowhere",
        "hostile-no-text",
        "hostile-no-case",
        "hostile-endless-list",
        "hostile-same-text",
        "hostile-table-trap",
        "hostile-handle-dropped",
        "hostile-handle-dropped-twice",
        "hostile-handle-of-another-kind",
    ];
    let setup = CALLED.iter().fold(setup(&SETS), |setup, (name, _, _)| setup.hostile(name));
    // So few calls that who does nothing else meets this limit, and not that of its computing.
    let host = setup.edit(|root| set_limits(root, &format!("{LIMITS}\n  hostCalls: 2000"))).start().await;
    for (name, code, said) in CALLED {
        let (status, body) = host.tool(name, json!({})).await;
        assert_eq!((status, body["code"].as_str()), (500, Some(code)), "{name}: {body:#}");
        assert!(body["error"].as_str().unwrap().contains(said), "{name}: {body:#}");
        still_well(&host).await;
    }
    places_are_free(&host).await;
}

#[tokio::test]
async fn memories_and_tables_are_summed() {
    let host = setup(&["hostile-two-memories", "hostile-tables", "hostile-handle-forged"])
        .hostile("two-memories")
        .hostile("tables")
        .hostile("handle-forged")
        .start()
        .await;
    let counted = async |tool: &str| -> u64 {
        let counted = host.result(tool, json!({})).await;
        counted["n"].as_str().unwrap().parse().unwrap()
    };
    // Memories come in pages of 64 KiB: the limit of 32 MiB is 512 of them, however many memories.
    assert!((480..=512).contains(&counted("two-memories").await));
    let elements = counted("tables").await;
    assert!((1_000..=100_000).contains(&elements), "{elements}");
    refused(&host, "handle-forged", json!({}), 500, "plugin_trapped", "failed").await;
    still_well(&host).await;
}

#[tokio::test]
async fn what_is_too_large_or_never_ends_from_its_beginning_is_not_taken_in() {
    let names = ["start-section", "start-trap", "whole-memory", "whole-table", "two-memories-at-once"];
    let mut host = names.iter().fold(setup(&[]), |setup, name| setup.hostile(name)).start().await;
    still_well(&host).await;
    let loaded = figure(&host, "remit_plugins_loaded").await;
    places_are_free(&host).await;
    let (_, log) = host.stop();
    assert_eq!(loaded, not_refused(&host, &log));
    for (name, reason) in [
        ("start-section", "cpuTimeMs allows 300 ms"),
        ("start-trap", "did not describe itself"),
        ("whole-memory", "memory has a minimum byte size of 4294967296"),
        ("whole-table", "10000000"),
        ("two-memories-at-once", "byte size"),
    ] {
        let file = format!("hostile-{name}.wasm");
        assert!(log.lines().any(|line| line.contains(&file) && line.contains(reason)), "{name}: {reason}\n{log}");
    }
}
