//! Whole-system stories: the real program `remit`, real components, real servers, over HTTP.
//!
//! One test binary. `cargo xtask test` builds what it runs: the program and the components.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is a failed test")]
#![expect(clippy::print_stderr, clippy::panic, reason = "tests say what they skip, and fail by panicking")]

mod host;
mod stories;
