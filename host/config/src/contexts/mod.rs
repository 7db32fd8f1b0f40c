//! The contexts in force: read at start, read again when told to. A fault in one tenant's files is
//! that tenant's alone: with a last good version it goes on with that one, without it is out of
//! service.
//!
//! Deliberately absent: watching the folder, and logging; who calls [`Contexts::reload`] is told what
//! changed.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use remit_domain::{
    Error, TenantId,
    tenant::{Context, State, Tenants},
};
use uuid::Uuid;

use crate::{
    Environment, Host,
    context::{self, Around},
    fault::{Fault, Faults, Spot},
    located::{File, shown},
    prefixes::Prefixes,
};

/// The file that is copied to make a new context, and is none itself.
pub(crate) const TEMPLATE: &str = "template.json";

/// The contexts in force.
pub struct Contexts {
    host: Arc<Host>,
    in_force: ArcSwap<BTreeMap<TenantId, Entry>>,
    seal: [u8; 32],
    /// Held while reloading, so that two reloads don't undo each other.
    env: Mutex<Environment>,
}

#[derive(Debug, Clone)]
struct Entry {
    context: Option<Arc<Context>>,
    state: State,
    fingerprint: String,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The context's file, as faults show it.
    pub file: String,
    /// Whose it is; none if the file's name is no tenant's.
    pub tenant: Option<TenantId>,
    /// What became of it.
    pub outcome: Outcome,
    /// What works but may not be meant, such as variables that are not set.
    pub warnings: Vec<Fault>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A tenant is there that was not.
    Added,
    /// A tenant's new version is in force.
    Changed,
    /// A tenant is gone with its file.
    Removed,
    /// The file is faulty: the last good version stays in force.
    Stale(Vec<Fault>),
    /// The file is faulty and there is no last good version: the tenant is out of service.
    Quarantined(Vec<Fault>),
    /// The file's name is no tenant's, or the file belongs to none.
    Ignored(Vec<Fault>),
}

impl Contexts {
    /// Reads all contexts. Also says what came of each file.
    ///
    /// Errors: the contexts' folder itself can't be read. Faults of single tenants quarantine these.
    pub fn load(host: Arc<Host>, env: Environment) -> Result<(Self, Vec<Change>), Faults> {
        let contexts = Self { host, in_force: ArcSwap::default(), seal: seal(), env: Mutex::new(env) };
        let changes = contexts.read_all(&contexts.env.lock().unwrap_or_else(PoisonError::into_inner).clone())?;
        Ok((contexts, changes))
    }

    /// Reads all files and the environment again and puts in force what is sound. Says what changed;
    /// what is still as faulty as before is said again.
    ///
    /// Errors: the folder or `.env` can't be read; then everything stays as it is.
    pub fn reload(&self) -> Result<Vec<Change>, Faults> {
        let mut env = self.env.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = env.refreshed()?;
        let changes = self.read_all(&fresh)?;
        *env = fresh;
        Ok(changes)
    }

    fn read_all(&self, env: &Environment) -> Result<Vec<Change>, Faults> {
        let folder = Folder::list(&self.host)?;
        let prefixes = Prefixes::new(&self.host, folder.tenants.keys());
        let around = Around { host: &self.host, env, prefixes: &prefixes, sets: None, seal: &self.seal };
        let before = self.in_force.load();
        let mut after = BTreeMap::new();
        let mut changes: Vec<Change> = folder.stray.iter().map(stray).collect();
        for (tenant, files) in &folder.tenants {
            let loaded = files.load(tenant, around);
            let (entry, outcome) = settle(before.get(tenant), loaded.context, loaded.fingerprint, loaded.faults);
            after.insert(tenant.clone(), entry);
            changes.extend(outcome.map(|outcome| Change {
                file: files.shown.clone(),
                tenant: Some(tenant.clone()),
                outcome,
                warnings: loaded.warnings,
            }));
        }
        for tenant in before.keys().filter(|tenant| !after.contains_key(*tenant)) {
            changes.push(Change {
                file: shown(&self.host.root, &self.host.contexts_dir.join(format!("{tenant}.json"))),
                tenant: Some(tenant.clone()),
                outcome: Outcome::Removed,
                warnings: Vec::new(),
            });
        }
        self.in_force.store(Arc::new(after));
        Ok(changes)
    }
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts").field("in_force", &self.all()).finish_non_exhaustive()
    }
}

impl Tenants for Contexts {
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        match self.in_force.load().get(tenant) {
            None => Err(Error::UnknownTenant(tenant.to_string())),
            Some(Entry { context: None, .. }) => Err(Error::TenantUnavailable { tenant: tenant.clone() }),
            Some(Entry { context: Some(context), .. }) => Ok(context.clone()),
        }
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        self.in_force.load().iter().map(|(tenant, entry)| (tenant.clone(), entry.state.clone())).collect()
    }
}

