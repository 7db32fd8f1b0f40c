//! The audit log: events and acts of administration in, rows out.
//!
//! Deliberately absent: changing a row, and deleting one ([`crate::segments`] removes whole old
//! segments). How rows are chained is in [`crate::chain`].

use std::{fmt::Write as _, sync::LazyLock};

use async_trait::async_trait;
use remit_domain::{
    AgentName, CallId, RequestId, SourceName, TenantId,
    audit::{AuditLog, Deed, Event, Outcome},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};

pub(crate) use crate::chain::instant;
use crate::{
    Error, Journal,
    chain::{Entry, Hash, Head, genesis},
};

/// Which events; those that meet all that is given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Of this agent.
    pub agent: Option<AgentName>,
    /// Of this request.
    pub request: Option<RequestId>,
    /// Of this call.
    pub call: Option<CallId>,
    /// Such as `tool.call` or `key.create`.
    pub action: Option<String>,
    /// Of the tool, resource, key or plugin of this name.
    pub name: Option<String>,
    /// That used this source.
    pub source: Option<SourceName>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Older than this one: the last row's `seq` of the page before.
    pub before: Option<i64>,
}

/// One event or act of administration as it was recorded. A text that does not apply is empty.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its place in the log. Rises with time, without gaps; never used twice.
    pub seq: i64,
    /// When the call began, or the act was done, in RFC 3339, in UTC.
    pub at: String,
    /// Which request it belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// Which call; an act of administration has an id of its own.
    pub call: String,
    /// Whose; empty for the operator's own affairs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    /// Who did an act of administration: a key's id, `anyone`, `console` or `host`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub actor: String,
    /// Which agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// `chat`, `mcp`, `workflow` or `console`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub door: String,
    /// `tool.call`, `resource.read`, or what an administrator did: `key.create`, `plugin.activate` and so on.
    pub action: String,
    /// `tool`, `resource`, or what an administrator changed.
    pub subject: String,
    /// The name of what was called or changed.
    pub name: String,
    /// The plugin that served it, as `<name>@<digest>`, if one was found.
    pub plugin: Option<String>,
    /// The sources used: `{"primary": {"reads": 1, "writes": 0, "denied": 0}}`.
    pub sources: Value,
    /// What was done with them: `[{"source": "primary", "operation": "query", "digest": "…", "outcome": "ok",
    /// "count": 1, "rows": 2, "bytes": 40, "durationUs": 90}]`. None of acts of administration, and of calls
    /// from before this was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Value>,
    /// The arguments' names and their bytes: `{"query": 6}`.
    pub arguments: Value,
    /// What else is known of an act of administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// How long the call took.
    pub duration_us: i64,
    /// `ok`, `denied`, `failed` or `cancelled`.
    pub outcome: String,
    /// The error's code, if it failed.
    pub code: Option<String>,
    /// The hash of this row and of all before it.
    pub hash: Hash,
}

impl Journal {
    /// The most events of one page.
    pub const MAX_EVENTS: u32 = 1_000;

    /// Recorded events, newest first, at most `limit` and [`Self::MAX_EVENTS`]. The next page begins
    /// `before` the last one's `seq`.
    ///
    /// Errors: [`Error::Read`]; [`Error::Record`] if the file holds what no host writes.
    pub async fn events(&self, filter: &Filter, limit: u32) -> Result<Vec<Row>, Error> {
        let mut query: QueryBuilder<Sqlite> = QueryBuilder::new(
            // What is marked as removed may not be gone yet.
            "SELECT * FROM audit WHERE seq > (SELECT coalesce(max(last), 0) FROM segments WHERE removed IS NOT NULL)",
        );
        if let Some(tenant) = &filter.tenant {
            query.push(" AND tenant = ").push_bind(tenant.as_str());
        }
        if let Some(agent) = &filter.agent {
            query.push(" AND agent = ").push_bind(agent.as_str());
        }
        if let Some(request) = &filter.request {
            query.push(" AND request = ").push_bind(request.as_str());
        }
        if let Some(call) = &filter.call {
            query.push(" AND call = ").push_bind(call.to_string());
        }
        if let Some(action) = &filter.action {
            query.push(" AND action = ").push_bind(action.as_str());
        }
        if let Some(name) = &filter.name {
            query.push(" AND name = ").push_bind(name.as_str());
        }
        if let Some(source) = &filter.source {
            query
                .push(" AND EXISTS (SELECT 1 FROM json_each(audit.sources) WHERE key = ")
                .push_bind(source.as_str())
                .push(")");
        }
        if let Some(outcome) = filter.outcome {
            query.push(" AND outcome = ").push_bind(outcome.as_str());
        }
        if let Some(before) = filter.before {
            query.push(" AND seq < ").push_bind(before);
        }
        query.push(" ORDER BY seq DESC LIMIT ").push_bind(limit.min(Self::MAX_EVENTS));
        let rows = query.build().fetch_all(&self.readers).await.map_err(Error::Read)?;
        rows.iter().map(Row::read).collect()
    }
}

impl Row {
    fn read(row: &SqliteRow) -> Result<Self, Error> {
        let entry = Entry::read(row).map_err(Error::Read)?;
        let json = |text: &str| serde_json::from_str(text).map_err(Error::Record);
        Ok(Self {
            seq: row.try_get("seq").map_err(Error::Read)?,
            sources: json(&entry.sources)?,
            arguments: json(&entry.arguments)?,
            details: entry.details.as_deref().map(json).transpose()?,
            operations: entry.operations.as_deref().map(json).transpose()?,
            hash: hash(row, "hash").map_err(Error::Read)?,
            at: entry.at,
            request: entry.request,
            call: entry.call,
            tenant: entry.tenant,
            actor: entry.actor,
            agent: entry.agent,
            door: entry.door,
            action: entry.action,
            subject: entry.subject,
            name: entry.name,
            plugin: entry.plugin,
            duration_us: entry.duration_us,
            outcome: entry.outcome,
            code: entry.code,
        })
    }
}

