//! Workflows within workflows: which of them a definition calls, what is wrong with that, and what a run takes
//! with it so that nothing of it changes under way.
//!
//! Deliberately absent: running them (`run`), and where workflows come from (`shelf`).

use std::{collections::BTreeMap, sync::Arc};

use remit_config::{Fault, Located, closest, join};
use remit_domain::{AgentName, schema::Schema};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    Plan, authored,
    inputs::{needed, property},
    plan::{Sub, hex},
};

/// How deep workflows may call each other.
pub(crate) const MAX_CALLS: usize = 8;
/// The most workflows that one takes with it.
const MAX_SUBS: usize = 64;
/// The most bytes of a definition with all that it takes with it.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Where a run's definition holds the workflows that it calls: no key of a workflow.
const WORKFLOWS: &str = "$workflows";

/// A step that calls a workflow.
struct Call<'w> {
    /// To its `config`.
    pointer: String,
    name: &'w str,
    inputs: Option<&'w Value>,
}

fn calls(workflow: &authored::Workflow) -> Vec<Call<'_>> {
    let mut found = Vec::new();
    within(&workflow.steps, "/steps", &mut found);
    within(&workflow.on_failure, "/onFailure", &mut found);
    found
}

fn within<'w>(steps: &'w [authored::Step], pointer: &str, found: &mut Vec<Call<'w>>) {
    for (at, step) in steps.iter().enumerate() {
        let pointer = format!("{pointer}/{at}");
        if step.kind == "workflow"
            && let Some(name) = step.config.get("name").and_then(Value::as_str)
        {
            found.push(Call { pointer: format!("{pointer}/config"), name, inputs: step.config.get("inputs") });
        }
        for (key, steps) in crate::steps::within(step) {
            within(steps, &format!("{pointer}{key}"), found);
        }
    }
}

/// A workflow that another finds by a name, with the agent of its steps that name none.
pub(crate) type Found = (Arc<Plan>, Option<AgentName>);

/// Why a workflow can't take with it what it calls.
#[derive(Debug, PartialEq)]
pub(crate) struct Broken {
    /// To the step's `config` in the workflow that was asked about.
    pub(crate) pointer: String,
    pub(crate) message: String,
}

/// What a plan takes with it. Errors: the first call that can't be.
pub(crate) fn link(plan: &Plan, find: &dyn Fn(&str) -> Option<Found>) -> Result<BTreeMap<String, Sub>, Broken> {
    let mut walk =
        Walk { find, way: vec![plan.authored.name.clone()], heights: BTreeMap::new(), subs: BTreeMap::new() };
    for call in calls(&plan.authored) {
        walk.follow(call.name).map_err(|message| Broken { pointer: join(&call.pointer, "name"), message })?;
    }
    Ok(walk.subs)
}

/// On the way through workflows that call each other.
struct Walk<'f> {
    find: &'f dyn Fn(&str) -> Option<Found>,
    /// Those on the way.
    way: Vec<String>,
    /// How deep those go that were followed to their end: none is followed twice.
    heights: BTreeMap<String, usize>,
    subs: BTreeMap<String, Sub>,
}

impl Walk<'_> {
    /// Takes a workflow in, with those that it calls. How deep it goes.
    fn follow(&mut self, name: &str) -> Result<usize, String> {
        let (plan, agent) = (self.find)(name).ok_or_else(|| format!("there is no workflow `{name}`"))?;
        let own = plan.authored.name.clone();
        if self.way.contains(&own) {
            return Err(format!("the workflow calls itself: {} -> {own}", self.way.join(" -> ")));
        }
        let deep = |height: usize| self.way.len().saturating_add(height) > MAX_CALLS;
        if deep(self.heights.get(name).copied().unwrap_or(1)) {
            return Err(format!("workflows call each other more than {MAX_CALLS} deep: {}", self.way.join(" -> ")));
        }
        if let Some(height) = self.heights.get(name) {
            return Ok(*height);
        }
        self.subs.insert(name.to_owned(), Sub { plan: plan.clone(), agent });
        if self.subs.len() > MAX_SUBS {
            return Err(format!("a workflow calls more than {MAX_SUBS} others"));
        }
        self.way.push(own);
        let mut height = 1;
        for call in calls(&plan.authored) {
            height = height.max(1 + self.follow(call.name)?);
        }
        self.way.pop();
        self.heights.insert(name.to_owned(), height);
        Ok(height)
    }
}

