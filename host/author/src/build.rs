//! Building, whatever a plugin is written in.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use remit_domain::library::Digest;

use crate::{
    Build, Home, Sandbox, component, javascript,
    project::{Language, Project},
    python, rust,
};

/// A component that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its path below `dist/`, without the ending.
    pub name: String,
    /// Where it lies.
    pub file: PathBuf,
}

/// Builds what was asked for. With `all`, a plugin whose toolchain is missing is skipped, and said.
///
/// Errors: a plugin that is not there or does not compile; a toolchain that is missing for one that was named.
pub fn build(home: &Home, asked: &Build) -> Result<Vec<Built>> {
    let mut projects = if asked.all {
        Project::all(home)?
    } else if asked.plugins.is_empty() {
        vec![
            Project::read(home.folder(), home)
                .context("say which plugin to build, or --all: this folder is none by itself")?,
        ]
    } else {
        asked.plugins.iter().map(|plugin| home.project(plugin)).collect::<Result<_>>()?
    };
    let mut names = BTreeSet::new();
    for project in &projects {
        if !names.insert(project.file.clone()) {
            bail!("two plugins would be built into {}", project.file.display());
        }
    }
    projects.retain(|project| match project.lacks(home).filter(|_| asked.all) {
        Some(lacking) => {
            eprintln!("skipped {}: {lacking}", project.name);
            false
        }
        None => true,
    });
    rust::build(&projects.iter().collect::<Vec<_>>())?;
    for project in &projects {
        match &project.language {
            Language::Rust(_) => {}
            Language::JavaScript { main, settings } => javascript::build(home, project, main, settings)?,
            Language::Python { settings } => python::build(home, project, settings)?,
        }
    }
    Ok(projects.into_iter().map(|project| Built { name: project.name, file: project.file }).collect())
}

/// Prints what was built, with what the components say of themselves.
///
/// Errors: one of them says something that no host accepts.
pub fn report(built: &[Built], sandbox: &dyn Sandbox) -> Result<()> {
    for built in built {
        let bytes = std::fs::read(&built.file).with_context(|| format!("cannot read {}", built.file.display()))?;
        let names = component::names(&bytes)?;
        println!("{}", shown(&built.file).display());
        if names.exports("remit:plugin/tools") || names.exports("remit:plugin/nodes") {
            let described = sandbox.describe(&built.file);
            print!("{}", described.with_context(|| format!("{} is built, but no host takes it", built.name))?);
            continue;
        }
        println!("{} (neither tools nor steps)", built.name);
        println!("  {} bytes, {}", bytes.len(), Digest::of(&bytes));
        for export in names.exports.iter().filter(|name| name.starts_with("remit:")) {
            println!("  exports {export}");
        }
        for import in &names.imports {
            println!("  imports {import}");
        }
    }
    Ok(())
}

/// A path as somebody who stands here writes it.
fn shown(file: &Path) -> &Path {
    let here = std::env::current_dir().ok();
    here.and_then(|here| file.strip_prefix(here).ok()).unwrap_or(file)
}
