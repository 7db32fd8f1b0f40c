//! A checked workflow, made ready to run: expressions read, durations and agents known.
//!
//! Deliberately absent: what is wrong with a file (`steps`, which is asked first), and what a tenant has.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use remit_domain::{AgentName, node::Name};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    authored::{self, OnError},
    derive, duration,
    expression::{Expr, Form, condition},
    node,
};

/// A workflow that can be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// As it was written.
    pub authored: authored::Workflow,
    /// The SHA-256 of what it was made from, in hex: what a run pins.
    pub digest: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) on_failure: Vec<Step>,
    pub(crate) outputs: Vec<(String, Form)>,
    pub(crate) concurrency: Option<Concurrency>,
    /// The workflows that its steps call, and those that these call, by the name that is used: what a run takes
    /// with it. Empty until it is linked.
    pub(crate) subs: BTreeMap<String, Sub>,
}

/// A workflow that another calls.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sub {
    pub(crate) plan: Arc<Plan>,
    /// The agent of its steps that name none; the caller's, without one.
    pub(crate) agent: Option<AgentName>,
}

/// How many runs may be at work at once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Concurrency {
    pub(crate) limit: usize,
    /// What tells apart runs that are counted apart.
    pub(crate) key: Form,
    /// How many may wait for their turn.
    pub(crate) queue: usize,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Whether it runs. A conditional's is its own.
    pub(crate) condition: Option<Expr>,
    pub(crate) on_error: OnError,
    pub(crate) retry: Retry,
    pub(crate) timeout: Option<Duration>,
    pub(crate) key: Option<Form>,
    /// The ways out of a plugin's node, with the steps that stand there.
    pub(crate) ways: Vec<(String, Vec<Step>)>,
}

impl Step {
    /// The steps on the way of a name: none, if it has no such way.
    pub(crate) fn way(&self, name: Option<&str>) -> &[Self] {
        let way = self.ways.iter().find(|(way, _)| Some(way.as_str()) == name);
        way.map_or(&[], |(_, steps)| steps.as_slice())
    }

    /// The steps within a step, and whether they are those of a foreach's items.
    pub(crate) fn within(&self) -> Vec<(&[Self], bool)> {
        let mut all: Vec<(&[Self], bool)> = match &self.kind {
            Kind::Conditional { then, otherwise, .. } => vec![(then, false), (otherwise, false)],
            Kind::Switch { cases, default, .. } => {
                cases.iter().map(|(_, steps)| steps).chain([default]).map(|steps| (steps.as_slice(), false)).collect()
            }
            Kind::Parallel(branches) => branches.iter().map(|(_, steps)| (steps.as_slice(), false)).collect(),
            Kind::Foreach { steps, .. } => vec![(steps, true)],
            // Where a workflow within is under way, that it began is on record with its first step.
            Kind::Work(..) | Kind::Set(_) | Kind::Wait(_) | Kind::Approval { .. } | Kind::Workflow { .. } => Vec::new(),
        };
        all.extend(self.ways.iter().map(|(_, steps)| (steps.as_slice(), false)));
        all
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Work that reaches beyond the run.
    Work(Job, Form),
    Conditional {
        condition: Expr,
        then: Vec<Step>,
        otherwise: Vec<Step>,
    },
    Switch {
        value: Form,
        cases: Vec<(String, Vec<Step>)>,
        default: Vec<Step>,
    },
    Foreach {
        items: Form,
        concurrency: usize,
        steps: Vec<Step>,
    },
    Parallel(Vec<(String, Vec<Step>)>),
    Set(Form),
    Wait(Form),
    Approval {
        form: Form,
    },
    /// A workflow within this one.
    Workflow {
        name: String,
        inputs: Form,
    },
}

/// Which work.
#[derive(Debug, Clone, PartialEq)]
pub enum Job {
    /// A tool of an agent's sets.
    Tool {
        /// Its name.
        tool: String,
        /// Whose sets, if not the workflow's agent's.
        agent: Option<AgentName>,
    },
    /// A question to an agent.
    Agent {
        /// Which, if not the workflow's.
        agent: Option<AgentName>,
        /// The JSON Schema that the answer meets; words, without one.
        schema: Option<Value>,
    },
    /// A plugin's node.
    Node {
        /// Which.
        name: Name,
        /// The step's `config` as it is written: what it is granted follows from it.
        written: Value,
    },
}

/// How often a step is tried, and how long between.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Retry {
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) factor: f64,
    pub(crate) most: Duration,
    pub(crate) jitter: bool,
    pub(crate) on: Vec<String>,
}

