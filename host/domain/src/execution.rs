//! Port: runs of workflows, and the journal that makes them last.
//!
//! A run is made once and then only added to. What a step came to is recorded before the next begins; a
//! host that takes a run up again asks the journal what is recorded at each place, and goes on where
//! nothing is.
//!
//! Deliberately absent: what a workflow is (`remit-workflow`), and secrets: none is ever handed over here.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{AgentName, Error, TenantId, library::Digest};

/// A run's name: a UUID of version 7, so that they sort by when they began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    pub fn new() -> Self {
        Self(uuid::Uuid::now_v7().to_string())
    }

    /// What sorts before all that begin at a moment or later, and after all that began before it.
    pub fn at(moment: OffsetDateTime) -> Self {
        let milliseconds = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        let mut bytes = [0; 16];
        for (byte, of) in bytes.iter_mut().zip(milliseconds.to_be_bytes().into_iter().skip(2)) {
            *byte = of;
        }
        Self(uuid::Uuid::from_bytes(bytes).to_string())
    }

    /// One that a client names; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(|id| Self(id.to_string()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RunId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A run as it was begun. Nothing of it changes afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The workflow's name.
    pub workflow: String,
    /// The SHA-256 of the definition, in hex.
    pub digest: String,
    /// The definition, as JSON: a file that changes meanwhile changes the next run.
    pub definition: Value,
    /// What it was given, defaults filled in.
    pub inputs: Value,
    /// What expressions call `context`: the company and the agent, nothing secret. Under `env` stand the variables
    /// that they call so, as they were when it began.
    pub context: Value,
    /// When it began: what expressions call `now`.
    pub began: OffsetDateTime,
    /// The versions of plugins that it began with, each as `<plugin>@sha256:<hex>`.
    pub pins: BTreeSet<String>,
    /// What makes a repeated start the same run.
    pub key: Option<String>,
    /// Who asked, for the records of what it does, and the only agents that it may speak for.
    pub by: Asker,
    /// The run whose outputs it took over.
    pub origin: Option<Origin>,
}

/// Where a run took over what another had done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other run, which stays as it is.
    pub run: RunId,
    /// The step from which on it does things itself.
    pub from: String,
}

/// On whose behalf a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// As audit events name them.
    pub name: String,
    /// The agents that they may speak for; `None`: all of the tenant's.
    pub agents: Option<BTreeSet<AgentName>>,
    /// The key that they had: what the run uses is charged to it too.
    pub key: Option<String>,
    /// How much may be used with it, by the names of settings.
    pub quotas: BTreeMap<String, u64>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It goes on.
    Running,
    /// It came to its end.
    Completed,
    /// A step failed and nothing caught it.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// A step was under way when the host ended, and may have taken effect: a person decides.
    Interrupted,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// By what is written.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stable, as the HTTP API's codes are.
    pub code: String,
    /// For people; nothing secret, no host names.
    pub message: String,
    /// Whether the same step may be tried again as it is.
    pub retriable: bool,
    /// How long to wait first, if known.
    pub retry_after_ms: Option<u32>,
    /// Where it failed, if not at the step itself.
    pub path: Option<String>,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// This.
    Done(Value),
    /// Something large, which lies elsewhere.
    Stored(Stored),
    /// Its condition was false.
    Skipped,
    /// It failed; what later steps see of that is in the output.
    Failed {
        /// Why.
        failure: Failure,
        /// What expressions find, where the run goes on.
        output: Value,
    },
}

/// An output that is too large for the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// What it is found by; it is this run's alone.
    pub digest: Digest,
    /// Its size, as JSON.
    pub bytes: u64,
}

/// Something that a run's journal holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// A step is about to be tried.
    Began {
        /// Where: `a`, or `loop[3].b` inside a foreach.
        path: String,
        /// From 1.
        attempt: u32,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// What it was given, expressions filled in; of something large, its size alone.
        input: Value,
        /// Until when it waits: before this try, or because it does nothing else.
        #[serde(with = "time::serde::rfc3339::option")]
        until: Option<OffsetDateTime>,
    },
    /// A step is over.
    Ended {
        /// Where.
        path: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// What it came to.
        outcome: Outcome,
    },
    /// Somebody gave a signal.
    Signalled {
        /// Its name.
        name: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// What came with it.
        payload: Value,
        /// Who gave it.
        by: Option<String>,
    },
    /// A person decided on a step that was interrupted.
    Resolved {
        /// Where.
        path: String,
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// How.
        choice: Choice,
        /// Who did.
        by: String,
    },
    /// Somebody stopped the run.
    Cancelled {
        /// When.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// Who did.
        by: String,
    },
}

impl Entry {
    /// Where it stands that a run was stopped: no step's path, and no signal's name.
    pub const CANCELLED: &'static str = "!!cancelled";

