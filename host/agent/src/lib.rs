//! Chat: an agent of a tenant answers a message, with the tools that its remit gives it.
//!
//! A message becomes a conversation of the model with the tools, bounded in rounds, calls and bytes.
//! Every call goes through the `Catalogue`, which decides, checks and records it. Deliberately
//! absent: streaming, HTTP, how a model is reached, where conversations are kept, and tasks of its
//! own: dropping the future of a reply stops everything that it began.

mod answer;
mod ask;
mod busy;
mod history;
mod measure;
mod offers;
mod prompt;
mod request;
mod turn;

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use remit_domain::{
    Catalogue, Error,
    catalogue::Caller,
    conversation::{Conversations, Key},
    model::{self, Message, Model, Models, Usage},
    usage::Meter,
    workflows::Offered,
};
use serde_json::json;
use tracing::Instrument;

pub use answer::{Answer, MadeCall};
pub use request::{Details, Request};

use busy::Busy;
use measure::Measure;
use offers::Offers;
use request::Question;
use turn::Turn;

/// The tool by which a ticket's data is fetched.
const GET_TICKET: &str = "get_ticket";

/// What bounds a reply.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most rounds in which the model may call tools; then it must answer.
    pub max_tool_calls: usize,
    /// How long a reply may take in all.
    pub reply_time: Duration,
    /// The most calls that are made in one round; the rest are answered as errors.
    pub max_calls_per_turn: usize,
    /// The most bytes of JSON of one tool's result that the model sees.
    pub max_result_bytes: usize,
    /// The most bytes of all results of one reply together.
    pub max_results_bytes: usize,
    /// The most bytes of a user's message.
    pub max_message_bytes: usize,
    /// The most bytes of an answer; a longer one is cut, and says so.
    pub max_answer_bytes: usize,
    /// The most messages of a conversation that the model is reminded of.
    pub max_history_messages: usize,
    /// The most bytes of them.
    pub max_history_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_tool_calls: 5,
            reply_time: Duration::from_secs(300),
            max_calls_per_turn: 16,
            max_result_bytes: 64 * 1024,
            max_results_bytes: 256 * 1024,
            max_message_bytes: 64 * 1024,
            max_answer_bytes: 256 * 1024,
            max_history_messages: 40,
            max_history_bytes: 200 * 1024,
        }
    }
}

/// The chat of all agents of all tenants.
pub struct Chat {
    catalogue: Catalogue,
    models: Arc<dyn Models>,
    conversations: Arc<dyn Conversations>,
    settings: Settings,
    busy: Busy,
    /// Workflows, which ask agents themselves: known once both are there.
    workflows: OnceLock<Arc<dyn Offered>>,
}

impl Chat {
    /// Joins the ports.
    pub fn new(
        catalogue: Catalogue,
        models: Arc<dyn Models>,
        conversations: Arc<dyn Conversations>,
        settings: Settings,
    ) -> Self {
        Self { catalogue, models, conversations, settings, busy: Busy::default(), workflows: OnceLock::new() }
    }

    /// Offers workflows from now on, to the agents whose context lists them. The first word counts. A workflow's
    /// own question to an agent is never offered any: workflows would begin each other without end.
    pub fn offer(&self, workflows: Arc<dyn Offered>) {
        let _ = self.workflows.set(workflows);
    }

