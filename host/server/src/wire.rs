//! The one place that sees every part: makes them and joins them by their ports.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use remit_artifacts::{Access, Bucket, Folder};
use remit_config::{Contexts, Environment, Host, Store, host::OAuth};
use remit_domain::{
    Catalogue, access::Keys, agents::Agents, clock::SystemClock, data::Sources, library::Artifacts, model::Models,
    tenant::Tenants,
};
use remit_issuers::{Issuers, Times};
use remit_journal::Journal;
use remit_library::{Library, Ports};
use remit_sandbox::{Compiler, Registry, Sandbox};
use remit_sources::{
    Inbox, Notify, Pools,
    guard::{Guard, NetworkRules, Timeouts},
};
use remit_workflow::{
    Around, Shelf, Storing, Worker, Workflows,
    run::{Interpreter, Keeping, SystemTimer},
    triggers::Triggers,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Upkeep,
    counts,
    http::{self, Gate, Operations},
    mcp,
    observe::Audited,
    shares::Shares,
    state,
};

/// The host, made and ready to serve.
pub struct App {
    /// All routes.
    pub router: axum::Router,
    /// The way to call tools without HTTP: for benchmarks.
    pub catalogue: Catalogue,
    /// To be told when files change.
    pub contexts: Arc<Contexts>,
    /// To be told when components change.
    pub registry: Arc<Registry>,
    /// To be told when tenants may have come back.
    pub library: Library,
    /// To be told when files change, and to take up runs.
    pub workflows: Workflows,
    /// To be told when plugins and contexts change.
    pub(crate) storing: Storing,
    /// To begin what is due, for as long as the host runs.
    pub triggers: Triggers,
    /// To be closed at the end.
    pub journal: Arc<Journal>,
    /// Cancelled when the host begins to end: streams that only listen end with it.
    pub stopping: CancellationToken,
    /// Keeps the audit log in order while the host runs.
    pub(crate) upkeep: Arc<Upkeep>,
    /// Cancelled to end requests under way, whatever they are at.
    pub ends: CancellationToken,
    /// The requests under way.
    pub under_way: TaskTracker,
    /// Where the operator's components lie.
    pub plugins_dir: PathBuf,
}

impl App {
    /// Ends what is still under way, waits until no guest runs, and closes the journal: whatever a call
    /// did is on record.
    pub(crate) async fn end(&self) {
        /// A guest stops at its next tick or host call; recording takes milliseconds.
        const PATIENCE: Duration = Duration::from_secs(2);
        self.ends.cancel();
        self.workflows.halt();
        self.under_way.close();
        let quiet = async {
            self.under_way.wait().await;
            // An MCP call runs in a task of its own, which the token stops too.
            while self.registry.sandbox().occupancy().0 > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, quiet).await.is_err() {
            tracing::error!("calls were still running when the journal was closed");
        }
        self.upkeep.end().await;
        counts::hand_on(self.catalogue.usage(), self.journal.as_ref()).await;
        self.journal.close().await;
    }
}

