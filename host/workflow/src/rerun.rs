//! Running again from a step: a new run that takes over what another has recorded of the steps before it, and
//! does the rest itself. The other stays as it is.
//!
//! Before a step is what has run in its line, in the lines that this one is in, and in lines beside them: other
//! branches of a `parallel`, and other items of a `foreach` (of one that takes items one after another, those
//! before it alone). A step on a way out of a plugin's step runs after that one, which is taken over with the way
//! that it took. What plugins do is done by the versions that serve now. Deliberately absent: undoing anything.

use std::collections::{BTreeMap, BTreeSet};

use remit_domain::{
    Error,
    access::Principal,
    execution::{Entry, Origin, Outcome, Recorded, RunId, Standing},
    tenant::Context,
};
use serde_json::Value;

use crate::{
    Begun, Plan, Workflows,
    authored::{self, OnError},
    inputs::{problem, taken},
    link,
    plan::{Kind, Step},
    run::weight_of_entries,
    runs::{Beginning, Definition},
};

/// The most bytes, as JSON, that a run may have recorded to be run again from within.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How many entries are read at once.
const PAGE: usize = 500;

/// Which definition a run follows that takes over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// The one that the other has pinned.
    #[default]
    Same,
    /// The one that is found by the name now.
    Current,
}

impl Workflows {
    /// Begins a run that takes over what another has recorded before a step. With a key that was used before, it
    /// is the run of then.
    ///
    /// Errors: [`Error::ExecutionState`] while the other goes on; [`Error::InvalidArguments`] for a step that the
    /// definition does not have, or before which something has not come to a good end, and for inputs that the
    /// definition does not take; otherwise as [`Self::execute`].
    pub async fn rerun(
        &self,
        principal: &Principal,
        context: &Context,
        standing: &Standing,
        (from, which): (&str, Which),
        key: Option<String>,
    ) -> Result<Begun, Error> {
        let run = &standing.run;
        if standing.end.is_none() {
            let reason = "it can be run again once it has ended: cancel it, or wait";
            return Err(Error::ExecutionState { is: "running", reason });
        }
        let before = link::pinned(&run.definition).map_err(|fault| Error::Internal(fault.into()))?;
        let (definition, inputs) = match which {
            Which::Same => {
                let agent = run.context.get("agent").and_then(Value::as_str);
                let agent = agent.and_then(|name| remit_domain::AgentName::new(name).ok());
                for agent in agent.iter().chain(before.subs.values().filter_map(|sub| sub.agent.as_ref())) {
                    context.agent(agent.as_str())?;
                    principal.speak_for(agent)?;
                }
                let plan = Plan { digest: run.digest.clone(), ..before.clone() };
                (Definition { plan: plan.into(), document: run.definition.clone(), agent }, run.inputs.clone())
            }
            Which::Current => {
                let unknown = || Error::UnknownWorkflow(run.workflow.clone());
                let workflow = self.shelf().find(&context.tenant, &run.workflow).ok_or_else(unknown)?;
                let inputs = taken(&workflow.plan.authored, run.inputs.clone())?;
                (self.ready(principal, context, &workflow)?, inputs)
            }
        };
        let entries = self.recorded(&run.id).await?;
        // What is removed goes entry by entry, and is not found any more before the first is gone.
        if self.interpreter.journal.find(&run.tenant, &run.id).await?.is_none() {
            return Err(Error::UnknownExecution(run.id.to_string()));
        }
        let recorded = places(&entries);
        let branches = self.branches(&run.id, &definition.plan, &recorded).await?;
        let mut taking = Taking {
            from,
            root: &definition.plan,
            old: &before,
            recorded,
            branches,
            taken: BTreeSet::new(),
            below: Vec::new(),
        };
        let there = definition.plan.steps.iter().any(|step| taking.holds(step, ""));
        if !there {
            let from: String = from.chars().take(200).collect();
            return Err(problem("/from", format!("the definition has no step `{from}` of its own steps")));
        }
        let whole = Whole { plan: &definition.plan, old: Some(&before) };
        taking.before(&definition.plan.steps, "", whole)?;
        let entries = taking.kept(entries);
        if weight_of_entries(&entries) > MAX_BYTES as u64 {
            return Err(problem("/from", format!("what it would take over has more than {MAX_BYTES} bytes")));
        }
        let origin = Some(Origin { run: run.id.clone(), from: from.to_owned() });
        self.begin(Beginning { principal, context, definition, inputs, key, origin, entries }).await
    }

