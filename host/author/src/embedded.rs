//! The SDK, the contract and the templates, as they were when this program was built.

use std::path::Path;

use anyhow::{Context, Result};

/// Every file, by `<tree>/<path>`, in order.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// One file. Errors: there is none.
pub(crate) fn file(name: &str) -> Result<&'static str> {
    let found = FILES.iter().find(|(path, _)| *path == name);
    found.map(|(_, text)| *text).with_context(|| format!("this program was built without {name}"))
}

/// The files of a tree, by their paths in it.
pub(crate) fn tree(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let prefix = format!("{name}/");
    FILES.iter().filter_map(move |(path, text)| Some((path.strip_prefix(&prefix)?, *text)))
}

/// Writes a tree into a folder.
pub(crate) fn write(name: &str, folder: &Path) -> Result<()> {
    tree(name).try_for_each(|(path, text)| put(&folder.join(path), text))
}

/// Writes a file, and the folders it lies in.
pub(crate) fn put(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
