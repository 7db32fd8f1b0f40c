//! Where the journal lies: its URL read, its folder and file made and kept from other users.
//!
//! Deliberately absent: SQLite. Nothing here looks into the file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::Error;

/// The file that a journal's URL names: `sqlite:var/journal.db`, `sqlite:///var/lib/…` or a bare path.
///
/// Errors: [`Error::Scheme`]; [`Error::Location`] if it is empty, has options or lives in memory.
pub(crate) fn parse(url: &str) -> Result<PathBuf, Error> {
    let wrong = |reason| Error::Location { url: url.to_owned(), reason };
    let path = match url.split_once(':') {
        Some(("sqlite", rest)) if rest.contains(['?', '#']) => return Err(wrong("it takes no options")),
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme, _)) if is_scheme(scheme) => return Err(Error::Scheme(scheme.to_owned())),
        _ => url,
    };
    if path.is_empty() {
        Err(wrong("it is empty"))
    } else if path.starts_with(":memory:") {
        Err(wrong("what lies in memory does not outlast the process"))
    } else {
        Ok(PathBuf::from(path))
    }
}

/// Makes the file and its folder if they are not there, and takes the file from all other users:
/// conversations are private.
///
/// Errors: [`Error::File`].
pub(crate) fn prepare(path: &Path) -> Result<(), Error> {
    make(path).map_err(|cause| Error::File { path: path.to_owned(), cause })
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    protect(path)
}

/// Takes a file from all other users.
#[cfg(unix)]
pub(crate) fn protect(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let file = fs::File::open(path)?;
    let found = file.metadata()?.permissions().mode();
    // SQLite gives its `-wal` and `-shm` files the permissions of the database.
    if found & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().read(true).append(true).create(true).open(path).map(drop)
}

/// Where files have no such permissions.
#[cfg(not(unix))]
pub(crate) fn protect(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the text before a colon is a URL's scheme rather than part of a path (`C:` included).
fn is_scheme(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}
