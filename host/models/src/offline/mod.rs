//! The demo's model: deterministic, without a network, and open about being no model at all.
//!
//! It reads the user's last message, calls the tools whose names and descriptions share words with
//! it, and tells in words what they returned. Deliberately absent: reasoning, memory of earlier
//! turns, and courage: a tool that may change something is called only where the user names both
//! the change and the thing (`update notes for cust_123: …`).

mod arguments;
mod facts;
mod fill;
mod pick;
mod summary;
mod words;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use remit_domain::{
    Error,
    model::{Completion, Message, Model, Request, ToolCall, Usage},
};
use serde_json::Value;

use facts::Facts;

/// The offline model. Its answers depend on the request alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Offline {
    /// What answers call it.
    pub const NAME: &str = "remit-offline";

    /// How often it asks for tools before it answers in words.
    const ROUNDS: usize = 2;

    fn answer(request: &Request) -> Completion {
        let turn = Turn::of(&request.messages);
        let facts = Facts::of(turn.said, &request.messages, &turn.results);
        if !request.tools.is_empty() && turn.rounds < Self::ROUNDS {
            let wanted = if turn.rounds == 0 {
                pick::first(turn.said, &facts, &request.tools)
            } else {
                let earlier: Vec<&str> = turn.results.iter().map(|result| result.tool).collect();
                pick::follow_up(turn.said, &facts, &request.tools, &earlier)
            };
            if !wanted.is_empty() {
                return calls(turn.rounds, wanted);
            }
        }
        let words = match &request.answer {
            Some(schema) => fill::value(schema, &facts).to_string(),
            None => summary::of(&turn.results, &request.tools),
        };
        Completion { content: Some(words), tool_calls: Vec::new(), usage: Usage::default() }
    }
}

#[async_trait]
impl Model for Offline {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn complete(&self, request: &Request) -> Result<Completion, Error> {
        let completion = Self::answer(request);
        metrics::counter!("remit_model_requests_total", "model" => Self::NAME, "outcome" => "ok").increment(1);
        Ok(completion)
    }
}

fn calls(round: usize, wanted: Vec<pick::Wanted>) -> Completion {
    let calls = wanted.into_iter().enumerate().map(|(at, wanted)| ToolCall {
        id: format!("offline_{round}_{at}"),
        name: wanted.tool,
        arguments: Value::Object(wanted.arguments).to_string(),
    });
    Completion { content: None, tool_calls: calls.collect(), usage: Usage::default() }
}

/// What happened since the user last spoke.
struct Turn<'a> {
    said: &'a str,
    rounds: usize,
    results: Vec<ToolResult<'a>>,
}

/// What a tool answered.
struct ToolResult<'a> {
    tool: &'a str,
    value: Value,
}

impl<'a> Turn<'a> {
    fn of(messages: &'a [Message]) -> Self {
        let last = messages.iter().rposition(|message| matches!(message, Message::User { .. }));
        let since = last.and_then(|at| messages.get(at..)).unwrap_or(messages);
        let mut turn = Self { said: "", rounds: 0, results: Vec::new() };
        let mut asked: Vec<&ToolCall> = Vec::new();
        for message in since {
            match message {
                Message::User { content } => turn.said = content,
                Message::Assistant { tool_calls, .. } if !tool_calls.is_empty() => {
                    turn.rounds += 1;
                    asked = tool_calls.iter().collect();
                }
                Message::Tool { tool_call_id, content } => {
                    let tool = asked.iter().find(|call| call.id == *tool_call_id).map_or("a tool", |call| &call.name);
                    let value = serde_json::from_str(content).unwrap_or_else(|_| Value::String(content.clone()));
                    turn.results.push(ToolResult { tool, value });
                }
                Message::System { .. } | Message::Assistant { .. } => {}
            }
        }
        turn
    }
}

impl ToolResult<'_> {
    /// The tool's own answer, out of the envelope that the host may have put around it.
    fn answer(&self) -> &Value {
        let enveloped = self.value.get("tool_name").is_some();
        self.value.get("result").filter(|_| enveloped).unwrap_or(&self.value)
    }

    /// Why the tool failed, if it did.
    fn failure(&self) -> Option<&str> {
        let enveloped = self.value.get("tool_name").is_some();
        self.value.get("error").filter(|_| enveloped).and_then(Value::as_str)
    }
}
