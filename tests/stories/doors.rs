//! The seed's own commands, as it prints them, in the demo.

use std::time::Duration;

use remit_upstreams::Fault;
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer};

#[tokio::test]
async fn the_seeds_commands_work_as_written() {
    let host = Setup::demo().start().await;
    tools(&host).await;
    tool_test(&host).await;
    health(&host).await;
    debug(&host).await;
    chat(&host).await;
}

async fn tools(host: &Host) {
    let (status, body) = answer(host.get("/api/mcp/tools/sales")).await;
    assert_eq!(status, 200, "{body:#}");
    let names: Vec<&str> = body["tools"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "search_customers",
            "get_customer_orders",
            "calculate_customer_ltv",
            "update_customer_notes",
            "check_inventory",
            "get_current_promotions"
        ]
    );
    let search = &body["tools"][0];
    assert_eq!(search["parameters"]["type"], "object");
    let limit = &search["parameters"]["properties"]["limit"];
    assert_eq!((&limit["default"], &limit["maximum"]), (&json!(10), &json!(1000)));
    assert_eq!(search["annotations"]["readOnlyHint"], true);
}

/// With the content type of a careful client, with none, and with curl's own for `-d`.
async fn tool_test(host: &Host) {
    let asked = r#"{
        "agent_type": "sales",
        "tool_name": "search_customers",
        "parameters": {"query": "test", "limit": 1}
    }"#;
    for content_type in [Some("application/json"), None, Some("application/x-www-form-urlencoded")] {
        let request = host.post("/api/mcp/test", asked);
        let request = match content_type {
            Some(content_type) => request.header("Content-Type", content_type),
            None => request,
        };
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["success"]), (200, &json!(true)), "{content_type:?} {body:#}");
        assert_eq!(body["result"]["query"], "test");
        assert_eq!(body["result"]["customers"].as_array().unwrap().len(), 1);
        assert_eq!(body["result"]["total"], 1);
    }
}

async fn health(host: &Host) {
    let (status, body) = answer(host.get("/api/health/mcp")).await;
    assert_eq!((status, &body["customer"]), (200, &json!("TechStart Inc")));
    let sales = &body["agents"]["sales"];
    assert_eq!(
        (&sales["status"], &sales["server_type"], &sales["tools_count"], &sales["resources_count"]),
        (&json!("healthy"), &json!("techstart-crm"), &json!(6), &json!(2))
    );
    for (agent, source) in [("support", "documents"), ("marketing", "storage")] {
        let (_, body) = answer(host.get(&format!("/api/health/datasources/{agent}"))).await;
        assert_eq!(body["data_sources"][source]["status"], "healthy", "{source}: {body:#}");
    }
    let (status, body) = answer(host.get("/api/health/datasources/sales")).await;
    assert_eq!((status, &body["agent_type"]), (200, &json!("sales")));
    for source in ["primary", "crm", "ecommerce", "analytics", "google_sheets", "slack", "email"] {
        assert_eq!(body["data_sources"][source]["status"], "healthy", "{source}: {body:#}");
    }
    assert_eq!(host.tokens.issued.count(), 1, "a token of the service account");
    assert!(host.sheets.received().iter().all(|asked| asked.path.starts_with("/v4/spreadsheets/")));
    let (_, body) = answer(host.get("/api/health/datasources/support")).await;
    assert_eq!(body["data_sources"]["support"]["status"], "healthy", "{body:#}");
    let asked = host.zendesk.received();
    assert_eq!(asked.first().map(|asked| asked.path.as_str()), Some("/api/v2/tickets/count.json"));
    let (status, body) = answer(host.get("/api/health/datasources/marketing")).await;
    assert_eq!((status, &body["data_sources"]["warehouse"]["status"]), (200, &json!("healthy")), "{body:#}");
}

async fn debug(host: &Host) {
    let (status, body) = answer(host.get("/api/debug/context")).await;
    assert_eq!((status, &body["context"]["company"]["name"]), (200, &json!("TechStart Inc")));
    let effective = &body["effectivePermissions"]["sales"];
    let expected = json!({
        "primary": "write", "crm": "write", "ecommerce": "write", "analytics": "read", "google_sheets": "write",
        "slack": "write", "email": "write"
    });
    assert_eq!(effective, &expected);
    assert!(!body.to_string().contains("hooks.slack.com"), "the webhook is a secret: {body:#}");
}

