//! The workflows there are: read from their folder or handed in, found by a tenant and a name.
//!
//! What a tenant handed in comes before its own files (`customers/<tenant>/`), and these before those of
//! `examples/`, which are everybody's. A file with faults leaves the last good version of it in force and is
//! reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use remit_config::{Fault, Faults, File, Located};
use remit_domain::{AgentName, TenantId, plugin::Computed, tenant::Context};

use crate::{
    Plan,
    authored::Workflow as Authored,
    check,
    components::{Around, Spent},
    link,
};

/// A workflow that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// What it does.
    pub plan: Arc<Plan>,
    /// The file that it was read from, below the workflows' folder; empty for one that came without.
    pub file: String,
    /// Whose it is.
    pub owner: Owner,
    /// The version of those that its tenant handed in; a file's has none.
    pub version: Option<u32>,
}

/// Whose a workflow is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The tenant; everybody's, without one.
    pub tenant: Option<TenantId>,
    /// The agent whose folder it lies in.
    pub agent: Option<AgentName>,
}

impl Owner {
    /// Of a file, by its path below the workflows' folder: `customers/<tenant>/<agent>/<file>`.
    pub fn of(path: &Path) -> Self {
        let mut parts = path.iter().filter_map(|part| part.to_str());
        if parts.next() != Some("customers") {
            return Self::default();
        }
        let tenant = parts.next().and_then(|name| TenantId::new(name).ok());
        // `<agent>/<file>`, if there is a folder between.
        let agent = parts.next().filter(|_| parts.next().is_some()).and_then(|name| AgentName::new(name).ok());
        Self { tenant, agent }
    }

    /// The agent of steps that name none: the file's own word, its folder, or the one agent whose list of
    /// workflows names it.
    pub(crate) fn agent_of(&self, authored: &Authored, context: &Context) -> Option<AgentName> {
        let own = authored.agent_type.as_deref().and_then(|name| AgentName::new(name).ok());
        own.or_else(|| self.agent.clone()).or_else(|| {
            let names = |listed: &String| *listed == authored.name || authored.aliases.contains(listed);
            let mut listing = context.agents.iter().filter(|(_, agent)| agent.workflows.iter().any(names));
            match (listing.next(), listing.next()) {
                (Some((agent, _)), None) => Some(agent.clone()),
                _ => None,
            }
        })
    }

    /// Of what a tenant hands in; `path` is where it lies below the workflows' folder, if it does.
    pub fn handing_in(tenant: &TenantId, path: Option<&str>) -> Self {
        let agent = path.and_then(|path| Self::of(Path::new(path)).agent);
        Self { tenant: Some(tenant.clone()), agent }
    }
}

impl Workflow {
    /// The agent of steps that name none: the file's own word, its folder, or the one agent whose list of
    /// workflows names it.
    pub fn agent(&self, context: &Context) -> Option<AgentName> {
        self.owner.agent_of(&self.plan.authored, context)
    }

    /// Whether a name is its own or an alias.
    pub fn is(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// Its name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let authored = &self.plan.authored;
        std::iter::once(authored.name.as_str()).chain(authored.aliases.iter().map(String::as_str))
    }

    /// One that a tenant handed in.
    pub(crate) fn stored(tenant: &TenantId, plan: Plan, file: Option<&str>, version: u32) -> Self {
        Self {
            plan: Arc::new(plan),
            file: file.unwrap_or_default().to_owned(),
            owner: Owner::handing_in(tenant, file),
            version: Some(version),
        }
    }
}

/// All workflows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<RwLock<All>>);

#[derive(Debug, Clone, Default)]
struct All {
    /// By file.
    files: BTreeMap<String, Workflow>,
    /// What tenants handed in, by name.
    stored: BTreeMap<(TenantId, String), Workflow>,
}

impl All {
    /// What a tenant, or with none everybody, means by a name.
    fn find<'a>(&'a self, tenant: Option<&'a TenantId>, name: &str) -> Option<&'a Workflow> {
        self.of(tenant).find(|workflow| workflow.is(name))
    }

    /// What a tenant can run, those first that come before others of the same name.
    fn of<'a>(&'a self, tenant: Option<&'a TenantId>) -> impl Iterator<Item = &'a Workflow> {
        let own = move |it: &&Workflow| tenant.is_some() && it.owner.tenant.as_ref() == tenant;
        let stored = self.stored.values().filter(own);
        let files = self.files.values().filter(own);
        stored.chain(files).chain(self.files.values().filter(|it| it.owner.tenant.is_none()))
    }
}

