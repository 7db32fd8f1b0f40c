//! Port: agents that answer a question of the host's own, such as a workflow's step.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::{Error, catalogue::Caller};

/// A question to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked. Other people's words may stand in it.
    pub prompt: String,
    /// From 0 to 2; the agent's own without it.
    pub temperature: Option<f32>,
    /// The JSON Schema of an object that the answer must meet; words, without it.
    pub schema: Option<Value>,
}

/// What an agent answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// In words, or the text of `fields`.
    pub text: String,
    /// What meets the schema, if there was one.
    pub fields: Option<Map<String, Value>>,
    /// How many tools were called.
    pub tool_calls: usize,
    /// The model's name.
    pub model: String,
}

/// Port: agents that answer.
#[async_trait]
pub trait Agents: Send + Sync {
    /// Lets an agent answer, with its tools.
    ///
    /// Errors: [`Error::NoModel`], [`Error::Quota`], [`Error::Deadline`], [`Error::ModelUnavailable`];
    /// [`Error::Model`], also for an answer that does not meet the schema; [`Error::Journal`]. Cancel: calls in
    /// flight are stopped.
    async fn ask(&self, caller: &Caller, question: &Question) -> Result<Reply, Error>;
}
