//! Time: how long a call may take and how much of that it may run.
//!
//! A waiting guest costs nothing but its place; what counts as CPU time is the time spent inside
//! `poll`, which is where a fiber runs.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use remit_domain::limits::{Limit, Limits};
use wasmtime::UpdateDeadline;

use crate::turns::Turn;

/// Measures one call. Shared by the future that drives the guest and the epoch callback in it.
#[derive(Debug)]
pub(crate) struct Meter {
    began: Instant,
    wall: Duration,
    cpu: Duration,
    /// Nanoseconds run in polls that have ended.
    ran: AtomicU64,
    /// When the present poll began, in nanoseconds after `began`.
    resumed: AtomicU64,
    exhausted: AtomicBool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            began: Instant::now(),
            wall: limits.time(Limit::WallTime),
            cpu: limits.time(Limit::CpuTime),
            ran: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            exhausted: AtomicBool::new(false),
        }
    }

    /// Whether the guest was stopped because its CPU time ran out.
    pub(crate) fn exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// How long the guest has run so far, up to the end of the last poll.
    pub(crate) fn ran(&self) -> Duration {
        Duration::from_nanos(self.ran.load(Ordering::Relaxed))
    }

    /// Until the call must end.
    pub(crate) fn remaining(&self) -> Duration {
        self.wall.saturating_sub(self.began.elapsed())
    }

    /// What to do with a guest that is still running at a tick: let others run, then go on; or stop.
    pub(crate) fn at_tick(&self) -> UpdateDeadline {
        let now = nanoseconds(self.began.elapsed());
        let this_poll = now.saturating_sub(self.resumed.load(Ordering::Relaxed));
        if self.ran() + Duration::from_nanos(this_poll) > self.cpu {
            self.exhausted.store(true, Ordering::Relaxed);
            return UpdateDeadline::Interrupt;
        }
        UpdateDeadline::Yield(1)
    }

    /// Drives a guest, measured, in its turns and with a deadline. `None` if the deadline came first: the
    /// guest is gone then, wherever it was. Without a `turn` it computes whenever it can.
    pub(crate) async fn drive<F: Future>(self: &Arc<Self>, turn: Option<Turn>, guest: F) -> Option<F::Output> {
        let metered = Metered { guest: std::pin::pin!(guest), meter: self, turn };
        tokio::time::timeout(self.remaining(), metered).await.ok()
    }
}

struct Metered<'a, F> {
    guest: Pin<&'a mut F>,
    meter: &'a Meter,
    turn: Option<Turn>,
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Held until the guest gives its thread back.
        let _place = match &mut self.turn {
            Some(turn) => ready!(turn.poll(cx)),
            None => None,
        };
        let resumed = nanoseconds(self.meter.began.elapsed());
        self.meter.resumed.store(resumed, Ordering::Relaxed);
        let polled = self.guest.as_mut().poll(cx);
        let ran = nanoseconds(self.meter.began.elapsed()).saturating_sub(resumed);
        self.meter.ran.fetch_add(ran, Ordering::Relaxed);
        if let Some(turn) = &self.turn {
            turn.held(Duration::from_nanos(ran));
        }
        polled
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