    /// Answers a message, and keeps both before it returns.
    ///
    /// Errors: [`Error::InvalidArguments`] for a request out of bounds; [`Error::Quota`]; [`Error::NoModel`];
    /// [`Error::ConversationBusy`] while another request is at work on the conversation;
    /// [`Error::Deadline`] after [`Settings::reply_time`]; [`Error::Model`] and [`Error::ModelUnavailable`]; [`Error::Journal`] if the conversation or a
    /// call could not be kept. Any other failure of a tool is told to the model, not to the caller.
    /// Cancel: calls in flight are stopped, and nothing is added to the conversation.
    ///
    /// Where the model fails after a tool has changed something, the conversation keeps what
    /// happened, and the error is not one that invites the same request again.
    pub async fn reply(&self, mut request: Request) -> Result<Answer, Error> {
        // It would make one call of all that the model makes.
        request.caller.idempotency_key = None;
        let mut measure = Measure::begin(&request.caller);
        let caller = &request.caller;
        let span = tracing::info_span!(
            "agent_reply", request = %caller.request, tenant = %caller.context.tenant, agent = %caller.agent
        );
        let answering = self.answer(&request, &mut measure).instrument(span);
        let result = match tokio::time::timeout(self.settings.reply_time, answering).await {
            Ok(result) => result,
            Err(_) => {
                let allowed_ms = u64::try_from(self.settings.reply_time.as_millis()).unwrap_or(u64::MAX);
                Err(Error::Deadline { limit: "the time for a reply", allowed_ms })
            }
        };
        measure.end(&result);
        result
    }

    async fn answer(&self, request: &Request, measure: &mut Measure) -> Result<Answer, Error> {
        let caller = &request.caller;
        let question = Question::check(request, &self.settings)?;
        let (_, agent) = caller.context.agent(caller.agent.as_str())?;
        // What a reply costs is known once it was given: one that has begun is answered to its end.
        self.catalogue.usage().check(&caller.payer(), Meter::Tokens)?;
        let model = self.models.of(&caller.context)?;
        let id = question.conversation.to_string();
        let key = Key { tenant: caller.context.tenant.clone(), agent: caller.agent.clone(), id };
        let _working = self.busy.enter(&key)?;
        let history = self.conversations.load(&key, history::most(&self.settings)).await?;
        let history = history::recent(history, &self.settings);

        let offers = Offers::of(&self.catalogue, caller).with_workflows(self.workflows.get(), caller);
        measure.tools_available(offers.available());
        let mut messages = vec![Message::System { content: prompt::system(caller, agent, &offers, &self.catalogue) }];
        messages.extend(history);
        messages.extend(self.context_lines(caller, &request.details).await?);
        let asked_at = messages.len();
        messages.push(Message::User { content: request.message.clone() });

        let asked = model::Request { messages, tools: offers.to_model(), temperature: agent.temperature, answer: None };
        let turn = Turn::new(&self.catalogue, caller, &offers, &self.settings);
        let spend = |usage: Usage| self.catalogue.usage().note(&caller.payer(), Meter::Tokens, usage.total_tokens);
        let mut talk =
            Talk { model: model.as_ref(), asked, turn, usage: Usage::default(), spend: &spend, made: Vec::new() };
        let response = talk.until_answered(&self.settings).await;
        measure.calls(&talk.made);
        let response = match response {
            Ok(response) => answer::cut(response, self.settings.max_answer_bytes),
            Err(error) if talk.turn.changed_something() => {
                let happened = talk.asked.messages.get(asked_at..).unwrap_or_default();
                self.conversations.append(&key, happened).await?;
                return Err(not_to_be_repeated(error));
            }
            Err(error) => return Err(error),
        };
        talk.asked.messages.push(Message::Assistant { content: Some(response.clone()), tool_calls: Vec::new() });

        let new = talk.asked.messages.get(asked_at..).unwrap_or_default();
        self.conversations.append(&key, new).await?;
        Ok(Answer {
            success: true,
            response,
            tool_calls_made: talk.made.len(),
            tools_available: offers.available(),
            conversation_length: talk.asked.messages.len(),
            agent_type: caller.agent.clone(),
            usage: talk.usage,
            model: model.name().to_owned(),
            conversation_id: key.id.clone(),
            ticket_id: request.details.ticket_id.clone().or_else(|| talk.turn.ticket_made()),
            tool_calls: talk.made,
        })
    }