/// Whether a workflow calls any.
pub(crate) fn any(workflow: &authored::Workflow) -> bool {
    !calls(workflow).is_empty()
}

/// What is wrong with the workflows that one calls: those that are not there, circles, inputs that they don't
/// take, as far as these are written out.
pub(crate) fn faults(located: &Located, plan: &Plan, find: &dyn Fn(&str) -> Option<Found>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for call in calls(&plan.authored) {
        let way = vec![plan.authored.name.clone()];
        let mut walk = Walk { find, way, heights: BTreeMap::new(), subs: BTreeMap::new() };
        let at = join(&call.pointer, "name");
        if let Err(message) = walk.follow(call.name) {
            faults.push(located.at(&at, message));
        } else if let Some((called, _)) = find(call.name) {
            faults.extend(unfit(located, &call, &called.authored));
        }
    }
    faults
}

/// What is wrong with the inputs of a call.
fn unfit(located: &Located, call: &Call<'_>, called: &authored::Workflow) -> Vec<Fault> {
    let Some(declared) = &called.inputs else { return Vec::new() };
    let nothing = Map::new();
    let given = match call.inputs {
        None => &nothing,
        Some(Value::Object(given)) => given,
        // One expression: known when it runs.
        Some(_) => return Vec::new(),
    };
    let inputs = join(&call.pointer, "inputs");
    let mut faults = Vec::new();
    for (name, value) in given {
        let at = join(&inputs, name);
        match declared.get(name) {
            None => {
                let fault = located.at_key(&at, format!("`{}` takes no `{name}`", called.name));
                faults.push(fault.hint_if(closest(name, declared.keys().map(String::as_str))));
            }
            Some(_) if value.to_string().contains("{{") => {}
            Some(input) => {
                let checked = Schema::new(json!({"properties": {name: property(input)}}));
                let problems = checked.ok().and_then(|schema| schema.check(&json!({name: value})).err());
                if let Some(problem) = problems.and_then(|problems| problems.into_iter().next()) {
                    faults.push(located.at(&at, problem.message));
                }
            }
        }
    }
    let place = if call.inputs.is_some() { inputs } else { join(&call.pointer, "name") };
    for (name, _) in declared.iter().filter(|(name, input)| needed(input) && !given.contains_key(*name)) {
        faults.push(located.at(&place, format!("`{}` needs the input `{name}`", called.name)));
    }
    faults
}

/// A plan with what it takes with it, and the definition that a run pins.
///
/// Errors: it is too large.
pub(crate) fn pin(plan: &Arc<Plan>, subs: BTreeMap<String, Sub>) -> Result<(Arc<Plan>, Value), String> {
    let mut definition = serde_json::to_value(&plan.authored).map_err(|error| error.to_string())?;
    if subs.is_empty() {
        return Ok((plan.clone(), definition));
    }
    let taken: Map<String, Value> = subs
        .iter()
        .map(|(name, sub)| (name.clone(), json!({"definition": sub.plan.authored, "agent": sub.agent})))
        .collect();
    if let Value::Object(members) = &mut definition {
        members.insert(WORKFLOWS.to_owned(), taken.into());
    }
    let text = definition.to_string();
    if text.len() > MAX_BYTES {
        return Err(format!("with the workflows that it calls it has more than {MAX_BYTES} bytes"));
    }
    let digest = hex(&Sha256::digest(text.as_bytes()));
    Ok((Arc::new(Plan { digest, subs, ..(**plan).clone() }), definition))
}

/// The plan of a definition that a run pins. Errors: it can't be read.
pub(crate) fn pinned(definition: &Value) -> Result<Plan, String> {
    let mut definition = definition.clone();
    let taken = definition.as_object_mut().and_then(|members| members.remove(WORKFLOWS));
    let mut plan = made(definition)?;
    for (name, sub) in taken.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let agent = sub.get("agent").and_then(Value::as_str).and_then(|name| AgentName::new(name).ok());
        let sub = made(sub.get("definition").cloned().unwrap_or_default())?;
        plan.subs.insert(name.clone(), Sub { plan: Arc::new(sub), agent });
    }
    Ok(plan)
}

fn made(definition: Value) -> Result<Plan, String> {
    let authored: authored::Workflow = serde_json::from_value(definition).map_err(|error| error.to_string())?;
    Plan::new(authored)
}
