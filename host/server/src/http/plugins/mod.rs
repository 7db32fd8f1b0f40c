//! `/api/plugins`: a tenant's own plugins, taken in, listed, activated, taken back and removed.
//!
//! Deliberately absent: the operator's plugins, which lie in a folder, and how a component travels
//! ([`arrival`]).

pub(super) mod arrival;
mod shown;

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRef, Request, State as FromState},
    http::StatusCode,
};
use remit_domain::{
    Catalogue,
    plugin::Computed,
    usage::{Ledger, Meter, Payer},
};
use remit_library::{Activated, Arrival, By, Library, Offers};
use serde::Deserialize;

use self::shown::{Changed, Listed, Removed, Taken, Versions};
use super::{
    error::{Body, Failure},
    extract::{OptionalJson, Path, Query, Tenant},
};
use crate::shares::{Shares, Turn};

/// What these routes stand on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) library: Library,
    pub(crate) receiving: Shares,
}

impl FromRef<State> for Catalogue {
    fn from_ref(state: &State) -> Self {
        state.catalogue.clone()
    }
}

/// How an upload is to end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default)]
    activate: bool,
}

/// Which version is meant.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Its number; the newest without it.
    version: Option<u32>,
}

/// Takes in a component of the tenant as the next version of its plugin, not yet active unless asked.
#[utoipa::path(
    post, path = "/api/plugins", tag = "plugins",
    params(
        ("activate" = Option<bool>, Query, description = "the version serves at once"),
        ("X-Context" = Option<String>, Header, description = "the tenant"),
        ("X-Remit-Signature" = Option<String>, Header, description = "`ed25519:<public key>:<signature>`, as `remit plugin sign` writes it")
    ),
    request_body(
        content((Vec<u8> = "application/wasm"), (Object = "multipart/form-data")),
        description = "the component; in a form the field `component`, with an optional field `signature`"
    ),
    responses(
        (status = 201, body = Taken), (status = 200, body = Taken, description = "the same bytes are a version already"),
        (status = 401, body = Body), (status = 403, body = Body), (status = 413, body = Body),
        (status = 422, body = Body), (status = 429, body = Body)
    )
)]
pub(crate) async fn upload(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Query(wanted): Query<Wanted>,
    request: Request,
) -> Result<(StatusCode, Json<Taken>), Failure> {
    let (by, charge) = in_turn(&state, &tenant)?;
    let context = tenant.context;
    let tier = context.limits.uploads.of(context.uploads);
    let (wasm, signature) = arrival::receive(request, tier.component_bytes).await?;
    charge.usage.take(&charge.payer, Meter::UploadBytes, u64::try_from(wasm.len()).unwrap_or(u64::MAX))?;
    let arrival = Arrival { wasm: Arc::new(wasm), signature, by, activate: wanted.activate };
    let stored = state.library.upload(&context, arrival).await?;
    let (plugin, number) = (&stored.version.upload.plugin, stored.version.number);
    let digest = stored.version.upload.digest.as_str();
    tracing::info!(tenant = %context.tenant, %plugin, number, digest, active = stored.version.active, "a plugin was uploaded");
    let status = if stored.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Taken::of(stored))))
}

/// Lists the plugins that the tenant has uploaded.
#[utoipa::path(
    get, path = "/api/plugins", tag = "plugins",
    params(("X-Context" = Option<String>, Header, description = "the tenant")),
    responses((status = 200, body = Listed), (status = 401, body = Body))
)]
pub(crate) async fn list(FromState(state): FromState<State>, tenant: Tenant) -> Result<Json<Listed>, Failure> {
    let versions = state.library.list(&tenant.context.tenant, None).await?;
    Ok(Json(Listed::of(&tenant.context, versions)))
}

