//! What expressions of a run can name: `inputs`, `context`, `env`, `now`, the outputs of steps that have
//! run, and within a foreach `item` and `index`.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::expression::Names;

/// The names of one line of steps. A branch sees those of the line it is in, which does not see its.
#[derive(Debug)]
pub(crate) struct Scope<'p> {
    outer: Option<&'p Scope<'p>>,
    fixed: Arc<BTreeMap<&'static str, Value>>,
    own: BTreeMap<&'static str, Value>,
    steps: BTreeMap<String, Value>,
    /// The step of its own that ran last.
    last: Option<String>,
}

impl<'p> Scope<'p> {
    /// That of a whole run.
    pub(crate) fn new(fixed: BTreeMap<&'static str, Value>) -> Self {
        Self { outer: None, fixed: Arc::new(fixed), own: BTreeMap::new(), steps: BTreeMap::new(), last: None }
    }

    /// That of a branch.
    pub(crate) fn branch(outer: &'p Scope<'p>) -> Self {
        let (own, steps) = (BTreeMap::new(), BTreeMap::new());
        Self { outer: Some(outer), fixed: outer.fixed.clone(), own, steps, last: None }
    }

    /// With a name of its own.
    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.own.insert(name, value);
        self
    }

    /// Notes what a step left.
    pub(crate) fn left(&mut self, step: &str, output: Value) {
        self.steps.insert(step.to_owned(), json!({"output": output}));
        self.last = Some(step.to_owned());
    }

    /// Takes over what the steps of a branch left.
    pub(crate) fn join(&mut self, steps: BTreeMap<String, Value>) {
        self.steps.extend(steps);
    }

    /// What its own steps left, by id.
    pub(crate) fn into_steps(self) -> BTreeMap<String, Value> {
        self.steps
    }

    /// The output of a step that has run.
    pub(crate) fn output(&self, step: &str) -> Option<&Value> {
        self.step(step)?.get("output")
    }

    /// What the step before left. Before the first of a branch that is what was left outside, or a foreach's
    /// item.
    pub(crate) fn last(&self) -> Option<&Value> {
        let own = self.last.as_ref().and_then(|step| self.output(step)).or_else(|| self.own.get("item"));
        own.or_else(|| self.outer?.last())
    }

    fn step(&self, id: &str) -> Option<&Value> {
        self.steps.get(id).or_else(|| self.outer?.step(id))
    }
}

impl Names for Scope<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.own.get(name).or_else(|| self.fixed.get(name)).or_else(|| self.outer?.get(name))
    }

    fn member(&self, name: &str, member: &str) -> Option<Option<&Value>> {
        match name {
            "steps" => Some(self.step(member)),
            _ => None,
        }
    }
}