async fn chat(host: &Host) {
    let asked = json!({
        "message": "I have a new lead from ACME Corp asking about our enterprise AI platform. Can you help me qualify them?"
    });
    let (status, body) = answer(host.post("/api/sales/chat", asked.to_string())).await;
    assert_eq!((status, &body["success"], &body["agentType"]), (200, &json!(true), &json!("sales")), "{body:#}");
    assert_eq!(body["model"], "remit-offline", "an answer of the offline model says so");
    let calls: Vec<(&str, bool)> = body["toolCalls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (call["name"].as_str().unwrap(), call["ok"].as_bool().unwrap()))
        .collect();
    assert!(calls.contains(&("search_customers", true)), "{body:#}");
    assert!(body["response"].as_str().unwrap().contains("ACME Corp"), "{body:#}");

    let id = body["conversationId"].as_str().unwrap();
    let more = json!({ "message": "Which promotions are there now?", "conversationId": id });
    let (status, more) = answer(host.post("/api/sales/chat", more.to_string())).await;
    assert_eq!((status, &more["conversationId"]), (200, &json!(id)));
    assert!(more["conversationLength"].as_u64() > body["conversationLength"].as_u64(), "{more:#}");
}

#[tokio::test]
async fn every_tool_of_the_sales_agent_answers_truthfully() {
    let host = Setup::demo().start().await;
    orders_and_value(&host).await;
    notes(&host).await;
    inventory(&host).await;
    promotions(&host).await;
    resources(&host).await;
}

async fn orders_and_value(host: &Host) {
    let orders = host.result("get_customer_orders", json!({"customer_id": "cust_123", "limit": 3})).await;
    let orders = orders["orders"].as_array().unwrap();
    assert_eq!(orders.len(), 3, "the limit counts orders, not their items");
    for order in orders {
        let items = order["items"].as_array().unwrap();
        let cents = |value: &Value| {
            let text = value.to_string();
            let (whole, part) = text.split_once('.').unwrap_or((&text, "0"));
            whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap()
        };
        let sum: i64 = items.iter().map(|it| cents(&it["unit_price"]) * it["quantity"].as_i64().unwrap()).sum();
        assert_eq!(sum, cents(&order["total_amount"]), "{order:#}");
    }
    let pending = host.result("get_customer_orders", json!({"customer_id": "cust_123", "status": "completed"})).await;
    assert!(pending["orders"].as_array().unwrap().iter().all(|order| order["status"] == "completed"));

    let value = host.result("calculate_customer_ltv", json!({"customer_id": "cust_123"})).await;
    assert!(value["order_count"].as_u64().unwrap() > 0, "{value:#}");
    assert!(value["projected_ltv"].is_number(), "{value:#}");
    assert!(value["first_order_date"].as_str() <= value["last_order_date"].as_str(), "{value:#}");
}

async fn notes(host: &Host) {
    let asked =
        json!({"customer_id": "cust_123", "notes": "Robert'); DROP TABLE customers;--", "interaction_type": "call"});
    let noted = host.result("update_customer_notes", asked).await;
    assert_eq!((&noted["success"], &noted["customer_id"]), (&json!(true), &json!("cust_123")));
    let still = host.result("search_customers", json!({"query": "ACME Corp"})).await;
    assert!(still["total"].as_u64().unwrap() > 0, "the table is still there");
}

async fn inventory(host: &Host) {
    let first = remit_upstreams::data::catalogue::catalogue();
    let (near, far) = (first.first().unwrap(), first.last().unwrap());
    for asked in [near.id.to_string(), format!("gid://shopify/Product/{}", near.id), near.variants[0].sku.clone()] {
        let found = host.result("check_inventory", json!({"product_id": asked})).await;
        assert_eq!(found["product_id"].to_string().trim_matches('"'), near.id.to_string(), "{asked}");
    }
    // The last of the catalogue is pages away.
    host.shopify.forget();
    let found = host.result("check_inventory", json!({"product_id": far.variants[0].sku})).await;
    assert_eq!(found["product_id"].to_string().trim_matches('"'), far.id.to_string());
    assert!(host.shopify.received().len() > 1, "found by paging");
    let (status, body) = host.tool("check_inventory", json!({"product_id": "NO-SUCH-SKU"})).await;
    assert_eq!((status, &body["code"]), (422, &json!("refused")), "{body:#}");
    assert_eq!(body["error"], "Product not found: NO-SUCH-SKU");
}

async fn promotions(host: &Host) {
    host.shopify.forget();
    host.shopify.faults().always(Fault::Delay(Duration::from_millis(50)));
    let found = host.result("get_current_promotions", json!({})).await;
    let active = found["active_promotions"].as_array().unwrap();
    assert_eq!(found["count"].as_u64().unwrap(), active.len() as u64);
    assert!(active.len() > 1 && active.iter().any(|it| !it["discount_codes"].as_array().unwrap().is_empty()));
    assert!(host.shopify.most_at_once() > 1, "codes are fetched concurrently");
}

async fn resources(host: &Host) {
    let (status, body) = answer(host.get("/api/mcp/resources/sales")).await;
    assert_eq!(status, 200);
    let names: Vec<&str> =
        body["resources"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["customer_context", "sales_playbook"]);
    let (status, body) = answer(host.get("/api/mcp/resources/sales/sales_playbook")).await;
    assert_eq!((status, &body["contents"][0]["type"]), (200, &json!("text/markdown")));
    assert!(body["contents"][0]["text"].as_str().unwrap().contains("## Qualification Criteria"));
    let (status, body) = answer(host.get("/api/mcp/resources/sales/customer_context")).await;
    assert_eq!(status, 200, "{body:#}");
    let context: Value = serde_json::from_str(body["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(context["company"]["name"], "TechStart Inc");
    assert_eq!(
        context["data_sources"],
        json!(["primary", "crm", "ecommerce", "analytics", "google_sheets", "slack", "email"])
    );
    assert!(!context["recent_announcements"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn operators_machines_get_their_answers() {
    let host = Setup::demo().start().await;
    host.result("search_customers", json!({"query": "test"})).await;
    let (status, body) = answer(host.http.get(format!("{}/healthz", host.url))).await;
    assert_eq!((status, body), (200, json!({"status": "ok"})));
    let (status, body) = answer(host.http.get(format!("{}/readyz", host.url))).await;
    // Not all of the demo's sources have a server.
    assert!(body["sources"] == "ok" || body["sources"] == "failing", "{body:#}");
    let well = json!({"ready": true, "journal": "ok", "plugins": "ok", "sources": body["sources"], "tenants": "ok"});
    assert_eq!((status, body), (200, well));
    let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
    for figure in [
        r#"remit_calls_total{tenant="techstart",agent="sales",door="console",outcome="ok"} 1"#,
        "remit_sandbox_calls_total",
        r#"remit_tenants{state="current"} 1"#,
        "remit_http_requests_total",
    ] {
        assert!(figures.as_str().unwrap().contains(figure), "{figure} in {figures}");
    }
    let mut lines = figures.as_str().unwrap().lines();
    let healthy = lines.find_map(|line| line.strip_prefix(r#"remit_sources{state="healthy"} "#)).unwrap();
    assert!(healthy.parse::<u32>().unwrap() >= 4, "{healthy}");
}

#[tokio::test]
async fn the_description_names_every_route_and_every_route_is_there() {
    let host = Setup::demo().start().await;
    let (status, description) = answer(host.http.get(format!("{}/openapi.json", host.url))).await;
    assert_eq!(status, 200);
    let paths = description["paths"].as_object().unwrap();
    let expected = [
        "/.well-known/oauth-protected-resource/mcp/{tenant}/{agent}",
        "/api/audit",
        "/api/debug/context",
        "/api/health/datasources/{agent}",
        "/api/health/mcp",
        "/api/hooks/{tenant}/{workflow}",
        "/api/keys",
        "/api/keys/{id}",
        "/api/mcp/resources/{agent}",
        "/api/mcp/resources/{agent}/{name}",
        "/api/mcp/test",
        "/api/mcp/tools/{agent}",
        "/api/notifications",
        "/api/plugins",
        "/api/plugins/{name}",
        "/api/plugins/{name}/activate",
        "/api/plugins/{name}/deactivate",
        "/api/plugins/{name}/rollback",
        "/api/usage",
        "/api/workflows",
        "/api/workflows/execute/{name}",
        "/api/workflows/executions",
        "/api/workflows/executions/{id}",
        "/api/workflows/executions/{id}/artifacts/{digest}",
        "/api/workflows/executions/{id}/cancel",
        "/api/workflows/executions/{id}/events",
        "/api/workflows/executions/{id}/rerun",
        "/api/workflows/executions/{id}/resolve",
        "/api/workflows/executions/{id}/signals/{name}",
        "/api/workflows/load",
        "/api/workflows/{name}",
        "/api/workflows/{name}/triggers/{trigger}/pause",
        "/api/workflows/{name}/triggers/{trigger}/resume",
        "/api/{agent}/chat",
        "/healthz",
        "/mcp/{tenant}/{agent}",
        "/metrics",
        "/openapi.json",
        "/readyz",
    ];
    assert_eq!(
        paths.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
        expected.into_iter().collect()
    );
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            let real =
                path.replace("{tenant}", "techstart").replace("{agent}", "sales").replace("{name}", "sales_playbook");
            let verb = method.to_uppercase().parse().unwrap();
            let (status, body) = answer(host.http.request(verb, format!("{}{real}", host.url))).await;
            let missing = (status, body["code"].as_str()) == (404, Some("not_found"));
            assert!(!missing && status != 405, "{method} {path} answers {status}");
        }
    }
}