/// Makes a host from its settings. `alone`: nobody else is at work in the state folder, so that what a crash
/// left there is removed.
///
/// Errors: what keeps a host from starting, with its cause: state that can't be written, a journal of
/// a newer version, an engine that this machine can't run. A tenant's faulty files and a file that is
/// not a plugin are logged and don't stop the others.
pub async fn build(host: Arc<Host>, env: Environment, figures: PrometheusHandle, alone: bool) -> anyhow::Result<App> {
    /// How long a start waits for tenants' plugins: who uploads slow ones delays nobody else by more.
    const RESTORE_TIME: Duration = Duration::from_secs(5);
    let env_of_workflows = remit_workflow::variables(&host.env, |name| env.plain(name).map(str::to_owned));
    let (contexts, changes) = Contexts::load(host.clone(), env)?;
    for change in &changes {
        crate::watch::report(change);
    }
    let contexts = Arc::new(contexts);
    let tenants: Arc<dyn Tenants> = contexts.clone();

    let journal =
        Journal::open(&host.journal.display().to_string()).await.context("the journal could not be opened")?;
    let journal = Arc::new(journal);

    let registry = registry(&host).await?;
    let audit = Arc::new(Audited::new(journal.clone()));
    let library = library((&host, alone), &journal, &audit, registry.clone(), tenants.clone())?;
    if alone {
        match library.sweep().await {
            Ok(0) => {}
            Ok(swept) => tracing::warn!(swept, "components that no record names were removed: an upload broke off"),
            Err(error) => tracing::error!(%error, "uploaded components could not be looked through"),
        }
    }
    // Usually done in no time. Where it is not, calls of what is not back yet are told so.
    let restoring = tokio::spawn({
        let library = library.clone();
        async move { restore(&library).await }
    });
    let _still_going_on = tokio::time::timeout(RESTORE_TIME, restoring).await;
    let guard = Guard::new(network_rules(&host)?)?;
    let inbox = host.notifications.dry_run.then(|| Arc::new(Inbox::default()));
    let notify = Notify { receipts: journal.clone(), inbox: inbox.clone(), per_minute: host.notifications.per_minute };
    let sources: Arc<dyn Sources> = Pools::with_notify(source_settings(&host.sources), guard.clone(), notify);
    // The library has the versions, too, that runs began with and that no longer serve.
    let plugins = Arc::new(library.clone());
    let catalogue = Catalogue::new(tenants, plugins, sources, audit.clone(), Arc::new(SystemClock));
    let upkeep = Arc::new(Upkeep::new(&host, &guard, journal.clone(), audit.clone())?);

    catalogue.usage().restore(journal.as_ref()).await.context("what was used today could not be read")?;

    let models = models(&host, &guard)?;
    let chat = remit_agent::Chat::new(catalogue.clone(), models, journal.clone(), remit_agent::Settings::default());
    let chat = Arc::new(chat);
    let open = host.listen.ip().is_loopback();
    let keys: Arc<dyn Keys> = journal.clone();
    let issuers = host.oauth.as_ref().map(|oauth| issuers(oauth, &guard)).transpose()?;
    let doorkeeper = http::Doorkeeper::new(keys.clone(), Arc::new(SystemClock), issuers.clone(), open);
    let gate = Gate { doorkeeper: Some(Arc::new(doorkeeper)), catalogue: Some(catalogue.clone()), ..gate(&host) };
    let (shelf, changed) = (Shelf::default(), Arc::new(tokio::sync::Notify::new()));
    let storing = storing(&host, &shelf, &journal, &changed).await?;
    let keeping = Keeping {
        outputs: Some(outputs(&host.artifacts, alone)?),
        keys: Some(keys.clone()),
        history: Some(journal.clone()),
        tenants: Some(contexts.clone()),
        audit: Some(audit.clone()),
        ..Keeping::default()
    };
    let workflows = workflows((&host, &env_of_workflows), shelf, &catalogue, chat.clone(), &journal, keeping).await;
    if alone {
        match workflows.sweep().await {
            Ok(0) => {}
            Ok(swept) => tracing::warn!(swept, "outputs that no run names were removed: a run broke off"),
            Err(error) => tracing::error!(%error, "large outputs of runs could not be looked through"),
        }
    }
    chat.offer(Arc::new(workflows.clone()));
    let triggers = Triggers::new(workflows.clone(), catalogue.tenants().clone(), journal.clone(), changed);
    triggers.restore().await.context("how triggers stand could not be read")?;
    let (ends, under_way, stopping) = (gate.ends.clone(), gate.under_way.clone(), CancellationToken::new());
    let router = http::router(http::Parts {
        catalogue: catalogue.clone(),
        chat,
        keys,
        library: library.clone(),
        workflows: http::workflows::State {
            catalogue: catalogue.clone(),
            workflows: workflows.clone(),
            storing: storing.clone(),
            triggers: triggers.clone(),
            folder: host.workflows_dir.clone(),
            env: Arc::new(host.env.clone()),
            audit: audit.clone(),
            watching: Shares::new(http::workflows::events::WATCHERS),
            reading: Shares::new(http::workflows::READING),
            stopping: stopping.clone(),
        },
        audit,
        journal: journal.clone(),
        operations: Operations::new(catalogue.clone(), journal.clone(), registry.clone(), figures),
        inbox,
        mcp: mcp::Door::new(catalogue.clone(), registry.clone(), stopping.clone(), ends.clone()),
        oauth: http::oauth::State { catalogue: catalogue.clone(), issuers },
        gate,
    })?;
    let plugins_dir = host.plugins_dir.clone();
    Ok(App {
        router,
        catalogue,
        contexts,
        registry,
        library,
        workflows,
        storing,
        triggers,
        journal,
        upkeep,
        stopping,
        ends,
        under_way,
        plugins_dir,
    })
}

