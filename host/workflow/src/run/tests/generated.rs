//! Plans made of generated steps of every kind that needs no plugin, as the YAML that an author would write.
//!
//! What a step refers to is drawn as a number and made to fit when the plan is written, so that a plan from
//! which a step is taken away is a plan still: failing ones shrink.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// What stands for a number in a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Read {
    /// Of which step before, counted round.
    which: u8,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// Its value, or another one.
    Guarded,
    /// Its value, without which the step fails.
    Bare,
    /// Whether it ran.
    Defined,
    /// The foreach's item.
    Item,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Fine,
    Fail,
    /// Fails for odd values.
    Picky,
    /// Fails twice.
    Flaky,
    /// Never ends by itself.
    Hang,
}

/// What every step may have.
#[derive(Debug, Clone)]
pub(super) struct Step {
    condition: Option<Read>,
    carries_on: bool,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Work { tool: Tool, read: Read, attempts: u8, keyed: bool, timed: bool },
    Set(Read),
    Wait { seconds: u8, until: bool },
    Approval { given: bool },
    Conditional { read: Read, then: Vec<Step>, otherwise: Vec<Step> },
    Switch { read: Read, cases: Vec<Vec<Step>>, default: Vec<Step> },
    Foreach { items: Vec<u8>, read: Option<Read>, concurrency: u8, steps: Vec<Step> },
    Parallel(Vec<Vec<Step>>),
}

/// A plan.
#[derive(Debug, Clone)]
pub(super) struct Generated {
    steps: Vec<Step>,
    on_failure: Vec<Step>,
}

pub(super) fn plans() -> impl Strategy<Value = Generated> {
    let top = prop::collection::vec(steps(), 1..6);
    let after = prop::collection::vec(single(), 0..3);
    (top, after).prop_map(|(steps, on_failure)| Generated { steps, on_failure })
}

fn read() -> impl Strategy<Value = Read> {
    let how = prop_oneof![6 => Just(How::Guarded), 1 => Just(How::Bare), 3 => Just(How::Defined), 2 => Just(How::Item)];
    (any::<u8>(), how).prop_map(|(which, how)| Read { which, how })
}

fn with(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Step> {
    let condition = prop_oneof![4 => Just(None), 1 => read().prop_map(Some)];
    (condition, prop::bool::weighted(0.6), kind).prop_map(|(condition, carries_on, kind)| Step {
        condition,
        carries_on,
        kind,
    })
}

/// A step without others in it.
fn single() -> impl Strategy<Value = Step> {
    let tool = prop_oneof![
        6 => Just(Tool::Fine), 1 => Just(Tool::Fail), 2 => Just(Tool::Picky), 2 => Just(Tool::Flaky), 1 => Just(Tool::Hang)
    ];
    let work = (tool, read(), 1..5_u8, any::<bool>(), any::<bool>())
        .prop_map(|(tool, read, attempts, keyed, timed)| Kind::Work { tool, read, attempts, keyed, timed });
    with(prop_oneof![
        8 => work,
        2 => read().prop_map(Kind::Set),
        1 => (0..90_u8, any::<bool>()).prop_map(|(seconds, until)| Kind::Wait { seconds, until }),
        1 => any::<bool>().prop_map(|given| Kind::Approval { given }),
    ])
}

fn steps() -> impl Strategy<Value = Step> {
    single().prop_recursive(3, 14, 3, |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..4);
        let perhaps = || prop::collection::vec(inner.clone(), 0..3);
        let foreach = (prop::collection::vec(any::<u8>(), 0..5), prop::option::of(read()), 1..5_u8, some())
            .prop_map(|(items, read, concurrency, steps)| Kind::Foreach { items, read, concurrency, steps });
        with(prop_oneof![
            (read(), some(), perhaps()).prop_map(|(read, then, otherwise)| Kind::Conditional { read, then, otherwise }),
            (read(), prop::collection::vec(some(), 1..3), perhaps()).prop_map(|(read, cases, default)| Kind::Switch {
                read,
                cases,
                default
            }),
            foreach,
            prop::collection::vec(some(), 2..4).prop_map(Kind::Parallel),
        ])
    })
}

impl Generated {
    /// As an author would write it; its outputs show all that can be seen at its end.
    pub(super) fn yaml(&self) -> String {
        let mut writer = Writer { count: 0 };
        let mut seen = Vec::new();
        let steps = writer.steps(&self.steps, &mut seen, false);
        let outputs = seen.iter().map(|id| (id.clone(), format!("{{{{ steps.{id}.output ?? 'none' }}}}").into()));
        let mut whole = json!({
            "name": "w",
            "agentType": "sales",
            "steps": steps,
            "outputs": outputs.collect::<Map<_, _>>(),
        });
        if !self.on_failure.is_empty() {
            whole["onFailure"] = writer.steps(&self.on_failure, &mut seen, false).into();
        }
        whole.to_string()
    }
}

struct Writer {
    count: usize,
}

impl Writer {
    /// Steps in order; `seen` are those that an expression may refer to, before and after.
    fn steps(&mut self, steps: &[Step], seen: &mut Vec<String>, looped: bool) -> Vec<Value> {
        steps.iter().map(|step| self.step(step, seen, looped)).collect()
    }

