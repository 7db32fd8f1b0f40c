//! A source that fails again and again is not asked for a short, growing time: whoever wants it is answered
//! `unavailable` at once, and then one caller tries.
//!
//! Only the source's own failures count, never what a caller did wrong. Deliberately absent: keys. Each
//! open source of each tenant has a breaker of its own, which ends with its definition.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use remit_domain::data::{self, Condition, Error, Wait};
use time::OffsetDateTime;

use crate::Settings;

/// An operation that its caller gave up counts as a failure if it was let run for so long, and nothing else
/// was answered meanwhile: a source that swallows what it is sent never says so.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);
/// How long others are told to wait while one caller tries.
const TRYING: Duration = Duration::from_secs(1);

/// Whether one source is asked.
#[derive(Debug)]
pub(crate) struct Breaker {
    failures: u32,
    first: Duration,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    answered: Option<Instant>,
    last_error: Option<(OffsetDateTime, &'static str)>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// So many failures in a row.
    Closed(u32),
    Open {
        until: Instant,
        wait: Duration,
    },
    HalfOpen {
        wait: Duration,
    },
}

/// What an operation says of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers.
    Answers,
    /// It does not, or says that it can't: with the error's case.
    Fails(&'static str),
    /// Nothing: the host or the caller ended the operation.
    Nothing,
}

impl Verdict {
    /// Of an operation's result, where what came is an answer.
    pub(crate) fn of<T>(result: &Result<T, Error>) -> Self {
        match result {
            Ok(_) | Err(Error::Rejected(_)) => Self::Answers,
            Err(error @ (Error::Unavailable(_) | Error::Uncertain(_))) => Self::Fails(error.case()),
            // What is `throttled` may be so by the host's own bounds.
            Err(
                Error::Denied(_)
                | Error::Invalid(_)
                | Error::NotFound(_)
                | Error::Limit { .. }
                | Error::Throttled(_)
                | Error::Cancelled,
            ) => Self::Nothing,
        }
    }
}

/// Leave to ask the source. Dropped without a verdict, the operation was given up.
#[derive(Debug)]
pub(crate) struct Leave<'a> {
    breaker: &'a Breaker,
    /// Whether this is the one caller that tries.
    tries: bool,
    began: Instant,
    ended: bool,
}

