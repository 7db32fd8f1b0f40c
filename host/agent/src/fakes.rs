//! Fake ports behind a real `Catalogue`: a tenant with one agent, a plugin whose tools are closures,
//! and a model that follows a script.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use remit_domain::{
    AgentName, Catalogue, Error, PluginName, RequestId, SourceName, TenantId,
    access::Principal,
    audit::{AuditLog, Deed, Door, Event},
    catalogue::Caller,
    clock::SystemClock,
    conversation::{Conversations, Key},
    data,
    grant::{Grants, Need, Permission},
    model::{self, Completion, Message, Model, Models, ToolCall, Usage},
    plugin::{
        Annotations, Content, ContentBody, Description, Invocation, Outcome, Plugin, Plugins, Resource, ResourceBody,
        ResourceContents, Tool,
    },
    schema::Schema,
    source::Definition,
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
    usage::Quotas,
};
use serde_json::{Value, json};

use crate::{Chat, Details, Request, Settings};

type Handler = Arc<dyn Fn(String, Value) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// A tenant, its agent `sales`, and everything around them.
pub(crate) struct World {
    pub(crate) listed: Option<BTreeSet<String>>,
    pub(crate) mapped: bool,
    pub(crate) tools: Vec<Tool>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) handler: Handler,
    pub(crate) settings: Settings,
    pub(crate) quotas: Quotas,
}

/// A chat over a world, with what its ports have seen.
pub(crate) struct Stage {
    pub(crate) chat: Chat,
    pub(crate) context: Arc<Context>,
    pub(crate) model: Arc<Script>,
    pub(crate) store: Arc<Store>,
    pub(crate) audit: Arc<Audit>,
}

impl World {
    /// Tools `look_a` and `look_b` that read, `change` that writes, `vault` that the mapping does not
    /// grant; all answer with their name and arguments.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let echo: Handler =
            Arc::new(|tool, arguments| Box::pin(async move { Ok(json!({ "did": tool, "with": arguments })) }));
        Ok(Self {
            listed: None,
            mapped: true,
            tools: vec![
                tool("look_a", true, "primary")?,
                tool("look_b", true, "primary")?,
                tool("change", false, "primary")?,
                tool("vault", true, "secret")?,
            ],
            resources: Vec::new(),
            handler: echo,
            settings: Settings::default(),
            quotas: Quotas::NONE,
        })
    }

    pub(crate) fn handle<F>(mut self, handler: impl Fn(String, Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        self.handler = Arc::new(move |tool, arguments| Box::pin(handler(tool, arguments)));
        self
    }

    pub(crate) fn resource(mut self, name: &str) -> Self {
        self.resources.push(Resource {
            uri: format!("remit://crm/{name}"),
            name: name.to_owned(),
            title: None,
            description: Some(format!("The\n{name}")),
            mime_type: None,
            needs: Vec::new(),
        });
        self
    }

    pub(crate) fn stage(self, script: impl IntoIterator<Item = Completion>) -> anyhow::Result<Stage> {
        let primary = SourceName::new("primary")?;
        let set = PluginName::new("crm")?;
        let mapping = Mapping {
            order: vec![primary.clone()],
            permissions: BTreeMap::from([(primary.clone(), Permission::Write)]),
            scopes: BTreeMap::new(),
            sets: vec![set.clone()],
        };
        let agent = Agent {
            system_prompt: "You sell.".to_owned(),
            temperature: 0.0,
            tools: self.listed,
            mapping: self.mapped.then_some(mapping),
            workflows: Vec::new(),
        };
        let definition = Definition {
            name: primary.clone(),
            authored_kind: "mysql".to_owned(),
            kind: remit_domain::source::Kind::Unconnected { kind: "mysql".to_owned() },
            revision: String::new(),
            cache: None,
        };
        let mut limits = remit_domain::limits::Limits::default();
        limits.quotas = self.quotas;
        let blank = Context::of(TenantId::new("techstart")?, "TechStart Inc");
        let context = Arc::new(Context {
            company: Company { industry: Some("Technology".to_owned()), ..blank.company },
            agents: BTreeMap::from([(AgentName::new("sales")?, agent)]),
            sources: BTreeMap::from([(primary, Arc::new(definition))]),
            limits,
            ..blank
        });
        let description = Description {
            name: set,
            version: "1.0.0".to_owned(),
            digest: "sha256:0".to_owned(),
            title: None,
            instructions: None,
            tools: self.tools,
            resources: self.resources,
            templates: Vec::new(),
            nodes: Vec::new(),
        };
        let plugin = Arc::new(Set { description, handler: self.handler });
        let audit = Arc::new(Audit::default());
        let catalogue = Catalogue::new(
            Arc::new(OneTenant(context.clone())),
            plugin,
            Arc::new(NoSources),
            audit.clone(),
            Arc::new(SystemClock),
        );
        let model = Arc::new(Script::new(script));
        let store = Arc::new(Store::default());
        let models = Arc::new(OneModel(model.clone()));
        let chat = Chat::new(catalogue, models, store.clone(), self.settings);
        Ok(Stage { chat, context, model, store, audit })
    }
}

