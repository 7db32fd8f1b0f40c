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
    data::{Error, Handle, Sources},
    source::{Definition, Kind},
};

use crate::{
    Settings,
    bigquery::Warehouse,
    documents::DocumentFile,
    guard::Guard,
    http::RemoteApi,
    mysql::Mysql,
    observe,
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
    open: Mutex<HashMap<Key, Entry>>,
}

type Key = (TenantId, SourceName);

struct Entry {
    revision: String,
    connector: Connector,
    used: Instant,
}

#[derive(Clone)]
enum Connector {
    Sqlite(Arc<Source<Sqlite>>),
    Mysql(Arc<Source<Mysql>>),
    Postgres(Arc<Source<Postgres>>),
    BigQuery(Arc<Warehouse>),
    Documents(Arc<DocumentFile>),
    Api(Arc<RemoteApi>),
}

impl Pools {
    /// Without any source yet. Sources that are unused for as long as the settings say are closed by a
    /// task, which ends with the value. Must be called within a tokio runtime.
    ///
    /// All HTTP goes through `guard`.
    pub fn new(settings: Settings, guard: Guard) -> Arc<Self> {
        let this = Arc::new(Self { settings, guard, open: Mutex::default() });
        tokio::spawn(sweep(Arc::downgrade(&this)));
        this
    }

    fn connector(&self, tenant: &TenantId, definition: &Definition) -> Result<Connector, Error> {
        let key = (tenant.clone(), definition.name.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.get_mut(&key)
            && entry.revision == definition.revision
        {
            entry.used = Instant::now();
            return Ok(entry.connector.clone());
        }
        // Nothing here waits: what is made connects when it is first used. What an older definition
        // left is dropped; calls that still hold it finish with it.
        let connector = self.make(definition)?;
        let entry = Entry { revision: definition.revision.clone(), connector: connector.clone(), used: Instant::now() };
        open.insert(key, entry);
        count(&open);
        Ok(connector)
    }

    fn make(&self, definition: &Definition) -> Result<Connector, Error> {
        let settings = &self.settings;
        Ok(match &definition.kind {
            Kind::Sqlite { path } => Connector::Sqlite(Source::new(Sqlite::new(path, settings), settings)),
            Kind::Mysql(server) => Connector::Mysql(Source::new(Mysql::new(definition, server, settings)?, settings)),
            Kind::Postgres(server) => {
                Connector::Postgres(Source::new(Postgres::new(definition, server, settings)?, settings))
            }
            Kind::BigQuery(warehouse) => {
                let warehouse = Warehouse::new(definition, warehouse, &self.guard, settings)?;
                Connector::BigQuery(Arc::new(warehouse))
            }
            Kind::DocumentFile { path } => Connector::Documents(Arc::new(DocumentFile::new(path, settings))),
            Kind::Api(api) => Connector::Api(Arc::new(RemoteApi::new(definition, api, &self.guard, settings)?)),
            Kind::Unconnected { kind } => {
                return Err(Error::NotFound(format!(
                    "no connector for `{kind}` in this build (source `{}`)",
                    definition.name
                )));
            }
        })
    }

    fn close_unused(&self, now: Instant) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, entry| now.saturating_duration_since(entry.used) < self.settings.idle_timeout);
        count(&open);
    }
}

#[async_trait]
impl Sources for Pools {
    async fn open(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Handle, Error> {
        Ok(match self.connector(tenant, source)? {
            Connector::Sqlite(source) => Handle::Sql(Arc::new(Shared(source))),
            Connector::Mysql(source) => Handle::Sql(Arc::new(Shared(source))),
            Connector::Postgres(source) => Handle::Sql(Arc::new(Shared(source))),
            Connector::BigQuery(warehouse) => warehouse.handle(),
            Connector::Documents(store) => Handle::Documents(store),
            Connector::Api(service) => Handle::Api(service),
        })
    }

    async fn probe(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Duration, Error> {
        let connector = self.connector(tenant, source)?;
        let family = connector.family();
        let began = Instant::now();
        let allowed = self.settings.probe_timeout;
        observe::counted(family, "probe", async {
            let answered = tokio::time::timeout(allowed, connector.probe()).await;
            answered.unwrap_or_else(|_| Err(Error::unavailable(format!("no answer within {} ms", allowed.as_millis()))))
        })
        .await?;
        Ok(began.elapsed())
    }
}

impl Connector {
    fn family(&self) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::Mysql(_) | Self::Postgres(_) | Self::BigQuery(_) => "sql",
            Self::Documents(_) => "documents",
            Self::Api(_) => "http-api",
        }
    }

    async fn probe(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(source) => source.probe().await,
            Self::Mysql(source) => source.probe().await,
            Self::Postgres(source) => source.probe().await,
            Self::BigQuery(warehouse) => warehouse.probe().await,
            Self::Documents(store) => store.probe().await,
            Self::Api(service) => service.probe().await,
        }
    }
}

fn count(open: &HashMap<Key, Entry>) {
    for family in ["sql", "documents", "http-api"] {
        observe::pools(family, open.values().filter(|entry| entry.connector.family() == family).count());
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
