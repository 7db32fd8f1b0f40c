//! Runs of workflows: what they were begun with, what they did, how they ended.
//!
//! What a run does goes through the one writer, in one statement with what other runs do at that moment,
//! and is synchronised; making a run and opening one again are rare and transactions of their own.
//! Deliberately absent: what an entry means.

use async_trait::async_trait;
use remit_domain::{
    TenantId,
    execution::{End, Entry, Executions, Filter, Made, Origin, Recorded, Run, RunId, Standing, Status},
};
use serde_json::Value;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Journal, audit::instant};

const RUNS: &str = "SELECT r.*, d.definition FROM runs AS r
     JOIN definitions AS d ON d.tenant = r.tenant AND d.digest = r.digest";

/// Of a list: what makes one run large is not read.
const BRIEF: &str =
    "SELECT id, tenant, workflow, digest, 'null' AS inputs, 'null' AS context, began, key, asker, status, pins,
         ended, NULL AS outputs, failure, origin, from_step, 'null' AS definition FROM runs AS r";

/// The most entries of one statement: SQLite takes 32,766 parameters, three an entry.
const MAX_ROWS: usize = 10_000;

/// What a run did, on its way to the file.
#[derive(Debug)]
pub(crate) struct Progress {
    run: RunId,
    /// Each with its place, as JSON.
    entries: Vec<(String, String)>,
    /// How it stands afterwards, if that changes.
    pub(crate) end: Option<Ended>,
}

/// How a run ended, as columns.
#[derive(Debug)]
pub(crate) struct Ended {
    status: Status,
    at: String,
    outputs: Option<String>,
    failure: Option<String>,
}

impl Progress {
    fn new(run: &RunId, entries: &[Entry], end: Option<&End>) -> Result<Self, remit_domain::Error> {
        let record = |cause| Error::Record(cause).into_domain();
        let text = |entry: &Entry| Ok((entry.place(), serde_json::to_string(entry)?));
        let entries = entries.iter().map(text).collect::<Result<_, _>>().map_err(record)?;
        let end = end.map(|end| {
            let failure = end.failure.as_ref().map(serde_json::to_string).transpose().map_err(record)?;
            let outputs = end.outputs.as_ref().map(Value::to_string);
            Ok::<_, remit_domain::Error>(Ended { status: end.status, at: instant(end.at), outputs, failure })
        });
        Ok(Self { run: run.clone(), entries, end: end.transpose()? })
    }
}

/// Whether all this goes into one statement.
pub(crate) fn fit(progress: &[&Progress]) -> bool {
    progress.iter().map(|progress| progress.entries.len()).sum::<usize>() <= MAX_ROWS
}

/// Adds the entries of several runs in one statement, which is a transaction by itself.
pub(crate) async fn append(connection: &mut SqliteConnection, progress: &[&Progress]) -> Result<(), sqlx::Error> {
    let mut rows: Vec<(RunId, String, String)> = Vec::new();
    for of in progress {
        rows.extend(of.entries.iter().map(|(place, entry)| (of.run.clone(), place.clone(), entry.clone())));
    }
    insert(connection, rows).await
}

async fn insert(connection: &mut SqliteConnection, rows: Vec<(RunId, String, String)>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO entries (run, place, entry) ");
    insert.push_values(rows, |mut row, (run, place, entry)| {
        row.push_bind(run.as_str().to_owned()).push_bind(place).push_bind(entry);
    });
    insert.build().execute(connection).await.map(drop)
}

/// Writes what one run did. Within a transaction.
pub(crate) async fn write(connection: &mut SqliteConnection, progress: &Progress) -> Result<(), sqlx::Error> {
    for entries in progress.entries.chunks(MAX_ROWS) {
        let row = |(place, entry): &(String, String)| (progress.run.clone(), place.clone(), entry.clone());
        insert(connection, entries.iter().map(row).collect()).await?;
    }
    let Some(end) = &progress.end else { return Ok(()) };
    sqlx::query(
        "UPDATE runs SET status = ?2, ended = ?3, outputs = ?4, failure = ?5 WHERE id = ?1 AND status = 'running'",
    )
    .bind(progress.run.as_str())
    .bind(end.status.as_str())
    .bind(&end.at)
    .bind(&end.outputs)
    .bind(&end.failure)
    .execute(connection)
    .await
    .map(drop)
}

