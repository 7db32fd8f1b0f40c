//! The audit log under attack: whoever can write the file changes it, and `verify` says where.

#![expect(clippy::unwrap_used, reason = "tests")]

mod seals;

use std::collections::BTreeMap;

use remit_domain::{
    AgentName, CallId, RequestId, TenantId,
    audit::{Action, Actor, AuditLog, Deed, Door, Event, Outcome, Subject},
    signature::SecretKey,
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use time::{Duration, OffsetDateTime, macros::datetime};

use crate::{
    Checkpoint, Error, Expected, Fault, Fullness, Journal, audit,
    chain::{Entry, Head, genesis},
    verify::Verified,
};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
/// Everything that keeps the file's rows from being changed.
const OPEN_UP: &str = "DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_not_removed;
     DROP TRIGGER segments_are_not_changed; DROP TRIGGER segments_are_not_removed;";

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn event(name: &str, at: OffsetDateTime) -> Event {
    Event {
        actor: "anyone".to_owned(),
        at,
        request: RequestId::random(),
        call: CallId::random(),
        tenant: TenantId::new("techstart").unwrap(),
        agent: AgentName::new("sales").unwrap(),
        door: Door::Chat,
        subject: Subject::Tool,
        name: name.to_owned(),
        plugin: None,
        sources: BTreeMap::new(),
        operations: Vec::new(),
        arguments: BTreeMap::new(),
        duration: std::time::Duration::from_millis(1),
        outcome: Outcome::Ok,
        code: None,
    }
}

struct Log {
    folder: tempfile::TempDir,
    journal: Journal,
    checkpoints: Vec<(usize, Checkpoint)>,
}

impl Log {
    /// A log of rows, an hour after another.
    async fn of(rows: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("j.db").display().to_string()).await.unwrap();
        let log = Self { folder, journal, checkpoints: Vec::new() };
        log.grow(rows).await;
        log
    }

    async fn grow(&self, rows: u32) {
        let before = self.journal.head().await.unwrap().seq;
        for at in before..before + i64::from(rows) {
            self.journal.record(event(&format!("tool {at}"), NOW + Duration::hours(at))).await.unwrap();
        }
    }

    async fn seal(&self, rows: u32) -> usize {
        let full = Fullness { rows, age: Duration::days(10_000) };
        self.journal.seal(full, &key(), NOW).await.unwrap().len()
    }

    async fn checkpoint(&mut self) {
        let checkpoint = self.journal.checkpoint(&key(), NOW).await.unwrap().unwrap();
        self.checkpoints.push((self.checkpoints.len() + 1, checkpoint));
    }

    async fn outside(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("j.db"));
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// What somebody does who can write the file and knows SQL.
    async fn tamper(&self, statements: &str) {
        let text = format!("{OPEN_UP} {statements}");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.outside().await).await.unwrap();
    }

    /// Makes every hash anew, so that the chain fits what the rows say now.
    async fn rechain(&self) {
        let mut outside = self.outside().await;
        let id = audit::identity(&mut outside).await.unwrap();
        let removed =
            sqlx::query("SELECT last, head FROM segments WHERE removed IS NOT NULL ORDER BY last DESC LIMIT 1")
                .fetch_optional(&mut outside)
                .await
                .unwrap();
        let mut end = match removed {
            Some(row) => Head { seq: row.get("last"), hash: audit::hash(&row, "head").unwrap() },
            None => Head { seq: 0, hash: genesis(&id) },
        };
        for row in sqlx::query("SELECT * FROM audit ORDER BY seq").fetch_all(&mut outside).await.unwrap() {
            let (seq, entry): (i64, _) = (row.get("seq"), Entry::read(&row).unwrap());
            end = Head { seq, hash: entry.hash(&end.hash, seq) };
            sqlx::query("UPDATE audit SET hash = ? WHERE seq = ?")
                .bind(end.hash.as_bytes().as_slice())
                .bind(seq)
                .execute(&mut outside)
                .await
                .unwrap();
        }
    }

    async fn verify(&self) -> Result<Verified, Fault> {
        let expected = Expected { key: Some(key().public()), checkpoints: self.checkpoints.clone() };
        self.journal.verify(&expected).await.unwrap()
    }

    async fn fault(&self) -> Fault {
        self.verify().await.unwrap_err()
    }
}

