//! A workflow as it is written: YAML below `workflows/`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A workflow: steps that run one after another.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workflow {
    /// What it is called when it is run.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"))]
    pub name: String,
    /// For people, and for the model that is offered it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The agent of steps that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<String>,
    /// Further names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")))]
    pub aliases: Vec<String>,
    /// What it takes, by name. With this key, expressions may use no other inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<BTreeMap<String, Input>>,
    /// How many of its runs may be at work at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What begins it by itself. Those of `examples/` begin nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggers: Option<Triggers>,
    /// What it answers: expressions, by name. Every step's output, by id, without it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Value>,
    /// Its steps, in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<Step>,
    /// The steps that run when a run fails or is cancelled; expressions there know `error`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Step>,
}

/// One thing that a workflow takes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// What kind of value.
    #[serde(rename = "type")]
    pub kind: InputKind,
    /// For people and for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it must be given; true unless there is a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// What it is if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The only values that it may have.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<Value>>,
}

/// How many runs of a workflow may be at work at once. Others wait, in the order in which they began; one that
/// waits (for a time, or for a person) is not counted meanwhile.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Concurrency {
    /// How many.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: u32,
    /// A text with expressions over `inputs`: runs for which it comes to another text are counted apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many may wait for their turn; 100 without it. Further ones are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub queue: Option<u32>,
}

/// What begins a workflow by itself.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Triggers {
    /// Times, each by a name of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, Schedule>,
    /// Requests of others, to `POST /api/hooks/<tenant>/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// Times that begin a workflow.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week, such as `0 9 * * MON-FRI`.
    pub cron: String,
    /// An IANA time zone, such as `Europe/Berlin`; the company's without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What becomes of times that the host missed; `once` without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// What the run is given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub inputs: Map<String, Value>,
}

/// What becomes of times that the host missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// One run, for the last of them.
    Once,
}

/// Requests of others that begin a workflow: the body is what the run is given.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Webhook {
    /// Which of the context's `webhooks` signs them.
    pub secret: String,
    /// How old a request may be, such as `5m`, which it is without this; `1h` at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h|d)$"))]
    pub tolerance: Option<String>,
}

/// Kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// A text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// An object.
    Object,
    /// A list.
    Array,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What expressions call it, as in `{{ steps.<id>.output }}`. Unique in the file, branches included.
    #[schemars(regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"))]
    pub id: String,
    /// A built-in kind (mcp, agent, database, http_request, shopify, slack, google_sheets, email; and those
    /// that lead the way: conditional, switch, foreach, parallel, set, wait, approval, workflow), or a
    /// plugin's as `<plugin>.<node>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the kind needs; texts may hold expressions.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub config: Map<String, Value>,
    /// What a failure does; it stops the run without this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// One expression that is true or false: a step whose condition is false is skipped. A
    /// conditional decides by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Trying again after a failure, before `on_error` decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long each try may take, such as `30s`, `5m`, `2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h|d)$"))]
    pub timeout: Option<String>,
    /// What tells a repeated step from a new one; with it a step that was under way when the host ended is
    /// tried again. The run and the step's place without it.
    #[serde(rename = "idempotencyKey", skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The steps of a conditional whose condition is true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_true: Vec<Step>,
    /// The steps of a conditional whose condition is false.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_false: Vec<Step>,
    /// The steps that a foreach takes for each item, which expressions there call `item`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// The steps of a parallel's branches, by name: all branches run at once. Of a plugin's step that has
    /// several ways out, the steps on each: those on the way that it took run after it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub branches: BTreeMap<String, Vec<Step>>,
    /// The steps of a switch, by the value that leads there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cases: BTreeMap<String, Vec<Step>>,
    /// The steps of a switch whose value leads nowhere else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<Step>,
}

/// How a failed step is tried again.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// How often in all, the first time included.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// How long to wait before the second; `1s` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h|d)$"))]
    pub delay: Option<String>,
    /// By how much the wait grows each time; 2 without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 10.0))]
    pub factor: Option<f64>,
    /// The longest wait; `1m` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h|d)$"))]
    pub max_delay: Option<String>,
    /// Whether waits differ by chance, so that many runs don't come back at once; true without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<bool>,
    /// The codes of the errors to try again after, such as `source_unavailable`; those that say that the same
    /// request may be sent again, without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
}

/// What a failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Ends the run as failed.
    Stop,
    /// Goes on; the step's output then says `success: false`.
    Continue,
}
