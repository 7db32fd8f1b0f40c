//! The offline model on messages as the demo sends them.

use anyhow::{Context, Result};
use remit_domain::model::{Message, Model, Request, ToolCall, ToolOffer};
use serde_json::{Value, json};

use super::{Offline, summary::DISCLAIMER};

fn tool(name: &str, description: &str, parameters: Value) -> ToolOffer {
    ToolOffer { name: name.to_owned(), description: description.to_owned(), parameters }
}

/// The seed's CRM, with schemas as schemars writes them.
fn crm() -> Vec<ToolOffer> {
    let customer_id = || json!({"type": "string"});
    vec![
        tool(
            "search_customers",
            "Search customers in TechStart CRM by name, email, or company",
            json!({"type": "object", "required": ["query"], "properties": {
                "query": {"type": "string"}, "limit": {"type": "integer", "default": 10},
                "include_inactive": {"type": "boolean", "default": false}}}),
        ),
        tool(
            "get_customer_orders",
            "Get orders for a specific customer",
            json!({"type": "object", "required": ["customer_id"], "properties": {
                "customer_id": customer_id(), "status": {"$ref": "#/$defs/Status", "default": "any"}},
                "$defs": {"Status": {"type": "string", "enum": ["pending", "completed", "any"]}}}),
        ),
        tool(
            "calculate_customer_ltv",
            "Calculate customer lifetime value with detailed analytics",
            json!({"type": "object", "required": ["customer_id"], "properties": {
                "customer_id": customer_id(), "include_projections": {"type": "boolean", "default": true}}}),
        ),
        tool(
            "update_customer_notes",
            "Update customer notes and interaction log (sales agents only)",
            json!({"type": "object", "required": ["customer_id", "notes"], "properties": {
                "customer_id": customer_id(), "notes": {"type": "string"},
                "interaction_type": {"anyOf": [{"oneOf": [{"const": "call"}, {"const": "other"}]}, {"type": "null"}]}}}),
        ),
        tool(
            "check_inventory",
            "Check real-time inventory levels from Shopify",
            json!({"type": "object", "required": ["product_id"], "properties": {
                "product_id": {"type": "string"}, "location_id": {"type": ["string", "null"]}}}),
        ),
        tool(
            "get_current_promotions",
            "Get active promotions and discount codes",
            json!({"type": "object", "properties": {
                "customer_eligible": {"type": "boolean", "default": false}, "customer_id": {"type": ["string", "null"]}}}),
        ),
        tool(
            "read_resource",
            "Reads one of the resources",
            json!({"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "enum": ["customer_context", "sales_playbook"]}}}),
        ),
    ]
}

fn support() -> Vec<ToolOffer> {
    let query = json!({"type": "object", "required": ["query"], "properties": {"query": {"type": "string"}}});
    vec![
        tool("search_tickets", "Search support tickets", query.clone()),
        tool("get_documentation", "Search the product's documentation", query),
        tool(
            "escalate_ticket",
            "Escalate a ticket to a person",
            json!({"type": "object", "required": ["ticket_id"],
            "properties": {"ticket_id": {"type": "string"}}}),
        ),
    ]
}

fn user(said: &str) -> Message {
    Message::User { content: said.to_owned() }
}

async fn complete(messages: Vec<Message>, tools: Vec<ToolOffer>) -> Result<(Option<String>, Vec<ToolCall>)> {
    let completion = Offline.complete(&Request { messages, tools, temperature: 0.7, answer: None }).await?;
    Ok((completion.content, completion.tool_calls))
}

/// The calls of the first round, as name and arguments.
async fn check(said: &str, tools: Vec<ToolOffer>, expected: &[(&str, Value)]) -> Result<()> {
    let (_, calls) = complete(vec![user(said)], tools).await?;
    let mut made = Vec::new();
    for call in &calls {
        made.push((call.name.as_str(), serde_json::from_str::<Value>(&call.arguments)?));
    }
    assert_eq!(made, expected, "{said}");
    Ok(())
}

const LEAD: &str =
    "I have a new lead from ACME Corp asking about our enterprise AI platform. Can you help me qualify them?";

#[tokio::test]
async fn messages_pick_tools() -> Result<()> {
    let acme = || ("search_customers", json!({"query": "ACME Corp"}));
    check(LEAD, crm(), &[acme(), ("get_current_promotions", json!({}))]).await?;
    check("Find customers named \"Jane Doe\"", crm(), &[("search_customers", json!({"query": "Jane Doe"}))]).await?;
    check("Who is jane@acme.com?", crm(), &[("search_customers", json!({"query": "jane@acme.com"}))]).await?;
    check("What promotions are running?", crm(), &[("get_current_promotions", json!({}))]).await?;
    check(
        "Show pending orders of cust_123.",
        crm(),
        &[("get_customer_orders", json!({"customer_id": "cust_123", "status": "pending"}))],
    )
    .await?;
    check(
        "What is cust_789's lifetime value?",
        crm(),
        &[("calculate_customer_ltv", json!({"customer_id": "cust_789"}))],
    )
    .await?;
    check("Is TS-AI-001 in stock?", crm(), &[("check_inventory", json!({"product_id": "TS-AI-001"}))]).await?;
    check("What does the sales playbook say?", crm(), &[("read_resource", json!({"name": "sales_playbook"}))]).await?;
    check(
        "My API integration is failing with 403 errors",
        support(),
        &[
            ("search_tickets", json!({"query": "api integration failing 403"})),
            ("get_documentation", json!({"query": "api integration failing 403"})),
        ],
    )
    .await?;
    check("Test MCP integration", crm(), &[]).await?;
    check("", crm(), &[]).await
}

#[tokio::test]
async fn changes_need_a_clear_order() -> Result<()> {
    let update = json!({"customer_id": "cust_123", "notes": "Wants an offer by Friday"});
    check(
        "Please update notes for cust_123: \"Wants an offer by Friday\"",
        crm(),
        &[("update_customer_notes", update)],
    )
    .await?;
    for said in [
        "I updated the notes of cust_123: done",
        "Should I update notes for cust_123: \"x\"?",
        "Don't update notes for cust_123: \"x\"",
        "Update the notes",
        "Update notes for cust_123",
        "Notes of cust_123: \"x\"",
    ] {
        let (_, calls) = complete(vec![user(said)], crm()).await?;
        assert!(!calls.iter().any(|call| call.name == "update_customer_notes"), "{said}");
    }
    check("What about ticket TICK-1?", support(), &[("search_tickets", json!({"query": "tick 1"}))]).await?;
    check("Escalate ticket TICK-1", support(), &[("escalate_ticket", json!({"ticket_id": "TICK-1"}))]).await
}

/// The messages after the model's calls were answered.
fn answered(mut messages: Vec<Message>, calls: Vec<ToolCall>, answers: &[Value]) -> Vec<Message> {
    let results: Vec<Message> = calls
        .iter()
        .zip(answers)
        .map(|(call, answer)| Message::Tool { tool_call_id: call.id.clone(), content: answer.to_string() })
        .collect();
    messages.push(Message::Assistant { content: None, tool_calls: calls });
    messages.extend(results);
    messages
}

#[tokio::test]
async fn what_a_search_finds_serves_the_second_round() -> Result<()> {
    let asked = vec![user("Which orders has ACME Corp placed?")];
    let (_, calls) = complete(asked.clone(), crm()).await?;
    assert_eq!(calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(), ["search_customers"]);
    let found = json!({"tool_name": "search_customers", "result": {
        "customers": [{"id": "cust_123", "name": "Jane Doe", "company": "ACME Corp"}], "total": 1}});
    let messages = answered(asked, calls, &[found]);
    let (_, calls) = complete(messages.clone(), crm()).await?;
    let made: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(made, [("get_customer_orders", "{\"customer_id\":\"cust_123\"}")]);
    let orders = json!({"orders": [{"order_number": "SO-1", "status": "pending", "total_amount": 12.5}]});
    let (content, calls) = complete(answered(messages, calls, &[orders]), crm()).await?;
    assert!(calls.is_empty());
    let expected = format!(
        "- search_customers: 1 customers: Jane Doe (ACME Corp, cust_123); total 1\n\
         - get_customer_orders: 1 orders: SO-1 (pending, 12.5)\n{DISCLAIMER}"
    );
    assert_eq!(content.context("words")?, expected);
    Ok(())
}

#[tokio::test]
async fn the_answer_tells_what_was_found_and_what_failed() -> Result<()> {
    let (_, calls) = complete(vec![user(LEAD)], crm()).await?;
    let answers = [
        json!({"customers": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}], "query": "ACME\nCorp", "total": 4}),
        json!({"tool_name": "get_current_promotions", "error": "source ecommerce: unavailable", "code": "source_unavailable"}),
    ];
    let (content, calls) = complete(answered(vec![user(LEAD)], calls, &answers), crm()).await?;
    assert!(calls.is_empty());
    let expected = format!(
        "- search_customers: 4 customers: a, b, c, and 1 more; query ACME Corp; total 4\n\
         - get_current_promotions failed: source ecommerce: unavailable\n{DISCLAIMER}"
    );
    assert_eq!(content.context("words")?, expected);
    Ok(())
}

#[tokio::test]
async fn odd_conversations_are_survived() -> Result<()> {
    let stray = vec![Message::Tool { tool_call_id: "x".to_owned(), content: "not json".to_owned() }];
    let (content, _) = complete(stray, Vec::new()).await?;
    assert_eq!(content.context("words")?, format!("- a tool: not json\n{DISCLAIMER}"));
    let (content, _) = complete(Vec::new(), Vec::new()).await?;
    assert!(content.context("words")?.starts_with("I have no tools here"));
    let hostile = tool(
        "get_x",
        "X",
        json!({"properties": {"a": {"$ref": "#"}, "b": 7, "c": {"anyOf": [{"$ref": "#/nowhere"}]}},
        "required": ["a", 3]}),
    );
    check("Get x", vec![hostile], &[]).await
}

#[tokio::test]
async fn the_hosts_context_line_fills_ids() -> Result<()> {
    let line = Message::System { content: "Request Context: {\"customer_id\":\"cust_9\"}".to_owned() };
    let (_, calls) = complete(vec![line, user("Which orders are open?")], crm()).await?;
    let made: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(made, [("get_customer_orders", "{\"customer_id\":\"cust_9\"}")]);
    Ok(())
}