#[tokio::test]
async fn what_nobody_touched_is_without_fault() {
    let mut log = Log::of(0).await;
    assert_eq!(log.verify().await.map(|it| (it.events, it.last)), Ok((0, 0)));
    assert_eq!(log.journal.checkpoint(&key(), NOW).await.unwrap(), None, "there is nothing to sign");
    log.grow(10).await;
    log.checkpoint().await;
    assert_eq!(log.seal(4).await, 2);
    let deed = Deed::new(NOW, Actor::Console, Action::KeyCreate, "k").with(serde_json::json!({"role": "admin"}));
    log.journal.administer(deed).await.unwrap();
    let found = log.verify().await.unwrap();
    assert_eq!((found.events, found.first, found.last), (11, 1, 11));
    assert_eq!((found.segments, found.sealed, found.checkpoints, found.attested), (2, 8, 1, 10));
    assert_eq!(found.head, log.journal.head().await.unwrap().hash);
}

#[tokio::test]
async fn the_file_itself_refuses_changes() {
    let log = Log::of(5).await;
    assert_eq!(log.seal(2).await, 2);
    for statement in [
        "UPDATE audit SET outcome = 'ok'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = 5",
        "UPDATE segments SET until = '1970'",
        "UPDATE segments SET head = zeroblob(32)",
        "UPDATE segments SET seal = 'x'",
        "UPDATE segments SET seal = NULL",
        "DELETE FROM segments",
    ] {
        let refused = sqlx::query(statement).execute(&mut log.outside().await).await;
        assert!(refused.is_err(), "{statement}");
    }
    assert_eq!(log.verify().await.map(|it| it.events), Ok(5));
}

#[tokio::test]
async fn every_field_of_every_row_is_covered() {
    for (column, value) in [
        ("at", "'2020-01-01T00:00:00.000000Z'"),
        ("request", "'x'"),
        ("call", "'x'"),
        ("tenant", "'acmecorp'"),
        ("actor", "'x'"),
        ("agent", "'hr'"),
        ("door", "'mcp'"),
        ("action", "'x'"),
        ("subject", "'x'"),
        ("name", "'x'"),
        ("plugin", "''"),
        ("sources", "'{ }'"),
        ("arguments", "'{ }'"),
        ("details", "''"),
        ("duration_us", "1"),
        ("outcome", "'denied'"),
        ("code", "''"),
        ("operations", "NULL"),
        ("form", "1"),
        ("hash", "zeroblob(32)"),
    ] {
        let log = Log::of(4).await;
        log.tamper(&format!("UPDATE audit SET {column} = {value} WHERE seq = 3")).await;
        assert_eq!(log.fault().await, Fault::Changed { seq: 3 }, "{column}");
    }
    let log = Log::of(4).await;
    log.tamper("UPDATE audit SET form = 1, operations = NULL WHERE seq = 3").await;
    assert_eq!(log.fault().await, Fault::Changed { seq: 3 });
    let log = Log::of(4).await;
    log.tamper("UPDATE audit SET form = 3 WHERE seq = 2").await;
    assert_eq!(log.fault().await, Fault::Unknown { seq: 2, form: 3 });
}

#[tokio::test]
async fn text_can_not_be_moved_from_one_field_to_the_next() {
    let log = Log::of(3).await;
    log.tamper("UPDATE audit SET door = '', action = door || action WHERE seq = 2").await;
    assert_eq!(log.fault().await, Fault::Changed { seq: 2 });
}

#[tokio::test]
async fn a_row_that_is_gone_or_moved_shows() {
    let log = Log::of(6).await;
    log.tamper("DELETE FROM audit WHERE seq = 3").await;
    assert_eq!(log.fault().await, Fault::Removed { seq: 3, next: 4 });

    let log = Log::of(6).await;
    log.tamper("DELETE FROM audit WHERE seq <= 2").await;
    assert_eq!(log.fault().await, Fault::Removed { seq: 1, next: 3 });

    // With the gap closed, which the hashes don't fit.
    let log = Log::of(6).await;
    log.tamper("DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3").await;
    assert_eq!(log.fault().await, Fault::Changed { seq: 3 });

    let swap = "UPDATE audit SET seq = -2 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 5;
         UPDATE audit SET seq = 5 WHERE seq = -2";
    let log = Log::of(6).await;
    log.tamper(swap).await;
    assert_eq!(log.fault().await, Fault::Reordered { seq: 2, now: 5 });

    // Swapped, and each place keeps its own hash.
    let log = Log::of(6).await;
    let hashes = "CREATE TABLE h AS SELECT seq, hash FROM audit;";
    let back = "UPDATE audit SET hash = (SELECT hash FROM h WHERE h.seq = audit.seq); DROP TABLE h";
    log.tamper(&format!("{hashes} {swap}; {back}")).await;
    assert_eq!(log.fault().await, Fault::Reordered { seq: 2, now: 5 });

    // One of another journal's.
    let log = Log::of(6).await;
    log.tamper("UPDATE identity SET id = 'another'").await;
    assert_eq!(log.fault().await, Fault::Changed { seq: 1 });
}

