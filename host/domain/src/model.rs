//! Port: language models.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, tenant::Context};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Message {
    /// Instructions from the host.
    System {
        /// The text.
        content: String,
    },
    /// What the user said.
    User {
        /// The text.
        content: String,
    },
    /// What the model said, or wants done.
    Assistant {
        /// The text, if it said anything.
        content: Option<String>,
        /// The tools it wants called.
        #[serde(default)]
        tool_calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    Tool {
        /// Which call this answers.
        tool_call_id: String,
        /// The answer, as JSON text.
        content: String,
    },
}

/// A tool that the model wants called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's own name for this call.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// JSON text, as the model wrote it: may be malformed.
    pub arguments: String,
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOffer {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// A JSON Schema of its arguments.
    pub parameters: Value,
}

/// What to ask a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools on offer; empty forces an answer in words.
    pub tools: Vec<ToolOffer>,
    /// From 0 to 2.
    pub temperature: f32,
    /// The JSON Schema of the object that the answer in words is to be; any words, without it. Models keep to
    /// it as well as they can: whoever asks checks.
    pub answer: Option<Value>,
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text, if any.
    pub content: Option<String>,
    /// The tools it wants called; empty at the end.
    pub tool_calls: Vec<ToolCall>,
    /// What it cost.
    pub usage: Usage,
}

/// What asking a model cost, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.prompt_tokens += more.prompt_tokens;
        self.completion_tokens += more.completion_tokens;
        self.total_tokens += more.total_tokens;
    }
}

/// A language model.
#[async_trait]
pub trait Model: Send + Sync {
    /// Its name, as answers show it.
    fn name(&self) -> &str;

    /// Asks it.
    ///
    /// Errors: [`Error::Model`] if it answers badly; [`Error::ModelUnavailable`] if it cannot be
    /// reached, is too busy, or refuses the key.
    async fn complete(&self, request: &Request) -> Result<Completion, Error>;
}

/// Port: which model serves a tenant.
pub trait Models: Send + Sync {
    /// The tenant's model, else the host's. Errors: [`Error::NoModel`].
    fn of(&self, context: &Context) -> Result<Arc<dyn Model>, Error>;
}
