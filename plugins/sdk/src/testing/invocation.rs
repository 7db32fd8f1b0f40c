//! A call made by hand, and what the tool told through it.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::{Source, handles::Grants};
use crate::{
    AskError, Call, CallContext, Company, Door, Level, MappedSource, Permission, Sample, Sampling,
    bindings::remit::plugin::invocation::{Answer, Question},
};

/// Begins a call of the agent `sales` of the tenant `test`, without sources, on 2026-11-23 at 12:00 UTC.
pub fn call() -> FakeCall {
    let context = CallContext {
        tenant: "test".to_owned(),
        company: Company { name: "Test Inc".to_owned(), industry: None, website: None, time_zone: "UTC".to_owned() },
        agent: "sales".to_owned(),
        sets: Vec::new(),
        sources: Vec::new(),
        settings: "{}".to_owned(),
        user: None,
        door: Door::Console,
        call_id: "call-1".to_owned(),
        started: "2026-11-23T12:00:00Z".to_owned(),
        attempt: 1,
        idempotency_key: "key-1".to_owned(),
    };
    let invocation = Invocation {
        context,
        told: Told::default(),
        cancelled: false,
        remaining_ms: 30_000,
        answers: HashMap::new(),
        samples: None,
    };
    FakeCall { grants: Grants::default(), invocation }
}

/// A call being put together.
pub struct FakeCall {
    grants: Grants,
    invocation: Invocation,
}

impl FakeCall {
    /// The agent's name.
    #[must_use]
    pub fn agent(mut self, name: &str) -> Self {
        self.invocation.context.agent = name.to_owned();
        self
    }

    /// When it began, in RFC 3339.
    #[must_use]
    pub fn started(mut self, instant: &str) -> Self {
        self.invocation.context.started = instant.to_owned();
        self
    }

    /// The plugin's settings.
    #[must_use]
    pub fn settings(mut self, settings: &serde_json::Value) -> Self {
        self.invocation.context.settings = settings.to_string();
        self
    }

    /// Hands over a source to read.
    #[must_use]
    pub fn reads(self, name: &str, source: impl Into<Source>) -> Self {
        self.grant(name, source.into(), Permission::Read)
    }

    /// Hands over a source to read and write.
    #[must_use]
    pub fn writes(self, name: &str, source: impl Into<Source>) -> Self {
        self.grant(name, source.into(), Permission::Write)
    }

    /// How a question is answered: JSON for acceptance, none for a refusal. Questions without an answer
    /// are `unsupported`.
    #[must_use]
    pub fn answers(mut self, key: &str, answer: Option<serde_json::Value>) -> Self {
        let answer = answer.map_or(Answer::Declined, |json| Answer::Accepted(json.to_string()));
        self.invocation.answers.insert(key.to_owned(), answer);
        self
    }

    /// What the agent's language model writes. Without it, sampling is `unsupported`.
    #[must_use]
    pub fn samples(mut self, model: impl Fn(&Sampling) -> Sample + 'static) -> Self {
        self.invocation.samples = Some(Box::new(model));
        self
    }

    /// As if it were cancelled already.
    #[must_use]
    pub fn cancelled(mut self) -> Self {
        self.invocation.cancelled = true;
        self
    }

    /// As if it had so long to go.
    #[must_use]
    pub fn remaining_ms(mut self, remaining: u32) -> Self {
        self.invocation.remaining_ms = remaining;
        self
    }

    /// Anything else of its circumstances.
    #[must_use]
    pub fn context(mut self, change: impl FnOnce(&mut CallContext)) -> Self {
        change(&mut self.invocation.context);
        self
    }

    /// What the tool will have told; to be kept before [`Self::build`].
    pub fn told(&self) -> Told {
        self.invocation.told.clone()
    }

    /// The call, to pass to the tool.
    pub fn build(self) -> Call {
        Call::new(self.grants, self.invocation)
    }

    fn grant(mut self, name: &str, source: Source, permission: Permission) -> Self {
        self.invocation.context.sources.push(MappedSource { source: name.to_owned(), permission });
        self.grants.0.push((name.to_owned(), source, permission));
        self
    }
}

/// What a tool told while it ran.
#[derive(Debug, Clone, Default)]
pub struct Told(Rc<RefCell<Notes>>);

impl Told {
    /// Its log, without fields.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.0.borrow().log.clone()
    }

    /// How far it said to be, in order.
    pub fn progress(&self) -> Vec<f64> {
        self.0.borrow().progress.clone()
    }

    /// The resources that it said had changed.
    pub fn updated(&self) -> Vec<String> {
        self.0.borrow().updated.clone()
    }
}

#[derive(Debug, Default)]
struct Notes {
    log: Vec<(Level, String)>,
    progress: Vec<f64>,
    updated: Vec<String>,
}

pub(crate) struct Invocation {
    context: CallContext,
    told: Told,
    cancelled: bool,
    remaining_ms: u32,
    answers: HashMap<String, Answer>,
    samples: Option<Model>,
}

type Model = Box<dyn Fn(&Sampling) -> Sample>;

impl Invocation {
    pub(crate) fn context(&self) -> CallContext {
        self.context.clone()
    }

    pub(crate) fn progress(&self, done: f64, _: Option<f64>, _: Option<&str>) {
        self.told.0.borrow_mut().progress.push(done);
    }

    pub(crate) fn log(&self, level: Level, message: &str, _: Option<&str>) {
        self.told.0.borrow_mut().log.push((level, message.to_owned()));
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancelled
    }

    pub(crate) fn remaining_ms(&self) -> u32 {
        self.remaining_ms
    }

    pub(crate) fn elicit(&self, question: &Question) -> Result<Answer, AskError> {
        self.answers.get(&question.key).cloned().ok_or(AskError::Unsupported)
    }

    pub(crate) fn sample(&self, request: &Sampling) -> Result<Sample, AskError> {
        self.samples.as_ref().map(|model| model(request)).ok_or(AskError::Unsupported)
    }

    pub(crate) fn resource_updated(&self, uri: &str) {
        self.told.0.borrow_mut().updated.push(uri.to_owned());
    }
}
