//! Guests that burn, hoard, crash, or wait for ever.

use futures::future::join_all;
use serde_json::{Value, json};

use super::{PLACES_TAKEN, figure, host, places_are_free, refused, set_limits, setup, still_well};
use crate::host::{Host, eventually};

#[tokio::test]
async fn guests_that_burn_hoard_or_crash_are_stopped_and_nothing_else_is() {
    let host = host().await;
    for (tool, parameters, status, code, said) in [
        ("spin", json!({}), 500, "plugin_limit", "cpuTimeMs (300 ms)"),
        ("recurse", json!({}), 500, "plugin_limit", "stackBytes"),
        ("trap", json!({}), 500, "plugin_trapped", "hostile-calls failed"),
        ("end", json!({"how": "panic"}), 500, "plugin_trapped", "hostile-calls failed"),
        ("end", json!({"how": "abort"}), 500, "plugin_trapped", "hostile-calls failed"),
        ("end", json!({"how": "unreachable"}), 500, "plugin_trapped", "hostile-calls failed"),
        ("end", json!({"how": "out_of_bounds"}), 500, "plugin_trapped", "hostile-calls failed"),
        // It ends itself, not the host, and an end is no answer, however well it ends.
        ("end", json!({"how": "exit_well"}), 500, "plugin_trapped", "hostile-calls failed"),
        ("end", json!({"how": "exit_badly"}), 500, "plugin_trapped", "hostile-calls failed"),
        ("big_output", json!({"mib": 1}), 500, "plugin_limit", "outputBytes (1048576 bytes)"),
        ("big_output", json!({"mib": 3}), 500, "plugin_limit", "hostCallBytes (2097152 bytes)"),
        ("big_output", json!({"mib": 64}), 500, "plugin_limit", "memoryBytes (33554432 bytes)"),
        ("deep_output", json!({"depth": 100_000}), 500, "plugin_bad_answer", "not JSON"),
        ("bad_output", json!({"kind": "wrong_type"}), 500, "plugin_bad_answer", "output schema"),
        ("bad_output", json!({"kind": "no_json"}), 500, "plugin_bad_answer", "not JSON"),
        ("bad_output", json!({"kind": "no_object"}), 500, "plugin_bad_answer", "not a JSON object"),
        ("bad_output", json!({"kind": "nothing"}), 500, "plugin_bad_answer", "no structured answer"),
    ] {
        refused(&host, tool, parameters, status, code, said).await;
        still_well(&host).await;
    }
    // A guest that takes what it can get gets what the limit leaves, and no more.
    let grown = host.result("grow", json!({"mib": 1_000})).await;
    assert!((1..32).contains(&grown["mib"].as_u64().unwrap()), "{grown:#}");
    // A guest that talks without end is not heard beyond its allowance; one that does nothing else is stopped.
    host.result("flood", json!({"count": 1_000})).await;
    let (status, body) = host.tool("flood", json!({"count": u32::MAX})).await;
    assert_eq!((status, body["code"].as_str()), (500, Some("plugin_limit")), "{body:#}");
    still_well(&host).await;
    places_are_free(&host).await;
}

#[tokio::test]
async fn what_a_guest_hands_over_or_asks_for_is_bounded() {
    let host = host().await;
    const MIB: u64 = 1 << 20;
    // More at once than the host takes in, by any way in.
    for what in ["log", "progress", "statement", "parameter", "name"] {
        refused(
            &host,
            "shout",
            json!({"what": what, "bytes": 3 * MIB}),
            500,
            "plugin_limit",
            "hostCallBytes (2097152 bytes)",
        )
        .await;
        still_well(&host).await;
    }
    // Less than that, but more than any of them needs: cut, or refused with words.
    for (what, bytes, said) in [
        ("log", MIB, "allowed"),
        ("progress", MIB, "allowed"),
        ("statement", MIB, "Invalid"),
        ("parameters", 10_000, "Invalid"),
        ("name", MIB, "NotGranted"),
        ("random", 1_000, "allowed: 1000 bytes"),
    ] {
        let told = host.result("shout", json!({"what": what, "bytes": bytes})).await.to_string();
        assert!(told.contains(said) || told.contains("Limit"), "{what}: {told:.300}");
        assert!(told.len() < 1_000, "{what}: {} bytes come back", told.len());
    }
    // More random bytes than anybody needs.
    refused(&host, "shout", json!({"what": "random", "bytes": 16 * MIB}), 500, "plugin_trapped", "failed").await;
    still_well(&host).await;
}