impl Breaker {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            failures: settings.breaker_failures.max(1),
            first: settings.breaker_wait,
            longest: settings.breaker_longest.max(settings.breaker_wait),
            state: Mutex::new(State { phase: Phase::Closed(0), answered: None, last_error: None }),
        }
    }

    /// Leave to ask. Errors: `unavailable`, with the time to wait.
    pub(crate) fn ask(&self) -> Result<Leave<'_>, Error> {
        self.ask_at(Instant::now())
    }

    /// Leave to ask whatever came before: for a probe that somebody wants to see the result of.
    pub(crate) fn probe(&self) -> Leave<'_> {
        Leave { breaker: self, tries: false, began: Instant::now(), ended: false }
    }

    /// What is known.
    pub(crate) fn condition(&self) -> Condition {
        let state = self.state();
        let breaker = match state.phase {
            Phase::Closed(_) => data::Breaker::Closed,
            Phase::Open { until, .. } => data::Breaker::Open(until.saturating_duration_since(Instant::now())),
            Phase::HalfOpen { .. } => data::Breaker::HalfOpen,
        };
        Condition { breaker, last_error: state.last_error }
    }

    fn ask_at(&self, now: Instant) -> Result<Leave<'_>, Error> {
        let mut state = self.state();
        let (left, wait) = match state.phase {
            Phase::Closed(_) => return Ok(Leave { breaker: self, tries: false, began: now, ended: false }),
            Phase::Open { until, wait } => (until.saturating_duration_since(now), wait),
            Phase::HalfOpen { wait } => (wait.min(TRYING), wait),
        };
        if matches!(state.phase, Phase::Open { .. }) && left.is_zero() {
            state.phase = Phase::HalfOpen { wait };
            return Ok(Leave { breaker: self, tries: true, began: now, ended: false });
        }
        Err(Error::Unavailable(Wait {
            message: "the source failed several times in a row and is not asked for a moment".to_owned(),
            retry_after_ms: Some(u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)),
        }))
    }

    fn judge(&self, verdict: Verdict, tries: bool, began: Instant, now: Instant) {
        let mut state = self.state();
        match verdict {
            Verdict::Answers => {
                state.answered = Some(now);
                if !matches!(state.phase, Phase::Closed(_)) {
                    tracing::info!("a source answers again");
                    count("closed");
                }
                state.phase = Phase::Closed(0);
            }
            Verdict::Fails(case) => {
                state.last_error = Some((OffsetDateTime::now_utc(), case));
                let wait = match state.phase {
                    // Others were answered after this one began.
                    _ if state.answered.is_some_and(|at| at > began) && !tries => return,
                    Phase::Closed(failures) if failures + 1 < self.failures => {
                        state.phase = Phase::Closed(failures + 1);
                        return;
                    }
                    Phase::Closed(_) => self.first,
                    Phase::HalfOpen { wait } if tries => wait.saturating_mul(2).min(self.longest),
                    Phase::HalfOpen { .. } | Phase::Open { .. } => return,
                };
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(case, wait_ms, "a source failed several times in a row and is not asked for a while");
                count("open");
                state.phase = Phase::Open { until: now + wait, wait };
            }
            // Who tried found nothing out: the next caller tries.
            Verdict::Nothing => {
                if let (true, Phase::HalfOpen { wait }) = (tries, state.phase) {
                    state.phase = Phase::Open { until: now, wait };
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Says what the operation told of the source.
    pub(crate) fn end(mut self, verdict: Verdict) {
        self.ended = true;
        self.breaker.judge(verdict, self.tries, self.began, Instant::now());
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let patient = self.began.elapsed() >= GIVEN_UP_AFTER;
            let verdict = if patient { Verdict::Fails("unavailable") } else { Verdict::Nothing };
            self.breaker.judge(verdict, self.tries, self.began, Instant::now());
        }
    }
}

fn count(to: &'static str) {
    metrics::counter!("remit_source_breaker_total", "to" => to).increment(1);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const FAILS: Verdict = Verdict::Fails("unavailable");

    fn breaker() -> Breaker {
        Breaker::new(&Settings {
            breaker_failures: 3,
            breaker_wait: Duration::from_secs(1),
            breaker_longest: Duration::from_secs(3),
            ..Settings::default()
        })
    }

    fn wait(breaker: &Breaker, now: Instant) -> Option<u32> {
        match breaker.ask_at(now) {
            Err(Error::Unavailable(wait)) => wait.retry_after_ms,
            Err(other) => unreachable!("{other}"),
            Ok(leave) => {
                leave.end(Verdict::Nothing);
                None
            }
        }
    }

    /// Asks and fails, at an instant.
    fn fail(breaker: &Breaker, now: Instant) {
        let mut leave = breaker.ask_at(now).unwrap();
        leave.ended = true;
        breaker.judge(FAILS, leave.tries, now, now);
    }

    #[test]
    fn failures_in_a_row_open_it_for_a_growing_time() {
        let (breaker, start) = (breaker(), Instant::now());
        for _ in 0..3 {
            assert_eq!(wait(&breaker, start), None);
            fail(&breaker, start);
        }
        assert_eq!(wait(&breaker, start), Some(1_000));
        assert_eq!(breaker.condition().last_error.map(|(_, case)| case), Some("unavailable"));
        let mut now = start;
        for (after, next) in [(1, 2_000), (2, 3_000), (3, 3_000)] {
            now += Duration::from_secs(after);
            fail(&breaker, now);
            assert_eq!(wait(&breaker, now), Some(next));
        }
        now += Duration::from_secs(3);
        breaker.ask_at(now).unwrap().end(Verdict::Answers);
        assert_eq!(breaker.condition().breaker, data::Breaker::Closed);
        fail(&breaker, now);
        assert_eq!(wait(&breaker, now), None, "it begins to count anew");
    }

    #[test]
    fn one_caller_tries_and_the_others_are_told_to_wait() {
        let (breaker, start) = (breaker(), Instant::now());
        (0..3).for_each(|_| fail(&breaker, start));
        let later = start + Duration::from_secs(1);
        let trying = breaker.ask_at(later).unwrap();
        assert_eq!(breaker.condition().breaker, data::Breaker::HalfOpen);
        assert_eq!(wait(&breaker, later), Some(1_000));
        // Given up at once, it found nothing out, and the next one tries.
        drop(trying);
        let trying = breaker.ask().unwrap();
        assert!(trying.tries);
        trying.end(Verdict::Nothing);
        assert!(breaker.ask().unwrap().tries);
    }

    #[test]
    fn what_a_caller_did_wrong_never_opens_it() {
        let breaker = breaker();
        for error in [
            Error::Denied(String::new()),
            Error::Invalid(String::new()),
            Error::NotFound(String::new()),
            Error::Limit { name: "max-rows", allowed: 1 },
            Error::Throttled(Wait { message: String::new(), retry_after_ms: None }),
            Error::Cancelled,
        ] {
            for _ in 0..10 {
                breaker.ask().unwrap().end(Verdict::of::<()>(&Err(error.clone())));
            }
        }
        // Nor what it gives up soon.
        (0..10).for_each(|_| drop(breaker.ask().unwrap()));
        assert_eq!(breaker.condition(), Condition { breaker: data::Breaker::Closed, last_error: None });
    }

    #[test]
    fn a_refusal_is_an_answer_and_a_lost_write_is_none() {
        let rejected = data::Rejection { reason: data::Refusal::Constraint, code: None, message: String::new() };
        assert_eq!(Verdict::of::<()>(&Err(Error::Rejected(rejected))), Verdict::Answers);
        assert_eq!(Verdict::of::<()>(&Err(Error::Uncertain(String::new()))), Verdict::Fails("uncertain"));
    }

    #[test]
    fn silence_counts_unless_somebody_was_answered_meanwhile() {
        let breaker = breaker();
        let long_ago = Instant::now().checked_sub(GIVEN_UP_AFTER).unwrap();
        let silent = || drop(Leave { breaker: &breaker, tries: false, began: long_ago, ended: false });
        silent();
        silent();
        breaker.ask().unwrap().end(Verdict::Answers);
        (0..5).for_each(|_| silent());
        assert!(breaker.ask().is_ok());
        let silent_again = breaker.ask().unwrap();
        silent_again.end(FAILS);
        breaker.ask().unwrap().end(FAILS);
        breaker.ask().unwrap().end(FAILS);
        assert!(breaker.ask().is_err());
    }
}
