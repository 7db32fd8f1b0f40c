//! Hostile guests: each states the safe outcome, and the host goes on.

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer};

/// A host whose sales agent has the hostile tools beside its own, with tight limits.
async fn host() -> Host {
    Setup::demo()
        .hostile("calls")
        .patch("configs/contexts/techstart.json", |context| {
            context["agentMappings"]["sales"]["mcpServer"] = json!(["techstart-crm", "hostile-calls"]);
            context["agentMappings"]["sales"]["dataSources"] = json!(["primary", "crm", "ecommerce"]);
            context["agentMappings"]["sales"]["permissions"] =
                json!({"primary": ["read", "write"], "crm": ["read"], "ecommerce": ["read"]});
        })
        .edit(|root| {
            let file = root.join("configs/host.yaml");
            let limits =
                "\nlimits:\n  wallTimeMs: 3000\n  cpuTimeMs: 300\n  memoryBytes: 33554432\n  outputBytes: 1048576\n";
            let text = std::fs::read_to_string(&file).unwrap();
            let text: String = text.split("\nlimits:").next().unwrap().to_owned() + limits;
            std::fs::write(&file, text).unwrap();
        })
        .start()
        .await
}

/// After whatever happened, a tool answers as ever.
async fn still_well(host: &Host) {
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
}

