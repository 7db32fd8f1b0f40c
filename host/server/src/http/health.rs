//! `/api/health`: how a tenant's tool sets and sources stand, in the seed's shapes.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State};
use futures::future::join_all;
use remit_domain::{
    Catalogue, Error,
    audit::Door,
    clock::{Clock, SystemClock, rfc3339},
    data::Breaker,
    grant::permitted,
};
use serde::Serialize;

use super::{
    error::{Body, Failure},
    extract::{Path, Tenant},
};

/// How a tenant's agents stand.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Agents {
    customer: String,
    agents: BTreeMap<String, Agent>,
}

/// How one agent's tool sets stand.
#[derive(Serialize, utoipa::ToSchema)]
struct Agent {
    /// `healthy` or `error`.
    status: &'static str,
    /// The set that its mapping names; several are joined by `, `.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    last_checked: String,
}

/// Says for each agent with a mapping how its tool sets stand.
#[utoipa::path(
    get, path = "/api/health/mcp", tag = "health",
    params(("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Agents), (status = 404, body = Body))
)]
pub(crate) async fn mcp(State(catalogue): State<Catalogue>, tenant: Tenant) -> Result<Json<Agents>, Failure> {
    let mut agents = BTreeMap::new();
    for (name, agent) in &tenant.context.agents {
        if agent.mapping.is_none() || tenant.principal.speak_for(name).is_err() {
            continue;
        }
        let health = catalogue.health(&tenant.caller(name.as_str(), Door::Console)?);
        let sets: Vec<&str> = health.sets.iter().map(AsRef::as_ref).collect();
        let error = health.missing.into_iter().next().map(|set| Error::NoSet(set).to_string());
        let well = error.is_none();
        let agent = Agent {
            status: if well { "healthy" } else { "error" },
            server_type: (!sets.is_empty()).then(|| sets.join(", ")),
            tools_count: well.then_some(health.tools),
            resources_count: well.then_some(health.resources),
            error,
            last_checked: rfc3339(SystemClock.now()),
        };
        agents.insert(name.to_string(), agent);
    }
    Ok(Json(Agents { customer: tenant.context.company.name.clone(), agents }))
}

/// How an agent's sources stand.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct DataSources {
    agent_type: String,
    data_sources: BTreeMap<String, DataSource>,
}

/// How one source stands.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct DataSource {
    /// `healthy` or `error`.
    status: &'static str,
    /// As the context writes it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    permission: Option<remit_domain::grant::Permission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    last_checked: String,
    /// Whether calls reach it: `closed`, or, after failures in a row, `open` (they are answered at once) or
    /// `half-open` (one of them tries).
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<&'static str>,
    /// For how long it stays `open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// How it failed last, by a call or a probe, if it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
}

/// How a source failed last.
#[derive(Serialize, utoipa::ToSchema)]
struct LastError {
    at: String,
    /// The error's case, such as `unavailable`.
    code: &'static str,
}

/// Asks each of an agent's sources whether it answers.
#[utoipa::path(
    get, path = "/api/health/datasources/{agent}", tag = "health",
    params(("agent" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = DataSources), (status = 404, body = Body))
)]
pub(crate) async fn data_sources(
    State(catalogue): State<Catalogue>,
    tenant: Tenant,
    Path(agent): Path<String>,
) -> Result<Json<DataSources>, Failure> {
    let (name, configured) = tenant.context.agent(&agent)?;
    tenant.principal.speak_for(name)?;
    let mapped = configured.mapping.iter().flat_map(|mapping| &mapping.order);
    let probes = mapped.map(async |source| {
        let permission = permitted(&tenant.context, name, source);
        let definition = tenant.context.sources.get(source);
        let probed = match (&permission, definition) {
            (Ok(_), Some(definition)) => probe(&catalogue, &tenant, definition).await,
            (Err(denial), _) => Err(denial.to_string()),
            (Ok(_), None) => Err(format!("Data source {source} not found")),
        };
        let condition = definition.filter(|_| permission.is_ok());
        let condition = condition.and_then(|it| catalogue.sources().condition(&tenant.context.tenant, it));
        let health = DataSource {
            breaker: condition.as_ref().map(|condition| condition.breaker.as_str()),
            retry_after_ms: condition.as_ref().and_then(|condition| match condition.breaker {
                Breaker::Open(left) => u64::try_from(left.as_millis()).ok(),
                Breaker::Closed | Breaker::HalfOpen => None,
            }),
            last_error: condition
                .and_then(|condition| condition.last_error)
                .map(|(at, code)| LastError { at: rfc3339(at), code }),
            status: if probed.is_ok() { "healthy" } else { "error" },
            kind: definition.map(|definition| definition.authored_kind.clone()),
            permission: permission.ok(),
            latency_ms: probed.as_ref().ok().map(|latency| (latency.as_secs_f64() * 1e6).round() / 1e3),
            error: probed.err(),
            last_checked: rfc3339(SystemClock.now()),
        };
        (source.to_string(), health)
    });
    let data_sources = join_all(probes).await.into_iter().collect();
    Ok(Json(DataSources { agent_type: agent, data_sources }))
}

async fn probe(
    catalogue: &Catalogue,
    tenant: &Tenant,
    definition: &std::sync::Arc<remit_domain::source::Definition>,
) -> Result<Duration, String> {
    let probed = catalogue.sources().probe(&tenant.context.tenant, definition).await;
    probed.map_err(|error| error.to_string())
}
