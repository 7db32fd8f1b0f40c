//! The plugins there are. Now: the operator's, from one folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use remit_domain::{
    PluginName, TenantId,
    plugin::{Description, Plugin, Plugins},
};

use crate::{Error, engine::Sandbox, plugin::Loaded};

/// The plugins there are.
pub struct Registry {
    sandbox: Arc<Sandbox>,
    operators: RwLock<BTreeMap<PluginName, Arc<dyn Plugin>>>,
    loaded: AtomicBool,
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
        Self { sandbox, operators: RwLock::default(), loaded: AtomicBool::new(false) }
    }

    /// Takes in every `*.wasm` of a folder, replacing what was taken in before: calls in flight end
    /// with the version they began with. A file that is not a plugin is reported, and its earlier
    /// version stays. The file's name must be the plugin's.
    ///
    /// Errors: [`Error::Io`] if the folder can't be read.
    pub async fn load(&self, folder: &Path) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let mut plugins = BTreeMap::new();
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
        *self.operators.write().unwrap_or_else(PoisonError::into_inner) = plugins;
        self.loaded.store(true, Ordering::Release);
        Ok(faults)
    }

    /// Whether a folder has been taken in.
    pub fn loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Descriptions of all plugins, in order of name.
    pub fn all(&self) -> Vec<Description> {
        let operators = self.operators.read().unwrap_or_else(PoisonError::into_inner);
        operators.values().map(|plugin| plugin.description().clone()).collect()
    }

    /// The sandbox that the plugins run in.
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    async fn load_file(&self, path: &Path) -> Result<Arc<dyn Plugin>, Error> {
        let wasm =
            fs::read(path).map_err(|cause| Error::Io { what: format!("cannot read {}", path.display()), cause })?;
        let loaded = Loaded::new(self.sandbox.clone(), wasm).await?;
        let name = &loaded.description().name;
        if path.file_stem().and_then(|stem| stem.to_str()) != Some(name.as_str()) {
            return Err(Error::BadDescription(format!("it calls itself `{name}`, unlike its file")));
        }
        Ok(Arc::new(loaded))
    }

    fn earlier(&self, path: &Path) -> Option<(PluginName, Arc<dyn Plugin>)> {
        let name = path.file_stem()?.to_str()?;
        let operators = self.operators.read().unwrap_or_else(PoisonError::into_inner);
        operators.get_key_value(name).map(|(name, plugin)| (name.clone(), plugin.clone()))
    }
}

impl Plugins for Registry {
    fn find(&self, _: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.operators.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
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
