//! A line of steps, one after another, and what each of them does.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::{StreamExt as _, stream};
use remit_domain::{
    Error,
    execution::{Entry, Failure, Outcome, Recorded, Run},
};
use serde_json::{Map, Value, json};

use super::{Interpreter, Live, Scope};
use crate::{
    authored::OnError,
    expression::{Expr, Form, boolean, kind},
    gate::Fork,
    plan::{Job, Kind, Plan, Step},
};

/// The most bytes that a step's output may have, as JSON: it is kept in memory and in the journal.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// How deep a value may be nested: what is recorded has to be read again, with a little around it.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why a line ends before its last step.
#[derive(Debug)]
pub(super) enum Halt {
    Failed(Failure),
    Cancelled,
    Interrupted(Failure),
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
                let way = way_on(step, &outcome);
                match outcome {
                    Outcome::Done(output) => scope.left(&step.id, output),
                    Outcome::Skipped => scope.left(&step.id, json!({"skipped": true})),
                    Outcome::Failed { output, .. } if step.on_error == OnError::Continue => {
                        scope.left(&step.id, output);
                    }
                    Outcome::Failed { failure, .. } => return Err(Halt::Failed(failure)),
                }
                if !way.is_empty() {
                    self.steps(way, prefix, scope, tail).await?;
                }
            }
            Ok(())
        })
    }

    /// Takes a step that is over, for what the steps within it left.
    async fn revisit(
        self,
        step: &Step,
        prefix: &str,
        scope: &mut Scope<'_>,
        tail: &mut Vec<Entry>,
        outcome: &Outcome,
    ) -> Result<(), Halt> {
        let branch = match (&step.kind, outcome) {
            (_, Outcome::Skipped) => return Ok(()),
            (Kind::Conditional { then, otherwise, .. }, Outcome::Done(output)) => {
                if output.get("result") == Some(&Value::Bool(true)) { then } else { otherwise }
            }
            (Kind::Switch { cases, default, .. }, Outcome::Done(output)) => {
                let taken = output.get("case").and_then(Value::as_str);
                cases.iter().find(|(name, _)| Some(name.as_str()) == taken).map_or(default, |(_, steps)| steps)
            }
            (Kind::Parallel(branches), _) => {
                for (_, steps) in branches {
                    self.left_by(steps, prefix, scope).await?;
                }
                return Ok(());
            }
            // Where it failed, what ran before that is there.
            (Kind::Conditional { then, otherwise, .. }, Outcome::Failed { .. }) => {
                self.left_by(then, prefix, scope).await?;
                return self.left_by(otherwise, prefix, scope).await;
            }
            (Kind::Switch { cases, default, .. }, Outcome::Failed { .. }) => {
                for (_, steps) in cases {
                    self.left_by(steps, prefix, scope).await?;
                }
                return self.left_by(default, prefix, scope).await;
            }
            _ => return Ok(()),
        };
        self.steps(branch, prefix, scope, tail).await
    }

    /// Notes what those of some steps left that are recorded as over.
    fn left_by<'f>(self, steps: &'f [Step], prefix: &'f str, scope: &'f mut Scope<'_>) -> Running<'f, ()>
    where
        'l: 'f,
    {
        Box::pin(async move {
            for step in steps {
                let path = format!("{prefix}{}", step.id);
                let Recorded::Ended(outcome) = self.with.recorded(self.run, &path, true).await? else { return Ok(()) };
                self.revisit(step, prefix, scope, &mut Vec::new(), &outcome).await?;
                let way = way_on(step, &outcome);
                match outcome {
                    Outcome::Done(output) | Outcome::Failed { output, .. } => scope.left(&step.id, output),
                    Outcome::Skipped => scope.left(&step.id, json!({"skipped": true})),
                }
                if !way.is_empty() {
                    self.left_by(way, prefix, scope).await?;
                }
            }
            Ok(())
        })
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
        let done = match step.condition.as_ref().map_or(Ok(true), |condition| holds(condition, path, scope)) {
            Ok(false) => return Ok(Outcome::Skipped),
            Ok(true) => self.kind(step, path, prefix, scope, tail, before).await,
            Err(halt) => Err(halt),
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
            Kind::Set(form) => fill(form, path, scope)?,
            Kind::Conditional { condition, then, otherwise } => {
                let holds = holds(condition, path, scope)?;
                self.steps(if holds { then } else { otherwise }, prefix, scope, tail).await?;
                json!({"success": true, "result": holds})
            }
            Kind::Switch { value, cases, default } => {
                let value = fill(value, path, scope)?;
                let name = match &value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let taken = cases.iter().find(|(case, _)| *case == name);
                self.steps(taken.map_or(default, |(_, steps)| steps), prefix, scope, tail).await?;
                json!({"success": true, "case": taken.map(|(case, _)| case)})
            }
            Kind::Parallel(branches) => self.parallel(branches, prefix, scope, tail).await?,
            Kind::Foreach { items, concurrency, steps } => {
                let items = match fill(items, path, scope)? {
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
        Ok(Outcome::Done(bounded(output, path)?))
    }

    /// Writes what waits to be written, with one more entry.
    pub(super) async fn write(self, tail: &mut Vec<Entry>, more: Option<Entry>) -> Result<(), Halt> {
        tail.extend(more);
        if !tail.is_empty() {
            self.with.journal.append(&self.run.id, tail).await.map_err(Halt::Journal)?;
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
        let outer = &*scope;
        let fork = &Fork::default();
        let lines = branches.iter().map(|(_, steps)| async move {
            let mut scope = Scope::branch(outer);
            let mut tail = Vec::new();
            fork.begin(&self.live.slot, &self.live.cancel).await;
            let ended = self.steps(steps, prefix, &mut scope, &mut tail).await;
            fork.end(&self.live.slot);
            // What was done is recorded whatever ended the line.
            self.write(&mut tail, None).await?;
            ended.map(|()| scope.into_steps())
        });
        // All come to their end: one that fails leaves no other in doubt.
        let ended = futures::future::join_all(lines).await;
        let mut halted = None;
        for line in ended {
            match line {
                Ok(steps) => scope.join(steps),
                Err(halt) => halted = Some(graver(halted, halt)),
            }
        }
        match halted {
            Some(halt) => Err(halt),
            None => Ok(json!({"success": true, "branches": branches.iter().map(|(name, _)| name).collect::<Vec<_>>()})),
        }
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
        let halting = &AtomicBool::new(false);
        let fork = &Fork::default();
        let lines = items.into_iter().enumerate().map(|(at, item)| async move {
            let own = format!("{path}[{at}]");
            if let Recorded::Ended(Outcome::Done(output)) = self.with.recorded(self.run, &own, self.again).await? {
                return Ok(Some(output));
            }
            if halting.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut scope = Scope::branch(outer).with("item", item).with("index", at.into());
            let mut tail = Vec::new();
            fork.begin(&self.live.slot, &self.live.cancel).await;
            let ended = self.steps(steps, &format!("{own}."), &mut scope, &mut tail).await;
            fork.end(&self.live.slot);
            let output = steps.last().and_then(|last| scope.output(&last.id)).cloned().unwrap_or_default();
            if ended.is_ok() {
                let outcome = Outcome::Done(output.clone());
                tail.push(Entry::Ended { path: own, at: self.with.timer.now(), outcome });
            }
            // Told before the order of items comes to it: no further one begins.
            halting.fetch_or(ended.is_err(), Ordering::Relaxed);
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
                    bytes += output.as_ref().map_or(0, |output| output.to_string().len() + 1);
                    // Beyond that only the journal has them.
                    results.extend(output.filter(|_| bytes < MAX_OUTPUT_BYTES / 2));
                }
                Err(halt) => {
                    halting.store(true, Ordering::Relaxed);
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
}

/// The steps on the way that a plugin's step took. They are steps of the line: what they come to is not the
/// step's.
pub(crate) fn way_on<'s>(step: &'s Step, outcome: &Outcome) -> &'s [Step] {
    let Outcome::Done(output) = outcome else { return &[] };
    let taken = output.get("branch").and_then(Value::as_str);
    let way = step.ways.iter().find(|(name, _)| Some(name.as_str()) == taken);
    way.map_or(&[], |(_, steps)| steps.as_slice())
}

/// Of two reasons the one that the run ends by.
fn graver(first: Option<Halt>, second: Halt) -> Halt {
    let rank = |halt: &Halt| match halt {
        Halt::Journal(_) => 3,
        Halt::Interrupted(_) => 2,
        Halt::Cancelled => 1,
        Halt::Failed(_) => 0,
    };
    match first {
        Some(first) if rank(&first) >= rank(&second) => first,
        _ => second,
    }
}

/// Whether a condition is true.
fn holds(condition: &Expr, path: &str, scope: &Scope<'_>) -> Result<bool, Halt> {
    let holds = condition.evaluate(scope).and_then(|value| boolean(&value, "a condition"));
    holds.map_err(|wrong| Halt::Failed(failure("expression", format!("`condition`: {wrong}"), Some(path))))
}

/// What a form comes to, if it is not too much.
pub(super) fn fill(form: &Form, path: &str, scope: &Scope<'_>) -> Result<Value, Halt> {
    let filled = form.fill(scope);
    let filled = filled.map_err(|unfilled| Halt::Failed(failure("expression", unfilled.to_string(), Some(path))))?;
    bounded(filled, path)
}

/// A value that may be recorded.
pub(super) fn bounded(value: Value, path: &str) -> Result<Value, Halt> {
    let wrong = |message: String| Err(Halt::Failed(failure("output_too_large", message, Some(path))));
    if !shallow(&value, MAX_DEPTH) {
        return wrong(format!("a value is nested more than {MAX_DEPTH} deep"));
    }
    if value.to_string().len() > MAX_OUTPUT_BYTES {
        return wrong(format!("a value has more than {MAX_OUTPUT_BYTES} bytes"));
    }
    Ok(value)
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
