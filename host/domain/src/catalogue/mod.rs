//! The `Catalogue`: the one audited way to see and call what an agent has.
//!
//! Every door goes through here: chat, MCP, workflows and the HTTP API. A call is decided, its
//! arguments are checked, and only then does a guest run; whatever becomes of it, an audit event is
//! written before the answer goes out.

mod call;
mod step;

use std::sync::Arc;

pub use self::step::Step;
use crate::{
    AgentName, Error, PluginName, RequestId, TenantId,
    access::Principal,
    audit::{AuditLog, Door},
    clock::Clock,
    data::Sources,
    grant::decide_all,
    plugin::{Observer, Plugin, Plugins, Resource, Template, Tool, Unobserved},
    tenant::{Context, Mapping, Tenants},
    usage::{Ledger, Payer},
};

/// The one audited way to see and call what an agent has. Cheap to clone.
#[derive(Clone)]
pub struct Catalogue {
    tenants: Arc<dyn Tenants>,
    plugins: Arc<dyn Plugins>,
    sources: Arc<dyn Sources>,
    audit: Arc<dyn AuditLog>,
    clock: Arc<dyn Clock>,
    usage: Arc<Ledger>,
}

/// Who asks, for which agent, through which door.
#[derive(Clone)]
pub struct Caller {
    /// The tenant's context, as it is when the request begins.
    pub context: Arc<Context>,
    /// The agent, which the context has.
    pub agent: AgentName,
    /// Through which door.
    pub door: Door,
    /// Who asks, as the host knows it.
    pub principal: Principal,
    /// Who asked, in the tenant's own terms.
    pub user: Option<String>,
    /// The request.
    pub request: RequestId,
    /// The same for all attempts of one call; each call gets its own if there is none.
    pub idempotency_key: Option<String>,
    /// Which try of the call it is, from 1.
    pub attempt: u32,
    /// The versions of plugins that this caller's run began with, in place of those that serve now.
    pub pinned: Vec<Arc<dyn Plugin>>,
    /// Who is told how calls go.
    pub observer: Arc<dyn Observer>,
}

impl Caller {
    /// A caller whom nobody watches.
    ///
    /// Errors: [`Error::NotYourTenant`]; [`Error::UnknownAgent`]; [`Error::NotYourAgent`].
    pub fn new(
        principal: Principal,
        context: Arc<Context>,
        agent: &str,
        door: Door,
        request: RequestId,
    ) -> Result<Self, Error> {
        if principal.tenant().is_some_and(|own| *own != context.tenant) {
            return Err(Error::NotYourTenant);
        }
        let agent = context.agent(agent)?.0.clone();
        principal.speak_for(&agent)?;
        Ok(Self {
            context,
            agent,
            door,
            principal,
            user: None,
            request,
            idempotency_key: None,
            attempt: 1,
            pinned: Vec::new(),
            observer: Arc::new(Unobserved),
        })
    }

    /// Who is charged for what is done for this caller.
    pub fn payer(&self) -> Payer {
        Payer::new(&self.principal, Some(&self.context))
    }

    fn mapping(&self) -> Option<&Mapping> {
        self.context.agents.get(&self.agent)?.mapping.as_ref()
    }
}

/// One of a plugin's tools.
#[derive(Clone)]
pub struct OfferedTool {
    plugin: Arc<dyn Plugin>,
    at: usize,
}

/// How an agent's tool sets stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The sets that its mapping names.
    pub sets: Vec<PluginName>,
    /// The tools in them, whether or not the mapping grants what they need.
    pub tools: usize,
    /// The resources in them.
    pub resources: usize,
    /// The sets that nobody provides.
    pub missing: Vec<PluginName>,
}

impl Catalogue {
    /// Joins the ports.
    pub fn new(
        tenants: Arc<dyn Tenants>,
        plugins: Arc<dyn Plugins>,
        sources: Arc<dyn Sources>,
        audit: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let usage = Arc::new(Ledger::new(clock.clone()));
        Self { tenants, plugins, sources, audit, clock, usage }
    }

