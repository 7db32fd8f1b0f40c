//! Work on the disk, on threads where it may wait.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use remit_domain::data::Error;

/// Whether anybody still waits for a piece of work.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    /// Errors: `cancelled` once nobody waits.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Acquire) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

struct Waiting(GivenUp);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Runs work that waits for the disk. Dropped, it goes on to where it next asks whether anybody waits.
/// Errors: its own; `unavailable` if it panics.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce(&GivenUp) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let given_up = GivenUp::default();
    let _waiting = Waiting(given_up.clone());
    let done = tokio::task::spawn_blocking(move || work(&given_up)).await;
    done.unwrap_or_else(|_| Err(Error::unavailable("the files could not be worked on")))
}
