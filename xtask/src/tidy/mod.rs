//! `cargo xtask tidy`: the rules of the house that a program can check.
//!
//! Each rule is a function from the tree of files to faults. What needs judgement (whether a comment
//! says why, whether a name fits) is left to review.

mod edges;
mod names;
mod rooms;
mod text;
mod wit;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::root;

/// Folders that hold nothing of the project's own.
const PASSED_OVER: [&str; 6] = [".git", "dist", "node_modules", "target", "tools", "var"];
/// Files that are read, by their endings.
const READ: [&str; 12] = ["json", "lock", "md", "rs", "sh", "sha256", "sql", "toml", "wit", "yaml", "yml", "run"];

/// A file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Its path from the root, with `/`.
    path: String,
    /// What it holds.
    text: String,
}

/// All files that rules look at, in the order of their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    files: Vec<File>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.descend(root, "")?;
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(tree)
    }

    fn descend(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && !PASSED_OVER.contains(&name.as_str()) {
                self.descend(&entry.path(), &format!("{path}/"))?;
            }
            let ending = name.rsplit('.').next().unwrap_or_default();
            if kind.is_file() && READ.contains(&ending) {
                let text = std::fs::read_to_string(entry.path()).with_context(|| format!("{path} is not text"))?;
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }

    /// The files with an ending.
    fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.rsplit_once('.').is_some_and(|(_, end)| end == ending))
    }

    fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}

/// Something against a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    fn new(file: &File, line: usize, message: impl Into<String>) -> Self {
        Self::at(&file.path, line, message)
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Prints what is against the rules; fails if there is anything.
pub(crate) fn run() -> Result<ExitCode> {
    let faults = faults(&root())?;
    for fault in &faults {
        println!("{fault}");
    }
    println!("tidy: {} faults", faults.len());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that is against the rules below a root.
pub(crate) fn faults(root: &Path) -> Result<Vec<Fault>> {
    let tree = Tree::read(root)?;
    let rules = [edges::faults, rooms::faults, names::faults, text::faults, wit::faults];
    Ok(rules.iter().flat_map(|rule| rule(&tree)).collect())
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::{Tree, faults};

    #[test]
    fn reads_sources_and_passes_over_what_is_built() -> Result<()> {
        let root = tempfile::tempdir()?;
        for (path, text) in
            [("a/lib.rs", "//! A.\n"), ("target/x.rs", ""), ("a/picture.png", ""), (".ci/run", "true\n")]
        {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap_or(root.path()))?;
            std::fs::write(file, text)?;
        }
        assert_eq!(Tree::read(root.path())?, Tree::of(&[(".ci/run", "true\n"), ("a/lib.rs", "//! A.\n")]));
        Ok(())
    }

    #[test]
    fn faults_name_file_and_line() -> Result<()> {
        let root = tempfile::tempdir()?;
        std::fs::write(root.path().join("x.rs"), "fn main() {}\n")?;
        let lines: Vec<String> = faults(root.path())?.iter().map(ToString::to_string).collect();
        assert!(
            lines.contains(&"x.rs:1: the first line must be `//!`: what the module is, and what it lacks".to_owned()),
            "{lines:?}"
        );
        Ok(())
    }
}
