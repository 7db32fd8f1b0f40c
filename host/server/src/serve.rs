//! `remit serve`: from settings to a listening host, and its end.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use remit_config::{Environment, Host};
use remit_domain::access::Keys as _;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    connections, counts,
    observe::{self, LogFormat, Telemetry},
    state,
    watch::Watch,
    wire,
};

/// What the command line says beyond the settings' file.
#[derive(Debug, Clone)]
pub struct Options {
    /// The settings' file.
    pub config: PathBuf,
    /// A folder of patches beside it: `profiles/<name>/`.
    pub profile: Option<String>,
    /// Where to listen instead.
    pub listen: Option<SocketAddr>,
    /// Where state lies instead.
    pub state: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Serves until SIGINT or SIGTERM, then lets requests under way end.
///
/// Errors: what keeps the host from starting, all faults of the settings at once.
pub async fn serve(options: Options) -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("a TLS provider was installed before");
    }
    let env = Environment::from_process(Some(Path::new(".env")))?;
    let mut host = Host::load(Path::new("."), &options.config, options.profile.as_deref(), &env)?;
    if let Some(state) = &options.state {
        host.relocate_state(state);
    }
    host.listen = options.listen.unwrap_or(host.listen);
    let filter = env.plain("RUST_LOG").map(str::to_owned);
    let endpoint = host.otlp_endpoint.as_ref().map(ToString::to_string);
    let telemetry = Telemetry::start(options.log_format, filter.as_deref(), endpoint.as_deref())?;
    let figures = observe::figures()?;
    let host = Arc::new(host);
    let upkeep = tokio::spawn(observe::upkeep(figures.clone()));
    let served = run(host, env, figures).await;
    upkeep.abort();
    telemetry.end();
    served
}

async fn run(
    host: Arc<Host>,
    env: Environment,
    figures: metrics_exporter_prometheus::PrometheusHandle,
) -> anyhow::Result<()> {
    // Taken hold of first: a host that can't listen should not migrate state.
    let listener = TcpListener::bind(host.listen).await.with_context(|| format!("cannot listen on {}", host.listen))?;
    let address = listener.local_addr()?;
    let mut held = state::begin(&host)?;
    let alone = held.is_alone();
    let app = wire::build(host.clone(), env, figures, alone).await?;
    held.let_others_in()?;
    if !host.listen.ip().is_loopback() && host.oauth.is_none() && !app.journal.any().await? {
        bail!(
            "{} is not a loopback address: a host without keys is open to whoever reaches it, so it listens on \
             127.0.0.1 or [::1] alone; `remit keys create --role operator` makes a key",
            host.listen
        );
    }
    let _watch = Watch::start(&app, &host)?;
    // Where another process is at work on the same state, the runs that have not ended may be that one's.
    if !alone {
        tracing::warn!(
            "another process uses the state folder: runs of workflows that have not ended stay as they are, and \
             schedules begin none"
        );
    } else {
        match app.workflows.resume().await {
            Ok(0) => {}
            Ok(runs) => tracing::info!(runs, "runs of workflows were taken up"),
            Err(error) => tracing::error!(%error, "runs of workflows were not taken up"),
        }
    }
    // After what was begun before, so that turns go by age.
    let triggering = alone.then(|| tokio::spawn(app.triggers.clone().run()));
    let upkeep = tokio::spawn(app.upkeep.clone().run());
    let tidying = tokio::spawn({
        let workflows = app.workflows.clone();
        async move { workflows.keep_tidy().await }
    });
    let (usage, journal) = (app.catalogue.usage().clone(), app.journal.clone());
    let counting = tokio::spawn(async move { counts::keep(&usage, journal.as_ref()).await });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stopping = app.stopping.clone();
    let stopped = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way may end");
        stopped.cancel();
    });
    let serving = connections::serve(listener, app.router.clone(), &host.connections, stopping.clone());
    announce(address)?;
    let drained = async {
        stopping.cancelled().await;
        tokio::time::sleep(host.drain).await;
    };
    tokio::select! {
        () = serving => {}
        () = drained => tracing::warn!("requests were still under way after {} s", host.drain.as_secs()),
    }
    if let Some(triggering) = triggering {
        triggering.abort();
    }
    upkeep.abort();
    counting.abort();
    tidying.abort();
    app.end().await;
    tracing::info!("stopped");
    Ok(())
}

/// The one line on standard output, once the host can answer.
fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    out.flush()?;
    Ok(())
}
