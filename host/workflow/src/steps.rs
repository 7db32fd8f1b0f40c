//! The steps of one workflow, in order: ids, kinds, configs, and what their expressions refer to.

use std::collections::{BTreeMap, BTreeSet};

use remit_config::{Fault, Located, closest, join, one_of};
use serde_json::Value;

use crate::{
    approvers,
    authored::{Step, Workflow},
    duration,
    expression::{self, Expr, Reference, Template},
    node::{self, KINDS, Kind, SHORT, WAYS},
    plan::MAX_CONCURRENCY,
    triggers,
};

/// Checks what the shape of a file does not say.
pub(crate) fn check(located: &Located, workflow: &Workflow, env: &BTreeSet<String>) -> Vec<Fault> {
    let mut checker = Checker {
        located,
        env,
        inputs: workflow.inputs.as_ref().map(|inputs| inputs.keys().map(String::as_str).collect()),
        all: BTreeMap::new(),
        seen: BTreeSet::new(),
        around: Vec::new(),
        faults: Vec::new(),
    };
    collect(&workflow.steps, "/steps", &mut checker.all);
    collect(&workflow.on_failure, "/onFailure", &mut checker.all);
    let before = checker.steps(&workflow.steps, "/steps", BTreeSet::new());
    for (name, output) in &workflow.outputs {
        checker.texts(&join("/outputs", name), output, &before);
    }
    checker.faults.extend(triggers::faults(located, workflow));
    checker.around.push("error");
    checker.steps(&workflow.on_failure, "/onFailure", before);
    checker.faults
}

/// All ids, with the place of each first.
fn collect<'a>(steps: &'a [Step], pointer: &str, all: &mut BTreeMap<&'a str, String>) {
    for (at, step) in steps.iter().enumerate() {
        let pointer = format!("{pointer}/{at}");
        all.entry(&step.id).or_insert_with(|| pointer.clone());
        for (key, steps) in within(step) {
            collect(steps, &format!("{pointer}{key}"), all);
        }
    }
}

/// The steps within a step, by the pointer from it to them.
pub(crate) fn within(step: &Step) -> Vec<(String, &[Step])> {
    let plain = [("/if_true", &step.if_true), ("/if_false", &step.if_false), ("/steps", &step.steps)];
    let named = step.branches.iter().map(|(name, steps)| (join("/branches", name), steps));
    let cases = step.cases.iter().map(|(name, steps)| (join("/cases", name), steps));
    let plain = plain.into_iter().map(|(key, steps)| (key.to_owned(), steps));
    let all = plain.chain(named).chain(cases).chain([("/default".to_owned(), &step.default)]);
    all.map(|(key, steps)| (key, steps.as_slice())).collect()
}

