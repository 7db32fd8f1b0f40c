//! The journal from within: opening, order, isolation, group commit, and what a failing disk does.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt;
use remit_domain::{
    AgentName, CallId, RequestId, SourceName, TenantId,
    audit::{Action, Actor, AuditLog, Deed, Door, Event, Outcome, Subject},
    conversation::{Conversations, Key},
    grant::Use,
    model::{Message, ToolCall},
    operation::{Digest, Operation},
};
use serde_json::json;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use time::macros::datetime;

use crate::{Error, Filter, Journal};

struct Fixture {
    folder: tempfile::TempDir,
    journal: Journal,
}

impl Fixture {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let journal = Journal::open(&url(folder.path())).await?;
        Ok(Self { folder, journal })
    }

    /// Another process's connection to the same file.
    async fn outside(&self) -> Result<SqliteConnection> {
        Ok(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file(self.folder.path()))).await?)
    }

    async fn names(&self, filter: &Filter) -> Result<Vec<String>> {
        Ok(self.journal.events(filter, 100).await?.into_iter().map(|row| row.name).collect())
    }
}

fn file(folder: &Path) -> std::path::PathBuf {
    folder.join("state/journal.db")
}

fn url(folder: &Path) -> String {
    format!("sqlite:{}", file(folder).display())
}

fn event(tenant: &str, name: &str) -> Result<Event> {
    Ok(Event {
        at: datetime!(2026-11-23 13:45:00.25 -5),
        request: RequestId::from_client("request-1").context("fit")?,
        call: CallId::random(),
        tenant: TenantId::new(tenant)?,
        actor: "anyone".to_owned(),
        agent: AgentName::new("sales")?,
        door: Door::Mcp,
        subject: Subject::Tool,
        name: name.to_owned(),
        plugin: Some("techstart-crm@sha256:00".to_owned()),
        sources: BTreeMap::from([(SourceName::new("primary")?, Use { reads: 2, writes: 1, denied: 0 })]),
        operations: vec![operation()?],
        arguments: BTreeMap::from([("query".to_owned(), 6)]),
        duration: Duration::from_micros(1_234),
        outcome: Outcome::Failed,
        code: Some("source_unavailable"),
    })
}

fn operation() -> Result<Operation> {
    Ok(Operation {
        source: Some(SourceName::new("primary")?),
        name: "query",
        digest: Some(Digest::of(&["SELECT 1"])),
        outcome: Some("ok"),
        count: 1,
        cached: 0,
        rows: 2,
        bytes: 40,
        duration: Duration::from_micros(90),
    })
}

fn key(tenant: &str, agent: &str) -> Result<Key> {
    let id = "8a8b39cc-51f0-4b3c-9d6e-6f1f2f0a1f11".to_owned();
    Ok(Key { tenant: TenantId::new(tenant)?, agent: AgentName::new(agent)?, id })
}

fn user(content: impl Into<String>) -> Message {
    Message::User { content: content.into() }
}

async fn refusal(folder: &Path) -> Result<Error> {
    Journal::open(&url(folder)).await.err().context("it opened")
}

#[tokio::test]
async fn an_event_comes_back_as_it_went_in() -> Result<()> {
    let fixture = Fixture::new().await?;
    let event = event("techstart", "search_customers")?;
    let call = event.call;
    fixture.journal.record(event).await?;
    let rows = fixture.journal.events(&Filter { call: Some(call), ..Filter::default() }, 10).await?;
    let hash = rows.first().context("a row")?.hash.to_string();
    assert_eq!(
        serde_json::to_value(rows)?,
        json!([{
            "seq": 1, "at": "2026-11-23T18:45:00.250000Z", "request": "request-1", "call": call.to_string(),
            "tenant": "techstart", "actor": "anyone", "agent": "sales", "door": "mcp", "action": "tool.call", "subject": "tool",
            "name": "search_customers", "plugin": "techstart-crm@sha256:00",
            "sources": {"primary": {"reads": 2, "writes": 1, "denied": 0}}, "arguments": {"query": 6},
            "operations": [{
                "source": "primary", "operation": "query", "digest": Digest::of(&["SELECT 1"]), "outcome": "ok",
                "count": 1, "rows": 2, "bytes": 40, "durationUs": 90,
            }],
            "durationUs": 1234, "outcome": "failed", "code": "source_unavailable", "hash": hash,
        }])
    );
    Ok(())
}

