//! Keeps what tenants and keys used today where it outlasts the process, once a second.
//!
//! A kill -9 loses what was counted since the last time: at most a second, and what a failing disk did not
//! take. An orderly end loses nothing. Deliberately absent: the counting.

use std::time::Duration;

use remit_domain::usage::{Ledger, Tallies};

/// How often counts are handed on.
const OFTEN: Duration = Duration::from_secs(1);

/// Hands on counts for as long as the process lives.
pub(crate) async fn keep(ledger: &Ledger, tallies: &dyn Tallies) {
    let mut often = tokio::time::interval(OFTEN);
    loop {
        often.tick().await;
        hand_on(ledger, tallies).await;
    }
}

/// Hands on what was counted until now; what can't be kept is tried again the next time.
pub(crate) async fn hand_on(ledger: &Ledger, tallies: &dyn Tallies) {
    if let Err(error) = ledger.flush(tallies).await {
        tracing::error!(error = &error as &dyn std::error::Error, "what was used could not be kept");
    }
}
