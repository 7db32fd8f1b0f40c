//! Every limit of a call, met by a guest: what the client is told, with the limit's name and value.
//!
//! The limits of uploads are met in `host/server/tests/uploads.rs`.

use futures::future::join_all;
use remit_domain::limits::Limit;
use serde_json::{Value, json};

use super::{places_are_free, refused, set_limits, setup, still_well};
use crate::host::Setup;

/// Each so tight that a guest meets it before the others.
const TIGHT: &str = "wallTimeMs: 4000
  cpuTimeMs: 1000
  memoryBytes: 33554432
  tableElements: 1000
  stackBytes: 524288
  handles: 100
  pending: 4
  hostCalls: 2000
  hostCallBytes: 1048576
  transferBytes: 4194304
  rows: 50
  logBytes: 10000
  outputBytes: 65536
  concurrentCalls: 2
  queuedCalls: 1
  queueTimeMs: 500";

/// A call that meets a limit, and what its client is told.
enum Told {
    /// Status, code and words of the refusal.
    Refused(&'static str, Value, u16, &'static str, &'static str),
    /// The guest itself is told, and tells.
    Guest(&'static str, Value, &'static str),
    /// By a story of its own.
    Apart,
}

fn met(limit: Limit) -> Told {
    use Told::{Apart, Guest, Refused};
    const LIMIT: &str = "plugin_limit";
    let hundred = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n";
    match limit {
        Limit::WallTime => {
            Refused("sleep", json!({"milliseconds": 60_000}), 504, "deadline", "wallTimeMs allows (4000 ms)")
        }
        Limit::CpuTime => Refused("spin", json!({}), 500, LIMIT, "cpuTimeMs (1000 ms)"),
        Limit::Memory => Refused("big_output", json!({"mib": 64}), 500, LIMIT, "memoryBytes (33554432 bytes)"),
        Limit::TableElements => Refused("table-trap", json!({}), 500, LIMIT, "tableElements (1000 elements)"),
        Limit::Stack => Refused("recurse", json!({}), 500, LIMIT, "stackBytes (524288 bytes)"),
        Limit::Handles => Refused("hoard", json!({"count": 1_000}), 500, LIMIT, "handles (100 handles)"),
        Limit::Pending => Guest("wait_many", json!({"count": 10}), "max-pending"),
        Limit::HostCalls => Refused("wait", json!({"on": "ready"}), 500, LIMIT, "hostCalls (2000 calls)"),
        Limit::HostCallBytes => {
            let asked = json!({"what": "statement", "bytes": 2 << 20});
            Refused("shout", asked, 500, LIMIT, "hostCallBytes (1048576 bytes)")
        }
        Limit::TransferBytes => Refused("flood", json!({"count": 900}), 500, LIMIT, "transferBytes (4194304 bytes)"),
        Limit::Rows => Guest("write_read_only", json!({"statement": hundred, "through": "rows"}), "max-rows"),
        Limit::OutputBytes => {
            let asked = json!({"kind": "uri", "bytes": 100_000});
            Refused("bad_content", asked, 500, LIMIT, "outputBytes (65536 bytes)")
        }
        Limit::LogBytes | Limit::ConcurrentCalls | Limit::QueuedCalls | Limit::QueueTime => Apart,
        // Of workflows: `stories/history.rs`, and `run/tests/large.rs` in `remit-workflow`.
        Limit::StepBytes | Limit::InlineBytes | Limit::RunBytes | Limit::Runs | Limit::RunDays => Apart,
    }
}

fn tight() -> Setup {
    setup(&["hostile-calls", "hostile-table-trap"])
        .hostile("calls")
        .hostile("table-trap")
        .edit(|root| set_limits(root, TIGHT))
}

#[tokio::test]
async fn whoever_meets_a_limit_is_told_which_and_its_value() {
    let host = tight().start().await;
    for limit in Limit::ALL {
        match met(limit) {
            Told::Refused(tool, parameters, status, code, said) => {
                refused(&host, tool, parameters, status, code, said).await;
            }
            Told::Guest(tool, parameters, said) => {
                let told = host.result(tool, parameters).await.to_string();
                let value = if limit == Limit::Rows { "50" } else { "4" };
                assert!(told.contains(said) && told.contains(&format!("allowed: {value}")), "{limit:?}: {told}");
            }
            Told::Apart => {}
        }
        still_well(&host).await;
    }
    places_are_free(&host).await;
}

#[tokio::test]
async fn a_log_is_cut_and_the_call_goes_on() {
    let mut host = tight().start().await;
    // Each line is cut to 4 KiB: two of them are within 10,000 bytes.
    host.result("flood", json!({"count": 10})).await;
    let (_, log) = host.stop();
    assert_eq!(log.lines().filter(|line| line.contains("a guest says")).count(), 2, "{log:.2000}");
}

#[tokio::test]
async fn who_finds_no_place_is_told_whether_the_queue_or_the_wait_was_full() {
    // Two places, one for a tenant, and one more of its calls may wait.
    let host = tight().start().await;
    let calls = join_all((0..3).map(|_| host.tool("sleep", json!({"milliseconds": 1_500})))).await;
    let mut told: Vec<(u16, &str, &str)> = calls
        .iter()
        .map(|(status, body)| (*status, body["code"].as_str().unwrap_or(""), body["error"].as_str().unwrap_or("")))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (200, "", ""),
            (429, "busy", "too much at once: queueTimeMs allows 500 ms"),
            (429, "busy", "too much at once: queuedCalls allows 1 calls"),
        ]
    );
    still_well(&host).await;
    places_are_free(&host).await;
}

#[tokio::test]
async fn a_tenants_own_lower_value_is_the_one_that_holds() {
    let host = tight()
        .patch("configs/contexts/techstart.json", |context| {
            context["limits"] = json!({"cpuTimeMs": 100, "handles": 20, "outputBytes": 2048});
        })
        .start()
        .await;
    let long = json!({"kind": "uri", "bytes": 4_096});
    for (tool, parameters, said) in [
        ("spin", json!({}), "cpuTimeMs (100 ms)"),
        ("hoard", json!({"count": 100}), "handles (20 handles)"),
        ("bad_content", long, "outputBytes (2048 bytes)"),
    ] {
        refused(&host, tool, parameters, 500, "plugin_limit", said).await;
    }
}
