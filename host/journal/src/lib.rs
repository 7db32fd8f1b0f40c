//! The journal: what must outlast the process. Audit events, conversations, keys,
//! the record of tenants' plugins, tenants' workflows and their runs, messages sent once and what was used by day,
//! in one SQLite file.
//!
//! The audit log is a chain of hashes (`chain.rs`); `verify.rs` says whether it is as it was written.
//!
//! What every request writes goes through one task that puts whatever waits into one transaction (group
//! commit) and answers each waiter after the commit. The file is in WAL mode with `synchronous =
//! NORMAL`: what was acknowledged survives a kill -9 of the process; a power cut may take the last
//! moments. Keys, plugins, what runs of workflows do and which messages were sent are synchronised: they
//! survive that too.
//!
//! Deliberately absent: what the records mean, who may read them, and any other database than
//! SQLite.

mod audit;
mod chain;
mod checkpoint;
mod conversations;
mod definitions;
mod error;
mod executions;
mod history;
mod journal;
mod keys;
mod location;
mod receipts;
mod schema;
mod segments;
mod snapshot;
#[cfg(test)]
mod tampering;
mod tenants;
#[cfg(test)]
mod tests;
mod usage;
mod verify;
mod versions;
mod writer;

pub use audit::{Filter, Row};
pub use chain::{Hash, Head};
pub use checkpoint::Checkpoint;
pub use error::Error;
pub use journal::Journal;
pub use segments::{Fullness, Pruned, Segment};
pub use snapshot::Contents;
pub use tenants::Forgotten;
pub use verify::{Expected, Fault, Verified};
