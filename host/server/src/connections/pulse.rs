//! How a connection is doing: what is under way, what came, what went, and whether that is too slow.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::Version;
use tokio::time::Instant;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The head of a request.
    pub(super) head: Duration,
    /// Nothing at all, between requests.
    pub(super) idle: Duration,
    /// Taking the next bytes of an answer.
    pub(super) write: Duration,
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, before this moment.
    Fine(Instant),
    /// End it, for this reason.
    Cut(&'static str),
}

/// What pings and other frames of control come to, where an answer has a few hundred bytes at least.
const CONTROL_BYTES: usize = 64;

/// How a connection is doing.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Mutex<State>>);

struct State {
    /// The requests whose answers are not over.
    under_way: usize,
    /// Whether there was a request at all.
    served: bool,
    /// Whether it speaks HTTP/2, where bytes between requests are not the head of one.
    framed: bool,
    /// Since when nothing is under way and nothing was sent.
    quiet: Instant,
    /// When the first byte of the next request came.
    heard: Option<Instant>,
    /// Since when the client takes nothing of what is to be sent.
    stuck: Option<Instant>,
    /// Answers of which nobody asks for the next piece: over HTTP/2, since the client gives them no room.
    parked: usize,
    /// Since when there is one of these and nothing was sent.
    parked_since: Instant,
}

/// A request, until its answer is over.
pub(super) struct Flight(Pulse);

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            under_way: 0,
            served: false,
            framed: false,
            quiet: now,
            heard: None,
            stuck: None,
            parked: 0,
            parked_since: now,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// A request has come.
    pub(super) fn begin(&self, version: Version) -> Flight {
        let mut state = self.state();
        state.under_way += 1;
        state.served = true;
        state.framed = version == Version::HTTP_2;
        Flight(self.clone())
    }

    /// Bytes have come.
    pub(super) fn heard(&self, now: Instant) {
        let mut state = self.state();
        if state.under_way == 0 {
            state.heard.get_or_insert(now);
        }
    }

    /// Bytes have gone.
    pub(super) fn sent(&self, now: Instant, bytes: usize) {
        let mut state = self.state();
        state.stuck = None;
        // The end of an answer may go when it is over for all others. The host's own pings are no answer.
        if state.served && (!state.framed || bytes > CONTROL_BYTES) {
            (state.quiet, state.parked_since) = (now, now);
        }
    }

    /// Bytes could not go.
    pub(super) fn blocked(&self, now: Instant) {
        self.state().stuck.get_or_insert(now);
    }

    /// Whether a request is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.state().under_way > 0
    }

    pub(super) fn judge(&self, now: Instant, limits: &Limits) -> Verdict {
        let state = self.state();
        let stuck = state.stuck.map(|since| (since + limits.write, "write"));
        let parked = (state.framed && state.parked > 0).then(|| (state.parked_since + limits.write, "window"));
        let quiet = (state.under_way == 0).then(|| match state.heard {
            _ if !state.served => (state.quiet + limits.head, "head"),
            Some(since) if !state.framed => (since + limits.head, "head"),
            _ => (state.quiet + limits.idle, "idle"),
        });
        drop(state);
        // What is not due yet may begin this moment.
        let mut look = now + limits.head.min(limits.idle).min(limits.write);
        for (due, reason) in stuck.into_iter().chain(parked).chain(quiet) {
            if due <= now {
                return Verdict::Cut(reason);
            }
            look = look.min(due);
        }
        Verdict::Fine(look)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// A piece of the answer is there, and nobody has asked for the next yet.
    pub(super) fn park(&self, now: Instant) {
        let mut state = self.0.state();
        if state.parked == 0 {
            state.parked_since = now;
        }
        state.parked += 1;
    }

    /// Somebody asks for the next piece, or there is none.
    pub(super) fn resume(&self) {
        let mut state = self.0.state();
        state.parked = state.parked.saturating_sub(1);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way = state.under_way.saturating_sub(1);
        if state.under_way == 0 {
            (state.quiet, state.heard) = (Instant::now(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { head: Duration::from_secs(10), idle: Duration::from_secs(100), write: Duration::from_secs(50) };

    fn judge(pulse: &Pulse, began: Instant, seconds: u64) -> &'static str {
        match pulse.judge(began + Duration::from_secs(seconds), &LIMITS) {
            Verdict::Fine(_) => "fine",
            Verdict::Cut(reason) => reason,
        }
    }

    #[test]
    fn a_connection_without_a_request_has_the_time_of_one_head() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        pulse.heard(began + Duration::from_secs(9));
        assert_eq!((judge(&pulse, began, 9), judge(&pulse, began, 10)), ("fine", "head"));
        assert_eq!(pulse.judge(began, &LIMITS), Verdict::Fine(began + Duration::from_secs(10)));
    }

    #[test]
    fn a_request_under_way_takes_what_it_takes_and_the_next_head_has_its_own_time() {
        let pulse = Pulse::new(Instant::now());
        let flight = pulse.begin(Version::HTTP_11);
        assert_eq!(judge(&pulse, Instant::now(), 100_000), "fine");
        drop(flight);
        let ended = Instant::now();
        assert_eq!((judge(&pulse, ended, 99), judge(&pulse, ended, 100)), ("fine", "idle"));
        pulse.heard(ended + Duration::from_secs(60));
        assert_eq!((judge(&pulse, ended, 69), judge(&pulse, ended, 70)), ("fine", "head"));
        // Frames of HTTP/2, such as answers to pings, are no head.
        drop(pulse.begin(Version::HTTP_2));
        let ended = Instant::now();
        pulse.heard(ended + Duration::from_secs(60));
        pulse.sent(ended + Duration::from_secs(60), 17);
        assert_eq!((judge(&pulse, ended, 99), judge(&pulse, ended, 101)), ("fine", "idle"));
        pulse.sent(ended + Duration::from_secs(60), 1_000);
        assert_eq!((judge(&pulse, ended, 159), judge(&pulse, ended, 160)), ("fine", "idle"));
    }

    #[test]
    fn an_answer_without_room_is_cut_and_one_that_moves_is_not() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        let flight = pulse.begin(Version::HTTP_2);
        let at = |seconds| began + Duration::from_secs(seconds);
        flight.park(at(0));
        assert_eq!((judge(&pulse, began, 49), judge(&pulse, began, 50)), ("fine", "window"));
        // Answers to pings are no progress.
        pulse.sent(at(40), 17);
        assert_eq!(judge(&pulse, began, 50), "window");
        pulse.sent(at(40), 1_000);
        assert_eq!((judge(&pulse, began, 89), judge(&pulse, began, 90)), ("fine", "window"));
        // An answer that waits for the host, such as a silent stream, is nobody's fault.
        flight.resume();
        assert_eq!(judge(&pulse, began, 100_000), "fine");
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_and_one_that_is_slow_is_not() {
        let began = Instant::now();
        let pulse = Pulse::new(began);
        let _flight = pulse.begin(Version::HTTP_11);
        let at = |seconds| began + Duration::from_secs(seconds);
        for seconds in [0, 40, 80, 120] {
            pulse.blocked(at(seconds));
            pulse.blocked(at(seconds + 30));
            assert_eq!(judge(&pulse, began, seconds + 39), "fine");
            pulse.sent(at(seconds + 39), 1);
        }
        pulse.blocked(at(200));
        assert_eq!((judge(&pulse, began, 249), judge(&pulse, began, 250)), ("fine", "write"));
    }
}
