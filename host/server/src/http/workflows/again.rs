//! `POST /api/workflows/executions/{id}/rerun`: a new run that takes over what another did before a step.

use axum::{extract::State as FromState, http::HeaderMap, response::Response};
use remit_domain::{
    Error,
    audit::Action,
    execution::{Filter, Standing},
};
use remit_workflow::Which;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        error::{Body, Failure},
        extract::{JsonBody, Path, Tenant},
    },
    State, answer, deeds, key,
};

/// The most reruns of an execution that are shown with it.
const MAX_SHOWN: usize = 50;

/// From where, and by which definition.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Again {
    /// The path of a step, such as `check` or `each[3].check`: from there on steps are taken anew.
    from: String,
    /// `same` (what the execution began with, also without this) or `current`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    definition: Which,
}

/// Begins a new run that takes over the recorded outputs of what lies before a step. The execution itself stays as
/// it is.
#[utoipa::path(
    post, path = "/api/workflows/executions/{id}/rerun", tag = "workflows", request_body = Again,
    params(
        ("id" = String, Path), ("X-Context" = String, Header, description = "the tenant"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeated request with the same key is the same run")
    ),
    responses(
        (status = 202, body = Object, description = "`{success, executionId, status, href, rerunOf}`"),
        (status = 404, body = Body), (status = 409, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn rerun(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(again): JsonBody<Again>,
) -> Result<Response, Failure> {
    let key = key(&headers)?;
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    let from = (again.from.as_str(), again.definition);
    let begun = state.workflows.rerun(&tenant.principal, &tenant.context, &standing, from, key).await?;
    if begun.is_new {
        let details = json!({"workflow": standing.run.workflow, "rerunOf": standing.run.id, "from": again.from});
        deeds::record(&state, &tenant, Action::ExecutionStart, &begun.id, details).await?;
    }
    answer(&state, &tenant, begun.id.as_str()).await
}

/// The runs that took over from one, newest first.
pub(super) async fn of(state: &State, tenant: &Tenant, standing: &Standing) -> Result<Value, Error> {
    let filter = Filter { origin: Some(standing.run.id.clone()), ..Filter::default() };
    let found = state.workflows.list(&tenant.context.tenant, &filter, MAX_SHOWN).await?;
    let own = found.iter().filter(|standing| state.workflows.concerns(&tenant.principal, standing));
    let shown = own.filter_map(|standing| {
        let from = &standing.run.origin.as_ref()?.from;
        Some(json!({"executionId": standing.run.id, "from": from}))
    });
    Ok(shown.collect())
}
