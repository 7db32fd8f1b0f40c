//! `cargo xtask schema`: the JSON Schemas of configuration files, for editors.
//!
//! They follow from the types that read the files; nothing is written by hand.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::root;

/// Writes the schemas.
pub(crate) fn run() -> Result<ExitCode> {
    let folder = root().join("configs/schema");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in texts() {
        let file = folder.join(name);
        let changed = std::fs::read_to_string(&file).ok().as_ref() != Some(&text);
        if changed {
            std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        println!("configs/schema/{name}: {}", if changed { "written" } else { "unchanged" });
    }
    Ok(ExitCode::SUCCESS)
}

/// The schemas whose files differ from the types.
pub(crate) fn drifted() -> Vec<&'static str> {
    let folder = root().join("configs/schema");
    let differs = |name: &str, text: &String| std::fs::read_to_string(folder.join(name)).ok().as_ref() != Some(text);
    texts().filter(|(name, text)| differs(name, text)).map(|(name, _)| name).collect()
}

/// All schemas by file name, as their files hold them.
fn texts() -> impl Iterator<Item = (&'static str, String)> {
    let all = remit_config::schema::all().into_iter().chain(remit_workflow::schema::all());
    all.map(|(name, schema)| (name, remit_config::schema::text(&schema)))
}