/// What is in force after a reading: `None` where nothing is to be said.
fn settle(
    before: Option<&Entry>,
    context: Option<Context>,
    fingerprint: String,
    faults: Vec<Fault>,
) -> (Entry, Option<Outcome>) {
    let last_good = before.and_then(|entry| entry.context.clone());
    match (context, last_good) {
        (Some(_), Some(last)) if before.is_some_and(|entry| entry.fingerprint == fingerprint) => {
            let was_stale = before.is_some_and(|entry| entry.state != State::Current);
            let entry = Entry { context: Some(last), state: State::Current, fingerprint };
            (entry, was_stale.then_some(Outcome::Changed))
        }
        (Some(context), last) => {
            let outcome = if last.is_some() { Outcome::Changed } else { Outcome::Added };
            (Entry { context: Some(Arc::new(context)), state: State::Current, fingerprint }, Some(outcome))
        }
        (None, Some(last)) => {
            let state = State::Stale(faults.iter().map(Fault::to_string).collect());
            let fingerprint = before.map(|entry| entry.fingerprint.clone()).unwrap_or_default();
            (Entry { context: Some(last), state, fingerprint }, Some(Outcome::Stale(faults)))
        }
        (None, None) => {
            let state = State::Quarantined(faults.iter().map(Fault::to_string).collect());
            (Entry { context: None, state, fingerprint }, Some(Outcome::Quarantined(faults)))
        }
    }
}

fn stray(fault: &Fault) -> Change {
    Change {
        file: fault.file.clone(),
        tenant: None,
        outcome: Outcome::Ignored(vec![fault.clone()]),
        warnings: Vec::new(),
    }
}

/// A random key for the hashes of this process.
pub(crate) fn seal() -> [u8; 32] {
    let mut seal = [0; 32];
    let random = Uuid::new_v4().into_bytes().into_iter().chain(Uuid::new_v4().into_bytes());
    seal.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
    seal
}

/// The files of the contexts' folder and of the profile in force.
pub(crate) struct Folder {
    pub tenants: BTreeMap<TenantId, Files>,
    /// Files that belong to no tenant.
    pub stray: Vec<Fault>,
}

/// The files of one tenant.
pub(crate) struct Files {
    root: PathBuf,
    context: PathBuf,
    shown: String,
    patch: Option<PathBuf>,
}

impl Folder {
    pub(crate) fn list(host: &Host) -> Result<Self, Faults> {
        let mut folder = Self { tenants: BTreeMap::new(), stray: Vec::new() };
        for path in json_files(&host.root, &host.contexts_dir)? {
            if path.file_name().is_some_and(|name| name == TEMPLATE) {
                continue;
            }
            let shown = shown(&host.root, &path);
            match TenantId::new(path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()) {
                Ok(tenant) => {
                    let files = Files { root: host.root.clone(), context: path, shown, patch: None };
                    folder.tenants.insert(tenant, files);
                }
                Err(invalid) => folder.stray.push(Fault::new(shown, Spot::START, invalid.to_string())),
            }
        }
        if let Some(profile) = &host.profile {
            let mut owners: BTreeSet<PathBuf> = json_files(&host.root, profile)?.into_iter().collect();
            for (tenant, files) in &mut folder.tenants {
                files.patch = owners.take(&profile.join(format!("{tenant}.json")));
            }
            folder.stray.extend(owners.iter().map(|path| {
                let fault = Fault::new(shown(&host.root, path), Spot::START, "a patch for a tenant that is not there");
                fault.hint("a patch is called as the context that it patches")
            }));
        }
        Ok(folder)
    }
}

impl Files {
    /// As faults show them.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let patch = self.patch.as_deref().map(|path| shown(&self.root, path));
        std::iter::once(self.shown.clone()).chain(patch)
    }

    pub(crate) fn load(&self, tenant: &TenantId, around: Around<'_>) -> context::Loaded {
        let read = |path: &Path| File::read(&self.root, path);
        let files: Result<(File, Option<File>), Fault> =
            read(&self.context).and_then(|context| Ok((context, self.patch.as_deref().map(read).transpose()?)));
        match files {
            Ok((file, patch)) => context::load(tenant, &file, patch.as_ref(), around),
            Err(fault) => {
                context::Loaded { context: None, faults: vec![fault], warnings: Vec::new(), fingerprint: String::new() }
            }
        }
    }
}

/// The JSON files of a folder, in order of name. Hidden files are editors' own.
fn json_files(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let unreadable = |error: std::io::Error| {
        Fault::new(shown(root, folder), Spot::START, format!("the folder can't be read: {error}"))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().and_then(|name| name.to_str()).is_none_or(|name| name.starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
