//! Keeper: a folder of the host's own disk.
//!
//! Every way into it goes one part at a time from an open folder, and no part may be a link: what is swapped
//! meanwhile is not followed either. Files are opened if they are regular and have one name alone; a second
//! name (a hard link) may be another tenant's. What is written appears by a rename of a finished file, so
//! that a reader sees the old bytes or the new. Deliberately absent: owners and rights of files (whoever runs
//! the host owns what it writes), and watching what others change beside the host.

mod beside;
mod commit;
mod etag;
mod listing;
mod part;
mod place;
mod room;

use std::{os::unix::fs::FileExt as _, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use remit_domain::data::{
    Error,
    files::{Condition, Entry, Kind, MAX_READ_BYTES, Page, Path, Reader},
};

use self::{
    beside::beside,
    part::Part,
    place::{Found, Place},
    room::Room,
};
use super::{Keeper, Pieces, against_rule, not_found, too_large_to_read};

/// A folder of the host's own disk, which is made when it is first used.
pub(crate) struct LocalFolder(Arc<Disk>);

struct Disk {
    place: Place,
    room: Room,
}

impl LocalFolder {
    /// `most`: how much it may hold in all, in bytes.
    pub(crate) fn new(path: PathBuf, most: u64) -> Self {
        Self(Arc::new(Disk { place: Place::new(path), room: Room::new(most) }))
    }
}

#[async_trait]
impl Keeper for LocalFolder {
    async fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let (disk, path) = (self.0.clone(), path.clone());
        beside(move |_| {
            let (file, found) = disk.place.file(&path)?;
            if found.size > MAX_READ_BYTES as u64 {
                return Err(too_large_to_read());
            }
            // It may grow while it is read.
            let mut bytes = Vec::new();
            let most = MAX_READ_BYTES as u64 + 1;
            std::io::Read::read_to_end(&mut std::io::Read::take(file, most), &mut bytes).map_err(place::lost)?;
            if bytes.len() > MAX_READ_BYTES { Err(too_large_to_read()) } else { Ok(bytes) }
        })
        .await
    }

    async fn open(&self, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error> {
        let (disk, path) = (self.0.clone(), path.clone());
        let file = beside(move |_| Ok(disk.place.file(&path)?.0)).await?;
        Ok(Box::new(Bytes { file: Arc::new(file), offset }))
    }

    async fn write(&self, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        let (disk, path, bytes, when) = (self.0.clone(), path.clone(), bytes.to_vec(), when.clone());
        beside(move |given_up| {
            let mut part = Part::begin(&disk, given_up)?;
            part.append(&bytes, given_up)?;
            part.publish(&path, &when, given_up)
        })
        .await
    }

    async fn create(&self, path: &Path, when: &Condition) -> Result<Box<dyn Pieces>, Error> {
        let (disk, path, when) = (self.0.clone(), path.clone(), when.clone());
        beside(move |given_up| {
            let part = Part::begin(&disk, given_up)?;
            // Told at once if it can't come to anything; what counts is asked at the end.
            commit::check(&disk.place.root()?, &path, &when)?;
            Ok(Box::new(Growing { part: Some(part), path, when }) as Box<dyn Pieces>)
        })
        .await
    }

    async fn list(&self, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        let (disk, path, after) = (self.0.clone(), path.clone(), after.map(str::to_owned));
        beside(move |given_up| listing::page(&disk.place.folder(&path)?, &path, after.as_deref(), given_up)).await
    }

    async fn stat(&self, path: &Path) -> Result<Entry, Error> {
        let (disk, path) = (self.0.clone(), path.clone());
        beside(move |_| {
            let found = disk.place.find(&path)?.ok_or_else(|| not_found(&path))?;
            Ok(found.entry(&path))
        })
        .await
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        let (disk, path) = (self.0.clone(), path.clone());
        beside(move |_| {
            let freed = commit::remove(&disk.place, &path)?;
            disk.room.freed(freed);
            Ok(())
        })
        .await
    }

    async fn probe(&self) -> Result<(), Error> {
        let disk = self.0.clone();
        beside(move |_| disk.place.root()?.entries().map(drop).map_err(place::lost)).await
    }
}

/// A file being read. Where it is read is said each time, so that a piece given up leaves nothing behind.
struct Bytes {
    file: Arc<std::fs::File>,
    offset: u64,
}

#[async_trait]
impl Reader for Bytes {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        let (file, offset) = (self.file.clone(), self.offset);
        let bytes = beside(move |_| {
            let mut bytes = vec![0; max.max(1)];
            // An offset beyond what the system takes is beyond the end of every file.
            let read = if i64::try_from(offset).is_ok() { file.read_at(&mut bytes, offset) } else { Ok(0) };
            bytes.truncate(read.map_err(place::lost)?);
            Ok(bytes)
        })
        .await?;
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

/// A file that grows piece by piece.
struct Growing {
    part: Option<Part>,
    path: Path,
    when: Condition,
}

impl Growing {
    /// Works on the part beside the async threads; given up in the middle, it is gone.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(Part, &Path, &Condition, &beside::GivenUp) -> Result<(Option<Part>, T), Error> + Send + 'static,
    ) -> Result<T, Error> {
        let part = self.part.take().ok_or_else(|| against_rule("the file was given up"))?;
        let (path, when) = (self.path.clone(), self.when.clone());
        let (part, result) = beside(move |given_up| work(part, &path, &when, given_up)).await?;
        self.part = part;
        Ok(result)
    }
}

#[async_trait]
impl Pieces for Growing {
    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let bytes = bytes.to_vec();
        self.with(move |mut part, _, _, given_up| {
            part.append(&bytes, given_up)?;
            Ok((Some(part), ()))
        })
        .await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.with(|part, path, when, given_up| Ok((None, part.publish(path, when, given_up).map(drop)?))).await
    }
}

/// What a path names, by its place on the disk.
impl Found {
    fn entry(&self, path: &Path) -> Entry {
        Entry {
            path: path.to_string(),
            kind: self.kind,
            size: if self.kind == Kind::File { self.size } else { 0 },
            modified: self.modified(),
            etag: (self.kind == Kind::File).then(|| self.etag()),
        }
    }
}
