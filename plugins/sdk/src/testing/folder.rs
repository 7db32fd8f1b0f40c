//! A folder in memory.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use super::handles::Handle;
use crate::{
    Cause, Refusal, Rejection,
    bindings::remit::data::files::Page,
    source::{Condition, Entry, Kind},
};

/// Files by path. A subfolder is there as soon as a file is in it. Clones are the same folder.
#[derive(Debug, Clone, Default)]
pub struct FakeFolder(Rc<RefCell<BTreeMap<String, Vec<u8>>>>);

impl FakeFolder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.borrow_mut().insert(path.to_owned(), bytes.into());
        self
    }

    /// What a file holds now.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.0.borrow().get(path).cloned()
    }

    fn put(&self, path: &str, bytes: &[u8], when: &Condition) -> Result<Entry, Cause> {
        let mut files = self.0.borrow_mut();
        let conflict = match (when, files.get(path)) {
            (Condition::Always, _) | (Condition::Absent, None) => false,
            (Condition::Unchanged(etag), Some(now)) => *etag != etag_of(now),
            _ => true,
        };
        if conflict {
            let message = format!("{path} is not as expected");
            return Err(Cause::Rejected(Rejection { reason: Refusal::Conflict, code: None, message }));
        }
        files.insert(path.to_owned(), bytes.to_vec());
        Ok(entry(path, bytes))
    }
}

impl Handle<FakeFolder> {
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Cause> {
        self.fake.bytes(safe(path)?).ok_or_else(|| Cause::NotFound(path.to_owned()))
    }

    pub(crate) fn open(&self, path: &str, offset: u64) -> Result<Reader, Cause> {
        let bytes = self.read(path)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(Reader::of(bytes.get(offset..).unwrap_or_default().to_vec()))
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8], when: &Condition) -> Result<Entry, Cause> {
        self.for_writing()?.put(safe(path)?, bytes, when)
    }

    pub(crate) fn create(&self, path: &str, when: &Condition) -> Result<Writer, Cause> {
        Ok(Writer {
            folder: self.for_writing()?.clone(),
            path: safe(path)?.to_owned(),
            when: when.clone(),
            bytes: RefCell::default(),
        })
    }

    /// Everything in one page, ordered as the host does: by path, a folder's taken to end in `/`.
    pub(crate) fn list(&self, path: &str, _: Option<&str>) -> Result<Page, Cause> {
        let prefix = if path.is_empty() { String::new() } else { format!("{}/", safe(path)?) };
        let files = self.fake.0.borrow();
        let mut entries: Vec<Entry> = Vec::new();
        for (file, bytes) in files.iter() {
            let Some(rest) = file.strip_prefix(&prefix) else { continue };
            match rest.split_once('/') {
                None => entries.push(entry(file, bytes)),
                Some((folder, _)) => {
                    let path = format!("{prefix}{folder}");
                    if entries.last().is_none_or(|last| last.path != path) {
                        entries.push(Entry { path, kind: Kind::Folder, size: 0, modified: None, etag: None });
                    }
                }
            }
        }
        if entries.is_empty() && !path.is_empty() {
            return Err(Cause::NotFound(path.to_owned()));
        }
        Ok(Page { entries, next: None })
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Entry, Cause> {
        let folder = Entry { path: path.to_owned(), kind: Kind::Folder, size: 0, modified: None, etag: None };
        if path.is_empty() {
            return Ok(folder);
        }
        match self.read(path) {
            Err(Cause::NotFound(_)) if self.list(path, None).is_ok() => Ok(folder),
            read => read.map(|bytes| entry(path, &bytes)),
        }
    }

    pub(crate) fn delete(&self, path: &str) -> Result<(), Cause> {
        let removed = self.for_writing()?.0.borrow_mut().remove(safe(path)?);
        removed.map(drop).ok_or_else(|| Cause::NotFound(path.to_owned()))
    }
}

pub(crate) struct Reader {
    bytes: Vec<u8>,
    read: Cell<usize>,
}

impl Reader {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, read: Cell::new(0) }
    }

    pub(crate) fn read(&self, max: u32) -> Result<Option<Vec<u8>>, Cause> {
        let rest = self.bytes.get(self.read.get()..).unwrap_or_default();
        let next = rest.get(..rest.len().min(max as usize)).unwrap_or_default();
        self.read.set(self.read.get() + next.len());
        Ok((!next.is_empty()).then(|| next.to_vec()))
    }
}

pub(crate) struct Writer {
    folder: FakeFolder,
    path: String,
    when: Condition,
    bytes: RefCell<Vec<u8>>,
}

impl Writer {
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Cause> {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<u64, Cause> {
        Ok(self.folder.put(&self.path, &self.bytes.borrow(), &self.when)?.size)
    }
}

fn entry(path: &str, bytes: &[u8]) -> Entry {
    let (size, etag) = (bytes.len() as u64, Some(etag_of(bytes)));
    Entry { path: path.to_owned(), kind: Kind::File, size, modified: None, etag }
}

fn etag_of(bytes: &[u8]) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn safe(path: &str) -> Result<&str, Cause> {
    let bad_part = |part: &str| matches!(part, "" | "." | "..") || part.len() > 255 || part.starts_with(".remit-");
    let bad = path.len() > 1024 || path.contains('\\') || path.chars().any(char::is_control);
    if bad || path.split('/').any(bad_part) || path.split('/').count() > 64 {
        Err(Cause::Invalid(format!("{path} is no path within the folder")))
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        source::{Condition, Kind},
        testing::{self, FakeFolder},
    };

    #[test]
    fn a_fake_is_as_strict_as_the_host() -> crate::Result<()> {
        let fake = FakeFolder::new().file("a/b", "x").file("a-b", "y").file("a.txt", "z");
        let call = testing::call().writes("documents", &fake).build();
        let folder = call.folder("documents")?;
        for bad in ["../a", "/a", "a//b", "a/", ".", "a\\b", "a\0", "a\n", ".remit-x", &"x/".repeat(70)] {
            assert!(folder.read(bad).is_err() && folder.write(bad, b"x", &Condition::Always).is_err(), "{bad:?}");
        }
        let paths: Vec<_> = folder.list("")?.into_iter().map(|entry| (entry.path, entry.kind)).collect();
        let expected = [("a-b", Kind::File), ("a.txt", Kind::File), ("a", Kind::Folder)];
        assert_eq!(paths, expected.map(|(path, kind)| (path.to_owned(), kind)));
        assert_eq!((folder.stat("a")?.kind, folder.stat("")?.kind), (Kind::Folder, Kind::Folder));
        assert!(folder.list("none").is_err() && folder.stat("none").is_err());
        let mut writer = folder.create("new", &Condition::Absent)?;
        writer.append(b"some")?;
        assert_eq!((fake.bytes("new"), writer.finish()?), (None, 4));
        assert_eq!(fake.bytes("new").as_deref(), Some(&b"some"[..]));
        Ok(())
    }
}
