//! The calls of one turn of the model: which are made, in what order, and what the model sees of
//! their results.
//!
//! Deliberately absent: any decision about permissions. What is offered is the `Catalogue`'s answer,
//! and it decides again on each call.

use std::time::Instant;

use remit_domain::{
    Catalogue, Error,
    catalogue::Caller,
    model::ToolCall,
    plugin::{ContentBody, Outcome, ResourceBody, ResourceContents},
    schema::Problem,
};
use serde_json::{Map, Value, json};

use crate::{
    MadeCall, Settings,
    offers::{Offers, READ_RESOURCE},
};

/// The most calls of one turn that are answered at all; a model that asks for more has lost its way.
pub(crate) const MAX_LISTED: usize = 64;
/// What a result gets at least, however much the others took.
const LEAST_ROOM: usize = 1024;
/// The most characters of a tool's name that are repeated.
const MAX_NAME: usize = 128;
/// The most characters of an error's text that the model sees: a plugin may have written it.
const MAX_ERROR: usize = 2000;
/// The tool whose result names a ticket that was made.
const CREATE_TICKET: &str = "create_ticket";

/// Makes the calls of one reply, turn by turn.
pub(crate) struct Turn<'a> {
    catalogue: &'a Catalogue,
    caller: &'a Caller,
    offers: &'a Offers,
    settings: &'a Settings,
    room: usize,
    changed: bool,
    ticket: Option<String>,
}

/// A call that is over.
pub(crate) struct Done {
    /// For the client.
    pub(crate) made: MadeCall,
    /// For the model: one line of JSON.
    pub(crate) content: String,
}

/// A call's result before it is fitted into the room there is.
struct Ran {
    made: MadeCall,
    result: Result<Value, Value>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(
        catalogue: &'a Catalogue,
        caller: &'a Caller,
        offers: &'a Offers,
        settings: &'a Settings,
    ) -> Self {
        let room = settings.max_results_bytes;
        Self { catalogue, caller, offers, settings, room, changed: false, ticket: None }
    }

    /// Whether a tool that may change something has been called. It counts even if it failed: it
    /// may have failed halfway.
    pub(crate) fn changed_something(&self) -> bool {
        self.changed
    }

    /// The ticket that a tool made.
    pub(crate) fn ticket_made(&self) -> Option<String> {
        self.ticket.clone()
    }

    /// Makes the calls of one turn, at once if none of them changes anything, else one after
    /// another. The answers come in the order of the calls.
    ///
    /// Errors: [`Error::Journal`]; any other failure is an answer. Cancel: calls in flight are stopped.
    pub(crate) async fn run_all(&mut self, calls: &[ToolCall]) -> Result<Vec<Done>, Error> {
        let most = self.settings.max_calls_per_turn;
        let changing = calls.iter().take(most).any(|call| !self.offers.changes_nothing(&call.name));
        self.changed |= changing;
        let ran = if changing {
            let mut ran = Vec::with_capacity(calls.len());
            for (at, call) in calls.iter().enumerate() {
                ran.push(self.run(call, at < most).await?);
            }
            ran
        } else {
            futures::future::try_join_all(calls.iter().enumerate().map(|(at, call)| self.run(call, at < most))).await?
        };
        Ok(ran.into_iter().map(|ran| self.fitted(ran)).collect())
    }

    async fn run(&self, call: &ToolCall, within_limit: bool) -> Result<Ran, Error> {
        let began = Instant::now();
        let name: String = call.name.chars().take(MAX_NAME).collect();
        let parsed = serde_json::from_str::<Map<String, Value>>(&call.arguments);
        let arguments = match &parsed {
            Ok(arguments) => Value::Object(arguments.clone()),
            Err(_) => Value::String(call.arguments.chars().take(LEAST_ROOM).collect()),
        };
        let result = if within_limit {
            let wrong = |error: serde_json::Error| invalid(format!("the arguments are not a JSON object: {error}"));
            match parsed.map_err(wrong) {
                Ok(arguments) => self.dispatch(&call.name, arguments).await,
                Err(error) => Err(self.catalogue.refuse(self.caller, &call.name, &Value::Null, error).await),
            }
        } else {
            let most = self.settings.max_calls_per_turn;
            let refusal = invalid(format!("not called: at most {most} tools can be called at once"));
            Err(self.catalogue.refuse(self.caller, &call.name, &Value::Null, refusal).await)
        };
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let result = match result {
            Ok(value) => {
                tracing::info!(tool = name, duration_ms, "the tool answered");
                Ok(value)
            }
            Err(error @ Error::Journal(_)) => return Err(error),
            Err(error) => {
                // As a value, quoted: a plugin may have written the text, line breaks included.
                tracing::warn!(
                    tool = name,
                    duration_ms,
                    code = error.code(),
                    error = error.to_string(),
                    "the tool failed"
                );
                Err(failure(&name, &error))
            }
        };
        Ok(Ran { made: MadeCall { name, arguments, ok: result.is_ok(), duration_ms }, result })
    }

