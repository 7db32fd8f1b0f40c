//! Messages to people through the whole host: by real mail, at a stand-in of Slack, and kept in the demo.

use std::{fs, path::Path, process::Command};

use remit_upstreams::{Fault, program::Program, slack};
use serde_json::{Value, json};

use super::clients::tool;
use crate::host::{Host, Setup, answer, eventually, patch_json, repository, run};

/// The demo with a guest that tells whatever it is asked to, in place of nobody.
fn telling() -> Setup {
    Setup::demo().hostile("calls").patch("configs/contexts/techstart.json", |context| {
        context["agentMappings"]["sales"]["mcpServer"] = json!(["techstart-crm", "hostile-calls"]);
    })
}

/// The same, and what it tells is sent.
fn sending() -> Setup {
    telling().settings_instead("dryRun: true", "dryRun: false")
}

/// What became of a message.
async fn told(host: &Host, tool: &str, message: Value) -> String {
    let told = host.result(tool, message).await;
    first(&told).unwrap_or_else(|| panic!("{told:#}"))
}

/// The first text of an answer, whatever it is wrapped in.
fn first(answer: &Value) -> Option<String> {
    match answer {
        Value::String(text) => Some(text.clone()),
        Value::Array(all) => all.iter().find_map(first),
        Value::Object(all) => all.values().find_map(first),
        _ => None,
    }
}

fn id(told: &str) -> &str {
    told.strip_prefix("sent: ").unwrap_or_else(|| panic!("{told}"))
}

/// A real mail server, and the folder in which it keeps what it takes.
fn mail_server(folder: &Path, tls: bool) -> Option<Program> {
    let python = tool("venv/bin/python")?;
    let script = repository().join("tests/clients/smtp.py");
    let server = Program::start(&python, |port: u16, command: &mut Command| {
        command.arg(script).arg(port.to_string()).arg(folder).args(tls.then_some("tls"));
    });
    Some(server.unwrap())
}

/// The mails that came, in no order.
fn mails(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("mail/new")).into_iter().flatten();
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn the_demo_shows_what_it_would_have_sent() {
    let mut host = telling().start().await;
    let posted =
        told(&host, "post", json!({"room": "#order-review", "text": "Order 17", "blocks": "[{\"type\":\"divider\"}]"}))
            .await;
    told(&host, "post", json!({"text": "To our own room"})).await;
    told(&host, "post", json!({"update": id(&posted), "text": "Order 17 is fine"})).await;
    let data = json!({"name": "Ada <b>", "slots": ["Monday"]}).to_string();
    let mail = json!({"to": ["john@acmecorp.com"], "template": "high_value_lead", "data": data});
    told(&host, "mail", mail).await;

    let (status, shown) = answer(host.get("/api/notifications")).await;
    assert_eq!((status, &shown["success"], &shown["dryRun"]), (200, &json!(true), &json!(true)));
    let all = shown["notifications"].as_array().unwrap();
    let [mail, update, own, post] = all.as_slice() else { panic!("{shown:#}") };
    assert_eq!((&mail["kind"], &mail["to"]), (&json!("mail"), &json!(["john@acmecorp.com"])));
    assert_eq!(mail["subject"], "Let's schedule your demo of TechStart");
    assert!(mail["text"].as_str().unwrap().contains("Hello Ada <b>,"), "{mail:#}");
    let html = mail["html"].as_str().unwrap();
    assert!(html.contains("Hello Ada &lt;b&gt;") && html.contains("<li>Monday</li>"), "{html}");
    assert_eq!((&own["room"], &own["agent"]), (&json!("#techstart-sales"), &json!("sales")));
    assert_eq!((&post["room"], &post["blocks"][0]["type"]), (&json!("#order-review"), &json!("divider")));
    assert_eq!((&update["kind"], &update["id"]), (&json!("update"), &post["id"]));
    let (_, one) = answer(host.get("/api/notifications?limit=1")).await;
    assert_eq!(one["notifications"], json!([mail]));
    assert_eq!(answer(host.get("/api/notifications?limit=x")).await.0, 400);

    // With keys, it is for administrators of the tenant.
    let key = |role: &str| {
        let arguments =
            ["keys", "--profile", "demo", "--state", "var", "create", "--tenant", "techstart", "--role", role];
        let (code, key, log) = run(host.root.path(), &arguments);
        assert_eq!(code, Some(0), "{log}");
        key.trim().to_owned()
    };
    let (viewer, admin) = (key("viewer"), key("admin"));
    eventually("keys are asked for", async || answer(host.get("/api/notifications")).await.0 == 401).await;
    for (key, status) in [(viewer, 403), (admin, 200)] {
        assert_eq!(answer(host.get("/api/notifications").bearer_auth(key)).await.0, status);
    }
    let (_, log) = host.stop();
    for word in ["john@acmecorp.com", "Order 17", "order-review", "Ada"] {
        assert!(!log.contains(word), "{word} is in the log");
    }
}

