//! A line of steps, one after another, and what each of them does.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt as _, stream};
use remit_domain::{
    Error,
    execution::{Entry, Failure, Outcome, Recorded, Run},
};
use serde_json::{Map, Value, json};

use super::{Interpreter, Keeping, Live, Scope, keeping::measured, reads::bounded, scope::shown};
use crate::{
    authored::OnError,
    expression::kind,
    gate::Fork,
    plan::{Job, Kind, Plan, Step},
};

/// The most bytes of what a step is given, of a value that a step makes, and of what a run answers, as JSON: they
/// are held in memory.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// The most bytes that a foreach collects of what its items come to: the others stand in the journal alone.
pub(crate) const MAX_COLLECTED: usize = MAX_OUTPUT_BYTES / 2;

/// How deep a value may be nested: what is recorded has to be read again, with a little around it.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why a line ends before its last step.
#[derive(Debug)]
pub(super) enum Halt {
    Failed(Failure),
    Cancelled,
    Interrupted(Failure),
    /// The run may go no further, whatever its steps say of failures.
    Over(Failure),
    /// What happened can't be recorded.
    Journal(Error),
}

/// What a line of steps is run with.
#[derive(Clone, Copy)]
pub(super) struct Line<'l> {
    pub(super) with: &'l Interpreter,
    pub(super) run: &'l Run,
    /// The workflow whose steps these are.
    pub(super) plan: &'l Plan,
    /// The one that the run began with.
    pub(super) root: &'l Plan,
    /// What expressions call `context`.
    pub(super) context: &'l Value,
    /// Whether the run was begun before, so that something may be recorded.
    pub(super) again: bool,
    pub(super) live: &'l Live,
    /// Whether cancelling the run ends it.
    pub(super) stoppable: bool,
    /// Whether nothing is begun any more: what is not recorded never was.
    pub(super) revisits: bool,
}

type Running<'f, T> = Pin<Box<dyn Future<Output = Result<T, Halt>> + Send + 'f>>;

pub(super) fn failure(code: &str, message: impl Into<String>, path: Option<&str>) -> Failure {
    let path = path.map(str::to_owned);
    Failure { code: code.to_owned(), message: message.into(), retriable: false, retry_after_ms: None, path }
}

