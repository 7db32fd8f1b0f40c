//! The hostile components that no compiler makes: `plugins/hostile/forge` writes them beside the built ones.

use anyhow::Result;

use crate::command::{self, cargo, root};

/// Writes them below `plugins/dist/hostile/`, after the plugins are built.
pub(crate) fn run() -> Result<()> {
    let plugins = root().join("plugins");
    let mut forge = cargo(&["run", "--quiet", "--package", "hostile-forge", "--manifest-path"]);
    forge.arg(plugins.join("Cargo.toml")).arg("--").arg(plugins.join("dist/hostile"));
    command::run(&mut forge)
}
