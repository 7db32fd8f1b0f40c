//! Acts of administration, for the record: keys, plugins and tenants made, changed and removed.
//!
//! Deliberately absent: secrets. A key stands here by its id, a component by its digest.

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Outcome, instant, text};
use crate::{
    CallId, Error, RequestId, TenantId,
    access::{Identity, KeyId, Principal, Subject},
};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of a key.
    Key(KeyId),
    /// The holder of a token.
    Subject(Subject),
    /// Somebody, on a host without keys.
    Anyone,
    /// Whoever may use the command line on the host's own machine.
    Console,
    /// The host itself, as its settings say.
    Host,
}

impl Actor {
    /// What the record calls it by: a key's id, or a word that is none.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Key(key) => key.as_str(),
            Self::Subject(subject) => subject.as_str(),
            Self::Anyone => "anyone",
            Self::Console => "console",
            Self::Host => "host",
        }
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        match principal.identity().clone() {
            Identity::Anyone => Self::Anyone,
            Identity::Key(key) => Self::Key(key),
            Identity::Subject(subject) => Self::Subject(subject),
            Identity::Run { .. } => Self::Host,
        }
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A key was made.
    KeyCreate,
    /// A key was revoked.
    KeyRevoke,
    /// A component was uploaded.
    PluginUpload,
    /// A version of a plugin began to serve.
    PluginActivate,
    /// The version that served before began to serve again.
    PluginRollback,
    /// A plugin stopped serving.
    PluginDeactivate,
    /// A plugin, or a version of it, was removed.
    PluginDelete,
    /// What the host has of a tenant was copied out.
    TenantExport,
    /// What the host had of a tenant was removed.
    TenantDelete,
    /// Old segments of the audit log were removed.
    AuditPrune,
    /// A run of a workflow was begun.
    ExecutionStart,
    /// A run was stopped.
    ExecutionCancel,
    /// Somebody decided on a run's interrupted step.
    ExecutionResolve,
    /// A run was given a signal, such as an approval.
    ExecutionSignal,
    /// A run that had ended was removed.
    ExecutionDelete,
    /// A definition of a workflow was stored.
    WorkflowStore,
    /// A stored workflow, or a version of it, was removed.
    WorkflowDelete,
    /// A trigger was told to begin nothing.
    TriggerPause,
    /// A trigger was told to begin runs again.
    TriggerResume,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::KeyCreate,
        Self::KeyRevoke,
        Self::PluginUpload,
        Self::PluginActivate,
        Self::PluginRollback,
        Self::PluginDeactivate,
        Self::PluginDelete,
        Self::TenantExport,
        Self::TenantDelete,
        Self::AuditPrune,
        Self::ExecutionStart,
        Self::ExecutionCancel,
        Self::ExecutionResolve,
        Self::ExecutionSignal,
        Self::ExecutionDelete,
        Self::WorkflowStore,
        Self::WorkflowDelete,
        Self::TriggerPause,
        Self::TriggerResume,
    ];

    /// Its name in the record and in logs: `<what>.<verb>`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreate => "key.create",
            Self::KeyRevoke => "key.revoke",
            Self::PluginUpload => "plugin.upload",
            Self::PluginActivate => "plugin.activate",
            Self::PluginRollback => "plugin.rollback",
            Self::PluginDeactivate => "plugin.deactivate",
            Self::PluginDelete => "plugin.delete",
            Self::TenantExport => "tenant.export",
            Self::TenantDelete => "tenant.delete",
            Self::AuditPrune => "audit.prune",
            Self::ExecutionStart => "execution.start",
            Self::ExecutionCancel => "execution.cancel",
            Self::ExecutionResolve => "execution.resolve",
            Self::ExecutionSignal => "execution.signal",
            Self::ExecutionDelete => "execution.delete",
            Self::WorkflowStore => "workflow.store",
            Self::WorkflowDelete => "workflow.delete",
            Self::TriggerPause => "trigger.pause",
            Self::TriggerResume => "trigger.resume",
        }
    }

    /// What it is done to: the part before the full stop.
    pub fn subject(self) -> &'static str {
        self.as_str().split_once('.').map_or("", |(subject, _)| subject)
    }
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One act of administration. Made by [`Self::new`], which sees to the bounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deed {
    /// Its own id, as each call has one.
    #[serde(serialize_with = "text")]
    pub id: CallId,
    /// When it was done.
    #[serde(serialize_with = "instant")]
    pub at: OffsetDateTime,
    /// Which request asked for it; none: a command.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text_if")]
    pub request: Option<RequestId>,
    /// Whose affairs it touches; none: the operator's alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    name: String,
    details: Value,
    /// What became of it.
    pub outcome: Outcome,
    /// The error's code, if it failed.
    pub code: Option<&'static str>,
}

