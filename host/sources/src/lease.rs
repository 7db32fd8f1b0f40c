//! Connections of one source, lent one operation at a time.
//!
//! sqlx has a pool of its own, but that repeats a refused connection until its time is up, so that a
//! dead server takes a minute to say so, and it keeps nothing beside a connection. A connection
//! whose operation was given up or broke is closed, never lent again.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use remit_domain::data::{Error, Wait};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observe;

/// How the connections of one kind are made.
pub(crate) trait Connect: Sync {
    /// One connection.
    type Connection: Send;

    /// Makes one. Errors: `unavailable`; `invalid` for a definition that cannot work.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Whether one that lay idle for a while still works.
    fn fresh(&self, connection: &mut Self::Connection, idle: Duration) -> impl Future<Output = bool> + Send;
}

/// Lends connections, up to a number of them at once.
#[derive(Debug)]
pub(crate) struct Lender<C> {
    family: &'static str,
    idle: Mutex<Vec<(C, Instant)>>,
    permits: Arc<Semaphore>,
    /// How long a caller waits for its turn.
    wait: Duration,
    /// How long a connection may take to be made.
    connect: Duration,
}

/// A connection lent. Dropped without [`Lease::give_back`], it is closed.
#[derive(Debug)]
pub(crate) struct Lease<C> {
    connection: Option<C>,
    lender: Arc<Lender<C>>,
    /// Released after the connection is closed or given back.
    _permit: OwnedSemaphorePermit,
}

impl<C> Lender<C> {
    pub(crate) fn new(family: &'static str, most: usize, wait: Duration, connect: Duration) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(most.max(1)));
        Arc::new(Self { family, idle: Mutex::default(), permits, wait, connect })
    }

    /// A connection that was used before, if it is still good, or a new one.
    ///
    /// Errors: `throttled` if all are in use for too long; `unavailable` and whatever `connect` says.
    pub(crate) async fn lend(self: &Arc<Self>, by: &impl Connect<Connection = C>) -> Result<Lease<C>, Error> {
        let permit = match tokio::time::timeout(self.wait, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(Error::unavailable("the source is being closed")),
            Err(_) => {
                return Err(Error::Throttled(Wait {
                    message: "all connections of this source are in use".to_owned(),
                    retry_after_ms: Some(1_000),
                }));
            }
        };
        while let Some((mut connection, since)) = self.take_idle() {
            if by.fresh(&mut connection, since.elapsed()).await {
                return Ok(Lease { connection: Some(connection), lender: self.clone(), _permit: permit });
            }
        }
        let made = tokio::time::timeout(self.connect, by.connect()).await;
        let made = made.unwrap_or_else(|_| Err(Error::unavailable("the source did not accept a connection in time")));
        observe::connected(self.family, made.as_ref().map_or_else(Error::case, |_| "ok"));
        Ok(Lease { connection: Some(made?), lender: self.clone(), _permit: permit })
    }

    fn take_idle(&self) -> Option<(C, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl<C> Lease<C> {
    /// Ends the lease of a connection that is in order.
    pub(crate) fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            let mut idle = self.lender.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push((connection, Instant::now()));
        }
    }
}

// A lease holds its connection until it is given back, which consumes it.
#[expect(clippy::expect_used, reason = "the connection leaves only where the lease ends")]
impl<C> Deref for Lease<C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connection.as_ref().expect("a lease in use")
    }
}

#[expect(clippy::expect_used, reason = "the connection leaves only where the lease ends")]
impl<C> DerefMut for Lease<C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("a lease in use")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

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
        Lender::new("test", most, Duration::from_millis(20), Duration::from_millis(20))
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