#[async_trait]
impl AuditLog for Journal {
    async fn record(&self, event: Event) -> Result<(), remit_domain::Error> {
        let entry = Entry::of_event(&event).map_err(Error::into_domain)?;
        self.queue.entry(entry, false).await
    }

    fn record_later(&self, event: Event) {
        match Entry::of_event(&event) {
            Ok(entry) => self.queue.entry_later(entry),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "an audit event is no record"),
        }
    }

    async fn administer(&self, deed: Deed) -> Result<(), remit_domain::Error> {
        self.queue.entry(Entry::of_deed(&deed), true).await
    }
}

/// The columns that are written, in the order in which [`append`] binds them.
const COLUMNS: usize = 21;
const INSERT: &str = "INSERT INTO audit (seq, at, request, call, tenant, actor, agent, door, action, subject, name, \
                      plugin, sources, arguments, details, duration_us, outcome, code, operations, form, hash) VALUES ";
/// The most rows of one statement.
pub(crate) const MAX_ROWS: usize = 64;

/// Where the log ends. Right only for as long as nobody else writes: within a transaction, or as a
/// guess that [`append`] finds wrong.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Head, sqlx::Error> {
    let last = sqlx::query(
        "SELECT seq, hash FROM (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1) UNION ALL
         SELECT last, head FROM (SELECT last, head FROM segments ORDER BY number DESC LIMIT 1)
         ORDER BY 1 DESC LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    match last {
        Some(row) => Ok(Head { seq: row.try_get("seq")?, hash: hash(&row, "hash")? }),
        None => Ok(Head { seq: 0, hash: genesis(&identity(connection).await?) }),
    }
}

/// The journal's own id.
pub(crate) async fn identity(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT id FROM identity").fetch_one(connection).await
}

/// Writes rows after a head with one statement, all or none, and gives the new head. At most [`MAX_ROWS`].
///
/// Errors: [`is_taken`] if the head was not the last any more.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    head: Head,
    entries: &[&Entry],
) -> Result<Head, sqlx::Error> {
    static ONE: LazyLock<String> = LazyLock::new(|| statement(1));
    // A lone row's statement stays prepared.
    let mut query = match entries {
        [_] => sqlx::query(ONE.as_str()),
        many => sqlx::query(AssertSqlSafe(statement(many.len()))).persistent(false),
    };
    let mut end = head;
    for entry in entries {
        end.seq += 1;
        end.hash = entry.hash(&end.hash, end.seq);
        query = query
            .bind(end.seq)
            .bind(entry.at.as_str())
            .bind(entry.request.as_str())
            .bind(entry.call.as_str())
            .bind(entry.tenant.as_str())
            .bind(entry.actor.as_str())
            .bind(entry.agent.as_str())
            .bind(entry.door.as_str())
            .bind(entry.action.as_str())
            .bind(entry.subject.as_str())
            .bind(entry.name.as_str())
            .bind(entry.plugin.as_deref())
            .bind(entry.sources.as_str())
            .bind(entry.arguments.as_str())
            .bind(entry.details.as_deref())
            .bind(entry.duration_us)
            .bind(entry.outcome.as_str())
            .bind(entry.code.as_deref())
            .bind(entry.operations.as_deref())
            .bind(entry.form)
            .bind(end.hash.as_bytes().as_slice());
    }
    query.execute(connection).await.map(|_| end)
}

/// Whether an append found its place taken: `CONSTRAINT_PRIMARYKEY` and `CONSTRAINT_ROWID` of
/// <https://sqlite.org/rescode.html>.
pub(crate) fn is_taken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "1555" || code == "2579")
}

/// Whether a row of this call was written after a place.
pub(crate) async fn is_there(connection: &mut SqliteConnection, call: &str, after: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit WHERE seq > ? AND call = ?)")
        .bind(after)
        .bind(call)
        .fetch_one(connection)
        .await
}

/// Chains the rows of a journal from before there was a chain, in their order.
pub(crate) async fn adopt(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let (mut end, mut after) = (head(connection).await?, 0_i64);
    loop {
        let rows = sqlx::query(
            "SELECT seq, 1 AS form, at, request, call, tenant, '' AS actor, agent, door,
                    iif(subject = 'tool', 'tool.call', 'resource.read') AS action, subject, name, plugin, sources,
                    arguments, NULL AS details, duration_us, outcome, code, NULL AS operations
             FROM unchained WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(after)
        .bind(i64::try_from(MAX_ROWS).unwrap_or(1))
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.try_get("seq")?;
        let entries = rows.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
        end = append(connection, end, &entries.iter().collect::<Vec<_>>()).await?;
    }
    sqlx::raw_sql("DROP TABLE unchained").execute(connection).await.map(drop)
}

/// A column that holds a hash.
pub(crate) fn hash(row: &SqliteRow, column: &str) -> Result<Hash, sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    Hash::of(bytes).ok_or_else(|| sqlx::Error::ColumnDecode { index: column.to_owned(), source: "not 32 bytes".into() })
}

fn statement(rows: usize) -> String {
    let places = format!("(?{})", ", ?".repeat(COLUMNS - 1));
    let mut text = format!("{INSERT}{places}");
    for _ in 1..rows {
        let _ = write!(text, ", {places}");
    }
    text
}