#[async_trait]
impl Executions for Journal {
    async fn make(&self, run: &Run) -> Result<Made, remit_domain::Error> {
        self.make_with(run, &[]).await
    }

    async fn make_with(&self, run: &Run, entries: &[Entry]) -> Result<Made, remit_domain::Error> {
        let progress = Progress::new(&run.id, entries, None)?;
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)?;
        if let Some(key) = &run.key {
            let before: Option<String> = sqlx::query_scalar("SELECT id FROM runs WHERE tenant = ? AND key = ?")
                .bind(run.tenant.as_str())
                .bind(key)
                .fetch_optional(&mut *change)
                .await
                .map_err(unwritten)?;
            if let Some(before) = before.as_deref().and_then(RunId::parse) {
                return Ok(Made::Before(before));
            }
        }
        sqlx::query("INSERT INTO definitions (tenant, digest, definition) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(run.tenant.as_str())
            .bind(&run.digest)
            .bind(run.definition.to_string())
            .execute(&mut *change)
            .await
            .map_err(unwritten)?;
        sqlx::query(
            "INSERT INTO runs (id, tenant, workflow, digest, inputs, context, began, key, asker, pins, origin, from_step)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.id.as_str())
        .bind(run.tenant.as_str())
        .bind(&run.workflow)
        .bind(&run.digest)
        .bind(run.inputs.to_string())
        .bind(run.context.to_string())
        .bind(instant(run.began))
        .bind(&run.key)
        .bind(serde_json::to_string(&run.by).map_err(|cause| Error::Record(cause).into_domain())?)
        .bind(serde_json::to_string(&run.pins).map_err(|cause| Error::Record(cause).into_domain())?)
        .bind(run.origin.as_ref().map(|origin| origin.run.as_str()))
        .bind(run.origin.as_ref().map(|origin| origin.from.as_str()))
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        write(&mut change, &progress).await.map_err(unwritten)?;
        change.commit().await.map_err(unwritten)?;
        Ok(Made::New)
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), remit_domain::Error> {
        self.queue.progress(Progress::new(run, entries, None)?).await
    }

    async fn recorded(&self, run: &RunId, path: &str) -> Result<Recorded, remit_domain::Error> {
        Ok(Recorded::of(&self.at(run, path).await?))
    }

    async fn signal(&self, run: &RunId, name: &str) -> Result<Option<(Value, Option<String>)>, remit_domain::Error> {
        Ok(self.at(run, &format!("!{name}")).await?.into_iter().find_map(|entry| match entry {
            Entry::Signalled { payload, by, .. } => Some((payload, by)),
            _ => None,
        }))
    }

    async fn cancelled(&self, run: &RunId) -> Result<bool, remit_domain::Error> {
        Ok(!self.at(run, Entry::CANCELLED).await?.is_empty())
    }

    async fn end(&self, run: &RunId, entries: &[Entry], end: &End) -> Result<(), remit_domain::Error> {
        self.queue.progress(Progress::new(run, entries, Some(end))?).await
    }

    async fn reopen(&self, run: &RunId, entries: &[Entry]) -> Result<(), remit_domain::Error> {
        let progress = Progress::new(run, entries, None)?;
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)?;
        write(&mut change, &progress).await.map_err(unwritten)?;
        let opened = sqlx::query(
            "UPDATE runs SET status = 'running', ended = NULL, outputs = NULL, failure = NULL
             WHERE id = ? AND status = 'interrupted'",
        )
        .bind(run.as_str())
        .execute(&mut *change)
        .await
        .map_err(unwritten)?;
        if opened.rows_affected() == 0 {
            let reason = "it does not wait for a decision, or no longer";
            return Err(remit_domain::Error::ExecutionState { is: "not interrupted", reason });
        }
        change.commit().await.map_err(unwritten)
    }

    async fn find(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Standing>, remit_domain::Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{RUNS} WHERE r.tenant = ? AND r.id = ?")))
            .bind(tenant.as_str())
            .bind(run.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unread)?;
        row.as_ref().map(standing).transpose()
    }

