//! The places of a host, for calls or for compilers: there are so many, of which a tenant may hold a share.
//! Who finds none waits in its tenant's queue; a place that frees goes to the tenants that wait in turn,
//! whatever the length of their queues.
//!
//! Deliberately absent: weights and priorities. A tenant with a hundred calls in its queue gets the next
//! place as often as one with a single call.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use remit_domain::TenantId;
use tokio::sync::oneshot;

/// The places. Cheap to clone: clones are the same places.
#[derive(Clone)]
pub(crate) struct Places {
    total: usize,
    book: Arc<Mutex<Book>>,
}

/// What a tenant may have of the places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Places held at once.
    pub(crate) share: usize,
    /// Waiting at once.
    pub(crate) queue: usize,
    /// How long each waits.
    pub(crate) wait: Duration,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// As many wait as may.
    Queue,
    /// None became free in time.
    Time,
}

/// A place taken; free again when dropped.
pub(crate) struct Place {
    places: Places,
    tenant: TenantId,
    /// Whether it stands in the book. One that nobody took does not.
    entered: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.entered {
            return;
        }
        let mut book = self.places.book();
        book.give_back(&self.tenant);
        book.hand_out(&self.places);
    }
}

impl Places {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, book: Arc::default() }
    }

    /// Takes a place, or waits for one. Cancel: who goes away while waiting leaves the queue, and a place
    /// that was on its way to it goes to the next.
    pub(crate) async fn take(&self, tenant: &TenantId, terms: Terms) -> Result<Place, Full> {
        let place = self.queue(tenant, terms)?;
        match tokio::time::timeout(terms.wait, place).await {
            Ok(Ok(place)) => Ok(place),
            // The other half is dropped only with the book, which this borrows.
            Ok(Err(_)) | Err(_) => Err(Full::Time),
        }
    }

    /// Places taken now, and all there are.
    pub(crate) fn occupancy(&self) -> (usize, usize) {
        (self.book().taken, self.total)
    }

    /// Stands in the queue; where a place is free for the tenant, it is there at once.
    fn queue(&self, tenant: &TenantId, terms: Terms) -> Result<oneshot::Receiver<Place>, Full> {
        let mut book = self.book();
        let full = book.taken >= self.total;
        let own = book.tenants.entry(tenant.clone()).or_default();
        own.share = terms.share;
        own.waiting.retain(|waiter| !waiter.is_closed());
        let waits = full || own.held >= own.share || !own.waiting.is_empty();
        if waits && own.waiting.len() >= terms.queue {
            book.forget_idle(tenant);
            return Err(Full::Queue);
        }
        let (waiter, place) = oneshot::channel();
        own.waiting.push_back(waiter);
        if !book.turn.contains(tenant) {
            book.turn.push_back(tenant.clone());
        }
        book.hand_out(self);
        Ok(place)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who holds places, and who waits.
#[derive(Default)]
struct Book {
    taken: usize,
    /// Those that hold or wait. There are as many as tenants with calls under way.
    tenants: HashMap<TenantId, Tenant>,
    /// Those that wait, the next one first.
    turn: VecDeque<TenantId>,
}

#[derive(Default)]
struct Tenant {
    held: usize,
    share: usize,
    waiting: VecDeque<oneshot::Sender<Place>>,
}

impl Book {
    /// Hands the free places to those that wait: one to each tenant in turn that holds less than its share.
    fn hand_out(&mut self, places: &Places) {
        // Ends when all are taken, or when a whole round found nobody to give one to.
        let mut passed_over = 0;
        while self.taken < places.total && passed_over < self.turn.len() {
            let Some(tenant) = self.turn.pop_front() else { return };
            let Some(own) = self.tenants.get_mut(&tenant) else { continue };
            if own.held < own.share && own.give(&tenant, places) {
                self.taken += 1;
                passed_over = 0;
            } else {
                passed_over += 1;
            }
            if own.waiting.is_empty() {
                // It left the round, which is shorter by one.
                passed_over = passed_over.saturating_sub(1);
                self.forget_idle(&tenant);
            } else {
                self.turn.push_back(tenant);
            }
        }
    }

    fn give_back(&mut self, tenant: &TenantId) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.held = own.held.saturating_sub(1);
        }
        self.forget_idle(tenant);
    }

    fn forget_idle(&mut self, tenant: &TenantId) {
        if self.tenants.get(tenant).is_some_and(|own| own.held == 0 && own.waiting.is_empty()) {
            self.tenants.remove(tenant);
            self.turn.retain(|waiting| waiting != tenant);
        }
    }
}

