//! Turns: whose guest computes while others want to.
//!
//! A guest gives its thread back each [`TICK`](crate::engine::TICK), but thirty that compute without end would still
//! let everybody else wait for thirty ticks. So a tenant whose guests hold threads for long has an
//! allowance, and what goes beyond it computes in turns, on fewer threads than there are: the tenants in
//! order, one tick each. Guests that soon wait or end, as nearly all do, never come here.
//!
//! Deliberately absent: turns among the calls of one tenant, and priorities.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    thread,
    time::{Duration, Instant},
};

use remit_domain::TenantId;

use crate::places::{Full, Place, Places, Terms};

/// What a guest may hold a thread for and not be noticed. A usual call's guest takes a third of it, all in all.
const LONG: Duration = Duration::from_micros(250);
/// A tenant's allowance is one part in so many of a thread's time.
const SHARE: u32 = 10;
/// How much of it may be used at once.
const BURST: Duration = Duration::from_millis(100);
/// Nobody gives up waiting for a turn: the call's own deadline ends that.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// The turns of a host.
pub(crate) struct Turns {
    began: Instant,
    places: Places,
    /// One for each tenant whose guest ever ran.
    accounts: Mutex<HashMap<TenantId, Arc<Account>>>,
}

impl Turns {
    /// With turns on all of this machine's threads but one, which is left to everybody else.
    pub(crate) fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { began: Instant::now(), places: Places::new((threads - 1).max(1)), accounts: Mutex::default() }
    }

    /// A call's way to its tenant's turns.
    pub(crate) fn of(&self, tenant: &TenantId) -> Turn {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = match accounts.get(tenant) {
            Some(account) => account.clone(),
            None => accounts.entry(tenant.clone()).or_default().clone(),
        };
        Turn { began: self.began, tenant: tenant.clone(), places: self.places.clone(), account, coming: None }
    }
}

/// What a tenant has used of its allowance: the moment at which all of it will be made good again.
#[derive(Debug, Default)]
struct Account(AtomicU64);

impl Account {
    /// Whether there is anything left. All times are since the host began.
    fn has_credit(&self, now: Duration) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) <= now + BURST * SHARE
    }

    fn charge(&self, now: Duration, held: Duration) {
        let made_good = |clear: u64| {
            let clear = Duration::from_nanos(clear).max(now) + held * SHARE;
            Some(u64::try_from(clear.as_nanos()).unwrap_or(u64::MAX))
        };
        // An error says that the closure declined, which it never does.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, made_good);
    }
}

type Coming = Pin<Box<dyn Future<Output = Result<Place, Full>> + Send>>;

/// One call's way to its tenant's turns.
pub(crate) struct Turn {
    began: Instant,
    tenant: TenantId,
    places: Places,
    account: Arc<Account>,
    /// A turn that is waited for.
    coming: Option<Coming>,
}

impl Turn {
    /// Whether the guest may compute now. The place, where one was needed, is held until the thread is given back.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Place>> {
        if self.coming.is_none() && self.account.has_credit(self.began.elapsed()) {
            return Poll::Ready(None);
        }
        let coming = self.coming.get_or_insert_with(|| {
            let (places, tenant) = (self.places.clone(), self.tenant.clone());
            let terms = Terms { share: places.occupancy().1, queue: usize::MAX, wait: PATIENCE };
            Box::pin(async move { places.take(&tenant, terms).await })
        });
        let place = ready!(coming.as_mut().poll(context));
        self.coming = None;
        Poll::Ready(place.ok())
    }

    /// Notes for how long the guest held its thread.
    pub(crate) fn held(&self, time: Duration) {
        if time > LONG {
            self.account.charge(self.began.elapsed(), time);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_allowance_is_used_up_and_made_good() {
        let account = Account::default();
        assert!(account.has_credit(Duration::ZERO));
        account.charge(Duration::ZERO, BURST);
        assert!(account.has_credit(Duration::ZERO), "all of it may be used at once");
        account.charge(Duration::ZERO, Duration::from_millis(10));
        assert!(!account.has_credit(Duration::ZERO));
        assert!(account.has_credit(SECOND / 10), "a tenth of the time makes it good");
        account.charge(SECOND * 60, BURST);
        assert!(account.has_credit(SECOND * 60), "what was not used is not saved up");
        account.charge(SECOND * 60, BURST);
        assert!(!account.has_credit(SECOND * 60));
    }

    #[tokio::test]
    async fn only_who_held_threads_for_long_waits_for_a_turn() -> Outcome {
        let (turns, mut context) = (Turns::new(), Context::from_waker(Waker::noop()));
        let (greedy, modest) = (TenantId::new("greedy")?, TenantId::new("modest")?);
        let mut free = turns.of(&modest);
        let mut first = turns.of(&greedy);
        assert!(matches!(first.poll(&mut context), Poll::Ready(None)), "at first nobody waits");
        for _ in 0..100_000 {
            free.held(LONG);
        }
        first.held(SECOND);
        let mut held = Vec::new();
        for _ in 0..turns.places.occupancy().1 {
            match turns.of(&greedy).poll(&mut context) {
                Poll::Ready(Some(place)) => held.push(place),
                _ => return Err("there are turns left".into()),
            }
        }
        let mut second = turns.of(&greedy);
        assert!(second.poll(&mut context).is_pending(), "all turns are taken");
        assert!(matches!(free.poll(&mut context), Poll::Ready(None)), "short work is free, however much of it");
        held.pop();
        assert!(matches!(second.poll(&mut context), Poll::Ready(Some(_))));
        Ok(())
    }

    #[tokio::test]
    async fn a_call_that_goes_away_leaves_its_turn() -> Outcome {
        let (turns, mut context) = (Turns::new(), Context::from_waker(Waker::noop()));
        let greedy = TenantId::new("greedy")?;
        turns.of(&greedy).held(SECOND);
        let all = turns.places.occupancy().1;
        let held: Vec<_> = (0..all).map(|_| turns.of(&greedy).poll(&mut context)).collect();
        let mut gone = turns.of(&greedy);
        assert!(gone.poll(&mut context).is_pending());
        drop(held);
        drop(gone);
        assert_eq!(turns.places.occupancy(), (0, all));
        Ok(())
    }
}
