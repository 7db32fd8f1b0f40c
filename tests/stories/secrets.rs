//! No secret is told: a canary in every place where a secret may stand, good and failing calls through every
//! door, and then a look through all that came out and all that was kept.

use std::fs;

use remit_upstreams::Fault;
use serde_json::{Value, json};

use super::hostile::{setup, walk};
use crate::host::{Host, SALESFORCE_TOKEN, SHOPIFY_TOKEN, answer, run};

/// Each with the variable that holds it, and what stands around it there.
const CANARIES: [(&str, &str, &str); 15] = [
    ("TECHSTART_LEDGER_URI", "mysql://ledger:{}@127.0.0.1:1/books", "canary-of-a-uri-1d0e"),
    ("TECHSTART_STOCK_USER", "{}", "canary-of-a-user-52aa"),
    ("TECHSTART_STOCK_PASS", "{}", "canary-of-a-password-9f31"),
    ("TECHSTART_PARCELS_TOKEN", "{}", "canary-of-a-token-0c77"),
    ("TECHSTART_BILLS_USER", "{}", "canary-of-a-basic-user-88d1"),
    ("TECHSTART_BILLS_PASS", "{}", "canary-of-a-basic-word-4410"),
    ("TECHSTART_ZENDESK_TOKEN", "{}", "canary-of-zendesk-e0e0"),
    ("TECHSTART_GSHEETS_KEY_FILE", "{key_file}", "canary-of-a-private-key-71b9"),
    ("TECHSTART_S3_ACCESS_KEY", "{}", "canary-of-an-access-key-3a3a"),
    ("TECHSTART_S3_SECRET_KEY", "{}", "canary-of-a-secret-key-c001"),
    ("TECHSTART_HOOK_WEBHOOK", "http://127.0.0.1:1/services/{}", "canary-of-a-webhook-5e5e"),
    ("EMAIL_SMTP_PASS", "{}", "canary-of-a-mail-password-77f0"),
    ("TECHSTART_MONGO_URI", "mongodb://events:{}@127.0.0.1:1/events", "canary-of-mongo-6b6b"),
    ("OPENAI_API_KEY", "{}", "sk-canary-of-the-model-d9d9"),
    ("SLACK_BOT_TOKEN", "{}", "xoxb-canary-of-slack-1234"),
];

/// A host with a source for every kind of secret, all of them mapped for the sales agent.
async fn host(key_file: &str) -> Host {
    let mut setup = setup(&["hostile-calls"]).hostile("calls").patch("configs/contexts/techstart.json", |context| {
        let sources = &mut context["dataSources"];
        let mysql = |more: Value| {
            let mut source = json!({"type": "mysql"});
            source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            source
        };
        sources["databases"]["ledger"] = mysql(json!({"credentials": "TECHSTART_LEDGER"}));
        let at = json!({"host": "127.0.0.1", "port": 1, "database": "stock", "credentials": "TECHSTART_STOCK"});
        sources["databases"]["stock"] = mysql(at);
        let unset = json!({"host": "127.0.0.1", "port": 1, "database": "stock", "credentials": "TECHSTART_UNSET"});
        sources["databases"]["unset"] = mysql(unset);
        let rest = |auth: &str, credentials: &str| {
            json!({"provider": "rest", "baseUrl": "http://127.0.0.1:1/v1", "auth": auth, "credentials": credentials})
        };
        sources["apis"]["parcels"] = rest("bearer", "TECHSTART_PARCELS");
        sources["apis"]["bills"] = rest("basic", "TECHSTART_BILLS");
        let sales = &mut context["agentMappings"]["sales"];
        let mapped: Vec<&str> = ["primary", "crm", "ecommerce", "ledger", "stock", "unset", "parcels", "bills"].into();
        sales["dataSources"] = json!(mapped);
        let slack = &mut context["notifications"]["slack"];
        slack["credentials"] = json!("TECHSTART_HOOK");
        slack.as_object_mut().unwrap().remove("webhook");
    });
    for (variable, around, canary) in CANARIES {
        let value = if around == "{key_file}" { key_file.to_owned() } else { around.replace("{}", canary) };
        setup = setup.env(variable, value);
    }
    let setup = setup.settings_instead("dryRun: true", "dryRun: false");
    let setup = setup.env("EMAIL_SMTP_HOST", "127.0.0.1").env("EMAIL_SMTP_PORT", "1").env("EMAIL_SMTP_USER", "apikey");
    setup.env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1").start().await
}

/// Everything that somebody outside was told.
#[derive(Default)]
struct Seen(String);

impl Seen {
    async fn take(&mut self, request: reqwest::RequestBuilder) -> u16 {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        self.0 += &format!("{:?}\n", response.headers());
        self.0 += &String::from_utf8_lossy(&response.bytes().await.unwrap());
        status
    }
}

