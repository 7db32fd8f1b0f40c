//! `cargo xtask new-plugin`: a folder in `plugins/`, from the template in `plugins/template/`.
//!
//! The template is no member of the workspace, so that [`try_templates`] is what keeps it working.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::{self, cargo, root};

/// Makes the plugin.
pub(crate) fn run(name: &str, node: bool) -> Result<ExitCode> {
    remit_author::member(&root().join("plugins"), name, node)?;
    println!("plugins/{name} is made. Next:");
    println!("  1. write its functions in plugins/{name}/src/, and test them: cargo test there");
    println!("  2. cargo xtask build-plugin {name}");
    if !node {
        println!("  3. cargo xtask test-plugin {name} --tool find_customers --arguments '{{\"name\":\"ada\"}}'");
        println!("  4. name it in an agent's mcpServer in configs/contexts/");
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes plugins from the templates as authors without this checkout make them, and runs their lints and tests.
pub(crate) fn try_templates() -> Result<()> {
    let trial = root().join("target/template");
    if trial.exists() {
        std::fs::remove_dir_all(&trial).with_context(|| format!("cannot remove {}", trial.display()))?;
    }
    for (name, node) in [("tools-from-template", false), ("nodes-from-template", true)] {
        let folder = trial.join(name);
        remit_author::standalone(&folder, name, node)?;
        let with = |arguments: &[&str]| {
            let mut command = cargo(arguments);
            command.current_dir(&folder).env("CARGO_TARGET_DIR", root().join("plugins/target"));
            command
        };
        command::run(&mut with(&["fmt", "--check"]))?;
        command::run(&mut with(&["clippy", "--all-targets", "--", "-D", "warnings"]))?;
        command::run(&mut with(&["test"]))?;
    }
    Ok(())
}
