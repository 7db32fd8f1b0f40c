//! Where things lie in the checkout, and programs that run there.
//!
//! How a program is run is the same as for authors of plugins.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

pub(crate) use remit_author::command::{WASM, output, program, run, succeeds, workspace};

/// The checkout's root.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The cargo that runs this, in the checkout's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = remit_author::command::cargo(arguments);
    command.current_dir(root());
    command
}

/// Makes sure that plugins can be compiled, adding the target where it is missing.
pub(crate) fn ensure_wasm_target() -> Result<()> {
    remit_author::command::ensure_wasm_target(&root())
}