    /// By which ways runs went on after steps whose outputs are large. Errors: [`Error::UnknownArtifact`] if one is no
    /// longer where it was kept; [`Error::Internal`].
    async fn branches(
        &self,
        run: &RunId,
        plan: &Plan,
        recorded: &BTreeMap<String, Outcome>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut parting = BTreeSet::new();
        for plan in std::iter::once(plan).chain(plan.subs.values().map(|sub| &*sub.plan)) {
            with_ways(&plan.steps, &mut parting);
            with_ways(&plan.on_failure, &mut parting);
        }
        let mut found = BTreeMap::new();
        for (place, outcome) in recorded {
            let Outcome::Stored(stored) = outcome else { continue };
            if !place.rsplit(['/', '.']).next().is_some_and(|id| parting.contains(id)) {
                continue;
            }
            let gone = || Error::UnknownArtifact(stored.digest.to_string());
            let text = self.interpreter.keeping.get(run, &stored.digest).await?.ok_or_else(gone)?;
            let Named { branch } = serde_json::from_slice(&text).map_err(|cause| Error::Internal(cause.into()))?;
            found.extend(branch.map(|branch| (place.clone(), branch)));
        }
        Ok(found)
    }

    /// All that a run has recorded. Errors: [`Error::InvalidArguments`] if it is too much.
    async fn recorded(&self, run: &RunId) -> Result<Vec<Entry>, Error> {
        let (mut all, mut bytes, mut after) = (Vec::new(), 0, 0);
        loop {
            let page = self.entries(run, after, PAGE).await?;
            let last = page.len() < PAGE;
            for (at, entry) in page {
                bytes += serde_json::to_string(&entry).map_or(0, |text| text.len());
                all.push(entry);
                after = at;
            }
            if bytes > MAX_BYTES {
                return Err(problem("", format!("the execution has recorded more than {MAX_BYTES} bytes")));
            }
            if last {
                return Ok(all);
            }
        }
    }
}

/// Of a large output: by which way the run goes on.
#[derive(serde::Deserialize)]
struct Named {
    branch: Option<String>,
}

/// The ids of steps with ways on, wherever they stand.
fn with_ways<'p>(steps: &'p [Step], found: &mut BTreeSet<&'p str>) {
    for step in steps {
        if !step.ways.is_empty() {
            found.insert(&step.id);
        }
        for (steps, _) in step.within() {
            with_ways(steps, found);
        }
    }
}

/// What is recorded at each place where a step is over.
fn places(entries: &[Entry]) -> BTreeMap<String, Outcome> {
    let mut by_place: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        by_place.entry(entry.place()).or_default().push(entry);
    }
    let over = |(place, entries): (String, Vec<&Entry>)| match Recorded::of(entries) {
        Recorded::Ended(outcome) => Some((place, outcome)),
        _ => None,
    };
    by_place.into_iter().filter_map(over).collect()
}

/// A workflow whose steps are looked at, and what it was in the run before.
#[derive(Clone, Copy)]
struct Whole<'t> {
    plan: &'t Plan,
    old: Option<&'t Plan>,
}

/// What is taken over.
struct Taking<'t> {
    from: &'t str,
    root: &'t Plan,
    old: &'t Plan,
    recorded: BTreeMap<String, Outcome>,
    /// The ways on that are named in outputs which lie elsewhere, by place.
    branches: BTreeMap<String, String>,
    /// Places.
    taken: BTreeSet<String>,
    /// Beginnings of places: of foreaches and workflows that are over.
    below: Vec<String>,
}

