//! What expressions of a run come to: large outputs that they name are read back for as long as that takes.

use std::collections::BTreeMap;

use remit_domain::{
    Error,
    execution::{Failure, Outcome, Stored},
};
use serde_json::{Value, json};

use super::{
    Scope,
    keeping::measured,
    line::{Halt, Line, MAX_DEPTH, MAX_OUTPUT_BYTES, failure, shallow},
    scope::shown,
};
use crate::expression::{Expr, Form, Names, boolean};

/// The names of a scope, with the large outputs that were read back.
struct Seen<'s> {
    scope: &'s Scope<'s>,
    loaded: BTreeMap<String, Value>,
}

impl Names for Seen<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.scope.get(name)
    }

    fn member(&self, name: &str, member: &str) -> Option<Option<&Value>> {
        match (name, self.loaded.get(member)) {
            ("steps", Some(loaded)) => Some(Some(loaded)),
            _ => self.scope.member(name, member),
        }
    }
}

impl<'l> Line<'l> {
    /// Whether a condition is true.
    pub(super) async fn holds(self, condition: &Expr, path: &str, scope: &Scope<'_>) -> Result<bool, Halt> {
        let wanted = wanted(scope, |seen| seen(condition));
        let _room = self.room(&wanted, path).await?;
        let seen = Seen { scope, loaded: self.loaded(wanted, path).await? };
        let holds = condition.evaluate(&seen).and_then(|value| boolean(&value, "a condition"));
        holds.map_err(|wrong| Halt::Failed(failure("expression", format!("`condition`: {wrong}"), Some(path))))
    }

    /// What a form comes to, if it is not too much to be given to a step.
    pub(super) async fn fill(self, form: &Form, path: &str, scope: &Scope<'_>) -> Result<Value, Halt> {
        self.fill_within(form, path, scope, MAX_OUTPUT_BYTES).await
    }

    /// What a form comes to, if it has no more than so many bytes.
    pub(super) async fn fill_within(
        self,
        form: &Form,
        path: &str,
        scope: &Scope<'_>,
        most: usize,
    ) -> Result<Value, Halt> {
        let wanted = wanted(scope, |seen| form.visit(seen));
        let _room = self.room(&wanted, path).await?;
        let seen = Seen { scope, loaded: self.loaded(wanted, path).await? };
        let filled = form.fill(&seen);
        let filled =
            filled.map_err(|unfilled| Halt::Failed(failure("expression", unfilled.to_string(), Some(path))))?;
        bounded(filled, path, most)
    }

    /// One of the outputs that a workflow names.
    pub(super) async fn output(self, name: &str, form: &Form, path: &str, scope: &Scope<'_>) -> Result<Value, Halt> {
        self.fill_within(form, path, scope, self.live.bounds.step).await.map_err(|halt| match halt {
            Halt::Failed(failure) => {
                let message = format!("the output `{name}`: {}", failure.message);
                let path = failure.path.filter(|_| failure.code != "expression");
                Halt::Failed(Failure { message, path, ..failure })
            }
            halt => halt,
        })
    }

    /// Room to read outputs back. Errors: they are too much for one expression.
    async fn room(
        self,
        wanted: &BTreeMap<String, Stored>,
        path: &str,
    ) -> Result<Option<tokio::sync::SemaphorePermit<'l>>, Halt> {
        if wanted.is_empty() {
            return Ok(None);
        }
        let most = (self.live.bounds.step as u64).saturating_mul(2);
        let bytes = wanted.values().map(|stored| stored.bytes).sum::<u64>();
        if bytes > most {
            let message = format!("it reads steps' outputs of {bytes} bytes at once, which is more than {most}");
            return Err(Halt::Failed(failure("output_too_large", message, Some(path))));
        }
        Ok(self.with.keeping.reading(bytes).await)
    }

    /// The whole of what a step left, with the room that it takes for as long as it is looked at.
    pub(super) async fn whole(
        self,
        outcome: Outcome,
        step: &str,
        path: &str,
    ) -> Result<(Value, Option<tokio::sync::SemaphorePermit<'l>>), Halt> {
        let Outcome::Stored(stored) = outcome else { return Ok((shown(outcome), None)) };
        let wanted = BTreeMap::from([(step.to_owned(), stored)]);
        let room = self.room(&wanted, path).await?;
        let mut loaded = self.loaded(wanted, path).await?;
        let output = loaded.get_mut(step).and_then(|of| of.get_mut("output")).map(Value::take);
        Ok((output.unwrap_or_default(), room))
    }

    async fn loaded(self, wanted: BTreeMap<String, Stored>, path: &str) -> Result<BTreeMap<String, Value>, Halt> {
        let mut loaded = BTreeMap::new();
        for (id, stored) in wanted {
            let text = self.with.keeping.get(&self.run.id, &stored.digest).await.map_err(Halt::Journal)?;
            let Some(text) = text else {
                let message = format!("the output of `{id}` is no longer where it was kept");
                return Err(Halt::Failed(failure("artifact_missing", message, Some(path))));
            };
            let output: Value =
                serde_json::from_slice(&text).map_err(|cause| Halt::Journal(Error::Internal(cause.into())))?;
            loaded.insert(id, json!({"output": output}));
        }
        Ok(loaded)
    }
}

/// The large outputs that expressions name.
fn wanted(scope: &Scope<'_>, expressions: impl FnOnce(&mut dyn FnMut(&Expr))) -> BTreeMap<String, Stored> {
    let mut wanted = BTreeMap::new();
    if !scope.any_stored() {
        return wanted;
    }
    expressions(&mut |expr| {
        for reference in expr.references() {
            if let [root, id, ..] = reference.path.as_slice()
                && root == "steps"
                && let Some(stored) = scope.stored(id)
            {
                wanted.insert(id.clone(), stored.clone());
            }
        }
    });
    wanted
}

/// A value that is not too much.
pub(super) fn bounded(value: Value, path: &str, most: usize) -> Result<Value, Halt> {
    let wrong = |message: String| Err(Halt::Failed(failure("output_too_large", message, Some(path))));
    if !shallow(&value, MAX_DEPTH) {
        return wrong(format!("a value is nested more than {MAX_DEPTH} deep"));
    }
    if measured(&value, most).is_none() {
        return wrong(format!("a value has more than {most} bytes"));
    }
    Ok(value)
}