    /// A tenant's context. Errors as [`Tenants::get`].
    pub fn context(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        self.tenants.get(tenant)
    }

    /// What tenants and keys use: every door counts there.
    pub fn usage(&self) -> &Arc<Ledger> {
        &self.usage
    }

    /// The port of tenants, for those who list them all.
    pub fn tenants(&self) -> &Arc<dyn Tenants> {
        &self.tenants
    }

    /// The port of sources, for health.
    pub fn sources(&self) -> &Arc<dyn Sources> {
        &self.sources
    }

    /// The tools that the agent can call: those whose needs its mapping grants, in the order of its
    /// sets; of two with one name, the first.
    pub fn tools(&self, caller: &Caller) -> Vec<OfferedTool> {
        let mut offered: Vec<OfferedTool> = Vec::new();
        for plugin in self.plugins_of(caller) {
            for (at, tool) in plugin.description().tools.iter().enumerate() {
                let shadowed = offered.iter().any(|earlier| earlier.tool().name == tool.name);
                if !shadowed && decide_all(&caller.context, &caller.agent, &tool.needs).is_ok() {
                    offered.push(OfferedTool { plugin: plugin.clone(), at });
                }
            }
        }
        offered
    }

    /// The resources that the agent can read, as [`Self::tools`].
    pub fn resources(&self, caller: &Caller) -> Vec<Resource> {
        let all = self.plugins_of(caller).flat_map(|plugin| plugin.description().resources.clone());
        all.filter(|resource| decide_all(&caller.context, &caller.agent, &resource.needs).is_ok()).collect()
    }

    /// The families of addresses that the agent can read, as [`Self::tools`].
    pub fn templates(&self, caller: &Caller) -> Vec<Template> {
        let all = self.plugins_of(caller).flat_map(|plugin| plugin.description().templates.clone());
        all.filter(|template| decide_all(&caller.context, &caller.agent, &template.needs).is_ok()).collect()
    }

    /// What the agent's sets say of themselves to the model.
    pub fn instructions(&self, caller: &Caller) -> Vec<String> {
        self.plugins_of(caller).filter_map(|plugin| plugin.description().instructions.clone()).collect()
    }

    /// How the agent's sets stand.
    pub fn health(&self, caller: &Caller) -> Health {
        let sets = caller.mapping().map(|mapping| mapping.sets.clone()).unwrap_or_default();
        let mut health = Health { sets: sets.clone(), tools: 0, resources: 0, missing: Vec::new() };
        for set in sets {
            match self.plugins.find(&caller.context.tenant, &set) {
                Some(plugin) => {
                    health.tools += plugin.description().tools.len();
                    health.resources += plugin.description().resources.len();
                }
                None => health.missing.push(set),
            }
        }
        health
    }

    fn plugins_of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = Arc<dyn Plugin>> + 'a {
        let sets = caller.mapping().map(|mapping| mapping.sets.as_slice()).unwrap_or_default();
        sets.iter().filter_map(|set| {
            let pinned = caller.pinned.iter().find(|plugin| plugin.description().name == *set);
            pinned.cloned().or_else(|| self.plugins.find(&caller.context.tenant, set))
        })
    }

    /// The first set that nobody provides, for the error of a call that found nothing.
    fn missing_set(&self, caller: &Caller) -> Option<PluginName> {
        let sets = caller.mapping().map(|mapping| mapping.sets.as_slice()).unwrap_or_default();
        sets.iter().find(|set| self.plugins.find(&caller.context.tenant, set).is_none()).cloned()
    }
}

impl OfferedTool {
    /// The tool.
    #[expect(clippy::indexing_slicing, reason = "`at` was counted over this very list, which never changes")]
    pub fn tool(&self) -> &Tool {
        &self.plugin.description().tools[self.at]
    }

    /// The plugin that has it.
    pub fn plugin(&self) -> &PluginName {
        &self.plugin.description().name
    }
}

#[cfg(test)]
mod tests;
