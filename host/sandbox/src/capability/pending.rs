//! Operations under way: what a guest started and has not collected yet.

use std::sync::Arc;

use remit_domain::data::Error;
use tokio::task::JoinHandle;

/// An operation under way. Dropping it stops the operation, so nothing outlives its call.
pub(crate) struct Pending<T> {
    task: Option<JoinHandle<Result<T, Error>>>,
    /// Counts against `max-pending` until the answer is collected.
    counted: Option<Arc<()>>,
}

impl<T: Send + 'static> Pending<T> {
    /// Starts an operation, or answers `limit` at once if `most` are under way: `counter` has one
    /// holder for each, and one that is the counter itself.
    pub(crate) fn start(
        counter: &Arc<()>,
        most: usize,
        operation: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Self {
        if Arc::strong_count(counter) > most {
            let allowed = most.try_into().unwrap_or(u64::MAX);
            let refused = async move { Err(Error::Limit { name: "max-pending", allowed }) };
            return Self { task: Some(tokio::spawn(refused)), counted: None };
        }
        Self { task: Some(tokio::spawn(operation)), counted: Some(counter.clone()) }
    }

    /// Whether [`Self::get`] would answer without waiting.
    pub(crate) fn ready(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Takes the task out, to be awaited by [`collect`]. `None` if that was done before.
    pub(crate) fn take(&mut self) -> Option<Underway<T>> {
        Some(Underway { task: self.task.take()?, _counted: self.counted.take() })
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A task taken out of its handle. Still stopped when dropped: the guest's wait may be cut short.
pub(crate) struct Underway<T> {
    task: JoinHandle<Result<T, Error>>,
    _counted: Option<Arc<()>>,
}

impl<T> Drop for Underway<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for an operation. `None` (collected before) is `invalid`; a panic of the host is a trap.
pub(crate) async fn collect<T>(underway: Option<Underway<T>>) -> wasmtime::Result<Result<T, Error>> {
    match underway {
        None => Ok(Err(Error::Invalid("the answer was already taken".to_owned()))),
        Some(mut underway) => match (&mut underway.task).await {
            Ok(answer) => Ok(answer),
            Err(broken) => Err(wasmtime::Error::msg(format!("a host operation broke: {broken}"))),
        },
    }
}
