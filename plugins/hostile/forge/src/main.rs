//! Makes the hostile components that no compiler makes, from the built ones and from text, into the folder
//! that it is given (`plugins/dist/hostile`): guests written by hand, lies, damaged files, random ones.
//!
//! The same sources give the same files. It runs none of them, and knows nothing of the host but `wit/`.

mod damaged;
mod guest;
mod random;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The lies that `hostile-lies` knows, and the truth, which shows that a lie is why it is refused.
const LIES: &str = include_str!("lies.txt");
const MARK: &[u8] = b"remit-lie:none..................................";

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("give the folder to write to")?);
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract = guest::Contract::read(&own.join("../../../wit"))?;
    by_hand(&contract, &own.join("../wat"), &folder)?;
    lies(&folder)?;
    let good = read(&folder.join("calls.wasm"))?;
    write_all(&folder.join("damaged"), damaged::all(&contract, &good)?)?;
    write_all(&folder.join("random"), random::all(&contract)?)
}

/// Each text becomes a component of its name.
fn by_hand(contract: &guest::Contract, texts: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(texts).with_context(|| format!("cannot read {}", texts.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a file without a name")?;
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let component = contract.guest(name, &text);
        write(&folder.join(name).with_extension("wasm"), &component.with_context(|| format!("{name} is no guest"))?)?;
    }
    Ok(())
}

/// The mark in the liar's bytes is replaced by each lie's name: nothing changes its length.
fn lies(folder: &Path) -> Result<()> {
    let liar = read(&folder.join("lies.wasm"))?;
    let mut found = liar.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).map(|(at, _)| at);
    let at = found.next().context("the liar's mark is not in its bytes")?;
    ensure!(found.next().is_none(), "the liar's mark is in its bytes twice");
    let mut told = Vec::new();
    for lie in LIES.lines() {
        let mark = format!("{:.<width$}", format!("remit-lie:{lie}"), width = MARK.len());
        ensure!(mark.len() == MARK.len(), "{lie} is too long a name");
        let mut bytes = liar.clone();
        bytes.get_mut(at..at + MARK.len()).context("the mark ends beyond the file")?.copy_from_slice(mark.as_bytes());
        told.push((lie.to_owned(), bytes));
    }
    write_all(&folder.join("lies"), told)
}

fn write_all(folder: &Path, files: Vec<(String, Vec<u8>)>) -> Result<()> {
    // What earlier sources made and these do not would be tested for ever.
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    for (name, bytes) in files {
        write(&folder.join(format!("{name}.wasm")), &bytes)?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("{} is not built: cargo xtask build-plugin", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
