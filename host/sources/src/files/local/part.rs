//! A file that is being written: it lies in a folder of the host's own within the tenant's, so that what a
//! crash leaves there is found, and counts as the tenant's room until then.

use std::{fs::File, io::Write as _, sync::Arc, time::SystemTime};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _};
use remit_domain::data::{
    Error,
    files::{Condition, Entry, Path},
};
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{
    Disk,
    beside::GivenUp,
    commit,
    place::{lost, step},
    room::EACH,
};

/// Its name is none that a path can have.
const FOLDER: &str = ".remit-uploads";
/// How often a part is begun anew after somebody who cleans up took it for a dead one.
const ATTEMPTS: usize = 3;

/// A file being written. Dropped, it is gone.
pub(super) struct Part {
    disk: Arc<Disk>,
    folder: Dir,
    name: String,
    file: File,
    taken: u64,
    published: bool,
}

impl Part {
    /// Begins one, and removes those that nobody writes any more. Errors: `limit` (`max-folder-bytes`).
    pub(super) fn begin(disk: &Arc<Disk>, given_up: &GivenUp) -> Result<Self, Error> {
        disk.room.take(|| disk.place.root(), EACH, given_up)?;
        let made = folder(&disk.place.root()?).and_then(|folder| {
            sweep(&folder)?;
            let (name, file) = make(&folder)?;
            Ok((folder, name, file))
        });
        match made {
            Ok((folder, name, file)) => {
                Ok(Self { disk: disk.clone(), folder, name, file, taken: EACH, published: false })
            }
            Err(failure) => {
                disk.room.freed(EACH);
                Err(failure)
            }
        }
    }

    pub(super) fn append(&mut self, bytes: &[u8], given_up: &GivenUp) -> Result<(), Error> {
        given_up.check()?;
        let length = bytes.len() as u64;
        self.disk.room.take(|| self.disk.place.root(), length, given_up)?;
        self.taken = self.taken.saturating_add(length);
        self.file.write_all(bytes).map_err(lost)
    }

    /// Puts it under its path, whole and on the disk. Errors: `rejected`; `uncertain` if it is there and may
    /// not survive a loss of power.
    pub(super) fn publish(mut self, path: &Path, when: &Condition, given_up: &GivenUp) -> Result<Entry, Error> {
        // To the nanosecond, where the system's own clock for files may tick every few milliseconds.
        self.file.set_modified(SystemTime::now()).map_err(lost)?;
        self.file.sync_all().map_err(lost)?;
        given_up.check()?;
        let (found, replaced) = commit::publish(&self.disk, (&self.folder, &self.name, &self.file), path, when)?;
        self.published = true;
        self.disk.room.freed(replaced);
        Ok(found.entry(path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.published {
            let _ = self.folder.remove_file(&self.name);
            self.disk.room.freed(self.taken);
        }
    }
}

/// Where parts lie. Made if it is missing.
fn folder(root: &Dir) -> Result<Dir, Error> {
    if let Ok(folder) = step(root, FOLDER) {
        return Ok(folder);
    }
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match root.create_dir_with(FOLDER, &builder) {
        Err(there) if there.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.map_err(lost)?,
    }
    step(root, FOLDER).map_err(lost)
}

/// A new part, held by its writer.
fn make(folder: &Dir) -> Result<(String, File), Error> {
    for _ in 0..ATTEMPTS {
        let name = Uuid::new_v4().simple().to_string();
        let file = folder
            .open_with(&name, OpenOptions::new().read(true).write(true).create_new(true).mode(0o600))
            .map_err(lost)?
            .into_std();
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| lost(error.into()))?;
        let links = rustix::fs::fstat(&file).map_err(|error| lost(error.into()))?.st_nlink;
        if links > 0 {
            return Ok((name, file));
        }
    }
    Err(Error::unavailable("the file could not be begun"))
}

/// Removes parts that no writer holds: their host has died.
fn sweep(folder: &Dir) -> Result<(), Error> {
    for entry in folder.entries().map_err(lost)? {
        let entry = entry.map_err(lost)?;
        let Ok(file) = entry.open() else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = folder.remove_file(entry.file_name());
        }
    }
    Ok(())
}
