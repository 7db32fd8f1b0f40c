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
