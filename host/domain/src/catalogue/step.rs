//! Steps of workflows that plugins perform: found, decided, checked, run and recorded as calls of tools are.
//!
//! What a step is granted follows from its configuration as it was written, in which no value that came in
//! from outside has a word, and from what its kind always needs.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use tracing::Instrument;

use super::{Caller, Catalogue, call::Recording};
use crate::{
    AgentName, Error, PluginName,
    audit::{Event, Subject},
    node::{self, Found, Name, Node, Nodes, Repeat},
    plugin::{Computed, Plugin},
    schema::Problem,
    tenant::Context,
    usage::Meter,
};

/// A step to perform.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Of which kind.
    pub kind: &'a Name,
    /// Its configuration as it was written: what it is granted follows from this.
    pub written: &'a Value,
    /// The same, filled in.
    pub config: &'a Value,
    /// What the step before it left.
    pub input: &'a Value,
}

impl Catalogue {
    /// The kinds of step that there are, for those who check workflows.
    pub fn nodes(&self) -> Nodes {
        Nodes::new(self.plugins.clone(), self.tenants.clone())
    }

    /// The kind that a caller means by a name: of the version that its run pins.
    ///
    /// Errors: [`Error::UnknownNode`].
    pub fn node(&self, caller: &Caller, kind: &Name) -> Result<Found, Error> {
        let pinned = caller.pinned.iter().filter(|_| !kind.built_in);
        let pinned = pinned.into_iter().find(|plugin| plugin.description().name == kind.plugin);
        let found = match pinned {
            Some(plugin) => Found::of(plugin.clone(), &kind.node),
            None => self.nodes().find(Some(&caller.context.tenant), kind).ok(),
        };
        found.ok_or_else(|| Error::UnknownNode(kind.to_string()))
    }

    /// Whether performing a step twice does no more than doing it once, as its plugin says of it.
    ///
    /// Errors: [`Error::UnknownNode`]; as [`Plugin::validate`].
    pub async fn repeatable(&self, caller: &Caller, kind: &Name, written: &Value) -> Result<bool, Error> {
        let found = self.node(caller, kind)?;
        let computed = Computed::default();
        let said = found.validate(written, Some(&caller.context), &computed).await;
        self.usage.note_computing(&caller.payer(), &computed);
        Ok(said?.is_ok_and(|said| said.repeat == Repeat::Harmless))
    }

    /// Performs a step for an agent.
    ///
    /// Errors: [`Error::UnknownNode`]; [`Error::InvalidArguments`] if its `config` is wrong; [`Error::Quota`];
    /// [`Error::Denied`]; then as [`Plugin::execute`]; [`Error::BadAnswer`] for an output against its schema and
    /// a way that is not there; [`Error::Journal`] if it could not be recorded. Cancel: the guest is stopped,
    /// and the step recorded as cancelled.
    pub async fn step(&self, caller: &Caller, step: Step<'_>) -> Result<node::Outcome, Error> {
        let name = step.kind.to_string();
        let mut record = Recording::begin(self, caller, Subject::Node, &name, Event::sizes(step.config));
        let span = tracing::info_span!(
            "step", call = %record.call(), tenant = %caller.context.tenant, agent = %caller.agent, node = name
        );
        let result = self.run_step(caller, step, &mut record).instrument(span).await;
        record.end(&result).await?;
        result
    }

    async fn run_step(&self, caller: &Caller, step: Step<'_>, record: &mut Recording) -> Result<node::Outcome, Error> {
        let found = self.node(caller, step.kind)?;
        let (plugin, node) = (found.plugin(), found.node());
        record.served_by(plugin.as_ref());
        node.config.check(step.config).map_err(Error::InvalidArguments)?;
        self.charge(caller)?;
        let said = found.validate(step.written, Some(&caller.context), record.computed()).await?;
        let said = said.map_err(Error::InvalidArguments)?;
        let grants = self.grants(caller, &said.needs, record)?;
        said.check(step.written, step.config).map_err(Error::InvalidArguments)?;
        let (config, input) = (step.config.to_string(), step.input.to_string());
        let outcome = plugin.execute(&node.name, &config, &input, grants, self.invocation(caller, record)).await?;
        check(plugin.as_ref(), node, &outcome)?;
        Ok(outcome)
    }

