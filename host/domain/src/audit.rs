//! The audit log's two kinds of record: an event for each call of a tool, resource or prompt, whatever
//! became of it, and a [`Deed`] for each act of administration.

mod deed;

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;

pub use deed::{Action, Actor, Deed};

use crate::{AgentName, CallId, Error, RequestId, SourceName, TenantId, grant::Use, operation::Operation};

/// Through which door a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// A conversation.
    Chat,
    /// An MCP client.
    Mcp,
    /// A step of a workflow.
    Workflow,
    /// The HTTP API itself, the operator's console or a test.
    Console,
}

impl Door {
    /// Its name in logs, metrics and the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Mcp => "mcp",
            Self::Workflow => "workflow",
            Self::Console => "console",
        }
    }
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A tool.
    Tool,
    /// A resource.
    Resource,
    /// A step of a workflow, of a kind that a plugin brings.
    Node,
}

impl Subject {
    /// Its name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resource => "resource",
            Self::Node => "node",
        }
    }
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It answered.
    Ok,
    /// The decision function or the tool's own rules said no.
    Denied,
    /// Anything else.
    Failed,
    /// The caller went away.
    Cancelled,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Denied, Self::Failed, Self::Cancelled];

    /// The outcome of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One call, for the record. Holds names and sizes of arguments, never their values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When it began, in RFC 3339.
    #[serde(serialize_with = "instant")]
    pub at: OffsetDateTime,
    /// Which request it belongs to.
    #[serde(serialize_with = "text")]
    pub request: RequestId,
    /// Which call.
    #[serde(serialize_with = "text")]
    pub call: CallId,
    /// Whose.
    pub tenant: TenantId,
    /// Who asked: see [`crate::access::Identity::as_str`].
    pub actor: String,
    /// Which agent.
    pub agent: AgentName,
    /// Through which door.
    pub door: Door,
    /// The kind of thing called.
    pub subject: Subject,
    /// Its name, as asked for, cut to 128 characters.
    pub name: String,
    /// The plugin that served it and the digest of its component, if one was found.
    pub plugin: Option<String>,
    /// The sources used, with how often.
    pub sources: BTreeMap<SourceName, Use>,
    /// What was done with them: up to [`MAX_DISTINCT`](crate::operation::MAX_DISTINCT), and the rest together.
    pub operations: Vec<Operation>,
    /// The arguments' names and the bytes of each as JSON, up to 64 of them.
    pub arguments: BTreeMap<String, usize>,
    /// How long it took.
    #[serde(rename = "durationUs", serialize_with = "microseconds")]
    pub duration: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// The error's code, if it failed.
    pub code: Option<&'static str>,
}

impl Event {
    /// The most arguments that an event names; a call with more is recorded with these.
    pub const MAX_ARGUMENTS: usize = 64;

    /// Names and sizes of a call's arguments.
    pub fn sizes(arguments: &Value) -> BTreeMap<String, usize> {
        let object = arguments.as_object().into_iter().flatten();
        object
            .take(Self::MAX_ARGUMENTS)
            .map(|(name, value)| (name.chars().take(128).collect(), value.to_string().len()))
            .collect()
    }
}

/// Port: the audit log.
#[async_trait]
pub trait AuditLog: Send + Sync {
    /// Records an event. Lasting (against the end of this process) once this returns.
    ///
    /// Errors: [`Error::Journal`]; the caller must then not answer as if all were well.
    async fn record(&self, event: Event) -> Result<(), Error>;

    /// Records an event as soon as possible, for those who can't wait: a call whose caller went away.
    fn record_later(&self, event: Event);

    /// Records an act of administration, after it and before its answer. Lasting, against a power cut
    /// too, once this returns.
    ///
    /// Errors: [`Error::Journal`]; the act has happened and stays, and whoever asked is told of the error.
    async fn administer(&self, deed: Deed) -> Result<(), Error>;
}

fn instant<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::clock::rfc3339(*at))
}

fn text<S: Serializer>(id: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.to_string())
}

pub(crate) fn microseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}
