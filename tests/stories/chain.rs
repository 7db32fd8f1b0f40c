//! The audit log can't be changed without its showing: made by the real program, changed in its file by
//! somebody who knows SQL and how the hashes are made, and held against checkpoints by `remit audit verify`.

use std::{collections::BTreeMap, fs, path::Path};

use remit_domain::{
    AgentName, CallId, RequestId, TenantId,
    audit::{AuditLog as _, Door, Event, Outcome, Subject},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::host::{Host, Setup, answer, eventually, run};

/// `remit audit verify --json`: exit code and answer.
pub(super) fn verify(host: &Host, more: &[&str]) -> (Option<i32>, Value) {
    let (code, out, log) = audit(host, &[&["verify", "--json"], more].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{log}")))
}

fn audit(host: &Host, verb: &[&str]) -> (Option<i32>, String, String) {
    run(host.root.path(), &[&["audit", "--profile", "demo", "--state", "var"], verb].concat())
}

fn fault(host: &Host, more: &[&str]) -> (String, i64) {
    let (code, answer) = verify(host, more);
    assert_eq!((code, &answer["ok"]), (Some(1), &json!(false)), "{answer}");
    (answer["fault"]["code"].as_str().unwrap().to_owned(), answer["fault"]["seq"].as_i64().unwrap_or(0))
}

/// Settings with more of `audit` in them.
fn with(text: &'static str) -> impl FnOnce(&Path) {
    move |root| {
        let file = root.join("configs/host.yaml");
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{settings}\naudit:\n{text}")).unwrap();
    }
}

async fn sql(file: &Path, statements: &str) {
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
    let triggers: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let dropped: String = triggers.iter().map(|name| format!("DROP TRIGGER {name};")).collect();
    sqlx::raw_sql(AssertSqlSafe(format!("{dropped}{statements}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Makes all hashes anew as the documentation says that they are made.
async fn rechain(file: &Path) {
    let text = |digest: &mut Sha256, text: &str| {
        digest.update([1]);
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    };
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await.unwrap();
    let id: String = sqlx::query_scalar("SELECT id FROM identity").fetch_one(&mut connection).await.unwrap();
    let mut digest = Sha256::new_with_prefix(b"remit audit genesis 1\0");
    text(&mut digest, &id);
    let mut previous = digest.finalize();
    for row in sqlx::query("SELECT * FROM audit ORDER BY seq").fetch_all(&mut connection).await.unwrap() {
        let seq: i64 = row.get("seq");
        let mut digest = Sha256::new_with_prefix(b"remit audit row 2\0");
        digest.update(previous);
        digest.update(seq.to_be_bytes());
        for column in [
            "at",
            "request",
            "call",
            "tenant",
            "actor",
            "agent",
            "door",
            "action",
            "subject",
            "name",
            "plugin",
            "sources",
            "arguments",
            "details",
            "duration_us",
            "outcome",
            "code",
            "operations",
        ] {
            if column == "duration_us" {
                digest.update([2]);
                digest.update(row.get::<i64, _>(column).to_be_bytes());
            } else if let Some(value) = row.get::<Option<&str>, _>(column) {
                text(&mut digest, value);
            } else {
                digest.update([0]);
            }
        }
        previous = digest.finalize();
        let hash = previous.as_slice();
        sqlx::query("UPDATE audit SET hash = ? WHERE seq = ?")
            .bind(hash)
            .bind(seq)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn every_way_to_change_the_log_is_found() {
    let mut host =
        Setup::demo().edit(with("  checkpoints:\n    file: elsewhere.jsonl\n    everyRows: 10\n")).start().await;
    for _ in 0..6 {
        host.result("search_customers", json!({"query": "a", "limit": 1})).await;
    }
    let (_, running) = verify(&host, &[]);
    assert_eq!((&running["ok"], &running["log"]["last"]), (&json!(true), &json!(6)), "while the host runs: {running}");
    assert_eq!(host.stop().0, Some(0));
    let checkpoints = fs::read_to_string(host.root.path().join("elsewhere.jsonl")).unwrap();
    let checkpoints = checkpoints.lines().last().unwrap();
    assert!(checkpoints.contains("\"seq\":6"), "the last word is of the end: {checkpoints}");
    fs::write(host.root.path().join("elsewhere.jsonl"), format!("{checkpoints}\n")).unwrap();
    let (code, key, _) = audit(&host, &["key"]);
    let key = key.trim();
    assert!(code == Some(0) && key.starts_with("ed25519:"));
    let against = ["--checkpoints", "elsewhere.jsonl", "--key", key];
    let (code, sound) = verify(&host, &against);
    assert_eq!((code, &sound["log"]["attested"]), (Some(0), &json!(6)), "{sound}");
    let (code, told, _) = audit(&host, &[&["verify"], &against[..]].concat());
    assert!(code == Some(0) && told.starts_with("the audit log is as it was written\nrows: 1 to 6"), "{told}");

    let file = host.root.path().join("var/remit.db");
    let kept = fs::read(&file).unwrap();
    for (what, statements, anew, found) in [
        ("a row is changed", "UPDATE audit SET outcome = 'denied' WHERE seq = 3", false, ("changed", 3)),
        ("a row is removed", "DELETE FROM audit WHERE seq = 3", false, ("removed", 3)),
        (
            "two rows are swapped",
            "UPDATE audit SET seq = -1 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 4;
             UPDATE audit SET seq = 4 WHERE seq = -1",
            false,
            ("reordered", 2),
        ),
        ("the tail is cut", "DELETE FROM audit WHERE seq > 4", false, ("cut", 6)),
        ("all is gone", "DELETE FROM audit", false, ("cut", 6)),
        ("it is made anew", "UPDATE audit SET outcome = 'denied' WHERE seq = 3", true, ("rewritten", 6)),
        ("nothing is", "", true, ("", 0)),
    ] {
        fs::write(&file, &kept).unwrap();
        sql(&file, statements).await;
        if anew {
            rechain(&file).await;
        }
        if found.0.is_empty() {
            // The hashes are as documented: made anew from the same rows, they are the same.
            assert_eq!(verify(&host, &against).0, Some(0), "{what}");
        } else {
            assert_eq!(fault(&host, &against), (found.0.to_owned(), found.1), "{what}");
        }
        if anew || what == "the tail is cut" {
            let none = host.root.path().join("none.jsonl");
            fs::write(&none, "").unwrap();
            let (code, _) = verify(&host, &["--checkpoints", "none.jsonl", "--key", key]);
            assert_eq!(code, Some(0), "{what}: only a checkpoint tells");
        }
    }

    // Whoever makes the log anew has another key.
    fs::write(&file, &kept).unwrap();
    fs::remove_file(host.root.path().join("var/secrets/audit.key")).unwrap();
    let (_, forged, _) = audit(&host, &["checkpoint"]);
    fs::write(host.root.path().join("forged.jsonl"), forged).unwrap();
    let against = ["--checkpoints", "forged.jsonl", "--key", key];
    assert_eq!(fault(&host, &against), ("checkpoint_forged".to_owned(), 0));
    fs::write(host.root.path().join("cut.jsonl"), &checkpoints[..checkpoints.len() - 20]).unwrap();
    let (code, answer) = verify(&host, &["--checkpoints", "cut.jsonl", "--key", key]);
    assert_eq!((code, &answer["unreadableCheckpoints"]), (Some(0), &json!(1)), "{answer}");
    for arguments in [
        &["verify", "--key", "nonsense"][..],
        &["verify", "--checkpoints", "no-such-file"],
        &["prune"],
        &["prune", "--keep-days", "0"],
    ] {
        let (code, out, log) = audit(&host, arguments);
        assert!(code != Some(0) && out.is_empty() && !log.is_empty(), "{arguments:?}: {out}{log}");
    }
}

#[tokio::test]
async fn what_programs_beside_the_host_record_joins_the_one_chain() {
    let host = Setup::demo().start().await;
    // Under way at once: the calls through the host, the keys by programs of their own.
    let calls = futures::future::join_all((0..40).map(|_| host.tool("no_such_tool", json!({}))));
    let root = host.root.path().to_owned();
    let keys = tokio::task::spawn_blocking(move || {
        let arguments =
            ["keys", "--profile", "demo", "--state", "var", "create", "--tenant", "techstart", "--role", "admin"];
        (0..3).map(|_| run(&root, &arguments)).collect::<Vec<_>>()
    });
    let (_, keys) = futures::join!(calls, keys);
    let keys = keys.unwrap();
    assert!(keys.iter().all(|(code, ..)| *code == Some(0)), "{keys:?}");
    let (code, answer) = verify(&host, &[]);
    assert_eq!(code, Some(0), "{answer}");
    let rows = host.audit().await;
    let made: Vec<_> = rows.iter().filter(|row| row.action == "key.create").collect();
    assert_eq!(made.len(), 3, "{rows:?}");
    for (row, (_, token, _)) in made.iter().rev().zip(&keys) {
        assert_eq!((row.actor.as_str(), row.tenant.as_str(), row.outcome.as_str()), ("console", "techstart", "ok"));
        assert!(token.contains(&row.name), "by its id");
        assert!(!format!("{row:?}").contains(&token.trim()[token.trim().len() - 20..]), "without its secret");
    }
}

#[tokio::test]
async fn a_tenant_pages_through_what_is_its_own() {
    let other = r#"{"company": {"name": "Fashion"}, "agentMappings": {"sales": {"mcpServer": "techstart-crm"}}}"#;
    let add = move |root: &Path| fs::write(root.join("configs/contexts/fashionboutique.json"), other).unwrap();
    let host = Setup::demo().edit(add).start().await;
    let ask = |path: &str, token: Option<&str>, tenant: Option<&str>| {
        let mut request = host.http.get(format!("{}/api/audit{path}", host.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        match tenant {
            Some(tenant) => request.header("X-Context", tenant),
            None => request,
        }
    };
    for at in 0..5 {
        let asked = json!({"agent_type": "sales", "tool_name": format!("tool_{at}"), "parameters": {}});
        let request = host.post("/api/mcp/test", asked.to_string()).header("X-Request-Id", format!("request-{at}"));
        assert_eq!(answer(request).await.0, 404);
    }
    let asked = json!({"agent_type": "sales", "tool_name": "their_tool", "parameters": {}});
    let theirs = host.http.post(format!("{}/api/mcp/test", host.url)).header("X-Context", "fashionboutique");
    assert_eq!(answer(theirs.body(asked.to_string())).await.0, 404);

    let (status, page) = answer(ask("?limit=2", None, Some("techstart"))).await;
    assert_eq!(status, 200, "{page:#}");
    let names = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["tool_4", "tool_3"]);
    assert_eq!(page["events"][0]["action"], "tool.call");
    let (_, second) = answer(ask(&format!("?limit=3&before={}", page["next"]), None, Some("techstart"))).await;
    assert_eq!(names(&second), ["tool_2", "tool_1", "tool_0"]);
    let call = page["events"][1]["call"].as_str().unwrap();
    for (query, found) in [
        ("?name=tool_1", &["tool_1"][..]),
        ("?request=request-2", &["tool_2"]),
        (&format!("?call={call}"), &["tool_3"]),
        ("?agent=support", &[]),
        ("?outcome=ok", &[]),
        ("?outcome=failed&limit=1", &["tool_4"]),
        ("?action=key.create", &[]),
        ("?name=their_tool", &[]),
    ] {
        let (status, page) = answer(ask(query, None, Some("techstart"))).await;
        assert_eq!((status, names(&page)), (200, found.iter().map(ToString::to_string).collect()), "{query}");
    }
    let (_, theirs) = answer(ask("", None, Some("fashionboutique"))).await;
    assert_eq!(names(&theirs), ["their_tool"]);
    for (query, tenant, status, code) in [
        ("?limit=0", Some("techstart"), 422, "invalid_arguments"),
        ("?limit=1001", Some("techstart"), 422, "invalid_arguments"),
        ("?before=x", Some("techstart"), 422, "invalid_arguments"),
        ("?outcome=good", Some("techstart"), 422, "invalid_arguments"),
        ("?agent=A%20B", Some("techstart"), 422, "invalid_arguments"),
        ("?call=1", Some("techstart"), 422, "invalid_arguments"),
        ("?tenant=fashionboutique", Some("techstart"), 400, "bad_request"),
        ("", Some("nobody"), 404, "unknown_tenant"),
        ("", None, 400, "missing_header"),
    ] {
        let (found, body) = answer(ask(query, None, tenant)).await;
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{query}: {body:#}");
    }

    // With keys: the tenant's administrators its own, operators all.
    let key = |more: &[&str]| {
        let verb = [&["keys", "--profile", "demo", "--state", "var", "create"], more].concat();
        let (code, token, log) = run(host.root.path(), &verb);
        assert_eq!(code, Some(0), "{log}");
        token.trim().to_owned()
    };
    let admin = key(&["--tenant", "techstart", "--role", "admin", "--label", "the boss"]);
    let agent = key(&["--tenant", "techstart", "--role", "agent"]);
    let operator = key(&["--role", "operator"]);
    for _ in 0..20_000 {
        if answer(ask("", None, Some("techstart"))).await.0 == 401 {
            break;
        }
    }
    let (_, own) = answer(ask("?limit=1000", Some(&admin), None)).await;
    assert_eq!(own["events"].as_array().unwrap().len(), 7, "{own:#}");
    assert!(own["events"].as_array().unwrap().iter().all(|event| event["tenant"] == "techstart"));
    assert_eq!(own["next"], Value::Null);
    let made = &own["events"].as_array().unwrap().iter().find(|event| event["details"]["label"] == "the boss").unwrap();
    assert_eq!((&made["action"], &made["actor"]), (&json!("key.create"), &json!("console")), "{made:#}");
    let (_, all) = answer(ask("?limit=1000", Some(&operator), None)).await;
    assert_eq!(all["events"].as_array().unwrap().len(), 9, "{all:#}");
    let (_, one) = answer(ask("", Some(&operator), Some("fashionboutique"))).await;
    assert_eq!(names(&one), ["their_tool"]);
    assert_eq!(answer(ask("", Some(&admin), Some("fashionboutique"))).await.0, 403);
    assert_eq!(answer(ask("", Some(&agent), None)).await.1["code"], "role_too_low");

    // What is done over HTTP is on record too, with its request.
    let asked = json!({"role": "viewer"}).to_string();
    let request =
        host.http.post(format!("{}/api/keys", host.url)).bearer_auth(&admin).header("X-Request-Id", "by-http");
    let (status, made) = answer(request.body(asked)).await;
    assert_eq!(status, 201);
    let id = made["key"]["id"].as_str().unwrap();
    let gone = host.http.delete(format!("{}/api/keys/{id}", host.url)).bearer_auth(&admin);
    assert_eq!(answer(gone).await.0, 200);
    let (_, found) = answer(ask(&format!("?name={id}"), Some(&admin), None)).await;
    let events = found["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|event| (event["action"].as_str(), event["actor"].as_str())).collect();
    let by = admin.split('_').nth(1);
    assert_eq!(told, [(Some("key.revoke"), by), (Some("key.create"), by)]);
    assert_eq!(events[1]["request"], "by-http");
}

#[tokio::test]
async fn old_segments_go_whole_and_the_rest_still_verifies() {
    let mut host = Setup::demo()
        .edit(with("  segmentRows: 10\n  keepDays: 30\n  checkpoints:\n    file: elsewhere.jsonl\n"))
        .start()
        .await;
    assert_eq!(host.stop().0, Some(0));
    let journal =
        remit_journal::Journal::open(&host.root.path().join("var/remit.db").display().to_string()).await.unwrap();
    // Two full segments, and one that is closed for its age.
    for at in 0..25 {
        journal.record(old(at)).await.unwrap();
    }
    journal.close().await;
    host.restart();
    let pruned = async || host.audit().await.into_iter().find(|row| row.action == "audit.prune");
    eventually("old segments are removed", async || pruned().await.is_some()).await;
    let pruned = pruned().await.unwrap();
    assert_eq!(
        (pruned.actor.as_str(), pruned.details),
        ("host", Some(json!({"segments": 3, "events": 25, "through": 25})))
    );
    host.result("search_customers", json!({"query": "a", "limit": 1})).await;
    let (_, page) = answer(host.get("/api/audit?limit=1000")).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "the new one: {page:#}");
    assert_eq!(host.stop().0, Some(0));
    let (code, found) = verify(&host, &["--checkpoints", "elsewhere.jsonl"]);
    let log = &found["log"];
    assert_eq!((code, &log["first"], &log["removedSegments"]), (Some(0), &json!(26), &json!(3)), "{found}");
    assert!(log["checkpointsOfRemoved"].as_u64().unwrap() >= 3, "each seal was signed: {found}");
    // More than this host removed.
    sql(&host.root.path().join("var/remit.db"), "DELETE FROM audit WHERE seq = 26").await;
    assert_eq!(fault(&host, &[]), ("removed".to_owned(), 26));
}

fn old(at: usize) -> Event {
    Event {
        actor: "anyone".to_owned(),
        at: time::OffsetDateTime::UNIX_EPOCH,
        request: RequestId::random(),
        call: CallId::random(),
        tenant: TenantId::new("techstart").unwrap(),
        agent: AgentName::new("sales").unwrap(),
        door: Door::Chat,
        subject: Subject::Tool,
        name: format!("old_{at}"),
        plugin: None,
        sources: BTreeMap::new(),
        operations: Vec::new(),
        arguments: BTreeMap::new(),
        duration: std::time::Duration::from_millis(1),
        outcome: Outcome::Ok,
        code: None,
    }
}
