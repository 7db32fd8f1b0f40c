//! The plugins there are: the operator's, from one folder, and those that tenants put on shelves of their
//! own.
//!
//! Deliberately absent: where tenants' plugins are kept, and which version of them is active.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use remit_domain::{
    PluginName, TenantId,
    plugin::{Description, Plugin, Plugins, Shelf},
};
use tokio::sync::watch;

use crate::{Error, engine::Sandbox, plugin::Loaded};

/// The plugins there are.
pub struct Registry {
    sandbox: Arc<Sandbox>,
    shelves: RwLock<Shelves>,
    loaded: AtomicBool,
    /// Told of every change.
    changes: watch::Sender<()>,
}

type Plugs = BTreeMap<PluginName, Arc<dyn Plugin>>;

#[derive(Default)]
struct Shelves {
    operators: Own,
    tenants: HashMap<TenantId, Own>,
}

/// What one owner has.
#[derive(Default)]
struct Own {
    plugins: Plugs,
    /// What is to be here, and can't yet.
    withheld: BTreeSet<PluginName>,
    /// How often this changed. It stays when the last plugin goes.
    changes: u64,
}

/// A file that is not a plugin.
#[derive(Debug)]
pub struct Fault {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: Error,
}

impl Registry {
    /// An empty registry.
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        let changes = watch::Sender::new(());
        Self { sandbox, shelves: RwLock::default(), loaded: AtomicBool::new(false), changes }
    }

    /// Takes in every `*.wasm` of a folder, replacing what was taken in before: calls in flight end
    /// with the version they began with. A file that is not a plugin is reported, and its earlier
    /// version stays. The file's name must be the plugin's.
    ///
    /// Errors: [`Error::Io`] if the folder can't be read.
    pub async fn load(&self, folder: &Path) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut plugins = Plugs::new();
        for path in wasm_files(folder)? {
            match self.load_file(&path).await {
                Ok(loaded) => {
                    plugins.insert(loaded.description().name.clone(), loaded);
                }
                Err(error) => {
                    if let Some((name, earlier)) = self.earlier(&path) {
                        plugins.insert(name, earlier);
                    }
                    faults.push(Fault { path, error });
                }
            }
        }
        let digests = |plugins: &Plugs| -> Vec<String> {
            plugins.values().map(|plugin| plugin.description().digest.clone()).collect()
        };
        self.change(|shelves| {
            let operators = &mut shelves.operators;
            operators.changes += u64::from(digests(&operators.plugins) != digests(&plugins));
            operators.plugins = plugins;
        });
        self.loaded.store(true, Ordering::Release);
        Ok(faults)
    }

    /// Whether a folder has been taken in.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Descriptions of the operator's plugins, in order of name.
    pub fn all(&self) -> Vec<Description> {
        self.read().operators.plugins.values().map(|plugin| plugin.description().clone()).collect()
    }

    /// Is told of every change of any tenant's plugins, and of the operator's.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Lets everybody who waits for a change look again: something else than the plugins has changed.
    pub fn stir(&self) {
        self.change(|shelves| shelves.operators.changes += 1);
    }

    /// The sandbox that the plugins run in.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    async fn load_file(&self, path: &Path) -> Result<Arc<dyn Plugin>, Error> {
        let wasm =
            fs::read(path).map_err(|cause| Error::Io { what: format!("cannot read {}", path.display()), cause })?;
        let loaded = Loaded::of_operator(self.sandbox.clone(), wasm).await?;
        let name = &loaded.description().name;
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(name.as_str()) {
            return Err(Error::BadDescription(format!("it calls itself `{name}`, unlike its file")));
        }
        Ok(Arc::new(loaded))
    }

    fn earlier(&self, path: &Path) -> Option<(PluginName, Arc<dyn Plugin>)> {
        let name = path.file_stem()?.to_str()?;
        self.read().operators.plugins.get_key_value(name).map(|(name, plugin)| (name.clone(), plugin.clone()))
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Shelves) -> T) -> T {
        let mut shelves: RwLockWriteGuard<'_, Shelves> = self.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut shelves);
        drop(shelves);
        self.changes.send_replace(());
        changed
    }
}

impl Plugins for Registry {
    fn find(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        let shelves = self.read();
        let own = shelves.tenants.get(tenant);
        if own.is_some_and(|own| own.withheld.contains(name)) {
            return None;
        }
        own.and_then(|own| own.plugins.get(name)).or_else(|| shelves.operators.plugins.get(name)).cloned()
    }

    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.read().operators.plugins.get(name).cloned()
    }
}

#[async_trait]
impl Shelf for Registry {
    fn place(&self, tenant: &TenantId, plugin: Arc<dyn Plugin>) {
        let name = plugin.description().name.clone();
        self.change(|shelves| {
            let own = shelves.tenants.entry(tenant.clone()).or_default();
            own.withheld.remove(&name);
            own.plugins.insert(name, plugin);
            own.changes += 1;
        });
    }

    fn withhold(&self, tenant: &TenantId, name: &PluginName) {
        self.change(|shelves| {
            let own = shelves.tenants.entry(tenant.clone()).or_default();
            own.changes += u64::from(own.withheld.insert(name.clone()));
        });
    }

    fn own(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.read().tenants.get(tenant).and_then(|own| own.plugins.get(name)).cloned()
    }

    fn withdraw(&self, tenant: &TenantId, name: &PluginName) -> bool {
        self.change(|shelves| {
            let Some(own) = shelves.tenants.get_mut(tenant) else { return false };
            let withheld = own.withheld.remove(name);
            let there = own.plugins.remove(name).is_some();
            own.changes += u64::from(there || withheld);
            there
        })
    }

    fn generation(&self, tenant: &TenantId) -> u64 {
        let shelves = self.read();
        let own = shelves.tenants.get(tenant).map_or(0, |own| own.changes);
        shelves.operators.changes + own
    }

    async fn changed(&self, tenant: &TenantId, since: u64) -> u64 {
        // Looked at first, so that a change right after it is noticed.
        let mut changes = self.changes.subscribe();
        loop {
            let now = self.generation(tenant);
            if now != since {
                return now;
            }
            if changes.changed().await.is_err() {
                // The registry itself holds the other end.
                return now;
            }
        }
    }
}

fn wasm_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |cause| Error::Io { what: format!("cannot read the folder {}", folder.display()), cause };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
