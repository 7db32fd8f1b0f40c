//! The sandbox: runs components, each call in an instance and a store of its own, with nothing in
//! reach but what the call was granted.
//!
//! Deliberately absent: a second way to make an `Engine` or a `Store` (there is one constructor
//! each, with every limit set), sockets, files, the environment, and state that outlives a call.

mod artifact;
mod bindings;
mod budget;
mod cache;
mod capability;
mod convert;
mod describe;
mod engine;
mod error;
mod places;
mod plugin;
mod registry;
mod state;

pub use cache::CodeCache;
pub use engine::{Limits, Sandbox};
pub use error::Error;
pub use registry::{Fault, Registry};
