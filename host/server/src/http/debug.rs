//! `/api/debug/context`: a tenant's context as it is in force, with nothing secret in it.

use std::collections::BTreeMap;

use axum::Json;
use remit_domain::grant::{Permission, permitted};
use serde::Serialize;
use serde_json::Value;

use super::{
    error::{Body, Failure},
    extract::Tenant,
};

/// A tenant's context.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Debugged {
    success: bool,
    tenant: String,
    /// As written, merged with the profile, without secrets.
    #[schema(value_type = Object)]
    context: Value,
    /// What each agent may do with each source, after the operator's ceilings.
    #[schema(value_type = Object)]
    effective_permissions: BTreeMap<String, BTreeMap<String, Permission>>,
}

/// Shows the context in force.
#[utoipa::path(
    get, path = "/api/debug/context", tag = "debug",
    params(("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Debugged), (status = 404, body = Body))
)]
pub(crate) async fn context(tenant: Tenant) -> Result<Json<Debugged>, Failure> {
    let context = &tenant.context;
    let effective = context.agents.iter().filter_map(|(name, agent)| {
        let sources = agent.mapping.as_ref()?.order.iter();
        let granted = sources.filter_map(|source| Some((source.to_string(), permitted(context, name, source).ok()?)));
        Some((name.to_string(), granted.collect()))
    });
    Ok(Json(Debugged {
        success: true,
        tenant: context.tenant.to_string(),
        context: context.authored.clone(),
        effective_permissions: effective.collect(),
    }))
}
