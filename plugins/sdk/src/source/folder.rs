//! Folders and their files, whole or in pieces.

use std::{io, rc::Rc};

use super::{Condition, Entry};
use crate::{Cause, Error, Result, handles};

/// The most that one read or write moves.
const CHUNK: usize = 1024 * 1024;

/// A folder that the call was handed. Paths are relative to it and use `/`.
pub struct Folder {
    name: Rc<str>,
    handle: handles::Folder,
}

impl Folder {
    pub(crate) fn take(grants: &handles::Grants, name: &str) -> Result<Self> {
        let handle = handles::Folder::take(grants, name).map_err(|cause| Error::of_taking(name, cause))?;
        Ok(Self { name: name.into(), handle })
    }

    /// A whole small file.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.handle.read(path).map_err(|cause| self.failed(cause))
    }

    /// A whole small file of text. Errors: `refused` if it is not UTF-8.
    pub fn read_text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.read(path)?).map_err(|_| Error::refused(format!("{}: {path} is not text", self.name)))
    }

    /// A file from a byte offset on, in pieces.
    pub fn open(&self, path: &str, offset: u64) -> Result<Reader> {
        let handle = self.handle.open(path, offset).map_err(|cause| self.failed(cause))?;
        Ok(Reader::new(Rc::clone(&self.name), handle))
    }

    /// Replaces or creates a file in one step.
    pub fn write(&self, path: &str, bytes: &[u8], when: &Condition) -> Result<Entry> {
        self.handle.write(path, bytes, when).map_err(|cause| self.failed(cause))
    }

    /// As [`Self::write`], in pieces: the file appears at [`Writer::finish`].
    pub fn create(&self, path: &str, when: &Condition) -> Result<Writer> {
        let handle = self.handle.create(path, when).map_err(|cause| self.failed(cause))?;
        Ok(Writer { name: Rc::clone(&self.name), handle })
    }

    /// All that is in a subfolder, or in the folder itself (`""`), in order of path.
    pub fn list(&self, path: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.handle.list(path, after.as_deref()).map_err(|cause| self.failed(cause))?;
            entries.extend(page.entries);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(entries),
            }
        }
    }

    /// What a path names.
    pub fn stat(&self, path: &str) -> Result<Entry> {
        self.handle.stat(path).map_err(|cause| self.failed(cause))
    }

    /// Deletes a file or an empty folder.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.handle.delete(path).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: Cause) -> Error {
        Error::of_source(&self.name, cause)
    }
}

/// Bytes that arrive in pieces. Dropping it ends the transfer.
pub struct Reader {
    name: Rc<str>,
    handle: handles::Reader,
}

impl Reader {
    pub(crate) fn new(name: Rc<str>, handle: handles::Reader) -> Self {
        Self { name, handle }
    }

    /// The next bytes; none at the end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        self.handle.read(CHUNK as u32).map_err(|cause| Error::of_source(&self.name, cause))
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(CHUNK);
        if most == 0 {
            return Ok(0);
        }
        let bytes = self.handle.read(most as u32).map_err(io::Error::other)?.unwrap_or_default();
        let start = buffer.get_mut(..bytes.len()).ok_or_else(|| io::Error::other("more was read than asked for"))?;
        start.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// Bytes that leave in pieces. Nothing is kept before [`Self::finish`].
pub struct Writer {
    name: Rc<str>,
    handle: handles::Writer,
}

impl Writer {
    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        bytes
            .chunks(CHUNK)
            .try_for_each(|chunk| self.handle.write(chunk).map_err(|cause| Error::of_source(&self.name, cause)))
    }

    /// Keeps what was written and returns its length in bytes.
    pub fn finish(self) -> Result<u64> {
        self.handle.finish().map_err(|cause| Error::of_source(&self.name, cause))
    }
}
