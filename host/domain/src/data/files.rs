//! Port: folders of files, as `remit:data/files` states them.
//!
//! A path is checked where it becomes a [`Path`], once for every kind of folder. Deliberately absent:
//! links, which no connector follows, whichever way they lead.

use std::fmt;

use async_trait::async_trait;

use super::Error;
pub use super::http_api::Reader;
use crate::grant::{Reading, Writing};

/// The most bytes that `read` gives (`max-read-bytes`).
pub const MAX_READ_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes that `write` takes (`max-request-bytes`).
pub const MAX_WRITE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes that one piece of a writer has (`max-chunk-bytes`).
pub const MAX_CHUNK_BYTES: usize = 1024 * 1024;
/// The most bytes that a file written in pieces may have (`max-file-bytes`).
pub const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// The most entries of a page (`max-entries`).
pub const MAX_ENTRIES: usize = 1_000;
/// The most bytes of a path, as S3 has it, and of one part of it, as disks have it.
const MAX_PATH_BYTES: usize = 1024;
const MAX_PART_BYTES: usize = 255;
/// The most parts of a path, so that no walk along one is long.
const MAX_PARTS: usize = 64;
/// What the names begin with that the host keeps for itself.
pub const OWN_PREFIX: &str = ".remit-";

/// A relative path without any way out: parts between single slashes, none of them empty, `.` or `..`, no
/// backslash, no control character. `%2e` and the like are names as any other, and nothing is normalised: two
/// spellings of one letter are two names. The folder itself is the empty path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// Checks the path of a file or folder. Errors: `invalid`, the folder itself included.
    pub fn inside(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(invalid("the path is empty"));
        }
        Self::new(text)
    }

    /// Checks the path of a folder, which may be empty. Errors: `invalid`.
    pub fn new(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_PATH_BYTES {
            return Err(invalid("the path has more than 1,024 bytes"));
        }
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        text.split('/').try_for_each(part)?;
        if text.split('/').count() > MAX_PARTS {
            return Err(invalid("the path has more than 64 parts"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the folder itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its parts, from the outermost.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The folder that it lies in, and its last part; none for the folder itself.
    pub fn split(&self) -> Option<(Self, &str)> {
        match self.0.rsplit_once('/') {
            Some((above, name)) => Some((Self(above.to_owned()), name)),
            None if self.is_root() => None,
            None => Some((Self(String::new()), &self.0)),
        }
    }

    /// A path in this folder. Errors: `invalid`, also for a name that is none.
    pub fn join(&self, name: &str) -> Result<Self, Error> {
        if name.contains('/') {
            return Err(invalid("a name holds a slash"));
        }
        if self.is_root() { Self::inside(name) } else { Self::new(&format!("{}/{name}", self.0)) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn part(part: &str) -> Result<(), Error> {
    let wrong = match part {
        "" => "an empty part, a leading or a trailing slash",
        "." | ".." => "a part that is `.` or `..`",
        part if part.len() > MAX_PART_BYTES => "a part of more than 255 bytes",
        part if part.contains('\\') => "a backslash",
        part if part.chars().any(char::is_control) => "a control character",
        part if part.starts_with(OWN_PREFIX) => "a name that the host keeps for itself",
        _ => return Ok(()),
    };
    Err(invalid(&format!("the path has {wrong}")))
}

fn invalid(message: &str) -> Error {
    Error::Invalid(message.to_owned())
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    File,
    /// More entries.
    Folder,
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the source's folder.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// In bytes; 0 for a folder.
    pub size: u64,
    /// When it last changed, in RFC 3339, if the source knows.
    pub modified: Option<String>,
    /// Names this very content.
    pub etag: Option<String>,
}

/// Part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In order of path, by bytes, a folder's taken to end in `/`.
    pub entries: Vec<Entry>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

/// When a write is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// If nothing is there.
    Absent,
    /// If what is there has this etag.
    Unchanged(String),
}

/// A file being written. Nothing is kept before [`Self::finish`]; dropping it discards what was written.
#[async_trait]
pub trait Writer: Send {
    /// Appends bytes. Errors: `limit` (`max-chunk-bytes`, `max-file-bytes`, what the folder may hold);
    /// `unavailable`; `denied` if the scope no longer covers the path; `invalid` after an end or a failure.
    async fn write(&mut self, access: Writing<'_>, bytes: &[u8]) -> Result<(), Error>;

    /// Keeps what was written, and gives its length in bytes. Errors: `rejected` (`conflict`, `rule`);
    /// `uncertain`; `unavailable`; `denied`; `invalid` the second time.
    async fn finish(&mut self, access: Writing<'_>) -> Result<u64, Error>;
}

/// One folder.
///
/// Errors of every method: `denied` for what lies outside the scope; `throttled`, `unavailable`,
/// `cancelled`. What can't be read as a file or folder, such as a link or a device, is `not-found`.
#[async_trait]
pub trait Folder: Send + Sync {
    /// A whole small file. Errors: `not-found`; `limit` (`max-read-bytes`).
    async fn read(&self, access: Reading<'_>, path: &Path) -> Result<Vec<u8>, Error>;

    /// A file from a byte offset on; beyond its end there is nothing to read. Errors: `not-found`.
    async fn open(&self, access: Reading<'_>, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error>;

    /// Replaces or creates a file in one step, with the folders above it. Errors: `limit`
    /// (`max-request-bytes`, what the folder may hold); `rejected`; `uncertain`.
    async fn write(&self, access: Writing<'_>, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error>;

    /// As [`Self::write`], in pieces.
    async fn create(&self, access: Writing<'_>, path: &Path, when: &Condition) -> Result<Box<dyn Writer>, Error>;

    /// What is in a folder, from `next` of the page before. Where the scope does not cover the folder but
    /// something within, just what leads there is shown. Errors: `not-found`; `invalid` for a cursor that
    /// is none.
    async fn list(&self, access: Reading<'_>, path: &Path, after: Option<&str>) -> Result<Page, Error>;

    /// What a path names. Errors: `not-found`.
    async fn stat(&self, access: Reading<'_>, path: &Path) -> Result<Entry, Error>;

    /// Deletes a file or an empty folder. Errors: `not-found`; `rejected` (`rule`) for a folder that is not
    /// empty; `uncertain`.
    async fn delete(&self, access: Writing<'_>, path: &Path) -> Result<(), Error>;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_path_has_no_way_out() {
        for bad in [
            "../a",
            "..",
            ".",
            "a/../../b",
            "a/..",
            "./a",
            "/etc/passwd",
            "//a",
            "a//b",
            "a/",
            "/",
            "a\\b",
            "..\\a",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{85}b",
            ".remit-uploads",
            "a/.remit-uploads/b",
        ] {
            assert!(matches!(Path::new(bad), Err(Error::Invalid(_))), "{bad:?}");
        }
        for fine in ["a", "a/b.txt", "%2e%2e/%2e%2e", "...", "..a", ".hidden", "a b", "é", "e\u{301}", "~", "a:b", "*"]
        {
            assert_eq!(Path::inside(fine).unwrap().as_str(), fine);
        }
        assert!(Path::new("").unwrap().is_root());
        assert!(Path::inside("").is_err());
        let long = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "w".repeat(255)].join("/");
        assert!(Path::new(&long).is_ok() && Path::new(&format!("{long}/1234")).is_err());
        assert!(Path::new(&"x".repeat(256)).is_err());
        assert!(Path::new(&"a/".repeat(63)).is_err() && Path::new(&["a"; 64].join("/")).is_ok());
        assert!(Path::new(&["a"; 65].join("/")).is_err());
    }

    #[test]
    fn a_path_comes_apart_and_together() {
        let path = Path::inside("a/b/c").unwrap();
        let (above, name) = path.split().unwrap();
        assert_eq!((above.as_str(), name), ("a/b", "c"));
        assert_eq!(above.join("c").unwrap(), path);
        let root = Path::new("").unwrap();
        assert_eq!(root.join("a").unwrap().split().unwrap(), (root.clone(), "a"));
        assert!(root.split().is_none() && root.join("").is_err() && path.join("..").is_err());
        assert!(path.join("x/y").is_err());
        assert_eq!(path.parts().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(root.parts().count(), 0);
    }
}
