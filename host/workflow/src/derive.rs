//! What later steps expect of an agent's answer: the fields that they read of it, with the types that their
//! readers need, so that a workflow that writes no `outputSchema` still gets an answer of the form it uses.
//!
//! A field that is compared with a number is a number, one that decides is a boolean, one that is gone
//! through is a list; a field that only stands in texts may be any plain value.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    authored::{Step, Workflow},
    expression::{Expr, Filter, Form, Operator, Reference, Test, condition},
};

/// What every agent's step leaves, whatever it is asked.
pub(crate) const AGENTS_OWN: [&str; 7] =
    ["success", "error", "code", "agent_type", "response", "toolCallsMade", "model"];

/// The fields wanted of each step's output, by the step's id.
#[derive(Debug, Default)]
pub(crate) struct Wanted(BTreeMap<String, Field>);

/// What is known of one value.
#[derive(Debug, Default, Clone, PartialEq)]
struct Field {
    kind: Option<&'static str>,
    members: BTreeMap<String, Field>,
    /// Texts that it is compared with.
    options: Vec<String>,
    /// Whether every reader can do without it.
    guarded: bool,
}

/// What the steps of a workflow want of each other. Errors: an expression can't be read.
pub(crate) fn wanted(workflow: &Workflow) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    wanted.steps(&workflow.steps)?;
    wanted.steps(&workflow.on_failure)?;
    for output in workflow.outputs.values() {
        wanted.form(&Form::read(output)?);
    }
    Ok(wanted)
}

impl Wanted {
    /// A JSON Schema of an object with the fields that are read of a step's output; `None` if none is.
    pub(crate) fn schema_of(&self, id: &str) -> Option<Value> {
        let mut field = self.0.get(id)?.clone();
        field.members.retain(|name, _| !AGENTS_OWN.contains(&name.as_str()));
        (!field.members.is_empty()).then(|| field.schema())
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            if let Some(text) = &step.condition {
                self.expr(&condition(text)?, Some("boolean"));
            }
            for (key, value) in &step.config {
                let form = Form::read(value)?;
                match (&form, step.kind.as_str(), key.as_str()) {
                    (Form::Text(template), "foreach", "items") => {
                        template.expressions().for_each(|expr| self.expr(expr, Some("array")));
                    }
                    _ => self.form(&form),
                }
            }
            if let Some(key) = &step.idempotency_key {
                self.form(&Form::read(&Value::String(key.clone()))?);
            }
            for branch in [&step.if_true, &step.if_false, &step.steps, &step.default] {
                self.steps(branch)?;
            }
            for branch in step.branches.values().chain(step.cases.values()) {
                self.steps(branch)?;
            }
        }
        Ok(())
    }

    fn form(&mut self, form: &Form) {
        // What is the whole of a text keeps its type, which nobody knows here.
        form.visit(&mut |expr| self.expr(expr, None));
    }

    /// Notes what an expression reads, where the whole of it is wanted as a type.
    fn expr(&mut self, expr: &Expr, kind: Option<&'static str>) {
        if let Some(path) = expr.path() {
            self.note(Reference { path, guarded: false }, kind, None);
            return;
        }
        match expr {
            Expr::Literal(_) | Expr::Name(_) => {}
            Expr::List(items) => items.iter().for_each(|item| self.expr(item, None)),
            Expr::Object(members) => members.iter().for_each(|(_, member)| self.expr(member, None)),
            Expr::Member(of, _) => self.expr(of, None),
            Expr::Index(of, index) => {
                self.expr(of, None);
                self.expr(index, None);
            }
            Expr::Not(of) => self.expr(of, Some("boolean")),
            Expr::Negative(of) => self.expr(of, Some("number")),
            Expr::Binary(operator, left, right) => self.binary(*operator, left, right, kind),
            Expr::Choice { condition, then, otherwise } => {
                self.expr(condition, Some("boolean"));
                self.expr(then, kind);
                self.expr(otherwise, kind);
            }
            Expr::Test { of, test, .. } => {
                let kind = match test {
                    Test::Text => Some("string"),
                    Test::Number => Some("number"),
                    Test::Boolean => Some("boolean"),
                    Test::List => Some("array"),
                    Test::Defined | Test::Null | Test::Object | Test::Empty => None,
                };
                self.guarded(of, kind);
            }
            Expr::Filter { of, filter, arguments } => {
                let kind = match filter {
                    Filter::Join
                    | Filter::First
                    | Filter::Last
                    | Filter::Sum
                    | Filter::Pluck
                    | Filter::Sort
                    | Filter::Least
                    | Filter::Most
                    | Filter::Unique
                    | Filter::Reverse => Some("array"),
                    Filter::Upper | Filter::Lower | Filter::Trim | Filter::Replace | Filter::Split => Some("string"),
                    Filter::Round | Filter::Absolute => Some("number"),
                    Filter::Default => kind,
                    _ => None,
                };
                if *filter == Filter::Default {
                    self.guarded(of, kind)
                } else {
                    self.expr(of, kind)
                }
                arguments.iter().for_each(|argument| self.expr(argument, None));
            }
        }
    }

    fn binary(&mut self, operator: Operator, left: &Expr, right: &Expr, kind: Option<&'static str>) {
        match operator {
            Operator::Or | Operator::And => {
                self.expr(left, Some("boolean"));
                self.expr(right, Some("boolean"));
            }
            Operator::Else => {
                self.guarded(left, kind);
                self.expr(right, kind);
            }
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                self.expr(left, Some("number"));
                self.expr(right, Some("number"));
            }
            Operator::In | Operator::NotIn | Operator::Join => {
                self.expr(left, None);
                self.expr(right, None);
            }
            // The other side says the type.
            _ => {
                for (side, other) in [(left, right), (right, left)] {
                    let literal = match other {
                        Expr::Literal(value) => Some(value),
                        _ => None,
                    };
                    match (side.path(), literal) {
                        (Some(path), Some(value)) => {
                            let option = value.as_str().filter(|_| operator == Operator::Equal);
                            self.note(Reference { path, guarded: false }, kind_of(value), option);
                        }
                        (None, _) => self.expr(side, literal.and_then(kind_of)),
                        (Some(_), None) => self.expr(side, other_kind(other)),
                    }
                }
            }
        }
    }

    /// Notes what may be missing.
    fn guarded(&mut self, of: &Expr, kind: Option<&'static str>) {
        match of.path() {
            Some(path) => self.note(Reference { path, guarded: true }, kind, None),
            None => self.expr(of, kind),
        }
    }

    fn note(&mut self, reference: Reference, kind: Option<&'static str>, option: Option<&str>) {
        let mut path = reference.path.iter().map(String::as_str).peekable();
        let (Some("steps"), Some(id), Some("output")) = (path.next(), path.next(), path.next()) else { return };
        let mut field = self.0.entry(id.to_owned()).or_default();
        while let Some(name) = path.next() {
            if name.parse::<i64>().is_ok() || (name == "length" && path.peek().is_none()) {
                field.kind = field.kind.or(Some("array"));
                return;
            }
            let new = !field.members.contains_key(name);
            field = field.members.entry(name.to_owned()).or_default();
            field.guarded = reference.guarded && (new || field.guarded);
        }
        field.kind = kind.or(field.kind);
        if let Some(option) = option.filter(|option| !field.options.iter().any(|known| known == option)) {
            field.options.push(option.to_owned());
        }
    }
}

