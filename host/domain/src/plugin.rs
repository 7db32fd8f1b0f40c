//! Plugins as the rest of the host sees them: what they describe, how they are called, what they
//! answer. The port that `remit-sandbox` implements.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    AgentName, CallId, Error, PluginName, TenantId,
    audit::Door,
    grant::{Grants, Need},
    node::{self, Answer, Node},
    schema::Schema,
    tenant::Context,
};

/// What a plugin offers: read once from the component itself, without any handle, and checked.
#[derive(Debug, Clone)]
pub struct Description {
    /// Its name, which the agents' mappings use.
    pub name: PluginName,
    /// Semantic version.
    pub version: String,
    /// The digest of the component: `sha256:<hex>`.
    pub digest: String,
    /// For people.
    pub title: Option<String>,
    /// How the tools play together, for the model.
    pub instructions: Option<String>,
    /// In the plugin's order.
    pub tools: Vec<Tool>,
    /// In the plugin's order.
    pub resources: Vec<Resource>,
    /// In the plugin's order.
    pub templates: Vec<Template>,
    /// Its kinds of workflow step, in the plugin's order.
    pub nodes: Vec<Node>,
}

impl Description {
    /// This very version, as audit events and runs name it: `<plugin>@sha256:<hex>`.
    pub fn pin(&self) -> String {
        format!("{}@{}", self.name, self.digest)
    }
}

/// One tool.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Unique in the plugin.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub description: String,
    /// What arguments must meet: the schema of an object.
    pub input: Schema,
    /// What `structured` must meet.
    pub output: Option<Schema>,
    /// What to expect.
    pub annotations: Annotations,
    /// The sources it works with.
    pub needs: Vec<Need>,
}

/// Hints for those who offer a tool; they grant nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotations {
    /// Changes nothing; the host hands such a tool no write handle.
    #[serde(rename = "readOnlyHint")]
    pub read_only: bool,
    /// May overwrite or delete.
    #[serde(rename = "destructiveHint")]
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    #[serde(rename = "idempotentHint")]
    pub idempotent: bool,
    /// Reaches people or systems that the tenant does not control.
    #[serde(rename = "openWorldHint")]
    pub open_world: bool,
}

/// One thing to read, at a fixed address.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its address.
    pub uri: String,
    /// Unique in the plugin.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For people and models.
    pub description: Option<String>,
    /// If known.
    pub mime_type: Option<String>,
    /// The sources that reading it works with.
    pub needs: Vec<Need>,
}

/// A family of addresses.
#[derive(Debug, Clone)]
pub struct Template {
    /// An RFC 6570 template.
    pub uri_template: String,
    /// Unique in the plugin.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For people and models.
    pub description: Option<String>,
    /// If all have the same.
    pub mime_type: Option<String>,
    /// The sources that reading works with.
    pub needs: Vec<Need>,
}

/// A tool's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// For the model and the user; may be empty if `structured` says it all.
    pub content: Vec<Content>,
    /// Meets the output schema, where there is one.
    pub structured: Option<Value>,
}

impl Outcome {
    /// The answer as one JSON value: `structured`, else the text.
    pub fn as_json(&self) -> Value {
        if let Some(structured) = &self.structured {
            return structured.clone();
        }
        let texts: Vec<&str> = self.content.iter().filter_map(Content::as_text).collect();
        Value::String(texts.join("\n"))
    }
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// What it is.
    pub body: ContentBody,
    /// Advice on it.
    pub annotations: Option<ContentAnnotations>,
}

impl Content {
    /// Its text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.body {
            ContentBody::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The kinds of content.
#[derive(Debug, Clone, PartialEq)]
pub enum ContentBody {
    /// Text.
    Text(String),
    /// A picture.
    Image(Media),
    /// A sound.
    Audio(Media),
    /// A reference to a resource.
    Link(ResourceLink),
    /// A resource itself.
    Embedded(ResourceContents),
}

/// Advice on content.
#[derive(Debug, Clone, PartialEq)]
pub struct ContentAnnotations {
    /// Whether it is meant for the user, the assistant; neither says both.
    pub audience: Vec<Audience>,
    /// From 0 to 1.
    pub priority: Option<f64>,
    /// In RFC 3339.
    pub last_modified: Option<String>,
}

/// Who content is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// An image or a sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Not base64.
    pub data: Vec<u8>,
    /// Such as `image/png`.
    pub mime_type: String,
}

/// A reference to a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceLink {
    /// Its address.
    pub uri: String,
    /// For programs.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For people and models.
    pub description: Option<String>,
    /// If known.
    pub mime_type: Option<String>,
    /// In bytes, if known.
    pub size: Option<u64>,
}

/// A resource and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceContents {
    /// Its address.
    pub uri: String,
    /// If known.
    pub mime_type: Option<String>,
    /// What it holds.
    pub body: ResourceBody,
}

/// What a resource holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceBody {
    /// In UTF-8.
    Text(String),
    /// Not base64.
    Blob(Vec<u8>),
}

/// For whom and for what a call is made.
#[derive(Clone)]
pub struct Invocation {
    /// The call.
    pub call: CallId,
    /// Whose, as it was when the call began.
    pub context: Arc<Context>,
    /// Which agent.
    pub agent: AgentName,
    /// Through which door.
    pub door: Door,
    /// Who asked, in the tenant's own terms.
    pub user: Option<String>,
    /// When it began.
    pub started: OffsetDateTime,
    /// From 1.
    pub attempt: u32,
    /// The same for all attempts.
    pub idempotency_key: String,
    /// Who is told how it goes.
    pub observer: Arc<dyn Observer>,
    /// Is told how long the guest computes.
    pub computed: Computed,
}

