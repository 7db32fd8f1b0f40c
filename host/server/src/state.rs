//! What lies where in the state folder, and who may be at work in it.
//!
//! A host holds the folder for as long as it runs, along with others that only add to it; what replaces or
//! removes needs it alone. Deliberately absent: what is in the files.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use remit_artifacts::Folder;
use remit_config::{Host, Store};
use remit_domain::library::Artifacts;

use crate::wire;

/// Is there from the first change of a restore to its last.
const UNFINISHED: &str = "restore.unfinished";

/// Tenants' components, as they lie: nothing is made or tidied up, as a host may be at work there.
///
/// Errors: an object store that can't be used.
pub(crate) fn artifacts(host: &Host) -> anyhow::Result<Arc<dyn Artifacts>> {
    match &host.artifacts {
        Store::Folder(path) => Ok(Arc::new(Folder::existing(path))),
        bucket @ Store::Bucket { .. } => wire::artifacts(bucket, false),
    }
}

/// Large outputs of tenants' runs, as they lie. Errors as [`artifacts`].
pub(crate) fn outputs(host: &Host) -> anyhow::Result<Arc<dyn Artifacts>> {
    match &host.artifacts {
        Store::Folder(path) => Ok(Arc::new(Folder::existing(&path.join(wire::OUTPUTS)))),
        bucket @ Store::Bucket { .. } => wire::outputs(bucket, false),
    }
}

/// Where the host's own keys lie.
pub(crate) fn secrets(host: &Host) -> PathBuf {
    host.state_dir.join("secrets")
}

/// Where compiled code lies.
pub(crate) fn cache(host: &Host) -> PathBuf {
    host.state_dir.join("cache")
}

/// Keeps the folder for as long as it lives.
#[derive(Debug)]
pub(crate) struct Held {
    lock: File,
    alone: bool,
}

impl Held {
    /// Whether nobody else is at work there.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Lets others in that only add to it.
    ///
    /// Errors: the folder can't be locked.
    pub(crate) fn let_others_in(&mut self) -> anyhow::Result<()> {
        self.alone = false;
        self.lock.lock_shared().context("the state folder can't be locked")
    }
}

/// Holds the state folder for a host: alone, if it is the first, for as long as it begins.
///
/// Errors: as [`share`].
pub(crate) fn begin(host: &Host) -> anyhow::Result<Held> {
    match own(host) {
        Ok(held) if unfinished(host).exists() => {
            drop(held);
            share(host)
        }
        Ok(held) => Ok(held),
        Err(_) => share(host),
    }
}

/// Holds the state folder along with others; makes it where it is not there.
///
/// Errors: it can't be made; somebody has it alone; a restore was cut short.
pub(crate) fn share(host: &Host) -> anyhow::Result<Held> {
    let lock = lock(&host.state_dir)?;
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("{} is being restored, or a tenant is being deleted: wait for its end", host.state_dir.display())
        }
        Err(TryLockError::Error(error)) => return Err(error).context("the state folder can't be locked"),
    }
    if unfinished(host).exists() {
        bail!("a restore into {} was cut short: run `remit restore --force` again", host.state_dir.display());
    }
    Ok(Held { lock, alone: false })
}

/// Holds the state folder alone.
///
/// Errors: it can't be made; a host runs on it.
pub(crate) fn own(host: &Host) -> anyhow::Result<Held> {
    let lock = lock(&host.state_dir)?;
    match lock.try_lock() {
        Ok(()) => Ok(Held { lock, alone: true }),
        Err(TryLockError::WouldBlock) => bail!("a host is running on {}: stop it first", host.state_dir.display()),
        Err(TryLockError::Error(error)) => Err(error).context("the state folder can't be locked"),
    }
}

/// The mark of a restore that is not at its end.
pub(crate) fn unfinished(host: &Host) -> PathBuf {
    host.state_dir.join(UNFINISHED)
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let made = || -> std::io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("host.lock"))
    };
    made().with_context(|| format!("the state folder {} can't be written", folder.display()))
}
