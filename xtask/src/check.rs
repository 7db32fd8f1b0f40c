//! `cargo xtask check`: builds the host and lets `remit check` judge this repository's configuration.
//!
//! Deliberately absent: building the plugins. Without `plugins/dist/` the host says that names of tools
//! are not checked.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::command::root;
use crate::demo;

/// Lets the host print the faults; fails if there are any.
pub(crate) fn run() -> Result<ExitCode> {
    Ok(if sound()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same as a step: fails with what to run again.
pub(crate) fn step() -> Result<()> {
    if sound()? { Ok(()) } else { bail!("there are faults (cargo xtask check)") }
}

fn sound() -> Result<bool> {
    let host = demo::build_host(false)?;
    let mut check = Command::new(&host);
    let status = check.arg("check").current_dir(root()).status();
    Ok(status.with_context(|| format!("cannot run {}", host.display()))?.success())
}
