//! What plugins in JavaScript and Python share: a compiler puts their sources into a component together
//! with an interpreter that has started.
//!
//! Such a component holds the clock and the random numbers of the moment it was made, so that no two
//! builds are alike. Therefore nothing is built again that is built already: as long as the sources, the
//! contract and the compiler stay, the component and its digest stay. Deliberately absent: any interface
//! but `tools`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use remit_domain::library::Digest;
use serde::Deserialize;

use crate::{Home, command, component, embedded, project::Project};

/// The world that a plugin is built for, in a file of its own beside the contract.
pub(crate) const WORLD: &str = "built";
/// What the compiler makes, in the folder it runs in.
pub(crate) const COMPONENT: &str = "plugin.wasm";

/// What a manifest says to this program: `remit` of a `package.json`, `tool.remit` of a `pyproject.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// The kinds of source that it works with, by the contract's interfaces: `sql`, `documents`, `http-api`,
    /// `files`.
    /// A component imports no other.
    pub(crate) uses: Vec<String>,
    /// Of JavaScript alone.
    pub(crate) engine: Option<Engine>,
}

/// What runs JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// Small: it fits the smaller tier of uploads, and starts fast.
    QuickJs,
    /// Firefox's: large, and faster in long computations.
    StarlingMonkey,
}

/// A program that a plugin's folder, this home or `PATH` has.
pub(crate) fn find(home: &Home, folder: &Path, program: &str) -> Option<PathBuf> {
    home.programs(folder).into_iter().map(|bin| bin.join(program)).find(|file| file.is_file())
}

/// Builds a plugin of these sources, which are paths and what they hold, unless that is done already.
///
/// `version` says which compiler it is. `compile` is run in an empty folder with the contract in `wit/` and
/// makes [`COMPONENT`] there.
pub(crate) fn build(
    home: &Home,
    project: &Project,
    settings: &Settings,
    version: &str,
    sources: &[(String, Vec<u8>)],
    compile: Command,
) -> Result<()> {
    let world = world(&settings.uses)?;
    let arguments = compile.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let inputs = inputs(&[version, &world, &arguments.join("\0")], sources);
    let folder = project.file.parent().unwrap_or(&project.folder).join(".stage");
    let name = project.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let note = folder.join(format!("{name}.inputs"));
    if let Ok(bytes) = std::fs::read(&project.file)
        && std::fs::read_to_string(&note).is_ok_and(|note| note == noted(&inputs, &bytes))
    {
        eprintln!("{} is built already: nothing of it has changed", project.name);
        return Ok(());
    }
    let stage = folder.join(name);
    if stage.exists() {
        std::fs::remove_dir_all(&stage).with_context(|| format!("cannot remove {}", stage.display()))?;
    }
    embedded::write("wit", &stage.join("wit"))?;
    embedded::put(&stage.join("wit").join(format!("{WORLD}.wit")), &world)?;
    for (name, bytes) in sources {
        let file = stage.join(name);
        std::fs::create_dir_all(file.parent().unwrap_or(&stage))?;
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut compile = compile;
    compile.current_dir(&stage).env("PATH", std::env::join_paths(home.programs(&project.folder))?);
    command::run(&mut compile)?;
    component::install(&stage.join(COMPONENT), &project.file)?;
    let built = std::fs::read(&project.file).with_context(|| format!("cannot read {}", project.file.display()))?;
    embedded::put(&note, &noted(&inputs, &built))?;
    std::fs::remove_dir_all(&stage).with_context(|| format!("cannot remove {}", stage.display()))
}

/// The world of a plugin that works with these kinds of source. Errors: one of them is none.
fn world(uses: &[String]) -> Result<String> {
    let contract = embedded::file("wit/worlds.wit")?;
    let kind = |import: &str| import.split('@').next().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
    // The first world lists whatever a plugin may import; what has a package is a kind of source.
    let first = contract.split('}').next().unwrap_or_default();
    let known: Vec<&str> = first
        .lines()
        .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'))
        .filter(|import| import.contains('/') && !import.contains("/common@"))
        .collect();
    let mut world = format!("world {WORLD} {{\n    import invocation;\n    export tools;\n");
    for using in uses {
        let Some(import) = known.iter().find(|import| kind(import).as_ref() == Some(using)) else {
            let known: Vec<String> = known.iter().filter_map(|import| kind(import)).collect();
            bail!("`uses` names `{using}`, which the contract does not have: it has {}", known.join(", "));
        };
        world.push_str(&format!("    import {import};\n"));
    }
    world.push_str("}\n");
    Ok(world)
}

/// The digest of all that a build depends on, each with its length, so that no two lists look alike.
fn inputs(texts: &[&str], sources: &[(String, Vec<u8>)]) -> Digest {
    let mut all = Vec::new();
    let mut add = |bytes: &[u8]| {
        all.extend(bytes.len().to_le_bytes());
        all.extend(bytes);
    };
    texts.iter().for_each(|text| add(text.as_bytes()));
    embedded::tree("wit").for_each(|(name, text)| [name, text].iter().for_each(|part| add(part.as_bytes())));
    sources.iter().for_each(|(name, bytes)| [name.as_bytes(), bytes].iter().for_each(|part| add(part)));
    Digest::of(&all)
}

fn noted(inputs: &Digest, component: &[u8]) -> String {
    format!("{inputs} {}\n", Digest::of(component))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{inputs, world};

    #[test]
    fn a_world_imports_what_is_used_and_no_more() {
        let text = "world built {\n    import invocation;\n    export tools;\n    import remit:data/sql@0.1.0;\n}\n";
        assert_eq!(world(&["sql".to_owned()]).unwrap(), text);
        assert!(!world(&[]).unwrap().contains("remit:"));
        for kind in ["documents", "http-api", "files", "notify"] {
            assert!(world(&[kind.to_owned()]).unwrap().contains(&format!("/{kind}@")), "{kind}");
        }
        let error = world(&["mysql".to_owned()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "`uses` names `mysql`, which the contract does not have: it has sql, documents, http-api, files, notify"
        );
        assert!(world(&["common".to_owned()]).is_err() && world(&["tools".to_owned()]).is_err());
    }

    #[test]
    fn another_source_is_another_input() {
        let source = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        let one = inputs(&["1.0"], &[source("a.py", "b")]);
        assert_eq!(one, inputs(&["1.0"], &[source("a.py", "b")]));
        for (version, other) in
            [("1.0", source("a.py", "c")), ("1.0", source("a.p", "yb")), ("1.1", source("a.py", "b"))]
        {
            assert_ne!(one, inputs(&[version], &[other]));
        }
    }
}
