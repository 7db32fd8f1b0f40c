//! `cargo xtask build-plugin`: plugins become components in `plugins/dist/`.

use std::process::ExitCode;

use anyhow::Result;
use remit_author::{Build, Built, Home};

use crate::command::{self, root};
use crate::forge;
use crate::plugin::Remit;

/// Guests that attack the host are not asked what they are: some answer by attacking.
const HOSTILE: &str = "hostile/";

/// Builds the plugins named, or all, and prints what they say of themselves.
pub(crate) fn run(asked: &Build) -> Result<ExitCode> {
    let mut built = if asked.plugins.is_empty() {
        all()?
    } else {
        command::ensure_wasm_target()?;
        remit_author::build(&home()?, asked)?
    };
    built.retain(|built| !built.name.starts_with(HOSTILE));
    remit_author::report(&built, &Remit::default())?;
    Ok(ExitCode::SUCCESS)
}

/// Builds every plugin of `plugins/`, hostile ones included; those go to `plugins/dist/hostile/`, where
/// no host looks by itself.
pub(crate) fn all() -> Result<Vec<Built>> {
    command::ensure_wasm_target()?;
    let built = remit_author::build(&home()?, &Build { plugins: Vec::new(), all: true })?;
    forge::run()?;
    Ok(built)
}

/// The folder `plugins/`, with the toolchains that `cargo xtask test --all` installs.
pub(crate) fn home() -> Result<Home> {
    let tools = root().join("target/tools");
    let programs = ["node_modules/.bin", "venv/bin"].map(|folder| tools.join(folder));
    Ok(Home::at(&root().join("plugins"))?.with_tools(programs))
}
