//! Plugins in Python: `componentize-py` puts `app.py`, and the modules beside it that it imports, into a
//! component with CPython.
//!
//! Deliberately absent: packages that hold compiled code.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    Home, command,
    interpreted::{self, COMPONENT, Settings, WORLD, find},
    project::Project,
};

const COMPILER: &str = "componentize-py";
const MODULE: &str = "app";
/// How deep packages beside `app.py` may nest.
const DEPTH: usize = 8;

/// Why a plugin in a folder cannot be built here.
pub(crate) fn lacks(home: &Home, folder: &Path) -> Option<String> {
    find(home, folder, COMPILER).is_none().then(|| {
        format!(
            "there is no {COMPILER} here: `python3 -m venv .venv && .venv/bin/pip install {COMPILER}` in the plugin's folder"
        )
    })
}

/// Builds a plugin.
pub(crate) fn build(home: &Home, project: &Project, settings: &Settings) -> Result<()> {
    if let Some(lacking) = lacks(home, &project.folder) {
        bail!("{} cannot be built: {lacking}", project.name);
    }
    if settings.engine.is_some() {
        bail!("{} is written in Python: `engine` is of JavaScript alone", project.name);
    }
    let compiler = find(home, &project.folder, COMPILER).with_context(|| format!("there is no {COMPILER}"))?;
    let mut version = command::output(Command::new(&compiler).arg("--version"))?;
    installed(&compiler).iter().for_each(|package| version.push_str(package));
    let mut sources = Vec::new();
    modules(&project.folder, "", DEPTH, &mut sources)?;
    if !sources.iter().any(|(name, _)| name == "app.py") {
        bail!("{} has no app.py", project.folder.display());
    }
    let mut compile = Command::new(&compiler);
    compile.args(["--wit-path", "wit", "--world", WORLD, "componentize", MODULE, "--python-path", "."]);
    compile.args(["--output", COMPONENT]).env("PYTHONDONTWRITEBYTECODE", "1");
    // The compiler finds packages of the environment it lies in by asking that environment's Python.
    compile.env_remove("PYTHONHOME").env_remove("PYTHONPATH");
    interpreted::build(home, project, settings, &version, &sources, compile)
}

/// The plugin's own modules, in order.
fn modules(folder: &Path, below: &str, depth: usize, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let own = format!("{below}{name}");
        if entry.file_type()?.is_dir() {
            let others = ["dist", "node_modules", "venv", "__pycache__"];
            if depth > 0 && !name.starts_with('.') && !others.contains(&name.as_str()) {
                modules(&path, &format!("{own}/"), depth - 1, found)?;
            }
        } else if path.extension() == Some(OsStr::new("py")) {
            found.push((own, std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?));
        }
    }
    Ok(())
}

/// The packages of the environment that the compiler lies in, with their versions.
fn installed(compiler: &Path) -> Vec<String> {
    let library = compiler.ancestors().nth(2).map(|environment| environment.join("lib"));
    let folders = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path());
    let sites = library.into_iter().flat_map(folders).map(|python| python.join("site-packages"));
    let packages = sites.flat_map(folders).filter(|it| it.extension() == Some(OsStr::new("dist-info")));
    let mut packages: Vec<String> =
        packages.filter_map(|package| Some(package.file_name()?.to_string_lossy().into_owned())).collect();
    packages.sort_unstable();
    packages
}