impl Shelf {
    /// Reads the folder, again if it was read before, and holds each file against the plugins and the other
    /// workflows there are. Says what is wrong with files that can't be used.
    pub async fn load(&self, folder: &Path, env: &BTreeSet<String>, around: &Around) -> Vec<Fault> {
        let before = self.all().files.clone();
        let (folder, env) = (folder.to_owned(), env.clone());
        let reading = match tokio::task::spawn_blocking(move || read(&folder, &env)).await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::error!(%error, "reading workflows broke; the old ones stay");
                return Vec::new();
            }
        };
        let (mut loaded, mut faults, mut spent) = (BTreeMap::new(), Vec::new(), Spent::default());
        let mut callers = BTreeMap::new();
        for (file, read) in reading {
            let owner = Owner::of(Path::new(&file));
            let judged = match read {
                // Whoever's plugins compute for it, nobody asked for that.
                Ok(read) => {
                    let judged = check::judged(&read, &owner, around, &mut spent, &Computed::default()).await;
                    judged.map(|judged| (judged, read.located))
                }
                Err(faults) => Err(faults),
            };
            match judged {
                Ok((judged, located)) => {
                    for warning in &judged.warnings {
                        tracing::warn!(%warning, "a workflow may not do what it says");
                    }
                    if link::any(&judged.plan.authored) {
                        callers.insert(file.clone(), located);
                    }
                    let plan = Arc::new(judged.plan);
                    drop(loaded.insert(file.clone(), Workflow { plan, file, owner, version: None }));
                }
                Err(found) => {
                    faults.extend(found.into_vec());
                    if let Some(good) = before.get(&file) {
                        loaded.insert(file, good.clone());
                    }
                }
            }
        }
        let mut all = All { files: loaded, stored: self.all().stored.clone() };
        // One that calls what is not there is not there itself, for those that call it.
        while let Some((name, found)) = callers.iter().find_map(|(name, located)| {
            let workflow = all.files.get(name)?;
            let found = broken(&all, workflow.owner.tenant.as_ref(), located, &workflow.plan);
            (!found.is_empty()).then(|| (name.clone(), found))
        }) {
            all.files.remove(&name);
            callers.remove(&name);
            faults.extend(found);
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).files = all.files;
        faults
    }

    /// The workflow that a tenant means by a name or an alias.
    pub fn find(&self, tenant: &TenantId, name: &str) -> Option<Workflow> {
        self.all().find(Some(tenant), name).cloned()
    }

    /// All that a tenant can run, in order of name.
    pub fn list(&self, tenant: &TenantId) -> Vec<Workflow> {
        let all = self.all();
        let mut found: BTreeMap<String, Workflow> = BTreeMap::new();
        for workflow in all.of(Some(tenant)) {
            found.entry(workflow.plan.authored.name.clone()).or_insert_with(|| workflow.clone());
        }
        found.into_values().collect()
    }

    /// What is wrong with the workflows that a tenant's new one calls.
    pub(crate) fn broken(&self, tenant: &TenantId, file: &File, plan: &Plan) -> Vec<Fault> {
        if !link::any(&plan.authored) {
            return Vec::new();
        }
        let broken = |located: Located| broken(&self.all(), Some(tenant), &located, plan);
        Located::yaml(file).map_or_else(|fault| vec![fault], broken)
    }

    /// The name or alias of a tenant's new workflow that another of its own has.
    pub(crate) fn taken(&self, tenant: &TenantId, new: &Workflow) -> Option<String> {
        let all = self.all();
        let own = all.of(Some(tenant)).filter(|it| it.owner.tenant.is_some());
        let mut others = own.filter(|it| it.plan.authored.name != new.plan.authored.name);
        others.find_map(|other| new.names().find(|name| other.is(name)).map(str::to_owned))
    }

    /// Puts what a tenant handed in where it is found, or takes it away again.
    pub(crate) fn put(&self, tenant: &TenantId, name: &str, workflow: Option<Workflow>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), name.to_owned());
        match workflow {
            Some(workflow) => drop(all.stored.insert(key, workflow)),
            None => drop(all.stored.remove(&key)),
        }
    }

    fn all(&self) -> RwLockReadGuard<'_, All> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn broken(all: &All, tenant: Option<&TenantId>, located: &Located, plan: &Plan) -> Vec<Fault> {
    let find = |name: &str| {
        // Itself as it is now.
        if plan.authored.name == name || plan.authored.aliases.iter().any(|alias| alias == name) {
            return Some((Arc::new(plan.clone()), None));
        }
        all.find(tenant, name).map(|workflow| (workflow.plan.clone(), None))
    };
    link::faults(located, plan, &find)
}

/// All files of a folder, by their paths below it.
fn read(folder: &Path, env: &BTreeSet<String>) -> Vec<(String, Result<check::Read, Faults>)> {
    let mut report = remit_config::Report::default();
    let files = check::files(folder, folder, &mut report).into_iter().map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        let read = File::read(folder, &path).map_err(Into::into).and_then(|file| check::read(&file, env));
        (name, read)
    });
    files.collect()
}
