//! Questions of the host's own, such as a workflow's step: answered with the agent's tools, without a
//! conversation, in a wanted form where one is wanted.

use async_trait::async_trait;
use remit_domain::{
    Error,
    agents::{Agents, Question, Reply},
    catalogue::Caller,
    model::{self, Message, Usage},
    schema::{Problem, Schema},
    usage::Meter,
};
use serde_json::{Map, Value};
use tracing::Instrument;

use crate::{Chat, Talk, offers::Offers, prompt, turn::Turn};

/// The most characters of a fault that the model is told of its answer.
const MAX_FAULT: usize = 500;

#[async_trait]
impl Agents for Chat {
    async fn ask(&self, caller: &Caller, question: &Question) -> Result<Reply, Error> {
        // It would make one call of all that the model makes.
        let caller = Caller { idempotency_key: None, ..caller.clone() };
        let span = tracing::info_span!(
            "agent_reply", request = %caller.request, tenant = %caller.context.tenant, agent = %caller.agent
        );
        let asking = self.asked(&caller, question).instrument(span);
        let allowed_ms = u64::try_from(self.settings.reply_time.as_millis()).unwrap_or(u64::MAX);
        let late = |_| Error::Deadline { limit: "the time for a reply", allowed_ms };
        tokio::time::timeout(self.settings.reply_time, asking).await.map_err(late)?
    }
}

impl Chat {
    async fn asked(&self, caller: &Caller, question: &Question) -> Result<Reply, Error> {
        let (_, agent) = caller.context.agent(caller.agent.as_str())?;
        if question.prompt.len() > self.settings.max_results_bytes {
            let message = format!("longer than {} bytes", self.settings.max_results_bytes);
            return Err(Error::InvalidArguments(vec![Problem { pointer: "/prompt".to_owned(), message }]));
        }
        let schema = question.schema.clone().map(Schema::new).transpose();
        let schema = schema.map_err(|error| {
            Error::InvalidArguments(vec![Problem { pointer: "/outputSchema".to_owned(), message: error.to_string() }])
        })?;
        self.catalogue.usage().check(&caller.payer(), Meter::Tokens)?;
        let model = self.models.of(&caller.context)?;
        let offers = Offers::of(&self.catalogue, caller);
        let mut messages = vec![Message::System { content: prompt::system(caller, agent, &offers, &self.catalogue) }];
        if let Some(schema) = &question.schema {
            messages.push(Message::System { content: prompt::form(schema) });
        }
        messages.push(Message::User { content: question.prompt.clone() });
        let temperature = question.temperature.unwrap_or(agent.temperature);
        let request =
            model::Request { messages, tools: offers.to_model(), temperature, answer: question.schema.clone() };
        let turn = Turn::new(&self.catalogue, caller, &offers, &self.settings);
        let spend = |usage: Usage| self.catalogue.usage().note(&caller.payer(), Meter::Tokens, usage.total_tokens);
        let mut talk = Talk {
            model: model.as_ref(),
            asked: request,
            turn,
            usage: Usage::default(),
            spend: &spend,
            made: Vec::new(),
        };
        let mut text = talk.until_answered(&self.settings).await?;
        let mut fields = None;
        if let Some(schema) = &schema {
            fields = match read(&text, schema) {
                Ok(fields) => Some(fields),
                Err(fault) => {
                    // Once more, with what is wrong with it.
                    text = talk.corrected(text, &fault).await?;
                    let wrong = |fault| Error::Model {
                        reason: format!("its answer has not the wanted form: {fault}"),
                        cause: None,
                    };
                    Some(read(&text, schema).map_err(wrong)?)
                }
            };
        }
        let tool_calls = talk.made.len();
        Ok(Reply { text, fields, tool_calls, model: model.name().to_owned() })
    }
}

/// The fields of an answer. Errors: what is wrong with it, without its words.
fn read(text: &str, schema: &Schema) -> Result<Map<String, Value>, String> {
    let text = text.trim();
    // Models like to put their JSON into a block of code.
    let fenced = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let text = fenced.map_or(text, |inside| inside.trim_start_matches(|c: char| c.is_ascii_alphabetic()));
    let value: Value = serde_json::from_str(text.trim()).map_err(|error| format!("not JSON: {error}"))?;
    let shown = |problems: Vec<Problem>| {
        let shown: Vec<String> =
            problems.iter().map(|problem| format!("`{}`: {}", problem.pointer, problem.message)).collect();
        shown.join("; ").chars().take(MAX_FAULT).collect::<String>()
    };
    schema.check(&value).map_err(shown)?;
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err("not an object".to_owned()),
    }
}
