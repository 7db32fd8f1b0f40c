//! What a running host does to its audit log: closes segments, sends checkpoints, removes what is old.
//!
//! A failure is said in the log and tried again; calls go on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use remit_config::{Audit, Host};
use remit_domain::{
    audit::{Actor, AuditLog},
    clock::{Clock as _, SystemClock},
    signature::SecretKey,
};
use remit_journal::{Fullness, Journal};
use remit_sources::guard::{Delivery, Guard};
use tokio::sync::Mutex;

use super::{key, outlet::Outlet, prune};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often it looks for what is old.
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the last checkpoint may take when the host ends.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Keeps the audit log in order.
pub(crate) struct Upkeep {
    journal: Arc<Journal>,
    log: Arc<dyn AuditLog>,
    settings: Audit,
    key: SecretKey,
    outlets: Mutex<Vec<Outlet>>,
}

impl Upkeep {
    /// Errors: a key that can't be kept; an HTTP client that can't be made.
    pub(crate) fn new(
        host: &Host,
        guard: &Guard,
        journal: Arc<Journal>,
        log: Arc<dyn AuditLog>,
    ) -> anyhow::Result<Self> {
        let settings = host.audit.clone();
        let mut outlets: Vec<Outlet> = settings.checkpoint_file.clone().map(Outlet::file).into_iter().collect();
        if let Some(url) = &settings.checkpoint_url {
            outlets.push(Outlet::address(Delivery::new(guard, url.clone())?));
        }
        let key = key::keep(&host.state_dir)?;
        Ok(Self { journal, log, settings, key, outlets: Mutex::new(outlets) })
    }

    /// Looks after the log until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut often = tokio::time::interval(LOOK_EVERY);
        often.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pruned: Option<Instant> = None;
        loop {
            often.tick().await;
            self.seal().await;
            self.speak(false).await;
            if pruned.is_none_or(|last| last.elapsed() >= PRUNE_EVERY) {
                pruned = Some(Instant::now());
                self.prune().await;
            }
        }
    }

    /// The last word before the journal is closed.
    pub(crate) async fn end(&self) {
        if tokio::time::timeout(LAST_WORD, self.speak(true)).await.is_err() {
            tracing::error!("the last checkpoint of the audit log took too long");
        }
    }

    /// Closes what is full, and signs where each segment ends.
    async fn seal(&self) {
        let age = time::Duration::try_from(self.settings.segment_age).unwrap_or(time::Duration::DAY);
        let full = Fullness { rows: self.settings.segment_rows, age };
        let now = SystemClock.now();
        let segments = match self.journal.seal(full, &self.key, now).await {
            Ok(segments) => segments,
            Err(error) => return complain(error.into(), "a segment of the audit log could not be closed"),
        };
        for segment in segments {
            tracing::info!(
                segment = segment.number,
                first = segment.first,
                last = segment.last,
                "a segment of the audit log is closed"
            );
            match self.journal.checkpoint_of(&segment, &self.key, now).await {
                Ok(checkpoint) => {
                    for outlet in self.outlets.lock().await.iter_mut() {
                        outlet.add(checkpoint.to_line());
                    }
                }
                Err(error) => complain(error.into(), "a segment of the audit log could not be signed"),
            }
        }
    }

    /// Signs where the log stands for whoever is due to hear it, or for all that have not heard this yet.
    async fn speak(&self, all: bool) {
        let mut outlets = self.outlets.lock().await;
        if outlets.is_empty() {
            return;
        }
        let checkpoint = match self.journal.checkpoint(&self.key, SystemClock.now()).await {
            Ok(Some(checkpoint)) => checkpoint,
            Ok(None) => return,
            Err(error) => return complain(error.into(), "the audit log could not be signed"),
        };
        for outlet in outlets.iter_mut() {
            let due = match outlet.last {
                Some((seq, _)) if seq == checkpoint.seq => false,
                Some((seq, at)) => {
                    let rows = checkpoint.seq - seq >= i64::from(self.settings.checkpoint_rows);
                    all || rows || at.elapsed() >= self.settings.checkpoint_every
                }
                None => true,
            };
            if due {
                outlet.last = Some((checkpoint.seq, Instant::now()));
                outlet.add(checkpoint.to_line());
            }
            if outlet.is_behind() {
                outlet.flush().await;
            }
        }
    }

    async fn prune(&self) {
        let Some(keep) = self.settings.keep.and_then(|keep| time::Duration::try_from(keep).ok()) else { return };
        let log: &dyn AuditLog = self.log.as_ref();
        match prune(&self.journal, log, keep, &self.key, Actor::Host, SystemClock.now()).await {
            Ok(pruned) if pruned.segments > 0 => {
                tracing::info!(
                    segments = pruned.segments,
                    rows = pruned.events,
                    "old segments of the audit log are removed"
                );
            }
            Ok(_) => {}
            Err(error) => complain(error, "old segments of the audit log could not be removed"),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the end of the error's way")]
fn complain(error: anyhow::Error, what: &'static str) {
    let error = format!("{error:#}");
    tracing::error!(error, "{what}");
}
