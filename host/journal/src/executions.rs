//! Runs of workflows: what they were begun with, what they did, how they ended.
//!
//! What a run does goes through the one writer, in one statement with what other runs do at that moment,
//! and is synchronised; making a run and opening one again are rare and transactions of their own.
//! Deliberately absent: what an entry means.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    AgentName, TenantId,
    execution::{End, Entry, Executions, Filter, Made, Origin, Outcome, Recorded, Run, RunId, Standing, Status},
};
use serde_json::Value;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{Error, Journal, audit::instant};

const RUNS: &str = "SELECT r.*, d.definition FROM runs AS r
     JOIN definitions AS d ON d.tenant = r.tenant AND d.digest = r.digest";

/// Of a list: what makes one run large is not read.
const BRIEF: &str =
    "SELECT id, tenant, workflow, digest, 'null' AS inputs, json_object('agent', agent) AS context, began, key, asker, status, pins,
        ended, NULL AS outputs, failure, origin, from_step, 'null' AS definition FROM runs AS r";

/// What a run takes: the columns of `runs`, its journal and its large outputs.
pub(crate) const WEIGHT: &str = "octet_length(inputs) + coalesce(octet_length(outputs), 0)
     + (SELECT coalesce(sum(octet_length(entry)), 0) FROM entries WHERE run = runs.id)
     + (SELECT coalesce(sum(o.bytes), 0) FROM outputs AS o WHERE o.run = runs.id)";

/// The most entries of one statement: SQLite takes 32,766 parameters, three an entry.
const MAX_ROWS: usize = 10_000;

/// What a run did, on its way to the file.
#[derive(Debug)]
pub(crate) struct Progress {
    run: Arc<str>,
    /// Each with its place, as JSON: a batch that is tried again copies none of them.
    entries: Vec<(Arc<str>, Arc<str>)>,
    /// Large outputs that the entries name, with their sizes.
    outputs: Vec<(String, i64)>,
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
        let stored = entries.iter().filter_map(|entry| match entry {
            Entry::Ended { outcome: Outcome::Stored(stored), .. } => Some(stored),
            _ => None,
        });
        let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let outputs = stored.map(|stored| (stored.digest.as_str().to_owned(), size(stored.bytes))).collect();
        let text = |entry: &Entry| Ok((Arc::from(entry.place()), Arc::from(serde_json::to_string(entry)?)));
        let entries = entries.iter().map(text).collect::<Result<_, _>>().map_err(record)?;
        let end = end.map(|end| {
            let failure = end.failure.as_ref().map(serde_json::to_string).transpose().map_err(record)?;
            let outputs = end.outputs.as_ref().map(Value::to_string);
            Ok::<_, remit_domain::Error>(Ended { status: end.status, at: instant(end.at), outputs, failure })
        });
        Ok(Self { run: Arc::from(run.as_str()), entries, outputs, end: end.transpose()? })
    }

    /// Whether it is entries and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        self.end.is_none() && self.outputs.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.entries.iter().map(|(place, entry)| (&self.run, place, entry))
    }
}

/// A run, a place in it and an entry.
type Row<'r> = (&'r Arc<str>, &'r Arc<str>, &'r Arc<str>);

/// Whether all this goes into one statement.
pub(crate) fn fit(progress: &[&Progress]) -> bool {
    progress.iter().map(|progress| progress.entries.len()).sum::<usize>() <= MAX_ROWS
}

/// Adds the entries of several runs in one statement, which is a transaction by itself.
pub(crate) async fn append(connection: &mut SqliteConnection, progress: &[&Progress]) -> Result<(), sqlx::Error> {
    insert(connection, progress.iter().flat_map(|of| of.rows()).collect()).await
}

async fn insert(connection: &mut SqliteConnection, rows: Vec<Row<'_>>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO entries (run, place, entry) ");
    insert.push_values(rows, |mut row, (run, place, entry)| {
        row.push_bind(run.clone()).push_bind(place.clone()).push_bind(entry.clone());
    });
    insert.build().execute(connection).await.map(drop)
}

/// Writes what one run did. Within a transaction.
pub(crate) async fn write(connection: &mut SqliteConnection, progress: &Progress) -> Result<(), sqlx::Error> {
    let mut rows = progress.rows().peekable();
    while rows.peek().is_some() {
        insert(connection, rows.by_ref().take(MAX_ROWS).collect()).await?;
    }
    for (digest, bytes) in &progress.outputs {
        // A foreach names that of an item's last step once more.
        sqlx::query("INSERT INTO outputs (digest, run, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(digest)
            .bind(progress.run.clone())
            .bind(bytes)
            .execute(&mut *connection)
            .await?;
    }
    let Some(end) = &progress.end else { return Ok(()) };
    let ended = sqlx::query(
        "UPDATE runs SET status = ?2, ended = ?3, outputs = ?4, failure = ?5 WHERE id = ?1 AND status = 'running'",
    )
    .bind(progress.run.clone())
    .bind(end.status.as_str())
    .bind(&end.at)
    .bind(&end.outputs)
    .bind(&end.failure)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE runs SET bytes = {WEIGHT} WHERE id = ?")))
        .bind(progress.run.clone())
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
            "INSERT INTO runs (id, tenant, workflow, digest, inputs, context, began, key, asker, agent, pins, origin, from_step)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        .bind(run.context.get("agent").and_then(Value::as_str))
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
            "UPDATE runs SET status = 'running', ended = NULL, outputs = NULL, failure = NULL, bytes = 0
             WHERE id = ? AND status = 'interrupted' AND gone = 0",
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
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{RUNS} WHERE r.tenant = ? AND r.id = ? AND r.gone = 0")))
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
             AND (?4 IS NULL OR r.id < ?4) AND (?5 IS NULL OR r.id >= ?5) AND (?6 IS NULL OR r.agent = ?6)
             AND (?8 IS NULL OR r.origin = ?8) AND r.gone = 0 ORDER BY r.id DESC LIMIT ?7"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.as_str())
            .bind(&filter.workflow)
            .bind(filter.status.map(Status::as_str))
            .bind(filter.before.as_ref().map(RunId::as_str))
            .bind(filter.since.as_ref().map(RunId::as_str))
            .bind(filter.agent.as_ref().map(AgentName::as_str))
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

pub(crate) fn unwritten(cause: sqlx::Error) -> remit_domain::Error {
    Error::Write(cause).into_domain()
}

pub(crate) fn unread(cause: sqlx::Error) -> remit_domain::Error {
    Error::Read(cause).into_domain()
}

#[cfg(test)]
mod tests;
