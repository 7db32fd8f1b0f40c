//! A workflow within a run: its steps are recorded in the run's own journal, below the step that calls it, so
//! that what holds for a run's steps (nothing recorded is repeated, cancelling reaches them) holds for these.
//!
//! Deliberately absent: which definition it is, which was decided when the run began.

use remit_domain::execution::{Entry, Recorded, Status};
use serde_json::{Map, Value};

use super::{
    Scope,
    keeping::measured,
    line::{Halt, Line, failure},
};
use crate::{expression::Form, inputs};

impl Line<'_> {
    /// What the workflow answers. Its steps stand at `<path>/<step>`.
    pub(super) async fn workflow(
        self,
        name: &str,
        form: &Form,
        path: &str,
        scope: &Scope<'_>,
        tail: &mut Vec<Entry>,
        before: Recorded,
    ) -> Result<Value, Halt> {
        let Some(sub) = self.root.subs.get(name) else {
            let message = format!("there is no workflow `{name}`");
            return Err(Halt::Failed(failure("workflow_missing", message, Some(path))));
        };
        let given = inputs::taken(&sub.plan.authored, self.fill(form, path, scope).await?);
        let given = given.map_err(|error| Halt::Failed(failure(error.code(), error.to_string(), Some(path))))?;
        if before == Recorded::Nothing {
            tail.push(self.waits(path, given.clone(), None));
        }
        let mut context = self.context.clone();
        if let (Some(agent), Value::Object(members)) = (&sub.agent, &mut context) {
            members.insert("agent".to_owned(), agent.as_str().into());
        }
        let prefix = format!("{path}/");
        let mut own = Scope::new(self.with.fixed(self.run, given, context.clone()));
        let line = Line { plan: &sub.plan, context: &context, ..self };
        let ended = match line.steps(&sub.plan.steps, &prefix, &mut own, tail).await {
            Ok(()) => line.answer(path, &own).await,
            Err(halt) => Err(halt),
        };
        let (status, failed) = match &ended {
            Err(Halt::Failed(failure)) => (Status::Failed, Some(failure)),
            Err(Halt::Cancelled) => (Status::Cancelled, None),
            _ => return ended,
        };
        if sub.plan.on_failure.is_empty() {
            return ended;
        }
        match self.with.after(&line, &prefix, status, failed, &own, tail).await {
            Ok(None) => ended,
            // In doubt here is in doubt: a person decides, and the run comes back to this very failure.
            Ok(Some(doubt)) => Err(Halt::Interrupted(doubt)),
            Err(error) => Err(Halt::Journal(error)),
        }
    }
    /// What it comes to, the whole of it: where that is large, it is kept as the output of the step that calls it.
    async fn answer(self, path: &str, scope: &Scope<'_>) -> Result<Value, Halt> {
        let most = self.live.bounds.step;
        let (mut answer, mut left) = (Map::new(), most);
        let mut take = |name: &str, value: Value| {
            let Some(rest) = measured(&value, left).and_then(|bytes| left.checked_sub(bytes)) else {
                let message = format!("what the workflow answers has more than {most} bytes");
                return Err(Halt::Failed(failure("output_too_large", message, Some(path))));
            };
            left = rest;
            answer.insert(name.to_owned(), value);
            Ok(())
        };
        for (name, form) in &self.plan.outputs {
            take(name, self.output(name, form, path, scope).await?)?;
        }
        if self.plan.outputs.is_empty() {
            for step in &self.plan.steps {
                let Some(outcome) = scope.outcome(&step.id) else { continue };
                let (output, _room) = self.whole(outcome, &step.id, path).await?;
                take(&step.id, output)?;
            }
        }
        Ok(answer.into())
    }
}
