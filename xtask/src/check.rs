//! `cargo xtask check`: every fault of `configs/` and `workflows/`, as `remit check` finds them.
//!
//! It starts no plugin, so that names of tools are checked by the host only.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use remit_config::{Environment, Report};

use crate::command::root;

/// Prints the faults; fails if there are any.
pub(crate) fn run() -> Result<ExitCode> {
    let report = report(&root())?;
    print(&report);
    Ok(if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads and judges everything.
pub(crate) fn report(root: &Path) -> Result<Report> {
    let env = Environment::from_process(Some(&root.join(".env")))?;
    let mut report = remit_config::check(root, &env, None);
    report.absorb(remit_workflow::check(root, Path::new("workflows")));
    Ok(report)
}

/// Prints a report, a line a fault.
pub(crate) fn print(report: &Report) {
    for warning in &report.warnings {
        println!("warning: {warning}");
    }
    for fault in &report.faults {
        println!("{fault}");
    }
    let (files, faults, warnings) = (report.files.len(), report.faults.len(), report.warnings.len());
    println!("{files} files read, {faults} faults, {warnings} warnings");
}
