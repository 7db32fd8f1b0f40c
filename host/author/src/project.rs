//! One plugin's sources: its language, its name, and where its component goes.
//!
//! A component lies in `dist/` of the workspace, under the path that the plugin has there; a plugin that
//! is its own workspace, under its name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{Home, interpreted::Settings, javascript, python, rust};

/// A plugin's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Project {
    /// What it is called when it is built: its path in the workspace, or its own name.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) folder: PathBuf,
    /// Its component, once it is built.
    pub(crate) file: PathBuf,
    /// What it is written in.
    pub(crate) language: Language,
}

/// What a plugin is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Language {
    /// A package of a Cargo workspace.
    Rust(rust::Package),
    /// A file of JavaScript, named by `main` of its `package.json`.
    JavaScript { main: String, settings: Settings },
    /// A module of Python, `app.py`.
    Python { settings: Settings },
}

/// What of a `package.json` says how it is built.
#[derive(Deserialize)]
struct NpmPackage {
    name: String,
    main: Option<String>,
    #[serde(default)]
    remit: Settings,
}

/// What of a `pyproject.toml` says how it is built.
#[derive(Deserialize)]
struct PyProject {
    project: PyName,
    #[serde(default)]
    tool: PyTool,
}

#[derive(Deserialize)]
struct PyName {
    name: String,
}

#[derive(Default, Deserialize)]
struct PyTool {
    #[serde(default)]
    remit: Settings,
}

impl Project {
    /// Whether a folder has a manifest of a language.
    pub(crate) fn lies_in(folder: &Path) -> bool {
        ["Cargo.toml", "package.json", "pyproject.toml"].iter().any(|file| folder.join(file).is_file())
    }

    /// Reads the manifest of a folder, whose path is whole. Errors: it is no plugin's.
    pub(crate) fn read(folder: &Path, home: &Home) -> Result<Self> {
        if folder.join("Cargo.toml").is_file() {
            return rust::read(folder);
        }
        let package = folder.join("package.json");
        let (own, language) = if package.is_file() {
            let manifest = serde_json::from_str::<NpmPackage>(&text(&package)?)
                .with_context(|| format!("{} is not a plugin's", package.display()))?;
            let main = manifest.main.unwrap_or_else(|| "tool.js".to_owned());
            (manifest.name, Language::JavaScript { main, settings: manifest.remit })
        } else {
            let project = folder.join("pyproject.toml");
            let manifest = toml::from_str::<PyProject>(&text(&project)?)
                .with_context(|| format!("{} is not a plugin's", project.display()))?;
            (manifest.project.name, Language::Python { settings: manifest.tool.remit })
        };
        let workspace = if folder.starts_with(home.folder()) { home.folder() } else { folder };
        Ok(Self::of(workspace, folder, &own, language))
    }

    pub(crate) fn of(workspace: &Path, folder: &Path, own: &str, language: Language) -> Self {
        let below = folder.strip_prefix(workspace).unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let name = if below.is_empty() { own.to_owned() } else { below };
        let file = workspace.join("dist").join(format!("{name}.wasm"));
        Self { name, folder: folder.to_owned(), file, language }
    }

    /// Everything below a home that is a plugin.
    pub(crate) fn all(home: &Home) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        if home.folder().join("Cargo.toml").is_file() {
            found.extend(rust::all(home.folder())?);
        }
        let mut others = Vec::new();
        look(home.folder(), 3, &mut others)?;
        for folder in others {
            found.push(Self::read(&folder, home)?);
        }
        Ok(found)
    }

    /// Why it cannot be built on this machine.
    pub(crate) fn lacks(&self, home: &Home) -> Option<String> {
        match &self.language {
            Language::Rust(_) => None,
            Language::JavaScript { settings, .. } => javascript::lacks(home, &self.folder, settings),
            Language::Python { .. } => python::lacks(home, &self.folder),
        }
    }
}

/// Folders with a manifest of another language than Rust, to a depth.
fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.join("Cargo.toml").is_file() && Project::lies_in(folder) {
        found.push(folder.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut below = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let others = ["target", "dist", "node_modules", "vendor", "template"];
        if entry.file_type()?.is_dir() && !name.starts_with('.') && !others.contains(&name.as_ref()) {
            below.push(entry.path());
        }
    }
    below.sort();
    below.iter().try_for_each(|folder| look(folder, depth - 1, found))
}

fn text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
