//! Configuration: authored JSON and YAML become checked types, every fault has its line and column,
//! and all faults of a file are reported at once. The only reader of the environment.
//!
//! A file goes through three stages, each with its own types: *located* (values that know where they
//! stand), *authored* (what a person may write, from which the JSON Schemas are derived) and *checked*
//! (the domain's types). Profiles are merge patches between the first and the second.
//!
//! Deliberately absent: watching files, writing them, and what a workflow means (`remit-workflow`
//! reads its YAML through [`Located`]).

pub mod check;
mod context;
mod contexts;
pub mod environment;
mod fault;
pub mod host;
mod located;
mod prefixes;
mod quotas;
pub mod schema;

pub use check::Report;
pub use context::{Sets, redacted_url};
pub use contexts::{Change, Contexts, Outcome};
pub use environment::Environment;
pub use fault::{Fault, Faults, Spot, closest, one_of};
pub use host::{Audit, Host, Store};
pub use located::{File, Located, join, shown};
