//! `/api/workflows/{name}`: one workflow with its versions and its triggers; removing versions, and pausing
//! triggers.

use axum::{Json, extract::State as FromState};
use remit_config::File;
use remit_domain::{
    Error,
    audit::{Action, Deed},
    clock::{Clock as _, SystemClock, rfc3339},
};
use remit_workflow::Plan;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        error::{Body, Failure},
        extract::{Path, Query, Tenant},
    },
    State, shown,
};

/// Keeps a workflow, and puts that on record. Its version, and whether that is new.
pub(super) async fn store(
    state: &State,
    tenant: &Tenant,
    file: File,
    path: Option<String>,
    plan: Plan,
) -> Result<(u32, bool), Failure> {
    let (version, new) = state.storing.store(&tenant.context.tenant, tenant.principal.name(), file, path, plan).await?;
    if new {
        let details = json!({"version": version.number, "digest": version.definition.digest});
        record(state, tenant, Action::WorkflowStore, &version.definition.name, details).await?;
    }
    Ok((version.number, new))
}

async fn record(state: &State, tenant: &Tenant, action: Action, name: &str, details: Value) -> Result<(), Error> {
    let deed = Deed::new(SystemClock.now(), (&tenant.principal).into(), action, name);
    state.audit.administer(deed.of(&tenant.context.tenant).asked_by(&tenant.request).with(details)).await
}

/// Shows a workflow: which version is found by the name, the versions that were handed in, and its triggers.
#[utoipa::path(
    get, path = "/api/workflows/{name}", tag = "workflows",
    params(("name" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses(
        (status = 200, body = Object, description = "`{success, workflow: {name, version, plan, source, …}, versions: […], triggers: […]}`"),
        (status = 404, body = Body)
    )
)]
pub(crate) async fn show(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Value>, Failure> {
    let missing = || Error::UnknownWorkflow(name.chars().take(128).collect());
    let workflow = state.workflows.shelf().find(&tenant.context.tenant, &name).ok_or_else(missing)?;
    let own = workflow.plan.authored.name.as_str();
    let versions = state.storing.versions(&tenant.context.tenant, own).await?;
    let mut found = shown(&workflow, &tenant);
    if let Value::Object(members) = &mut found {
        members.insert("plan".to_owned(), json!(workflow.plan.authored));
        let source = versions.iter().find(|version| Some(version.number) == workflow.version);
        members.insert("source".to_owned(), source.map(|version| version.definition.source.clone()).into());
    }
    let listed: Vec<Value> = versions
        .iter()
        .map(|version| {
            let definition = &version.definition;
            json!({
                "version": version.number, "digest": definition.digest, "file": definition.file,
                "storedAt": rfc3339(definition.at), "storedBy": definition.by,
            })
        })
        .collect();
    let triggers = state.triggers.shown(&tenant.context, &workflow);
    Ok(Json(json!({"success": true, "workflow": found, "versions": listed, "triggers": triggers})))
}

/// Which version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    version: Option<u32>,
}

/// Removes a version that was handed in, or all of them without `version`: what was there before is found again.
/// Executions that are under way go on with what they began with.
#[utoipa::path(
    delete, path = "/api/workflows/{name}", tag = "workflows",
    params(
        ("name" = String, Path), ("version" = Option<u32>, Query, description = "this one alone"),
        ("X-Context" = String, Header, description = "the tenant")
    ),
    responses(
        (status = 200, body = Object, description = "`{success, removed: […], workflow}`: what is found by the name now"),
        (status = 403, body = Body), (status = 404, body = Body)
    )
)]
pub(crate) async fn remove(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Failure> {
    let removed = state.storing.remove(&tenant.context.tenant, &name, asked.version).await?;
    record(&state, &tenant, Action::WorkflowDelete, &name, json!({"versions": removed.numbers})).await?;
    let serves = removed.serves.map(|workflow| shown(&workflow, &tenant));
    Ok(Json(json!({"success": true, "removed": removed.numbers, "workflow": serves})))
}

/// Tells a trigger to begin nothing until it is resumed.
#[utoipa::path(
    post, path = "/api/workflows/{name}/triggers/{trigger}/pause", tag = "workflows",
    params(
        ("name" = String, Path), ("trigger" = String, Path, description = "a schedule's name, or `webhook`"),
        ("X-Context" = String, Header, description = "the tenant")
    ),
    responses((status = 200, body = Object), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn pause(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(of): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    switch(&state, &tenant, of, true).await
}

/// Lets a trigger begin runs again. Times that passed meanwhile stay over.
#[utoipa::path(
    post, path = "/api/workflows/{name}/triggers/{trigger}/resume", tag = "workflows",
    params(
        ("name" = String, Path), ("trigger" = String, Path, description = "a schedule's name, or `webhook`"),
        ("X-Context" = String, Header, description = "the tenant")
    ),
    responses((status = 200, body = Object), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn resume(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(of): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    switch(&state, &tenant, of, false).await
}

async fn switch(
    state: &State,
    tenant: &Tenant,
    (name, trigger): (String, String),
    paused: bool,
) -> Result<Json<Value>, Failure> {
    let triggers = state.triggers.pause(&tenant.context, &name, &trigger, paused).await?;
    let action = if paused { Action::TriggerPause } else { Action::TriggerResume };
    record(state, tenant, action, &name, json!({"trigger": trigger})).await?;
    Ok(Json(json!({"success": true, "triggers": triggers})))
}