#[tokio::test]
async fn a_cut_tail_shows_by_a_seal_or_a_checkpoint() {
    let mut log = Log::of(6).await;
    log.checkpoint().await;
    log.grow(2).await;
    log.tamper("DELETE FROM audit WHERE seq > 6").await;
    assert_eq!(log.verify().await.map(|it| it.last), Ok(6), "after the checkpoint nothing speaks for it");
    log.tamper_again("DELETE FROM audit WHERE seq > 5").await;
    let fault = log.fault().await;
    assert!(matches!(fault, Fault::Cut { seq: 6, last: 5, .. }), "{fault}");

    let log = Log::of(6).await;
    assert_eq!(log.seal(3).await, 2);
    log.tamper("DELETE FROM audit WHERE seq > 4").await;
    let fault = log.fault().await;
    assert_eq!(fault.to_string(), "the log was cut: it ends with row 4, and the seal of segment 2 knows row 6");
    log.tamper_again("DELETE FROM segments WHERE number = 1").await;
    assert_eq!(log.fault().await, Fault::Seal { number: 2 });
}

#[tokio::test]
async fn a_log_made_anew_shows_by_a_checkpoint_alone() {
    let mut log = Log::of(6).await;
    log.tamper("UPDATE audit SET outcome = 'denied' WHERE seq = 4").await;
    log.rechain().await;
    assert_eq!(log.verify().await.map(|it| it.last), Ok(6), "whoever makes the whole chain anew can make it fit");

    let mut other = Log::of(6).await;
    other.checkpoint().await;
    other.grow(3).await;
    other.checkpoint().await;
    other.tamper("UPDATE audit SET outcome = 'denied' WHERE seq = 4").await;
    other.rechain().await;
    let fault = other.fault().await;
    assert!(matches!(&fault, Fault::Rewritten { seq: 6, by } if by.contains("line 1")), "{fault}");

    // With a checkpoint made for it: not by this host's key.
    let forged = other.journal.checkpoint(&SecretKey::from_seed(&[8; 32]), NOW).await.unwrap().unwrap();
    other.checkpoints = vec![(1, forged)];
    assert_eq!(other.fault().await, Fault::Forged { line: 1 });
    let genuine = other.journal.checkpoint(&key(), NOW).await.unwrap().unwrap();
    for changed in [
        Checkpoint { seq: 5, ..genuine.clone() },
        Checkpoint { count: 5, ..genuine.clone() },
        Checkpoint { at: "2020".to_owned(), ..genuine.clone() },
        Checkpoint { journal: "another".to_owned(), ..genuine.clone() },
        Checkpoint { head: genesis(""), ..genuine.clone() },
    ] {
        other.checkpoints = vec![(3, changed)];
        assert_eq!(other.fault().await, Fault::Forged { line: 3 });
    }
    log.checkpoint().await;
    other.checkpoints = log.checkpoints;
    assert!(matches!(other.fault().await, Fault::Foreign { line: 1, .. }));
}

#[tokio::test]
async fn two_processes_append_to_one_chain() {
    let log = Log::of(1).await;
    let other = Journal::open(&log.folder.path().join("j.db").display().to_string()).await.unwrap();
    for round in 0..50 {
        log.journal.record(event("one", NOW)).await.unwrap();
        let deed = Deed::new(NOW, Actor::Console, Action::KeyCreate, "k");
        let (first, second) = futures::join!(log.journal.record(event("a", NOW)), other.administer(deed));
        assert!(first.is_ok() && second.is_ok(), "round {round}");
    }
    assert_eq!(log.verify().await.map(|it| it.events), Ok(151));
}

