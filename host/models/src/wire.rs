//! Chat completions as they travel: written by the book, read leniently, since "compatible" servers
//! leave fields out, give `null` for them, or objects where text belongs.

use std::{
    borrow::Cow,
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use remit_domain::{
    Error,
    model::{Completion, Message, Request, ToolCall, ToolOffer, Usage},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is asked.
#[derive(Serialize)]
pub(crate) struct Question<'a> {
    model: &'a str,
    messages: Vec<OutMessage<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<OutTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Format<'a>>,
    stream: bool,
}

/// The form that the answer is to have.
#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    json_schema: NamedSchema<'a>,
}

#[derive(Serialize)]
struct NamedSchema<'a> {
    name: &'static str,
    schema: &'a Value,
    /// `true` would ask for a schema of OpenAI's own dialect, in which no field is optional.
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum OutMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<OutCall<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Serialize)]
struct OutCall<'a> {
    id: &'a str,
    r#type: &'static str,
    function: OutFunction<'a>,
}

#[derive(Serialize)]
struct OutFunction<'a> {
    name: Cow<'a, str>,
    arguments: &'a str,
}

#[derive(Serialize)]
struct OutTool<'a> {
    r#type: &'static str,
    function: OutDescription<'a>,
}

#[derive(Serialize)]
struct OutDescription<'a> {
    name: Cow<'a, str>,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> Question<'a> {
    pub(crate) fn new(model: &'a str, request: &'a Request) -> Self {
        let tools: Vec<_> = request.tools.iter().map(OutTool::new).collect();
        Self {
            model,
            messages: request.messages.iter().map(OutMessage::new).collect(),
            tool_choice: (!tools.is_empty()).then_some("auto"),
            tools,
            temperature: request.temperature,
            response_format: request.answer.as_ref().map(|schema| Format {
                r#type: "json_schema",
                json_schema: NamedSchema { name: "answer", schema, strict: false },
            }),
            stream: false,
        }
    }
}

impl<'a> OutMessage<'a> {
    fn new(message: &'a Message) -> Self {
        match message {
            Message::System { content } => Self::System { content },
            Message::User { content } => Self::User { content },
            Message::Assistant { content, tool_calls } => Self::Assistant {
                content: content.as_deref(),
                tool_calls: tool_calls.iter().map(OutCall::new).collect(),
            },
            Message::Tool { tool_call_id, content } => Self::Tool { tool_call_id, content },
        }
    }
}

impl<'a> OutCall<'a> {
    fn new(call: &'a ToolCall) -> Self {
        // Servers that parse the arguments of past calls refuse the whole conversation for malformed
        // ones; the answer to that call says what was wrong with them.
        let wellformed = serde_json::from_str::<serde_json::Map<String, Value>>(&call.arguments).is_ok();
        let arguments = if wellformed { call.arguments.as_str() } else { "{}" };
        Self { id: &call.id, r#type: "function", function: OutFunction { name: wire_name(&call.name), arguments } }
    }
}

impl<'a> OutTool<'a> {
    fn new(tool: &'a ToolOffer) -> Self {
        let ToolOffer { name, description, parameters } = tool;
        Self { r#type: "function", function: OutDescription { name: wire_name(name), description, parameters } }
    }
}

/// A tool's name as OpenAI takes it: up to 64 of `A-Z a-z 0-9 _ -`. MCP allows 128, and dots; a name
/// that does not fit is bent, with a hash to keep it apart from others.
fn wire_name(name: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(fits) {
        return Cow::Borrowed(name);
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let bent: String = name.chars().take(47).map(|c| if fits(c) { c } else { '_' }).collect();
    Cow::Owned(format!("{bent}_{:016x}", hasher.finish()))
}

/// What is answered.
#[derive(Deserialize)]
pub(crate) struct Answer {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    message: Option<InMessage>,
}

#[derive(Deserialize)]
struct InMessage {
    content: Option<Value>,
    refusal: Option<String>,
    tool_calls: Option<Vec<InCall>>,
}

#[derive(Deserialize)]
struct InCall {
    id: Option<String>,
    function: Option<InFunction>,
}

#[derive(Deserialize)]
struct InFunction {
    name: Option<String>,
    arguments: Option<Value>,
}

impl Answer {
    /// Reads the first choice. Errors: [`Error::Model`] if there is none.
    pub(crate) fn into_completion(self, offered: &[ToolOffer]) -> Result<Completion, Error> {
        let bad = |reason: &str| Error::Model { reason: reason.to_owned(), cause: None };
        let choice = self.choices.into_iter().flatten().next();
        let Some(message) = choice.and_then(|choice| choice.message) else {
            return Err(bad(if self.error.is_some() { "it answered with an error" } else { "it gave no choice" }));
        };
        let content = message.content.and_then(text).or(message.refusal);
        let mut ids = HashSet::new();
        let calls = message.tool_calls.into_iter().flatten();
        let tool_calls = calls.map(|call| call.into_domain(offered, &mut ids)).collect();
        Ok(Completion { content, tool_calls, usage: usage(self.usage.as_ref()) })
    }
}

impl InCall {
    /// Gives the call an id where it has none of its own: the answers are told apart by it.
    fn into_domain(self, offered: &[ToolOffer], ids: &mut HashSet<String>) -> ToolCall {
        let InFunction { name, arguments } = self.function.unwrap_or(InFunction { name: None, arguments: None });
        let name = name.unwrap_or_default();
        let meant = offered.iter().find(|tool| wire_name(&tool.name) == name.as_str());
        let arguments = match arguments {
            None | Some(Value::Null) => "{}".to_owned(),
            Some(Value::String(text)) if text.trim().is_empty() => "{}".to_owned(),
            Some(Value::String(text)) => text,
            Some(value) => value.to_string(),
        };
        let own = self.id.filter(|id| !id.is_empty() && !ids.contains(id));
        let id = own.unwrap_or_else(|| format!("call_{}", uuid::Uuid::new_v4().simple()));
        ids.insert(id.clone());
        ToolCall { id, name: meant.map_or(name, |tool| tool.name.clone()), arguments }
    }
}

/// The most that one turn is believed to have cost, so that sums stay far from overflow.
const MAX_TOKENS: u64 = 1 << 40;

fn usage(answer: Option<&Value>) -> Usage {
    let count = |name| answer?.get(name)?.as_u64().map(|count| count.min(MAX_TOKENS));
    let [prompt_tokens, completion_tokens] = ["prompt_tokens", "completion_tokens"].map(|it| count(it).unwrap_or(0));
    let total_tokens = count("total_tokens").unwrap_or(prompt_tokens + completion_tokens);
    Usage { prompt_tokens, completion_tokens, total_tokens }
}

/// Content is text, or a list of parts of which some are text.
fn text(content: Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            Some(texts.collect::<Vec<_>>().concat())
        }
        _ => None,
    }
}