impl Field {
    fn schema(&self) -> Value {
        if self.members.is_empty() {
            return match (self.kind, self.options.as_slice()) {
                // The texts that it is compared with are some of those that it may be.
                (_, [_, ..]) => {
                    json!({"type": "string", "examples": self.options})
                }
                (Some("array"), _) => json!({"type": "array"}),
                (Some(kind), _) => json!({"type": kind}),
                (None, _) => json!({"type": ["string", "number", "boolean", "array", "object"]}),
            };
        }
        let properties: Map<String, Value> =
            self.members.iter().map(|(name, member)| (name.clone(), member.schema())).collect();
        let required: Vec<&String> =
            self.members.iter().filter(|(_, member)| !member.guarded).map(|(name, _)| name).collect();
        json!({"type": "object", "properties": properties, "required": required})
    }
}

fn kind_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Bool(_) => Some("boolean"),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The type that something computed must have.
fn other_kind(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Negative(_) => Some("number"),
        Expr::Binary(Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder, ..) => {
            Some("number")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use remit_config::File;

    use super::*;

    /// The form wanted of the step `a` of a workflow whose later steps are these.
    fn form(rest: &str) -> Option<Value> {
        let text = format!("name: w\nsteps:\n  - {{id: a, type: agent, config: {{prompt: p}}}}\n{rest}");
        let workflow = crate::parse(&File::new("w.yml", text), &BTreeSet::new()).ok()?;
        wanted(&workflow).ok()?.schema_of("a")
    }

    #[test]
    fn a_field_has_the_type_that_its_reader_needs() {
        let rest = "  - id: b
    type: conditional
    condition: '{{ steps.a.output.risk < 0.3 and steps.a.output.sure }}'
    if_true:
      - {id: c, type: set, config: {why: 'for {{ steps.a.output.why }}', tags: \"{{ steps.a.output.tags | join(',') }}\"}}
      - {id: d, type: set, condition: \"{{ steps.a.output.level == 'high' }}\", config: {n: '{{ steps.a.output.deep.n * 2 }}', m: '{{ steps.a.output.maybe ?? 1 }}'}}
outputs: {said: '{{ steps.a.output.response }}', model: '{{ steps.a.output.model }}'}
";
        let any = json!(["string", "number", "boolean", "array", "object"]);
        assert_eq!(
            form(rest),
            Some(json!({
                "type": "object",
                "properties": {
                    "deep": {"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]},
                    "level": {"type": "string", "examples": ["high"]},
                    "maybe": {"type": any},
                    "risk": {"type": "number"},
                    "sure": {"type": "boolean"},
                    "tags": {"type": "array"},
                    "why": {"type": any},
                },
                "required": ["deep", "level", "risk", "sure", "tags", "why"],
            }))
        );
    }

    #[test]
    fn an_answer_of_which_nothing_is_read_is_words() {
        assert_eq!(form("outputs: {said: '{{ steps.a.output.response }}'}\n"), None);
        assert_eq!(form(""), None);
    }
}