    /// The versions that a run uses, as [`crate::plugin::Description::pin`] names them: of the plugins of its
    /// steps, and of its agents' sets.
    pub fn pins<'a>(
        &self,
        context: &Context,
        kinds: impl IntoIterator<Item = &'a Name>,
        agents: impl IntoIterator<Item = &'a AgentName>,
    ) -> BTreeSet<String> {
        let mappings = agents.into_iter().filter_map(|agent| context.agents.get(agent)?.mapping.as_ref());
        let sets = mappings.flat_map(|mapping| &mapping.sets).filter_map(|set| self.plugins.find(&context.tenant, set));
        let steps = kinds.into_iter().filter_map(|kind| {
            let own = self.plugins.find(&context.tenant, &kind.plugin)?;
            // The operator's, in whose place the tenant has another, is the one that is there in any case.
            let operators = || self.plugins.operators(&kind.plugin).map(|plugin| plugin.description().pin());
            (!kind.built_in || operators() == Some(own.description().pin())).then_some(own)
        });
        sets.chain(steps).map(|plugin| plugin.description().pin()).collect()
    }

    /// Of the versions that a run pins, those that are not what is found now. One that is no longer kept (the
    /// operator's file is another) is left to the version that is there, and that is said.
    ///
    /// The caller pays for what making one again takes.
    ///
    /// Errors: as [`crate::plugin::Plugins::version`]; [`Error::Quota`] where nothing is left to pay with.
    pub async fn pinned(&self, caller: &Caller, pins: &BTreeSet<String>) -> Result<Vec<Arc<dyn Plugin>>, Error> {
        let (context, mut pinned) = (&caller.context, Vec::new());
        for pin in pins {
            let Some((name, digest)) = pin.rsplit_once('@') else { continue };
            let Ok(name) = PluginName::new(name) else { continue };
            let is_pinned = |plugin: &Arc<dyn Plugin>| plugin.description().digest == digest;
            if self.plugins.find(&context.tenant, &name).as_ref().is_some_and(is_pinned) {
                continue;
            }
            let kept = match self.plugins.operators(&name).filter(is_pinned) {
                Some(operators) => Some(operators),
                None => {
                    self.usage.check(&caller.payer(), Meter::CpuMs)?;
                    let computed = Computed::default();
                    let made = self.plugins.version(context, &name, digest, &computed).await;
                    self.usage.note_computing(&caller.payer(), &computed);
                    made?
                }
            };
            match kept {
                Some(plugin) => pinned.push(plugin),
                None => tracing::warn!(tenant = %context.tenant, pin, "a version that a run pins is gone"),
            }
        }
        Ok(pinned)
    }
}

fn check(plugin: &dyn Plugin, node: &Node, outcome: &node::Outcome) -> Result<(), Error> {
    let wrong = |reason: String| Error::BadAnswer { plugin: plugin.description().name.clone(), reason };
    match &outcome.branch {
        None if node.branches.is_empty() => {}
        Some(branch) if node.branches.contains(branch) => {}
        None => return Err(wrong(format!("the step `{}` took none of its ways", node.name))),
        Some(_) => return Err(wrong(format!("the step `{}` took a way that it does not have", node.name))),
    }
    let Some(schema) = &node.output else { return Ok(()) };
    schema.check(&outcome.output).map_err(|problems| {
        let first = problems.into_iter().next();
        let Problem { pointer, message } =
            first.unwrap_or_else(|| Problem { pointer: String::new(), message: String::new() });
        wrong(format!("against its output schema at `{pointer}`: {message}"))
    })
}
