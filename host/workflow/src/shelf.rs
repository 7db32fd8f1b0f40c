//! The workflows there are: read from their folder, found by a tenant and a name.
//!
//! A tenant's own (`customers/<tenant>/`) come before those of `examples/`, which are everybody's. A file
//! with faults leaves the last good version of it in force and is reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use remit_config::{Fault, File};
use remit_domain::{AgentName, TenantId, tenant::Context};

use crate::{Plan, check};

/// A workflow that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// What it does.
    pub plan: Arc<Plan>,
    /// The file that it was read from, below the workflows' folder.
    pub file: String,
    /// Whose it is; everybody's, without one.
    pub tenant: Option<TenantId>,
    /// The agent whose folder it lies in.
    agent: Option<AgentName>,
}

impl Workflow {
    /// The agent of steps that name none: the file's own word, its folder, or the one agent whose list of
    /// workflows names it.
    pub fn agent(&self, context: &Context) -> Option<AgentName> {
        let own = self.plan.authored.agent_type.as_deref().and_then(|name| AgentName::new(name).ok());
        own.or_else(|| self.agent.clone()).or_else(|| {
            let authored = &self.plan.authored;
            let names = |listed: &String| *listed == authored.name || authored.aliases.contains(listed);
            let mut listing = context.agents.iter().filter(|(_, agent)| agent.workflows.iter().any(names));
            match (listing.next(), listing.next()) {
                (Some((agent, _)), None) => Some(agent.clone()),
                _ => None,
            }
        })
    }
}

/// All workflows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shelf(Arc<RwLock<BTreeMap<String, Workflow>>>);

impl Shelf {
    /// Reads the folder, again if it was read before. Says what is wrong with files that can't be used.
    pub fn load(&self, folder: &Path, env: &BTreeSet<String>) -> Vec<Fault> {
        let mut report = remit_config::Report::default();
        let mut read = BTreeMap::new();
        let mut faults = Vec::new();
        let before = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        for path in check::files(folder, folder, &mut report) {
            let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            let plan = File::read(folder, &path).map_err(Into::into).and_then(|file| check::plan(&file, env));
            match plan {
                Ok(plan) => drop(read.insert(name.clone(), workflow(plan, name))),
                Err(found) => {
                    faults.extend(found.into_vec());
                    if let Some(good) = before.get(&name) {
                        read.insert(name, good.clone());
                    }
                }
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = read;
        faults
    }

    /// The workflow that a tenant means by a name or an alias.
    pub fn find(&self, tenant: &TenantId, name: &str) -> Option<Workflow> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let named = |it: &&Workflow| {
            it.plan.authored.name == name || it.plan.authored.aliases.iter().any(|alias| alias == name)
        };
        let own = all.values().filter(|it| it.tenant.as_ref() == Some(tenant)).find(named);
        own.or_else(|| all.values().filter(|it| it.tenant.is_none()).find(named)).cloned()
    }

    /// All that a tenant can run, in order of name.
    pub fn list(&self, tenant: &TenantId) -> Vec<Workflow> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<String, Workflow> = BTreeMap::new();
        let own = all.values().filter(|it| it.tenant.as_ref() == Some(tenant));
        for workflow in own.chain(all.values().filter(|it| it.tenant.is_none())) {
            found.entry(workflow.plan.authored.name.clone()).or_insert_with(|| workflow.clone());
        }
        found.into_values().collect()
    }
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
    Workflow { plan: Arc::new(plan), file, tenant, agent }
}
