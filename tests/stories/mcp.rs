//! The MCP door by hand: what a client sees on the wire. Clients made by others are in `clients`.

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, run};

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
    assert_eq!(host.http.delete(&url).send().await.unwrap().status(), 405);
    let foreign = host.http.post(&url).header("Origin", "https://evil.example").body("{}");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    // curl's own `Accept: */*` is taken for what the specification wants.
    let request = host.http.post(&url).header("Accept", "*/*").header("Content-Type", "application/json");
    let (status, body) = answer(request.body(r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#)).await;
    assert_eq!((status, &body["id"]), (200, &json!(7)), "{body:#}");
}

#[tokio::test]
async fn a_header_that_names_another_tenant_than_the_path_is_refused() {
    let host = Setup::demo()
        .edit(|root| {
            std::fs::write(root.join("configs/contexts/other.json"), r#"{"company": {"name": "Other"}}"#).unwrap();
        })
        .start()
        .await;
    for (header, status) in [("techstart", 200), ("other", 403), ("", 403), ("techstart ", 200)] {
        let request = host.http.post(format!("{}/mcp/techstart/sales", host.url)).header("X-Context", header);
        let request = request.header("Content-Type", "application/json");
        let (got, body) = answer(request.body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)).await;
        assert_eq!(got, status, "{header:?}: {body:#}");
    }
    // One tenant's agents and conversations are not another's.
    let request = host.http.post(format!("{}/api/sales/chat", host.url)).header("X-Context", "other");
    let (status, body) = answer(request.body(r#"{"message": "hello"}"#)).await;
    assert_eq!((status, &body["code"]), (404, &json!("unknown_agent")));
}

#[tokio::test]
async fn a_call_under_way_is_answered_although_the_host_is_told_to_end() {
    let mut host = Setup::demo().start().await;
    host.shopify.faults().always(remit_upstreams::Fault::Delay(std::time::Duration::from_millis(700)));
    let call = json!({"name": "check_inventory", "arguments": {"product_id": "1"}});
    let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).to_string();
    let request =
        host.http.post(format!("{}/mcp/techstart/sales", host.url)).header("Content-Type", "application/json");
    let request = tokio::spawn(request.header("Accept", "application/json, text/event-stream").body(asked).send());
    eventually("the call is under way", async || host.shopify.most_at_once() > 0).await;
    let (host, code) = tokio::task::spawn_blocking(move || {
        let (code, _) = host.stop();
        (host, code)
    })
    .await
    .unwrap();
    assert_eq!(code, Some(0));
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert!(body["result"].is_object(), "{body:#}");
    let rows = host.audit().await;
    assert!(rows.iter().any(|row| row.name == "check_inventory" && row.outcome != "cancelled"), "{rows:?}");
}

/// Reads a stream of events up to the next JSON-RPC message.
async fn next(response: &mut reqwest::Response, read: &mut String) -> Value {
    loop {
        if let Some((event, rest)) = read.split_once("\n\n") {
            let data: String = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
            let parsed = serde_json::from_str(data.trim());
            *read = rest.to_owned();
            if let Ok(message) = parsed {
                return message;
            }
            continue;
        }
        let piece = response.chunk().await.unwrap().unwrap_or_else(|| panic!("the stream ended: {read}"));
        read.push_str(&String::from_utf8(piece.to_vec()).unwrap().replace("\r\n", "\n"));
    }
}

/// Takes the tools away from the agent, or gives them back.
fn map(host: &Host, set: &str) {
    crate::host::patch_json(&host.root.path().join("configs/contexts/techstart.json"), |context| {
        context["agentMappings"]["sales"]["mcpServer"] = json!(set);
    });
}

#[tokio::test]
async fn clients_of_the_older_era_are_told_when_the_lists_change() {
    let mut host = Setup::demo().start().await;
    let listen = |accept: &str| host.http.get(format!("{}/mcp/techstart/sales", host.url)).header("Accept", accept);
    let (status, body) = answer(listen("application/json")).await;
    assert_eq!((status, &body["error"]["data"]["code"]), (406, &json!("not_acceptable")));
    let (status, _) =
        answer(host.http.get(format!("{}/mcp/nobody/sales", host.url)).header("Accept", "text/event-stream")).await;
    assert_eq!(status, 404);

    let mut stream = listen("text/event-stream").send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let mut read = String::new();
    for set in ["techstart-crm-of-tomorrow", "techstart-crm"] {
        map(&host, set);
        let mut told = [next(&mut stream, &mut read).await, next(&mut stream, &mut read).await];
        told.sort_by_key(|notice| notice["method"].to_string());
        let [resources, tools] = told;
        assert_eq!(resources["method"], "notifications/resources/list_changed");
        assert_eq!(tools["method"], "notifications/tools/list_changed");
    }
    // Whoever listens holds nobody up: the host ends at once, and the stream with it.
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    assert!(!log.contains("requests were still under way"), "{log}");
    while stream.chunk().await.is_ok_and(|piece| piece.is_some()) {}
}

/// Asks for notices as the newer era does.
fn subscribe(host: &Host) -> reqwest::RequestBuilder {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let wanted = json!({"_meta": meta, "notifications": {"toolsListChanged": true}});
    let asked = json!({"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": wanted});
    let request = host.http.post(format!("{}/mcp/techstart/sales", host.url)).body(asked.to_string());
    request
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "subscriptions/listen")
}

#[tokio::test]
async fn clients_of_the_newer_era_are_told_when_the_lists_change() {
    let host = Setup::demo().start().await;
    let mut stream = subscribe(&host).send().await.unwrap();
    assert_eq!(stream.status(), 200, "{:?}", stream.text().await);
    let mut read = String::new();
    let acknowledged = next(&mut stream, &mut read).await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged", "{acknowledged:#}");
    map(&host, "techstart-crm-of-tomorrow");
    let told = next(&mut stream, &mut read).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told:#}");
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7, "{told:#}");
}

#[tokio::test]
async fn an_activated_version_is_told_to_those_whose_lists_it_changes() {
    let host = Setup::demo().start().await;
    let listen = |agent: &str| {
        host.http.get(format!("{}/mcp/techstart/{agent}", host.url)).header("Accept", "text/event-stream").send()
    };
    let mut sales = listen("sales").await.unwrap();
    let taken = super::uploads::crm_otherwise(&host).await;
    let told = next(&mut sales, &mut String::new()).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{taken:#}");
}

#[tokio::test]
async fn whoever_listens_is_heard_no_more_once_their_key_is_revoked() {
    let host = Setup::demo().start().await;
    let keys = |verb: &[&str]| {
        let (code, out, log) =
            run(host.root.path(), &[&["keys", "--profile", "demo", "--state", "var"], verb].concat());
        assert_eq!(code, Some(0), "{log}");
        out.trim().to_owned()
    };
    let create = || keys(&["create", "--tenant", "techstart", "--role", "agent"]);
    let (kept, revoked) = (create(), create());
    let listen = |token: &str| {
        let request = host.http.get(format!("{}/mcp/techstart/sales", host.url));
        request.header("Accept", "text/event-stream").bearer_auth(token)
    };
    // A host that had no keys takes a moment to see its first.
    eventually("keys are asked for", async || listen("").send().await.unwrap().status() == 401).await;
    let mut streams = Vec::new();
    for request in [listen(&kept), listen(&revoked), subscribe(&host).bearer_auth(&revoked)] {
        let stream = request.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push((stream, String::new()));
    }
    let told = |at: usize, said: &Value| match at {
        0 => assert_eq!(said["method"], "notifications/tools/list_changed", "{said:#}"),
        _ => assert_eq!(said["error"]["data"]["code"], "unauthorized", "{said:#}"),
    };
    let (newer, read) = &mut streams[2];
    assert_eq!(next(newer, read).await["method"], "notifications/subscriptions/acknowledged");
    keys(&["revoke", revoked.split('_').nth(1).unwrap()]);
    // Whatever changes is told to none but the one who may still ask.
    crate::host::patch_json(&host.root.path().join("configs/contexts/techstart.json"), |context| {
        context["agentMappings"]["sales"]["mcpServer"] = json!("techstart-crm-of-tomorrow");
    });
    for (at, (stream, read)) in streams.iter_mut().enumerate() {
        told(at, &next(stream, read).await);
    }
    for (stream, _) in streams.iter_mut().skip(1) {
        while stream.chunk().await.unwrap().is_some() {}
    }
    // Without any change it shows as well, some moments later.
    keys(&["revoke", kept.split('_').nth(1).unwrap()]);
    let (stream, read) = &mut streams[0];
    loop {
        let said = next(stream, read).await;
        if said["method"].is_null() {
            told(1, &said);
            break;
        }
    }
    while stream.chunk().await.unwrap().is_some() {}
}
