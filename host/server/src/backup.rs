//! `remit backup` and `remit restore`: the host's own state as it is at one moment, kept and put back.
//!
//! A backup holds the journal, tenants' components, large outputs of their runs and the host's keys. It may be made while the host runs.
//! Deliberately absent: compiled code, which is made again; and what is the operator's own in other places:
//! settings, contexts, environment, databases, those that lie in the state folder among them.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use remit_artifacts::Folder;
use remit_config::{Host, Store};
use remit_domain::{
    clock::{Clock as _, SystemClock},
    library::{Artifacts as _, Digest},
};
use remit_journal::Journal;

use crate::{
    archive::{self, Archive, Making},
    keys::{Where, note},
    state, wire,
};

const FORMAT: &str = "remit-backup";
const JOURNAL: &str = "journal.db";
const ARTIFACTS: &str = "artifacts";
/// How often a backup begins anew because a plugin was removed while it was made.
const ATTEMPTS: usize = 5;

/// Makes a backup. Errors: there is no journal; something can't be read or written; a component is missing
/// that the journal names. Then there is no backup.
pub async fn backup(at: &Where, to: &Path) -> anyhow::Result<()> {
    let (host, _) = at.host()?;
    let _held = state::share(&host)?;
    ensure!(host.journal.exists(), "there is no journal at {}", host.journal.display());
    for attempt in 1.. {
        match attempt_backup(&host, to).await? {
            Ok(()) => break,
            // What was there when the journal was copied, and is no longer.
            Err(_) if attempt < ATTEMPTS => {}
            Err(digest) => bail!("the component or output {digest} is not there or damaged, and the journal names it"),
        }
    }
    note(&format!("the backup is at {}", to.display()));
    Ok(())
}

/// `Err`: a component that the copy of the journal names was not there.
async fn attempt_backup(host: &Host, to: &Path) -> anyhow::Result<Result<(), Digest>> {
    let mut making = Making::begin(to)?;
    let copy = making.place(JOURNAL)?;
    Journal::snapshot(&host.journal.display().to_string(), &copy).await?;
    let contents = Journal::examine(&copy).await?;
    making.seal(JOURNAL)?;
    let components = state::artifacts(host)?;
    let outputs = state::outputs(host)?;
    for digest in contents.outputs {
        let Some(bytes) = outputs.get(&digest).await? else { return Ok(Err(digest)) };
        making.write(&output(&digest), &bytes)?;
    }
    for digest in contents.components {
        let Some(bytes) = components.get(&digest).await? else { return Ok(Err(digest)) };
        making.write(&artifact(&digest), &bytes)?;
    }
    let mut secrets = BTreeSet::new();
    if state::secrets(host).exists() {
        archive::list(&state::secrets(host), "", &mut secrets)?;
    }
    for name in secrets {
        let bytes = fs::read(state::secrets(host).join(&name)).with_context(|| format!("secrets/{name}"))?;
        making.write(&format!("secrets/{name}"), &bytes)?;
    }
    making.finish(FORMAT, None)?;
    Ok(Ok(()))
}

fn artifact(digest: &Digest) -> String {
    format!("artifacts/{}.wasm", digest.hex())
}

fn output(digest: &Digest) -> String {
    format!("artifacts/{}/{}.wasm", wire::OUTPUTS, digest.hex())
}

/// Puts a backup in the place of the state, once all of it was found to be whole. No host may run meanwhile.
///
/// Errors: a host runs; there is state already, without `force`; the backup is not whole, not of this host's
/// versions, or can't be written. Then everything is as it was.
pub async fn restore(at: &Where, from: &Path, force: bool) -> anyhow::Result<()> {
    let (host, _) = at.host()?;
    let backup = Archive::open(from, FORMAT)?;
    let _held = state::own(&host)?;
    let places = places(&host);
    if let Some((_, there)) = places.iter().find(|(_, place)| is_there(place)).filter(|_| !force) {
        bail!("{} is there: `--force` puts what is there aside and the backup in its place", there.display());
    }
    let staged = stage(&host, &backup).await?;
    send(&host, &staged).await?;
    swap(&host, &staged, &places)?;
    note(&format!("{} is restored from {}", host.state_dir.display(), from.display()));
    Ok(())
}

/// What a backup holds, with its place. The journal comes last: what it names is there before it.
fn places(host: &Host) -> Vec<(&'static str, PathBuf)> {
    let artifacts = match &host.artifacts {
        Store::Folder(path) => Some((ARTIFACTS, path.clone())),
        Store::Bucket { .. } => None,
    };
    let others = [("secrets", state::secrets(host)), (JOURNAL, host.journal.clone())];
    artifacts.into_iter().chain(others).collect()
}

