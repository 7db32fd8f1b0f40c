//! The places for calls: so many run at once on this host, and of these a tenant may hold a share.
//!
//! Deliberately absent: order among those who wait. Whoever asks a place that frees gets it in turn, and
//! nobody waits longer than the queue's time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use remit_domain::{Error, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for calls.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    total: usize,
    /// Half of all: one tenant alone leaves the others the other half.
    share: usize,
    wait: Duration,
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// A place taken; free again when dropped.
pub(crate) struct Place {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(total: usize, wait: Duration) -> Self {
        let share = total.div_ceil(2).max(1);
        Self { all: Arc::new(Semaphore::new(total)), total, share, wait, tenants: Mutex::default() }
    }

    /// Waits for a place. Errors: [`Error::Busy`] if none frees in time.
    pub(crate) async fn take(&self, tenant: &TenantId) -> Result<Place, Error> {
        let own = self.of(tenant);
        let taking = async {
            let of_tenant = own.acquire_owned().await?;
            let of_all = self.all.clone().acquire_owned().await?;
            Ok(Place { _of_tenant: of_tenant, _of_all: of_all })
        };
        match tokio::time::timeout(self.wait, taking).await {
            Ok(taken) => taken.map_err(|closed: tokio::sync::AcquireError| Error::Internal(closed.into())),
            Err(_) => Err(Error::Busy { retry_after_ms: 1_000 }),
        }
    }

    /// Places taken now, and all there are.
    pub(crate) fn occupancy(&self) -> (usize, usize) {
        (self.total.saturating_sub(self.all.available_permits()), self.total)
    }

    /// A tenant's share. There are as many as tenants with calls: one that nobody holds is forgotten.
    fn of(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|known, share| known == tenant || Arc::strong_count(share) > 1);
        tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.share))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Result<TenantId, remit_domain::InvalidName> {
        TenantId::new(name)
    }

    #[tokio::test]
    async fn one_tenant_leaves_the_others_their_share() -> Result<(), Box<dyn std::error::Error>> {
        let places = Places::new(4, Duration::from_millis(20));
        let greedy = tenant("greedy")?;
        let held = [places.take(&greedy).await?, places.take(&greedy).await?];
        assert!(matches!(places.take(&greedy).await, Err(Error::Busy { .. })), "its share is taken");
        let others = [places.take(&tenant("a")?).await?, places.take(&tenant("b")?).await?];
        assert_eq!(places.occupancy(), (4, 4));
        assert!(matches!(places.take(&tenant("c")?).await, Err(Error::Busy { .. })), "all are taken");
        drop((held, others));
        assert_eq!(places.occupancy(), (0, 4));
        places.take(&greedy).await?;
        Ok(())
    }
}