/// How long was computed for one call or upload, waiting not included. Whoever runs it says so before that is
/// over, however it ends; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Computed(Arc<AtomicU64>);

impl Computed {
    /// Adds some.
    pub fn add(&self, time: Duration) {
        let more = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// In all so far, in microseconds' accuracy.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// How grave a guest's log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Wrong.
    Error,
}

/// Is told how a call goes. Must not block.
pub trait Observer: Send + Sync {
    /// How far the work is.
    fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>);
    /// A line of log.
    fn log(&self, level: Level, message: &str, fields: Option<&str>);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _: f64, _: Option<f64>, _: Option<&str>) {}
    fn log(&self, _: Level, _: &str, _: Option<&str>) {}
}

/// A plugin that can be called. Holding it keeps this version alive, whatever is activated meanwhile.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// What it offers.
    fn description(&self) -> &Description;

    /// Runs a tool; `arguments` is JSON that meets its input schema.
    ///
    /// Errors: as the guest answers, or [`Error::Trapped`], [`Error::BadAnswer`], [`Error::Limit`],
    /// [`Error::Deadline`], [`Error::Busy`]. Cancel: the guest is stopped at once.
    async fn call(&self, tool: &str, arguments: &str, grants: Grants, invocation: Invocation)
    -> Result<Outcome, Error>;

    /// Reads a resource. Errors as [`Self::call`].
    async fn read(&self, uri: &str, grants: Grants, invocation: Invocation) -> Result<Vec<ResourceContents>, Error>;

    /// What a step with this `config`, as it is written, is beside what its kind always is, or what is wrong
    /// with it. Whoever runs it hands it nothing. Without a context it is asked on the operator's
    /// behalf.
    ///
    /// Errors: as [`Self::call`]; [`Error::UnknownNode`].
    async fn validate(
        &self,
        node: &str,
        _config: &str,
        _context: Option<&Arc<Context>>,
        _computed: &Computed,
    ) -> Result<Answer, Error> {
        Err(Error::UnknownNode(format!("{}.{node}", self.description().name)))
    }

    /// Runs a step; `config` is JSON that meets the node's schema, filled in, and `input` what the step before
    /// left. Errors: as [`Self::call`]; [`Error::UnknownNode`].
    async fn execute(
        &self,
        node: &str,
        _config: &str,
        _input: &str,
        _grants: Grants,
        _invocation: Invocation,
    ) -> Result<node::Outcome, Error> {
        Err(Error::UnknownNode(format!("{}.{node}", self.description().name)))
    }
}

/// Port: the plugins there are.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// The plugin that a tenant means by a name: its own before the operator's.
    fn find(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>>;

    /// The operator's plugin of that name, whatever tenants have.
    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>>;

    /// The very version of a tenant's own plugin that has this digest, whether or not it serves; `None` if it
    /// is not kept. What making it again took is added to `computed`. Errors: it is kept, and can't be had now.
    async fn version(
        &self,
        _context: &Arc<Context>,
        _name: &PluginName,
        _digest: &str,
        _computed: &Computed,
    ) -> Result<Option<Arc<dyn Plugin>>, Error> {
        Ok(None)
    }
}

/// Port: the plugins there are, with those that are a tenant's own. Who keeps the versions decides which
/// of them stands here.
#[async_trait]
pub trait Shelf: Plugins {
    /// Puts a tenant's plugin where [`Plugins::find`] finds it, for that tenant alone, in place of the one
    /// of that name. Calls in flight end with the version they began with; the next find this one.
    fn place(&self, tenant: &TenantId, plugin: Arc<dyn Plugin>);

    /// The tenant's own plugin of that name, whatever the operator has.
    fn own(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>>;

    /// Lets a tenant find nothing under a name, not even the operator's, until something is placed or
    /// withdrawn there: its own plugin is to serve, and can't yet.
    fn withhold(&self, tenant: &TenantId, name: &PluginName);

    /// Takes a tenant's plugin away; calls in flight end. The operator's of that name is found again. Says
    /// whether there was one.
    fn withdraw(&self, tenant: &TenantId, name: &PluginName) -> bool;

    /// Changes whenever a tenant finds something else than before.
    fn generation(&self, tenant: &TenantId) -> u64;

    /// Waits until the generation is another than `since`, and gives it. Cancel: nothing is lost.
    async fn changed(&self, tenant: &TenantId, since: u64) -> u64;
}

/// Port: makes plugins of what tenants upload.
#[async_trait]
pub trait Workshop: Send + Sync {
    /// Examines a component under the limits of a tenant and its tier: scans it, compiles it where it can
    /// do no harm, links it, instantiates it, checks the types of what it exports, and lets it describe
    /// itself without any grant. It is not put on any shelf.
    ///
    /// Errors: [`Error::Unfit`] for whatever the component is not; [`Error::Busy`] while the tenant's
    /// uploads or calls take all that it may have; [`Error::Internal`]. Cancel: compiling is stopped. What was
    /// computed until the end, whichever it is, is added to `computed`.
    async fn examine(
        &self,
        context: &Arc<Context>,
        wasm: Arc<Vec<u8>>,
        computed: &Computed,
    ) -> Result<Arc<dyn Plugin>, Error>;
}
