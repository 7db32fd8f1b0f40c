//! Who may come in: keys made by the program and by administrators, and what each lets its holder do.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, run};

/// Makes a key with the program, while the host serves, and gives its token.
fn create(host: &Host, more: &[&str]) -> String {
    let (code, token, log) = keys(host, &[&["create"], more].concat());
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(token.trim()), "the token stands on standard output alone");
    token.trim().to_owned()
}

fn keys(host: &Host, verb: &[&str]) -> (Option<i32>, String, String) {
    run(host.root.path(), &[&["keys", "--profile", "demo", "--state", "var"], verb].concat())
}

/// A request without a tenant, with a token or none.
fn ask(host: &Host, method: Method, path: &str, token: Option<&str>) -> RequestBuilder {
    let request = host.http.request(method, format!("{}{path}", host.url));
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

async fn code(request: RequestBuilder) -> (u16, String) {
    let (status, body) = answer(request).await;
    (status, body["code"].as_str().unwrap_or("ok").to_owned())
}

/// Waits until the host has seen its first key: it looks once a second.
async fn closed(host: &Host) {
    let asked = || ask(host, Method::GET, "/api/keys", None).header("X-Context", "techstart");
    eventually("the first key closes the door", async || code(asked()).await.0 == 401).await;
}

#[tokio::test]
async fn the_first_key_closes_the_door_and_each_role_opens_what_is_its_own() {
    let host = Setup::demo().start().await;
    assert_eq!(code(host.get("/api/mcp/tools/sales")).await.0, 200, "without keys it is open");
    let admin = create(&host, &["--tenant", "techstart", "--role", "admin", "--label", "the boss"]);
    let operator = create(&host, &["--role", "operator"]);
    let agent = create(&host, &["--tenant", "techstart", "--role", "agent", "--agents", "sales"]);
    let viewer = create(&host, &["--tenant", "techstart", "--role", "viewer", "--expires", "90d"]);
    closed(&host).await;

    let test = |token: &str, agent: &str| {
        let asked = json!({"agent_type": agent, "tool_name": "get_current_promotions", "parameters": {}});
        ask(&host, Method::POST, "/api/mcp/test", Some(token)).body(asked.to_string())
    };
    let get = |path: &str, token: &str| ask(&host, Method::GET, path, Some(token));
    let mistyped = format!("{}x", &admin[..admin.len() - 1]);
    for (request, status, wanted) in [
        (ask(&host, Method::GET, "/healthz", None), 200, "ok"),
        (ask(&host, Method::GET, "/openapi.json", None), 200, "ok"),
        (ask(&host, Method::GET, "/metrics", None), 401, "unauthorized"),
        (host.get("/api/mcp/tools/sales"), 401, "unauthorized"),
        (get("/api/mcp/tools/sales", "nonsense"), 401, "unauthorized"),
        (get("/api/mcp/tools/sales", &mistyped), 401, "unauthorized"),
        (ask(&host, Method::POST, "/mcp/techstart/sales", None).body("{}"), 401, "unauthorized"),
        // The tenant is the key's; a header that says otherwise is refused.
        (get("/api/mcp/tools/sales", &viewer), 200, "ok"),
        (get("/api/mcp/tools/sales", &viewer).header("X-Context", "techstart"), 200, "ok"),
        (get("/api/mcp/tools/sales", &viewer).header("X-Context", "fashionboutique"), 403, "context_mismatch"),
        (get("/api/mcp/tools/sales", &operator), 400, "missing_header"),
        (get("/api/mcp/tools/sales", &operator).header("X-Context", "techstart"), 200, "ok"),
        // Roles.
        (test(&viewer, "sales"), 403, "role_too_low"),
        (test(&agent, "sales"), 200, "ok"),
        (test(&agent, "support"), 403, "agent_not_allowed"),
        (get("/api/mcp/tools/support", &agent), 403, "agent_not_allowed"),
        (get("/api/health/datasources/support", &agent), 403, "agent_not_allowed"),
        (get("/api/keys", &agent), 403, "role_too_low"),
        (get("/api/debug/context", &agent), 403, "role_too_low"),
        (get("/api/debug/context", &admin), 200, "ok"),
        (get("/metrics", &admin), 403, "role_too_low"),
        (get("/metrics", &operator), 200, "ok"),
        (ask(&host, Method::POST, "/mcp/fashionboutique/sales", Some(&agent)).body("{}"), 404, "ok"),
        (ask(&host, Method::PUT, "/api/keys", Some(&admin)), 405, "method_not_allowed"),
        (get("/api/no/such/route", &viewer), 404, "not_found"),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(code(request).await, (status, wanted.to_owned()), "{shown}");
    }
    let refused = ask(&host, Method::GET, "/api/keys", None).send().await.unwrap();
    assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"remit\"");
    let (_, health) = answer(get("/api/health/mcp", &agent)).await;
    assert_eq!(health["agents"].as_object().unwrap().keys().collect::<Vec<_>>(), ["sales"], "its own agents alone");
}

