//! Connections of one source, lent one operation at a time.
//!
//! sqlx has a pool of its own, but that repeats a refused connection until its time is up, so that a
//! dead server takes a minute to say so, and it keeps nothing beside a connection. A connection
//! whose operation was given up or broke is closed, never lent again.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use remit_domain::data::{Error, Wait};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant as Moment, timeout_at},
};

use crate::{
    ceilings::{Idle, Place, Share},
    observe::{self, There},
};

/// How the connections of one kind are made.
pub(crate) trait Connect: Sync {
    /// One connection.
    type Connection: Send;

    /// Makes one. Errors: `unavailable`; `invalid` for a definition that cannot work.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Whether one that lay idle for a while still works.
    fn fresh(&self, connection: &mut Self::Connection, idle: Duration) -> impl Future<Output = bool> + Send;
}

/// Lends connections, up to a number of them at once, within what the tenant and the host may have.
#[derive(Debug)]
pub(crate) struct Lender<C> {
    family: &'static str,
    share: Arc<Share>,
    /// Since when each lies there; the oldest first.
    idle: Mutex<Vec<(Held<C>, Instant)>>,
    permits: Arc<Semaphore>,
    /// How long a caller waits for its turn.
    wait: Duration,
    /// How long a connection may take to be made.
    connect: Duration,
}

/// A connection with its place among those that there may be.
#[derive(Debug)]
struct Held<C> {
    connection: C,
    // Dropped after the connection.
    _place: Place,
    _there: There,
}

/// A connection lent. Dropped without [`Lease::give_back`], it is closed.
#[derive(Debug)]
pub(crate) struct Lease<C> {
    connection: Option<Held<C>>,
    lender: Arc<Lender<C>>,
    /// Released after the connection is closed or given back.
    _permit: OwnedSemaphorePermit,
    _there: There,
}

impl<C: Send + 'static> Lender<C> {
    pub(crate) fn new(
        family: &'static str,
        most: usize,
        wait: Duration,
        connect: Duration,
        share: &Arc<Share>,
    ) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(most.max(1)));
        let this = Arc::new(Self { family, share: share.clone(), idle: Mutex::default(), permits, wait, connect });
        let idle: Arc<dyn Idle> = this.clone();
        share.lends(&idle);
        this
    }

    /// A connection that was used before, if it is still good, or a new one.
    ///
    /// Errors: `throttled` if all are in use for too long; `unavailable` and whatever `connect` says.
    pub(crate) async fn lend(self: &Arc<Self>, by: &impl Connect<Connection = C>) -> Result<Lease<C>, Error> {
        let until = Moment::now() + self.wait;
        let permit = match timeout_at(until, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::unavailable("the source is being closed")),
            Err(_) => return Err(busy("all connections of this source are in use")),
        };
        let lease = |held| Lease {
            connection: Some(held),
            lender: self.clone(),
            _permit: permit,
            _there: There::lease(self.family),
        };
        while let Some((mut held, since)) = self.take_idle() {
            if by.fresh(&mut held.connection, since.elapsed()).await {
                return Ok(lease(held));
            }
        }
        let Ok(place) = timeout_at(until, self.share.place()).await else {
            return Err(busy("all connections that this tenant or this host may have are in use"));
        };
        let made = tokio::time::timeout(self.connect, by.connect()).await;
        let made = made.unwrap_or_else(|_| Err(Error::unavailable("the source did not accept a connection in time")));
        observe::connected(self.family, made.as_ref().map_or_else(Error::case, |_| "ok"));
        Ok(lease(Held { connection: made?, _place: place, _there: There::connection(self.family) }))
    }
}

impl<C> Lender<C> {
    fn idle(&self) -> MutexGuard<'_, Vec<(Held<C>, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<(Held<C>, Instant)> {
        self.idle().pop()
    }

    /// Closes what lies idle since before an instant.
    pub(crate) fn close_idle(&self, before: Instant) {
        let old = {
            let mut idle = self.idle();
            let young = idle.partition_point(|(_, since)| *since < before);
            idle.drain(..young).collect::<Vec<_>>()
        };
        drop(old);
    }
}

impl<C: Send> Idle for Lender<C> {
    fn oldest(&self) -> Option<Instant> {
        self.idle().first().map(|(_, since)| *since)
    }

    fn close_oldest(&self) -> bool {
        let oldest = {
            let mut idle = self.idle();
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        oldest.is_some()
    }
}

impl<C> Lease<C> {
    /// Ends the lease of a connection that is in order. Where others wait for a place, it is closed.
    pub(crate) fn give_back(mut self) {
        if let Some(held) = self.connection.take() {
            // Under the lock that whoever waits looks through: it is found there, or not put there.
            let mut idle = self.lender.idle();
            if self.lender.share.is_wanted() {
                drop(idle);
                drop(held);
            } else {
                idle.push((held, Instant::now()));
            }
        }
    }
}

fn busy(message: &str) -> Error {
    Error::Throttled(Wait { message: message.to_owned(), retry_after_ms: Some(1_000) })
}

// A lease holds its connection until it is given back, which consumes it.
#[expect(clippy::expect_used, reason = "the connection leaves only where the lease ends")]
impl<C> Deref for Lease<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.connection.as_ref().expect("a lease in use").connection
    }
}

