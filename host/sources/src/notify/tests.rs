//! Channels through their pools: what is refused before anything travels, and what is told of a server that
//! refuses, hangs or breaks off.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod ground;
mod mail;
mod rooms;
mod script;