/// What workflows are held against: the plugins that this host has.
pub(crate) fn around(catalogue: &Catalogue) -> Around {
    Around { nodes: catalogue.nodes(), uploads: false }
}

/// What takes tenants' workflows in, with those on the shelf that it took in before: files may call them.
/// Errors: the journal can't be read.
async fn storing(
    host: &Host,
    shelf: &Shelf,
    journal: &Arc<Journal>,
    changed: &Arc<tokio::sync::Notify>,
) -> anyhow::Result<Storing> {
    let (shelf, clock, changed) = (shelf.clone(), Arc::new(SystemClock), changed.clone());
    let storing = Storing::new(shelf, journal.clone(), host.env.clone(), clock, changed);
    for fault in storing.restore().await.context("the workflows of tenants could not be read")? {
        tracing::error!(%fault, "a tenant's workflow can't be used");
    }
    Ok(storing)
}

/// The workflows, and what runs them.
async fn workflows(
    (host, env): (&Host, &serde_json::Map<String, serde_json::Value>),
    shelf: Shelf,
    catalogue: &Catalogue,
    agents: Arc<dyn Agents>,
    journal: &Arc<Journal>,
    keeping: Keeping,
) -> Workflows {
    for fault in shelf.load(&host.workflows_dir, &host.env, &around(catalogue)).await {
        tracing::error!(%fault, "a workflow can't be used");
    }
    let interpreter = Interpreter {
        journal: journal.clone(),
        performer: Arc::new(Worker::new(catalogue.clone(), agents)),
        timer: Arc::new(SystemTimer),
        env: Arc::new(env.clone()),
        keeping,
    };
    Workflows::new(shelf, interpreter, CancellationToken::new())
}

async fn registry(host: &Host) -> anyhow::Result<Arc<Registry>> {
    let (cache, secrets) = (state::cache(host), state::secrets(host));
    let sandbox = Sandbox::new(host.limits.clone(), Compiler::this_program()?, &cache, &secrets)?;
    let registry = Arc::new(Registry::new(Arc::new(sandbox)));
    load_plugins(&registry, &host.plugins_dir).await;
    Ok(registry)
}

fn library(
    (host, alone): (&Host, bool),
    journal: &Arc<Journal>,
    audit: &Arc<Audited>,
    registry: Arc<Registry>,
    tenants: Arc<dyn Tenants>,
) -> anyhow::Result<Library> {
    let ports = Ports {
        versions: journal.clone(),
        artifacts: artifacts(&host.artifacts, alone)?,
        workshop: registry.clone(),
        shelf: registry,
        tenants,
        clock: Arc::new(SystemClock),
        audit: audit.clone(),
    };
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let settings = remit_library::Settings { keep: many(host.keep_versions), plugins: many(host.plugins) };
    Ok(Library::new(ports, settings))
}

/// Where outputs of runs lie that are too large for the journal: below the components. `alone` as in [`artifacts`].
pub(crate) fn outputs(store: &Store, alone: bool) -> anyhow::Result<Arc<dyn Artifacts>> {
    let below = match store.clone() {
        Store::Folder(path) => Store::Folder(path.join(OUTPUTS)),
        Store::Bucket { bucket, prefix, endpoint, region, access_key, secret_key } => {
            let prefix = if prefix.is_empty() { OUTPUTS.to_owned() } else { format!("{prefix}/{OUTPUTS}") };
            Store::Bucket { bucket, prefix, endpoint, region, access_key, secret_key }
        }
    };
    artifacts(&below, alone)
}

/// Where large outputs lie below components.
pub(crate) const OUTPUTS: &str = "outputs";

/// Where components lie that tenants upload. `alone`: nobody else is at work there, so that what a crash left
/// half written is removed.
pub(crate) fn artifacts(store: &Store, alone: bool) -> anyhow::Result<Arc<dyn Artifacts>> {
    Ok(match store {
        Store::Folder(path) if !alone => Arc::new(Folder::existing(path)),
        Store::Folder(path) => {
            let folder = Folder::open(path);
            Arc::new(folder.with_context(|| format!("{} can't hold uploaded components", path.display()))?)
        }
        Store::Bucket { bucket, prefix, endpoint, region, access_key, secret_key } => {
            let access = Access {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                endpoint: endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
                region: region.clone(),
                access_key: access_key.clone(),
                secret_key: secret_key.clone(),
            };
            Arc::new(Bucket::open(&access).context("the object store of `library.store` can't be used")?)
        }
    })
}