#[expect(clippy::expect_used, reason = "the connection leaves only where the lease ends")]
impl<C> DerefMut for Lease<C> {
    fn deref_mut(&mut self) -> &mut C {
        &mut self.connection.as_mut().expect("a lease in use").connection
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use remit_domain::TenantId;

    use super::*;
    use crate::ceilings::Ceilings;

    #[derive(Default)]
    struct Counting {
        made: AtomicU32,
        stale: AtomicBool,
        silent: AtomicBool,
    }

    impl Connect for Counting {
        type Connection = u32;

        async fn connect(&self) -> Result<u32, Error> {
            if self.silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(self.made.fetch_add(1, Ordering::SeqCst))
        }

        async fn fresh(&self, _connection: &mut u32, _idle: Duration) -> bool {
            !self.stale.load(Ordering::SeqCst)
        }
    }

    fn lender(most: usize) -> Arc<Lender<u32>> {
        within(&share(&Ceilings::new(100, 100), "one"), most)
    }

    fn within(share: &Arc<Share>, most: usize) -> Arc<Lender<u32>> {
        Lender::new("test", most, Duration::from_millis(20), Duration::from_millis(20), share)
    }

    fn share(ceilings: &Arc<Ceilings>, tenant: &str) -> Arc<Share> {
        ceilings.share(&TenantId::new(tenant).unwrap())
    }

    #[tokio::test]
    async fn a_tenant_and_the_host_have_ceilings_and_idle_connections_give_way() {
        let ceilings = Ceilings::new(3, 2);
        let (one, two) = (share(&ceilings, "one"), share(&ceilings, "two"));
        let (first, second, others) = (within(&one, 10), within(&one, 10), within(&two, 10));
        let counting = Counting::default();
        let held = first.lend(&counting).await.unwrap();
        first.lend(&counting).await.unwrap().give_back();
        assert_eq!(first.idle().len(), 1);
        // The tenant's ceiling is reached, but one of its connections is idle: that one is closed.
        let more = second.lend(&counting).await.unwrap();
        assert_eq!(first.idle().len(), 0);
        let refused = second.lend(&counting).await.unwrap_err();
        assert_eq!(refused.to_string(), "throttled: all connections that this tenant or this host may have are in use");
        // Nobody else is held up by it, until the host's ceiling is reached too.
        let theirs = others.lend(&counting).await.unwrap();
        assert_eq!(others.lend(&counting).await.unwrap_err().case(), "throttled");
        theirs.give_back();
        drop(held);
        assert!(others.lend(&counting).await.is_ok());
        // What is given back while somebody waits goes to whoever waits.
        let held = first.lend(&counting).await.unwrap();
        let (got, ()) = tokio::join!(second.lend(&counting), async { held.give_back() });
        drop((got.unwrap(), more));
        assert_eq!(ceilings.taken(), others.idle().len());
    }

    #[tokio::test]
    async fn what_lies_idle_for_long_is_closed_and_the_rest_stays() {
        let (counting, lender) = (Counting::default(), lender(5));
        let (old, young) = (lender.lend(&counting).await.unwrap(), lender.lend(&counting).await.unwrap());
        old.give_back();
        let between = Instant::now();
        young.give_back();
        lender.close_idle(between);
        assert_eq!(lender.idle().iter().map(|(held, _)| held.connection).collect::<Vec<_>>(), [1]);
        assert_eq!(*lender.lend(&counting).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_connection_given_back_is_lent_again_and_one_dropped_is_not() {
        let counting = Counting::default();
        let lender = lender(1);
        let lease = lender.lend(&counting).await.unwrap();
        assert_eq!(*lease, 0);
        lease.give_back();
        let lease = lender.lend(&counting).await.unwrap();
        assert_eq!(*lease, 0);
        drop(lease);
        let lease = lender.lend(&counting).await.unwrap();
        assert_eq!(*lease, 1);
        lease.give_back();
        counting.stale.store(true, Ordering::SeqCst);
        let lease = lender.lend(&counting).await.unwrap();
        assert_eq!(*lease, 2);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_to_come_back() {
        let lender = lender(1);
        let _held = lender.lend(&Counting::default()).await.unwrap();
        let error = lender.lend(&Counting::default()).await.unwrap_err();
        assert_eq!(error.case(), "throttled");
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_unavailable_and_keeps_no_place() {
        let lender = lender(1);
        let counting = Counting { silent: AtomicBool::new(true), ..Counting::default() };
        let error = lender.lend(&counting).await.unwrap_err();
        assert_eq!(error.case(), "unavailable");
        assert!(lender.lend(&Counting::default()).await.is_ok());
    }
}