impl Stage {
    pub(crate) fn request(&self, message: &str) -> Result<Request, Error> {
        let (anyone, request) = (Principal::anyone(), RequestId::random());
        let caller = Caller::new(anyone, self.context.clone(), "sales", Door::Chat, request)?;
        Ok(Request { caller, message: message.to_owned(), conversation: None, details: Details::default() })
    }
}

/// A tool that takes any object with at most a number `n`.
pub(crate) fn tool(name: &str, read_only: bool, source: &str) -> anyhow::Result<Tool> {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let permission = if read_only { Permission::Read } else { Permission::Write };
    Ok(Tool {
        name: name.to_owned(),
        title: None,
        description: format!("Does {name}"),
        input: Schema::new(schema)?,
        output: None,
        annotations: Annotations { read_only, destructive: false, idempotent: false, open_world: false },
        needs: vec![Need { source: SourceName::new(source)?, permission, optional: false }],
    })
}

/// A turn in which the model wants tools called.
pub(crate) fn calls(calls: &[(&str, &str)]) -> Completion {
    let calls = calls.iter().enumerate().map(|(at, (name, arguments))| ToolCall {
        id: format!("call_{at}"),
        name: (*name).to_owned(),
        arguments: (*arguments).to_owned(),
    });
    Completion { content: None, tool_calls: calls.collect(), usage: USAGE }
}

/// A turn in which the model speaks.
pub(crate) fn says(text: &str) -> Completion {
    Completion { content: Some(text.to_owned()), tool_calls: Vec::new(), usage: USAGE }
}

/// What each scripted turn costs.
pub(crate) const USAGE: Usage = Usage { prompt_tokens: 2, completion_tokens: 1, total_tokens: 3 };

/// A model that says what it is told to; at the end of its script it is not available.
pub(crate) struct Script {
    turns: Mutex<VecDeque<Completion>>,
    seen: Mutex<Vec<model::Request>>,
    hangs: Mutex<bool>,
}

impl Script {
    fn new(turns: impl IntoIterator<Item = Completion>) -> Self {
        Self { turns: Mutex::new(turns.into_iter().collect()), seen: Mutex::default(), hangs: Mutex::default() }
    }

    /// What it was asked, in order.
    pub(crate) fn seen(&self) -> Vec<model::Request> {
        locked(&self.seen).clone()
    }

    /// Makes it never answer, or answer again.
    pub(crate) fn hang(&self, hangs: bool) {
        *locked(&self.hangs) = hangs;
    }
}

#[async_trait]
impl Model for Script {
    fn name(&self) -> &str {
        "script"
    }

    async fn complete(&self, request: &model::Request) -> Result<Completion, Error> {
        locked(&self.seen).push(request.clone());
        let hangs = *locked(&self.hangs);
        if hangs {
            return std::future::pending().await;
        }
        let unavailable = || Error::ModelUnavailable { retry_after_ms: None, cause: "the script is over".into() };
        locked(&self.turns).pop_front().ok_or_else(unavailable)
    }
}