#[tokio::test]
async fn guests_that_burn_hoard_or_crash_are_stopped_and_nothing_else_is() {
    let host = host().await;
    for (tool, parameters, status, code, said) in [
        ("spin", json!({}), 500, "plugin_limit", "cpuTimeMs (300 ms)"),
        ("recurse", json!({}), 500, "plugin_limit", "stackBytes"),
        ("trap", json!({}), 500, "plugin_trapped", "hostile-calls failed"),
        ("big_output", json!({"mib": 1}), 500, "plugin_limit", "outputBytes (1048576 bytes)"),
        ("big_output", json!({"mib": 3}), 500, "plugin_limit", "hostCallBytes (2097152 bytes)"),
        ("big_output", json!({"mib": 64}), 500, "plugin_limit", "memoryBytes (33554432 bytes)"),
        ("deep_output", json!({"depth": 100_000}), 500, "plugin_bad_answer", "not JSON"),
        ("bad_output", json!({"kind": "wrong_type"}), 500, "plugin_bad_answer", "output schema"),
        ("bad_output", json!({"kind": "no_json"}), 500, "plugin_bad_answer", "not JSON"),
        ("bad_output", json!({"kind": "no_object"}), 500, "plugin_bad_answer", "not a JSON object"),
        ("bad_output", json!({"kind": "nothing"}), 500, "plugin_bad_answer", "no structured answer"),
        ("forge", json!({"index": 0}), 500, "plugin_trapped", "hostile-calls failed"),
        ("forge", json!({"index": 77}), 500, "plugin_trapped", "hostile-calls failed"),
        ("hoard", json!({"count": 100_000}), 500, "plugin_trapped", "hostile-calls failed"),
    ] {
        let (got, body) = host.tool(tool, parameters).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{tool}: {body:#}");
        assert!(body["error"].as_str().unwrap().contains(said), "{tool}: {body:#}");
        for internal in ["wasm", "secrets in its message", "backtrace"] {
            assert!(!body.to_string().contains(internal), "no internals: {body:#}");
        }
        still_well(&host).await;
    }
    // A guest that takes what it can get gets what the limit leaves, and no more.
    let grown = host.result("grow", json!({"mib": 1_000})).await;
    assert!((1..32).contains(&grown["mib"].as_u64().unwrap()), "{grown:#}");
    // A guest that talks without end is not heard beyond its allowance.
    host.result("flood", json!({"count": 1_000})).await;
    // A guest that waits is ended by the wall clock.
    let (got, body) = host.tool("sleep", json!({"milliseconds": 60_000})).await;
    assert_eq!((got, body["code"].as_str()), (504, Some("deadline")), "{body:#}");
    still_well(&host).await;
}

#[tokio::test]
async fn while_guests_spin_a_well_behaved_call_is_answered() {
    let host = host().await;
    let spinning = futures::future::join_all((0..8).map(|_| host.tool("spin", json!({}))));
    let calling = async {
        for _ in 0..20 {
            still_well(&host).await;
        }
    };
    let (spun, ()) = tokio::join!(spinning, calling);
    assert!(spun.iter().all(|(_, body)| body["code"] == "plugin_limit"), "{spun:?}");
}

#[tokio::test]
async fn a_guest_reaches_nothing_of_the_machine() {
    let host = host().await;
    let found = host.result("environment", json!({})).await;
    assert_eq!((&found["variables"], &found["arguments"]), (&json!(0), &json!(0)), "{found:#}");
    for closed in ["root", "passwd", "written", "socket", "lookup"] {
        assert_ne!(found[closed], "allowed", "{found:#}");
    }
    // Not mapped, mapped but not declared, and not there at all: no difference to a guest.
    for name in ["analytics", "ecommerce", "nothing", ""] {
        let tried = host.result("open_ungranted", json!({"name": name})).await.to_string();
        assert!(!tried.contains("taken") && tried.contains("has: false"), "{name}: {tried}");
    }
}

#[tokio::test]
async fn a_read_handle_writes_nothing_in_any_way() {
    let host = host().await;
    let before = customers(&host).await;
    for statement in [
        "DELETE FROM customers",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "SELECT 1; DELETE FROM customers",
        "INSERT INTO announcements (title) VALUES ('x')",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "ATTACH DATABASE 'stolen.db' AS stolen",
        "VACUUM INTO 'stolen.db'",
        "CREATE TABLE loot (a)",
        "REINDEX",
        "SELECT load_extension('x')",
        "SELECT writefile('stolen', 'x')",
        "/*!50000 DELETE */ FROM customers",
        "",
        "BEGIN",
    ] {
        for through in ["execute", "start_execute", "query", "rows", "start_rows", "transaction"] {
            let tried =
                host.result("write_read_only", json!({"statement": statement, "through": through})).await.to_string();
            let refused = ["Denied", "Invalid", "NotFound"].iter().any(|case| tried.contains(case));
            assert!(refused && !tried.contains("allowed:"), "{through} {statement}: {tried}");
        }
    }
    assert_eq!(customers(&host).await, before);
    let stolen = walk(host.root.path());
    assert!(!stolen.iter().any(|file| file.contains("stolen")), "{stolen:?}");
    // The refusals are on record.
    let mut host = host;
    host.stop();
    let denied = host.audit().await.into_iter().filter(|row| row.name == "write_read_only");
    assert!(denied.into_iter().any(|row| row.sources.to_string().contains("\"denied\"")));
}

#[tokio::test]
async fn an_answer_that_grows_on_its_way_to_the_guest_is_cut_off() {
    let host = host().await;
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
    let taken = async || {
        let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
        !figures.as_str().unwrap().contains("remit_sandbox_places_taken 0")
    };
    let mut seen = false;
    for _ in 0..800 {
        let now = taken().await;
        if seen && !now {
            break;
        }
        seen |= now;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(seen && !taken().await, "the guest ran, and its place is free though nobody reads");
}

#[tokio::test]
async fn an_api_path_does_not_leave_its_base() {
    let host = host().await;
    host.shopify.forget();
    for path in [
        "//127.0.0.1/x",
        "/etc",
        "..",
        "../admin",
        "a/../../b",
        "%2e%2e/x",
        "a/%2E%2e/%2e%2e/b",
        "http://127.0.0.1/",
        "\\\\host\\x",
        "a\\b",
        "x?y=1",
        "x#y",
        "x y",
        "x\u{0}",
        "products.json\r\nX-Evil: 1",
    ] {
        let tried = host.result("escape_api", json!({"path": path})).await.to_string();
        assert!(tried.contains("Invalid") && !tried.contains("allowed:"), "{path:?}: {tried}");
    }
    assert!(host.shopify.received().is_empty(), "{:?}", host.shopify.received());
    // What looks like a user part is a folder of the base here.
    host.result("escape_api", json!({"path": "@127.0.0.1/x"})).await;
    let received: Vec<String> = host.shopify.received().into_iter().map(|it| it.path).collect();
    assert_eq!(received, ["/admin/api/2024-01/@127.0.0.1/x"]);
    host.shopify.forget();
    for header in ["Authorization", "X-Shopify-Access-Token", "Host", "Cookie", "Transfer-Encoding"] {
        let tried = host.result("escape_api", json!({"path": "shop.json", "header": [header, "x"]})).await.to_string();
        assert!(!tried.contains("allowed:"), "{header}: {tried}");
    }
    let write = host.result("escape_api", json!({"path": "products.json", "method": "post"})).await.to_string();
    assert!(write.contains("Denied"), "{write}");
    assert!(host.shopify.received().is_empty(), "{:?}", host.shopify.received());
    let fine = host.result("escape_api", json!({"path": "shop.json"})).await.to_string();
    assert!(fine.contains("allowed: 200"), "{fine}");
    assert!(!fine.contains("127.0.0.1"), "no host names: {fine}");
}

#[tokio::test]
async fn operations_under_way_are_counted() {
    let host = host().await;
    let waited = host.result("wait_many", json!({"count": 40})).await;
    assert_eq!((&waited["answered"], &waited["limited"]), (&json!(16), &json!(24)), "{waited:#}");
    still_well(&host).await;
}

#[tokio::test]
async fn components_that_ask_for_more_or_never_describe_themselves_are_not_taken_in() {
    let mut host = Setup::demo()
        .hostile("imports")
        .hostile("describe")
        .hostile("start")
        .edit(|root| {
            std::fs::write(root.join("plugins/dist/truncated.wasm"), b"\0asm\x0d\0\x01\0broken").unwrap();
            std::fs::write(root.join("plugins/dist/empty.wasm"), b"").unwrap();
            std::fs::write(root.join("plugins/dist/module.wasm"), b"\0asm\x01\0\0\0").unwrap();
        })
        .start()
        .await;
    still_well(&host).await;
    let (_, log) = host.stop();
    for (file, reason) in [
        ("hostile-imports.wasm", "remit:data/files@0.1.0"),
        ("hostile-describe.wasm", "did not describe itself"),
        ("hostile-start.wasm", "did not describe itself"),
        ("truncated.wasm", "not a component"),
        ("empty.wasm", "not a component"),
        ("module.wasm", "not a component"),
    ] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains(reason)), "{file}: {reason}\n{log}");
    }
}

#[tokio::test]
async fn a_cache_entry_that_is_not_ours_is_never_loaded() {
    let mut host = Setup::demo().start().await;
    still_well(&host).await;
    host.stop();
    let entries: Vec<String> = walk(&host.root.path().join("var/cache"));
    assert!(!entries.is_empty());
    for entry in entries {
        let mut bytes = std::fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        std::fs::write(&entry, bytes).unwrap();
    }
    host.restart();
    still_well(&host).await;
    let (_, log) = host.stop();
    assert!(log.contains("not ours or was damaged"), "{log}");
}

async fn customers(host: &Host) -> Value {
    let (status, body) = answer(host.get("/api/mcp/tools/sales")).await;
    assert_eq!(status, 200, "{body:#}");
    host.result("search_customers", json!({"query": "", "limit": 1000, "include_inactive": true})).await["total"]
        .clone()
}

/// The paths of all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}