#[tokio::test]
async fn an_act_of_administration_comes_back_as_it_went_in() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.journal.record(event("techstart", "search_customers")?).await?;
    let at = datetime!(2026-11-23 13:45:00 UTC);
    let deed = Deed::new(at, Actor::Console, Action::KeyCreate, "0123456789abcdef")
        .of(&TenantId::new("techstart")?)
        .with(json!({"role": "admin"}));
    let id = deed.id.to_string();
    fixture.journal.administer(deed).await?;
    let rows = fixture.journal.events(&Filter { action: Some("key.create".into()), ..Filter::default() }, 10).await?;
    let hash = rows.first().context("a row")?.hash.to_string();
    assert_eq!(
        serde_json::to_value(rows)?,
        json!([{
            "seq": 2, "at": "2026-11-23T13:45:00.000000Z", "call": id, "tenant": "techstart", "actor": "console",
            "action": "key.create", "subject": "key", "name": "0123456789abcdef", "plugin": null, "sources": {},
            "arguments": {}, "details": {"role": "admin"}, "durationUs": 0, "outcome": "ok", "code": null,
            "hash": hash,
        }])
    );
    Ok(())
}

#[tokio::test]
async fn events_are_listed_newest_first_page_by_page_and_by_filter() -> Result<()> {
    let fixture = Fixture::new().await?;
    for name in ["a", "b", "c", "d"] {
        fixture.journal.record(event("techstart", name)?).await?;
    }
    fixture.journal.record(Event { outcome: Outcome::Ok, ..event("fashionboutique", "e")? }).await?;

    let of = |tenant: &str| anyhow::Ok(Filter { tenant: Some(TenantId::new(tenant)?), ..Filter::default() });
    assert_eq!(fixture.names(&of("techstart")?).await?, ["d", "c", "b", "a"]);
    assert_eq!(fixture.names(&of("fashionboutique")?).await?, ["e"]);
    assert_eq!(fixture.names(&of("acmecorp")?).await?, [""; 0]);

    let page = fixture.journal.events(&of("techstart")?, 2).await?;
    let next = Filter { before: page.last().map(|row| row.seq), ..of("techstart")? };
    assert_eq!(fixture.names(&next).await?, ["b", "a"]);

    let ok = Filter { outcome: Some(Outcome::Ok), ..Filter::default() };
    assert_eq!(fixture.names(&ok).await?, ["e"]);
    let request = Filter { request: RequestId::from_client("request-1"), name: Some("c".into()), ..Filter::default() };
    assert_eq!(fixture.names(&request).await?, ["c"]);
    let agent = Filter { agent: Some(AgentName::new("hr")?), ..Filter::default() };
    assert_eq!(fixture.names(&agent).await?, [""; 0]);
    for (source, found) in [("primary", 5), ("other", 0)] {
        let source = Filter { source: Some(SourceName::new(source)?), ..Filter::default() };
        assert_eq!(fixture.names(&source).await?.len(), found);
    }
    assert_eq!(fixture.journal.events(&Filter::default(), 0).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_conversation_keeps_its_order_and_every_kind_of_message() -> Result<()> {
    let fixture = Fixture::new().await?;
    let key = key("techstart", "sales")?;
    let first = vec![
        user("who is ACME?"),
        Message::Assistant {
            content: None,
            tool_calls: vec![ToolCall {
                id: "1".into(),
                name: "search_customers".into(),
                arguments: "{not json".into(),
            }],
        },
        Message::Tool { tool_call_id: "1".into(), content: "[]".into() },
    ];
    let second = vec![Message::Assistant { content: Some("nobody".into()), tool_calls: vec![] }, user("\u{0}é\n")];
    fixture.journal.append(&key, &first).await?;
    fixture.journal.append(&key, &second).await?;
    assert_eq!(fixture.journal.load(&key, 1_000).await?, [first, second].concat());
    Ok(())
}

#[tokio::test]
async fn of_a_long_conversation_the_newest_messages_are_read() -> Result<()> {
    let fixture = Fixture::new().await?;
    let key = key("techstart", "sales")?;
    let all: Vec<Message> = (0..500).map(|number| user(number.to_string())).collect();
    fixture.journal.append(&key, &all).await?;
    for (most, expected) in [(0, 500..500), (1, 499..500), (40, 460..500), (500, 0..500), (usize::MAX, 0..500)] {
        assert_eq!(fixture.journal.load(&key, most).await?, all.get(expected).unwrap_or_default(), "{most}");
    }
    Ok(())
}

#[tokio::test]
async fn a_conversation_is_no_other_tenants_or_agents() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (ours, theirs, colleague) =
        (key("techstart", "sales")?, key("acmecorp", "sales")?, key("techstart", "support")?);
    fixture.journal.append(&ours, &[user("ours")]).await?;
    assert_eq!(fixture.journal.load(&theirs, 1_000).await?, []);
    assert_eq!(fixture.journal.load(&colleague, 1_000).await?, []);

    fixture.journal.append(&theirs, &[user("theirs")]).await?;
    assert_eq!(fixture.journal.load(&ours, 1_000).await?, [user("ours")]);
    assert_eq!(fixture.journal.load(&theirs, 1_000).await?, [user("theirs")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_all_written_and_each_conversation_keeps_its_order() -> Result<()> {
    let fixture = Fixture::new().await?;
    let tasks = (0..16).map(|task| {
        let journal = fixture.journal.clone();
        tokio::spawn(async move {
            let key = Key { id: task.to_string(), ..key("techstart", "sales")? };
            for turn in 0..50 {
                journal.record(event("techstart", &format!("{task}/{turn}"))?).await?;
                journal.append(&key, &[user(format!("{turn}")), user(format!("{turn}!"))]).await?;
            }
            anyhow::Ok(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    assert_eq!(fixture.journal.events(&Filter::default(), 1_000).await?.len(), 16 * 50);
    let expected: Vec<Message> = (0..50).flat_map(|turn| [user(format!("{turn}")), user(format!("{turn}!"))]).collect();
    for task in 0..16 {
        let key = Key { id: task.to_string(), ..key("techstart", "sales")? };
        assert_eq!(fixture.journal.load(&key, 1_000).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn what_waits_together_is_one_transaction() -> Result<()> {
    let fixture = Fixture::new().await?;
    // On this runtime of one thread, the writer runs only after all of them are in the queue.
    let mut waiting = Vec::new();
    for name in 0..100 {
        let mut record = fixture.journal.record(event("techstart", &name.to_string())?);
        ensure!(record.as_mut().now_or_never().is_none());
        waiting.push(record);
    }
    let mut outside = fixture.outside().await?;
    let mut seen: Vec<i64> = vec![];
    let mut all = futures::future::join_all(waiting);
    while (&mut all).now_or_never().is_none() {
        seen.push(sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&mut outside).await?);
        tokio::task::yield_now().await;
    }
    seen.push(sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&mut outside).await?);
    seen.dedup();
    ensure!(seen == [0, 100] || seen == [100], "others saw {seen:?}");
    Ok(())
}

#[tokio::test]
async fn an_event_is_written_though_its_caller_goes_away() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut record = fixture.journal.record(event("techstart", "abandoned")?);
    ensure!(record.as_mut().now_or_never().is_none());
    drop(record);
    fixture.journal.record_later(event("techstart", "later")?);
    fixture.journal.record(event("techstart", "after")?).await?;
    assert_eq!(fixture.names(&Filter::default()).await?, ["after", "later", "abandoned"]);
    Ok(())
}

#[tokio::test]
async fn closing_writes_what_waits_and_refuses_what_comes_later() -> Result<()> {
    let Fixture { folder, journal } = Fixture::new().await?;
    for name in 0..1_000 {
        journal.record_later(event("techstart", &name.to_string())?);
    }
    journal.close().await;
    ensure!(
        journal.record(event("techstart", "late")?).await.is_err_and(|error| error.code() == "journal_unavailable")
    );
    ensure!(journal.ready().await.is_err());
    journal.record_later(event("techstart", "late")?);
    journal.close().await;

    let journal = Journal::open(&url(folder.path())).await?;
    let rows = journal.events(&Filter::default(), 2_000).await?;
    assert_eq!(rows.len(), 1_000);
    assert_eq!(rows.first().map(|row| row.name.as_str()), Some("999"));
    Ok(())
}

#[tokio::test]
async fn the_file_is_its_owners_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mode = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.permissions().mode() & 0o777);
    let journal = Journal::open(&url(folder.path())).await?;
    journal.ready().await?;
    let path = file(folder.path());
    assert_eq!(mode(&path)?, 0o600);
    assert_eq!(mode(&path.with_extension("db-wal"))?, 0o600);
    assert_eq!(mode(path.parent().context("a folder")?)?, 0o700);
    journal.close().await;

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    Journal::open(&url(folder.path())).await?;
    assert_eq!(mode(&path)?, 0o600);
    Ok(())
}

#[tokio::test]
async fn urls_that_name_no_lasting_sqlite_file_are_refused() -> Result<()> {
    let check = async |url: &str| match Journal::open(url).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        check("postgres://db/remit").await,
        "the journal's URL begins with `postgres:`; this build keeps the journal in SQLite: `sqlite:<path>`"
    );
    assert_eq!(
        check("sqlite::memory:").await,
        "`sqlite::memory:` does not name the journal's file: what lies in memory does not outlast the process"
    );
    assert_eq!(check("sqlite://").await, "`sqlite://` does not name the journal's file: it is empty");
    assert_eq!(
        check("sqlite:x.db?mode=rwc").await,
        "`sqlite:x.db?mode=rwc` does not name the journal's file: it takes no options"
    );
    let folder = tempfile::tempdir()?;
    let path = file(folder.path());
    Journal::open(&path.display().to_string()).await?.close().await;
    Journal::open(&format!("sqlite://{}", path.display())).await?.ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.journal.close().await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut fixture.outside().await?).await?;

    let error = refusal(fixture.folder.path()).await?;
    ensure!(matches!(error, Error::Newer { found: 99, known, .. } if known == crate::schema::VERSION), "{error:?}");
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut fixture.outside().await?).await?;
    assert_eq!(version, 99);
    Ok(())
}

#[tokio::test]
async fn a_database_of_something_else_is_refused_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path());
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut crm = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql("CREATE TABLE customers (id INTEGER)").execute(&mut crm).await?;
    crm.close().await?;
    let before = std::fs::read(&path)?;

    let error = refusal(folder.path()).await?;
    ensure!(matches!(error, Error::Foreign(_)), "{error:?}");
    assert_eq!(std::fs::read(&path)?, before);
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = file(folder.path());
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    let text = "somebody's notes\n".repeat(1_000);
    std::fs::write(&path, &text)?;

    let error = refusal(folder.path()).await?;
    ensure!(matches!(error, Error::NotADatabase(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path)?, text);
    Ok(())
}

#[tokio::test]
async fn a_damaged_journal_is_refused() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.journal.close().await;
    let path = file(fixture.folder.path());
    let mut bytes = std::fs::read(&path)?;
    // The first page holds the schema: its header stays, the rest becomes noise.
    bytes.iter_mut().take(4096).skip(100).for_each(|byte| *byte = 0xa5);
    std::fs::write(&path, bytes)?;

    let error = refusal(fixture.folder.path()).await?;
    ensure!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_folder_in_its_place_is_an_error_that_names_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir_all(file(folder.path()))?;
    let error = refusal(folder.path()).await?;
    ensure!(matches!(&error, Error::File { path, .. } if *path == file(folder.path())), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_record_that_the_database_refuses_takes_no_other_with_it() -> Result<()> {
    let fixture = Fixture::new().await?;
    sqlx::raw_sql("CREATE TRIGGER t BEFORE INSERT ON audit WHEN new.name = 'bad' BEGIN SELECT raise(ABORT, 'no'); END")
        .execute(&mut fixture.outside().await?)
        .await?;
    let (journal, bad, good) = (&fixture.journal, event("techstart", "bad")?, event("techstart", "good")?);
    let key = key("techstart", "sales")?;
    let (bad, good, append) = futures::join!(journal.record(bad), journal.record(good), async {
        journal.append(&key, &[user("hello")]).await
    });
    ensure!(bad.is_err_and(|error| error.code() == "journal_unavailable"));
    good?;
    append?;
    assert_eq!(fixture.names(&Filter::default()).await?, ["good"]);
    assert_eq!(fixture.journal.load(&key, 1_000).await?, [user("hello")]);
    Ok(())
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_acknowledged_and_events_are_written_once_there_is_room() -> Result<()> {
    let folder = tempfile::tempdir()?;
    Journal::open(&url(folder.path())).await?.close().await;
    // A file that may not grow, all of its room taken by something that can be deleted.
    let path = file(folder.path());
    let mut outside = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await?;
    sqlx::raw_sql("CREATE TABLE filler (x); INSERT INTO filler VALUES (zeroblob(1000000))")
        .execute(&mut outside)
        .await?;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut outside).await?;
    let journal = Journal::open_with(path, |options| options.pragma("max_page_count", pages.to_string())).await?;
    let mut big = event("techstart", "big")?;
    big.arguments = (0..1_000).map(|at| (format!("argument {at}"), at)).collect();

    let error = journal.record(big).await.err().context("the disk is full")?;
    assert_eq!(error.code(), "journal_unavailable");
    ensure!(!error.to_string().contains("full"), "the cause is for the operator: {error}");
    assert_eq!(journal.events(&Filter::default(), 10).await?, []);

    sqlx::raw_sql("DELETE FROM filler").execute(&mut outside).await?;
    journal.ready().await?;
    journal.record(event("techstart", "small")?).await?;
    let names: Vec<String> = journal.events(&Filter::default(), 10).await?.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["small", "big"]);
    Ok(())
}