impl Tenant {
    /// Gives a place to the first who still waits. Says whether there was one.
    fn give(&mut self, tenant: &TenantId, places: &Places) -> bool {
        while let Some(waiter) = self.waiting.pop_front() {
            let place = Place { places: places.clone(), tenant: tenant.clone(), entered: true };
            match waiter.send(place) {
                Ok(()) => {
                    self.held += 1;
                    return true;
                }
                // It went away.
                Err(mut place) => place.entered = false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::BoxFuture};
    use remit_domain::InvalidName;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const LONG: Duration = Duration::from_secs(3_600);

    fn tenant(name: &str) -> Result<TenantId, InvalidName> {
        TenantId::new(name)
    }

    fn terms(share: usize, queue: usize) -> Terms {
        Terms { share, queue, wait: LONG }
    }

    /// A call that waits, polled once, so that it stands in the queue.
    fn waiting(
        places: &Places,
        name: &str,
        terms: Terms,
    ) -> Result<BoxFuture<'static, Result<Place, Full>>, InvalidName> {
        let (places, tenant) = (places.clone(), tenant(name)?);
        let mut taking = async move { places.take(&tenant, terms).await }.boxed();
        assert!(taking.as_mut().now_or_never().is_none(), "{name} has to wait");
        Ok(taking)
    }

    fn why(taken: Result<Place, Full>) -> Option<Full> {
        taken.err()
    }

    #[tokio::test]
    async fn a_tenant_holds_its_share_and_no_more() -> Outcome {
        let places = Places::new(4);
        let at_once = Terms { share: 2, queue: 1, wait: Duration::ZERO };
        let greedy = tenant("greedy")?;
        let held = [places.take(&greedy, at_once).await, places.take(&greedy, at_once).await];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(why(places.take(&greedy, at_once).await), Some(Full::Time), "its share is taken");
        let others = [places.take(&tenant("a")?, at_once).await, places.take(&tenant("b")?, at_once).await];
        assert!(others.iter().all(Result::is_ok));
        assert_eq!(places.occupancy(), (4, 4));
        assert_eq!(why(places.take(&tenant("c")?, at_once).await), Some(Full::Time), "all are taken");
        drop((held, others));
        assert_eq!(places.occupancy(), (0, 4));
        assert!(places.take(&greedy, at_once).await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn a_place_goes_to_the_tenants_in_turn() -> Outcome {
        let places = Places::new(1);
        let first = places.take(&tenant("a")?, terms(1, 9)).await;
        let mut queued = Vec::new();
        for name in ["a", "a", "a", "b", "c", "b"] {
            queued.push((name, waiting(&places, name, terms(1, 9))?));
        }
        drop(first);
        let mut order = Vec::new();
        while !queued.is_empty() {
            let mut next = None;
            for (at, (name, taking)) in queued.iter_mut().enumerate() {
                if let Some(place) = taking.as_mut().now_or_never() {
                    assert!(next.is_none(), "one place, one taker");
                    next = Some((at, *name, place));
                }
            }
            let (at, name, place) = next.ok_or("nobody got the place")?;
            drop(queued.remove(at));
            order.push(name);
            assert_eq!(places.occupancy(), (1, 1));
            drop(place);
        }
        assert_eq!(order, ["a", "b", "c", "a", "b", "a"]);
        assert_eq!(places.occupancy(), (0, 1));
        let book = places.book();
        assert!(book.tenants.is_empty() && book.turn.is_empty(), "nobody is remembered");
        Ok(())
    }

    #[tokio::test]
    async fn one_at_its_share_is_passed_over() -> Outcome {
        let places = Places::new(2);
        let own = places.take(&tenant("a")?, terms(1, 9)).await;
        let other = places.take(&tenant("b")?, terms(2, 9)).await;
        let mut of_a = waiting(&places, "a", terms(1, 9))?;
        let mut of_b = waiting(&places, "b", terms(2, 9))?;
        drop(other);
        assert!(of_a.as_mut().now_or_never().is_none(), "its share is still held");
        let of_b = of_b.as_mut().now_or_never().ok_or("b was not served")?;
        drop(own);
        assert!(of_a.as_mut().now_or_never().is_some_and(|taken| taken.is_ok()));
        drop(of_b);
        Ok(())
    }

    #[tokio::test]
    async fn a_queue_has_a_bound() -> Outcome {
        let places = Places::new(1);
        let held = places.take(&tenant("a")?, terms(1, 0)).await;
        let queued = [waiting(&places, "b", terms(1, 2))?, waiting(&places, "b", terms(1, 2))?];
        assert_eq!(why(places.take(&tenant("b")?, terms(1, 2)).await), Some(Full::Queue));
        assert_eq!(why(places.take(&tenant("c")?, terms(1, 0)).await), Some(Full::Queue));
        assert!(!places.book().tenants.contains_key("c"), "who may not wait is not remembered");
        drop(queued);
        let again = waiting(&places, "b", terms(1, 2))?;
        drop((again, held));
        assert_eq!(places.occupancy(), (0, 1));
        Ok(())
    }

    #[tokio::test]
    async fn who_goes_away_costs_no_place() -> Outcome {
        let places = Places::new(1);
        let held = places.take(&tenant("a")?, terms(1, 9)).await;
        let gone = waiting(&places, "b", terms(1, 9))?;
        let next = waiting(&places, "b", terms(1, 9))?;
        drop(gone);
        drop(held);
        assert_eq!(places.occupancy(), (1, 1), "the place is on its way to the next");
        drop(next);
        assert_eq!(places.occupancy(), (0, 1), "and comes back when the next does not fetch it");
        let late = Terms { wait: Duration::from_millis(1), ..terms(1, 9) };
        let held = places.take(&tenant("a")?, terms(1, 9)).await;
        assert_eq!(why(places.take(&tenant("b")?, late).await), Some(Full::Time));
        drop(held);
        assert_eq!(places.occupancy(), (0, 1));
        assert!(places.book().tenants.is_empty());
        Ok(())
    }
}
