//! `/api/workflows/executions`: runs, what they did, and deciding on them.

use axum::{Json, extract::State as FromState};
use remit_domain::{
    AgentName, Error,
    audit::Action,
    execution::{Choice, Entry, Filter, RunId, Status},
    schema::Problem,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    super::{
        error::{Body, Failure},
        extract::{JsonBody, OptionalJson, Path, Query, Tenant},
    },
    State, deeds,
    shown::{self, Sight, redacted, summary},
};

/// The most runs of a page.
const MAX_PAGE: usize = 200;
/// The most entries of a run's journal that are shown at once.
const MAX_ENTRIES: usize = 5_000;
/// The most bytes of them, and how many are read at a time until then.
const MAX_SHOWN_BYTES: usize = 4 * 1024 * 1024;
const PIECE: usize = 16;

/// Which runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    workflow: Option<String>,
    status: Option<String>,
    /// Whose steps are this agent's, where they name none.
    agent: Option<String>,
    /// That began then or later.
    since: Option<String>,
    /// That began before then.
    until: Option<String>,
    /// Where the page before ended.
    cursor: Option<String>,
    limit: Option<usize>,
    /// The one whose outputs they took over.
    #[serde(rename = "rerunOf")]
    rerun_of: Option<String>,
}

/// The tenant's runs, newest first.
#[utoipa::path(
    get, path = "/api/workflows/executions", tag = "workflows",
    params(
        ("X-Context" = String, Header, description = "the tenant"),
        ("workflow" = Option<String>, Query), ("status" = Option<String>, Query), ("agent" = Option<String>, Query),
        ("since" = Option<String>, Query, description = "RFC 3339: those that began then or later"),
        ("until" = Option<String>, Query, description = "RFC 3339: those that began before"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<usize>, Query, description = "50 without it, 200 at most"),
        ("rerunOf" = Option<String>, Query, description = "those that took over from this execution")
    ),
    responses((status = 200, body = Object, description = "`{success, executions: […], next}`"), (status = 422, body = Body))
)]
pub(crate) async fn list(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Failure> {
    let problem = |pointer: &str, message: &str| {
        Error::InvalidArguments(vec![Problem { pointer: pointer.to_owned(), message: message.to_owned() }])
    };
    let status = asked.status.as_deref().map(|text| {
        Status::parse(text).ok_or_else(|| problem("/status", "running, completed, failed, cancelled or interrupted"))
    });
    let before = asked.cursor.as_deref().map(|text| RunId::parse(text).ok_or_else(|| problem("/cursor", "no cursor")));
    let moment = |pointer: &str, text: &Option<String>| {
        let read = |text: &String| OffsetDateTime::parse(text, &Rfc3339).map(RunId::at);
        text.as_ref().map(read).transpose().map_err(|_| problem(pointer, "a time such as 2026-11-23T10:00:00Z"))
    };
    let (since, until) = (moment("/since", &asked.since)?, moment("/until", &asked.until)?);
    let agent = asked.agent.map(|name| AgentName::new(&name).map_err(|error| problem("/agent", &error.to_string())));
    let origin = asked.rerun_of.as_deref().map(|text| RunId::parse(text).ok_or_else(|| problem("/rerunOf", "no id")));
    let filter = Filter {
        workflow: asked.workflow,
        status: status.transpose()?,
        before: before.transpose()?.into_iter().chain(until).min(),
        since,
        agent: agent.transpose()?,
        origin: origin.transpose()?,
    };
    let limit = asked.limit.unwrap_or(50).clamp(1, MAX_PAGE);
    let mut runs = state.workflows.list(&tenant.context.tenant, &filter, limit + 1).await?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|last| last.run.id.to_string());
    let own = runs.iter().filter(|standing| state.workflows.concerns(&tenant.principal, standing));
    let sight = Sight::of(&tenant.principal);
    let shown: Vec<Value> = own.map(|standing| summary(standing, sight)).collect();
    Ok(Json(json!({"success": true, "executions": shown, "next": next})))
}

