//! The workflows there are: read from their folder or handed in, found by a tenant and a name.
//!
//! What a tenant handed in comes before its own files (`customers/<tenant>/`), and these before those of
//! `examples/`, which are everybody's. A file with faults leaves the last good version of it in force and is
//! reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use remit_config::{Fault, File, Located};
use remit_domain::{AgentName, TenantId, tenant::Context};

use crate::{Plan, check, link};

/// A workflow that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// What it does.
    pub plan: Arc<Plan>,
    /// The file that it was read from, below the workflows' folder; empty for one that came without.
    pub file: String,
    /// Whose it is; everybody's, without one.
    pub tenant: Option<TenantId>,
    /// The version of those that its tenant handed in; a file's has none.
    pub version: Option<u32>,
    /// The agent whose folder it lies in.
    agent: Option<AgentName>,
}

impl Workflow {
    /// The agent of steps that name none: the file's own word, its folder, or the one agent whose list of
    /// workflows names it.
    pub fn agent(&self, context: &Context) -> Option<AgentName> {
        let own = self.plan.authored.agent_type.as_deref().and_then(|name| AgentName::new(name).ok());
        own.or_else(|| self.agent.clone()).or_else(|| {
            let mut listing = context.agents.iter().filter(|(_, agent)| agent.workflows.iter().any(|it| self.is(it)));
            match (listing.next(), listing.next()) {
                (Some((agent, _)), None) => Some(agent.clone()),
                _ => None,
            }
        })
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
        let folder = file.and_then(|file| workflow(plan.clone(), file.to_owned()).agent);
        Self {
            plan: Arc::new(plan),
            file: file.unwrap_or_default().to_owned(),
            tenant: Some(tenant.clone()),
            version: Some(version),
            agent: folder,
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
        let own = move |it: &&Workflow| tenant.is_some() && it.tenant.as_ref() == tenant;
        let stored = self.stored.values().filter(own);
        let files = self.files.values().filter(own);
        stored.chain(files).chain(self.files.values().filter(|it| it.tenant.is_none()))
    }
}

impl Shelf {
    /// Reads the folder, again if it was read before. Says what is wrong with files that can't be used.
    pub fn load(&self, folder: &Path, env: &BTreeSet<String>) -> Vec<Fault> {
        let mut report = remit_config::Report::default();
        let mut read = BTreeMap::new();
        let mut texts = BTreeMap::new();
        let mut faults = Vec::new();
        let before = self.all().clone();
        for path in check::files(folder, folder, &mut report) {
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let file = File::read(folder, &path);
            let plan = file.clone().map_err(Into::into).and_then(|file| check::plan(&file, env));
            match plan {
                Ok(plan) => {
                    texts.extend(file.ok().filter(|_| link::any(&plan.authored)).map(|file| (name.clone(), file)));
                    read.insert(name.clone(), workflow(plan, name));
                }
                Err(found) => {
                    faults.extend(found.into_vec());
                    if let Some(good) = before.files.get(&name) {
                        read.insert(name, good.clone());
                    }
                }
            }
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.files = read;
        // One that calls what is not there is not there itself, for those that call it.
        while let Some((name, found)) = texts.iter().find_map(|(name, file)| {
            let workflow = all.files.get(name)?;
            let found = broken(&all, workflow.tenant.as_ref(), file, &workflow.plan);
            (!found.is_empty()).then(|| (name.clone(), found))
        }) {
            all.files.remove(&name);
            texts.remove(&name);
            faults.extend(found);
        }
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
        broken(&self.all(), Some(tenant), file, plan)
    }

    /// The name or alias of a tenant's new workflow that another of its own has.
    pub(crate) fn taken(&self, tenant: &TenantId, new: &Workflow) -> Option<String> {
        let all = self.all();
        let own = all.of(Some(tenant)).filter(|it| it.tenant.is_some());
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

fn broken(all: &All, tenant: Option<&TenantId>, file: &File, plan: &Plan) -> Vec<Fault> {
    if !link::any(&plan.authored) {
        return Vec::new();
    }
    let find = |name: &str| {
        // Itself as it is now.
        if plan.authored.name == name || plan.authored.aliases.iter().any(|alias| alias == name) {
            return Some((Arc::new(plan.clone()), None));
        }
        all.find(tenant, name).map(|workflow| (workflow.plan.clone(), None))
    };
    Located::yaml(file).map_or_else(|fault| vec![fault], |located| link::faults(&located, plan, &find))
}

fn workflow(plan: Plan, file: String) -> Workflow {
    let path = PathBuf::from(&file);
    let mut parts = path.iter().filter_map(|part| part.to_str());
    let (tenant, agent) = match parts.next() {
        Some("customers") => {
            let tenant = parts.next().and_then(|name| TenantId::new(name).ok());
            // `<agent>/<file>`, if there is a folder between.
            let agent = parts.next().filter(|_| parts.next().is_some()).and_then(|name| AgentName::new(name).ok());
            (tenant, agent)
        }
        _ => (None, None),
    };
    Workflow { plan: Arc::new(plan), file, tenant, version: None, agent }
}
