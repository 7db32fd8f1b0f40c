//! What expressions of a run can name: `inputs`, `context`, `env`, `now`, the outputs of steps that have
//! run, and within a foreach `item` and `index`.
//!
//! Deliberately absent: outputs that are too large: of these it knows where they lie (`reads`).

use std::{collections::BTreeMap, sync::Arc};

use remit_domain::execution::{Outcome, Stored};
use serde_json::{Value, json};

use super::keeping::reference;
use crate::expression::Names;

/// The names of one line of steps. A branch sees those of the line it is in, which does not see its.
#[derive(Debug)]
pub(crate) struct Scope<'p> {
    outer: Option<&'p Scope<'p>>,
    fixed: Arc<BTreeMap<&'static str, Value>>,
    own: BTreeMap<&'static str, Value>,
    steps: BTreeMap<String, Left>,
    /// The step of its own that ran last.
    last: Option<String>,
}

/// What a step left.
#[derive(Debug)]
pub(crate) enum Left {
    /// An object whose `output` it is.
    Here(Value),
    /// Where it lies.
    Stored(Stored),
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
    pub(crate) fn left(&mut self, step: &str, outcome: Outcome) {
        let left = match outcome {
            Outcome::Stored(stored) => Left::Stored(stored),
            Outcome::Done(output) | Outcome::Failed { output, .. } => Left::Here(json!({"output": output})),
            Outcome::Skipped => Left::Here(json!({"output": {"skipped": true}})),
        };
        self.steps.insert(step.to_owned(), left);
        self.last = Some(step.to_owned());
    }

    /// Takes over what the steps of a branch left.
    pub(crate) fn join(&mut self, steps: BTreeMap<String, Left>) {
        self.steps.extend(steps);
    }

    /// What its own steps left, by id.
    pub(crate) fn into_steps(self) -> BTreeMap<String, Left> {
        self.steps
    }

    /// What a step that has run left, or where that lies.
    pub(crate) fn outcome(&self, step: &str) -> Option<Outcome> {
        Some(match self.step(step)? {
            Left::Here(of) => Outcome::Done(of.get("output").cloned().unwrap_or_default()),
            Left::Stored(stored) => Outcome::Stored(stored.clone()),
        })
    }

    /// What a step that has run left, as it is shown: of something large, where it lies.
    pub(crate) fn shown(&self, step: &str) -> Option<Value> {
        self.outcome(step).map(shown)
    }

    /// Where the output of a step lies, if it is not here.
    pub(crate) fn stored(&self, step: &str) -> Option<&Stored> {
        match self.step(step)? {
            Left::Stored(stored) => Some(stored),
            Left::Here(_) => None,
        }
    }

    /// Whether any output lies elsewhere.
    pub(crate) fn any_stored(&self) -> bool {
        self.steps.values().any(|left| matches!(left, Left::Stored(_))) || self.outer.is_some_and(Self::any_stored)
    }

    /// What the step before left. Before the first of a branch that is what was left outside, or a foreach's
    /// item.
    pub(crate) fn last(&self) -> Option<Outcome> {
        let own = self.last.as_ref().and_then(|step| self.outcome(step));
        let own = own.or_else(|| self.own.get("item").cloned().map(Outcome::Done));
        own.or_else(|| self.outer?.last())
    }

    fn step(&self, id: &str) -> Option<&Left> {
        self.steps.get(id).or_else(|| self.outer?.step(id))
    }
}

/// What came of something, as it is shown within something else.
pub(crate) fn shown(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done(output) | Outcome::Failed { output, .. } => output,
        Outcome::Stored(stored) => reference(&stored),
        Outcome::Skipped => json!({"skipped": true}),
    }
}

impl Names for Scope<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.own.get(name).or_else(|| self.fixed.get(name)).or_else(|| self.outer?.get(name))
    }

    fn member(&self, name: &str, member: &str) -> Option<Option<&Value>> {
        match (name, self.step(member)) {
            ("steps", Some(Left::Here(of))) => Some(Some(of)),
            ("steps", _) => Some(None),
            _ => None,
        }
    }
}
