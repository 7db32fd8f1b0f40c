//! Steps that plugins perform, held against the plugins there are: the kind, the ways out of it, the
//! `config`, and whether the step's agent is granted what it needs.
//!
//! Deliberately absent: what a config means, which the plugin says in its sandbox.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use remit_config::{Fault, Located, join, one_of};
use remit_domain::{
    AgentName, TenantId,
    grant::Denial,
    node::{Found, Missing, Name, Nodes, Wrong},
    plugin::Computed,
    schema::Problem,
    tenant::Context,
};
use serde_json::Value;

use crate::{
    authored::{OnError, Step, Workflow},
    node,
    shelf::Owner,
    steps::within,
};

/// How long the plugins of one tenant's steps may look at their configs, in one reading of all files: who
/// uploads slow ones holds up nobody else by more.
const LONGEST: Duration = Duration::from_secs(10);

/// What the steps of workflows are held against.
#[derive(Clone)]
pub struct Around {
    /// The plugins there are.
    pub nodes: Nodes,
    /// Whether a plugin that is not there may be brought later, so that it is no fault: tenants upload theirs
    /// to a host, and who checks files has none of these.
    pub uploads: bool,
}

/// How long each tenant's plugins have looked.
#[derive(Debug, Default)]
pub(crate) struct Spent(HashMap<TenantId, Duration>);

impl Spent {
    fn too_much(&self, tenant: Option<&TenantId>) -> bool {
        tenant.and_then(|tenant| self.0.get(tenant)).is_some_and(|spent| *spent >= LONGEST)
    }

    fn add(&mut self, tenant: Option<&TenantId>, time: Duration) {
        if let Some(tenant) = tenant {
            *self.0.entry(tenant.clone()).or_default() += time;
        }
    }
}

/// What is wrong with the steps of a workflow that plugins perform: faults, and warnings.
pub(crate) async fn check(
    located: &Located,
    workflow: &Workflow,
    owner: &Owner,
    around: &Around,
    spent: &mut Spent,
    computed: &Computed,
) -> (Vec<Fault>, Vec<Fault>) {
    let context = owner.tenant.as_ref().and_then(|tenant| around.nodes.context(tenant));
    let agent = context.as_ref().and_then(|context| owner.agent_of(workflow, context));
    let mut checker =
        Checker { located, owner, around, context, agent, computed, faults: Vec::new(), warnings: Vec::new() };
    let mut steps = Vec::new();
    collect(&workflow.steps, "/steps", &mut steps);
    collect(&workflow.on_failure, "/onFailure", &mut steps);
    for (pointer, step) in steps {
        if let Some(name) = node::of_plugin(&step.kind) {
            checker.step(step, &pointer, &name, spent).await;
        }
    }
    (checker.faults, checker.warnings)
}

fn collect<'a>(steps: &'a [Step], pointer: &str, all: &mut Vec<(String, &'a Step)>) {
    for (at, step) in steps.iter().enumerate() {
        let pointer = format!("{pointer}/{at}");
        for (key, steps) in within(step) {
            collect(steps, &format!("{pointer}{key}"), all);
        }
        all.push((pointer, step));
    }
}