#[tokio::test]
async fn an_administrator_makes_and_revokes_the_keys_of_its_tenant_and_no_others() {
    let mut host = Setup::demo().start().await;
    let admin = create(&host, &["--tenant", "techstart", "--role", "admin"]);
    let operator = create(&host, &["--role", "operator"]);
    closed(&host).await;
    let make = |token: &str, wanted: Value| ask(&host, Method::POST, "/api/keys", Some(token)).body(wanted.to_string());
    for (wanted, field) in [
        (json!({"role": "operator"}), "/role"),
        (json!({"role": "root"}), "/role"),
        (json!({"role": "agent", "agents": ["pirates"]}), "/agents/0"),
        (json!({"role": "agent", "agents": []}), "/agents"),
        (json!({"role": "agent", "label": "x".repeat(129)}), "/label"),
        (json!({"role": "agent", "tenant": "fashionboutique"}), "tenant"),
    ] {
        let (status, body) = answer(make(&admin, wanted)).await;
        assert_eq!((status, &body["code"]), (422, &json!("invalid_arguments")), "{body:#}");
        assert!(body.to_string().contains(field), "{field} in {body:#}");
    }
    let (status, made) = answer(make(&admin, json!({"role": "agent", "agents": ["sales"], "expiresInDays": 7}))).await;
    assert_eq!(status, 201, "{made:#}");
    let (token, id) = (made["token"].as_str().unwrap().to_owned(), made["key"]["id"].as_str().unwrap().to_owned());
    assert_eq!(code(ask(&host, Method::GET, "/api/mcp/tools/sales", Some(&token))).await.0, 200);

    let (_, listed) = answer(ask(&host, Method::GET, "/api/keys", Some(&admin))).await;
    assert_eq!(listed["count"], 2, "the operator's is not the tenant's: {listed:#}");
    assert!(!listed.to_string().contains(&token), "a list lets nobody in");
    let operators = operator.split('_').nth(1).unwrap();
    let delete = |id: &str, token: &str| ask(&host, Method::DELETE, &format!("/api/keys/{id}"), Some(token));
    assert_eq!(code(delete(operators, &admin)).await, (404, "not_found".to_owned()));
    assert_eq!(code(delete("nonsense", &admin)).await, (404, "not_found".to_owned()));
    let (status, revoked) = answer(delete(&id, &admin)).await;
    assert_eq!((status, &revoked["revoked"]), (200, &json!(true)));
    assert_eq!(code(ask(&host, Method::GET, "/api/mcp/tools/sales", Some(&token))).await.0, 401, "at once");
    assert_eq!(answer(delete(&id, &admin)).await.1["revoked"], false, "it was before");

    // From outside the host, at once too; and a key that was acknowledged is there after a kill.
    host.kill();
    host.restart();
    let admins = admin.split('_').nth(1).unwrap();
    assert_eq!(code(ask(&host, Method::GET, "/api/keys", Some(&admin))).await.0, 200);
    let (exit, _, log) = keys(&host, &["revoke", admins]);
    assert_eq!(exit, Some(0), "{log}");
    assert_eq!(code(ask(&host, Method::GET, "/api/keys", Some(&admin))).await.0, 401);
    let (_, list, _) = keys(&host, &["list", "--tenant", "techstart"]);
    assert_eq!(list.lines().filter(|line| line.contains("revoked")).count(), 2, "{list}");

    let (_, log) = host.stop();
    for secret in [&admin, &operator, &token] {
        let part = &secret[secret.len() - 20..];
        assert!(!log.contains(part), "a token in the log");
        let journal = std::fs::read(host.root.path().join("var/remit.db")).unwrap();
        assert!(!journal.windows(part.len()).any(|bytes| bytes == part.as_bytes()), "a token in the journal");
    }
}

#[tokio::test]
async fn the_program_makes_no_key_that_nobody_could_use() {
    let host = Setup::demo().start().await;
    for (arguments, said) in [
        (&["create", "--role", "viewer"][..], "--tenant"),
        (&["create", "--role", "root", "--tenant", "techstart"], "no role `root`"),
        (&["create", "--role", "operator", "--tenant", "techstart"], "of no tenant"),
        (&["create", "--role", "agent", "--tenant", "nobody"], "unknown tenant"),
        (&["create", "--role", "agent", "--tenant", "../techstart"], "not a tenant's name"),
        (&["create", "--role", "agent", "--tenant", "techstart", "--agents", "Pirates!"], "agent"),
        (&["create", "--role", "operator", "--expires", "yesterday"], "neither days"),
        (&["create", "--role", "operator", "--expires", "2020-01-01T00:00:00Z"], "is past"),
        (&["revoke", "nonsense"], "no key's id"),
        (&["revoke", "0000000000000000"], "there is no key"),
    ] {
        let (exit, out, log) = keys(&host, arguments);
        assert_eq!((exit, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(log.contains(said), "{arguments:?}: {log}");
    }
    let (exit, out, _) = keys(&host, &["list"]);
    assert_eq!((exit, out.as_str()), (Some(0), ""));
}