#[tokio::test]
async fn a_journal_from_before_the_chain_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("j.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    for migration in [
        include_str!("../../migrations/0001_first.sql"),
        include_str!("../../migrations/0002_keys.sql"),
        include_str!("../../migrations/0003_versions.sql"),
    ] {
        sqlx::raw_sql(migration).execute(&mut old).await.unwrap();
    }
    for seq in 0..200 {
        // With a gap, which the chain has not.
        sqlx::query(
            "INSERT INTO audit VALUES (?, '2026-11-23T12:00:00.000000Z', 'r', ?, 'techstart', 'sales', 'chat', 'resource', 'n',
             NULL, '{}', '{}', 5, 'ok', NULL)",
        )
        .bind(seq * 2 + 1)
        .bind(format!("call {seq}"))
        .execute(&mut old)
        .await
        .unwrap();
    }
    old.close().await.unwrap();
    let journal = Journal::open(&file.display().to_string()).await.unwrap();
    journal.record(event("new", NOW)).await.unwrap();
    let found = journal.verify(&Expected { key: None, checkpoints: Vec::new() }).await.unwrap().unwrap();
    assert_eq!((found.events, found.last), (201, 201));
    let rows = journal.events(&crate::Filter { before: Some(201), ..Default::default() }, 1).await.unwrap();
    let last = rows.first().unwrap();
    assert_eq!((last.call.as_str(), last.action.as_str(), last.seq), ("call 199", "resource.read", 200));
}

#[tokio::test]
async fn rows_from_before_operations_were_recorded_are_verified_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    for migration in [
        include_str!("../../migrations/0001_first.sql"),
        include_str!("../../migrations/0002_keys.sql"),
        include_str!("../../migrations/0003_versions.sql"),
        include_str!("../../migrations/0004_chain.sql"),
        include_str!("../../migrations/0005_usage.sql"),
        "DROP TABLE unchained; UPDATE identity SET id = 'j'",
        // The hash is the one of `chain.rs`'s own test.
        "INSERT INTO audit (seq, at, request, call, tenant, actor, agent, door, action, subject, name, sources,
             arguments, duration_us, outcome, hash)
         VALUES (1, '2026-11-23T12:00:00.000000Z', 'r', 'c', 'techstart', 'anyone', 'sales', 'chat', 'tool.call',
             'tool', 'n', '{}', '{\"query\":6}', 5, 'ok',
             X'00d1124ef30546a8c335af918a31bc56ab689d1fce6416ceec08257a58eedf85')",
    ] {
        sqlx::raw_sql(migration).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();
    let journal = Journal::open(&path.display().to_string()).await.unwrap();
    journal.record(event("newer", NOW)).await.unwrap();
    let verified = journal.verify(&Expected { key: None, checkpoints: Vec::new() }).await.unwrap();
    assert_eq!(verified.map(|it| (it.events, it.last)), Ok((2, 2)));
    let rows = journal.events(&crate::Filter::default(), 10).await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| row.operations.is_some()).collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn lines_that_are_no_checkpoints_are_told_apart() {
    let head = Head { seq: 3, hash: genesis("j") };
    let signature = key().sign(&[0; 32]).to_string();
    let line = serde_json::json!({
        "form": 1, "journal": "j", "seq": 3, "count": 3, "head": head.hash, "at": "2026", "signature": signature
    });
    let parsed = Checkpoint::parse(&line.to_string()).unwrap();
    assert!(!parsed.is_signed(), "signed for something else");
    assert_eq!(Checkpoint::parse(&parsed.to_line()), Some(parsed));
    for (field, value) in [
        ("form", serde_json::json!(2)),
        ("head", serde_json::json!("00")),
        ("head", serde_json::json!("zz".repeat(32))),
        ("signature", serde_json::json!("ed25519:")),
        ("more", serde_json::json!(1)),
        ("journal", serde_json::json!("x".repeat(2_000))),
    ] {
        let mut changed = line.clone();
        changed.as_object_mut().unwrap().insert(field.to_owned(), value);
        assert_eq!(Checkpoint::parse(&changed.to_string()), None, "{field}");
    }
    assert_eq!(Checkpoint::parse(""), None);
}

impl Log {
    /// As [`Self::tamper`], where the triggers are gone.
    async fn tamper_again(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut self.outside().await).await.unwrap();
    }
}
