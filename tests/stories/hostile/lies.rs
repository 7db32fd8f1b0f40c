//! Guests that lie: in what they say of themselves, in how they fail, and in what they answer.

use serde_json::{Value, json};

use super::{figure, forged, host, not_refused, places_are_free, refused, set_limits, setup, still_well, take_in};
use crate::host::{Host, Setup, answer};

#[tokio::test]
async fn a_description_that_lies_is_not_believed() {
    let names = forged("lies");
    let taken = names.clone();
    let mut host = setup(&[])
        .edit(move |root| {
            take_in(root, "lies", &taken);
            set_limits(root, "wallTimeMs: 2000\n  cpuTimeMs: 500\n  memoryBytes: 33554432");
        })
        .start()
        .await;
    still_well(&host).await;
    let loaded = figure(&host, "remit_plugins_loaded").await;
    places_are_free(&host).await;
    let (_, log) = host.stop();
    let said = |name: &str, reason: &str| {
        log.lines().any(|line| line.contains(&format!("/{name}.wasm\"")) && line.contains(reason))
    };
    // The truth is taken in, and what is dear to check but sound.
    assert_eq!(loaded, not_refused(&host, &log));
    assert!(!["truth", "schema-that-is-slow"].iter().any(|name| said(name, "not a plugin")), "{log}");
    for name in names.iter().filter(|name| !["truth", "schema-that-is-slow"].contains(&name.as_str())) {
        assert!(said(name, "not a plugin"), "{name} is named with what is wrong with it:\n{log}");
    }
    for (name, reason) in [
        ("another-name", "it calls itself `techstart-crm`, unlike its file"),
        ("ten-thousand-tools", "it has 10000 tools; 128 are allowed"),
        ("two-of-a-name", "two tools are called `twin`"),
        ("tool-with-a-long-name", "a name that is not 1 to 128 characters"),
        ("tool-without-a-name", "a name that is not 1 to 128 characters"),
        ("tool-in-other-letters", "a name that is not 1 to 128 characters"),
        ("a-megabyte-of-text", "the description of `told` has more than 4096 bytes"),
        ("a-megabyte-of-advice", "the instructions has more than"),
        ("schema-of-no-json", "not a JSON Schema"),
        ("schema-of-a-number", "not a JSON Schema"),
        ("schema-of-a-list", "not that of an object"),
        ("schema-elsewhere", "refers to nothing within it"),
        ("schema-in-a-file", "refers to nothing within it"),
        ("schema-in-a-circle", "in a circle"),
        ("schema-that-doubles", "too large"),
        ("schema-of-a-megabyte", "has more than 65536 bytes"),
        ("schema-of-patterns", "more than 64 patterns"),
        ("schema-of-large-patterns", "its patterns take more than 1048576 bytes"),
        ("patterns-by-the-thousand", "it has 192 patterns in its schemas; 128 are allowed"),
        ("patterns-that-add-up", "bytes of patterns in its schemas; 2097152 are allowed"),
        ("a-wait", "wallTimeMs allows 2000 ms"),
        ("a-hoard", "memoryBytes allows 33554432 bytes"),
        ("a-flood-of-text", "hostCallBytes allows 8388608 bytes"),
        ("needs-twice", "needs `primary` twice"),
        ("reads-and-writes", "is only read, and needs to write"),
    ] {
        assert!(said(name, reason), "{name}: {reason}\n{log}");
    }
    // No name or text of a stranger begins a line of the log.
    assert!(!log.lines().any(|line| line.starts_with("with a line") || line.starts_with("X-Evil")), "{log}");
}

#[tokio::test]
async fn a_failure_in_words_of_others_is_the_guests_own() {
    let host = host().await;
    for (kind, status, code) in [
        ("unknown", 500, "plugin_bad_answer"),
        ("not_granted_no_name", 500, "plugin_bad_answer"),
        ("blames_no_name", 500, "plugin_bad_answer"),
        ("cancelled", 500, "plugin_bad_answer"),
        ("suspended", 500, "plugin_bad_answer"),
    ] {
        refused(&host, "bad_error", json!({ "kind": kind }), status, code, "").await;
    }
    // It may say that it was refused, or that a source failed, in so many words.
    for kind in ["refuses_at_length", "finds_many_problems", "blames_at_length", "blames_another", "not_granted"] {
        let (status, body) = host.tool("bad_error", json!({ "kind": kind })).await;
        assert!((400..600).contains(&status), "{kind}: {status}");
        let size = body.to_string().len();
        assert!(size < 128 << 10, "{kind}: {size} bytes are passed on");
    }
    still_well(&host).await;
}

#[tokio::test]
async fn every_part_of_an_answer_counts() {
    let host = host().await;
    // 1.5 MiB where 1 MiB is allowed, wherever they are put.
    for kind in ["date", "audience", "mime_type", "uri"] {
        refused(&host, "bad_content", json!({"kind": kind, "bytes": 1_572_864}), 500, "plugin_limit", "outputBytes")
            .await;
    }
    // So many pieces cost the host more than their bytes.
    let (status, body) = host.tool("bad_content", json!({"kind": "pieces", "bytes": 1_000_000})).await;
    assert_eq!((status, body["code"].as_str()), (500, Some("plugin_limit")), "{:.400}", body.to_string());
    // A priority that is no number breaks no answer.
    let (status, body) = mcp(&host, "bad_content", json!({"kind": "priority", "bytes": 1})).await;
    assert_eq!((status, &body["result"]["content"][0]["text"]), (200, &json!("short")), "{body:#}");
    still_well(&host).await;
}

/// A tenant chooses the schema and the arguments, so it chooses what checking costs, up to a bound.
#[tokio::test]
async fn a_schema_that_is_slow_to_check_is_not_checked_without_end() {
    let host = Setup::demo()
        .edit(|root| take_in(root, "lies", &["schema-that-is-slow".to_owned()]))
        .patch("configs/contexts/techstart.json", |context| {
            context["agentMappings"]["support"]["mcpServer"] = json!("schema-that-is-slow");
        })
        .start()
        .await;
    let asked = async |count: usize| {
        let parameters = json!({"numbers": vec![7; count]});
        let asked = json!({"agent_type": "support", "tool_name": "told", "parameters": parameters});
        answer(host.post("/api/mcp/test", asked.to_string())).await
    };
    let (status, body) = asked(100).await;
    assert_eq!(status, 200, "{body:#}");
    for (status, body) in futures::future::join_all((0..4).map(|_| asked(50_000))).await {
        assert_eq!((status, body["code"].as_str()), (422, Some("invalid_arguments")), "{body:#}");
        assert!(body["error"].as_str().unwrap().contains("too large to be checked"), "{body:#}");
    }
    still_well(&host).await;
}

/// `tools/call` over MCP, which passes on the content itself.
async fn mcp(host: &Host, tool: &str, arguments: Value) -> (u16, Value) {
    let params = json!({"name": tool, "arguments": arguments});
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let request =
        host.http.post(format!("{}/mcp/techstart/sales", host.url)).header("Content-Type", "application/json");
    answer(request.header("Accept", "application/json, text/event-stream").body(asked.to_string())).await
}