struct Checker<'a> {
    located: &'a Located,
    env: &'a BTreeSet<String>,
    inputs: Option<BTreeSet<&'a str>>,
    all: BTreeMap<&'a str, String>,
    seen: BTreeSet<&'a str>,
    /// Names that only the steps here know: an item of a foreach, the error of a failed run.
    around: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    /// Checks steps that run after those in `before`; what has run after them.
    fn steps(&mut self, steps: &'a [Step], pointer: &str, mut before: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        for (at, step) in steps.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            if !self.seen.insert(&step.id) {
                let fault = self.located.at(&join(&pointer, "id"), format!("a second step `{}`", step.id));
                self.faults.push(fault.hint("ids are unique in a file, branches included"));
            }
            self.step(step, &pointer, &before);
            before.insert(&step.id);
            before = self.inside(step, &pointer, before);
        }
        before
    }

    /// Checks the steps within a step; what has run after them.
    fn inside(&mut self, step: &'a Step, pointer: &str, before: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        let mut after = before.clone();
        let loops = step.kind == "foreach";
        if loops {
            self.around.extend(["item", "index"]);
        }
        for (key, steps) in within(step) {
            // No branch sees another's steps: of a fork only one runs, and those of a parallel run at once.
            let left = self.steps(steps, &format!("{pointer}{key}"), before.clone());
            // An item's steps are its own.
            after.extend(left.into_iter().filter(|_| !loops));
        }
        if loops {
            self.around.truncate(self.around.len().saturating_sub(2));
        }
        after
    }

    fn step(&mut self, step: &Step, pointer: &str, before: &BTreeSet<&str>) {
        if let Some(condition) = &step.condition {
            let at = join(pointer, "condition");
            match expression::condition(condition) {
                Ok(expr) => self.references(&at, &expr, before),
                Err(message) if message == expression::NO_CONDITION => {
                    self.complain(&at, message, "write it as \"{{ … }}\", with nothing around it");
                }
                Err(message) => self.faults.push(self.located.at(&at, message)),
            }
        }
        for (name, value) in &step.config {
            self.texts(&join(&join(pointer, "config"), name), value, before);
        }
        if let Some(key) = &step.idempotency_key {
            self.text(&join(pointer, "idempotencyKey"), key, before);
        }
        self.way(step, pointer);
        if WAYS.iter().any(|way| way.name == step.kind) {
            return;
        }
        match KINDS.iter().find(|kind| kind.name == step.kind) {
            Some(kind) => self.built_in(kind, step, pointer),
            None => self.plugin(step, pointer),
        }
    }

    /// What a step that leads the way must hold, and what others must not.
    fn way(&mut self, step: &Step, pointer: &str) {
        let way = WAYS.iter().find(|way| way.name == step.kind);
        for way in WAYS.iter().filter(|way| way.name != step.kind) {
            // Of a plugin's node, too: the ways out of it.
            let others = |key: &&&str| **key != "branches" || node::of_plugin(&step.kind).is_none();
            for key in way.steps.iter().filter(others).filter(|key| self.located.get(&join(pointer, key)).is_some()) {
                let fault = self.located.at_key(&join(pointer, key), format!("`{key}` belongs to a {}", way.name));
                self.faults.push(fault);
            }
        }
        let Some(way) = way else { return };
        let config = join(pointer, "config");
        let place = if self.located.get(&config).is_some() { config.as_str() } else { pointer };
        if way.condition && step.condition.is_none() {
            self.faults.push(self.located.at(pointer, format!("a {} needs `condition`", way.name)));
        }
        let filled = |key: &str| {
            within(step)
                .iter()
                .any(|(at, steps)| at.trim_start_matches('/').split('/').next() == Some(key) && !steps.is_empty())
        };
        if !way.steps.is_empty() && !way.steps.iter().any(|key| filled(key)) {
            let keys = way.steps.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ");
            self.faults.push(self.located.at(pointer, format!("a {} needs {keys}", way.name)));
        }
        for key in way.required.iter().filter(|key| !step.config.contains_key(**key)) {
            self.faults.push(self.located.at(place, format!("a step of type {} needs `{key}`", way.name)));
        }
        if let Some(known) = way.config {
            for key in step.config.keys().filter(|key| !known.contains(&key.as_str())) {
                let fault = self.located.at_key(&join(&config, key), format!("a {} has no `{key}`", way.name));
                self.faults.push(fault.hint_if(one_of(key, known.iter().copied())));
            }
        }
        if step.retry.is_some() {
            let fault = self.located.at_key(&join(pointer, "retry"), format!("a {} is not tried again", way.name));
            self.faults.push(fault.hint("`retry` belongs to steps that do something"));
        }
        if step.timeout.is_some() && way.name != "approval" {
            let fault = self.located.at_key(&join(pointer, "timeout"), format!("a {} has no timeout", way.name));
            self.faults.push(fault.hint("`timeout` belongs to steps that do something, and to an approval"));
        }
        match way.name {
            "foreach" => self.foreach(step, &config),
            "wait" => self.wait(step, place),
            "approval" => self.approval(step, &config),
            "workflow" => self.workflow(step, &config),
            _ => {}
        }
    }

    fn foreach(&mut self, step: &Step, config: &str) {
        let at = join(config, "items");
        match step.config.get("items") {
            Some(Value::String(text)) if expression::condition(text).is_ok() => {}
            None | Some(Value::Array(_)) => {}
            Some(_) => self.complain(&at, "`items` is a list", "write it out, or as one expression"),
        }
        if step
            .config
            .get("concurrency")
            .is_some_and(|it| !it.as_u64().is_some_and(|it| (1..=MAX_CONCURRENCY).contains(&it)))
        {
            let message = format!("`concurrency` is a whole number from 1 to {MAX_CONCURRENCY}");
            self.faults.push(self.located.at(&join(config, "concurrency"), message));
        }
    }

    fn wait(&mut self, step: &Step, place: &str) {
        match (step.config.get("duration"), step.config.get("until")) {
            (Some(Value::String(text)), None) if !text.contains("{{") && duration::read(text).is_none() => {
                let at = join(place, "duration");
                self.complain(&at, format!("`{text}` is not a duration"), "such as `30s`, `5m`, `2h`, `1d`");
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => self.faults.push(self.located.at(place, "a step of type wait needs either `duration` or `until`")),
        }
    }

    fn approval(&mut self, step: &Step, config: &str) {
        let at = join(config, "approvers");
        match approvers::listed(step) {
            None | Some(Ok(_)) => {}
            Some(Err(wrong)) if wrong.is_empty() => self.complain(&at, "`approvers` is a list", approvers::FORMS),
            Some(Err(wrong)) => {
                for index in wrong {
                    self.complain(&join(&at, &index.to_string()), "nobody who could approve", approvers::FORMS);
                }
            }
        }
    }

    /// Which workflow is known at load: what it holds is taken into the run that begins.
    fn workflow(&mut self, step: &Step, config: &str) {
        let at = join(config, "name");
        match step.config.get("name") {
            None => {}
            Some(Value::String(name)) if name.contains("{{") => {
                self.complain(
                    &at,
                    "`name` can't be an expression",
                    "which workflow is decided when the file is loaded",
                );
            }
            Some(Value::String(name)) if !name.is_empty() => {}
            Some(_) => self.complain(&at, "`name` is the name of a workflow", "quote it"),
        }
        match step.config.get("inputs") {
            None | Some(Value::Object(_)) => {}
            Some(Value::String(text)) if expression::condition(text).is_ok() => {}
            Some(_) => self.complain(&join(config, "inputs"), "`inputs` is an object", "by name, or as one expression"),
        }
    }

    fn plugin(&mut self, step: &Step, pointer: &str) {
        if node::of_plugin(&step.kind).is_some() {
            return;
        }
        let own = KINDS.iter().map(|kind| kind.name);
        let known: Vec<&str> =
            own.chain(SHORT.map(|(short, _)| short)).chain(WAYS.iter().map(|way| way.name)).collect();
        let near = closest(&step.kind, known.iter().copied());
        let hint = near.unwrap_or_else(|| format!("known: {}", known.join(", ")));
        self.complain(&join(pointer, "type"), format!("unknown kind of step `{}`", step.kind), hint);
    }

    fn built_in(&mut self, kind: &Kind, step: &Step, pointer: &str) {
        let config = join(pointer, "config");
        // Without a `config` the fault is the step's.
        let place = if self.located.get(&config).is_some() { config.as_str() } else { pointer };
        for key in kind.required.iter().filter(|key| !step.config.contains_key(**key)) {
            self.faults.push(self.located.at(place, format!("a step of type {} needs `{key}`", kind.name)));
        }
        for key in kind.literal {
            let Some(value) = step.config.get(*key) else { continue };
            let at = join(&config, key);
            match value.as_str() {
                None => self.complain(&at, format!("`{key}` is a text"), "quote it"),
                Some("") => self.faults.push(self.located.at(&at, format!("`{key}` is empty"))),
                Some(text) if text.contains("{{") => {
                    let hint = "what a step may use is decided when the file is loaded";
                    self.complain(&at, format!("`{key}` can't be an expression"), hint);
                }
                Some(_) => {}
            }
        }
    }

    /// Checks every text of a value.
    fn texts(&mut self, pointer: &str, value: &Value, before: &BTreeSet<&str>) {
        match value {
            Value::String(text) => self.text(pointer, text, before),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.texts(&join(pointer, &at.to_string()), item, before);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.texts(&join(pointer, name), member, before);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, pointer: &str, text: &str, before: &BTreeSet<&str>) {
        match Template::read(text) {
            Err(message) => self.faults.push(self.located.at(pointer, message)),
            Ok(template) => template.expressions().for_each(|expr| self.references(pointer, expr, before)),
        }
    }

    fn references(&mut self, pointer: &str, expr: &Expr, before: &BTreeSet<&str>) {
        for reference in expr.references() {
            self.reference(pointer, &reference, before);
        }
    }

    fn reference(&mut self, pointer: &str, reference: &Reference, before: &BTreeSet<&str>) {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["steps", id, rest @ ..] => {
                if !before.contains(id) {
                    self.not_before(pointer, id, before);
                } else if let Some(first) = rest.first().filter(|first| **first != "output") {
                    let hint = format!("did you mean `steps.{id}.output.{first}`?");
                    self.complain(pointer, format!("a step has no `{first}`, only its `output`"), hint);
                }
            }
            ["inputs", name, ..] => {
                let Some(inputs) = self.inputs.as_ref().filter(|inputs| !inputs.contains(name)) else { return };
                let fault = self.located.at(pointer, format!("`inputs` declares no `{name}`"));
                self.faults.push(fault.hint_if(one_of(name, inputs.iter().copied())));
            }
            ["env"] => {
                let hint = "write it out, as in `env.ADMIN_URL`";
                self.complain(pointer, "`env` without the name of a variable", hint);
            }
            ["env", name, ..] if !self.env.contains(*name) => {
                let known = closest(name, self.env.iter().map(String::as_str));
                let hint = known.unwrap_or_else(|| "the operator lists them: `env` in host.yaml".to_owned());
                self.complain(pointer, format!("workflows may not read the variable `{name}`"), hint);
            }
            ["inputs" | "context" | "now" | "env", ..] => {}
            ["steps"] => self.complain(pointer, "`steps` without the id of one", "as in `steps.a.output`"),
            [name, ..] if self.around.contains(name) => {}
            [name @ ("item" | "index"), ..] => {
                self.complain(pointer, format!("there is no `{name}` here"), "only the steps of a foreach have one");
            }
            [name, ..] => {
                let known = ["inputs", "steps", "context", "env", "now"].into_iter().chain(self.around.iter().copied());
                let hint = one_of(name, known);
                let fault = self.located.at(pointer, format!("there is no `{name}` here"));
                self.faults.push(fault.hint_if(hint));
            }
            [] => {}
        }
    }

    fn not_before(&mut self, pointer: &str, id: &str, before: &BTreeSet<&str>) {
        let fault = match self.all.get(id) {
            None => {
                let fault = self.located.at(pointer, format!("there is no step `{id}`"));
                fault.hint_if(closest(id, before.iter().copied()))
            }
            Some(_) if self.seen.contains(id) && !self.is_own(pointer, id) => self
                .located
                .at(pointer, format!("step `{id}` never ran when this is reached"))
                .hint("it stands in the other branch"),
            Some(_) => self
                .located
                .at(pointer, format!("step `{id}` has not run when this is reached"))
                .hint("only earlier steps can be referred to"),
        };
        self.faults.push(fault);
    }

    /// Whether what stands at a pointer belongs to the step itself.
    fn is_own(&self, pointer: &str, id: &str) -> bool {
        self.all.get(id).is_some_and(|own| pointer.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }

    fn complain(&mut self, pointer: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(self.located.at(pointer, message).hint(hint));
    }
}