impl<'l> Line<'l> {
    /// Runs steps. `tail` holds entries that go to the journal with the next that must: what a step came to is
    /// recorded with the beginning of the next, in one commit.
    pub(super) fn steps<'f>(
        self,
        steps: &'f [Step],
        prefix: &'f str,
        scope: &'f mut Scope<'_>,
        tail: &'f mut Vec<Entry>,
    ) -> Running<'f, ()>
    where
        'l: 'f,
    {
        Box::pin(async move {
            for step in steps {
                let path = format!("{prefix}{}", step.id);
                let outcome = match self.with.recorded(self.run, &path, self.again).await? {
                    Recorded::Ended(outcome) => {
                        // What ran within it stands in the journal, and later steps may read of it.
                        self.revisit(step, prefix, scope, tail, &outcome).await?;
                        outcome
                    }
                    _ if self.revisits => return Ok(()),
                    // What is recorded is looked at even then, for the steps that are there for failures.
                    _ if self.stoppable && self.live.cancel.is_cancelled() => return Err(Halt::Cancelled),
                    before => {
                        let outcome = self.step(step, &path, prefix, scope, tail, before).await?;
                        tail.push(Entry::Ended {
                            path: path.clone(),
                            at: self.with.timer.now(),
                            outcome: outcome.clone(),
                        });
                        outcome
                    }
                };
                let way = self.way_on(step, &outcome, &path).await?;
                match outcome {
                    Outcome::Failed { failure, .. } if step.on_error == OnError::Stop => {
                        return Err(Halt::Failed(failure));
                    }
                    outcome => scope.left(&step.id, outcome),
                }
                if !way.is_empty() {
                    self.steps(way, prefix, scope, tail).await?;
                }
            }
            Ok(())
        })
    }

    /// Takes a step that is over, for what the steps within it left: by the way on which they ran, but that
    /// nothing is done any more.
    async fn revisit(
        self,
        step: &Step,
        prefix: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
        outcome: &Outcome,
    ) -> Result<(), Halt> {
        let line = Self { revisits: true, ..self };
        let path = format!("{prefix}{}", step.id);
        let done = match (&step.kind, outcome) {
            (_, Outcome::Skipped) => return Ok(()),
            (Kind::Conditional { then, otherwise, .. }, Outcome::Done(output)) => {
                let holds = output.get("result") == Some(&Value::Bool(true));
                line.steps(if holds { then } else { otherwise }, prefix, scope, tail).await
            }
            (Kind::Switch { cases, default, .. }, Outcome::Done(output)) => {
                let taken = output.get("case").and_then(Value::as_str);
                line.steps(taken.map_or(default.as_slice(), |name| case(cases, default, name).1), prefix, scope, tail)
                    .await
            }
            (Kind::Parallel(branches), _) => line.branches(branches, prefix, scope).await,
            // Where it failed, what ran before that is there.
            (Kind::Conditional { condition, then, otherwise }, _) => match line.holds(condition, &path, scope).await {
                Ok(holds) => line.steps(if holds { then } else { otherwise }, prefix, scope, tail).await,
                Err(halt) => Err(halt),
            },
            (Kind::Switch { value, cases, default }, _) => match line.fill(value, &path, scope).await {
                Ok(value) => line.steps(case(cases, default, &named(&value)).1, prefix, scope, tail).await,
                Err(halt) => Err(halt),
            },
            _ => return Ok(()),
        };
        match done {
            Ok(()) | Err(Halt::Failed(_)) => Ok(()),
            Err(halt) => Err(halt),
        }
    }

    /// What a step comes to.
    async fn step(
        self,
        step: &Step,
        path: &str,
        prefix: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Outcome, Halt> {
        let runs = match &step.condition {
            Some(condition) => self.holds(condition, path, scope).await,
            None => Ok(true),
        };
        let done = match runs {
            Ok(false) => return Ok(Outcome::Skipped),
            Ok(true) => self.kind(step, path, prefix, scope, tail, before).await,
            Err(halt) => Err(halt),
        };
        let done = match done {
            Ok(Outcome::Done(output)) => self.kept(output, path).await,
            done => done,
        };
        match done {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Failed(failure)) => {
                let mut output = Map::from_iter([
                    ("success".to_owned(), false.into()),
                    ("error".to_owned(), failure.message.clone().into()),
                    ("code".to_owned(), failure.code.clone().into()),
                ]);
                match &step.kind {
                    Kind::Work(Job::Tool { tool, .. }, _) => {
                        output.insert("tool_name".to_owned(), tool.clone().into());
                    }
                    Kind::Work(Job::Node { written, .. }, _) => {
                        output.extend(written.get("operation").map(|it| ("operation".to_owned(), it.clone())));
                    }
                    _ => {}
                }
                if let Kind::Approval { .. } = &step.kind {
                    // So that who only looks at this finds what nobody's word comes to.
                    output.insert("approved".to_owned(), false.into());
                }
                let path = failure.path.clone().unwrap_or_else(|| path.to_owned());
                let failure = Failure { path: Some(path), ..failure };
                Ok(Outcome::Failed { failure, output: output.into() })
            }
            Err(halt) => Err(halt),
        }
    }

    async fn kind(
        self,
        step: &Step,
        path: &str,
        prefix: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Outcome, Halt> {
        let output = match &step.kind {
            Kind::Work(job, form) => return self.work(step, job, form, path, scope, tail, before).await,
            Kind::Set(form) => self.fill(form, path, scope).await?,
            Kind::Conditional { condition, then, otherwise } => {
                let holds = self.holds(condition, path, scope).await?;
                self.steps(if holds { then } else { otherwise }, prefix, scope, tail).await?;
                json!({"success": true, "result": holds})
            }
            Kind::Switch { value, cases, default } => {
                let name = named(&self.fill(value, path, scope).await?);
                let (taken, steps) = case(cases, default, &name);
                self.steps(steps, prefix, scope, tail).await?;
                json!({"success": true, "case": taken})
            }
            Kind::Parallel(branches) => self.parallel(branches, prefix, scope, tail).await?,
            Kind::Foreach { items, concurrency, steps } => {
                let items = match self.fill_within(items, path, scope, self.live.bounds.step).await? {
                    Value::Array(items) => items,
                    other => {
                        let message = format!("`items` needs a list, not {}", kind(&other));
                        return Err(Halt::Failed(failure("expression", message, Some(path))));
                    }
                };
                self.foreach(items, *concurrency, steps, path, scope, tail).await?
            }
            Kind::Wait(form) => self.wait(form, path, scope, tail, before).await?,
            Kind::Approval { form } => self.approval(form, step, path, scope, tail, before).await?,
            Kind::Workflow { name, inputs } => self.workflow(name, inputs, path, scope, tail, before).await?,
        };
        Ok(Outcome::Done(output))
    }

    /// What a step leaves, where there is room for it: something large lies beside the journal.
    pub(super) async fn kept(self, output: Value, path: &str) -> Result<Outcome, Halt> {
        let bounds = self.live.bounds;
        let store = self.with.keeping.outputs.as_deref();
        let most = if store.is_some() { bounds.step } else { bounds.step.min(MAX_OUTPUT_BYTES) };
        let output = bounded(output, path, most)?;
        let bytes = measured(&output, most).unwrap_or(most);
        self.has_room(bytes, path)?;
        match store {
            Some(store) if bytes > bounds.inline => {
                let stored = Keeping::put(store, &self.run.id, &output).await.map_err(Halt::Journal)?;
                self.live.part.take(stored.bytes);
                Ok(Outcome::Stored(stored))
            }
            _ => Ok(Outcome::Done(output)),
        }
    }

    /// Whether so many more bytes may be kept. Errors: the run is over.
    pub(super) fn has_room(self, more: usize, path: &str) -> Result<(), Halt> {
        let (taken, all) = (self.live.part.room.taken(), self.live.bounds.all);
        if taken.saturating_add(more as u64) <= all {
            return Ok(());
        }
        let message = format!("the tenant's executions may keep {all} bytes, and keep {taken}");
        Err(Halt::Over(failure("history_full", message, Some(path))))
    }

    /// Writes what waits to be written, with one more entry.
    pub(super) async fn write(self, tail: &mut Vec<Entry>, more: Option<Entry>) -> Result<(), Halt> {
        tail.extend(more);
        if !tail.is_empty() {
            self.with.journal.append(&self.run.id, tail).await.map_err(Halt::Journal)?;
            self.live.wrote(tail);
            tail.clear();
        }
        Ok(())
    }

    async fn parallel(
        self,
        branches: &[(String, Vec<Step>)],
        prefix: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
    ) -> Result<Value, Halt> {
        self.write(tail, None).await?;
        self.branches(branches, prefix, scope).await?;
        Ok(json!({"success": true, "branches": branches.iter().map(|(name, _)| name).collect::<Vec<_>>()}))
    }

    /// Runs branches at once, to the end of all: one that fails leaves no other in doubt. What their steps left is
    /// there afterwards, of one that failed too.
    async fn branches(self, branches: &[(String, Vec<Step>)], prefix: &str, scope: &mut Scope<'_>) -> Result<(), Halt> {
        let outer = &*scope;
        let fork = &Fork::default();
        let lines = branches.iter().map(|(_, steps)| async move {
            let mut scope = Scope::branch(outer);
            let mut tail = Vec::new();
            fork.begin(&self.live.slot, &self.live.cancel).await;
            let ended = self.steps(steps, prefix, &mut scope, &mut tail).await;
            fork.end(&self.live.slot);
            // What was done is recorded whatever ended the line.
            let written = self.write(&mut tail, None).await;
            (scope.into_steps(), written.and(ended))
        });
        let mut halted = None;
        for (steps, ended) in futures::future::join_all(lines).await {
            scope.join(steps);
            if let Err(halt) = ended {
                halted = Some(graver(halted, halt));
            }
        }
        halted.map_or(Ok(()), Err)
    }

    async fn foreach(
        self,
        items: Vec<Value>,
        concurrency: usize,
        steps: &[Step],
        path: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
    ) -> Result<Value, Halt> {
        self.write(tail, None).await?;
        let count = items.len();
        let outer = &*scope;
        // The first item that does not come to its end. None after it begins; those before it have begun.
        let halted_at = &AtomicUsize::new(usize::MAX);
        let fork = &Fork::default();
        let lines = items.into_iter().enumerate().map(|(at, item)| async move {
            let own = format!("{path}[{at}]");
            if let Recorded::Ended(outcome) = self.with.recorded(self.run, &own, self.again).await? {
                return Ok(Some(shown(outcome)));
            }
            let prefix = format!("{own}.");
            if at > halted_at.load(Ordering::Relaxed) && !self.begun(steps, &prefix).await? {
                return Ok(None);
            }
            let mut scope = Scope::branch(outer).with("item", item).with("index", at.into());
            let mut tail = Vec::new();
            fork.begin(&self.live.slot, &self.live.cancel).await;
            let ended = self.steps(steps, &prefix, &mut scope, &mut tail).await;
            fork.end(&self.live.slot);
            let last = steps.last().and_then(|last| scope.outcome(&last.id));
            let outcome = last.unwrap_or(Outcome::Done(Value::Null));
            let output = shown(outcome.clone());
            if ended.is_ok() {
                tail.push(Entry::Ended { path: own, at: self.with.timer.now(), outcome });
            }
            // Told before the order of items comes to it: no further one begins.
            if ended.is_err() {
                halted_at.fetch_min(at, Ordering::Relaxed);
            }
            self.write(&mut tail, None).await?;
            ended.map(|()| Some(output))
        });
        let mut results = Vec::new();
        let (mut bytes, mut halted) = (0, None);
        let mut lines = stream::iter(lines).buffered(concurrency);
        // Those at work when one fails come to their end, and no other begins.
        while let Some(ended) = lines.next().await {
            match ended {
                Ok(output) => {
                    let of = |output: &Value| measured(output, MAX_COLLECTED).unwrap_or(MAX_COLLECTED) + 1;
                    bytes += output.as_ref().map_or(0, of);
                    // Beyond that only the journal has them.
                    results.extend(output.filter(|_| bytes < MAX_COLLECTED));
                }
                Err(halt) => {
                    halted_at.store(0, Ordering::Relaxed);
                    halted = Some(graver(halted, halt));
                }
            }
        }
        if let Some(halt) = halted {
            return Err(halt);
        }
        let truncated = results.len() < count;
        Ok(json!({"success": true, "count": count, "results": results, "truncated": truncated}))
    }

    /// The steps on the way that a plugin's step took. They are steps of the line: what they come to is not the
    /// step's.
    async fn way_on<'s>(self, step: &'s Step, outcome: &Outcome, path: &str) -> Result<&'s [Step], Halt> {
        if step.ways.is_empty() || !matches!(outcome, Outcome::Done(_) | Outcome::Stored(_)) {
            return Ok(&[]);
        }
        let (output, _room) = self.whole(outcome.clone(), &step.id, path).await?;
        Ok(step.way(output.get("branch").and_then(Value::as_str)))
    }

    /// Whether any of some steps, or of those within them, was begun before the run was taken up again: what is
    /// under way comes to its end.
    fn begun<'f>(self, steps: &'f [Step], prefix: &'f str) -> Running<'f, bool>
    where
        'l: 'f,
    {
        Box::pin(async move {
            if !self.again {
                return Ok(false);
            }
            for step in steps {
                let path = format!("{prefix}{}", step.id);
                if self.with.recorded(self.run, &path, true).await? != Recorded::Nothing {
                    return Ok(true);
                }
                // Items begin in order.
                let first = format!("{path}[0].");
                for (steps, prefix) in
                    step.within().into_iter().map(|(steps, item)| (steps, if item { &first } else { prefix }))
                {
                    if self.begun(steps, prefix).await? {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        })
    }
}

/// Of two reasons the one that the run ends by.
fn graver(first: Option<Halt>, second: Halt) -> Halt {
    let rank = |halt: &Halt| match halt {
        Halt::Journal(_) => 4,
        Halt::Interrupted(_) => 3,
        Halt::Over(_) => 2,
        Halt::Cancelled => 1,
        Halt::Failed(_) => 0,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}

/// What a switch looks for among its cases.
fn named(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The case of a name with its steps; the default's, where there is none.
fn case<'c>(cases: &'c [(String, Vec<Step>)], default: &'c [Step], name: &str) -> (Option<&'c str>, &'c [Step]) {
    let found = cases.iter().find(|(case, _)| case == name);
    found.map_or((None, default), |(case, steps)| (Some(case.as_str()), steps.as_slice()))
}

/// Whether a value is nested no more than so deep.
pub(crate) fn shallow(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|item| shallow(item, levels)),
        Value::Object(members) => members.values().all(|member| shallow(member, levels)),
        _ => true,
    }
}