    async fn list(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        most: usize,
    ) -> Result<Vec<Standing>, remit_domain::Error> {
        let text = format!(
            "{BRIEF} WHERE r.tenant = ?1 AND (?2 IS NULL OR r.workflow = ?2) AND (?3 IS NULL OR r.status = ?3)
             AND (?4 IS NULL OR r.id < ?4) AND (?6 IS NULL OR r.origin = ?6) ORDER BY r.id DESC LIMIT ?5"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.as_str())
            .bind(&filter.workflow)
            .bind(filter.status.map(Status::as_str))
            .bind(filter.before.as_ref().map(RunId::as_str))
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .bind(filter.origin.as_ref().map(RunId::as_str))
            .fetch_all(&self.readers)
            .await
            .map_err(unread)?;
        rows.iter().map(standing).collect()
    }

    async fn entries(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, remit_domain::Error> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT seq, entry FROM entries WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?")
                .bind(run.as_str())
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(i64::try_from(most).unwrap_or(i64::MAX))
                .fetch_all(&self.readers)
                .await
                .map_err(unread)?;
        let entry = |(seq, text): (i64, String)| Ok((seq.unsigned_abs(), serde_json::from_str(&text)?));
        rows.into_iter().map(entry).collect::<Result<_, _>>().map_err(|cause| Error::Record(cause).into_domain())
    }

    async fn unfinished(&self) -> Result<Vec<Run>, remit_domain::Error> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{RUNS} WHERE r.status = 'running' ORDER BY r.id")))
            .fetch_all(&self.readers)
            .await
            .map_err(unread)?;
        // One that can't be read keeps no other from being taken up.
        let read = rows.iter().filter_map(|row| match standing(row) {
            Ok(standing) => Some(standing.run),
            Err(error) => {
                let cause = std::error::Error::source(&error);
                tracing::error!(cause, "a run can't be read, and is not taken up");
                None
            }
        });
        Ok(read.collect())
    }
}

impl Journal {
    /// The entries of one place of a run, in order.
    async fn at(&self, run: &RunId, place: &str) -> Result<Vec<Entry>, remit_domain::Error> {
        let texts: Vec<String> =
            sqlx::query_scalar("SELECT entry FROM entries WHERE run = ? AND place = ? ORDER BY seq")
                .bind(run.as_str())
                .bind(place)
                .fetch_all(&self.readers)
                .await
                .map_err(unread)?;
        let entries = texts.iter().map(|text| serde_json::from_str(text));
        entries.collect::<Result<_, _>>().map_err(|cause| Error::Record(cause).into_domain())
    }
}

fn standing(row: &SqliteRow) -> Result<Standing, remit_domain::Error> {
    let text = |column: &str| row.try_get::<String, _>(column).map_err(unread);
    let maybe = |column: &str| row.try_get::<Option<String>, _>(column).map_err(unread);
    let record = |cause| Error::Record(cause).into_domain();
    let json = |text: String| serde_json::from_str::<Value>(&text).map_err(record);
    let wrong = |what: &str| Error::Record(serde::de::Error::custom(format!("a run's {what}"))).into_domain();
    let time = |text: String| OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| wrong("time"));
    let status = Status::parse(&text("status")?).ok_or_else(|| wrong("status"))?;
    let end = match maybe("ended")? {
        Some(at) => Some(End {
            status,
            at: time(at)?,
            outputs: maybe("outputs")?.map(json).transpose()?,
            failure: maybe("failure")?.map(|text| serde_json::from_str(&text)).transpose().map_err(record)?,
        }),
        None => None,
    };
    let run = Run {
        id: RunId::parse(&text("id")?).ok_or_else(|| wrong("id"))?,
        tenant: TenantId::new(&text("tenant")?).map_err(|_| wrong("tenant"))?,
        workflow: text("workflow")?,
        digest: text("digest")?,
        definition: json(text("definition")?)?,
        inputs: json(text("inputs")?)?,
        context: json(text("context")?)?,
        began: time(text("began")?)?,
        key: maybe("key")?,
        pins: serde_json::from_str(&text("pins")?).map_err(record)?,
        by: serde_json::from_str(&text("asker")?).map_err(record)?,
        origin: match (maybe("origin")?, maybe("from_step")?) {
            (Some(run), Some(from)) => Some(Origin { run: RunId::parse(&run).ok_or_else(|| wrong("origin"))?, from }),
            _ => None,
        },
    };
    Ok(Standing { run, end })
}

