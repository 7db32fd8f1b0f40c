//! What a client gets.

use remit_domain::{AgentName, model::Usage};
use serde::Serialize;
use serde_json::Value;

/// An agent's answer, in the shape that clients get as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Always true: a failure is an error.
    pub success: bool,
    /// What the model says.
    pub response: String,
    /// The calls that the model asked for, in order, those that were refused included.
    pub tool_calls: Vec<MadeCall>,
    /// How many they are.
    pub tool_calls_made: usize,
    /// How many of the agent's own tools the model was offered.
    pub tools_available: usize,
    /// How many messages the model has seen in the end, the system prompt and this answer included.
    pub conversation_length: usize,
    /// Which agent answers.
    pub agent_type: AgentName,
    /// What all turns cost together.
    pub usage: Usage,
    /// The model's name.
    pub model: String,
    /// The conversation, to go on with.
    pub conversation_id: String,
    /// The ticket that was given, or made by a tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_id: Option<String>,
}

/// A call that the model asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MadeCall {
    /// The tool, as the model wrote it, cut to 128 characters.
    pub name: String,
    /// Its arguments; a string where the model wrote no JSON object.
    pub arguments: Value,
    /// Whether the tool answered.
    pub ok: bool,
    /// How long that took, in milliseconds.
    pub duration_ms: u64,
}

/// Cuts an answer to a length and says so.
pub(crate) fn cut(mut answer: String, max_bytes: usize) -> String {
    if answer.len() > max_bytes {
        answer.truncate(answer.floor_char_boundary(max_bytes));
        answer.push_str("\n[the answer was longer and is cut here]");
    }
    answer
}
