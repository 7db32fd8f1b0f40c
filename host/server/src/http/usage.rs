//! `/api/usage`: what is used, how much may be, and when the counts begin anew. And the counting of requests,
//! which the gate asks for.
//!
//! Deliberately absent: the counts themselves, which are the `Catalogue`'s, whoever asks.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State as FromState,
    http::{HeaderMap, Uri},
};
use remit_domain::{
    Catalogue, Error, TenantId,
    access::{Key, Keys, Principal, Role},
    clock::{Clock as _, SystemClock, rfc3339},
    usage::{Figure, Meter, Owner, Payer, Quotas, Window},
};
use serde::Serialize;

use super::{
    error::{Body, Failure},
    extract::{self, CONTEXT_HEADER},
};

/// What the route stands on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) keys: Arc<dyn Keys>,
}

/// What is used.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Used {
    success: bool,
    tenants: Vec<OfTenant>,
    keys: Vec<OfKey>,
}

/// What is used for a tenant, whoever asks.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OfTenant {
    tenant: String,
    usage: Vec<Row>,
}

/// What is used with a key.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct OfKey {
    key: String,
    /// Whose it is; an operator's key is nobody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    usage: Vec<Row>,
}

/// One meter in one window.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    #[schema(value_type = String, example = "requests")]
    meter: Meter,
    #[schema(value_type = String, example = "minute")]
    window: Window,
    used: u64,
    /// How much may be; absent where there is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<u64>,
    /// When the count begins anew, in RFC 3339.
    resets_at: String,
}

impl From<Figure> for Row {
    fn from(figure: Figure) -> Self {
        let Figure { meter, window, used, allowed, resets } = figure;
        Self { meter, window, used, allowed, resets_at: rfc3339(resets) }
    }
}

/// Shows what a tenant and its keys have used: to administrators all of the tenant's keys, to others their
/// own. An operator who names no tenant sees all.
#[utoipa::path(
    get, path = "/api/usage", tag = "usage",
    params(("X-Context" = Option<String>, Header, description = "the tenant; all without it, for an operator")),
    responses((status = 200, body = Used), (status = 401, body = Body), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn show(
    FromState(state): FromState<State>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
) -> Result<Json<Used>, Failure> {
    let all = principal.tenant().is_none() && !headers.contains_key(CONTEXT_HEADER);
    let tenant = if all { None } else { Some(extract::named(&headers, &principal)?) };
    let tenants = match &tenant {
        Some(tenant) => vec![(tenant.clone(), state.catalogue.context(tenant)?.limits.quotas)],
        None => state.all(),
    };
    let usage = state.catalogue.usage();
    let rows = |owner: &Owner, quotas: &Quotas| usage.figures(owner, quotas).into_iter().map(Row::from).collect();
    let keys = state.keys.list(tenant.as_ref()).await?;
    let shown = |key: &Key| principal.role() >= Role::Admin || principal.key() == Some(&key.id);
    let now = SystemClock.now();
    Ok(Json(Used {
        success: true,
        tenants: tenants
            .into_iter()
            .map(|(tenant, quotas)| OfTenant {
                tenant: tenant.to_string(),
                usage: rows(&Owner::Tenant(tenant), &quotas),
            })
            .collect(),
        keys: keys
            .into_iter()
            .filter(|key| shown(key) && key.is_valid(now))
            .map(|key| OfKey {
                key: key.id.to_string(),
                tenant: key.tenant.map(|tenant| tenant.to_string()),
                label: key.label,
                usage: rows(&Owner::Key(key.id), &key.quotas),
            })
            .collect(),
    }))
}

impl State {
    /// All tenants that are in service.
    fn all(&self) -> Vec<(TenantId, Quotas)> {
        let all = self.catalogue.tenants().all().into_iter();
        all.filter_map(|(tenant, _)| {
            let quotas = self.catalogue.context(&tenant).ok()?.limits.quotas;
            Some((tenant, quotas))
        })
        .collect()
    }
}

/// Counts a request against the tenant that it is for and the key that it comes with. A tenant that is not
/// there is answered so further in, and is not counted.
///
/// Errors: [`Error::Quota`].
pub(super) fn count(catalogue: &Catalogue, who: &Principal, headers: &HeaderMap, uri: &Uri) -> Result<(), Error> {
    // What is open to all, such as the question whether the host lives.
    if *who == Principal::nobody() {
        return Ok(());
    }
    let in_path = || uri.path().strip_prefix("/mcp/")?.split('/').next();
    let in_header = || headers.get(CONTEXT_HEADER)?.to_str().ok();
    let named = || TenantId::new(in_path().or_else(in_header)?).ok();
    let context = who.tenant().cloned().or_else(named).and_then(|tenant| catalogue.context(&tenant).ok());
    catalogue.usage().take(&Payer::new(who, context.as_deref()), Meter::Requests, 1)
}
