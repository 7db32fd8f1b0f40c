//! `cargo xtask bench`: medians of what matters, from an optimised build.
//!
//! It fails nothing: a busy machine is no fault of the code.

use std::process::ExitCode;

use anyhow::Result;

use crate::build_plugin;
use crate::command::{self, cargo};

/// Builds the plugins and runs the benchmark.
pub(crate) fn run() -> Result<ExitCode> {
    build_plugin::all()?;
    command::run(&mut cargo(&["run", "--release", "--package", "remit-tests", "--bin", "bench"]))?;
    Ok(ExitCode::SUCCESS)
}
