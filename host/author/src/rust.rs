//! Plugins in Rust: cargo compiles them for `wasm32-wasip2`.
//!
//! The same sources give the same bytes wherever they lie, with the same Rust: paths of the machine are
//! replaced, variables that change what is compiled are not looked at, and what is built goes to `target/`
//! of the plugin's own workspace, whatever folder the author's other projects share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, WASM, Workspace, cargo},
    component,
    project::{Language, Project},
};

/// A package that is a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    /// What cargo calls it.
    name: String,
    /// Of its workspace.
    workspace: PathBuf,
    /// What cargo makes of it.
    artifact: PathBuf,
}

/// The plugin of a folder. Errors: its package is none.
pub(crate) fn read(folder: &Path) -> Result<Project> {
    let manifest = folder.join("Cargo.toml");
    let workspace = command::workspace(&manifest)?;
    let own = workspace.packages.iter().find(|package| package.manifest_path == manifest);
    let own = own.with_context(|| format!("{} is not the manifest of a package", manifest.display()))?;
    match project(&workspace, own) {
        Some(project) => Ok(project),
        None => bail!("{} is not a plugin: its Cargo.toml has no library with crate-type \"cdylib\"", folder.display()),
    }
}

/// The plugins of a workspace.
pub(crate) fn all(folder: &Path) -> Result<Vec<Project>> {
    let workspace = command::workspace(&folder.join("Cargo.toml"))?;
    Ok(workspace.packages.iter().filter_map(|package| project(&workspace, package)).collect())
}

/// What in an author's environment would change the compiled bytes, or put them elsewhere.
const LEFT_OUT: [&str; 4] = ["CARGO_BUILD_TARGET", "CARGO_PROFILE_", "CARGO_TARGET_DIR", "CARGO_TARGET_WASM32_WASIP2_"];

/// Builds plugins, those of one workspace at once.
pub(crate) fn build(projects: &[&Project]) -> Result<()> {
    let packages: Vec<(&Project, &Package)> = projects
        .iter()
        .filter_map(|project| match &project.language {
            Language::Rust(package) => Some((*project, package)),
            _ => None,
        })
        .collect();
    let mut workspaces: Vec<&Path> = packages.iter().map(|(_, package)| package.workspace.as_path()).collect();
    workspaces.sort_unstable();
    workspaces.dedup();
    for workspace in workspaces {
        command::need_wasm_target(workspace)?;
        let mut command = cargo(&["build", "--release", "--target", WASM, "--manifest-path"]);
        command.arg(workspace.join("Cargo.toml")).current_dir(workspace);
        command.arg("--target-dir").arg(workspace.join("target"));
        for (name, _) in std::env::vars_os() {
            if LEFT_OUT.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags(workspace).join("\u{1f}"));
        command.env("CARGO_INCREMENTAL", "0");
        let own = packages.iter().filter(|(_, package)| package.workspace == workspace);
        for (_, package) in own.clone() {
            command.args(["--package", &package.name]);
        }
        command::run(&mut command)?;
        for (project, package) in own {
            component::install(&package.artifact, &project.file)?;
        }
    }
    Ok(())
}

fn project(workspace: &Workspace, package: &command::Package) -> Option<Project> {
    let library = package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "cdylib"))?;
    let library = library.name.replace('-', "_");
    let root = &workspace.workspace_root;
    let artifact = root.join("target").join(WASM).join("release").join(library).with_extension("wasm");
    let folder = package.manifest_path.parent().unwrap_or(root);
    let language = Language::Rust(Package { name: package.name.clone(), workspace: root.clone(), artifact });
    Some(Project::of(root, folder, &package.name, language))
}

/// Replaces the machine's paths in panic messages.
fn flags(workspace: &Path) -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let replaced = [(Some(workspace.to_owned()), "/plugins"), (home, "/cargo")];
    let flags = replaced.into_iter().filter_map(|(path, name)| path.map(|path| (path, name)));
    flags.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::project;
    use crate::command::{Package, Target, Workspace};

    fn named(manifest: &str, kinds: &[&str]) -> Option<(String, String)> {
        let kind = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let targets = vec![Target { name: "shop-desk".to_owned(), kind }];
        let package = Package { name: "shop-desk".to_owned(), manifest_path: manifest.into(), targets };
        let workspace =
            Workspace { packages: Vec::new(), target_directory: "/t".into(), workspace_root: "/x/plugins".into() };
        project(&workspace, &package).map(|it| (it.name, it.file.display().to_string()))
    }

    #[test]
    fn a_component_is_named_by_its_folder() {
        for (manifest, name) in [
            ("/x/plugins/shop/Cargo.toml", "shop"),
            ("/x/plugins/hostile/spin/Cargo.toml", "hostile/spin"),
            ("/x/plugins/Cargo.toml", "shop-desk"),
        ] {
            let expected = (name.to_owned(), format!("/x/plugins/dist/{name}.wasm"));
            assert_eq!(named(manifest, &["rlib", "cdylib"]), Some(expected), "{manifest}");
        }
    }

    #[test]
    fn only_a_cdylib_is_a_plugin() {
        assert_eq!(named("/x/plugins/shop/Cargo.toml", &["rlib"]), None);
    }
}