impl<'t> Taking<'t> {
    /// The steps on the way that a plugin's step took.
    fn way<'s>(&self, step: &'s Step, path: &str, outcome: &Outcome) -> &'s [Step] {
        step.way(match outcome {
            Outcome::Done(output) => output.get("branch").and_then(Value::as_str),
            Outcome::Stored(_) => self.branches.get(path).map(String::as_str),
            Outcome::Skipped | Outcome::Failed { .. } => None,
        })
    }

    /// Whether the step is this one, or stands within it or on a way on from it.
    fn holds(&self, step: &Step, prefix: &str) -> bool {
        let path = format!("{prefix}{}", step.id);
        if self.from == path {
            return true;
        }
        let any = |steps: &[Step], prefix: &str| steps.iter().any(|step| self.holds(step, prefix));
        if step.ways.iter().any(|(_, steps)| any(steps, prefix)) {
            return true;
        }
        match &step.kind {
            Kind::Conditional { then, otherwise, .. } => any(then, prefix) || any(otherwise, prefix),
            Kind::Switch { cases, default, .. } => {
                cases.iter().any(|(_, steps)| any(steps, prefix)) || any(default, prefix)
            }
            Kind::Parallel(branches) => branches.iter().any(|(_, steps)| any(steps, prefix)),
            Kind::Foreach { steps, .. } => {
                index(self.from, &path).is_some_and(|at| any(steps, &format!("{path}[{at}].")))
            }
            Kind::Workflow { name, .. } => {
                let below = format!("{path}/");
                let sub = self.root.subs.get(name).filter(|_| self.from.starts_with(&below));
                sub.is_some_and(|sub| any(&sub.plan.steps, &below))
            }
            _ => false,
        }
    }

    /// Takes over what stands before the step in a line that holds it.
    ///
    /// Errors: [`Error::InvalidArguments`] for what has not come to a good end, or is another step now.
    fn before(&mut self, steps: &'t [Step], prefix: &str, whole: Whole<'t>) -> Result<(), Error> {
        for step in steps {
            let path = format!("{prefix}{}", step.id);
            if path == self.from {
                return Ok(());
            }
            let on_way = step.ways.iter().find(|(_, steps)| steps.iter().any(|step| self.holds(step, prefix)));
            if on_way.is_none() && self.holds(step, prefix) {
                return self.around(step, &path, prefix, whole);
            }
            let message = match self.recorded.get(&path) {
                None => format!("`{path}` stands before it and has not come to its end in that execution"),
                Some(outcome) if !passes(step, outcome) => {
                    format!("`{path}` stands before it and failed in that execution: run again from there")
                }
                Some(_) if !same(whole, &step.id) => {
                    format!("`{path}` stands before it and is a step of another kind now: run again from there")
                }
                Some(outcome) => {
                    let taken = self.way(step, &path, outcome);
                    self.take(step, prefix);
                    match on_way {
                        None => {
                            self.before(taken, prefix, whole)?;
                            continue;
                        }
                        Some((_, way)) if std::ptr::eq(taken, way.as_slice()) => {
                            return self.before(way, prefix, whole);
                        }
                        Some((name, _)) => format!("`{path}` did not take the way `{name}` in that execution"),
                    }
                }
            };
            return Err(problem("/from", message));
        }
        Ok(())
    }

    /// The same for a step that the step stands within.
    fn around(&mut self, step: &'t Step, path: &str, prefix: &str, whole: Whole<'t>) -> Result<(), Error> {
        let inside = |taking: &Self, steps: &[Step], prefix: &str| steps.iter().any(|step| taking.holds(step, prefix));
        match &step.kind {
            Kind::Conditional { then, otherwise, .. } => {
                let branch = if inside(self, then, prefix) { then } else { otherwise };
                self.before(branch, prefix, whole)
            }
            Kind::Switch { cases, default, .. } => {
                let case = cases.iter().find(|(_, steps)| inside(self, steps, prefix));
                self.before(case.map_or(default, |(_, steps)| steps), prefix, whole)
            }
            Kind::Parallel(branches) => {
                for (_, steps) in branches {
                    if inside(self, steps, prefix) {
                        self.before(steps, prefix, whole)?;
                    } else {
                        self.beside(steps, prefix, whole);
                    }
                }
                Ok(())
            }
            Kind::Foreach { steps, concurrency, .. } => {
                let at = index(self.from, path).unwrap_or_default();
                for other in self.items(path) {
                    if other != at && (*concurrency > 1 || other < at) {
                        self.beside(steps, &format!("{path}[{other}]."), whole);
                        self.taken.insert(format!("{path}[{other}]"));
                    }
                }
                self.before(steps, &format!("{path}[{at}]."), whole)
            }
            Kind::Workflow { name, .. } => {
                let Some(sub) = self.root.subs.get(name) else { return Ok(()) };
                let old = self.old.subs.get(name).map(|sub| &*sub.plan);
                self.before(&sub.plan.steps, &format!("{path}/"), Whole { plan: &sub.plan, old })
            }
            _ => Ok(()),
        }
    }

    /// The items of a foreach of which something is recorded.
    fn items(&self, path: &str) -> BTreeSet<u64> {
        let beginning = format!("{path}[");
        let places = self.recorded.range(beginning.clone()..).map(|(place, _)| place);
        places.take_while(|place| place.starts_with(&beginning)).filter_map(|place| index(place, path)).collect()
    }

    /// Takes over what came to a good end in a line beside the step's; the rest of it runs again. Whether that
    /// was all.
    fn beside(&mut self, steps: &'t [Step], prefix: &str, whole: Whole<'t>) -> bool {
        for step in steps {
            let path = format!("{prefix}{}", step.id);
            let outcome = self.recorded.get(&path);
            if let Some(outcome) = outcome.filter(|outcome| passes(step, outcome) && same(whole, &step.id)) {
                let way = self.way(step, &path, outcome);
                self.take(step, prefix);
                if self.beside(way, prefix, whole) {
                    continue;
                }
                return false;
            }
            // What within it is over needs no repeating, though the whole does.
            match &step.kind {
                Kind::Conditional { then, otherwise, .. } => {
                    self.beside(then, prefix, whole);
                    self.beside(otherwise, prefix, whole);
                }
                Kind::Switch { cases, default, .. } => {
                    for (_, steps) in cases {
                        self.beside(steps, prefix, whole);
                    }
                    self.beside(default, prefix, whole);
                }
                Kind::Parallel(branches) => {
                    for (_, steps) in branches {
                        self.beside(steps, prefix, whole);
                    }
                }
                Kind::Foreach { steps, .. } => {
                    for at in self.items(&path) {
                        self.beside(steps, &format!("{path}[{at}]."), whole);
                        self.taken.insert(format!("{path}[{at}]"));
                    }
                }
                Kind::Workflow { name, .. } => {
                    if let Some(sub) = self.root.subs.get(name) {
                        let old = self.old.subs.get(name).map(|sub| &*sub.plan);
                        self.beside(&sub.plan.steps, &format!("{path}/"), Whole { plan: &sub.plan, old });
                    }
                }
                _ => {}
            }
            return false;
        }
        true
    }

    /// Takes over a step, with all that ran within it.
    fn take(&mut self, step: &Step, prefix: &str) {
        let path = format!("{prefix}{}", step.id);
        let mut within = |steps: &[Step]| self.line(steps, prefix);
        match &step.kind {
            Kind::Conditional { then, otherwise, .. } => {
                within(then);
                within(otherwise);
            }
            Kind::Switch { cases, default, .. } => {
                cases.iter().for_each(|(_, steps)| within(steps));
                within(default);
            }
            Kind::Parallel(branches) => branches.iter().for_each(|(_, steps)| within(steps)),
            Kind::Foreach { .. } => self.below.push(format!("{path}[")),
            Kind::Workflow { .. } => self.below.push(format!("{path}/")),
            _ => {}
        }
        self.taken.insert(path);
    }

    /// Takes over steps with all that ran on the ways on from them.
    fn line(&mut self, steps: &[Step], prefix: &str) {
        for step in steps {
            self.take(step, prefix);
            step.ways.iter().for_each(|(_, steps)| self.line(steps, prefix));
        }
    }

    /// What the new run's journal begins with: how these steps began and ended.
    fn kept(&self, entries: Vec<Entry>) -> Vec<Entry> {
        let over = |place: &String| self.recorded.contains_key(place);
        let taken = |place: &String| {
            self.taken.contains(place) || self.below.iter().any(|beginning| place.starts_with(beginning.as_str()))
        };
        let mut kept = entries;
        kept.retain(|entry| {
            let place = entry.place();
            matches!(entry, Entry::Began { .. } | Entry::Ended { .. }) && over(&place) && taken(&place)
        });
        kept
    }
}

/// Whether a run goes on after a step that came to this.
fn passes(step: &Step, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done(_) | Outcome::Stored(_) | Outcome::Skipped => true,
        Outcome::Failed { .. } => step.on_error == OnError::Continue,
    }
}

/// Whether a step was of the same kind before.
fn same(whole: Whole<'_>, id: &str) -> bool {
    fn kind<'w>(steps: &'w [authored::Step], id: &str) -> Option<&'w str> {
        steps.iter().find_map(|step| {
            let own = (step.id == id).then_some(step.kind.as_str());
            own.or_else(|| crate::steps::within(step).into_iter().find_map(|(_, steps)| kind(steps, id)))
        })
    }
    let now = kind(&whole.plan.authored.steps, id);
    whole.old.is_some_and(|old| kind(&old.authored.steps, id) == now)
}

/// The item of a foreach that a place is of.
fn index(place: &str, foreach: &str) -> Option<u64> {
    let (at, _) = place.strip_prefix(foreach)?.strip_prefix('[')?.split_once(']')?;
    at.parse().ok()
}