/// Puts tenants' active plugins where calls find them, and says what could not be.
pub(crate) async fn restore(library: &Library) {
    match library.restore().await {
        Ok(failed) => {
            for remit_library::Unrestored { tenant, plugin, number, error } in failed {
                tracing::error!(%tenant, %plugin, number, %error, "an active plugin could not be restored");
            }
        }
        Err(error) => tracing::error!(%error, "tenants' plugins were not restored"),
    }
}

/// Takes in the operator's components, and says what is wrong with those that are none.
pub(crate) async fn load_plugins(registry: &Registry, folder: &std::path::Path) {
    match registry.load(folder).await {
        Ok(faults) => {
            for fault in faults {
                tracing::error!(file = %fault.path.display(), error = %fault.error, "not a plugin");
            }
        }
        Err(error) => tracing::error!(%error, cause = ?std::error::Error::source(&error), "no plugins were loaded"),
    }
    for plugin in registry.all() {
        let (tools, resources, nodes) = (plugin.tools.len(), plugin.resources.len(), plugin.nodes.len());
        tracing::info!(plugin = %plugin.name, version = plugin.version, digest = plugin.digest, tools, resources, nodes, "plugin loaded");
    }
}

fn network_rules(host: &Host) -> anyhow::Result<NetworkRules> {
    let ranges = host.network.ranges.iter().map(ToString::to_string);
    Ok(NetworkRules::new(host.network.hosts.iter().cloned().chain(ranges))?)
}

fn source_settings(sources: &remit_config::host::Sources) -> remit_sources::Settings {
    remit_sources::Settings {
        connections_per_source: sources.connections_per_source,
        connections_per_tenant: sources.connections_per_tenant,
        connections: sources.connections,
        connect_timeout: sources.connect_timeout,
        selection_timeout: sources.selection_timeout,
        socket_timeout: sources.socket_timeout,
        acquire_timeout: sources.acquire_timeout,
        statement_timeout: sources.statement_timeout,
        lock_timeout: sources.lock_timeout,
        database_bytes: sources.database_bytes,
        folder_bytes: sources.folder_bytes,
        api_timeout: sources.api_timeout,
        probe_timeout: sources.probe_timeout,
        idle_timeout: sources.idle_timeout,
        breaker_failures: sources.breaker_failures,
        breaker_wait: sources.breaker_wait,
        breaker_longest: sources.breaker_longest,
        cache_bytes: sources.cache_bytes,
        cache_bytes_per_tenant: sources.cache_bytes_per_tenant,
    }
}

fn models(host: &Host, guard: &Guard) -> anyhow::Result<Arc<dyn Models>> {
    /// A model may think for minutes; it must begin to be reached within seconds.
    const CONNECT: Duration = Duration::from_secs(10);
    let limits = remit_models::Limits::default();
    // It may be silent for as long as an attempt may take in all.
    let http = guard.client(Timeouts { connect: CONNECT, read: limits.attempt_time })?;
    let settings = remit_models::Settings {
        name: host.model.name.clone().unwrap_or_else(|| "gpt-4o".to_owned()),
        base_url: host.model.base_url.clone(),
        key: host.model.key.clone(),
        offline: host.offline_model,
        limits,
    };
    Ok(Arc::new(remit_models::Providers::new(settings, http)))
}

fn issuers(oauth: &OAuth, guard: &Guard) -> anyhow::Result<Arc<Issuers>> {
    /// Whoever waits is a client with a token in its hand.
    const PATIENCE: Duration = Duration::from_secs(4);
    let http = guard.client(Timeouts { connect: PATIENCE, read: PATIENCE })?;
    let times = Times { leeway: oauth.leeway, keys: oauth.keys, retry: oauth.retry, keep: oauth.keep };
    let clock = Arc::new(SystemClock);
    Ok(Arc::new(Issuers::new(oauth.origin.clone(), oauth.issuers.clone(), times, &http, clock)))
}

fn gate(host: &Host) -> Gate {
    let public = host.public_url.as_ref().and_then(|url| url.host_str().map(str::to_owned));
    let hosts = host.allowed_hosts.iter().cloned().chain(public).collect();
    let own = host.public_url.as_ref().map(|url| url.origin().ascii_serialization());
    let origins = host.cors_origins.iter().cloned().chain(own).collect();
    Gate { hosts, origins, proxies: host.connections.proxies.clone(), ..Gate::default() }
}
