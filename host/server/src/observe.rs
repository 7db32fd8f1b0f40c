//! What the host tells its operator: logs, traces and figures, and the audit log's way into all three.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use remit_domain::{
    Error,
    audit::{AuditLog, Deed, Event},
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What runs as long as the process: traces not yet sent are sent when it is shut down.
pub(crate) struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Starts logging to standard error, filtered as `RUST_LOG` says (`info` if it says nothing), and
    /// the export of traces where an endpoint is given. The endpoint is the operator's own word: no
    /// guard stands before it.
    ///
    /// Errors: a filter or endpoint that can't be understood, or logging that was started before.
    pub(crate) fn start(format: LogFormat, filter: Option<&str>, endpoint: Option<&str>) -> anyhow::Result<Self> {
        let filter = EnvFilter::try_new(filter.unwrap_or("info"))?;
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
        let lines = match format {
            LogFormat::Text => lines.with_target(false).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let traces = endpoint.map(exporter).transpose()?;
        let spans = traces.as_ref().map(|it| tracing_opentelemetry::layer().with_tracer(it.tracer("remit")));
        tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
        Ok(Self { traces })
    }

    /// Sends what is left.
    pub(crate) fn end(self) {
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn exporter(endpoint: &str) -> anyhow::Result<SdkTracerProvider> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_timeout(Duration::from_secs(10))
        .build()?;
    let resource = Resource::builder().with_service_name("remit").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Starts counting. Errors: counting that was started before.
pub(crate) fn figures() -> anyhow::Result<PrometheusHandle> {
    /// From a tenth of a millisecond, an in-process call, to a minute, a chat.
    const SECONDS: [f64; 12] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?)
}

/// Keeps the figures small for as long as the process lives: what nobody asks for is summed up all the
/// same, or every sample would stay in memory.
pub(crate) async fn upkeep(figures: PrometheusHandle) {
    let mut often = tokio::time::interval(Duration::from_secs(5));
    loop {
        often.tick().await;
        figures.run_upkeep();
    }
}

/// The audit log as the rest of the host uses it: every event is written to the journal, as a log
/// line, and counted.
pub(crate) struct Audited {
    journal: Arc<dyn AuditLog>,
}

impl Audited {
    pub(crate) fn new(journal: Arc<dyn AuditLog>) -> Self {
        Self { journal }
    }

    fn tell(event: &Event) {
        let sources = event.sources.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(",");
        let argument = |(name, size): (&String, &usize)| format!("{name}:{size}");
        let arguments = event.arguments.iter().map(argument).collect::<Vec<_>>().join(",");
        tracing::info!(
            target: "remit::audit",
            request = %event.request,
            call = %event.call,
            tenant = %event.tenant,
            actor = event.actor,
            agent = %event.agent,
            door = event.door.as_str(),
            subject = event.subject.as_str(),
            name = event.name,
            plugin = event.plugin,
            sources,
            arguments,
            outcome = event.outcome.as_str(),
            code = event.code,
            duration_us = event.duration.as_micros(),
            "audit"
        );
        let labels = [
            ("tenant", event.tenant.to_string()),
            ("agent", event.agent.to_string()),
            ("door", event.door.as_str().to_owned()),
            ("outcome", event.outcome.as_str().to_owned()),
        ];
        metrics::counter!("remit_calls_total", &labels).increment(1);
        metrics::histogram!("remit_call_seconds", "door" => event.door.as_str()).record(event.duration.as_secs_f64());
    }
}

impl Audited {
    fn tell_deed(deed: &Deed) {
        tracing::info!(
            target: "remit::audit",
            request = deed.request.as_ref().map(tracing::field::display),
            id = %deed.id,
            tenant = deed.tenant.as_ref().map(tracing::field::display),
            actor = deed.actor.as_str(),
            action = deed.action.as_str(),
            name = deed.name(),
            details = %deed.details(),
            outcome = deed.outcome.as_str(),
            code = deed.code,
            "audit"
        );
        let labels = [("action", deed.action.as_str()), ("outcome", deed.outcome.as_str())];
        metrics::counter!("remit_deeds_total", &labels).increment(1);
    }
}

#[async_trait]
impl AuditLog for Audited {
    async fn record(&self, event: Event) -> Result<(), Error> {
        Self::tell(&event);
        self.journal.record(event).await
    }

    fn record_later(&self, event: Event) {
        Self::tell(&event);
        self.journal.record_later(event);
    }

    async fn administer(&self, deed: Deed) -> Result<(), Error> {
        Self::tell_deed(&deed);
        self.journal.administer(deed).await
    }
}
