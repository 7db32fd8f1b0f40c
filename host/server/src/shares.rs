//! Turns at something that costs memory for as long as it lasts: so many at once, and of one tenant fewer.
//!
//! Deliberately absent: waiting. Who finds no turn is told to come back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use remit_domain::{Error, TenantId};

/// How many turns there are at something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What it is called in an error, such as `uploads`.
    pub(crate) what: &'static str,
    /// Of one tenant.
    pub(crate) of_one: usize,
    /// Of all.
    pub(crate) of_all: usize,
}

/// Who has a turn now. A clone counts the same turns.
#[derive(Clone)]
pub(crate) struct Shares {
    bounds: Bounds,
    taken: Arc<Mutex<HashMap<TenantId, usize>>>,
}

/// One turn; it is over when this is dropped.
pub(crate) struct Turn {
    shares: Shares,
    tenant: TenantId,
}

impl Shares {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, taken: Arc::default() }
    }

    /// Takes a turn. Errors: [`Error::Busy`].
    pub(crate) fn take(&self, tenant: &TenantId) -> Result<Turn, Error> {
        let Bounds { what, of_one, of_all } = self.bounds;
        let busy = |limit, allowed: usize| Error::Busy {
            limit,
            allowed: u64::try_from(allowed).unwrap_or(u64::MAX),
            unit: what,
            retry_after_ms: 5_000,
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(tenant).is_some_and(|own| *own >= of_one) {
            return Err(busy("the bound of one tenant", of_one));
        }
        if taken.values().sum::<usize>() >= of_all {
            return Err(busy("the bound of the host", of_all));
        }
        *taken.entry(tenant.clone()).or_default() += 1;
        Ok(Turn { shares: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_can_not_take_all_turns() -> Result<(), Box<dyn std::error::Error>> {
        let shares = Shares::new(Bounds { what: "uploads", of_one: 2, of_all: 4 });
        let (greedy, other) = (TenantId::new("greedy")?, TenantId::new("other")?);
        let turns = [shares.take(&greedy)?, shares.take(&greedy)?];
        let refused = shares.take(&greedy).map(drop).map_err(|error| error.to_string());
        assert_eq!(refused, Err("too much at once: the bound of one tenant allows 2 uploads".to_owned()));
        drop(shares.take(&other)?);
        drop(turns);
        drop(shares.take(&greedy)?);
        let mut all = Vec::new();
        for at in 0..4 {
            all.push(shares.take(&TenantId::new(&format!("tenant-{at}"))?)?);
        }
        let refused = shares.take(&other).map(drop).map_err(|error| error.to_string());
        assert_eq!(refused, Err("too much at once: the bound of the host allows 4 uploads".to_owned()));
        drop(all);
        assert!(shares.taken.lock().is_ok_and(|taken| taken.is_empty()));
        Ok(())
    }
}