    /// What the request says beside its message, as lines of the host. They hold other people's
    /// words, so each is one line of JSON, and the system prompt calls it data.
    async fn context_lines(&self, caller: &Caller, details: &Details) -> Result<Vec<Message>, Error> {
        let mut fields = details.fields();
        let mut lines = Vec::new();
        let has_ticket = |tool: &remit_domain::catalogue::OfferedTool| tool.tool().name == GET_TICKET;
        if let Some(id) = &details.ticket_id
            && self.catalogue.tools(caller).iter().any(has_ticket)
        {
            fields.remove("ticket_id");
            let ticket = match self.catalogue.call(caller, GET_TICKET, json!({ "ticket_id": id })).await {
                Ok(outcome) => turn::fit(turn::shown(&outcome), self.settings.max_result_bytes),
                Err(error @ Error::Journal(_)) => return Err(error),
                Err(error) => turn::failure(GET_TICKET, &error),
            };
            lines.push(Message::System { content: format!("Ticket Context: {ticket}") });
        }
        if !fields.is_empty() {
            let fields = serde_json::Value::Object(fields);
            lines.push(Message::System { content: format!("Request Context: {fields}") });
        }
        Ok(lines)
    }
}

/// The model and the tools at work on one message.
struct Talk<'a> {
    model: &'a dyn Model,
    asked: model::Request,
    turn: Turn<'a>,
    usage: Usage,
    /// Is told what each completion cost, as soon as it is there.
    spend: &'a (dyn Fn(Usage) + Sync),
    made: Vec<MadeCall>,
}

impl Talk<'_> {
    /// Lets the model call tools until it answers, or until it must.
    async fn until_answered(&mut self, settings: &Settings) -> Result<String, Error> {
        for _ in 0..settings.max_tool_calls {
            let model::Completion { content, mut tool_calls, usage } = self.model.complete(&self.asked).await?;
            self.spend(usage);
            if tool_calls.is_empty() {
                match spoken(content) {
                    Some(answer) => return Ok(answer),
                    None => break,
                }
            }
            tracing::info!(calls = tool_calls.len(), "the agent calls tools");
            tool_calls.truncate(turn::MAX_LISTED);
            let done = self.turn.run_all(&tool_calls).await?;
            let ids: Vec<String> = tool_calls.iter().map(|call| call.id.clone()).collect();
            self.asked.messages.push(Message::Assistant { content, tool_calls });
            for (tool_call_id, done) in ids.into_iter().zip(done) {
                self.asked.messages.push(Message::Tool { tool_call_id, content: done.content });
                self.made.push(done.made);
            }
        }
        self.last_word().await
    }

    /// The answer that the model gives when it is told what is wrong with its last.
    async fn corrected(&mut self, answer: String, fault: &str) -> Result<String, Error> {
        self.asked.tools.clear();
        self.asked.messages.push(Message::Assistant { content: Some(answer), tool_calls: Vec::new() });
        self.asked.messages.push(Message::System { content: format!("{} {fault}", prompt::WRONG_FORM) });
        let model::Completion { content, usage, .. } = self.model.complete(&self.asked).await?;
        self.spend(usage);
        spoken(content).ok_or_else(|| Error::Model { reason: "it gave no answer in words".to_owned(), cause: None })
    }

    fn spend(&mut self, usage: Usage) {
        self.usage += usage;
        (self.spend)(usage);
    }

    /// The answer that the model must give now, without tools.
    async fn last_word(&mut self) -> Result<String, Error> {
        self.asked.tools.clear();
        self.asked.messages.push(Message::System { content: prompt::LAST_WORD.to_owned() });
        let completion = self.model.complete(&self.asked).await;
        self.asked.messages.pop();
        let model::Completion { content, usage, .. } = completion?;
        self.spend(usage);
        spoken(content).ok_or_else(|| Error::Model { reason: "it gave no answer in words".to_owned(), cause: None })
    }
}

/// What the model said, if it said anything.
fn spoken(content: Option<String>) -> Option<String> {
    content.filter(|text| !text.trim().is_empty())
}

/// The same request would change things twice.
fn not_to_be_repeated(error: Error) -> Error {
    match error {
        Error::ModelUnavailable { cause, .. } => {
            Error::Model { reason: "it fell silent after tools had changed something".to_owned(), cause: Some(cause) }
        }
        other => other,
    }
}