#[tokio::test]
async fn no_secret_leaves_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.json");
    let canary = CANARIES.iter().find(|(_, around, _)| *around == "{key_file}").unwrap().2;
    fs::write(&key_file, json!({"type": "service_account", "private_key": canary}).to_string()).unwrap();
    let mut host = host(key_file.to_str().unwrap()).await;
    let mut seen = Seen::default();

    doors(&host, &mut seen).await;
    // The same, while the shop fails in one way after another.
    let html = "<html>nginx</html>".to_owned();
    for fault in [
        Fault::status(401),
        Fault::status(500),
        Fault::Close,
        Fault::Answer { status: axum::http::StatusCode::OK, content_type: "text/html", body: html },
    ] {
        host.shopify.faults().always(fault);
        doors(&host, &mut seen).await;
    }
    host.shopify.faults().clear();
    guests(&host, &mut seen).await;

    let (code, key, log) = run(
        host.root.path(),
        &["keys", "--profile", "demo", "--state", "var", "create", "--tenant", "techstart", "--role", "admin"],
    );
    assert_eq!(code, Some(0), "{log}");
    let key = key.trim().to_owned();
    seen.0 += &log;
    for path in ["/api/keys", "/api/audit?limit=1000", "/api/usage", "/api/debug/context"] {
        seen.take(host.get(path).bearer_auth(&key)).await;
    }
    seen.take(host.get("/api/keys").bearer_auth(format!("{key}x"))).await;

    for verb in [&["check", "--profile", "demo"][..], &["audit", "verify", "--profile", "demo", "--state", "var"]] {
        let (_, out, log) = run(host.root.path(), verb);
        seen.0 += &out;
        seen.0 += &log;
    }
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("TECHSTART_UNSET_USER"), "what is missing is reported by name: {log}");
    seen.0 += &log;
    let mut kept = 0;
    for file in walk(&host.root.path().join("var")) {
        let bytes = fs::read(&file).unwrap();
        kept += usize::from(file.ends_with("remit.db"));
        for secret in secrets(&key) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is kept in {file}");
        }
    }
    assert_eq!(kept, 1, "the journal was looked through");
    assert!(seen.0.len() > 100_000 && seen.0.contains("escape_api"), "something was looked through");
    for secret in secrets(&key) {
        assert!(!seen.0.contains(secret), "{secret} was told");
    }
}

fn secrets(key: &str) -> impl Iterator<Item = &str> {
    CANARIES.into_iter().map(|(_, _, canary)| canary).chain([SHOPIFY_TOKEN, SALESFORCE_TOKEN, key])
}

/// Every door once, with what goes well and what does not.
async fn doors(host: &Host, seen: &mut Seen) {
    for path in [
        "/api/debug/context",
        "/api/health/mcp",
        "/api/health/datasources/sales",
        "/api/mcp/tools/sales",
        "/api/mcp/resources/sales",
        "/api/mcp/resources/sales/customer_context",
        "/api/audit",
        "/api/usage",
        "/api/notifications",
        "/metrics",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/api/no/such/route",
    ] {
        seen.take(host.get(path)).await;
    }
    let product = remit_upstreams::data::catalogue::catalogue().first().unwrap().id.to_string();
    for (tool, parameters) in [
        ("search_customers", json!({"query": "ACME Corp"})),
        ("search_customers", json!({"query": 5})),
        ("check_inventory", json!({"product_id": product})),
        ("check_inventory", json!({"product_id": "nobody has it"})),
        ("update_customer_notes", json!({"customer_id": "cust_123", "notes": "x"})),
        ("no_such_tool", json!({})),
    ] {
        let asked = json!({"agent_type": "sales", "tool_name": tool, "parameters": parameters});
        seen.take(host.post("/api/mcp/test", asked.to_string())).await;
        let called = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": parameters}
        });
        let mcp = host.http.post(format!("{}/mcp/techstart/sales", host.url)).body(called.to_string());
        let mcp =
            mcp.header("Content-Type", "application/json").header("Accept", "application/json, text/event-stream");
        seen.take(mcp).await;
    }
    let said = json!({"message": "Check the inventory of product 1"});
    let status = seen.take(host.post("/api/sales/chat", said.to_string())).await;
    assert_eq!(status, 503, "its model can't be reached");
    let upload = host.post("/api/plugins", b"\0asm but no component".to_vec());
    assert_eq!(seen.take(upload.header("Content-Type", "application/wasm")).await, 422);
}

/// What a hostile guest finds, and what it is told when it is refused.
async fn guests(host: &Host, seen: &mut Seen) {
    for (tool, parameters) in [
        ("environment", json!({})),
        ("speak", json!({})),
        ("open_ungranted", json!({"name": "ledger"})),
        ("open_ungranted", json!({"name": "parcels"})),
        ("escape_api", json!({"path": "http://127.0.0.1:1/"})),
        ("escape_api", json!({"path": "products.json", "header": ["X-Shopify-Access-Token", "mine"]})),
        ("escape_api", json!({"path": "products.json", "method": "delete"})),
        ("write_read_only", json!({"statement": "ATTACH DATABASE 'x' AS y", "through": "query"})),
        ("write_read_only", json!({"statement": "SELECT * FROM no_such_table", "through": "query"})),
        ("mail", json!({"to": ["a@x.example"], "subject": "x", "text": "x"})),
        ("mail", json!({"to": ["a@x.example"], "template": "../x"})),
        ("post", json!({"room": "#order-review", "text": "x"})),
        ("post", json!({"room": "#order-review", "text": "x", "update": "x"})),
        ("trap", json!({})),
    ] {
        let (_, body) = host.tool(tool, parameters).await;
        seen.0 += &format!("{tool} {body}");
    }
    let (_, found) = answer(host.get("/api/audit?limit=1000")).await;
    seen.0 += &found.to_string();
}
