//! Port: what runs leave behind, how much that is, and how it goes.
//!
//! A run goes in three steps, so that nobody waits for a large one: it is marked, and nobody finds it any more;
//! its large outputs are removed from where they lie; its journal is removed piece by piece.
//! Deliberately absent: when a run goes, and how much a tenant may keep.

use async_trait::async_trait;
use time::OffsetDateTime;

use crate::{Error, TenantId, execution::RunId, library::Digest};

/// Port: what is kept of runs. Errors of all its methods: [`Error::Journal`].
#[async_trait]
pub trait History: Send + Sync {
    /// The bytes that the runs of a tenant take which have ended: inputs, outputs, journals and large outputs.
    async fn kept(&self, tenant: &TenantId) -> Result<u64, Error>;

    /// The bytes that one run takes now, in the same way.
    async fn weight(&self, run: &RunId) -> Result<u64, Error>;

    /// Marks a run that has ended. False if the tenant has none, or it goes on.
    async fn discard(&self, tenant: &TenantId, run: &RunId) -> Result<bool, Error>;

    /// Marks some of a tenant's runs that have ended, the oldest first, `most` at most: those that began before a
    /// moment, and those beyond the `keep` newest. Those that wait for a person stay. Says how many.
    async fn expire(&self, tenant: &TenantId, before: OffsetDateTime, keep: u64, most: usize) -> Result<usize, Error>;

    /// Large outputs of marked runs, `most` at most.
    async fn doomed(&self, most: usize) -> Result<Vec<Digest>, Error>;

    /// Removes a piece of what marked runs left: the names of outputs that are gone, and `most` entries at most.
    /// False once nothing is left.
    async fn sweep(&self, gone: &[Digest], most: usize) -> Result<bool, Error>;

    /// Whether a run's journal names a large output.
    async fn names(&self, output: &Digest) -> Result<bool, Error>;
}