/// One run: how it stands, each step with its times and tries, and its plan for drawing. What steps were given and
/// came to, and the definition, are for those who may run workflows.
#[utoipa::path(
    get, path = "/api/workflows/executions/{id}", tag = "workflows",
    params(("id" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object, description = "`{success, executionId, status, inputs, outputs, steps: […], plan: {nodes, edges}, definition}`"), (status = 404, body = Body))
)]
pub(crate) async fn show(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    let run = &standing.run;
    let (entries, whole) = entries(&state, &run.id).await?;
    let sight = Sight::of(&tenant.principal);
    let mut shown = summary(&standing, sight);
    shown::hide(&mut shown);
    super::queued(&state, &run.id, &mut shown);
    let reruns = super::again::of(&state, &tenant, &standing).await?;
    if let Value::Object(members) = &mut shown {
        let steps = shown::steps(&run.id, entries.iter().map(|(_, entry)| entry), sight);
        // One that this host can't read any more is not drawn.
        let plan = remit_workflow::drawing_of(&run.definition);
        members.insert("reruns".to_owned(), reruns);
        members.insert("steps".to_owned(), steps);
        members.insert("stepsTruncated".to_owned(), (!whole).into());
        members.insert("plan".to_owned(), plan);
        if sight.is_whole() {
            members.insert("inputs".to_owned(), redacted(&run.inputs));
            members.insert("definition".to_owned(), run.definition.clone());
        }
    }
    Ok(Json(shown))
}

/// The first entries of a run's journal, and whether these are all.
async fn entries(state: &State, run: &RunId) -> Result<(Vec<(u64, Entry)>, bool), Error> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while entries.len() < MAX_ENTRIES && bytes < MAX_SHOWN_BYTES {
        let after = entries.last().map_or(0, |(at, _)| *at);
        let more = state.workflows.entries(run, after, PIECE).await?;
        let last = more.len() < PIECE;
        bytes += more.iter().map(|(_, entry)| size(entry)).sum::<usize>();
        entries.extend(more);
        if last {
            return Ok((entries, true));
        }
    }
    Ok((entries, false))
}

fn size(entry: &Entry) -> usize {
    serde_json::to_string(entry).map_or(0, |text| text.len())
}

/// Stops a run.
#[utoipa::path(
    post, path = "/api/workflows/executions/{id}/cancel", tag = "workflows",
    params(("id" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object), (status = 404, body = Body), (status = 409, body = Body))
)]
pub(crate) async fn cancel(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    state.workflows.cancel(&standing, &tenant.principal).await?;
    let details = json!({"workflow": standing.run.workflow});
    deeds::record(&state, &tenant, Action::ExecutionCancel, &standing.run.id, details).await?;
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}

/// What to do with an interrupted step.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// `rerun` or `skip`.
    #[schema(value_type = String)]
    choice: Choice,
}

/// Decides on the step at which a run was interrupted: it is tried again or counts as skipped.
#[utoipa::path(
    post, path = "/api/workflows/executions/{id}/resolve", tag = "workflows", request_body = Decision,
    params(("id" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object), (status = 404, body = Body), (status = 409, body = Body))
)]
pub(crate) async fn resolve(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
    JsonBody(decision): JsonBody<Decision>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    state.workflows.decide(&standing, decision.choice, &tenant.principal).await?;
    let details = json!({"workflow": standing.run.workflow, "choice": decision.choice});
    deeds::record(&state, &tenant, Action::ExecutionResolve, &standing.run.id, details).await?;
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}

/// Gives a run a signal: the body is what comes with it, such as `{"approved": true}`.
#[utoipa::path(
    post, path = "/api/workflows/executions/{id}/signals/{name}", tag = "workflows", request_body = Object,
    params(("id" = String, Path), ("name" = String, Path, description = "the approval's step"), ("X-Context" = String, Header, description = "the tenant")),
    responses(
        (status = 200, body = Object), (status = 403, body = Body), (status = 404, body = Body),
        (status = 409, body = Body)
    )
)]
pub(crate) async fn signal(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path((id, name)): Path<(String, String)>,
    OptionalJson(payload): OptionalJson<Value>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    // Of what comes with it, what an approval comes to, and no more.
    let approved = payload.get("approved").and_then(Value::as_bool);
    state.workflows.signal(&standing, &name, payload, &tenant.principal).await?;
    let details = json!({"workflow": standing.run.workflow, "signal": name, "approved": approved});
    deeds::record(&state, &tenant, Action::ExecutionSignal, &standing.run.id, details).await?;
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}
