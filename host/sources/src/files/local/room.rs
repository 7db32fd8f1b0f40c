//! How much a folder may hold: the host's journal may share its disk.
//!
//! What is there is counted once, then kept up with what goes through here, and counted again now and then,
//! for what others did beside the host.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use cap_std::fs::{Dir, MetadataExt as _};
use remit_domain::data::Error;

use super::{beside::GivenUp, place};

/// What every file and folder counts for beside its bytes: a block of the disk, so that empty files without
/// number are too many as well.
pub(super) const EACH: u64 = 4 << 10;
/// When what is known is too old.
const OLD: Duration = Duration::from_secs(10 * 60);

/// The room of a folder.
#[derive(Debug)]
pub(super) struct Room {
    most: u64,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    used: u64,
    since: Instant,
}

impl Room {
    pub(super) fn new(most: u64) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// Takes room before it is filled. Errors: `limit` (`max-folder-bytes`).
    pub(super) fn take(
        &self,
        folder: impl Fn() -> Result<Dir, Error>,
        bytes: u64,
        given_up: &GivenUp,
    ) -> Result<(), Error> {
        if self.try_take(bytes, Instant::now()) {
            return Ok(());
        }
        let since = Instant::now();
        let used = count(&folder()?, given_up)?;
        *self.known() = Some(Known { used, since });
        if self.try_take(bytes, since) {
            return Ok(());
        }
        Err(Error::Limit { name: "max-folder-bytes", allowed: self.most })
    }

    /// Whether there is known to be room. Not so if nothing, or nothing of late, is known.
    fn try_take(&self, bytes: u64, now: Instant) -> bool {
        match &mut *self.known() {
            Some(known) if now.saturating_duration_since(known.since) < OLD => {
                let used = known.used.saturating_add(bytes);
                let fits = used <= self.most;
                if fits {
                    known.used = used;
                }
                fits
            }
            _ => false,
        }
    }

    /// Counts what was made without asking first: the folders above a file.
    pub(super) fn spent(&self, bytes: u64) {
        if let Some(known) = &mut *self.known() {
            known.used = known.used.saturating_add(bytes);
        }
    }

    /// Gives room back.
    pub(super) fn freed(&self, bytes: u64) {
        if let Some(known) = &mut *self.known() {
            known.used = known.used.saturating_sub(bytes);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a folder holds. Links are not followed; a folder that vanishes meanwhile holds nothing.
fn count(root: &Dir, given_up: &GivenUp) -> Result<u64, Error> {
    let mut used: u64 = 0;
    let mut folders = vec![PathBuf::from(".")];
    while let Some(folder) = folders.pop() {
        given_up.check()?;
        let Ok(entries) = root.read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.map_err(place::lost)?;
            used = used.saturating_add(EACH);
            let Ok(file_type) = entry.file_type() else { continue };
            if file_type.is_dir() {
                folders.push(folder.join(entry.file_name()));
            } else if file_type.is_file() {
                // Blocks, and not length: a file of holes takes no room.
                let blocks = entry.metadata().map(|metadata| metadata.blocks());
                used = used.saturating_add(blocks.unwrap_or_default().saturating_mul(512));
            }
        }
    }
    Ok(used)
}
