//! The audit log: events in, rows out.
//!
//! Deliberately absent: changing or deleting an event.

use async_trait::async_trait;
use remit_domain::{
    AgentName, CallId, RequestId, TenantId,
    audit::{AuditLog, Event, Outcome, Subject},
};
use serde::Serialize;
use serde_json::Value;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, sqlite::SqliteRow};
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use crate::{Error, Journal};

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
    /// Of the tool or resource of this name.
    pub name: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Older than this one: the last row's `seq` of the page before.
    pub before: Option<i64>,
}

/// One event as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its place in the log. Rises with time; never used twice.
    pub seq: i64,
    /// When the call began, in RFC 3339, in UTC.
    pub at: String,
    /// Which request it belongs to.
    pub request: String,
    /// Which call.
    pub call: String,
    /// Whose.
    pub tenant: String,
    /// Which agent.
    pub agent: String,
    /// `chat`, `mcp`, `workflow` or `console`.
    pub door: String,
    /// `tool` or `resource`.
    pub subject: String,
    /// The name of what was called.
    pub name: String,
    /// The plugin that served it, as `<name>@<digest>`, if one was found.
    pub plugin: Option<String>,
    /// The sources used: `{"primary": {"reads": 1, "writes": 0, "denied": 0}}`.
    pub sources: Value,
    /// The arguments' names and their bytes: `{"query": 6}`.
    pub arguments: Value,
    /// How long the call took.
    pub duration_us: i64,
    /// `ok`, `denied`, `failed` or `cancelled`.
    pub outcome: String,
    /// The error's code, if it failed.
    pub code: Option<String>,
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
            "SELECT seq, at, request, call, tenant, agent, door, subject, name, plugin, sources, arguments, \
             duration_us, outcome, code FROM audit WHERE TRUE",
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
        if let Some(name) = &filter.name {
            query.push(" AND name = ").push_bind(name.as_str());
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
        let json = |column: &str| {
            let text: &str = row.try_get(column).map_err(Error::Read)?;
            serde_json::from_str(text).map_err(Error::Record)
        };
        let (sources, arguments) = (json("sources")?, json("arguments")?);
        let read = || {
            Ok(Self {
                seq: row.try_get("seq")?,
                at: row.try_get("at")?,
                request: row.try_get("request")?,
                call: row.try_get("call")?,
                tenant: row.try_get("tenant")?,
                agent: row.try_get("agent")?,
                door: row.try_get("door")?,
                subject: row.try_get("subject")?,
                name: row.try_get("name")?,
                plugin: row.try_get("plugin")?,
                sources,
                arguments,
                duration_us: row.try_get("duration_us")?,
                outcome: row.try_get("outcome")?,
                code: row.try_get("code")?,
            })
        };
        read().map_err(Error::Read)
    }
}

#[async_trait]
impl AuditLog for Journal {
    async fn record(&self, event: Event) -> Result<(), remit_domain::Error> {
        self.queue.event(event).await
    }

    fn record_later(&self, event: Event) {
        self.queue.event_later(event);
    }
}

/// Writes one event. An event that is there already (its write was reported as failed and is
/// repeated) is left as it is.
pub(crate) async fn insert(connection: &mut SqliteConnection, event: &Event) -> Result<(), sqlx::Error> {
    let json = |value: serde_json::Result<String>| value.map_err(|error| sqlx::Error::Encode(error.into()));
    sqlx::query(
        "INSERT INTO audit (at, request, call, tenant, agent, door, subject, name, plugin, sources, arguments, \
         duration_us, outcome, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (call) DO NOTHING",
    )
    .bind(instant(event.at))
    .bind(event.request.as_str())
    .bind(event.call.to_string())
    .bind(event.tenant.as_str())
    .bind(event.agent.as_str())
    .bind(event.door.as_str())
    .bind(match event.subject {
        Subject::Tool => "tool",
        Subject::Resource => "resource",
    })
    .bind(event.name.as_str())
    .bind(event.plugin.as_deref())
    .bind(json(serde_json::to_string(&event.sources))?)
    .bind(json(serde_json::to_string(&event.arguments))?)
    .bind(i64::try_from(event.duration.as_micros()).unwrap_or(i64::MAX))
    .bind(event.outcome.as_str())
    .bind(event.code)
    .execute(connection)
    .await
    .map(drop)
}

/// An instant as the journal writes it: RFC 3339 in UTC, always with six decimals, so that it sorts as text.
pub(crate) fn instant(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(UtcOffset::UTC).format(&form).unwrap_or_else(|_| remit_domain::clock::rfc3339(at))
}