struct OneModel(Arc<Script>);

impl Models for OneModel {
    fn of(&self, _: &Context) -> Result<Arc<dyn Model>, Error> {
        Ok(self.0.clone())
    }
}

/// Conversations in memory.
#[derive(Default)]
pub(crate) struct Store(Mutex<HashMap<Key, Vec<Message>>>);

impl Store {
    /// All messages of all conversations.
    pub(crate) fn all(&self) -> Vec<Message> {
        locked(&self.0).values().flatten().cloned().collect()
    }
}

#[async_trait]
impl Conversations for Store {
    async fn load(&self, key: &Key, most: usize) -> Result<Vec<Message>, Error> {
        let mut messages = locked(&self.0).get(key).cloned().unwrap_or_default();
        Ok(messages.split_off(messages.len().saturating_sub(most)))
    }

    async fn append(&self, key: &Key, messages: &[Message]) -> Result<(), Error> {
        locked(&self.0).entry(key.clone()).or_default().extend_from_slice(messages);
        Ok(())
    }
}

/// An audit log in memory, which can be made to fail.
#[derive(Default)]
pub(crate) struct Audit {
    events: Mutex<Vec<Event>>,
    broken: Mutex<bool>,
}

impl Audit {
    pub(crate) fn events(&self) -> Vec<Event> {
        locked(&self.events).clone()
    }

    pub(crate) fn break_down(&self) {
        *locked(&self.broken) = true;
    }
}

#[async_trait]
impl AuditLog for Audit {
    async fn record(&self, event: Event) -> Result<(), Error> {
        if *locked(&self.broken) {
            return Err(Error::Journal("the disk is full".into()));
        }
        self.record_later(event);
        Ok(())
    }

    fn record_later(&self, event: Event) {
        locked(&self.events).push(event);
    }

    async fn administer(&self, _: Deed) -> Result<(), Error> {
        Err(Error::Internal("chat administers nothing".into()))
    }
}

struct Set {
    description: Description,
    handler: Handler,
}

#[async_trait]
impl Plugin for Set {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn call(&self, tool: &str, arguments: &str, _: Grants, _: Invocation) -> Result<Outcome, Error> {
        let arguments = serde_json::from_str(arguments).map_err(|error| Error::Internal(error.into()))?;
        let value = (self.handler)(tool.to_owned(), arguments).await?;
        Ok(match value {
            Value::String(text) => {
                let content = Content { body: ContentBody::Text(text), annotations: None };
                Outcome { content: vec![content], structured: None }
            }
            structured => Outcome { content: Vec::new(), structured: Some(structured) },
        })
    }

    async fn read(&self, uri: &str, _: Grants, _: Invocation) -> Result<Vec<ResourceContents>, Error> {
        let body = ResourceBody::Text(format!("text of {uri}"));
        Ok(vec![ResourceContents { uri: uri.to_owned(), mime_type: Some("text/plain".to_owned()), body }])
    }
}

/// The set, as the port that finds it.
impl Plugins for Set {
    fn find(&self, _: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.operators(name)
    }

    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        let set = Self { description: self.description.clone(), handler: self.handler.clone() };
        (*name == self.description.name).then(|| Arc::new(set) as Arc<dyn Plugin>)
    }
}

struct OneTenant(Arc<Context>);

impl Tenants for OneTenant {
    fn get(&self, _: &TenantId) -> Result<Arc<Context>, Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}

struct NoSources;

#[async_trait]
impl data::Sources for NoSources {
    async fn open(&self, _: &TenantId, _: &Arc<Definition>) -> Result<data::Handle, data::Error> {
        Err(data::Error::unavailable("no sources here"))
    }

    async fn probe(&self, _: &TenantId, _: &Arc<Definition>) -> Result<Duration, data::Error> {
        Err(data::Error::unavailable("no sources here"))
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
