//! Where a folder lies, and the only ways into it.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _},
};
use remit_domain::data::{
    Error,
    files::{Kind, Path},
};
use rustix::{fs::OFlags, io::Errno};

use super::super::{against_rule, not_found};

/// A folder of the host's disk, by its path, which is the operator's word.
pub(super) struct Place(PathBuf);

/// A file or folder that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Which file of which disk it is.
    pub(super) number: (u64, u64),
    /// Seconds and nanoseconds since 1970: of the content, and of anything about the file.
    pub(super) changed: [(i64, i64); 2],
}

impl Found {
    /// Nothing for what is neither a folder nor a regular file of one name.
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        let kind = match metadata.file_type() {
            it if it.is_dir() => Kind::Folder,
            it if it.is_file() && metadata.nlink() == 1 => Kind::File,
            _ => return None,
        };
        let changed = [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())];
        Some(Self { kind, size: metadata.len(), number: (metadata.dev(), metadata.ino()), changed })
    }
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself; made, for this user alone, where it is missing.
    pub(super) fn root(&self) -> Result<Dir, Error> {
        let open = || Dir::open_ambient_dir(&self.0, ambient_authority());
        match open() {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(lost)?;
                open().map_err(lost)
            }
            opened => opened.map_err(lost),
        }
    }

    /// A folder. Errors: `not-found`.
    pub(super) fn folder(&self, path: &Path) -> Result<Dir, Error> {
        let root = self.root()?;
        path.parts().try_fold(root, |folder, part| step(&folder, part)).map_err(|error| at(path, error))
    }

    /// The folder that a path lies in, and its name there. Errors: `not-found`; `invalid` for the root.
    pub(super) fn above<'a>(&self, path: &'a Path) -> Result<(Dir, &'a str), Error> {
        let (_, name) = path.split().ok_or_else(|| Error::Invalid("the folder itself has no name".to_owned()))?;
        let root = self.root()?;
        let mut parts: Vec<_> = path.parts().collect();
        parts.pop();
        let folder = parts.into_iter().try_fold(root, |folder, part| step(&folder, part));
        Ok((folder.map_err(|error| at(path, error))?, name))
    }

    /// What a path names, if anything that may be shown. Errors: `unavailable`.
    pub(super) fn find(&self, path: &Path) -> Result<Option<Found>, Error> {
        if path.is_root() {
            return Ok(Found::of(&self.root()?.dir_metadata().map_err(lost)?));
        }
        match self.above(path) {
            Ok((folder, name)) => found(&folder, name),
            Err(Error::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A file, open for reading. Errors: `not-found` for what is no regular file of one name;
    /// `rejected` (`rule`) for a folder.
    pub(super) fn file(&self, path: &Path) -> Result<(File, Found), Error> {
        let (folder, name) = self.above(path)?;
        // Looked at first, since opening a device may do something; and again, since it may be another by now.
        match found(&folder, name)? {
            Some(found) if found.kind == Kind::File => {}
            Some(_) => return Err(against_rule(format!("`{path}` is a folder"))),
            None => return Err(not_found(path)),
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open(&folder, name, flags).map_err(|error| at(path, error))?;
        let metadata = file.metadata().map_err(lost)?;
        match Found::of(&metadata) {
            Some(found) if found.kind == Kind::File => Ok((file.into_std(), found)),
            _ => Err(not_found(path)),
        }
    }
}

/// What a name in an open folder stands for, if it may be shown.
pub(super) fn found(folder: &Dir, name: &str) -> Result<Option<Found>, Error> {
    match folder.symlink_metadata(name) {
        Ok(metadata) => Ok(Found::of(&metadata)),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(lost(error)),
    }
}

/// From a folder into one that lies in it, unless that is a link. A name is one part of a [`Path`], so that
/// there is no way up.
pub(super) fn step(folder: &Dir, name: &str) -> io::Result<Dir> {
    let inner = open(folder, name, OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::NONBLOCK)?;
    Ok(Dir::from_std_file(inner.into_std()))
}

fn open(folder: &Dir, name: &str, flags: OFlags) -> io::Result<cap_std::fs::File> {
    // The flags fit: the type is that of the system's own call.
    let flags = i32::from_ne_bytes(flags.bits().to_ne_bytes());
    folder.open_with(name, OpenOptions::new().read(true).custom_flags(flags))
}

/// What an error on the way to a path means: a link, or a file in a folder's place, is nothing that is there.
pub(super) fn at(path: &Path, error: io::Error) -> Error {
    // A link is LOOP or NOTDIR; a socket, and a device that nothing stands behind, is NXIO.
    const NOTHING: [Errno; 5] = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO];
    match Errno::from_io_error(&error) {
        Some(number) if NOTHING.contains(&number) => not_found(path),
        _ => lost(error),
    }
}

/// The disk's own failure. The guest learns nothing of the host's paths.
pub(super) fn lost(error: io::Error) -> Error {
    tracing::warn!(%error, "a folder of files failed");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::unavailable("the disk is full"),
        io::ErrorKind::PermissionDenied => against_rule("the host has no right to this"),
        _ => Error::unavailable("the disk could not be read or written"),
    }
}
