//! Running other programs.
//!
//! Nothing is run through a shell.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The target that plugins are compiled to.
pub const WASM: &str = "wasm32-wasip2";

/// The cargo that runs this, or the one of `PATH`.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs to the end, with its output passed on. Fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if status.success() { Ok(()) } else { bail!("`{shown}` ended with {status}") }
}

/// Runs to the end and gives its standard output. Fails unless it succeeds.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote something else than text"))
}

/// Whether it can be run and succeeds; its output is thrown away.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Where a program lies, searching `PATH` and the folders of administrators.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(administrators).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words: Vec<_> = std::iter::once(program).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// A workspace as cargo describes it.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// Its packages.
    pub packages: Vec<Package>,
    /// Where it builds to.
    pub target_directory: PathBuf,
    /// The folder of its manifest.
    pub workspace_root: PathBuf,
}

/// A package.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// What it builds.
    pub targets: Vec<Target>,
}

/// Something that a package builds.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// `lib`, `cdylib`, `bin`…
    pub kind: Vec<String>,
}

/// Asks cargo about the workspace of a manifest.
pub fn workspace(manifest: &Path) -> Result<Workspace> {
    let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let text = output(command.arg(manifest))?;
    serde_json::from_str(&text).context("cargo metadata gave something unexpected")
}

/// Whether the compiler of a folder has the target for plugins. Errors: there is no Rust.
fn has_wasm_target(folder: &Path) -> Result<bool> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", WASM]).current_dir(folder);
    let libraries = output(&mut rustc).context("a plugin in Rust needs Rust: see https://rustup.rs")?;
    Ok(Path::new(libraries.trim()).is_dir())
}

/// Errors: plugins can't be compiled in a folder, with what to do about it.
pub fn need_wasm_target(folder: &Path) -> Result<()> {
    if has_wasm_target(folder)? { Ok(()) } else { bail!("{}", advice(program("rustup").is_some())) }
}

/// Makes sure that plugins can be compiled in a folder, adding the target where it is missing.
pub fn ensure_wasm_target(folder: &Path) -> Result<()> {
    if has_wasm_target(folder)? {
        return Ok(());
    }
    let rustup = program("rustup").is_some();
    if !rustup {
        bail!("{}", advice(rustup));
    }
    let mut add = Command::new("rustup");
    run(add.args(["target", "add", WASM]).current_dir(folder)).with_context(|| advice(rustup))
}

fn advice(rustup: bool) -> String {
    if rustup {
        format!("plugins need the Rust target {WASM}, which is missing: run `rustup target add {WASM}`")
    } else {
        format!(
            "plugins need the Rust target {WASM}, which is missing: install your distribution's package of it, or \
             Rust from https://rustup.rs"
        )
    }
}
