//! The words of Remit and its rules: tenants, agents, sources, grants, tools and the ports through
//! which the other crates meet.
//!
//! Deliberately absent: wasmtime, web frameworks, database drivers, an async runtime, the
//! environment and the file system. What needs one of those implements a port of this crate.

pub mod access;
pub mod agents;
pub mod audit;
pub mod catalogue;
pub mod clock;
pub mod conversation;
pub mod data;
mod error;
pub mod execution;
pub mod grant;
pub mod history;
mod id;
pub mod library;
pub mod limits;
pub mod model;
pub mod node;
pub mod operation;
pub mod plugin;
pub mod schema;
pub mod scope;
pub mod signature;
pub mod source;
pub mod tenant;
pub mod usage;
pub mod workflows;

pub use catalogue::Catalogue;
pub use error::{Cause, Error, InUse};
pub use id::{AgentName, CallId, InvalidName, PluginName, RequestId, SourceName, TenantId};
