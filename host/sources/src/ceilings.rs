//! How many connections to databases there may be: of one tenant, and of the whole host.
//!
//! A connection has its place for as long as it is open. One that lies idle gives way to whoever needs its
//! place: the tenant's oldest where the tenant has too many, anybody's where the host has. Deliberately
//! absent: how many one source has, which its own lender knows.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use remit_domain::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the whole host may have.
#[derive(Debug)]
pub(crate) struct Ceilings {
    all: Arc<Ceiling>,
    of_a_tenant: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Share>>>,
}

/// What one tenant may have.
#[derive(Debug)]
pub(crate) struct Share {
    own: Arc<Ceiling>,
    all: Arc<Ceiling>,
}

/// A place of a connection.
#[derive(Debug)]
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// Who has idle connections.
pub(crate) trait Idle: Send + Sync {
    /// Since when the oldest lies there.
    fn oldest(&self) -> Option<Instant>;

    /// Closes the oldest. False: there is none.
    fn close_oldest(&self) -> bool;
}

struct Ceiling {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    lenders: Mutex<Vec<Weak<dyn Idle>>>,
    #[cfg(test)]
    most: usize,
}

impl Ceilings {
    /// So many connections in all, and of each tenant.
    pub(crate) fn new(all: usize, of_a_tenant: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Ceiling::new(all)), of_a_tenant, tenants: Mutex::default() })
    }

    /// What a tenant may have: one and the same for as long as anybody holds it.
    pub(crate) fn share(&self, tenant: &TenantId) -> Arc<Share> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = tenants.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        tenants.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share { own: Arc::new(Ceiling::new(self.of_a_tenant)), all: self.all.clone() });
        tenants.insert(tenant.clone(), Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.all.most - self.all.places.available_permits()
    }
}

impl Share {
    /// Has the idle connections of a lender give way.
    pub(crate) fn lends(&self, lender: &Arc<dyn Idle>) {
        for ceiling in [&self.own, &self.all] {
            let mut lenders = ceiling.lenders.lock().unwrap_or_else(PoisonError::into_inner);
            lenders.retain(|lender| lender.strong_count() > 0);
            lenders.push(Arc::downgrade(lender));
        }
    }

    /// A place for one more connection, in turn. Waits until there is one.
    pub(crate) async fn place(&self) -> Place {
        // The tenant's first: who waits for that takes nothing from the others.
        let own = self.own.take().await;
        Place { _own: own, _all: self.all.take().await }
    }

    /// Whether somebody waits for a place that this tenant could give.
    pub(crate) fn is_wanted(&self) -> bool {
        [&self.own, &self.all].iter().any(|ceiling| ceiling.waiting.load(Ordering::SeqCst) > 0)
    }
}

impl Ceiling {
    fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            waiting: AtomicUsize::new(0),
            lenders: Mutex::default(),
            #[cfg(test)]
            most,
        }
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return place;
            }
            // Said before the idle ones are looked through: what is given back from now on is closed.
            let _waiting = Waiting::new(&self.waiting);
            if self.close_oldest() {
                continue;
            }
            // The semaphore is never closed.
            if let Ok(place) = self.places.clone().acquire_owned().await {
                return place;
            }
        }
    }

    fn close_oldest(&self) -> bool {
        let lenders: Vec<Arc<dyn Idle>> = {
            let lenders = self.lenders.lock().unwrap_or_else(PoisonError::into_inner);
            lenders.iter().filter_map(Weak::upgrade).collect()
        };
        let oldest = lenders.iter().filter_map(|lender| Some((lender.oldest()?, lender)));
        oldest.min_by_key(|(since, _)| *since).is_some_and(|(_, lender)| lender.close_oldest())
    }
}

impl std::fmt::Debug for Ceiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ceiling").field("left", &self.places.available_permits()).finish_non_exhaustive()
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
