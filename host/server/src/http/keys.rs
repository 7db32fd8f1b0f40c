//! `/api/keys`: a tenant's keys, made, listed and revoked by its administrators.
//!
//! Deliberately absent: operators' keys, which `remit keys create` makes on the machine itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Json,
    extract::{FromRef, State as FromState},
    http::StatusCode,
};
use remit_domain::{
    Catalogue, Error,
    access::{Key, KeyId, Keys, Role, Token},
    audit::AuditLog,
    clock::{SystemClock, rfc3339},
    schema::Problem,
    usage::Quotas,
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::{
    error::{Body, Failure},
    extract::{JsonBody, Path, Tenant},
};
use crate::keys::{key_made, key_revoked};
use remit_domain::clock::Clock as _;

/// What the routes of keys stand on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) audit: Arc<dyn AuditLog>,
}

impl FromRef<State> for Catalogue {
    fn from_ref(state: &State) -> Self {
        state.catalogue.clone()
    }
}

/// A hundred years.
const MOST_DAYS: u32 = 36_500;

/// A key to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `viewer`, `agent` or `admin`.
    role: String,
    /// The agents that it may speak for; all of the tenant's without it.
    agents: Option<Vec<String>>,
    /// What people call it by; up to 128 characters.
    label: Option<String>,
    /// For how many days it lets anybody in; for ever without it.
    expires_in_days: Option<u32>,
    /// How much may be used with it, such as `{"requestsPerMinute": 60}`; as much as the tenant may without it.
    #[serde(default)]
    quotas: BTreeMap<String, u64>,
}

/// A key, without what lets anybody in.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    id: String,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agents: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    /// Whether it lets anybody in now.
    valid: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    quotas: BTreeMap<&'static str, u64>,
}

impl Shown {
    fn of(key: Key, now: OffsetDateTime) -> Self {
        let valid = key.is_valid(now);
        Self {
            id: key.id.to_string(),
            role: key.role.as_str(),
            agents: key.agents.map(|agents| agents.iter().map(ToString::to_string).collect()),
            label: key.label,
            created: rfc3339(key.created),
            expires: key.expires.map(rfc3339),
            revoked: key.revoked.map(rfc3339),
            valid,
            quotas: key.quotas.written(),
        }
    }
}

/// A new key.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Made {
    success: bool,
    /// What lets its holder in. Shown this once.
    token: String,
    key: Shown,
}

/// A tenant's keys.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Listed {
    success: bool,
    count: usize,
    keys: Vec<Shown>,
}

/// What became of a key.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Revoked {
    success: bool,
    id: String,
    /// False if it was revoked before.
    revoked: bool,
}

/// Lists the tenant's keys, the newest first, without what lets anybody in.
#[utoipa::path(
    get, path = "/api/keys", tag = "keys",
    params(("X-Context" = Option<String>, Header, description = "the tenant")),
    responses((status = 200, body = Listed), (status = 401, body = Body), (status = 403, body = Body))
)]
pub(crate) async fn list(FromState(state): FromState<State>, tenant: Tenant) -> Result<Json<Listed>, Failure> {
    let now = SystemClock.now();
    let keys = state.keys.list(Some(&tenant.context.tenant)).await?;
    let keys: Vec<Shown> = keys.into_iter().map(|key| Shown::of(key, now)).collect();
    Ok(Json(Listed { success: true, count: keys.len(), keys }))
}

/// Makes a key of the tenant. No key makes one that may do more than itself.
#[utoipa::path(
    post, path = "/api/keys", tag = "keys", request_body = Wanted,
    params(("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 201, body = Made), (status = 401, body = Body), (status = 403, body = Body), (status = 422, body = Body)
    )
)]
pub(crate) async fn create(
    FromState(state): FromState<State>,
    tenant: Tenant,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<(StatusCode, Json<Made>), Failure> {
    let role = Role::of(&wanted.role)
        .filter(|role| *role < Role::Operator)
        .ok_or_else(|| invalid("/role", "one of viewer, agent and admin"))?;
    if wanted.label.as_ref().is_some_and(|label| label.chars().count() > 128) {
        return Err(invalid("/label", "at most 128 characters").into());
    }
    if wanted.agents.is_some() && role >= Role::Admin {
        return Err(invalid("/agents", "an administrator's key is for the whole tenant").into());
    }
    let mut agents = BTreeSet::new();
    for (at, name) in wanted.agents.iter().flatten().enumerate() {
        let (agent, _) =
            tenant.context.agent(name).map_err(|error| invalid(&format!("/agents/{at}"), &error.to_string()))?;
        tenant.principal.speak_for(agent)?;
        agents.insert(agent.clone());
    }
    let agents = match wanted.agents {
        Some(_) if agents.is_empty() => return Err(invalid("/agents", "names at least one agent").into()),
        Some(_) => Some(agents),
        // Somebody who speaks for some agents does not make a key for all.
        None => tenant.principal.agents().cloned(),
    };
    let quotas = Quotas::read(wanted.quotas);
    let quotas = quotas.map_err(|unknown| invalid(&format!("/quotas/{unknown}"), "no quota of that name"))?;
    let quotas = quotas.within(tenant.principal.quotas());
    let now = SystemClock.now();
    let wanted_end = wanted.expires_in_days.map(|days| {
        let end = now.checked_add(Duration::days(days.into()));
        end.filter(|_| days <= MOST_DAYS).ok_or_else(|| invalid("/expiresInDays", &format!("at most {MOST_DAYS}")))
    });
    let own_end = tenant.principal.expires();
    let expires = wanted_end.transpose()?.into_iter().chain(own_end).min();
    let token = Token::random().map_err(|error| Error::Internal(error.to_string().into()))?;
    let key = Key {
        id: token.id().clone(),
        tenant: Some(tenant.context.tenant.clone()),
        role,
        agents,
        label: wanted.label,
        created: now,
        expires,
        revoked: None,
        quotas,
    };
    state.keys.add(&key, &token.digest()).await?;
    let deed = key_made(&key, (&tenant.principal).into(), now);
    state.audit.administer(deed.asked_by(&tenant.request)).await?;
    Ok((StatusCode::CREATED, Json(Made { success: true, token: token.reveal(), key: Shown::of(key, now) })))
}

/// Revokes a key of the tenant: the next request that presents it is refused.
#[utoipa::path(
    delete, path = "/api/keys/{id}", tag = "keys",
    params(("id" = String, Path), ("X-Context" = Option<String>, Header, description = "the tenant")),
    responses(
        (status = 200, body = Revoked), (status = 401, body = Body), (status = 403, body = Body), (status = 404, body = Body)
    )
)]
pub(crate) async fn revoke(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Json<Revoked>, Failure> {
    let missing = || Failure::new(StatusCode::NOT_FOUND, "not_found", "this tenant has no such key");
    let key = KeyId::new(&id).ok_or_else(missing)?;
    let own = state.keys.find(&key).await?.filter(|(key, _)| key.tenant.as_ref() == Some(&tenant.context.tenant));
    let (found, _) = own.ok_or_else(missing)?;
    let now = SystemClock.now();
    let revoked = state.keys.revoke(Some(&tenant.context.tenant), &key, now).await?;
    if revoked {
        let deed = key_revoked(&found, (&tenant.principal).into(), now);
        state.audit.administer(deed.asked_by(&tenant.request)).await?;
    }
    Ok(Json(Revoked { success: true, id, revoked }))
}

fn invalid(pointer: &str, message: &str) -> Error {
    Error::InvalidArguments(vec![Problem { pointer: pointer.to_owned(), message: message.to_owned() }])
}
