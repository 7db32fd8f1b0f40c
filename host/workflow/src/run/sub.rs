//! A workflow within a run: its steps are recorded in the run's own journal, below the step that calls it, so
//! that what holds for a run's steps (nothing recorded is repeated, cancelling reaches them) holds for these.
//!
//! Deliberately absent: which definition it is, which was decided when the run began.

use remit_domain::execution::{Entry, Recorded, Status};
use serde_json::Value;

use super::{
    Scope,
    line::{Halt, Line, failure, fill},
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
        let given = inputs::taken(&sub.plan.authored, fill(form, path, scope)?);
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
            Ok(()) => self.with.outputs(&sub.plan, &own),
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
}
