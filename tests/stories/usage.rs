//! How much a tenant and a key may use, at every door, and what is known of it.
//!
//! A day is one of UTC. A story of a quota per day that runs across midnight sees its counts begin anew, and
//! fails: the program under test has the machine's clock.

use std::fs;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, run};

/// A demo with quotas in its settings, and with a second tenant.
fn settings(quotas: &'static str) -> Setup {
    Setup::demo().settings(quotas).edit(|root| {
        fs::write(root.join("configs/contexts/other.json"), r#"{"company": {"name": "Other"}}"#).unwrap();
    })
}

async fn host(quotas: &'static str) -> Host {
    settings(quotas).start().await
}

fn of(host: &Host, tenant: &str, path: &str) -> RequestBuilder {
    host.http.get(format!("{}{path}", host.url)).header("X-Context", tenant)
}

/// Status, code and `Retry-After` of an answer.
async fn refusal(request: RequestBuilder) -> (u16, Value, u64) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let wait = response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    let body: Value = response.json().await.unwrap();
    (status, body, wait.unwrap_or_default())
}

/// One figure of an answer of `/api/usage`.
fn figure(usage: &Value, meter: &str, window: &str) -> (u64, Option<u64>) {
    let rows = usage.as_array().unwrap();
    let row = rows.iter().find(|row| row["meter"] == meter && row["window"] == window).unwrap();
    assert!(row["resetsAt"].as_str().unwrap().ends_with('Z'), "{row}");
    (row["used"].as_u64().unwrap(), row["allowed"].as_u64())
}

