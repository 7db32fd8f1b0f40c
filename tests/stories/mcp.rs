//! The MCP door by hand: what a client sees on the wire. Clients made by others are in `clients`.

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer};

async fn rpc(host: &Host, method: &str, params: Value) -> (u16, Value) {
    send(host, "techstart/sales", &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string())
        .await
}

async fn send(host: &Host, path: &str, body: &str) -> (u16, Value) {
    let request = host.http.post(format!("{}/mcp/{path}", host.url)).header("Content-Type", "application/json");
    answer(request.header("Accept", "application/json, text/event-stream").body(body.to_owned())).await
}

#[tokio::test]
async fn a_client_initializes_lists_calls_and_reads() {
    let host = Setup::demo().start().await;
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let (status, body) = rpc(&host, "initialize", hello).await;
    assert_eq!((status, &body["result"]["protocolVersion"]), (200, &json!("2025-11-25")), "{body:#}");
    assert_eq!(body["result"]["serverInfo"]["name"], "techstart/sales");

    let (_, body) = rpc(&host, "tools/list", json!({})).await;
    let tools = body["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 6);
    assert_eq!(tools[0]["name"], "search_customers");
    assert!(
        tools.iter().all(|tool| tool["inputSchema"]["type"] == "object" && tool["outputSchema"]["type"] == "object")
    );

    let (_, body) =
        rpc(&host, "tools/call", json!({"name": "search_customers", "arguments": {"query": "ACME", "limit": 2}})).await;
    let result = &body["result"];
    assert_ne!(result["isError"], json!(true), "{body:#}");
    assert_eq!(result["structuredContent"]["total"], 2);
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"], "the same as text, for clients that read only that");

    let (_, body) = rpc(&host, "resources/list", json!({})).await;
    assert_eq!(body["result"]["resources"][1]["uri"], "remit://techstart-crm/sales_playbook");
    let (_, body) = rpc(&host, "resources/read", json!({"uri": "remit://techstart-crm/sales_playbook"})).await;
    assert_eq!(body["result"]["contents"][0]["mimeType"], "text/markdown");
}

#[tokio::test]
async fn refusals_are_of_the_protocol_or_of_the_tool() {
    let host = Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            context["agentMappings"]["sales"]["permissions"]["primary"] = json!(["read"]);
        })
        .start()
        .await;
    let (_, body) = rpc(&host, "tools/call", json!({"name": "no_such", "arguments": {}})).await;
    assert_eq!(body["error"]["code"], -32602, "{body:#}");
    let (_, body) = rpc(&host, "resources/read", json!({"uri": "remit://techstart-crm/none"})).await;
    assert_eq!(body["error"]["code"], -32602, "{body:#}");
    for (arguments, code) in [
        (json!({"name": "search_customers", "arguments": {"limit": 0}}), "invalid_arguments"),
        (
            json!({"name": "update_customer_notes", "arguments": {"customer_id": "cust_123", "notes": "x"}}),
            "permission_denied",
        ),
    ] {
        let (_, body) = rpc(&host, "tools/call", arguments).await;
        assert_eq!(body["result"]["isError"], true, "{body:#}");
        let said: Value = serde_json::from_str(body["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(said["code"], code);
    }
    for (path, code) in [("nobody/sales", "unknown_tenant"), ("techstart/pirates", "unknown_agent")] {
        let (status, body) = send(&host, path, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
        assert_eq!((status, &body["error"]["data"]["code"]), (404, &json!(code)));
    }
}

#[tokio::test]
async fn what_is_not_a_message_is_answered_by_the_protocol() {
    let host = Setup::demo().start().await;
    let deep = "[".repeat(50_000);
    for (body, code) in [
        ("{\"jsonrpc\": ", -32700),
        ("", -32700),
        (deep.as_str(), -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        ("42", -32600),
    ] {
        let (status, answer) = send(&host, "techstart/sales", body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{body:.40}: {answer:#}");
    }
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(2 << 20));
    assert_eq!(send(&host, "techstart/sales", &large).await.0, 413);
    let url = format!("{}/mcp/techstart/sales", host.url);
    assert_eq!(host.http.get(&url).send().await.unwrap().status(), 405);
    let foreign = host.http.post(&url).header("Origin", "https://evil.example").body("{}");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    // curl's own `Accept: */*` is taken for what the specification wants.
    let request = host.http.post(&url).header("Accept", "*/*").header("Content-Type", "application/json");
    let (status, body) = answer(request.body(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#)).await;
    assert_eq!((status, &body["id"]), (200, &json!(7)), "{body:#}");
}
