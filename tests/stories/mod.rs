//! One file a door or a promise.

mod audit;
mod doors;
mod hostile;
mod life;
mod mcp;
mod refusals;