#[tokio::test]
async fn a_tenant_that_used_up_its_requests_is_refused_at_every_door_and_no_other() {
    let own = "    uploads: large\n    quotas:\n      requestsPerDay: 3\n";
    let host = settings("").settings_instead("    uploads: large\n", own).start().await;
    for _ in 0..3 {
        assert_eq!(answer(of(&host, "techstart", "/api/mcp/tools/sales")).await.0, 200);
    }
    let test = json!({"agent_type": "sales", "tool_name": "get_current_promotions", "parameters": {}}).to_string();
    let rpc = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let mcp = host.http.post(format!("{}/mcp/techstart/sales", host.url)).header("Content-Type", "application/json");
    for request in [
        of(&host, "techstart", "/api/health/mcp"),
        of(&host, "techstart", "/api/usage"),
        host.post("/api/mcp/test", test),
        host.post("/api/sales/chat", r#"{"message": "Hello"}"#),
    ] {
        let (status, body, wait) = refusal(request).await;
        assert_eq!((status, &body["code"], &body["retriable"]), (429, &json!("quota_exceeded"), &json!(true)));
        assert_eq!(body["error"], "this tenant has used up its requestsPerDay (3)");
        assert!((1..=86_400).contains(&wait), "{wait}");
    }
    let (status, body, wait) = refusal(mcp.body(rpc)).await;
    assert_eq!((status, &body["jsonrpc"], &body["error"]["code"]), (429, &json!("2.0"), &json!(-32600)), "{body:#}");
    assert_eq!(body["error"]["data"]["code"], "quota_exceeded");
    assert!((1..=86_400).contains(&wait), "{wait}");

    assert_eq!(answer(of(&host, "other", "/api/health/mcp")).await.0, 200, "another tenant is not concerned");
    assert_eq!(answer(of(&host, "nobody", "/api/health/mcp")).await.0, 404, "one that is not there is not counted");
    assert_eq!(answer(host.http.get(format!("{}/healthz", host.url))).await.0, 200);
    let (status, all) = answer(host.http.get(format!("{}/api/usage", host.url))).await;
    assert_eq!(status, 200, "without a tenant the operator sees all: {all:#}");
    let names: Vec<&str> = all["tenants"].as_array().unwrap().iter().map(|it| it["tenant"].as_str().unwrap()).collect();
    assert_eq!(names, ["other", "techstart"]);
    assert_eq!(figure(&all["tenants"][1]["usage"], "requests", "day"), (3, Some(3)));
    assert_eq!(figure(&all["tenants"][1]["usage"], "requests", "minute").1, Some(60_000));
}

#[tokio::test]
async fn calls_have_a_quota_of_their_own_and_computing_is_counted() {
    let host = host("quotas:\n  callsPerDay: 3\n").await;
    for _ in 0..2 {
        host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    }
    assert_eq!(answer(host.get("/api/mcp/resources/sales/sales_playbook")).await.0, 200, "a reading is a call");
    let (status, body) = host.tool("search_customers", json!({"query": "test"})).await;
    assert_eq!((status, &body["code"]), (429, &json!("quota_exceeded")), "{body:#}");
    // At the other doors it is the tool that fails, and the client or the model is told why.
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search_customers", "arguments": {"query": "a"}}});
    let request =
        host.http.post(format!("{}/mcp/techstart/sales", host.url)).header("Content-Type", "application/json");
    let (status, body) = answer(request.body(call.to_string())).await;
    assert_eq!((status, &body["result"]["isError"]), (200, &json!(true)), "{body:#}");
    let said: Value = serde_json::from_str(body["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&said["code"], &said["retriable"]), (&json!("quota_exceeded"), &json!(true)), "{said:#}");
    assert!(said["retryAfterMs"].as_u64().unwrap() > 0, "{said:#}");
    let (status, body) = answer(host.post("/api/sales/chat", r#"{"message": "Search for ACME Corp"}"#)).await;
    assert_eq!((status, &body["toolCalls"][0]["ok"]), (200, &json!(false)), "{body:#}");
    let (_, usage) = answer(of(&host, "techstart", "/api/usage")).await;
    let usage = &usage["tenants"][0]["usage"];
    assert_eq!(figure(usage, "calls", "day"), (3, Some(3)));
    assert!(figure(usage, "cpuMs", "day").0 >= 3, "each of the three computed: {usage:#}");
}

/// A model's server that always says the same, for nine tokens. Gives its address.
async fn model() -> String {
    let said = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    });
    let answer = axum::routing::post(move || std::future::ready(axum::Json(said)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = axum::Router::new().route("/v1/chat/completions", answer);
    tokio::spawn(axum::serve(listener, routes).into_future());
    format!("http://{address}/v1")
}

#[tokio::test]
async fn chat_ends_where_the_tokens_do() {
    let setup = settings("quotas:\n  tokensPerDay: 10\n");
    let host = setup.env("OPENAI_BASE_URL", model().await).env("OPENAI_API_KEY", "sk-test").start().await;
    let chat = || host.post("/api/sales/chat", r#"{"message": "Hello"}"#);
    for _ in 0..2 {
        let (status, body) = answer(chat()).await;
        assert_eq!(
            (status, &body["usage"]["totalTokens"]),
            (200, &json!(9)),
            "what is left is enough to begin: {body:#}"
        );
    }
    let (status, body, wait) = refusal(chat()).await;
    assert_eq!((status, &body["error"]), (429, &json!("this tenant has used up its tokensPerDay (10)")), "{body:#}");
    assert!(wait >= 1);
    let (_, usage) = answer(of(&host, "techstart", "/api/usage")).await;
    assert_eq!(figure(&usage["tenants"][0]["usage"], "tokens", "day"), (18, Some(10)));
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
}

#[tokio::test]
async fn a_key_has_quotas_of_its_own_and_shows_what_it_used() {
    let host = host("").await;
    let create = |more: &[&str]| {
        let verb = ["keys", "--profile", "demo", "--state", "var", "create", "--tenant", "techstart"];
        let (code, token, log) = run(host.root.path(), &[&verb[..], more].concat());
        assert_eq!(code, Some(0), "{log}");
        token.trim().to_owned()
    };
    let few = create(&["--role", "viewer", "--requests-per-minute", "1000", "--quota", "requestsPerDay=2"]);
    let admin = create(&["--role", "admin"]);
    let ask = |method: Method, path: &str, token: &str| {
        host.http.request(method, format!("{}{path}", host.url)).bearer_auth(token)
    };
    let (_, own) = answer(ask(Method::GET, "/api/usage", &few)).await;
    assert_eq!(own["keys"].as_array().unwrap().len(), 1, "its own alone: {own:#}");
    assert_eq!(own["tenants"].as_array().unwrap().len(), 1, "{own:#}");
    assert_eq!(figure(&own["keys"][0]["usage"], "requests", "day"), (1, Some(2)));
    assert_eq!(answer(ask(Method::GET, "/api/mcp/tools/sales", &few)).await.0, 200);
    let (status, body, _) = refusal(ask(Method::GET, "/api/mcp/tools/sales", &few)).await;
    assert_eq!((status, &body["error"]), (429, &json!("this key has used up its requestsPerDay (2)")));
    let (status, all) = answer(ask(Method::GET, "/api/usage", &admin)).await;
    assert_eq!((status, all["keys"].as_array().unwrap().len()), (200, 2), "another key goes on: {all:#}");
    let other = ask(Method::GET, "/api/usage", &admin).header("X-Context", "other");
    assert_eq!(answer(other).await.0, 403);

    let wanted = json!({"role": "agent", "quotas": {"callsPerDay": 0}}).to_string();
    let (status, made) = answer(ask(Method::POST, "/api/keys", &admin).body(wanted)).await;
    assert_eq!((status, &made["key"]["quotas"]), (201, &json!({"callsPerDay": 0})), "{made:#}");
    let test = json!({"agent_type": "sales", "tool_name": "get_current_promotions", "parameters": {}}).to_string();
    let token = made["token"].as_str().unwrap();
    let (status, body, _) = refusal(ask(Method::POST, "/api/mcp/test", token).body(test)).await;
    assert_eq!((status, &body["code"]), (429, &json!("quota_exceeded")));
    let wrong = json!({"role": "agent", "quotas": {"callsPerYear": 1}}).to_string();
    let (status, body) = answer(ask(Method::POST, "/api/keys", &admin).body(wrong)).await;
    assert_eq!((status, &body["problems"][0]["pointer"]), (422, &json!("/quotas/callsPerYear")), "{body:#}");
}

#[tokio::test]
async fn a_days_counts_outlast_a_kill() {
    let mut host = host("quotas:\n  callsPerDay: 100\n").await;
    for _ in 0..5 {
        host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    }
    // Counts are kept once a second; a kill loses what came since.
    let file = host.root.path().join("var/remit.db").display().to_string();
    eventually("all five calls are kept", async || calls_kept(&file).await == 5).await;
    host.kill();
    host.restart();
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    let (_, usage) = answer(of(&host, "techstart", "/api/usage")).await;
    assert_eq!(figure(&usage["tenants"][0]["usage"], "calls", "day"), (6, Some(100)));
    let (code, _) = host.stop();
    assert_eq!(code, Some(0));
    assert_eq!(calls_kept(&file).await, 6, "an orderly end keeps all");
}

async fn calls_kept(file: &str) -> u64 {
    use remit_domain::usage::{Meter, Owner, Tallies as _};
    let journal = remit_journal::Journal::open(file).await.unwrap();
    let tallies = journal.load(time::OffsetDateTime::now_utc().date()).await.unwrap();
    journal.close().await;
    let calls = tallies.iter().filter(|it| it.meter == Meter::Calls && matches!(it.owner, Owner::Tenant(_)));
    calls.map(|it| it.used).sum()
}

#[tokio::test]
async fn an_address_that_presents_many_wrong_keys_is_sent_away() {
    let host = host("").await;
    let (code, token, log) =
        run(host.root.path(), &["keys", "--profile", "demo", "--state", "var", "create", "--role", "operator"]);
    assert_eq!(code, Some(0), "{log}");
    let ask = |address: &str, token: &str| {
        let request = host.http.get(format!("{}/metrics", host.url)).header("X-Forwarded-For", address.to_owned());
        request.bearer_auth(token.trim())
    };
    let mut statuses = Vec::new();
    for _ in 0..200_000 {
        let status = ask("203.0.113.9", "nonsense").send().await.unwrap().status().as_u16();
        // Open mode lasts until the host has seen the first key.
        statuses.extend((status != 200).then_some(status));
        if status == 429 {
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&429));
    assert!(statuses.len() > 30 && statuses[..30].iter().all(|status| *status == 401), "{statuses:?}");
    assert_eq!(ask("203.0.113.10", &token).send().await.unwrap().status(), 200, "another address is not concerned");
    assert_eq!(ask("203.0.113.9", &token).send().await.unwrap().status(), 200, "nor is a right key from the same");
    assert_eq!(ask("203.0.113.10", "nonsense").send().await.unwrap().status(), 401);
}
