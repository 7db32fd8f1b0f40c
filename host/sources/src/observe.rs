//! What is counted about sources. Labels are few and fixed: no tenant, source or statement.

use std::{future::Future, time::Instant};

use remit_domain::data::Error;

/// Runs an operation and counts it by family, operation and outcome (`ok` or the error's case).
///
/// An operation that its caller gives up counts as `abandoned`.
pub(crate) async fn counted<T>(
    family: &'static str,
    operation: &'static str,
    run: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut count = Count { family, operation, outcome: "abandoned", began: Instant::now() };
    let result = run.await;
    count.outcome = match &result {
        Ok(_) => "ok",
        Err(error) => error.case(),
    };
    result
}

/// Notes how many sources of a family are open.
pub(crate) fn pools(family: &'static str, open: usize) {
    metrics::gauge!("remit_source_pools", "family" => family).set(u32::try_from(open).unwrap_or(u32::MAX));
}

/// One more of something that there is now; one less when dropped.
#[derive(Debug)]
pub(crate) struct There {
    name: &'static str,
    family: &'static str,
}

impl There {
    /// A connection that is open.
    pub(crate) fn connection(family: &'static str) -> Self {
        Self::new("remit_source_connections_open", family)
    }

    /// A connection in use.
    pub(crate) fn lease(family: &'static str) -> Self {
        Self::new("remit_source_connections_lent", family)
    }

    /// An operation under way, an answer that is being read among them.
    pub(crate) fn operation(family: &'static str) -> Self {
        Self::new("remit_source_operations_under_way", family)
    }

    fn new(name: &'static str, family: &'static str) -> Self {
        metrics::gauge!(name, "family" => family).increment(1.0);
        Self { name, family }
    }
}

impl Drop for There {
    fn drop(&mut self) {
        metrics::gauge!(self.name, "family" => self.family).decrement(1.0);
    }
}

/// Notes whether an answer was there already.
pub(crate) fn cached(family: &'static str, found: bool) {
    let outcome = if found { "hit" } else { "miss" };
    metrics::counter!("remit_source_cache_total", "family" => family, "outcome" => outcome).increment(1);
}

/// Notes a connection that was made or could not be.
pub(crate) fn connected(family: &'static str, outcome: &'static str) {
    metrics::counter!("remit_source_connections_total", "family" => family, "outcome" => outcome).increment(1);
}

struct Count {
    family: &'static str,
    operation: &'static str,
    outcome: &'static str,
    began: Instant,
}

impl Drop for Count {
    fn drop(&mut self) {
        metrics::counter!(
            "remit_source_operations_total",
            "family" => self.family, "operation" => self.operation, "outcome" => self.outcome
        )
        .increment(1);
        metrics::histogram!(
            "remit_source_operation_seconds",
            "family" => self.family, "operation" => self.operation
        )
        .record(self.began.elapsed());
    }
}
