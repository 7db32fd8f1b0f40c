//! Ports of workflows beside their runs: the definitions that tenants store, how their triggers stand, and
//! workflows as something that an agent's chat can begin.
//!
//! Deliberately absent: what a definition means (`remit-workflow`), and secrets: a webhook's is the context's.

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{Error, TenantId, catalogue::Caller, execution::RunId};

/// A definition that a tenant hands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Whose.
    pub tenant: TenantId,
    /// What the workflow is called.
    pub name: String,
    /// The SHA-256 of what it means, in hex.
    pub digest: String,
    /// As it was written.
    pub source: String,
    /// The file that it was read from, below the workflows' folder.
    pub file: Option<String>,
    /// When.
    pub at: OffsetDateTime,
    /// Who handed it in, as audit events name them.
    pub by: String,
}

/// A version of a definition that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// From 1; no number is given twice for a name.
    pub number: u32,
    /// What was handed in.
    pub definition: Definition,
}

/// How many definitions a tenant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Names.
    pub names: u32,
    /// Versions of a name; of more the oldest go.
    pub versions: u32,
}

/// What came of storing a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A new version.
    New(Version),
    /// The newest version is the same.
    Same(Version),
    /// The tenant has as many names as it may.
    Full,
}

/// Which trigger.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerKey {
    /// Whose.
    pub tenant: TenantId,
    /// Of which workflow.
    pub workflow: String,
    /// Its name in the definition; a webhook's is `webhook`.
    pub trigger: String,
}

/// How a trigger stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Which.
    pub key: TriggerKey,
    /// What it was when this was written: one whose rule has changed begins anew.
    pub rule: String,
    /// Whether it begins nothing.
    pub paused: bool,
    /// Up to when its times are dealt with.
    pub handled: OffsetDateTime,
    /// The time whose run is being begun: on record before the run is.
    pub due: Option<OffsetDateTime>,
    /// The last time that began a run.
    pub last: Option<OffsetDateTime>,
    /// That run.
    pub run: Option<RunId>,
    /// Why the last time began none.
    pub problem: Option<String>,
}

/// Port: the definitions that tenants store, and their triggers. What a method confirms outlasts the process,
/// and the machine's power. Errors of all: [`Error::Journal`].
#[async_trait]
pub trait Definitions: Send + Sync {
    /// Keeps a definition as the next version of its name.
    async fn store(&self, definition: &Definition, bounds: Bounds) -> Result<Stored, Error>;

    /// The versions of a name, newest first.
    async fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<Version>, Error>;

    /// The newest version of each name of a tenant, or of all.
    async fn newest(&self, tenant: Option<&TenantId>) -> Result<Vec<Version>, Error>;

    /// Removes a version of a name, or all. Says which there were.
    async fn remove(&self, tenant: &TenantId, name: &str, number: Option<u32>) -> Result<Vec<u32>, Error>;

    /// How the triggers stand that were ever kept.
    async fn triggers(&self) -> Result<Vec<Trigger>, Error>;

    /// Keeps how a trigger stands.
    async fn keep_trigger(&self, trigger: &Trigger) -> Result<(), Error>;

    /// Forgets a trigger.
    async fn forget_trigger(&self, key: &TriggerKey) -> Result<(), Error>;

    /// Notes a delivery to a webhook by the digest of what proves it, and forgets those from before a moment.
    /// `None` if it is new; else the word that the same proof came with the first time.
    async fn delivered(&self, delivery: &Delivery, forget: OffsetDateTime) -> Result<Option<String>, Error>;
}

/// What came to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whose.
    pub tenant: TenantId,
    /// To which workflow's.
    pub workflow: String,
    /// The SHA-256 of what proves it, in hex.
    pub proof: String,
    /// What the sender calls it; empty without a name.
    pub word: String,
    /// When it came.
    pub at: OffsetDateTime,
}

/// A workflow that an agent's chat may begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The workflow's name.
    pub name: String,
    /// For the model.
    pub description: Option<String>,
    /// The JSON Schema of what it takes.
    pub inputs: Value,
}

/// Port: workflows that an agent's chat begins.
#[async_trait]
pub trait Offered: Send + Sync {
    /// Those that the agent's context lists and its tenant has.
    fn offers(&self, caller: &Caller) -> Vec<Offer>;

    /// Begins one of them and waits a while for its end. Says how it stands, as JSON.
    ///
    /// Errors: [`Error::UnknownWorkflow`] also for one that is not on offer; otherwise as beginning it anyhow.
    /// Cancel: the run goes on.
    async fn begin(&self, caller: &Caller, name: &str, inputs: Value) -> Result<Value, Error>;
}