impl Default for Retry {
    fn default() -> Self {
        let (delay, most) = (Duration::from_secs(1), Duration::from_secs(60));
        Self { attempts: 1, delay, factor: 2.0, most, jitter: true, on: Vec::new() }
    }
}

/// How many of a foreach's items are at work at once, at most and without a word.
pub(crate) const MAX_CONCURRENCY: u64 = 100;

impl Plan {
    /// Makes a plan of a workflow that has no faults. Errors: what such a one would not have.
    pub(crate) fn new(authored: authored::Workflow) -> Result<Self, String> {
        let digest = Sha256::digest(serde_json::to_vec(&authored).map_err(|error| error.to_string())?);
        let wanted = derive::wanted(&authored)?;
        let on_failure = steps(&authored.on_failure, &wanted)?;
        let steps = steps(&authored.steps, &wanted)?;
        let outputs = authored.outputs.iter().map(|(name, value)| Ok((name.clone(), Form::read(value)?)));
        let outputs = outputs.collect::<Result<Vec<_>, String>>()?;
        let concurrency = authored.concurrency.as_ref().map(concurrency).transpose()?;
        let subs = BTreeMap::new();
        Ok(Self { digest: hex(&digest), steps, on_failure, outputs, concurrency, subs, authored })
    }
}

/// What a plan uses of plugins, as far as it says so itself.
#[derive(Debug, Default)]
pub struct Uses {
    /// The kinds of its steps that plugins perform.
    pub kinds: Vec<Name>,
    /// The agents that its other steps name, and those of the workflows within it.
    pub agents: Vec<AgentName>,
}

impl Plan {
    /// What it uses, with the workflows that it takes with it.
    pub(crate) fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        for plan in std::iter::once(self).chain(self.subs.values().map(|sub| &*sub.plan)) {
            uses.add(&plan.steps);
            uses.add(&plan.on_failure);
        }
        uses.agents.extend(self.subs.values().filter_map(|sub| sub.agent.clone()));
        uses
    }
}

impl Uses {
    fn add(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.kind {
                Kind::Work(Job::Node { name, .. }, _) => self.kinds.push(name.clone()),
                Kind::Work(Job::Tool { agent, .. } | Job::Agent { agent, .. }, _) => self.agents.extend(agent.clone()),
                Kind::Conditional { then, otherwise, .. } => {
                    self.add(then);
                    self.add(otherwise);
                }
                Kind::Switch { cases, default, .. } => {
                    cases.iter().for_each(|(_, steps)| self.add(steps));
                    self.add(default);
                }
                Kind::Foreach { steps, .. } => self.add(steps),
                Kind::Parallel(branches) => branches.iter().for_each(|(_, steps)| self.add(steps)),
                Kind::Set(_) | Kind::Wait(_) | Kind::Approval { .. } | Kind::Workflow { .. } => {}
            }
            step.ways.iter().for_each(|(_, steps)| self.add(steps));
        }
    }
}

/// Bytes in hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn concurrency(authored: &authored::Concurrency) -> Result<Concurrency, String> {
    /// How many may wait, without a word.
    const QUEUE: u32 = 100;
    let many = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let key = Form::read(&Value::String(authored.key.clone().unwrap_or_default()))?;
    Ok(Concurrency { limit: many(authored.limit.max(1)), key, queue: many(authored.queue.unwrap_or(QUEUE)) })
}

fn steps(authored: &[authored::Step], wanted: &derive::Wanted) -> Result<Vec<Step>, String> {
    authored.iter().map(|step| self::step(step, wanted)).collect()
}

