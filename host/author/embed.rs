//! Puts the SDK, the contract and the template into the program, so that an author needs no checkout.

#![expect(clippy::print_stdout, reason = "how a build script speaks to cargo")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where each lies from this crate, and what its files are called in the list.
const TREES: [(&str, &str); 3] =
    [("../../plugins/sdk", "sdk"), ("../../wit", "wit"), ("../../plugins/template", "template")];

/// Files of the plugins' workspace that a plugin of its own needs too.
const FILES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "clippy.toml", "rustfmt.toml"];

fn main() -> io::Result<()> {
    let own = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let mut files = Vec::new();
    for (folder, name) in TREES {
        let folder = own.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        collect(&folder, name, &mut files)?;
    }
    for name in FILES {
        let file = own.join("../../plugins").join(name);
        println!("cargo::rerun-if-changed={}", file.display());
        files.push((format!("workspace/{name}"), file));
    }
    files.sort();
    let entries = files.iter().map(|(name, file)| format!("    ({name:?}, include_str!({file:?})),\n"));
    fs::write(out.join("files.rs"), format!("&[\n{}]\n", entries.collect::<String>()))
}

fn collect(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // What builds and tests leave behind is no part of a plugin, and no tests are wanted of the SDK's own.
        if matches!((name, file.as_str()), (_, "target" | "Cargo.lock") | ("sdk", "tests")) {
            continue;
        }
        let name = format!("{name}/{file}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &name, files)?;
        } else {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}
