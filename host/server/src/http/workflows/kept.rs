//! What runs leave: large outputs, and removing what has ended.

use axum::{
    Json,
    extract::State as FromState,
    http::header,
    response::{IntoResponse, Response},
};
use remit_domain::{Error, access::Role, audit::Action};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Body, Failure},
        extract::{Path, Tenant},
    },
    State, deeds,
    shown::{Sight, redacted},
};

/// A large output of a run, as JSON.
#[utoipa::path(
    get, path = "/api/workflows/executions/{id}/artifacts/{digest}", tag = "workflows",
    params(
        ("id" = String, Path), ("digest" = String, Path, description = "`artifact` of the step's output"),
        ("X-Context" = String, Header, description = "the tenant")
    ),
    responses((status = 200, body = Object), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn artifact(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path((id, digest)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    if !Sight::of(&tenant.principal).is_whole() {
        return Err(Error::RoleTooLow { needed: Role::Agent, has: tenant.principal.role() }.into());
    }
    let _turn = state.reading.take(&tenant.context.tenant)?;
    let text = state.workflows.artifact(&standing, &digest).await?;
    // It may be megabytes.
    let shown = tokio::task::spawn_blocking(move || {
        serde_json::from_slice::<Value>(&text).map(|output| redacted(&output).to_string())
    });
    let shown = shown.await.map_err(|error| Error::Internal(error.into()))?;
    let shown = shown.map_err(|error| Error::Internal(error.into()))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], shown).into_response())
}

/// Removes a run that has ended, with all that it left but its audit events.
#[utoipa::path(
    delete, path = "/api/workflows/executions/{id}", tag = "workflows",
    params(("id" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Object), (status = 404, body = Body), (status = 409, body = Body))
)]
pub(crate) async fn remove(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let standing = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    state.workflows.remove(&standing).await?;
    let details = json!({"workflow": standing.run.workflow});
    deeds::record(&state, &tenant, Action::ExecutionDelete, &standing.run.id, details).await?;
    Ok(Json(json!({"success": true, "executionId": standing.run.id})))
}
