//! Connectors: folders of files, on the host's own disk, in a bucket of S3, in Google Drive.
//!
//! What holds for all three is here, once: the scope of a mapping, the limits of the contract, the time an
//! operation may take, and how many of them a source has under way. A [`Keeper`] is left with its files.
//! Deliberately absent: links, which nobody follows, and what is in a file.

mod bucket;
mod drive;
mod local;
mod pieces;
mod scope;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error, Refusal, Rejection, Wait,
        files::{
            Condition, Entry, Folder, Kind, MAX_ENTRIES, MAX_READ_BYTES, MAX_WRITE_BYTES, Page, Path, Reader, Writer,
        },
    },
    grant::{Reading, Writing},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::{bucket::Bucket, drive::Drive, local::LocalFolder};
use crate::{Settings, observe::counted};

/// How many readers and writers one source has open at once. Each may hold some megabytes.
const STREAMS: usize = 16;
/// The longest cursor that any keeper gives, in bytes.
const MAX_CURSOR_BYTES: usize = 4 << 10;

/// Who keeps the files of a folder. Paths are safe and limits are kept when it is asked.
#[async_trait]
pub(crate) trait Keeper: Send + Sync + 'static {
    /// At most [`MAX_READ_BYTES`]; beyond is `limit`.
    async fn read(&self, path: &Path) -> Result<Vec<u8>, Error>;
    async fn open(&self, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error>;
    async fn write(&self, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error>;
    async fn create(&self, path: &Path, when: &Condition) -> Result<Box<dyn Pieces>, Error>;
    async fn list(&self, path: &Path, after: Option<&str>) -> Result<Page, Error>;
    async fn stat(&self, path: &Path) -> Result<Entry, Error>;
    async fn delete(&self, path: &Path) -> Result<(), Error>;
    /// Asks whether the files can be reached.
    async fn probe(&self) -> Result<(), Error>;
}

/// A file that a keeper takes in pieces. Nothing is kept before `finish`; dropped, it is discarded.
#[async_trait]
pub(crate) trait Pieces: Send {
    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error>;
    async fn finish(&mut self) -> Result<(), Error>;
}

/// The folder that a keeper's files make up.
pub(crate) struct Kept {
    keeper: Box<dyn Keeper>,
    operations: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    wait: Duration,
    timeout: Duration,
}

impl Kept {
    pub(crate) fn new(keeper: impl Keeper, settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            keeper: Box::new(keeper),
            operations: Arc::new(Semaphore::new(settings.connections_per_source.max(1))),
            streams: Arc::new(Semaphore::new(STREAMS)),
            wait: settings.acquire_timeout,
            timeout: settings.statement_timeout,
        })
    }

    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.keeper.probe().await
    }

    /// Runs an operation in its turn and its time. Errors: `throttled`; `late` if it takes too long.
    async fn run<T>(
        &self,
        name: &'static str,
        late: impl FnOnce() -> Error,
        operation: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        counted("files", name, async {
            let _turn = self.turn(&self.operations, "operations").await?;
            tokio::time::timeout(self.timeout, operation).await.unwrap_or_else(|_| Err(late()))
        })
        .await
    }

    async fn turn(&self, places: &Arc<Semaphore>, what: &str) -> Result<OwnedSemaphorePermit, Error> {
        match tokio::time::timeout(self.wait, places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::Throttled(Wait {
                message: format!("this source has as many {what} under way as it may"),
                retry_after_ms: Some(1_000),
            })),
        }
    }

    /// A folder that is not covered, seen through what leads on to covered paths.
    async fn ways_on(&self, access: &Reading<'_>, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        let mut entries = Vec::new();
        for name in access.scope().ways_on(path.as_str()) {
            match self.keeper.stat(&path.join(name)?).await {
                Ok(entry) => entries.push(entry),
                Err(Error::NotFound(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        entries.sort_by_key(order);
        entries.retain(|entry| after.is_none_or(|after| order(entry).as_str() > after));
        let more = entries.len() > MAX_ENTRIES;
        entries.truncate(MAX_ENTRIES);
        let next = entries.last().filter(|_| more).map(order);
        Ok(Page { entries, next })
    }
}

#[async_trait]
impl Folder for Kept {
    async fn read(&self, access: Reading<'_>, path: &Path) -> Result<Vec<u8>, Error> {
        scope::covered(access.scope(), path)?;
        self.run("read", too_late, self.keeper.read(path)).await
    }

    async fn open(&self, access: Reading<'_>, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error> {
        scope::covered(access.scope(), path)?;
        let place = self.turn(&self.streams, "readers and writers").await?;
        let body = self.run("open", too_late, self.keeper.open(path, offset)).await?;
        Ok(Box::new(pieces::Reading::new(body, self.timeout, place)))
    }

    async fn write(&self, access: Writing<'_>, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        scope::covered(access.scope(), path)?;
        if bytes.len() > MAX_WRITE_BYTES {
            return Err(Error::Limit { name: "max-request-bytes", allowed: MAX_WRITE_BYTES as u64 });
        }
        self.run("write", in_doubt, self.keeper.write(path, bytes, when)).await
    }

    async fn create(&self, access: Writing<'_>, path: &Path, when: &Condition) -> Result<Box<dyn Writer>, Error> {
        scope::covered(access.scope(), path)?;
        let place = self.turn(&self.streams, "readers and writers").await?;
        let pieces = self.run("create", too_late, self.keeper.create(path, when)).await?;
        Ok(Box::new(pieces::Writing::new(path.clone(), pieces, self.timeout, place)))
    }

    async fn list(&self, access: Reading<'_>, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        if after.is_some_and(|after| after.len() > MAX_CURSOR_BYTES || after.chars().any(char::is_control)) {
            return Err(no_cursor());
        }
        match scope::seen(access.scope(), path)? {
            scope::Seen::Whole => self.run("list", too_late, self.keeper.list(path, after)).await,
            scope::Seen::WaysOn => self.run("list", too_late, self.ways_on(&access, path, after)).await,
        }
    }

    async fn stat(&self, access: Reading<'_>, path: &Path) -> Result<Entry, Error> {
        let seen = scope::seen(access.scope(), path)?;
        let entry = self.run("stat", too_late, self.keeper.stat(path)).await?;
        match seen {
            // Of a file in a folder's place the mapping says nothing.
            scope::Seen::WaysOn if entry.kind == Kind::File => Err(scope::outside()),
            _ => Ok(entry),
        }
    }

    async fn delete(&self, access: Writing<'_>, path: &Path) -> Result<(), Error> {
        scope::covered(access.scope(), path)?;
        self.run("delete", in_doubt, self.keeper.delete(path)).await
    }
}

/// What entries are ordered by, and a cursor of those that keep no other: the path, a folder's with a slash.
fn order(entry: &Entry) -> String {
    match entry.kind {
        Kind::File => entry.path.clone(),
        Kind::Folder => format!("{}/", entry.path),
    }
}

fn not_found(path: &Path) -> Error {
    Error::NotFound(format!("there is no file or folder `{path}`"))
}

fn conflict(path: &Path) -> Error {
    let message = format!("`{path}` is not as the condition wants it");
    Error::Rejected(Rejection { reason: Refusal::Conflict, code: None, message })
}

fn against_rule(message: impl Into<String>) -> Error {
    Error::Rejected(Rejection { reason: Refusal::Rule, code: None, message: message.into() })
}

fn no_cursor() -> Error {
    Error::Invalid("the cursor is none that a listing gave".to_owned())
}

fn too_large_to_read() -> Error {
    Error::Limit { name: "max-read-bytes", allowed: MAX_READ_BYTES as u64 }
}

fn too_late() -> Error {
    Error::unavailable("the files did not answer in time")
}

fn in_doubt() -> Error {
    Error::Uncertain("no answer came in time; the change may have been made".to_owned())
}
