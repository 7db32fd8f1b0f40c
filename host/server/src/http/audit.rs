//! `/api/audit`: what a tenant's agents called and its administrators did, page by page.
//!
//! Deliberately absent: changing any of it, and verifying the chain, which `remit audit verify` does
//! where the journal lies.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State as FromState, rejection::QueryRejection},
    http::{Extensions, HeaderMap, StatusCode},
};
use remit_domain::{AgentName, CallId, Catalogue, Error, RequestId, SourceName, audit::Outcome, schema::Problem};
use remit_journal::{Filter, Journal, Row};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{Body, Failure},
    extract::{named, principal},
};
use crate::shares::{Bounds, Shares};

/// What the route stands on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) journal: Arc<Journal>,
    pub(crate) reading: Shares,
}

/// A page may take a look at every row of a tenant: fewer at once than there are connections to read.
pub(super) const READING: Bounds = Bounds { what: "readings of the audit log", of_one: 2, of_all: 3 };

/// How many events a page has if nobody says.
const USUAL: u32 = 100;

/// Which events; those that meet all that is given.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Of this agent.
    agent: Option<String>,
    /// Such as `tool.call`, `resource.read` or `key.create`.
    action: Option<String>,
    /// Of the tool, resource, key or plugin of this name.
    name: Option<String>,
    /// That used this source.
    source: Option<String>,
    /// `ok`, `denied`, `failed` or `cancelled`.
    outcome: Option<String>,
    /// Of the request of this `X-Request-Id`.
    request: Option<String>,
    /// Of this call.
    call: Option<String>,
    /// Older than this: the `next` of the page before.
    before: Option<String>,
    /// How many at most: 100 without it, up to 1000.
    limit: Option<String>,
}

/// One event.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    /// Its place in the host's log.
    seq: i64,
    /// When the call began, or the act was done.
    at: String,
    /// `tool.call`, `resource.read`, or what an administrator did, such as `key.create`.
    action: String,
    /// What was called or changed.
    name: String,
    /// `ok`, `denied`, `failed` or `cancelled`.
    outcome: String,
    /// The error's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Whose; the operator's own affairs are nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// `chat`, `mcp`, `workflow` or `console`.
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<String>,
    /// Who administered: a key's id, `anyone`, `console` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// The call's id, or that of the act.
    call: String,
    /// The plugin that served it, as `<name>@<digest>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<String>,
    /// The sources used, with how often.
    #[schema(value_type = Object)]
    sources: Value,
    /// What was done with them, equal operations taken together: `source`, `operation`, `digest` of what was
    /// asked, `outcome`, `count`, `cached`, `rows`, `bytes` and `durationUs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    operations: Option<Value>,
    /// The arguments' names and their bytes.
    #[schema(value_type = Object)]
    arguments: Value,
    /// What else is known of an act of administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
    duration_us: i64,
    /// The SHA-256 that stands for this row and all before it.
    hash: String,
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            seq: row.seq,
            at: row.at,
            action: row.action,
            name: row.name,
            outcome: row.outcome,
            code: row.code,
            tenant: some(row.tenant),
            agent: some(row.agent),
            door: some(row.door),
            actor: some(row.actor),
            request: some(row.request),
            call: row.call,
            plugin: row.plugin,
            sources: row.sources,
            operations: row.operations,
            arguments: row.arguments,
            details: row.details,
            duration_us: row.duration_us,
            hash: row.hash.to_string(),
        }
    }
}

/// A page of events, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Page {
    success: bool,
    events: Vec<Event>,
    /// What `before` takes to give the next page; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// Pages through the tenant's audit log, the newest first. An operator's key without X-Context gets all.
#[utoipa::path(
    get, path = "/api/audit", tag = "audit",
    params(Wanted, ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 200, body = Page), (status = 400, body = Body), (status = 401, body = Body),
        (status = 403, body = Body), (status = 404, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn list(
    FromState(state): FromState<State>,
    extensions: Extensions,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page>, Failure> {
    let principal = principal(&extensions)?;
    let everything = principal.key().is_some() && principal.tenant().is_none() && !headers.contains_key("x-context");
    let tenant = if everything { None } else { Some(named(&headers, &principal)?) };
    if let Some(tenant) = &tenant {
        match state.catalogue.context(tenant) {
            // Its past can be read whatever its files look like now.
            Ok(_) | Err(Error::TenantUnavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let Query(wanted) = wanted.map_err(|rejection| {
        Failure::new(StatusCode::BAD_REQUEST, "bad_request", rejection.body_text())
            .hint("GET /openapi.json lists what the route takes")
    })?;
    let limit = limit(wanted.limit.as_deref())?;
    let _turn = tenant.as_ref().map(|tenant| state.reading.take(tenant)).transpose()?;
    let mut filter = wanted.filter()?;
    filter.tenant = tenant;
    let read = state.journal.events(&filter, limit).await;
    let rows = read.map_err(|error| Error::Journal(Box::new(error)))?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|row| full && row.seq > 1).map(|row| row.seq);
    Ok(Json(Page { success: true, events: rows.into_iter().map(Event::from).collect(), next }))
}

impl Wanted {
    fn filter(self) -> Result<Filter, Error> {
        let agent = self.agent.map(|name| AgentName::new(&name).map_err(|error| invalid("/agent", &error.to_string())));
        let source =
            self.source.map(|name| SourceName::new(&name).map_err(|error| invalid("/source", &error.to_string())));
        let outcome = self.outcome.map(|name| {
            Outcome::of(&name).ok_or_else(|| invalid("/outcome", "one of ok, denied, failed and cancelled"))
        });
        let request = self
            .request
            .map(|id| RequestId::from_client(&id).ok_or_else(|| invalid("/request", "up to 128 visible characters")));
        let call = self.call.map(|id| CallId::parse(&id).ok_or_else(|| invalid("/call", "not a call's id")));
        let place = |text: String| text.parse().ok().filter(|seq: &i64| *seq > 0);
        let before = self.before.map(|text| place(text).ok_or_else(|| invalid("/before", "not the `next` of a page")));
        Ok(Filter {
            agent: agent.transpose()?,
            source: source.transpose()?,
            outcome: outcome.transpose()?,
            request: request.transpose()?,
            call: call.transpose()?,
            before: before.transpose()?,
            action: self.action,
            name: self.name,
            tenant: None,
        })
    }
}

fn limit(text: Option<&str>) -> Result<u32, Error> {
    let Some(text) = text else { return Ok(USUAL) };
    let limit = text.parse().ok().filter(|limit| (1..=Journal::MAX_EVENTS).contains(limit));
    limit.ok_or_else(|| invalid("/limit", "a number from 1 to 1000"))
}

fn invalid(pointer: &str, message: &str) -> Error {
    Error::InvalidArguments(vec![Problem { pointer: pointer.to_owned(), message: message.to_owned() }])
}