#[tokio::test]
async fn nobody_is_told_what_the_mapping_does_not_permit() {
    let host = telling()
        .patch("configs/contexts/techstart.json", |context| {
            context["notifications"]["email"]["to"] = json!(["*@acmecorp.com", "*@techstart.com"]);
        })
        .edit(|root| {
            // A template of another tenant, which this one's context can't name either.
            let other = root.join("configs/templates/other/secret");
            fs::create_dir_all(&other).unwrap();
            fs::write(other.join("body.txt"), "canary of another tenant").unwrap();
        })
        .start()
        .await;
    for (tool, message, cause) in [
        ("post", json!({"room": "#general", "text": "x"}), "Denied"),
        ("post", json!({"room": "#techstart-support", "text": "x"}), "Denied"),
        ("post", json!({"room": "#order-review\n#general", "text": "x"}), "Invalid"),
        ("post", json!({"room": "#order-review", "text": "x", "times": 65537}), "max-message-bytes"),
        ("post", json!({"room": "#order-review", "text": ""}), "Invalid"),
        ("post", json!({"update": "#order-review/C1/1.1/00", "text": "x"}), "NotFound"),
        ("post", json!({"channel": "email", "text": "x"}), "Denied"),
        ("mail", json!({"channel": "slack", "to": ["a@acmecorp.com"], "subject": "x", "text": "x"}), "Denied"),
        ("mail", json!({"to": ["a@evil.example"], "subject": "x", "text": "x"}), "Denied"),
        ("mail", json!({"to": ["a@acmecorp.com"], "bcc": ["b@evil.example"], "subject": "x", "text": "x"}), "Denied"),
        ("mail", json!({"to": ["a@acmecorp.com\r\nBcc: b@evil.example"], "subject": "x", "text": "x"}), "Invalid"),
        ("mail", json!({"to": ["a@acmecorp.com"], "subject": "x\r\nBcc: b@evil.example", "text": "x"}), "Invalid"),
        ("mail", json!({"to": vec!["a@acmecorp.com"; 51], "subject": "x", "text": "x"}), "max-recipients"),
        ("mail", json!({"to": ["a@acmecorp.com"], "subject": "x", "text": "x", "times": 65537}), "max-message-bytes"),
        ("mail", json!({"to": ["a@acmecorp.com"], "template": "support"}), "Denied"),
        ("mail", json!({"to": ["a@acmecorp.com"], "template": "../other/secret"}), "Denied"),
        ("mail", json!({"to": ["a@acmecorp.com"], "template": "secret"}), "Denied"),
        ("mail", json!({"to": ["a@acmecorp.com"], "template": "welcome", "data": "[]"}), "Invalid"),
        ("mail", json!({"to": ["a@acmecorp.com"], "template": "high_value_lead", "data": "{\"slots\": 5}"}), "Invalid"),
        ("mail", json!({"to": [], "subject": "x", "text": "x"}), "Invalid"),
        (
            "mail",
            json!({"to": ["a@acmecorp.com"], "subject": "x", "text": "x", "attachments": [["../x", "a/b", 1]]}),
            "Invalid",
        ),
        (
            "mail",
            json!({"to": ["a@acmecorp.com"], "subject": "x", "text": "x", "attachments": [["x", "a/b", 5_000_000]]}),
            "max-attachment-bytes",
        ),
        ("mail_reading", json!({"to": ["a@acmecorp.com"], "subject": "x", "text": "x"}), "Denied"),
    ] {
        let told = told(&host, tool, message.clone()).await;
        assert!(told.contains(cause), "{tool} {message}: {told}");
        assert!(!told.contains("canary"), "{told}");
    }
    let (_, shown) = answer(host.get("/api/notifications")).await;
    assert_eq!(shown["notifications"], json!([]), "nothing went out");

    let many =
        host.result("mail", json!({"to": ["a@acmecorp.com"], "subject": "x", "text": "x", "messages": 22})).await;
    let many = many["items"].as_array().unwrap();
    assert!(many[..20].iter().all(|it| it.as_str().unwrap().starts_with("sent: ")), "{many:?}");
    assert!(many[20..].iter().all(|it| it.as_str().unwrap().contains("max-messages")), "{many:?}");

    let audit = host.audit().await;
    let shown: String = audit.iter().filter_map(|row| row.operations.clone()).map(|it| it.to_string()).collect();
    assert!(shown.contains(r#""operation":"send""#) && shown.contains("denied"), "{shown}");
    assert!(!shown.contains("acmecorp") && !shown.contains("evil.example"), "{shown}");
}

#[tokio::test]
async fn an_agent_without_a_channel_has_none() {
    let host = telling()
        .patch("configs/contexts/techstart.json", |context| {
            context.as_object_mut().unwrap().remove("notifications");
            for (_, mapping) in context["agentMappings"].as_object_mut().unwrap() {
                mapping.as_object_mut().unwrap().remove("notifications");
            }
        })
        .start()
        .await;
    for tool in ["post", "mail"] {
        let (status, body) = host.tool(tool, json!({"subject": "x", "text": "x"})).await;
        assert_eq!((status, &body["code"]), (403, &json!("permission_denied")), "{tool}: {body:#}");
    }
    let (status, body) = host.tool("mail_reading", json!({"subject": "x"})).await;
    assert_eq!(status, 403, "a need that is not granted is no call: {body:#}");
}

#[tokio::test]
async fn a_mail_arrives_and_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = mail_server(folder.path(), false) else { return };
    let setup = sending().env("EMAIL_SMTP_HOST", "127.0.0.1").env("EMAIL_SMTP_PORT", server.port.to_string());
    let mut host = setup.start().await;
    let data = json!({"name": "Grüße", "company": "ACME"}).to_string();
    let mail = json!({
        "to": ["john@acmecorp.com"], "bcc": ["hidden@acmecorp.com"], "subject": "Let's schedule a demo - TechStart Inc",
        "template": "high_value_lead", "data": data, "key": "run-1/schedule_demo",
        "attachments": [["price list.pdf", "application/pdf", 1000]]
    });
    let first = told(&host, "mail", mail.clone()).await;
    assert_eq!(told(&host, "mail", mail.clone()).await, first);
    // Whatever becomes of the host.
    host.kill();
    host.restart();
    assert_eq!(told(&host, "mail", mail).await, first);
    let arrived = mails(folder.path());
    let [mail] = arrived.as_slice() else { panic!("{arrived:?}") };
    for part in [
        "From: noreply@techstart.com",
        "To: john@acmecorp.com",
        "Subject: Let's schedule a demo - TechStart Inc",
        "X-RcptTo: john@acmecorp.com, hidden@acmecorp.com",
        "multipart/alternative",
        "text/html",
        "filename=\"price list.pdf\"",
        "on behalf of ACME",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    assert!(mail.contains(&format!("Message-ID: <{}>", id(&first))), "{mail}");

    // Templates are read anew when they change, and a faulty one takes no good one's place.
    let template = host.root.path().join("configs/templates/techstart/techstart-welcome-template/body.txt");
    fs::write(&template, "A new welcome, {{ name }}").unwrap();
    let welcome = json!({"to": ["a@x.example"], "template": "welcome", "data": "{\"name\": \"Ada\"}"});
    eventually("the new template is used", async || {
        id(&told(&host, "mail", welcome.clone()).await);
        mails(folder.path()).iter().any(|mail| mail.contains("A new welcome, Ada"))
    })
    .await;
    fs::write(&template, "{% if %}").unwrap();
    let stale = async || {
        let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
        figures.as_str().unwrap().contains("remit_tenants{state=\"stale\"} 1")
    };
    eventually("the fault is seen", stale).await;
    assert!(told(&host, "mail", welcome).await.starts_with("sent: "));
    let (_, health) = answer(host.get("/api/health/datasources/sales")).await;
    assert_eq!(health["data_sources"]["email"]["status"], "healthy", "{health:#}");
    drop(server);
    let (_, log) = host.stop();
    assert!(log.contains("techstart-welcome-template/body.txt:1:1"), "{log}");
    assert!(!log.contains("acmecorp.com") && !log.contains("Let's schedule"), "{log}");
}

#[tokio::test]
async fn a_mail_goes_encrypted_to_a_server_that_is_trusted_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = mail_server(folder.path(), true) else { return };
    let setup = |trusted: &Path| {
        sending()
            .env("EMAIL_SMTP_HOST", "localhost")
            .env("EMAIL_SMTP_PORT", server.port.to_string())
            .env("EMAIL_SMTP_USER", "apikey")
            .env("EMAIL_SMTP_PASS", "demo-smtp-password")
            .env("SSL_CERT_FILE", trusted.display().to_string())
    };
    let mail = json!({"to": ["john@acmecorp.com"], "subject": "x", "text": "By TLS"});
    let host = setup(&folder.path().join("ca.pem")).start().await;
    let sent = told(&host, "mail", mail.clone()).await;
    assert!(sent.starts_with("sent: "), "{sent}");
    assert!(mails(folder.path()).iter().any(|mail| mail.contains("By TLS")));

    let wrong = setup(&folder.path().join("ca.pem")).env("EMAIL_SMTP_PASS", "wrong").start().await;
    let refused = told(&wrong, "mail", mail.clone()).await;
    assert!(refused.contains("Rejected") && refused.contains("535"), "{refused}");
    let mistrusting = setup(&folder.path().join("server.pem")).start().await;
    let refused = told(&mistrusting, "mail", mail).await;
    // Either the handshake's failure is seen, or the server's silence after it.
    assert!(refused.contains("Unavailable"), "{refused}");
    assert_eq!(mails(folder.path()).len(), 1);
}

#[tokio::test]
async fn slack_is_posted_to_by_the_bot_and_its_troubles_are_told() {
    let workspace = slack::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let host = sending().env("SLACK_BOT_TOKEN", slack::TOKEN).env("SLACK_BOT_URI", workspace.url()).start().await;
    let blocks = json!([{"type": "header", "text": {"type": "plain_text", "text": "Order Flagged"}}]).to_string();
    let first = told(&host, "post", json!({"room": "#fraud-review", "blocks": blocks, "key": "run-2/flag"})).await;
    let again = told(&host, "post", json!({"room": "#fraud-review", "blocks": blocks, "key": "run-2/flag"})).await;
    assert_eq!((first.as_str(), workspace.received().len()), (again.as_str(), 1));
    let answer_to = json!({"room": "#fraud-review", "text": "Looked at", "thread": id(&first)});
    assert!(told(&host, "post", answer_to).await.starts_with("sent: "));
    assert!(told(&host, "post", json!({"update": id(&first), "text": "Approved"})).await.starts_with("sent: "));
    let last = workspace.received().last().unwrap().clone();
    assert_eq!((last.path.as_str(), &last.json().unwrap()["text"]), ("/api/chat.update", &json!("Approved")));

    let ask = async || told(&host, "post", json!({"room": "#hot-leads", "text": "A lead"})).await;
    let busy = Fault::Status { status: axum::http::StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(3) };
    workspace.faults().once(busy);
    let throttled = ask().await;
    assert!(throttled.contains("Throttled") && throttled.contains("3000"), "{throttled}");
    workspace.faults().once(Fault::status(500));
    assert!(ask().await.contains("Uncertain"));
    let health = answer(host.get("/api/health/datasources/sales")).await.1;
    assert_eq!(health["data_sources"]["slack"]["status"], "healthy", "{health:#}");

    // A room that is taken away is closed to the next call.
    patch_json(&host.root.path().join("configs/contexts/techstart.json"), |context| {
        context["agentMappings"]["sales"]["notifications"]["slack"]["channels"] = json!(["#order-review"]);
    });
    eventually("the room is closed", async || ask().await.contains("Denied")).await;
    assert!(told(&host, "post", json!({"update": id(&first), "text": "Again"})).await.contains("NotFound"));
}
