//! The workflows there are: read from their folder, found by a tenant and a name.
//!
//! A tenant's own (`customers/<tenant>/`) come before those of `examples/`, which are everybody's. A file
//! with faults leaves the last good version of it in force and is reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use remit_config::{Fault, Faults, File};
use remit_domain::{AgentName, TenantId, plugin::Computed, tenant::Context};

use crate::{
    Plan,
    authored::Workflow as Authored,
    check,
    components::{Around, Spent},
};

/// A workflow that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// What it does.
    pub plan: Arc<Plan>,
    /// The file that it was read from, below the workflows' folder.
    pub file: String,
    /// Whose it is.
    pub owner: Owner,
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
}

impl Workflow {
    /// The agent of steps that name none: the file's own word, its folder, or the one agent whose list of
    /// workflows names it.
    pub fn agent(&self, context: &Context) -> Option<AgentName> {
        self.owner.agent_of(&self.plan.authored, context)
    }
}

/// All workflows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<RwLock<BTreeMap<String, Workflow>>>);

impl Shelf {
    /// Reads the folder, again if it was read before, and holds each file against the plugins there are. Says
    /// what is wrong with files that can't be used.
    pub async fn load(&self, folder: &Path, env: &BTreeSet<String>, around: &Around) -> Vec<Fault> {
        let before = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (folder, env) = (folder.to_owned(), env.clone());
        let reading = match tokio::task::spawn_blocking(move || read(&folder, &env)).await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::error!(%error, "reading workflows broke; the old ones stay");
                return Vec::new();
            }
        };
        let (mut loaded, mut faults, mut spent) = (BTreeMap::new(), Vec::new(), Spent::default());
        for (file, read) in reading {
            let owner = Owner::of(Path::new(&file));
            let judged = match read {
                // Whoever's plugins compute for it, nobody asked for that.
                Ok(read) => check::judged(read, &owner, around, &mut spent, &Computed::default()).await,
                Err(faults) => Err(faults),
            };
            match judged {
                Ok(judged) => {
                    for warning in &judged.warnings {
                        tracing::warn!(%warning, "a workflow may not do what it says");
                    }
                    let plan = Arc::new(judged.plan);
                    drop(loaded.insert(file.clone(), Workflow { plan, file, owner }));
                }
                Err(found) => {
                    faults.extend(found.into_vec());
                    if let Some(good) = before.get(&file) {
                        loaded.insert(file, good.clone());
                    }
                }
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        faults
    }

    /// The workflow that a tenant means by a name or an alias.
    pub fn find(&self, tenant: &TenantId, name: &str) -> Option<Workflow> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = |it: &&Workflow| {
            it.plan.authored.name == name || it.plan.authored.aliases.iter().any(|alias| alias == name)
        };
        let own = all.values().filter(|it| it.owner.tenant.as_ref() == Some(tenant)).find(named);
        own.or_else(|| all.values().filter(|it| it.owner.tenant.is_none()).find(named)).cloned()
    }

    /// All that a tenant can run, in order of name.
    pub fn list(&self, tenant: &TenantId) -> Vec<Workflow> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<String, Workflow> = BTreeMap::new();
        let own = all.values().filter(|it| it.owner.tenant.as_ref() == Some(tenant));
        for workflow in own.chain(all.values().filter(|it| it.owner.tenant.is_none())) {
            found.entry(workflow.plan.authored.name.clone()).or_insert_with(|| workflow.clone());
        }
        found.into_values().collect()
    }
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