fn unwritten(cause: sqlx::Error) -> remit_domain::Error {
    Error::Write(cause).into_domain()
}

fn unread(cause: sqlx::Error) -> remit_domain::Error {
    Error::Read(cause).into_domain()
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result};
    use remit_domain::{
        access::Principal,
        execution::{Choice, Failure, Outcome},
    };
    use serde_json::json;

    use super::*;

    async fn journal() -> Result<(tempfile::TempDir, Journal)> {
        let folder = tempfile::tempdir()?;
        let journal = Journal::open(&format!("sqlite:{}", folder.path().join("j.db").display())).await?;
        Ok((folder, journal))
    }

    fn run(tenant: &str, key: Option<&str>) -> Result<Run> {
        Ok(Run {
            id: RunId::new(),
            tenant: TenantId::new(tenant)?,
            workflow: "w".to_owned(),
            digest: "00".to_owned(),
            definition: json!({"name": "w"}),
            inputs: json!({"n": 1}),
            context: json!({}),
            began: time::macros::datetime!(2026-11-23 10:00 UTC),
            key: key.map(str::to_owned),
            pins: ["tools@sha256:00".to_owned()].into(),
            by: Principal::anyone().asker(),
            origin: None,
        })
    }

    fn began(path: &str, attempt: u32) -> Entry {
        let at = time::macros::datetime!(2026-11-23 10:00:01 UTC);
        Entry::Began { path: path.to_owned(), attempt, at, input: json!({"a": "ü"}), until: None }
    }

    fn ended(path: &str) -> Entry {
        let at = time::macros::datetime!(2026-11-23 10:00:02 UTC);
        Entry::Ended { path: path.to_owned(), at, outcome: Outcome::Done(json!([1])) }
    }

    #[tokio::test]
    async fn a_run_is_kept_with_all_it_did() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let run = run("a", Some("k"))?;
        assert_eq!(journal.make(&run).await?, Made::New);
        let again = Run { id: RunId::new(), ..run.clone() };
        assert_eq!(journal.make(&again).await?, Made::Before(run.id.clone()));
        assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Nothing);
        journal.append(&run.id, &[began("x", 1)]).await?;
        assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Began { attempt: 1, until: None, resolved: None });
        journal.append(&run.id, &[ended("x"), began("y", 1)]).await?;
        assert_eq!(journal.recorded(&run.id, "x").await?, Recorded::Ended(Outcome::Done(json!([1]))));
        assert_eq!(journal.unfinished().await?, std::slice::from_ref(&run));
        let failure = Failure {
            code: "interrupted".to_owned(),
            message: "m".to_owned(),
            retriable: false,
            retry_after_ms: None,
            path: Some("y".to_owned()),
        };
        let end = End { status: Status::Interrupted, at: run.began, outputs: None, failure: Some(failure) };
        journal.end(&run.id, &[], &end).await?;
        assert_eq!(journal.find(&run.tenant, &run.id).await?.and_then(|standing| standing.end), Some(end));
        assert_eq!(journal.unfinished().await?, []);
        let decided =
            Entry::Resolved { path: "y".to_owned(), at: run.began, choice: Choice::Skip, by: "ada".to_owned() };
        journal.reopen(&run.id, std::slice::from_ref(&decided)).await?;
        let again = journal.reopen(&run.id, &[decided]).await;
        assert!(again.is_err_and(|error| error.code() == "execution_state"), "of two decisions one is late");
        assert_eq!(journal.unfinished().await?.len(), 1);
        assert_eq!(
            journal.recorded(&run.id, "y").await?,
            Recorded::Began { attempt: 1, until: None, resolved: Some(Choice::Skip) }
        );
        let entries = journal.entries(&run.id, 0, 100).await?;
        assert_eq!(entries.len(), 4);
        // What ended stays as it ended.
        let completed = End { status: Status::Completed, at: run.began, outputs: Some(json!({})), failure: None };
        journal.end(&run.id, &[], &completed).await?;
        assert!(!journal.cancelled(&run.id).await?);
        journal.append(&run.id, &[Entry::Cancelled { at: run.began, by: "ada".to_owned() }]).await?;
        assert!(journal.cancelled(&run.id).await?);
        let cancelled = End { status: Status::Cancelled, ..completed.clone() };
        journal.end(&run.id, &[], &cancelled).await?;
        assert_eq!(journal.find(&run.tenant, &run.id).await?.and_then(|standing| standing.end), Some(completed));
        let second = entries.get(1).context("two")?.0;
        assert_eq!(journal.entries(&run.id, second, 1).await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_run_is_its_tenants_alone() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let (one, other) = (run("a", Some("k"))?, run("b", Some("k"))?);
        assert_eq!(journal.make(&one).await?, Made::New);
        assert_eq!(journal.make(&other).await?, Made::New, "another tenant's key is another");
        assert_eq!(journal.find(&other.tenant, &one.id).await?, None);
        let third = run("a", None)?;
        journal.make(&third).await?;
        let all = journal.list(&one.tenant, &Filter::default(), 10).await?;
        assert_eq!(all.iter().map(|it| &it.run.id).collect::<Vec<_>>(), [&third.id, &one.id]);
        let before = Filter { before: Some(third.id.clone()), ..Filter::default() };
        assert_eq!(journal.list(&one.tenant, &before, 10).await?.len(), 1);
        let done = Filter { status: Some(Status::Completed), ..Filter::default() };
        assert_eq!(journal.list(&one.tenant, &done, 10).await?, []);
        let named = Filter { workflow: Some("other".to_owned()), ..Filter::default() };
        assert_eq!(journal.list(&one.tenant, &named, 10).await?, []);
        Ok(())
    }

    #[tokio::test]
    async fn a_run_that_takes_over_begins_with_what_it_took() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let first = run("a", None)?;
        journal.make(&first).await?;
        let origin = Origin { run: first.id.clone(), from: "y".to_owned() };
        let second = Run { origin: Some(origin), ..run("a", Some("k"))? };
        assert_eq!(journal.make_with(&second, &[began("x", 1), ended("x")]).await?, Made::New);
        assert_eq!(journal.recorded(&second.id, "x").await?, Recorded::Ended(Outcome::Done(json!([1]))));
        let again = Run { id: RunId::new(), ..second.clone() };
        assert_eq!(journal.make_with(&again, &[ended("z")]).await?, Made::Before(second.id.clone()));
        assert_eq!(journal.entries(&second.id, 0, 10).await?.len(), 2);
        let of_first = Filter { origin: Some(first.id.clone()), ..Filter::default() };
        let found = journal.list(&first.tenant, &of_first, 10).await?;
        assert_eq!(found.iter().map(|it| &it.run.origin).collect::<Vec<_>>(), [&second.origin]);
        assert_eq!(journal.find(&first.tenant, &first.id).await?.and_then(|standing| standing.run.origin), None);
        Ok(())
    }

    #[tokio::test]
    async fn many_runs_at_once_lose_nothing() -> Result<()> {
        let (_folder, journal) = journal().await?;
        let runs: Vec<Run> = (0..20).map(|_| run("a", None)).collect::<Result<_>>()?;
        for run in &runs {
            journal.make(run).await?;
        }
        let journal = &journal;
        futures::future::try_join_all(runs.iter().map(|run| async move {
            for step in 0..20 {
                journal.append(&run.id, &[began(&format!("s{step}"), 1), ended(&format!("s{step}"))]).await?;
            }
            let end = End { status: Status::Completed, at: run.began, outputs: Some(json!({})), failure: None };
            journal.end(&run.id, &[], &end).await
        }))
        .await?;
        for run in &runs {
            assert_eq!(journal.entries(&run.id, 0, 1000).await?.len(), 40);
        }
        assert_eq!(journal.unfinished().await?, []);
        // An entry of a run that is not there is refused, and takes no other with it.
        let (nobody, entry) = (RunId::new(), [began("x", 1)]);
        let lost = journal.append(&nobody, &entry);
        let fine = journal.append(&runs.first().context("one")?.id, &entry);
        let (lost, fine) = tokio::join!(lost, fine);
        assert!(lost.is_err() && fine.is_ok());
        Ok(())
    }
}
