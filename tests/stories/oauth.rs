//! MCP clients with tokens of the tenant's own authorization server: who is let in, who is not, and
//! what a client is told so that it can get a token.

use std::time::{SystemTime, UNIX_EPOCH};

use remit_upstreams::{
    Fault,
    issuer::{Issuer, Signer, signed_with_secret, unsigned},
};
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, run};

const ORIGIN: &str = "https://remit.example.com";
const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

async fn issuer(signers: &[&Signer]) -> Issuer {
    let issuer = Issuer::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    issuer.publish(signers.iter().copied());
    issuer
}

/// A host where one issuer speaks for `techstart`, and another for `other`.
async fn host(techstart: &Issuer, other: &Issuer, retry_seconds: u32) -> Host {
    setup(techstart, other, retry_seconds).start().await
}

fn setup(techstart: &Issuer, other: &Issuer, retry_seconds: u32) -> Setup {
    let settings = format!(
        "publicUrl: {ORIGIN}/\noauth:\n  retrySeconds: {retry_seconds}\n  issuers:\n\
         \x20   - {{issuer: \"{}\", tenants: [techstart], scopes: {{\"remit:agent\": agent, \"remit:see\": viewer}}}}\n\
         \x20   - {{issuer: \"{}\", tenants: [other], scopes: {{\"remit:agent\": agent}}}}\n",
        techstart.name(),
        other.name(),
    );
    Setup::demo().edit(move |root| {
        std::fs::write(root.join("configs/host.yaml"), settings).unwrap();
        std::fs::write(root.join("configs/contexts/other.json"), r#"{"company": {"name": "Other"}}"#).unwrap();
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Good claims, with changes; `null` takes one away.
fn claims(issuer: &Issuer, changes: Value) -> Value {
    let mut claims = json!({
        "iss": issuer.name(), "sub": "ada", "aud": format!("{ORIGIN}/mcp/techstart/sales"),
        "iat": now(), "exp": now() + 300, "scope": "openid remit:agent"
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn ask(host: &Host, path: &str, token: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
    let request = host.http.post(format!("{}{path}", host.url)).header("Content-Type", "application/json");
    let request = request.header("Accept", "application/json, text/event-stream").body(body.into());
    if token.is_empty() { request } else { request.bearer_auth(token) }
}

/// Status, code and challenge of asking for the sales agent's tools.
async fn tried(host: &Host, token: &str) -> (u16, String, String) {
    let response = ask(host, "/mcp/techstart/sales", token, LIST).send().await.unwrap();
    let challenge = response.headers().get("www-authenticate").map(|it| it.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (status, body["code"].as_str().unwrap_or("ok").to_owned(), challenge.unwrap_or_default())
}

#[tokio::test]
async fn a_token_lets_in_at_its_agent_in_both_eras_and_keys_go_on_working() {
    let (curve, rsa) = (Signer::es256("curve").unwrap(), Signer::rsa("rsa").unwrap());
    let (issuer, other) = (issuer(&[&curve, &rsa]).await, issuer(&[]).await);
    let mut host = host(&issuer, &other, 10).await;
    let claims = claims(&issuer, json!({}));
    let (first, second) = (curve.token(&claims).unwrap(), rsa.token(&claims).unwrap());
    for token in [&first, &second] {
        let (status, body) = answer(ask(&host, "/mcp/techstart/sales", token, LIST)).await;
        assert_eq!((status, body["result"]["tools"].as_array().map(Vec::len)), (200, Some(6)), "{body:#}");
        let call = json!({"name": "search_customers", "arguments": {"query": "ACME", "limit": 2}});
        let older = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call});
        let (status, body) = answer(ask(&host, "/mcp/techstart/sales", token, older.to_string())).await;
        assert_eq!((status, &body["result"]["structuredContent"]["total"]), (200, &json!(2)), "{body:#}");
        for (method, name, params) in [("tools/list", None, json!({})), ("tools/call", Some("search_customers"), call)]
        {
            let (status, body) = answer(newer(&host, token, method, name, params)).await;
            assert_eq!(status, 200, "{body:#}");
            assert!(
                body["result"]["tools"].is_array() || body["result"]["structuredContent"]["total"] == 2,
                "{body:#}"
            );
        }
    }
    assert_eq!(issuer.asked(), 1);

    // Anywhere else a token is nothing, and a key is what it was.
    let key = |more: &[&str]| {
        let make = ["keys", "create", "--profile", "demo", "--state", "var", "--tenant", "techstart", "--role"];
        run(host.root.path(), &[&make[..], more].concat()).1.trim().to_owned()
    };
    let (agent, viewer) = (key(&["agent"]), key(&["viewer"]));
    for (token, wanted) in [(&first, 401), (&agent, 200), (&String::new(), 401)] {
        let request = host.http.get(format!("{}/api/mcp/tools/sales", host.url)).bearer_auth(token);
        assert_eq!(answer(request).await.0, wanted);
    }
    assert_eq!(tried(&host, &agent).await.0, 200);
    assert_eq!(tried(&host, &viewer).await, (403, "role_too_low".to_owned(), String::new()));
    let (status, code, challenge) = tried(&host, &format!("{agent}x")).await;
    assert_eq!((status, code.as_str()), (401, "unauthorized"));
    assert!(challenge.contains("invalid_token") && challenge.contains("resource_metadata="), "{challenge}");

    let (exit, log) = host.stop();
    assert_eq!(exit, Some(0));
    let audits = log.lines().filter(|line| line.contains("remit::audit")).collect::<Vec<_>>();
    let actor = format!("\"actor\":\"oauth:{}#ada\"", issuer.name());
    assert!(audits.len() == 4 && audits.iter().all(|line| line.contains(&actor)), "{audits:#?}");
    for token in [&first, &second] {
        assert!(!log.contains(token.rsplit('.').next().unwrap()), "a token in the log");
    }
}

/// As the protocol of 2026-07-28 has it: version and capabilities in each request.
fn newer(host: &Host, token: &str, method: &str, name: Option<&str>, mut params: Value) -> reqwest::RequestBuilder {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let body = json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params});
    let request = ask(host, "/mcp/techstart/sales", token, body.to_string());
    let request = request.header("MCP-Protocol-Version", "2026-07-28").header("Mcp-Method", method);
    match name {
        Some(name) => request.header("Mcp-Name", name),
        None => request,
    }
}

#[tokio::test]
async fn a_token_that_is_not_for_here_and_now_lets_nobody_in() {
    let (signer, stranger, rsa) =
        (Signer::es256("a").unwrap(), Signer::es256("a").unwrap(), Signer::rsa("rsa").unwrap());
    let (issuer, other) = (issuer(&[&signer, &rsa]).await, issuer(&[&stranger]).await);
    let host = host(&issuer, &other, 3600).await;
    let good = claims(&issuer, json!({}));
    let changed = |changes: Value| signer.token(&claims(&issuer, changes)).unwrap();
    let audience = |path: &str| json!({ "aud": format!("{ORIGIN}/mcp/{path}") });
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    let public = rsa.jwk()["n"].as_str().unwrap().to_owned();
    let modulus = public.as_bytes();
    for (why, token) in [
        ("another tenant", changed(audience("other/sales"))),
        ("another agent", changed(audience("techstart/support"))),
        ("the host", changed(json!({"aud": ORIGIN}))),
        ("no audience", changed(json!({"aud": null}))),
        ("an unknown issuer", changed(json!({"iss": "https://login.example.org"}))),
        ("expired", changed(json!({"exp": now() - 60}))),
        ("not yet valid", changed(json!({"nbf": now() + 120}))),
        ("without an end", changed(json!({"exp": null}))),
        ("alg none", format!("{}.", unsigned(&header("none", "a"), &good))),
        ("HS256 with the public key", signed_with_secret(&header("HS256", "rsa"), &good, modulus)),
        ("an unknown key", signer.token_with(&header("ES256", "b"), &good).unwrap()),
        ("another's signature", stranger.token(&good).unwrap()),
        ("another tenant's issuer", stranger.token(&claims(&other, json!({}))).unwrap()),
        ("huge", changed(json!({"padding": "x".repeat(9_000)}))),
        ("no token", "nonsense".to_owned()),
    ] {
        let (status, code, challenge) = tried(&host, &token).await;
        assert_eq!((status, code.as_str()), (401, "unauthorized"), "{why}");
        let expected = format!(
            "Bearer realm=\"remit\", error=\"invalid_token\", scope=\"remit:agent\", \
             resource_metadata=\"{ORIGIN}{METADATA}/techstart/sales\""
        );
        assert_eq!(challenge, expected, "{why}");
    }
    for scope in [json!(null), json!("openid"), json!("remit:see")] {
        let (status, code, challenge) = tried(&host, &changed(json!({ "scope": scope }))).await;
        assert_eq!((status, code.as_str()), (403, "insufficient_scope"), "{scope}");
        assert!(challenge.contains("error=\"insufficient_scope\", scope=\"remit:agent\", resource_metadata="));
    }
    // The other tenant's issuer lets in there and not here; its token names the place.
    let theirs = stranger.token(&claims(&other, audience("other/sales"))).unwrap();
    assert_eq!(tried(&host, &theirs).await.0, 401);
    let (status, body) = answer(ask(&host, "/mcp/other/sales", &theirs, LIST)).await;
    assert_eq!((status, &body["error"]["data"]["code"]), (404, &json!("unknown_agent")), "let in: {body:#}");
    // However many keys tokens name, the issuer is asked for its own once.
    for at in 0..30 {
        let token = signer.token_with(&header("ES256", &format!("made-up-{at}")), &good).unwrap();
        assert_eq!(tried(&host, &token).await.0, 401);
    }
    assert_eq!((issuer.asked(), tried(&host, &signer.token(&good).unwrap()).await.0), (1, 200));
}

#[tokio::test]
async fn a_client_is_told_where_tokens_come_from_and_nothing_else() {
    let signer = Signer::es256("a").unwrap();
    let (issuer, other) = (issuer(&[&signer]).await, issuer(&[]).await);
    let host = host(&issuer, &other, 10).await;
    let (status, code, challenge) = tried(&host, "").await;
    assert_eq!((status, code.as_str()), (401, "unauthorized"));
    let metadata = challenge.split("resource_metadata=\"").nth(1).and_then(|it| it.strip_suffix('"')).unwrap();
    assert!(!challenge.contains("error="), "nothing was wrong with what was not sent: {challenge}");
    let path = metadata.strip_prefix(ORIGIN).unwrap();
    let (status, said) = answer(host.http.get(format!("{}{path}", host.url))).await;
    let expected = json!({
        "resource": format!("{ORIGIN}/mcp/techstart/sales"),
        "authorization_servers": [issuer.name()],
        "scopes_supported": ["remit:agent"],
        "bearer_methods_supported": ["header"]
    });
    assert_eq!((status, said), (200, expected));
    let mut answers = Vec::new();
    for unknown in ["techstart/pirates", "nobody/sales", "other/sales", "Techstart/sales", "techstart/a%20b"] {
        answers.push((unknown, answer(host.http.get(format!("{}{METADATA}/{unknown}", host.url))).await));
    }
    assert!(answers.iter().all(|(_, said)| *said == answers[0].1), "{answers:#?}");
    assert_eq!((answers[0].1.0, &answers[0].1.1["code"]), (404, &json!("no_issuer")));
    // Of a tenant without an issuer there is nothing to tell, whether it is there or not.
    let response = ask(&host, "/mcp/nobody/sales", "", LIST).send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"remit\"");
}

#[tokio::test]
async fn a_withdrawn_key_lets_nobody_in_and_an_issuer_that_is_down_says_when_to_come_back() {
    let (old, new) = (Signer::es256("old").unwrap(), Signer::eddsa("new").unwrap());
    let (issuer, other) = (issuer(&[&old]).await, issuer(&[]).await);
    issuer.running.faults().always(Fault::status(503));
    let host = host(&issuer, &other, 1).await;
    let good = claims(&issuer, json!({}));
    let (first, second) = (old.token(&good).unwrap(), new.token(&good).unwrap());
    let response = ask(&host, "/mcp/techstart/sales", &first, LIST).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(tried(&host, &first).await.1, "issuer_unavailable");
    issuer.running.faults().clear();
    let until_let_in = async |token: &str| {
        for _ in 0..20_000 {
            if tried(&host, token).await.0 == 200 {
                return;
            }
        }
        panic!("never let in");
    };
    until_let_in(&first).await;
    issuer.publish([&new]);
    until_let_in(&second).await;
    assert_eq!(tried(&host, &first).await.0, 401, "the key is withdrawn");
    // What was fetched is good while the issuer is down.
    issuer.running.faults().always(Fault::Close);
    assert_eq!((tried(&host, &second).await.0, tried(&host, &first).await.0), (200, 401));
}

#[tokio::test]
async fn each_who_comes_with_a_token_has_quotas_of_their_own() {
    let signer = Signer::es256("a").unwrap();
    let (issuer, other) = (issuer(&[&signer]).await, issuer(&[]).await);
    let with = "scopes: {\"remit:agent\": agent, \"remit:see\": viewer}";
    let bounded = move |root: &std::path::Path| {
        let file = root.join("configs/host.yaml");
        let settings = std::fs::read_to_string(&file).unwrap();
        assert!(settings.contains(with), "{settings}");
        std::fs::write(&file, settings.replace(with, &format!("{with}, quotas: {{callsPerDay: 2}}"))).unwrap();
    };
    let host = setup(&issuer, &other, 10).edit(bounded).start().await;
    let token = |name: &str| signer.token(&claims(&issuer, json!({ "sub": name }))).unwrap();
    let call = json!({"name": "search_customers", "arguments": {"query": "ACME", "limit": 2}});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}).to_string();
    let failed = async |name: &str| {
        let (status, body) = answer(ask(&host, "/mcp/techstart/sales", &token(name), call.clone())).await;
        assert_eq!(status, 200, "{body:#}");
        (body["result"]["isError"] == json!(true)).then(|| body["result"]["content"][0]["text"].to_string())
    };
    assert_eq!((failed("ada").await, failed("ada").await), (None, None));
    let said = failed("ada").await.unwrap();
    assert!(said.contains("quota_exceeded") && said.contains("this subject has used up its callsPerDay (2)"), "{said}");
    assert_eq!(failed("bob").await, None, "another is not concerned");
    let (_, usage) = answer(host.get("/api/usage")).await;
    assert!(!usage.to_string().contains("ada"), "whoever has only a token is not listed: {usage:#}");
}
