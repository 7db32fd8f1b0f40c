//! How a running statement is stopped: SQLite asks every so often whether to go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// When the connection's present statement is to stop, as nanoseconds since the connection was made.
#[derive(Debug)]
pub(super) struct Watch {
    made: Instant,
    deadline: AtomicU64,
}

/// A statement under watch. Dropping it before it has ended stops it.
#[derive(Debug)]
pub(super) struct Running {
    watch: Arc<Watch>,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { made: Instant::now(), deadline: AtomicU64::new(u64::MAX) })
    }

    /// Begins to watch a statement.
    pub(super) fn begin(self: &Arc<Self>, allowed: Duration) -> Running {
        self.deadline.store(nanoseconds(self.made.elapsed().saturating_add(allowed)), Ordering::Release);
        Running { watch: self.clone() }
    }

    /// Whether the present statement may go on.
    pub(super) fn go_on(&self) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        deadline == u64::MAX || nanoseconds(self.made.elapsed()) < deadline
    }
}

impl Running {
    /// The statement has ended by itself.
    pub(super) fn ended(self) {
        self.watch.deadline.store(u64::MAX, Ordering::Release);
        std::mem::forget(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watch.deadline.store(0, Ordering::Release);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