struct Checker<'a> {
    located: &'a Located,
    owner: &'a Owner,
    around: &'a Around,
    /// The owner's, if it is a tenant that is served.
    context: Option<Arc<Context>>,
    /// Who the steps are done as.
    agent: Option<AgentName>,
    computed: &'a Computed,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Checker<'_> {
    async fn step(&mut self, step: &Step, pointer: &str, name: &Name, spent: &mut Spent) {
        let tenant = self.owner.tenant.as_ref();
        let found = match self.around.nodes.find(tenant, name) {
            Ok(found) => found,
            Err(missing) => return self.missing(step, pointer, name, missing),
        };
        self.ways(step, pointer, &found);
        if self.context.is_some() && self.agent.is_none() {
            let fault = self.located.at(pointer, "no agent is named for this step");
            self.faults.push(fault.hint("say it with `agentType`, beside the workflow's `name`"));
        }
        if step.kind == "database" {
            self.engine(step, pointer);
        }
        if spent.too_much(tenant) {
            let message = "not checked: the plugins of this tenant's steps take too long to look at them";
            return self.faults.push(self.located.at(&join(pointer, "type"), message));
        }
        let config = Value::Object(step.config.clone());
        let (context, agent) = (self.context.as_ref(), self.agent.as_ref());
        let began = Instant::now();
        let checked = self.around.nodes.check(&found, &config, context, agent, self.computed).await;
        spent.add(tenant, began.elapsed());
        match checked {
            Ok(()) => {}
            Err(Wrong::Config(problems)) => problems.iter().for_each(|problem| self.config(pointer, problem)),
            Err(Wrong::Denied(denials)) => denials.iter().for_each(|denial| self.denied(step, pointer, denial)),
            Err(Wrong::Unasked(error)) => {
                let message = format!("the plugin can't be asked about this step: {error}");
                self.faults.push(self.located.at(&join(pointer, "type"), plain(&message)));
            }
        }
    }

    /// What may be brought later, or is expected to fail, is worth a warning.
    fn missing(&mut self, step: &Step, pointer: &str, name: &Name, missing: Missing) {
        let at = join(pointer, "type");
        let (fault, later) = match missing {
            Missing::Plugin => {
                let message = format!("there is no plugin `{}` for steps of type {}", name.plugin, step.kind);
                let hint = match name.built_in {
                    true => "it comes with the host: build it with `cargo xtask build-plugin`".to_owned(),
                    false => "upload it and activate it, or mend the name".to_owned(),
                };
                (self.located.at(&at, message).hint(hint), self.around.uploads && !name.built_in)
            }
            Missing::Node(known) => {
                let message = format!("the plugin {} has no step `{}`", name.plugin, name.node);
                (self.located.at(&at, message).hint_if(one_of(&name.node, known.iter().map(String::as_str))), false)
            }
        };
        if later || step.on_error == Some(OnError::Continue) {
            self.warnings.push(fault);
        } else {
            self.faults.push(fault);
        }
    }

    fn ways(&mut self, step: &Step, pointer: &str, found: &Found) {
        let known = &found.node().branches;
        for way in step.branches.keys().filter(|way| !known.contains(way)) {
            let at = join(&join(pointer, "branches"), way);
            let fault = match known.as_slice() {
                [] => self.located.at_key(&at, format!("a step of type {} has only one way out", step.kind)),
                known => {
                    let fault = self.located.at_key(&at, format!("a step of type {} has no way `{way}`", step.kind));
                    fault.hint_if(one_of(way, known.iter().map(String::as_str)))
                }
            };
            self.faults.push(fault);
        }
    }

    /// A component does not know what its tenant called a source: the middle of `primary.mysql.select`.
    fn engine(&mut self, step: &Step, pointer: &str) {
        let Some(operation) = step.config.get("operation").and_then(Value::as_str) else { return };
        let mut parts = operation.split('.');
        let (Some(source), Some(written), Some(context)) = (parts.next(), parts.next(), &self.context) else { return };
        let Some(definition) = context.sources.get(source) else { return };
        let is = &definition.authored_kind;
        if is != written {
            let at = join(&join(pointer, "config"), "operation");
            let fault = self.located.at(&at, format!("`{source}` is of the kind {is}, not {written}"));
            let rest: Vec<&str> = parts.collect();
            self.faults.push(fault.hint(format!("write `{source}.{is}.{}`", rest.join("."))));
        }
    }

    fn config(&mut self, pointer: &str, problem: &Problem) {
        // A guest's word: a pointer to nothing is a fault of what it would stand in.
        let at = format!("{}{}", join(pointer, "config"), problem.pointer);
        self.faults.push(self.located.at(&at, plain(&problem.message)));
    }

    fn denied(&mut self, step: &Step, pointer: &str, denial: &Denial) {
        let config = join(pointer, "config");
        let wanted = denial.wanted().as_str();
        let names = |key: &&&str| {
            let text = step.config.get(**key).and_then(Value::as_str).unwrap_or_default();
            text.split('.').next() == Some(wanted)
        };
        let (at, hint) = match ["source", "operation"].iter().find(names) {
            // The source that `url` means is there as soon as the context lists hosts.
            None if wanted == "web" => {
                (join(&config, "url"), "the tenant's context lists no hosts: `allow` under `network`")
            }
            key => {
                let at = key.map_or_else(|| pointer.to_owned(), |key| join(&config, key));
                (at, "the tenant's context says so: `dataSources` and `permissions` of the agent's mapping")
            }
        };
        self.faults.push(self.located.at(&at, denial.to_string()).hint(hint));
    }
}

/// A text that may be a guest's, fit for one line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
pub(crate) mod tests;
