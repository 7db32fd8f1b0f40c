//! The doors: the HTTP API and MCP, and the program `remit` around them.
//!
//! Deliberately absent: rules. Handlers turn requests into calls of a job or the `Catalogue` and
//! answers into responses; who may do what is decided below.

mod archive;
pub mod audit;
pub mod backup;
mod connections;
mod counts;
mod http;
pub mod keys;
mod mcp;
pub mod observe;
pub mod serve;
mod shares;
mod state;
pub mod tenant;
mod watch;
pub mod wire;
