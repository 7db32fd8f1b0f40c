//! What bad input gets: a status, a stable code, and nothing that only the operator may see.

use remit_upstreams::zendesk;
use serde_json::{Value, json};

use crate::host::{SALESFORCE_TOKEN, SHOPIFY_TOKEN, Setup, answer};

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let host = Setup::demo().start().await;
    let bare = |path: &str| host.http.get(format!("{}{path}", host.url));
    let test = |body: &str| host.post("/api/mcp/test", body.to_owned());
    let call = |tool: &str, parameters: Value| {
        let asked = json!({"agent_type": "sales", "tool_name": tool, "parameters": parameters});
        test(&asked.to_string())
    };
    for (request, status, code, text) in [
        (bare("/api/mcp/tools/sales"), 400, "missing_header", "X-Context"),
        (bare("/api/mcp/tools/sales").header("X-Context", "nobody"), 404, "unknown_tenant", "nobody"),
        (bare("/api/mcp/tools/sales").header("X-Context", "../techstart"), 404, "unknown_tenant", "../techstart"),
        (host.get("/api/mcp/tools/pirates"), 404, "unknown_agent", "pirates"),
        (host.post("/api/%ff/chat", r#"{"message":"hi"}"#), 400, "bad_request", "UTF-8"),
        (host.get("/api/no/such/route"), 404, "not_found", "/api/no/such/route"),
        (host.http.delete(format!("{}/api/mcp/test", host.url)), 405, "method_not_allowed", "DELETE"),
        (test("{\"agent_type\": \"sales\",\n  \"tool_name\" }"), 400, "bad_json", "line 2, column 15"),
        (test(""), 400, "bad_json", "line 1, column 0"),
        (test("{} x"), 422, "invalid_arguments", "agent_type"),
        (test(r#"{"agent_type":"sales","tool_name":"x","surprise":1}"#), 422, "invalid_arguments", "surprise"),
        (test(r#"{"agent_type":5,"tool_name":"x"}"#), 422, "invalid_arguments", "/agent_type"),
        (test("a=b").header("Content-Type", "text/plain"), 415, "unsupported_media_type", "JSON"),
        (test(&"x".repeat(2 << 20)), 413, "body_too_large", "larger"),
        (call("no_such_tool", json!({})), 404, "tool_missing", "no_such_tool"),
        (call("search_customers", json!({})), 422, "invalid_arguments", "query"),
        (call("search_customers", json!({"query": "x", "limit": 1001})), 422, "invalid_arguments", "/limit"),
        (call("search_customers", json!({"query": "x", "limit": "ten"})), 422, "invalid_arguments", "/limit"),
        (
            call("get_customer_orders", json!({"customer_id": "c", "status": "lost"})),
            422,
            "invalid_arguments",
            "/status",
        ),
        (host.get("/api/mcp/resources/sales/no_such"), 404, "resource_missing", "no_such"),
        (host.post("/api/sales/chat", r#"{"message":""}"#), 422, "invalid_arguments", "message"),
        (host.post("/api/sales/chat", r#"{"mesage":"hi"}"#), 422, "invalid_arguments", "mesage"),
        (host.get("/api/mcp/tools/sales").header("Host", "evil.example"), 403, "host_refused", "name"),
        (host.get("/api/mcp/tools/sales").header("Origin", "https://evil.example"), 403, "origin_refused", "origin"),
    ] {
        let (got, body) = answer(request).await;
        assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{text}: {body:#}");
        assert_eq!(body["success"], false);
        assert!(body.to_string().contains(text), "`{text}` in {body:#}");
    }
}

#[tokio::test]
async fn what_the_mapping_does_not_grant_is_refused_in_the_seeds_words() {
    let host = Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            let sales = &mut context["agentMappings"]["sales"];
            sales["dataSources"] = json!(["primary"]);
            sales["permissions"] = json!({"primary": ["read"]});
        })
        .start()
        .await;
    let (status, body) = answer(host.get("/api/mcp/tools/sales")).await;
    let listed = body["tools"].to_string();
    assert_eq!(status, 200);
    assert!(listed.contains("search_customers"), "{listed}");
    assert!(!listed.contains("update_customer_notes") && !listed.contains("check_inventory"), "{listed}");

    let (status, body) = host.tool("check_inventory", json!({"product_id": "1"})).await;
    assert_eq!((status, &body["code"]), (403, &json!("permission_denied")));
    assert_eq!(body["error"], "Agent sales doesn't have access to ecommerce");
    assert!(host.shopify.received().is_empty(), "nothing was asked of the shop");

    let asked = json!({"customer_id": "cust_123", "notes": "x"});
    let (status, body) = host.tool("update_customer_notes", asked).await;
    assert_eq!((status, body["error"].as_str()), (403, Some("Agent sales doesn't have write permission for primary")));
    // Without the analytics, the value is told without a projection, and why.
    let value = host.result("calculate_customer_ltv", json!({"customer_id": "cust_123"})).await;
    assert_eq!(value["projected_ltv"], Value::Null, "{value:#}");
}

#[tokio::test]
async fn only_sales_agents_update_notes_whatever_the_mapping_says() {
    let host = Setup::demo()
        .patch("configs/contexts/techstart.json", |context| {
            context["agentMappings"]["support"]["mcpServer"] = json!("techstart-crm");
        })
        .start()
        .await;
    let parameters = json!({"customer_id": "cust_123", "notes": "x"});
    let asked = json!({"agent_type": "support", "tool_name": "update_customer_notes", "parameters": parameters});
    let (status, body) = answer(host.post("/api/mcp/test", asked.to_string())).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (422, Some("Only sales agents can update customer notes")),
        "{body:#}"
    );
}

#[tokio::test]
async fn a_source_that_is_down_is_said_and_the_others_go_on() {
    let host = Setup::demo().env("TECHSTART_SHOPIFY_URI", "http://127.0.0.1:1").start().await;
    let (status, body) = host.tool("check_inventory", json!({"product_id": "1"})).await;
    assert_eq!((status, &body["code"]), (503, &json!("source_unavailable")), "{body:#}");
    assert_eq!(body["retriable"], true);
    assert!(!body.to_string().contains("127.0.0.1"), "no host names: {body:#}");
    host.result("search_customers", json!({"query": "test"})).await;
    let (_, health) = answer(host.get("/api/health/datasources/sales")).await;
    assert_eq!(health["data_sources"]["ecommerce"]["status"], "error");
    assert_eq!(health["data_sources"]["primary"]["status"], "healthy");
    let (status, ready) = answer(host.http.get(format!("{}/readyz", host.url))).await;
    assert_eq!((status, &ready["ready"]), (200, &json!(true)), "one dead source does not take the host down");
    assert_eq!(ready["sources"], "failing");
}

#[tokio::test]
async fn a_set_that_nobody_provides_is_said_in_the_seeds_words() {
    let host = Setup::demo().start().await;
    let (_, body) = answer(host.get("/api/health/mcp")).await;
    let support = &body["agents"]["support"];
    assert_eq!(support["status"], "error");
    assert_eq!(support["error"], "MCP server class not found: techstart-support");
}

#[tokio::test]
async fn no_secret_is_in_any_answer_log_or_journal() {
    let mut host = Setup::demo().start().await;
    let mut seen = String::new();
    for path in [
        "/api/debug/context",
        "/api/health/mcp",
        "/api/health/datasources/sales",
        "/api/health/datasources/support",
        "/api/mcp/tools/sales",
    ] {
        seen += &answer(host.get(path)).await.1.to_string();
    }
    host.shopify.faults().always(remit_upstreams::Fault::status(401));
    seen += &host.tool("check_inventory", json!({"product_id": "1"})).await.1.to_string();
    seen +=
        &answer(host.post("/api/sales/chat", r#"{"message":"Check the inventory of product 1"}"#)).await.1.to_string();
    seen += &answer(host.http.get(format!("{}/metrics", host.url))).await.1.to_string();
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    seen += &log;
    seen += &String::from_utf8_lossy(&std::fs::read(host.root.path().join("var/remit.db")).unwrap());
    assert!(seen.contains("check_inventory"), "the journal was looked through");
    assert!(seen.len() > 10_000, "something was looked through");
    for secret in [SHOPIFY_TOKEN, SALESFORCE_TOKEN, zendesk::TOKEN, "stand-in-access-", "BEGIN PRIVATE KEY"] {
        assert!(!seen.contains(secret), "{secret} was told");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_browsers_are_told_so() {
    let host = Setup::demo().settings("cors:\n  origins: [https://app.example]\n").start().await;
    for (origin, allowed) in [("https://app.example", true), ("https://evil.example", false)] {
        let preflight = host.http.request("OPTIONS".parse().unwrap(), format!("{}/api/sales/chat", host.url));
        let preflight = preflight.header("Origin", origin).header("Access-Control-Request-Method", "POST");
        let answered = preflight.header("Access-Control-Request-Headers", "x-context").send().await.unwrap();
        let told = answered.headers().get("access-control-allow-origin").map(|it| it.to_str().unwrap().to_owned());
        assert_eq!(told.as_deref(), allowed.then_some(origin));
        assert_eq!(answered.status().is_success(), allowed, "{origin}");
    }
}
