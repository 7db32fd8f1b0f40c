//! What runs leave: who may begin another, what is removed and when, and what was large.

use std::{sync::Arc, time::Duration};

use remit_domain::{
    Error, TenantId,
    execution::{Entry, Run, RunId, Standing},
    library::Digest,
    limits::Limit,
    tenant::Context,
};
use tokio::sync::watch;

use super::Workflows;
use crate::run::{Bounds, Live, Room, weight_of, weight_of_entries};

/// How often runs are looked at that may be too old.
const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
/// How long what has ended since then waits at least.
const SETTLE: Duration = Duration::from_secs(5);
/// The most runs that are marked at once, and the most entries that are removed at once: a millisecond or two, for
/// which whoever writes has to wait.
const RUNS: usize = 100;
const ENTRIES: usize = 500;
/// What lies between two of these.
const PAUSE: Duration = Duration::from_millis(5);

impl Workflows {
    /// Whether a tenant's runs may leave more: one that begins with these entries. Errors: [`Error::HistoryFull`]; [`Error::Journal`].
    pub(super) async fn has_room(&self, context: &Context, run: &Run, entries: &[Entry]) -> Result<(), Error> {
        let room = self.room_of(&context.tenant);
        if let Some(history) = &self.interpreter.keeping.history {
            room.count(history.kept(&context.tenant).await?);
        }
        let (kept, allowed) = (room.taken(), context.limits.get(Limit::RunBytes));
        let begins = weight_of(run).saturating_add(weight_of_entries(entries));
        if kept.saturating_add(begins) > allowed {
            return Err(Error::HistoryFull { kept, allowed });
        }
        Ok(())
    }

    /// What a run is to work within.
    pub(super) fn alive(&self, tenant: &TenantId) -> Live {
        let bounds: Bounds = self.interpreter.keeping.bounds(tenant);
        Live::within(self.room_of(tenant), bounds)
    }

    /// What a run takes as it is taken up, or begins.
    pub(super) async fn weight(&self, run: &Run, again: bool) -> u64 {
        match &self.interpreter.keeping.history {
            Some(history) if again => history.weight(&run.id).await.unwrap_or_else(|_| weight_of(run)),
            _ => weight_of(run),
        }
    }

    fn room_of(&self, tenant: &TenantId) -> Arc<Room> {
        let mut rooms = self.rooms.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rooms.entry(tenant.clone()).or_default().clone()
    }

    /// Wakes whenever something is written of a run that is at work here, and closes with its end.
    pub fn watch(&self, run: &RunId) -> Option<watch::Receiver<u64>> {
        self.working(run).map(|working| working.live.written.subscribe())
    }

    /// A run's large output, as JSON. Errors: [`Error::UnknownArtifact`]; [`Error::Internal`].
    pub async fn artifact(&self, standing: &Standing, digest: &str) -> Result<Vec<u8>, Error> {
        let unknown = || Error::UnknownArtifact(digest.chars().take(80).collect());
        let digest = Digest::new(digest).ok_or_else(unknown)?;
        self.interpreter.keeping.get(&standing.run.id, &digest).await?.ok_or_else(unknown)
    }

    /// Removes a run that has ended: nobody finds it once this returns, and what it left goes in time.
    ///
    /// Errors: [`Error::ExecutionState`] if it goes on; [`Error::Journal`].
    pub async fn remove(&self, standing: &Standing) -> Result<(), Error> {
        let history = self.interpreter.keeping.history.as_ref();
        let history = history.ok_or_else(|| Error::Internal("runs are kept for good here".into()))?;
        if !history.discard(&standing.run.tenant, &standing.run.id).await? {
            return Err(Error::ExecutionState { is: "running", reason: "only one that has ended can be removed" });
        }
        self.ended.notify_one();
        Ok(())
    }

    /// Keeps tenants' runs within what their limits say, for as long as the process lives.
    pub async fn keep_tidy(&self) {
        loop {
            if let Err(error) = self.tidy().await {
                tracing::error!(error = &error as &dyn std::error::Error, "old runs could not be removed");
            }
            tokio::time::sleep(SETTLE).await;
            tokio::select! {
                () = self.ended.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.halted.cancelled() => return,
            }
        }
    }

    /// Marks what is too old or too much, and removes what is marked. Says how many runs were marked.
    ///
    /// Errors: [`Error::Journal`]; [`Error::Internal`] if large outputs can't be removed: what is left goes with
    /// the next time.
    pub async fn tidy(&self) -> Result<usize, Error> {
        let keeping = &self.interpreter.keeping;
        let (Some(history), Some(tenants)) = (&keeping.history, &keeping.tenants) else { return Ok(0) };
        let mut marked = 0;
        for (tenant, _) in tenants.all() {
            // One out of service keeps what it has until it is back.
            let Ok(context) = tenants.get(&tenant) else { continue };
            let (keep, days) = (context.limits.get(Limit::Runs), context.limits.get(Limit::RunDays));
            let age = time::Duration::days(i64::try_from(days).unwrap_or(i64::MAX / 100_000));
            let now = self.interpreter.timer.now();
            let before = now.checked_sub(age).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
            loop {
                let some = history.expire(&tenant, before, keep, RUNS).await?;
                marked += some;
                if some == 0 {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        if marked > 0 {
            tracing::info!(runs = marked, "runs whose time is over are removed");
        }
        loop {
            let doomed = history.doomed(RUNS).await?;
            if let Some(outputs) = &keeping.outputs {
                for digest in &doomed {
                    outputs.remove(digest).await?;
                }
            }
            if !history.sweep(&doomed, ENTRIES).await? && doomed.is_empty() {
                return Ok(marked);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Removes large outputs that no journal names: what a crash left between the two. No run may be at work.
    /// Says how many. Errors: [`Error::Journal`], [`Error::Internal`].
    pub async fn sweep(&self) -> Result<usize, Error> {
        let keeping = &self.interpreter.keeping;
        let (Some(history), Some(outputs)) = (&keeping.history, &keeping.outputs) else { return Ok(0) };
        let mut swept = 0;
        for digest in outputs.all().await? {
            if !history.names(&digest).await? {
                outputs.remove(&digest).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
