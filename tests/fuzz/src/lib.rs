//! What the targets share: a tenant, and its context.
//!
//! Deliberately absent: what is asserted, which stands in each target.

#![expect(clippy::unwrap_used, missing_docs, reason = "a panic is what a fuzzer looks for")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use remit_domain::{
    AgentName, SourceName, TenantId,
    grant::Permission,
    limits::Limits,
    source::Definition,
    tenant::{Agent, Context, Mapping, State, Tenants},
};

pub fn agent() -> AgentName {
    AgentName::new("agent").unwrap()
}

/// The context of a tenant whose agent may do this with these sources.
pub fn context(limits: Limits, sources: Vec<(Arc<Definition>, Permission)>) -> Arc<Context> {
    let names: Vec<SourceName> = sources.iter().map(|(source, _)| source.name.clone()).collect();
    let mapping = Mapping {
        order: names.clone(),
        permissions: names.iter().cloned().zip(sources.iter().map(|(_, permission)| *permission)).collect(),
        scopes: BTreeMap::new(),
        sets: Vec::new(),
    };
    let of_agent = Agent {
        system_prompt: String::new(),
        temperature: 0.0,
        tools: Some(BTreeSet::new()),
        mapping: Some(mapping),
        workflows: Vec::new(),
    };
    Arc::new(Context {
        agents: BTreeMap::from([(agent(), of_agent)]),
        sources: names.into_iter().zip(sources.into_iter().map(|(source, _)| source)).collect(),
        limits,
        ..Context::of(TenantId::new("fuzzed").unwrap(), "F")
    })
}

/// The one tenant there is.
pub struct One(pub Arc<Context>);

impl Tenants for One {
    fn get(&self, _: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}