    fn step(&mut self, step: &Step, seen: &mut Vec<String>, looped: bool) -> Value {
        self.count += 1;
        let word = match &step.kind {
            Kind::Approval { given: true } => "given",
            _ => "s",
        };
        let id = format!("{word}{}", self.count);
        let mut made = json!({"id": id});
        if let Some(condition) = &step.condition {
            made["condition"] = decides(*condition, seen, looped).into();
        }
        if step.carries_on {
            made["on_error"] = "continue".into();
        }
        let number = |read: &Read, seen: &[String]| format!("{{{{ {} }}}}", expression(*read, seen, looped));
        let (kind, more) = match &step.kind {
            Kind::Work { tool, read, attempts, keyed, timed } => {
                let name = format!("{tool:?}").to_lowercase();
                let mut more = json!({"config": {"tool_name": name, "parameters": {"v": number(read, seen)}}});
                if *attempts > 1 {
                    more["retry"] = json!({"attempts": attempts, "delay": "2s"});
                }
                if *keyed {
                    more["idempotencyKey"] = format!("{id}-{}", number(read, seen)).into();
                }
                if *timed || *tool == Tool::Hang {
                    more["timeout"] = "20s".into();
                }
                ("mcp", more)
            }
            Kind::Set(read) => ("set", json!({"config": {"v": number(read, seen)}})),
            Kind::Wait { until: true, seconds } => {
                ("wait", json!({"config": {"until": format!("2023-11-14T22:{}:00Z", seconds % 50 + 10)}}))
            }
            Kind::Wait { until: false, seconds } => ("wait", json!({"config": {"duration": format!("{seconds}s")}})),
            Kind::Approval { .. } => ("approval", json!({"timeout": "1m", "config": {"message": "May I?"}})),
            Kind::Conditional { read, then, otherwise } => {
                made["condition"] = decides(*read, seen, looped).into();
                let [then, otherwise] = self.fork([then, otherwise], seen, looped);
                ("conditional", filled([("if_true", then), ("if_false", otherwise)]))
            }
            Kind::Switch { read, cases, default } => {
                let value = format!("{{{{ ({}) % 3 }}}}", expression(*read, seen, looped));
                let mut branches: Vec<&[Step]> = cases.iter().map(Vec::as_slice).collect();
                branches.push(default);
                let mut branches = self.branches(&branches, seen, looped);
                let default = branches.pop().unwrap();
                let mut more = filled([("default", default)]);
                more["config"] = json!({"value": value});
                more["cases"] = named(branches);
                ("switch", more)
            }
            Kind::Foreach { items, read, concurrency, steps } => {
                let mut inner = seen.clone();
                let mut items: Vec<String> = items.iter().map(|item| (item % 10).to_string()).collect();
                items.extend(read.map(|read| expression(read, seen, looped)));
                let items = format!("{{{{ [{}] }}}}", items.join(", "));
                let steps = self.steps(steps, &mut inner, true);
                ("foreach", json!({"config": {"items": items, "concurrency": concurrency}, "steps": steps}))
            }
            Kind::Parallel(branches) => {
                let branches: Vec<&[Step]> = branches.iter().map(Vec::as_slice).collect();
                ("parallel", json!({"branches": named(self.branches(&branches, seen, looped))}))
            }
        };
        made["type"] = kind.into();
        if let (Value::Object(made), Value::Object(more)) = (&mut made, more) {
            made.extend(more);
        }
        seen.push(id);
        made
    }

    /// Branches, none of which sees another's steps; who comes later sees all.
    fn branches(&mut self, branches: &[&[Step]], seen: &mut Vec<String>, looped: bool) -> Vec<Vec<Value>> {
        let before = seen.clone();
        let mut made = Vec::new();
        for branch in branches {
            let mut inner = before.clone();
            made.push(self.steps(branch, &mut inner, looped));
            seen.extend(inner.into_iter().skip(before.len()));
        }
        made
    }

    fn fork<const N: usize>(
        &mut self,
        branches: [&Vec<Step>; N],
        seen: &mut Vec<String>,
        looped: bool,
    ) -> [Vec<Value>; N] {
        let branches = branches.map(Vec::as_slice);
        <[_; N]>::try_from(self.branches(&branches, seen, looped)).unwrap()
    }
}

fn filled<const N: usize>(parts: [(&str, Vec<Value>); N]) -> Value {
    let parts = parts.into_iter().filter(|(_, steps)| !steps.is_empty());
    Value::Object(parts.map(|(key, steps)| (key.to_owned(), steps.into())).collect())
}

fn named(branches: Vec<Vec<Value>>) -> Value {
    branches
        .into_iter()
        .enumerate()
        .map(|(at, steps)| (at.to_string(), Value::from(steps)))
        .collect::<Map<_, _>>()
        .into()
}

/// A condition.
fn decides(read: Read, seen: &[String], looped: bool) -> String {
    format!("{{{{ ({}) % 3 != 0 }}}}", expression(read, seen, looped))
}

/// An expression that is a number, if it is anything.
fn expression(read: Read, seen: &[String], looped: bool) -> String {
    let id = || (!seen.is_empty()).then(|| &seen[usize::from(read.which) % seen.len()]);
    match (read.how, id()) {
        (How::Item, _) if looped => "item * 10 + index".to_owned(),
        (How::Item, _) | (_, None) => (read.which % 7).to_string(),
        (How::Guarded, Some(id)) => format!("(steps.{id}.output.v ?? {}) + 1", read.which % 5),
        (How::Bare, Some(id)) => format!("steps.{id}.output.v"),
        (How::Defined, Some(id)) => format!("1 if steps.{id}.output is defined else 2"),
    }
}
