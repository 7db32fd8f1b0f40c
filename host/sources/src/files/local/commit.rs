//! The moments in which a folder changes: under a lock of the whole folder, so that what a condition asks is
//! still so when the change is made, also beside other processes of this host's kind.

use std::{fs::File, io, os::fd::OwnedFd};

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, Metadata};
use remit_domain::data::{
    Error,
    files::{Condition, Kind, Path},
};
use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags, flock, openat, renameat_with};

use super::{
    super::{against_rule, conflict, not_found},
    Disk,
    place::{Found, Place, at, found, lost, step},
    room::{EACH, Room},
};

/// Holds a folder for one change; let go when dropped.
struct Lock(#[expect(dead_code, reason = "closing it lets go")] OwnedFd);

impl Lock {
    /// Waits its turn, for as long as others make their changes: each is a few calls of the system.
    fn take(root: &Dir) -> Result<Self, Error> {
        // A folder opened apart, since a lock belongs to what is open, and not to who opened it.
        let own = openat(root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let own = own.map_err(|error| lost(error.into()))?;
        flock(&own, FlockOperation::LockExclusive).map_err(|error| lost(error.into()))?;
        Ok(Self(own))
    }
}

/// Whether a condition is met now. Errors: `rejected` (`conflict`; `rule` where no file can be).
pub(super) fn check(root: &Dir, path: &Path, when: &Condition) -> Result<(), Error> {
    let Some((_, name)) = path.split() else { return Err(against_rule("the folder itself is no file")) };
    let parts: Vec<_> = path.parts().collect();
    let above = parts.iter().take(parts.len().saturating_sub(1));
    let folder = above.copied().try_fold(root.try_clone().map_err(lost)?, |folder, part| step(&folder, part));
    match folder {
        Ok(folder) => allowed(&folder, name, path, when).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match when {
            Condition::Unchanged(_) => Err(conflict(path)),
            Condition::Always | Condition::Absent => Ok(()),
        },
        Err(error) => Err(no_folder(path, error)),
    }
}

/// What lies under a name and may be replaced. Errors as [`check`].
fn allowed(folder: &Dir, name: &str, path: &Path, when: &Condition) -> Result<Option<Metadata>, Error> {
    let there = match folder.symlink_metadata(name) {
        Ok(there) => there,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            return if matches!(when, Condition::Unchanged(_)) { Err(conflict(path)) } else { Ok(None) };
        }
        Err(error) => return Err(lost(error)),
    };
    let shown = Found::of(&there);
    match when {
        Condition::Absent => Err(conflict(path)),
        Condition::Unchanged(etag) if shown.as_ref().is_none_or(|found| found.etag() != *etag) => Err(conflict(path)),
        _ if there.is_dir() => Err(against_rule(format!("`{path}` is a folder"))),
        // A link, a device or a file of several names is the operator's, and stays.
        _ if shown.is_none() => Err(against_rule(format!("`{path}` can't be replaced"))),
        _ => Ok(Some(there)),
    }
}

/// Moves a finished file to its path, and says what it is there, and how much room was freed. Errors as
/// [`check`]; `uncertain` if it has been moved and may not stay.
pub(super) fn publish(
    disk: &Disk,
    (from, part, file): (&Dir, &str, &File),
    path: &Path,
    when: &Condition,
) -> Result<(Found, u64), Error> {
    let Some((_, name)) = path.split() else { return Err(against_rule("the folder itself is no file")) };
    let root = disk.place.root()?;
    let _lock = Lock::take(&root)?;
    check(&root, path, when)?;
    let folder = make_above(&root, path, &disk.room)?;
    let replaced = allowed(&folder, name, path, when)?;
    let flags = if replaced.is_some() { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    match renameat_with(from, part, &folder, name, flags) {
        // Somebody who knows no lock came first.
        Err(rustix::io::Errno::EXIST) => return Err(conflict(path)),
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::NOTEMPTY) => {
            return Err(against_rule(format!("`{path}` is a folder")));
        }
        renamed => renamed.map_err(|error| lost(error.into()))?,
    }
    let kept = sync(&folder).and_then(|()| cap_std::fs::File::from_std(file.try_clone()?).metadata());
    match kept.map(|metadata| Found::of(&metadata)) {
        Ok(Some(found)) => Ok((found, replaced.map_or(0, |there| EACH.saturating_add(there.len())))),
        Ok(None) => Err(conflict(path)),
        Err(error) => {
            tracing::warn!(%error, "a file was put into its place, and may not be on the disk");
            Err(Error::Uncertain("the file was written, and may not outlast a loss of power".to_owned()))
        }
    }
}

/// Removes a file or an empty folder, and says how much room that gives.
pub(super) fn remove(place: &Place, path: &Path) -> Result<u64, Error> {
    let _lock = Lock::take(&place.root()?)?;
    let (folder, name) = place.above(path)?;
    let there = found(&folder, name)?.ok_or_else(|| not_found(path))?;
    let removed = match there.kind {
        Kind::File => folder.remove_file(name),
        Kind::Folder => folder.remove_dir(name),
    };
    match removed {
        Err(full) if full.kind() == io::ErrorKind::DirectoryNotEmpty => {
            return Err(against_rule(format!("`{path}` is not empty")));
        }
        removed => removed.map_err(|error| at(path, error))?,
    }
    sync(&folder)
        .map_err(|_| Error::Uncertain("it was deleted, and may come back after a loss of power".to_owned()))?;
    Ok(EACH.saturating_add(if there.kind == Kind::File { there.size } else { 0 }))
}

/// The folder that a path lies in, made where it is missing.
fn make_above(root: &Dir, path: &Path, room: &Room) -> Result<Dir, Error> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let mut folder = root.try_clone().map_err(lost)?;
    let parts: Vec<_> = path.parts().collect();
    for part in parts.iter().take(parts.len().saturating_sub(1)) {
        let inner = match step(&folder, part) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                match folder.create_dir_with(part, &builder) {
                    Err(there) if there.kind() == io::ErrorKind::AlreadyExists => {}
                    made => {
                        made.and_then(|()| sync(&folder)).map_err(lost)?;
                        room.spent(EACH);
                    }
                }
                step(&folder, part)
            }
            inner => inner,
        };
        folder = inner.map_err(|error| no_folder(path, error))?;
    }
    Ok(folder)
}

/// What lies in the way to a path is no folder.
fn no_folder(path: &Path, error: io::Error) -> Error {
    match at(path, error) {
        Error::NotFound(_) => against_rule(format!("a part of `{path}` is no folder")),
        other => other,
    }
}

/// Has a folder's entries written to the disk.
fn sync(folder: &Dir) -> io::Result<()> {
    let own = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(own).sync_all()
}
