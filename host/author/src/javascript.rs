//! Plugins in JavaScript: `jco` puts them into a component with QuickJS, which starts in a tenth of the
//! time of larger engines and fits the limits of small uploads.
//!
//! Deliberately absent: bundling. A plugin is one file; a bundler makes one of many.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{Home, command, component, embedded, project::Project};

/// Why a plugin in a folder cannot be built here.
pub(crate) fn lacks(home: &Home, folder: &Path) -> Option<String> {
    (find(home, folder, "jco").is_none() || find(home, folder, "node").is_none())
        .then(|| "JavaScript needs `node` and `jco` (npm install in the plugin's folder)".to_owned())
}

/// Builds a plugin.
pub(crate) fn build(home: &Home, project: &Project, main: &str) -> Result<()> {
    if let Some(lacking) = lacks(home, &project.folder) {
        bail!("{} cannot be built here: {lacking}", project.name);
    }
    let jco = find(home, &project.folder, "jco").context("there is no jco")?;
    // The compiler wants its input and the contract in the folder it runs in.
    let stage = stage(project)?;
    let source = project.folder.join(main);
    let text = std::fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    embedded::put(&stage.join("plugin.js"), &text)?;
    let mut command = Command::new(jco);
    command.args(["componentize", "plugin.js", "--wit", "wit", "--world-name", "tools-only", "--out", "plugin.wasm"]);
    command.args(["--backend", "quickjs", "--backend-qjs-disable-async"]);
    command.current_dir(&stage).env("PATH", std::env::join_paths(home.programs(&project.folder))?);
    command::run(&mut command)?;
    component::install(&stage.join("plugin.wasm"), &project.file)
}

/// A program that a plugin's folder, this home or `PATH` has.
pub(crate) fn find(home: &Home, folder: &Path, program: &str) -> Option<PathBuf> {
    home.programs(folder).into_iter().map(|bin| bin.join(program)).find(|file| file.is_file())
}

/// An empty folder beside the component, with the contract in it.
pub(crate) fn stage(project: &Project) -> Result<PathBuf> {
    let dist = project.file.parent().unwrap_or(&project.folder);
    let name = project.file.file_stem().unwrap_or_default();
    let stage = dist.join(".stage").join(name);
    if stage.exists() {
        std::fs::remove_dir_all(&stage).with_context(|| format!("cannot remove {}", stage.display()))?;
    }
    embedded::write("wit", &stage.join("wit"))?;
    Ok(stage)
}
