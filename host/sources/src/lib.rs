//! Connectors: how a tenant's sources are reached, one module a kind, each behind the port of its
//! family in `remit_domain::data`.
//!
//! Deliberately absent: who may use a source (the port's callers hand over a proof), where
//! definitions and credentials come from (`remit-config`), and what a guest sees (`remit-sandbox`).

mod bigquery;
mod breaker;
mod ceilings;
mod documents;
mod files;
pub mod guard;
mod http;
mod kept;
mod lease;
mod mongo;
mod mysql;
mod notify;
mod observe;
mod passage;
mod pools;
mod postgres;
mod settings;
mod sql;
mod sqlite;
mod tokens;
mod wait;

pub use notify::{Inbox, Kept, KeptFile, Notify};
pub use pools::Pools;
pub use settings::Settings;
pub use sqlite::make_sqlite;