    async fn dispatch(&self, name: &str, arguments: Map<String, Value>) -> Result<Value, Error> {
        if self.offers.reads_resources(name) {
            return self.read_resource(&arguments).await;
        }
        if let Some((workflow, begins)) = self.offers.workflow(name) {
            let inputs = Value::Object(arguments);
            let began = begins.begin(self.caller, &workflow.name, inputs.clone());
            return self.catalogue.own(self.caller, name, &inputs, began).await;
        }
        if self.offers.tool(name).is_none() {
            let tool = name.chars().take(MAX_NAME).collect();
            let refusal = Error::UnknownTool { agent: self.caller.agent.clone(), tool };
            return Err(self.catalogue.refuse(self.caller, name, &Value::Object(arguments), refusal).await);
        }
        let outcome = self.catalogue.call(self.caller, name, Value::Object(arguments)).await?;
        Ok(shown(&outcome))
    }

    async fn read_resource(&self, arguments: &Map<String, Value>) -> Result<Value, Error> {
        let asked = Value::Object(arguments.clone());
        let Some(Value::String(name)) = arguments.get("name") else {
            let problem = Problem { pointer: "/name".to_owned(), message: "must be the name of a resource".to_owned() };
            let refusal = Error::InvalidArguments(vec![problem]);
            return Err(self.catalogue.refuse(self.caller, READ_RESOURCE, &asked, refusal).await);
        };
        if !self.offers.resources.iter().any(|resource| resource.name == *name) {
            let resource = name.chars().take(MAX_NAME).collect();
            let refusal = Error::UnknownResource { agent: self.caller.agent.clone(), resource };
            return Err(self.catalogue.refuse(self.caller, READ_RESOURCE, &asked, refusal).await);
        }
        let contents = self.catalogue.read(self.caller, name).await?;
        Ok(contents.iter().map(shown_resource).collect())
    }

    /// Fits a result into the room that is left, and notes what the reply is to know of it.
    fn fitted(&mut self, ran: Ran) -> Done {
        let Ran { made, result } = ran;
        let content = match result {
            Ok(value) => {
                if made.name == CREATE_TICKET {
                    self.ticket = ticket_in(&value).or(self.ticket.take());
                }
                let room = self.settings.max_result_bytes.min(self.room).max(LEAST_ROOM);
                json!({ "tool_name": made.name, "result": fit(value, room) })
            }
            Err(failure) => failure,
        };
        let content = content.to_string();
        self.room = self.room.saturating_sub(content.len());
        Done { made, content }
    }
}

/// A failed call, as the model is told: in the seed's shape, with the code that clients know.
pub(crate) fn failure(tool: &str, error: &Error) -> Value {
    let said: String = error.to_string().chars().take(MAX_ERROR).collect();
    let mut failure = json!({ "error": said, "code": error.code(), "tool_name": tool });
    if let (Error::InvalidArguments(problems), Some(fields)) = (error, failure.as_object_mut())
        && problems.len() > 1
    {
        fields.insert("problems".to_owned(), fit(json!(problems), MAX_ERROR));
    }
    failure
}

/// A value, or as much of it as fits; then it says that it is cut.
pub(crate) fn fit(value: Value, max_bytes: usize) -> Value {
    let text = value.to_string();
    if text.len() <= max_bytes {
        return value;
    }
    // Quotation marks within a string take two bytes each, so half is sure to fit.
    let kept = text.get(..text.floor_char_boundary(max_bytes / 2)).unwrap_or_default();
    let note = format!("cut: these are the first {} of {} bytes", kept.len(), text.len());
    json!({ "truncated": true, "note": note, "beginning": kept })
}

/// What the model sees of a tool's answer: its structure, else its texts. Pictures and sounds are
/// named, not shown.
pub(crate) fn shown(outcome: &Outcome) -> Value {
    if let Some(structured) = &outcome.structured {
        return structured.clone();
    }
    let pieces = outcome.content.iter().map(|content| match &content.body {
        ContentBody::Text(text) => text.clone(),
        ContentBody::Image(media) => format!("[an image, {}, {} bytes]", media.mime_type, media.data.len()),
        ContentBody::Audio(media) => format!("[a sound, {}, {} bytes]", media.mime_type, media.data.len()),
        ContentBody::Link(link) => format!("[a link to the resource {}: {}]", link.name, link.uri),
        ContentBody::Embedded(contents) => shown_resource(contents).to_string(),
    });
    Value::String(pieces.collect::<Vec<_>>().join("\n"))
}

fn shown_resource(contents: &ResourceContents) -> Value {
    let (key, body) = match &contents.body {
        ResourceBody::Text(text) => ("text", json!(text)),
        ResourceBody::Blob(data) => ("bytes", json!(data.len())),
    };
    json!({ "uri": contents.uri, "mimeType": contents.mime_type, key: body })
}

/// The id of a ticket that was made, wherever a set puts it.
fn ticket_in(value: &Value) -> Option<String> {
    let places = ["/ticket_id", "/ticketId", "/ticket/id", "/ticket/ticket_id", "/id"];
    let id = places.iter().find_map(|place| value.pointer(place))?;
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}

fn invalid(message: String) -> Error {
    Error::InvalidArguments(vec![Problem { pointer: String::new(), message }])
}
