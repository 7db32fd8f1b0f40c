//! The port [`Sources`]: each tenant's sources, opened on first use and closed when unused.
//!
//! A source is found by its tenant, its name and its definition's revision together, so that no
//! tenant gets another's connections and no definition an older one's credentials. Deliberately
//! absent: who may open what.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use remit_domain::{
    SourceName, TenantId,
    data::{Condition, Error, Handle, Sources},
    source::{Definition, Kind},
};

use crate::{
    Settings,
    bigquery::Warehouse,
    breaker::Breaker,
    ceilings::{Ceilings, Share},
    documents::DocumentFile,
    files::{self, Kept},
    guard::Guard,
    http::RemoteApi,
    kept::Store,
    mongo::Mongo,
    mysql::Mysql,
    notify::{Mailer, Notify, Workspace},
    observe,
    passage::Passage,
    postgres::Postgres,
    sql::{Shared, Source},
    sqlite::Sqlite,
};

/// How often unused sources are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// All open sources.
pub struct Pools {
    settings: Settings,
    guard: Guard,
    ceilings: Arc<Ceilings>,
    kept: Arc<Store>,
    notify: Notify,
    open: Mutex<HashMap<Key, Entry>>,
}

type Key = (TenantId, SourceName);

struct Entry {
    revision: String,
    source: Open,
    used: Instant,
}

/// An open source, and the way to it.
#[derive(Clone)]
struct Open {
    connector: Connector,
    passage: Arc<Passage>,
    handle: Handle,
}

#[derive(Clone)]
enum Connector {
    Sqlite(Arc<Source<Sqlite>>),
    Mysql(Arc<Source<Mysql>>),
    Postgres(Arc<Source<Postgres>>),
    BigQuery(Arc<Warehouse>),
    Documents(Arc<DocumentFile>),
    Mongo(Arc<Mongo>),
    Api(Arc<RemoteApi>),
    Files(Arc<Kept>),
    Mail(Arc<Mailer>),
    Slack(Arc<Workspace>),
}

impl Pools {
    /// Without any source yet. Sources that are unused for as long as the settings say are closed by a
    /// task, which ends with the value. Must be called within a tokio runtime.
    ///
    /// All HTTP goes through `guard`.
    pub fn new(settings: Settings, guard: Guard) -> Arc<Self> {
        Self::with_notify(settings, guard, Notify::default())
    }

    /// As [`Self::new`], with what channels need.
    pub fn with_notify(settings: Settings, guard: Guard, notify: Notify) -> Arc<Self> {
        let ceilings = Ceilings::new(settings.connections, settings.connections_per_tenant);
        let kept = Store::new(&settings);
        let this = Arc::new(Self { settings, guard, ceilings, kept, notify, open: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&this)));
        this
    }

    fn source(&self, tenant: &TenantId, definition: &Arc<Definition>) -> Result<Open, Error> {
        let key = (tenant.clone(), definition.name.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.get_mut(&key)
            && entry.revision == definition.revision
        {
            entry.used = Instant::now();
            return Ok(entry.source.clone());
        }
        // Nothing here waits: what is made connects when it is first used. What an older definition
        // left is dropped; calls that still hold it finish with it.
        let connector = self.make(tenant, &self.ceilings.share(tenant), definition)?;
        let shelf = definition.cache.map(|time| self.kept.shelf(tenant, &definition.name, time));
        let breaker = match &definition.kind {
            // It is many services: that one of them fails says nothing of the others.
            Kind::Web { .. } => Breaker::new(&Settings { breaker_failures: u32::MAX, ..self.settings.clone() }),
            _ => Breaker::new(&self.settings),
        };
        let passage = Passage::new(connector.family(), &definition.revision, breaker, shelf);
        let source = Open { handle: passage.before(connector.handle()), connector, passage };
        let entry = Entry { revision: definition.revision.clone(), source: source.clone(), used: Instant::now() };
        open.insert(key, entry);
        count(&open);
        Ok(source)
    }

    fn make(&self, tenant: &TenantId, share: &Arc<Share>, definition: &Arc<Definition>) -> Result<Connector, Error> {
        let settings = &self.settings;
        Ok(match &definition.kind {
            Kind::Sqlite { path } => Connector::Sqlite(Source::new(Sqlite::new(path, settings), settings, share)),
            Kind::Mysql(server) => {
                Connector::Mysql(Source::new(Mysql::new(definition, server, settings)?, settings, share))
            }
            Kind::Postgres(server) => {
                Connector::Postgres(Source::new(Postgres::new(definition, server, settings)?, settings, share))
            }
            Kind::BigQuery(warehouse) => {
                let warehouse = Warehouse::new(definition, warehouse, &self.guard, settings, share)?;
                Connector::BigQuery(Arc::new(warehouse))
            }
            Kind::DocumentFile { path } => Connector::Documents(Arc::new(DocumentFile::new(path, settings, share))),
            Kind::Mongo(server) => Connector::Mongo(Arc::new(Mongo::new(definition, server, settings)?)),
            Kind::Api(api) => Connector::Api(Arc::new(RemoteApi::new(definition, api, &self.guard, settings)?)),
            Kind::Web { hosts } => Connector::Api(Arc::new(RemoteApi::web(definition, hosts, &self.guard, settings)?)),
            Kind::LocalFolder { path } => {
                Connector::Files(Kept::new(files::LocalFolder::new(path.clone(), settings.folder_bytes), settings))
            }
            Kind::Bucket(bucket) => {
                Connector::Files(Kept::new(files::Bucket::new(definition, bucket, &self.guard, settings)?, settings))
            }
            Kind::Drive(drive) => {
                Connector::Files(Kept::new(files::Drive::new(definition, drive, &self.guard, settings)?, settings))
            }
            Kind::Mail(_) => Connector::Mail(Arc::new(Mailer::new(tenant, definition, &self.notify, settings)?)),
            Kind::Slack(_) => {
                Connector::Slack(Arc::new(Workspace::new(tenant, definition, &self.notify, &self.guard, settings)?))
            }
            Kind::Unconnected { kind } => {
                return Err(Error::NotFound(format!(
                    "no connector for `{kind}` in this build (source `{}`)",
                    definition.name
                )));
            }
        })
    }

    /// Closes sources that are unused for long, and of those in use the connections that are.
    fn close_unused(&self, now: Instant) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, entry| now.saturating_duration_since(entry.used) < self.settings.idle_timeout);
        count(&open);
        if let Some(before) = now.checked_sub(self.settings.idle_timeout) {
            open.values().for_each(|entry| entry.source.connector.close_idle(before));
        }
    }
}

