//! What operators' machines ask: is it alive, can it serve, its figures, its description.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use metrics_exporter_prometheus::PrometheusHandle;
use remit_domain::{Catalogue, tenant};
use remit_journal::Journal;
use remit_sandbox::Registry;
use serde::Serialize;
use tokio::sync::Mutex;

/// How long an answer of `/readyz` is given again: asking is free for whoever asks often.
const FRESH: Duration = Duration::from_secs(5);
/// How long a source may take in a readiness check.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// Sources asked at once.
const PROBES: usize = 8;

/// What operations need to know.
#[derive(Clone)]
pub(crate) struct Operations {
    catalogue: Catalogue,
    journal: Arc<Journal>,
    registry: Arc<Registry>,
    figures: PrometheusHandle,
    last: Arc<Mutex<Option<(Instant, Readiness)>>>,
}

impl Operations {
    pub(crate) fn new(
        catalogue: Catalogue,
        journal: Arc<Journal>,
        registry: Arc<Registry>,
        figures: PrometheusHandle,
    ) -> Self {
        Self { catalogue, journal, registry, figures, last: Arc::default() }
    }

    async fn readiness(&self) -> Readiness {
        // Held while checking, so that many who ask at once cause one check.
        let mut last = self.last.lock().await;
        if let Some((at, readiness)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return readiness.clone();
        }
        let readiness = self.check().await;
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }

    async fn check(&self) -> Readiness {
        let journal = self.journal.ready().await.is_ok();
        let mut asked = Vec::new();
        for (id, _) in self.catalogue.tenants().all() {
            if let Ok(context) = self.catalogue.context(&id) {
                let mapped = |source: &remit_domain::SourceName| {
                    let mappings = context.agents.values().filter_map(|agent| agent.mapping.as_ref());
                    mappings.into_iter().any(|mapping| mapping.permissions.contains_key(source))
                };
                let sources = context.sources.iter().filter(|(name, _)| mapped(name));
                asked.extend(sources.map(|(_, source)| (id.clone(), source.clone())));
            }
        }
        let total = asked.len();
        let healthy = stream::iter(asked)
            .map(async |(id, source)| {
                let probing = self.catalogue.sources().probe(&id, &source);
                matches!(tokio::time::timeout(PROBE_TIME, probing).await, Ok(Ok(_)))
            })
            .buffer_unordered(PROBES)
            .filter(|well| std::future::ready(*well))
            .count()
            .await;
        gauge("remit_sources", "healthy", healthy);
        gauge("remit_sources", "failing", total - healthy);
        let TenantCounts { stale, quarantined, .. } = self.tenants();
        let plugins = self.registry.loaded();
        Readiness {
            ready: journal && plugins,
            journal: Part::of(journal),
            plugins: Part::of(plugins),
            sources: Part::of(healthy == total),
            tenants: Part::of(stale + quarantined == 0),
        }
    }

    fn tenants(&self) -> TenantCounts {
        let mut counts = TenantCounts::default();
        for (_, state) in self.catalogue.tenants().all() {
            match state {
                tenant::State::Current => counts.current += 1,
                tenant::State::Stale(_) => counts.stale += 1,
                tenant::State::Quarantined(_) => counts.quarantined += 1,
            }
        }
        counts
    }
}

/// How many tenants stand how.
#[derive(Default)]
struct TenantCounts {
    current: usize,
    stale: usize,
    quarantined: usize,
}

/// Whether the host can serve. How many of what are well is in `/metrics`, which not everybody may ask.
#[derive(Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    /// Whether it can: the journal takes records, and the folder of plugins was read. A tenant's dead
    /// source or faulty file does not stop the others.
    ready: bool,
    /// Whether records can be written: without the journal nothing is answered.
    journal: Part,
    /// Whether the folder of plugins was read.
    plugins: Part,
    /// Whether every source answers that an agent is mapped to.
    sources: Part,
    /// Whether every tenant is served, with its files as they are now.
    tenants: Part,
}

/// How a part of the host stands.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Part {
    Ok,
    Failing,
}

impl Part {
    fn of(well: bool) -> Self {
        if well { Self::Ok } else { Self::Failing }
    }
}

/// Whether the process is alive.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// Says that the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = Alive)))]
pub(crate) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Says whether the host can serve; asked at most once in five seconds, whoever asks.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(crate) async fn readyz(State(operations): State<Operations>) -> Response {
    let readiness = operations.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// The host's figures in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(operations): State<Operations>) -> Response {
    let (taken, places) = operations.registry.sandbox().occupancy();
    let TenantCounts { current, stale, quarantined } = operations.tenants();
    gauge("remit_tenants", "current", current);
    gauge("remit_tenants", "stale", stale);
    gauge("remit_tenants", "quarantined", quarantined);
    #[expect(clippy::cast_precision_loss, reason = "counts of at most thousands")]
    {
        metrics::gauge!("remit_sandbox_places_taken").set(taken as f64);
        metrics::gauge!("remit_sandbox_places").set(places as f64);
        metrics::gauge!("remit_plugins_loaded").set(operations.registry.all().len() as f64);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, operations.figures.render()).into_response()
}

#[expect(clippy::cast_precision_loss, reason = "counts of at most thousands")]
fn gauge(name: &'static str, state: &'static str, count: usize) {
    metrics::gauge!(name, "state" => state).set(count as f64);
}

/// The description of all routes, made when they were.
#[derive(Clone, Default)]
pub(super) struct Description(Arc<OnceLock<String>>);

impl Description {
    /// Sets it, once the routes are there.
    pub(super) fn set(&self, description: &utoipa::openapi::OpenApi) {
        match description.to_json() {
            Ok(text) => _ = self.0.set(text),
            Err(error) => tracing::error!(%error, "the routes could not be described"),
        }
    }
}

/// Describes all routes.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(State(description): State<Description>) -> Response {
    let text = description.0.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
