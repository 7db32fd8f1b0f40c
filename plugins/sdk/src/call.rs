//! The call in progress: the sources it was granted, for whom it is made, and how to tell and ask.

use std::{cell::OnceCell, time::Duration};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    AskError, CallContext, Error, Level, Message, Permission, Result, Sample, Sampling, Timestamp,
    bindings::remit::plugin::invocation::{Answer, Question},
    handles::{Grants, Invocation},
    schema,
    source::{Api, Channel, Database, DocumentStore, Folder},
};

/// The call in progress. It reaches exactly the sources that the tool declared and the agent's mapping
/// permits.
pub struct Call {
    grants: Grants,
    invocation: Invocation,
    context: OnceCell<CallContext>,
}

/// What the user made of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered<T> {
    /// Filled in.
    Accepted(T),
    /// Said no.
    Declined,
    /// Closed it without a choice.
    Dismissed,
}

impl Call {
    /// The call that the host handed over. `tool_set!` calls this.
    #[doc(hidden)]
    #[cfg(target_arch = "wasm32")]
    pub fn of_host(grants: Grants, invocation: Invocation) -> Self {
        Self::new(grants, invocation)
    }

    pub(crate) fn new(grants: Grants, invocation: Invocation) -> Self {
        Self { grants, invocation, context: OnceCell::new() }
    }

    /// The database granted under a name. Errors: `not-granted`.
    pub fn database(&self, name: &str) -> Result<Database> {
        Database::take(&self.grants, name)
    }

    /// The document database granted under a name. Errors: `not-granted`.
    pub fn documents(&self, name: &str) -> Result<DocumentStore> {
        DocumentStore::take(&self.grants, name)
    }

    /// The HTTP service granted under a name. Errors: `not-granted`.
    pub fn api(&self, name: &str) -> Result<Api> {
        Api::take(&self.grants, name)
    }

    /// The folder granted under a name. Errors: `not-granted`.
    pub fn folder(&self, name: &str) -> Result<Folder> {
        Folder::take(&self.grants, name)
    }

    /// The channel granted under a name. Errors: `not-granted`.
    pub fn channel(&self, name: &str) -> Result<Channel> {
        Channel::take(&self.grants, name)
    }

    /// Whether this call was handed a source: the question to ask before an optional one is taken.
    pub fn has(&self, source: &str) -> bool {
        self.grants.names().iter().any(|it| it == source)
    }

    /// Whether this call was handed a source that the agent may write to.
    pub fn may_write(&self, source: &str) -> bool {
        let mapped = self.context().sources.iter().find(|it| it.source == source);
        mapped.is_some_and(|it| it.permission == Permission::Write) && self.has(source)
    }

    /// For whom and for what the call is made.
    pub fn context(&self) -> &CallContext {
        self.context.get_or_init(|| self.invocation.context())
    }

    /// The agent's name, such as `sales`.
    pub fn agent(&self) -> &str {
        &self.context().agent
    }

    /// When the call began; the same for every attempt of a workflow's step, so the clock to use.
    /// Errors: `refused` if the host gave no instant.
    pub fn started(&self) -> Result<Timestamp> {
        let started = &self.context().started;
        started.parse().map_err(|_| Error::refused(format!("the call began at no known time: {started}")))
    }

    /// The plugin's settings for this tenant. Errors: `refused` if they are not of this form.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.context().settings)
            .map_err(|error| Error::refused(format!("the plugin's settings are not as expected: {error}")))
    }

    /// How far the work is, on a scale of the tool's choice; must not go back.
    pub fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        self.invocation.progress(done, total, message);
    }

    /// A line of log, kept with the call.
    pub fn log(&self, level: Level, message: &str) {
        self.invocation.log(level, message, None);
    }

    /// A line of log with fields: an object, or it is left out.
    pub fn log_with(&self, level: Level, message: &str, fields: &impl Serialize) {
        let fields = serde_json::to_string(fields).ok().filter(|it| it.starts_with('{'));
        self.invocation.log(level, message, fields.as_deref());
    }

    /// Whether to stop. Every operation on a source answers `cancelled` then.
    pub fn cancelled(&self) -> bool {
        self.invocation.cancelled()
    }

    /// Until the host ends the call.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.invocation.remaining_ms().into())
    }

    /// Asks the user to fill in a form: a struct of strings, numbers, booleans and enums. `key` names
    /// the question within the call.
    ///
    /// Ask first, act after: where the answer takes long, the host ends the call (`?` on `suspended`
    /// does what is needed) and makes it again when the answer is there.
    pub fn elicit<T: DeserializeOwned + JsonSchema>(&self, key: &str, message: &str) -> Result<Answered<T>, AskError> {
        let schema = serde_json::to_string(&schema::of_arguments::<T>())
            .map_err(|error| AskError::Invalid(error.to_string()))?;
        let question = Question { key: key.to_owned(), message: message.to_owned(), schema };
        Ok(match self.invocation.elicit(&question)? {
            Answer::Accepted(json) => {
                Answered::Accepted(serde_json::from_str(&json).map_err(|error| AskError::Invalid(error.to_string()))?)
            }
            Answer::Declined => Answered::Declined,
            Answer::Dismissed => Answered::Dismissed,
        })
    }

    /// Asks the agent's language model, at the tenant's cost.
    pub fn sample(&self, request: &Sampling) -> Result<Sample, AskError> {
        self.invocation.sample(request)
    }

    /// Tells subscribers that a resource changed.
    pub fn resource_updated(&self, uri: &str) {
        self.invocation.resource_updated(uri);
    }
}

impl Sampling {
    /// A request of one conversation. `key` names it within the call.
    pub fn new(key: impl Into<String>, messages: Vec<Message>, max_tokens: u32) -> Self {
        Self { key: key.into(), messages, system: None, max_tokens, temperature: None }
    }
}
