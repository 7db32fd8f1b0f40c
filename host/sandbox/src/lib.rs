//! The sandbox: runs components, each call in an instance and a store of its own, with nothing in
//! reach but what the call was granted.
//!
//! Deliberately absent: a second way to make an `Engine` that runs guests or a `Store` (there is one
//! constructor each, with every limit set), sockets, files, the environment, and state that outlives a call.

mod artifact;
mod bindings;
mod budget;
mod cache;
mod capability;
mod compile;
mod convert;
mod describe;
mod end;
mod engine;
mod error;
mod examine;
mod places;
mod plugin;
mod registry;
mod scan;
mod state;
mod step;
mod traffic;
mod turns;

pub use cache::CodeCache;
pub use compile::{Bounds, Compiler, VERB, compile_as_child};
pub use engine::Sandbox;
pub use error::Error;
pub use registry::{Fault, Registry};