impl Deed {
    /// The most bytes that its details have as JSON; larger ones are replaced by their size.
    pub const MAX_DETAILS_BYTES: usize = 16 * 1024;

    /// Something that was done, to the object of this name (a key's id, a plugin's or tenant's name).
    pub fn new(at: OffsetDateTime, actor: Actor, action: Action, name: &str) -> Self {
        Self {
            id: CallId::random(),
            at,
            request: None,
            tenant: None,
            actor,
            action,
            name: name.chars().take(128).collect(),
            details: json!({}),
            outcome: Outcome::Ok,
            code: None,
        }
    }

    /// The same, asked for by a request.
    #[must_use]
    pub fn asked_by(self, request: &RequestId) -> Self {
        Self { request: Some(request.clone()), ..self }
    }

    /// The same, in a tenant's affairs.
    #[must_use]
    pub fn of(self, tenant: &TenantId) -> Self {
        Self { tenant: Some(tenant.clone()), ..self }
    }

    /// The same with what else is worth knowing, none of it secret: a JSON object.
    #[must_use]
    pub fn with(self, details: Value) -> Self {
        let bytes = details.to_string().len();
        let details = if bytes > Self::MAX_DETAILS_BYTES { json!({ "omittedBytes": bytes }) } else { details };
        Self { details, ..self }
    }

    /// The same, which came to nothing.
    #[must_use]
    pub fn failed(self, error: &Error) -> Self {
        let outcome = match error {
            Error::Denied(_) | Error::Refused(_) => Outcome::Denied,
            Error::Cancelled => Outcome::Cancelled,
            _ => Outcome::Failed,
        };
        Self { outcome, code: Some(error.code()), ..self }
    }

    /// What it was done to, up to 128 characters.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What else is known, up to [`Self::MAX_DETAILS_BYTES`].
    pub fn details(&self) -> &Value {
        &self.details
    }
}

fn text_if<S: serde::Serializer>(id: &Option<RequestId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => text(id, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_actions_are_distinct_and_say_what_they_are_done_to() {
        let names: std::collections::BTreeSet<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        assert_eq!(Action::PluginRollback.subject(), "plugin");
        assert!(Action::ALL.iter().all(|action| !action.subject().is_empty()));
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let deed = Deed::new(OffsetDateTime::UNIX_EPOCH, Actor::Console, Action::KeyCreate, &"é".repeat(200));
        assert_eq!(deed.name().chars().count(), 128);
        let small = json!({"role": "admin"});
        let deed = deed.with(small.clone());
        assert_eq!(deed.details(), &small);
        let deed = deed.with(json!({"text": "x".repeat(Deed::MAX_DETAILS_BYTES)}));
        assert_eq!(deed.details(), &json!({"omittedBytes": Deed::MAX_DETAILS_BYTES + 11}));
    }

    #[test]
    fn failure_says_what_kind() {
        let deed = Deed::new(OffsetDateTime::UNIX_EPOCH, Actor::Anyone, Action::PluginUpload, "crm");
        assert_eq!((deed.outcome, deed.code), (Outcome::Ok, None));
        let failed = deed.clone().failed(&Error::BadKey);
        assert_eq!((failed.outcome, failed.code), (Outcome::Failed, Some(Error::BadKey.code())));
        let deed = deed.failed(&Error::Cancelled);
        assert_eq!(deed.outcome, Outcome::Cancelled);
    }
}
