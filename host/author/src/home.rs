//! Where an author is: the folder that names are looked up in.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::project::Project;

/// The folder that names of plugins are looked up in, and where toolchains of other languages lie.
#[derive(Debug, Clone)]
pub struct Home {
    folder: PathBuf,
    tools: Vec<PathBuf>,
}

impl Home {
    /// For somebody who stands in a folder: its `plugins/` if that is a workspace, else itself.
    ///
    /// Errors: the folder can't be resolved.
    pub fn of(current: &Path) -> Result<Self> {
        let plugins = current.join("plugins");
        if plugins.join("Cargo.toml").is_file() { Self::at(&plugins) } else { Self::at(current) }
    }

    /// A folder of plugins. Errors: it can't be resolved.
    pub fn at(folder: &Path) -> Result<Self> {
        let resolved = folder.canonicalize();
        let folder = resolved.with_context(|| format!("there is no folder {}", folder.display()))?;
        Ok(Self { folder, tools: Vec::new() })
    }

    /// The same with folders of programs that are looked at before `PATH`.
    #[must_use]
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = PathBuf>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where programs are looked for, for a plugin in a folder: what its package manager installed
    /// there or above, what this home was given, `PATH`.
    pub(crate) fn programs(&self, plugin: &Path) -> Vec<PathBuf> {
        let beside = plugin.ancestors().flat_map(|above| [above.join("node_modules/.bin"), above.join(".venv/bin")]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        beside
            .filter(|bin| bin.is_dir())
            .chain(self.tools.iter().cloned())
            .chain(std::env::split_paths(&path))
            .collect()
    }

    /// The folder of a plugin that was named or pointed to.
    pub(crate) fn project(&self, plugin: &str) -> Result<Project> {
        let candidates = [PathBuf::from(plugin), self.folder.join(plugin)];
        let Some(folder) = candidates.iter().find(|folder| Project::lies_in(folder)) else {
            bail!(
                "there is no plugin {plugin}: neither {plugin} nor {} holds a Cargo.toml, package.json or pyproject.toml",
                self.folder.join(plugin).display()
            )
        };
        let resolved = folder.canonicalize().with_context(|| format!("cannot resolve {}", folder.display()))?;
        Project::read(&resolved, self)
    }

    /// A component that was pointed to, or that a plugin was built into, and then the plugin's folder.
    ///
    /// Errors: there is none; it is not built.
    pub fn component(&self, what: &str) -> Result<(PathBuf, Option<PathBuf>)> {
        let given = PathBuf::from(what);
        if given.is_file() {
            return Ok((given, None));
        }
        if given.extension().is_some_and(|ending| ending == "wasm") {
            bail!("there is no file {what}");
        }
        // By its name, when the folder is called otherwise or is this one.
        let named = self.folder.join("dist").join(format!("{what}.wasm"));
        let project = match self.project(what) {
            Ok(project) => project,
            Err(_) if named.is_file() => {
                let own = Project::lies_in(&self.folder).then(|| self.folder.clone());
                return Ok((named, own));
            }
            Err(error) => return Err(error),
        };
        if !project.file.is_file() {
            bail!("{what} is not built: {} is missing (remit plugin build {what})", project.file.display());
        }
        Ok((project.file, Some(project.folder)))
    }
}
