//! Plugins in JavaScript. `jco` puts them into a component with QuickJS, which fits the limits of small
//! uploads; `componentize-js`, where a plugin's manifest asks for it, with StarlingMonkey.
//!
//! Deliberately absent: bundling. A plugin is one file; a bundler makes one of many.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    Home, command,
    interpreted::{self, COMPONENT, Engine, Settings, WORLD, find},
    project::Project,
};

const SOURCE: &str = "plugin.js";

fn compiler(settings: &Settings) -> &'static str {
    match settings.engine {
        None | Some(Engine::QuickJs) => "jco",
        Some(Engine::StarlingMonkey) => "componentize-js",
    }
}

/// Why a plugin in a folder cannot be built here.
pub(crate) fn lacks(home: &Home, folder: &Path, settings: &Settings) -> Option<String> {
    let compiler = compiler(settings);
    let missing: Vec<&str> =
        ["node", compiler].into_iter().filter(|program| find(home, folder, program).is_none()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "there is no {} here: JavaScript needs node, and `npm install @bytecodealliance/{compiler}` in the plugin's folder",
            missing.join(" and no ")
        )
    })
}

/// Builds a plugin.
pub(crate) fn build(home: &Home, project: &Project, main: &str, settings: &Settings) -> Result<()> {
    if let Some(lacking) = lacks(home, &project.folder, settings) {
        bail!("{} cannot be built: {lacking}", project.name);
    }
    let name = compiler(settings);
    let program = find(home, &project.folder, name).with_context(|| format!("there is no {name}"))?;
    let path = std::env::join_paths(home.programs(&project.folder))?;
    let version = command::output(Command::new(&program).arg("--version").env("PATH", path))?;
    let source = project.folder.join(main);
    let text = std::fs::read(&source)
        .with_context(|| format!("cannot read {}, the `main` of package.json", source.display()))?;
    let mut compile = Command::new(&program);
    if name == "jco" {
        compile.arg("componentize");
    }
    compile.args([SOURCE, "--wit", "wit", "--world-name", WORLD]);
    match settings.engine {
        None | Some(Engine::QuickJs) => compile.args(["--backend", "quickjs", "--backend-qjs-disable-async"]),
        // No host links an HTTP client: requests go out through granted sources.
        Some(Engine::StarlingMonkey) => compile.args(["--disable", "http", "fetch-event"]),
    };
    compile.args(["--out", COMPONENT]);
    interpreted::build(home, project, settings, &format!("{name} {version}"), &[(SOURCE.to_owned(), text)], compile)
}