/// Sends components to the object store, where they lie there. What is there already is the same, by its name.
async fn send(host: &Host, staged: &Staged) -> anyhow::Result<()> {
    let Store::Bucket { .. } = &host.artifacts else { return Ok(()) };
    let (from, to) = (Folder::existing(&staged.state.path().join(ARTIFACTS)), state::artifacts(host)?);
    for digest in Journal::examine(&staged.journal.path().join(JOURNAL)).await?.components {
        let bytes = from.get(&digest).await?.with_context(|| format!("the component {digest} is missing"))?;
        to.put(&digest, &bytes).await?;
    }
    let (from, to) =
        (Folder::existing(&staged.state.path().join(ARTIFACTS).join(wire::OUTPUTS)), state::outputs(host)?);
    for digest in Journal::examine(&staged.journal.path().join(JOURNAL)).await?.outputs {
        let bytes = from.get(&digest).await?.with_context(|| format!("the output {digest} is missing"))?;
        to.put(&digest, &bytes).await?;
    }
    Ok(())
}

/// Whether a file or a folder with something in it is there.
fn is_there(place: &Path) -> bool {
    match fs::read_dir(place) {
        Ok(mut there) => there.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// A backup's files where they can be moved from at once. Dropped, they are gone.
struct Staged {
    state: tempfile::TempDir,
    journal: tempfile::TempDir,
}

/// Copies a backup beside its places and finds out whether it is whole.
async fn stage(host: &Host, backup: &Archive) -> anyhow::Result<Staged> {
    let stage = |beside: &Path| -> anyhow::Result<_> {
        fs::create_dir_all(beside).with_context(|| format!("{} can't be written", beside.display()))?;
        let folder = tempfile::Builder::new().prefix(".restore-").permissions(archive::private()).tempdir_in(beside);
        folder.with_context(|| format!("{} can't be written", beside.display()))
    };
    let staged = Staged { state: stage(&host.state_dir)?, journal: stage(archive::parent(&host.journal))? };
    for entry in backup.files() {
        let known = entry.path == JOURNAL || ["artifacts/", "secrets/"].iter().any(|it| entry.path.starts_with(it));
        ensure!(known, "{} is nothing that this host knows", entry.path);
        let folder = if entry.path == JOURNAL { &staged.journal } else { &staged.state };
        backup.copy(entry, &folder.path().join(&entry.path))?;
    }
    let journal = staged.journal.path().join(JOURNAL);
    ensure!(journal.exists(), "{JOURNAL} is missing");
    let components = Folder::existing(&staged.state.path().join(ARTIFACTS));
    for digest in Journal::examine(&journal).await?.components {
        let there = components.get(&digest).await?.is_some();
        ensure!(there, "the component {digest} is missing, and the journal names it");
    }
    let outputs = Folder::existing(&staged.state.path().join(ARTIFACTS).join(wire::OUTPUTS));
    for digest in Journal::examine(&journal).await?.outputs {
        let there = outputs.get(&digest).await?.is_some();
        ensure!(there, "the output {digest} is missing, and the journal names it");
    }
    Ok(staged)
}

/// Puts aside what is there and the backup in its place. From the first move to the last a mark keeps hosts
/// from starting on a mixture.
fn swap(host: &Host, staged: &Staged, places: &[(&'static str, PathBuf)]) -> anyhow::Result<()> {
    let mark = state::unfinished(host);
    let put_aside = |place: &Path, stamp: i64| with_suffix(place, &format!(".replaced-{stamp}"));
    // One that no earlier restore took, though it was in the same second.
    let mut stamp = SystemClock.now().unix_timestamp();
    while places.iter().any(|(_, place)| put_aside(place, stamp).exists()) {
        stamp += 1;
    }
    File::create(&mark).and_then(|file| file.sync_all()).context("the state folder can't be written")?;
    archive::sync(&host.state_dir)?;
    for (name, place) in places {
        let aside = put_aside(place, stamp);
        if is_there(place) {
            move_to(place, &aside)?;
            note(&format!("what was there is now {}", aside.display()));
        } else if place.is_dir() {
            fs::remove_dir(place)?;
        }
        if *name == JOURNAL {
            // What the old journal had not taken in yet would be read into the new one.
            for part in ["-wal", "-shm"] {
                let part_of = |file: &Path| with_suffix(file, part);
                if part_of(place).exists() {
                    move_to(&part_of(place), &part_of(&aside))?;
                }
            }
        }
        let folder = if *name == JOURNAL { &staged.journal } else { &staged.state };
        let from = folder.path().join(name);
        if from.exists() {
            move_to(&from, place)?;
        }
        archive::sync(archive::parent(place))?;
    }
    fs::remove_file(&mark)?;
    archive::sync(&host.state_dir)?;
    Ok(())
}

fn move_to(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to).with_context(|| format!("{} can't be moved to {}", from.display(), to.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}
