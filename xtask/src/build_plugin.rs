//! `cargo xtask build-plugin`: plugins become components in `plugins/dist/`.
//!
//! The same sources give the same bytes on every machine with the same Rust: paths of the machine are
//! replaced and `RUSTFLAGS` is not looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::command::{self, Package, WASM, Workspace, cargo, root};
use crate::component;

/// A component that was built.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// Its path below `plugins/dist/`, without the ending.
    pub(crate) name: String,
    file: PathBuf,
}

/// Builds the plugins named, or all.
pub(crate) fn run(plugins: &[String]) -> Result<ExitCode> {
    let built = if plugins.is_empty() { all()? } else { some(plugins)? };
    for built in &built {
        describe(built)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds every plugin of `plugins/`, hostile ones included; those go to `plugins/dist/hostile/`, where
/// no host looks by itself.
pub(crate) fn all() -> Result<Vec<Built>> {
    command::ensure_wasm_target()?;
    let folder = root().join("plugins");
    let workspace = command::workspace(&folder.join("Cargo.toml"))?;
    let packages: Vec<Package> =
        workspace.packages.iter().filter(|package| library(package).is_some()).cloned().collect();
    build(&folder.join("Cargo.toml"), &workspace, &packages)
}

fn some(plugins: &[String]) -> Result<Vec<Built>> {
    command::ensure_wasm_target()?;
    let mut built = Vec::new();
    for plugin in plugins {
        let folder = folder_of(plugin)?;
        let manifest = folder.join("Cargo.toml");
        let workspace = command::workspace(&manifest)?;
        let here = workspace.packages.iter().find(|package| package.manifest_path == manifest);
        let package = here.with_context(|| format!("{} is not the manifest of a package", manifest.display()))?.clone();
        if library(&package).is_none() {
            bail!("{plugin} is not a plugin: its Cargo.toml has no library with crate-type \"cdylib\"");
        }
        built.extend(build(&manifest, &workspace, &[package])?);
    }
    Ok(built)
}

/// The folder of a plugin that was named or pointed to.
fn folder_of(plugin: &str) -> Result<PathBuf> {
    let named = root().join("plugins").join(plugin);
    let given = PathBuf::from(plugin);
    let found = [named, given].into_iter().find(|folder| folder.join("Cargo.toml").is_file());
    let Some(folder) = found else {
        bail!("there is no plugin {plugin}: neither plugins/{plugin} nor the path {plugin} holds a Cargo.toml")
    };
    folder.canonicalize().with_context(|| format!("cannot resolve {}", folder.display()))
}

fn build(manifest: &Path, workspace: &Workspace, packages: &[Package]) -> Result<Vec<Built>> {
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = cargo(&["build", "--release", "--target", WASM, "--manifest-path"]);
    command.arg(manifest).env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"));
    for package in packages {
        command.args(["--package", &package.name]);
    }
    command::run(&mut command)?;
    let mut built = Vec::new();
    let mut names = BTreeSet::new();
    for package in packages {
        let library = library(package).context("a package without a library")?;
        let artifact = workspace.target_directory.join(WASM).join("release").join(library).with_extension("wasm");
        let name = place(&root().join("plugins"), package);
        if !names.insert(name.clone()) {
            bail!("two plugins are named {name}");
        }
        let file = root().join("plugins/dist").join(format!("{name}.wasm"));
        install(&artifact, &file)?;
        built.push(Built { name, file });
    }
    Ok(built)
}

/// Copies the artifact so that a host that watches the folder never reads half of it.
fn install(artifact: &Path, file: &Path) -> Result<()> {
    let bytes = std::fs::read(artifact).with_context(|| format!("cannot read {}", artifact.display()))?;
    component::imports(&bytes).with_context(|| format!("{} is no component", artifact.display()))?;
    if std::fs::read(file).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let part = file.with_extension("part");
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(&part, &bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(&part, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Below `plugins/` the folder's path, elsewhere the package's name.
fn place(plugins: &Path, package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    match folder.strip_prefix(plugins) {
        Ok(below) => below.to_string_lossy().into_owned(),
        Err(_) => package.name.clone(),
    }
}

/// The library's file name without its ending, if the package is a plugin.
fn library(package: &Package) -> Option<String> {
    let target = package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "cdylib"))?;
    Some(target.name.replace('-', "_"))
}

/// Replaces the machine's paths in panic messages.
fn flags() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let replaced = [(Some(root()), "/remit"), (home, "/cargo")];
    let flags = replaced.into_iter().filter_map(|(path, name)| path.map(|path| (path, name)));
    flags.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

fn describe(built: &Built) -> Result<()> {
    let bytes = std::fs::read(&built.file)?;
    println!("{}", built.file.strip_prefix(root()).unwrap_or(&built.file).display());
    println!("  {} bytes, sha256 {}", bytes.len(), component::digest(&bytes));
    for import in component::imports(&bytes)? {
        println!("  imports {import}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Package, folder_of, library, place};
    use crate::command::Target;

    fn package(manifest: &str, kinds: &[&str]) -> Package {
        let kind = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let targets = vec![Target { name: "shop-desk".to_owned(), kind }];
        Package { name: "shop-desk".to_owned(), manifest_path: manifest.into(), targets }
    }

    #[test]
    fn a_component_is_named_by_its_folder() {
        let plugins = Path::new("/x/plugins");
        for (manifest, name) in [
            ("/x/plugins/shop/Cargo.toml", "shop"),
            ("/x/plugins/hostile/spin/Cargo.toml", "hostile/spin"),
            ("/elsewhere/Cargo.toml", "shop-desk"),
        ] {
            assert_eq!(place(plugins, &package(manifest, &[])), name);
        }
    }

    #[test]
    fn only_a_cdylib_is_a_plugin() {
        assert_eq!(library(&package("/x", &["rlib"])), None);
        assert_eq!(library(&package("/x", &["rlib", "cdylib"])).as_deref(), Some("shop_desk"));
    }

    #[test]
    fn an_unknown_plugin_is_named() {
        let error = folder_of("no-such-plugin").err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.starts_with("there is no plugin no-such-plugin")));
    }
}