fn step(step: &authored::Step, wanted: &derive::Wanted) -> Result<Step, String> {
    let own = step.condition.as_deref().map(condition).transpose()?;
    let config = Form::object(&step.config)?;
    let text = |key: &str| step.config.get(key).and_then(Value::as_str);
    let agent = |key: &str| match text(key) {
        Some(name) => AgentName::new(name).map(Some).map_err(|error| error.to_string()),
        None => Ok(None),
    };
    let part = |key: &str| step.config.get(key).map(Form::read).transpose();
    let named = |branches: &BTreeMap<String, Vec<authored::Step>>| {
        let made = branches.iter().map(|(name, branch)| Ok((name.clone(), steps(branch, wanted)?)));
        made.collect::<Result<Vec<_>, String>>()
    };
    let mut ways = Vec::new();
    let (kind, condition) = match step.kind.as_str() {
        "conditional" => {
            let condition = own.ok_or("a conditional needs `condition`")?;
            let (then, otherwise) = (steps(&step.if_true, wanted)?, steps(&step.if_false, wanted)?);
            (Kind::Conditional { condition, then, otherwise }, None)
        }
        "switch" => {
            let value = part("value")?.ok_or("a switch needs `value`")?;
            (Kind::Switch { value, cases: named(&step.cases)?, default: steps(&step.default, wanted)? }, own)
        }
        "foreach" => {
            let items = part("items")?.ok_or("a foreach needs `items`")?;
            let concurrency = step.config.get("concurrency").and_then(Value::as_u64).unwrap_or(1);
            let concurrency = usize::try_from(concurrency.clamp(1, MAX_CONCURRENCY)).unwrap_or(1);
            (Kind::Foreach { items, concurrency, steps: steps(&step.steps, wanted)? }, own)
        }
        "parallel" => (Kind::Parallel(named(&step.branches)?), own),
        "set" => (Kind::Set(config), own),
        "wait" => (Kind::Wait(config), own),
        "approval" => (Kind::Approval { form: config }, own),
        "workflow" => {
            let name = text("name").ok_or("a workflow needs `name`")?.to_owned();
            (Kind::Workflow { name, inputs: part("inputs")?.unwrap_or(Form::Plain(Value::Object(Map::new()))) }, own)
        }
        "mcp" => {
            let tool = text("tool_name").ok_or("an mcp step needs `tool_name`")?.to_owned();
            let arguments = part("parameters")?.unwrap_or(Form::Plain(Value::Object(Map::new())));
            (Kind::Work(Job::Tool { tool, agent: agent("agent_type")? }, arguments), own)
        }
        "agent" => {
            let schema = step.config.get("outputSchema").cloned().or_else(|| wanted.schema_of(&step.id));
            (Kind::Work(Job::Agent { agent: agent("agentType")?, schema }, config), own)
        }
        other => {
            let name = node::of_plugin(other).ok_or_else(|| format!("unknown kind of step `{other}`"))?;
            ways = named(&step.branches)?;
            (Kind::Work(Job::Node { name, written: Value::Object(step.config.clone()) }, config), own)
        }
    };
    Ok(Step {
        id: step.id.clone(),
        kind,
        condition,
        on_error: step.on_error.unwrap_or(OnError::Stop),
        retry: step.retry.as_ref().map(retry).transpose()?.unwrap_or_default(),
        timeout: step.timeout.as_deref().map(time).transpose()?,
        key: step.idempotency_key.as_ref().map(|key| Form::read(&Value::String(key.clone()))).transpose()?,
        ways,
    })
}

fn retry(authored: &authored::Retry) -> Result<Retry, String> {
    let plain = Retry::default();
    Ok(Retry {
        attempts: authored.attempts.max(1),
        delay: authored.delay.as_deref().map(time).transpose()?.unwrap_or(plain.delay),
        factor: authored.factor.unwrap_or(plain.factor),
        most: authored.max_delay.as_deref().map(time).transpose()?.unwrap_or(plain.most),
        jitter: authored.jitter.unwrap_or(plain.jitter),
        on: authored.on.clone(),
    })
}

fn time(text: &str) -> Result<Duration, String> {
    duration::read(text).ok_or_else(|| format!("`{text}` is not a duration"))
}
