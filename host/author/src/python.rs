//! Plugins in Python: `componentize-py` puts `app.py`, and what lies beside it, into a component with
//! CPython.
//!
//! Deliberately absent: packages that hold compiled code.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    Home, command, component,
    javascript::{find, stage},
    project::Project,
};

const COMPILER: &str = "componentize-py";

/// Why a plugin in a folder cannot be built here.
pub(crate) fn lacks(home: &Home, folder: &Path) -> Option<String> {
    find(home, folder, COMPILER)
        .is_none()
        .then(|| format!("Python needs `{COMPILER}` (pip install {COMPILER} into .venv of the plugin's folder)"))
}

/// Builds a plugin.
pub(crate) fn build(home: &Home, project: &Project) -> Result<()> {
    if let Some(lacking) = lacks(home, &project.folder) {
        bail!("{} cannot be built here: {lacking}", project.name);
    }
    let compiler = find(home, &project.folder, COMPILER).context("there is no compiler")?;
    let stage = stage(project)?;
    let mut command = Command::new(compiler);
    command.args(["--wit-path", "wit", "--world", "tools-only", "componentize", "app", "--output", "plugin.wasm"]);
    command.arg("--python-path").arg(&project.folder).current_dir(&stage);
    // What Python hashes, and so the order of its sets, is the same in every build.
    command.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1");
    command::run(&mut command)?;
    component::install(&stage.join("plugin.wasm"), &project.file)
}