#[async_trait]
impl Sources for Pools {
    async fn open(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Handle, Error> {
        Ok(self.source(tenant, source)?.handle)
    }

    async fn probe(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Duration, Error> {
        let Open { connector, passage, .. } = self.source(tenant, source)?;
        let family = connector.family();
        let began = Instant::now();
        let allowed = self.settings.probe_timeout;
        let probe = observe::counted(family, "probe", async {
            let answered = tokio::time::timeout(allowed, connector.probe()).await;
            answered.unwrap_or_else(|_| Err(Error::unavailable(format!("no answer within {} ms", allowed.as_millis()))))
        });
        passage.probe(probe).await?;
        Ok(began.elapsed())
    }

    fn condition(&self, tenant: &TenantId, source: &Arc<Definition>) -> Option<Condition> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = open.get(&(tenant.clone(), source.name.clone()))?;
        (entry.revision == source.revision).then(|| entry.source.passage.condition())
    }
}

impl Connector {
    fn handle(&self) -> Handle {
        match self.clone() {
            Self::Sqlite(source) => Handle::Sql(Arc::new(Shared(source))),
            Self::Mysql(source) => Handle::Sql(Arc::new(Shared(source))),
            Self::Postgres(source) => Handle::Sql(Arc::new(Shared(source))),
            Self::BigQuery(warehouse) => warehouse.handle(),
            Self::Documents(store) => Handle::Documents(store),
            Self::Mongo(store) => Handle::Documents(store),
            Self::Api(service) => Handle::Api(service),
            Self::Files(folder) => Handle::Files(folder),
            Self::Mail(mailer) => Handle::Channel(mailer),
            Self::Slack(workspace) => Handle::Channel(workspace),
        }
    }

    /// Closes connections that lie idle since before an instant. MongoDB's driver and an API's client do so by
    /// themselves.
    fn close_idle(&self, before: Instant) {
        match self {
            Self::Sqlite(source) => source.close_idle(before),
            Self::Mysql(source) => source.close_idle(before),
            Self::Postgres(source) => source.close_idle(before),
            Self::Documents(store) => store.close_idle(before),
            Self::Mail(mailer) => mailer.close_idle(before),
            Self::BigQuery(_) | Self::Mongo(_) | Self::Api(_) | Self::Files(_) | Self::Slack(_) => {}
        }
    }

    fn family(&self) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) | Self::BigQuery(_) => "sql",
            Self::Documents(_) | Self::Mongo(_) => "documents",
            Self::Api(_) => "http-api",
            Self::Files(_) => "files",
            Self::Mail(_) | Self::Slack(_) => "notify",
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(source) => source.probe().await,
            Self::Mysql(source) => source.probe().await,
            Self::Postgres(source) => source.probe().await,
            Self::BigQuery(warehouse) => warehouse.probe().await,
            Self::Documents(store) => store.probe().await,
            Self::Mongo(store) => store.probe().await,
            Self::Api(service) => service.probe().await,
            Self::Files(folder) => folder.probe().await,
            Self::Mail(mailer) => mailer.probe().await,
            Self::Slack(workspace) => workspace.probe().await,
        }
    }
}

fn count(open: &HashMap<Key, Entry>) {
    for family in ["sql", "documents", "http-api", "files", "notify"] {
        observe::pools(family, open.values().filter(|entry| entry.source.connector.family() == family).count());
    }
}

async fn sweep(pools: Weak<Pools>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        match pools.upgrade() {
            Some(pools) => pools.close_unused(Instant::now()),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