/// Shows one of the tenant's plugins with its versions, the newest first.
#[utoipa::path(
    get, path = "/api/plugins/{name}", tag = "plugins",
    params(("name" = String, Path), ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses((status = 200, body = Versions), (status = 401, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn versions(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Versions>, Failure> {
    let versions = state.library.list(&tenant.context.tenant, Some(&name)).await?;
    Ok(Json(Versions::of(name, versions)))
}

/// Makes a version serve: calls in flight end with the one before, the next begin with this one.
#[utoipa::path(
    post, path = "/api/plugins/{name}/activate", tag = "plugins", request_body = Which,
    params(("name" = String, Path), ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 200, body = Changed), (status = 401, body = Body), (status = 403, body = Body),
        (status = 404, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn activate(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
    OptionalJson(which): OptionalJson<Which>,
) -> Result<Json<Changed>, Failure> {
    let (by, _charge) = in_turn(&state, &tenant)?;
    let activated = state.library.activate(&tenant.context, &name, which.version, by).await?;
    Ok(changed(&tenant, name, activated))
}

/// Makes the version serve that served before.
#[utoipa::path(
    post, path = "/api/plugins/{name}/rollback", tag = "plugins",
    params(("name" = String, Path), ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 200, body = Changed), (status = 401, body = Body), (status = 403, body = Body),
        (status = 404, body = Body), (status = 409, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn roll_back(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Failure> {
    let (by, _charge) = in_turn(&state, &tenant)?;
    let activated = state.library.roll_back(&tenant.context, &name, by).await?;
    Ok(changed(&tenant, name, activated))
}

/// Takes the plugin out of service: the operator's of that name, if there is one, serves again.
#[utoipa::path(
    post, path = "/api/plugins/{name}/deactivate", tag = "plugins",
    params(("name" = String, Path), ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 200, body = Changed), (status = 401, body = Body), (status = 403, body = Body), (status = 404, body = Body)
    )
)]
pub(crate) async fn deactivate(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
) -> Result<Json<Changed>, Failure> {
    let switch = state.library.deactivate(&tenant.context.tenant, &name, by(&tenant, None)).await?;
    Ok(changed(&tenant, name, Activated { switch, changes: Vec::new(), offers: Offers::default() }))
}

/// Removes a version, or the whole plugin without `version`; nothing is removed while one of them serves.
#[utoipa::path(
    delete, path = "/api/plugins/{name}", tag = "plugins",
    params(
        ("name" = String, Path), ("version" = Option<u32>, Query, description = "this one alone"),
        ("X-Context" = Option<String>, Header, description = "the tenant")
    ),
    responses(
        (status = 200, body = Removed), (status = 401, body = Body), (status = 403, body = Body),
        (status = 404, body = Body), (status = 409, body = Body)
    )
)]
pub(crate) async fn remove(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<Removed>, Failure> {
    let removed = state.library.remove(&tenant.context.tenant, &name, which.version, by(&tenant, None)).await?;
    tracing::info!(tenant = %tenant.context.tenant, plugin = name, ?removed, "versions of a plugin were removed");
    Ok(Json(Removed { success: true, plugin: name, removed }))
}

/// Who asks, with a turn: what comes in, or is read to be activated, is held in memory. What it computes, while
/// it is compiled and describes itself, is charged. Errors: `Busy`, `Quota`.
fn in_turn(state: &State, tenant: &Tenant) -> Result<(By, Charge), Failure> {
    let payer = Payer::new(&tenant.principal, Some(&tenant.context));
    let usage = state.catalogue.usage().clone();
    usage.check(&payer, Meter::CpuMs)?;
    let by = by(tenant, Some(state.receiving.take(&tenant.context.tenant)?));
    let computed = by.computed.clone();
    Ok((by, Charge { usage, payer, computed }))
}

/// Charges what examining a component computed when it is dropped: its client may go away in the middle.
struct Charge {
    usage: Arc<Ledger>,
    payer: Payer,
    computed: Computed,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.usage.note_computing(&self.payer, &self.computed);
    }
}

fn by(tenant: &Tenant, turn: Option<Turn>) -> By {
    let turn = turn.map(|turn| Box::new(turn) as Box<dyn Send + Sync>);
    By { actor: (&tenant.principal).into(), request: tenant.request.clone(), turn, computed: Computed::default() }
}

fn changed(tenant: &Tenant, plugin: String, activated: Activated) -> Json<Changed> {
    let Activated { switch, .. } = &activated;
    tracing::info!(tenant = %tenant.context.tenant, plugin, from = switch.from, to = switch.to, "a plugin was switched");
    Json(Changed::of(&tenant.context, plugin, activated))
}
