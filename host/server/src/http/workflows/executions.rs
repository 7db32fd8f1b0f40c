//! `/api/workflows/executions`: runs, what they did, and deciding on them.

use axum::{Json, extract::State as FromState};
use remit_domain::{
    Error,
    clock::rfc3339,
    execution::{Choice, Entry, Filter, Outcome, RunId, Standing, Status},
    schema::Problem,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::{
        error::{Body, Failure},
        extract::{JsonBody, OptionalJson, Path, Query, Tenant},
    },
    State,
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
        ("workflow" = Option<String>, Query), ("status" = Option<String>, Query),
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
    let origin = asked.rerun_of.as_deref().map(|text| RunId::parse(text).ok_or_else(|| problem("/rerunOf", "no id")));
    let filter = Filter {
        workflow: asked.workflow,
        status: status.transpose()?,
        before: before.transpose()?,
        origin: origin.transpose()?,
    };
    let limit = asked.limit.unwrap_or(50).clamp(1, MAX_PAGE);
    let mut runs = state.workflows.list(&tenant.context.tenant, &filter, limit + 1).await?;
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|last| last.run.id.to_string());
    let own = runs.iter().filter(|standing| state.workflows.concerns(&tenant.principal, standing));
    let shown: Vec<Value> = own.map(summary).collect();
    Ok(Json(json!({"success": true, "executions": shown, "next": next})))
}

/// One run: how it stands, and what each step was given and came to.
#[utoipa::path(
    get, path = "/api/workflows/executions/{id}", tag = "workflows",
    params(("id" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object, description = "`{success, executionId, status, outputs, steps: […], plan}`"), (status = 404, body = Body))
)]
pub(crate) async fn show(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    let (entries, whole) = entries(&state, &standing.run.id).await?;
    let mut shown = summary(&standing);
    super::queued(&state, &standing.run.id, &mut shown);
    let reruns = super::again::of(&state, &tenant, &standing).await?;
    if let Value::Object(members) = &mut shown {
        members.insert("reruns".to_owned(), reruns);
        members.insert("inputs".to_owned(), standing.run.inputs.clone());
        members.insert("steps".to_owned(), steps(&entries));
        members.insert("stepsTruncated".to_owned(), (!whole).into());
        members.insert("plan".to_owned(), standing.run.definition.clone());
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
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}

/// Gives a run a signal: the body is what comes with it, such as `{"approved": true}`.
#[utoipa::path(
    post, path = "/api/workflows/executions/{id}/signals/{name}", tag = "workflows", request_body = Object,
    params(("id" = String, Path), ("name" = String, Path, description = "the approval's step"), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object), (status = 404, body = Body), (status = 409, body = Body))
)]
pub(crate) async fn signal(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path((id, name)): Path<(String, String)>,
    OptionalJson(payload): OptionalJson<Value>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    state.workflows.signal(&standing, &name, payload, &tenant.principal).await?;
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}

/// How a run stands, in brief.
pub(super) fn summary(standing: &Standing) -> Value {
    let run = &standing.run;
    let status = standing.end.as_ref().map_or(Status::Running, |end| end.status);
    let mut shown = json!({
        "success": !matches!(status, Status::Failed | Status::Cancelled | Status::Interrupted),
        "executionId": run.id,
        "workflow": run.workflow,
        "status": status,
        "startedAt": rfc3339(run.began),
        "startedBy": run.by.name,
        "href": format!("/api/workflows/executions/{}", run.id),
    });
    if let (Some(origin), Value::Object(members)) = (&run.origin, &mut shown) {
        members.insert("rerunOf".to_owned(), json!({"executionId": origin.run, "from": origin.from}));
    }
    if let (Some(end), Value::Object(members)) = (&standing.end, &mut shown) {
        members.insert("endedAt".to_owned(), rfc3339(end.at).into());
        if let Some(outputs) = &end.outputs {
            members.insert("outputs".to_owned(), outputs.clone());
        }
        if let Some(failure) = &end.failure {
            members.insert("error".to_owned(), failure.message.clone().into());
            members.insert("code".to_owned(), failure.code.clone().into());
            members.insert("step".to_owned(), failure.path.clone().into());
        }
    }
    shown
}

/// Each step with what it was given and came to, in the order in which they began.
fn steps(entries: &[(u64, Entry)]) -> Value {
    let mut order: Vec<String> = Vec::new();
    let mut steps: Map<String, Value> = Map::new();
    for (_, entry) in entries {
        let place = entry.place();
        if place.starts_with('!') {
            continue;
        }
        if !steps.contains_key(&place) {
            order.push(place.clone());
            steps.insert(place.clone(), json!({"path": place, "status": "running"}));
        }
        let Some(Value::Object(step)) = steps.get_mut(&place) else { continue };
        match entry {
            Entry::Began { attempt, at, input, until, .. } => {
                step.entry("startedAt").or_insert_with(|| rfc3339(*at).into());
                step.insert("attempts".to_owned(), (*attempt).into());
                step.insert("input".to_owned(), input.clone());
                if let Some(until) = until {
                    step.insert("waitsUntil".to_owned(), rfc3339(*until).into());
                }
            }
            Entry::Ended { at, outcome, .. } => {
                step.insert("endedAt".to_owned(), rfc3339(*at).into());
                let (status, output) = match outcome {
                    Outcome::Done(output) => ("completed", Some(output)),
                    Outcome::Skipped => ("skipped", None),
                    Outcome::Failed { output, .. } => ("failed", Some(output)),
                };
                step.insert("status".to_owned(), status.into());
                step.extend(output.map(|output| ("output".to_owned(), output.clone())));
            }
            Entry::Resolved { choice, by, .. } => {
                step.insert("decided".to_owned(), json!({"choice": choice, "by": by}));
            }
            Entry::Signalled { .. } | Entry::Cancelled { .. } => {}
        }
    }
    order.into_iter().filter_map(|place| steps.remove(&place)).collect()
}