    /// Where in a run it belongs: a step's path, or `!name` for a signal.
    pub fn place(&self) -> String {
        match self {
            Self::Began { path, .. } | Self::Ended { path, .. } | Self::Resolved { path, .. } => path.clone(),
            Self::Signalled { name, .. } => format!("!{name}"),
            Self::Cancelled { .. } => Self::CANCELLED.to_owned(),
        }
    }
}

impl Recorded {
    /// What entries of one place, in order, come to.
    pub fn of<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Self {
        let mut found = Self::Nothing;
        for entry in entries {
            found = match (entry, found) {
                (Entry::Ended { outcome, .. }, _) => Self::Ended(outcome.clone()),
                (Entry::Began { attempt, until, .. }, _) => {
                    Self::Began { attempt: *attempt, until: *until, resolved: None }
                }
                (Entry::Resolved { choice, .. }, Self::Began { attempt, until, .. }) => {
                    Self::Began { attempt, until, resolved: Some(*choice) }
                }
                (_, found) => found,
            };
        }
        found
    }
}

/// What becomes of an interrupted step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// It is tried again.
    Rerun,
    /// It counts as skipped.
    Skip,
}

/// What is recorded at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// Nothing: it was never reached.
    Nothing,
    /// It was begun, and how it ended nobody knows.
    Began {
        /// The last try.
        attempt: u32,
        /// Until when it waits, before that try began.
        until: Option<OffsetDateTime>,
        /// What a person decided.
        resolved: Option<Choice>,
    },
    /// It is over.
    Ended(Outcome),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Anything but [`Status::Running`].
    pub status: Status,
    /// When.
    pub at: OffsetDateTime,
    /// What it answers, if it completed.
    pub outputs: Option<Value>,
    /// Why it did not.
    pub failure: Option<Failure>,
}

/// A run and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The run.
    pub run: Run,
    /// How it ended, if it has.
    pub end: Option<End>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// That stand so.
    pub status: Option<Status>,
    /// That began before this one.
    pub before: Option<RunId>,
    /// That began with this one, or after it.
    pub since: Option<RunId>,
    /// Whose steps are this agent's, where they name none.
    pub agent: Option<AgentName>,
    /// That took over outputs of this one.
    pub origin: Option<RunId>,
}

/// What came of making a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It is new.
    New,
    /// The tenant's key was used for this one before.
    Before(RunId),
}

/// Port: the journal of runs. What a method confirms outlasts the process, and the machine's power.
#[async_trait]
pub trait Executions: Send + Sync {
    /// Makes a run. Of two with one tenant and key, only the first is made.
    async fn make(&self, run: &Run) -> Result<Made, Error>;

    /// Makes a run whose journal begins with these entries, all at once or not at all. Otherwise as
    /// [`Self::make`].
    async fn make_with(&self, run: &Run, entries: &[Entry]) -> Result<Made, Error>;

    /// Adds entries to a run's journal, all or none.
    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error>;

    /// What is recorded at a place.
    async fn recorded(&self, run: &RunId, path: &str) -> Result<Recorded, Error>;

    /// The first signal of a name: what came with it, and who gave it.
    async fn signal(&self, run: &RunId, name: &str) -> Result<Option<(Value, Option<String>)>, Error>;

    /// Whether somebody stopped the run, whatever became of that.
    async fn cancelled(&self, run: &RunId) -> Result<bool, Error>;

    /// Ends a run, with the last entries of its journal. One that has ended stays as it ended.
    async fn end(&self, run: &RunId, entries: &[Entry], end: &End) -> Result<(), Error>;

    /// Opens a run again that was interrupted, for one who decided on its step. Errors:
    /// [`Error::ExecutionState`] if it is not, or no longer.
    async fn reopen(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error>;

    /// A tenant's run and how it stands; `None` if the tenant has no such run.
    async fn find(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Standing>, Error>;

    /// A tenant's runs, newest first, `most` of them at most, without definition, inputs, context and outputs.
    async fn list(&self, tenant: &TenantId, filter: &Filter, most: usize) -> Result<Vec<Standing>, Error>;

    /// What a run's journal holds, in order, from after a place in it on, `most` entries at most.
    async fn entries(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, Error>;

    /// The runs that have not ended, oldest first: those that a host takes up when it starts.
    async fn unfinished(&self) -> Result<Vec<Run>, Error>;
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_moment_stands_between_the_runs_before_and_after_it() {
        let now = OffsetDateTime::now_utc();
        let run = RunId::new();
        assert!(RunId::at(now - time::Duration::minutes(1)) < run && run < RunId::at(now + time::Duration::minutes(1)));
        assert!(RunId::at(datetime!(2020-01-01 0:00 UTC)) < RunId::at(datetime!(2020-01-01 0:00:00.001 UTC)));
        assert_eq!(RunId::at(datetime!(1960-01-01 0:00 UTC)), RunId::at(OffsetDateTime::UNIX_EPOCH));
    }
}