#[tokio::test]
async fn handles_and_operations_are_counted() {
    let host = host().await;
    for (tool, count) in [("hoard", 1_000_000), ("hoard_timers", 1_000_000), ("wait_many", 5_000)] {
        refused(&host, tool, json!({"count": count}), 500, "plugin_limit", "handles (1000 handles)").await;
        still_well(&host).await;
    }
    let waited = host.result("wait_many", json!({"count": 40})).await;
    assert_eq!((&waited["answered"], &waited["limited"]), (&json!(16), &json!(24)), "{waited:#}");
    places_are_free(&host).await;
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_is_ended_by_the_clock() {
    let host = host().await;
    let waiting = ["clock", "query", "pending"].map(|on| host.tool("wait", json!({ "on": on })));
    for (status, body) in join_all(waiting).await {
        assert_eq!((status, body["code"].as_str()), (504, Some("deadline")), "{body:#}");
    }
    // Asking without end whether it is there is not waiting.
    let (status, body) = host.tool("wait", json!({"on": "ready"})).await;
    assert_eq!((status, body["code"].as_str()), (500, Some("plugin_limit")), "{body:#}");
    let (status, body) = host.tool("sleep", json!({"milliseconds": 60_000})).await;
    assert_eq!((status, body["code"].as_str()), (504, Some("deadline")), "{body:#}");
    places_are_free(&host).await;
    // The queries ended with their calls: all connections are there for others.
    join_all((0..20).map(|_| still_well(&host))).await;
}

#[tokio::test]
async fn what_a_call_leaves_behind_is_undone() {
    let host = host().await;
    let abandoned = async |host: &Host| {
        let asked = json!({"query": "abandoned", "limit": 1, "include_inactive": true});
        host.result("search_customers", asked).await["total"].clone()
    };
    for (what, status) in [("transaction", 200), ("loop", 500), ("trap", 500), ("queries", 200)] {
        let (got, body) = host.tool("abandon", json!({"what": what, "count": 16})).await;
        assert_eq!(got, status, "{what}: {body:#}");
        assert_eq!(abandoned(&host).await, json!(0), "{what}: its change is undone");
        // Nothing is locked: somebody else changes the same table.
        host.result("update_customer_notes", json!({"customer_id": "cust_123", "notes": what})).await;
    }
    join_all((0..20).map(|_| still_well(&host))).await;
    places_are_free(&host).await;
}

#[tokio::test]
async fn while_guests_spin_a_well_behaved_call_is_answered() {
    let host = host().await;
    let spinning = join_all((0..8).map(|_| host.tool("spin", json!({}))));
    let calling = async {
        for _ in 0..20 {
            still_well(&host).await;
        }
    };
    let (spun, ()) = tokio::join!(spinning, calling);
    assert!(spun.iter().all(|(_, body)| body["code"] == "plugin_limit"), "{spun:?}");
}

#[tokio::test]
async fn the_hosts_memory_comes_back() {
    let host = host().await;
    let attacks = async |rounds: usize| {
        for _ in 0..rounds {
            let at_once = [
                host.tool("grow", json!({"mib": 1_000})),
                host.tool("big_output", json!({"mib": 64})),
                host.tool("big_output", json!({"mib": 3})),
                host.tool("hoard", json!({"count": 100_000})),
                host.tool("shout", json!({"what": "log", "bytes": 8 << 20})),
                host.tool("trap", json!({})),
                host.tool("grow", json!({"mib": 1_000})),
                host.tool("wait_many", json!({"count": 5_000})),
            ];
            let answers: Vec<(u16, Value)> = join_all(at_once).await;
            assert!(answers.iter().all(|(status, _)| [200, 500].contains(status)), "{answers:?}");
        }
        places_are_free(&host).await;
    };
    // The first rounds fill caches, the allocator's reserves and the pool's warm slots.
    attacks(5).await;
    let before = host.resident();
    attacks(25).await;
    let grown = host.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} MiB stay after what was attacked", grown >> 20);
    assert_eq!(figure(&host, PLACES_TAKEN).await, 0.0);
}

#[tokio::test]
async fn an_answer_that_grows_on_its_way_to_the_guest_is_cut_off() {
    // Computing is not what it is to meet, however busy the machine.
    let setup = setup(&["hostile-calls"]).hostile("calls");
    let host = setup.edit(|root| set_limits(root, "cpuTimeMs: 20000")).start().await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) SELECT 1 AS";
    let statement = format!("{many} \"{}\" FROM n", "a".repeat(8_000));
    let tried = host.result("write_read_only", json!({"statement": statement, "through": "rows"})).await.to_string();
    assert!(tried.contains("max-result-bytes"), "{tried:.400}");
    still_well(&host).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_no_place() {
    use tokio::io::AsyncWriteExt as _;
    let host = host().await;
    let arguments =
        json!({"name": "flood", "arguments": {"count": 4_000_000_000_u32}, "_meta": {"progressToken": "p"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}).to_string();
    let address = host.url.strip_prefix("http://").unwrap().to_owned();
    let mut silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /mcp/techstart/sales HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    silent.write_all(head.as_bytes()).await.unwrap();
    silent.write_all(body.as_bytes()).await.unwrap();
    eventually("the guest runs", async || figure(&host, PLACES_TAKEN).await > 0.0).await;
    // Though nobody reads.
    places_are_free(&host).await;
}
