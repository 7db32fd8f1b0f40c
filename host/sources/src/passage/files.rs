//! Folders of files on their way. A path is what is done and no value: the digest covers it.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        files::{self, Condition, Entry, Page, Path, Reader, Writer},
    },
    grant::{Reading, Writing},
    operation::{Digest, Extent, Recorder, UnderWay},
};

use super::{Came, Passage, end, head, http_api::Body, rows};
use crate::observe::There;

/// A folder whose operations go the way.
pub(super) struct Folder {
    passage: Arc<Passage>,
    folder: Arc<dyn files::Folder>,
}

impl Folder {
    pub(super) fn new(passage: Arc<Passage>, folder: Arc<dyn files::Folder>) -> Self {
        Self { passage, folder }
    }

    /// Begins what goes on after its first answer, in pieces.
    fn begin(
        &self,
        recorder: &Recorder,
        name: &'static str,
        path: &Path,
    ) -> Result<(UnderWay, crate::breaker::Leave<'_>), Error> {
        let under_way = recorder.begin(name, Some(digest(path)))?;
        match self.passage.breaker.ask() {
            Ok(leave) => Ok((under_way, leave)),
            Err(refused) => {
                under_way.end(refused.case(), Extent::default());
                Err(refused)
            }
        }
    }
}

#[async_trait]
impl files::Folder for Folder {
    async fn read(&self, access: Reading<'_>, path: &Path) -> Result<Vec<u8>, Error> {
        let recorder = access.recorder();
        let run = async { self.folder.read(access, path).await.map(Bytes) };
        self.passage.run(&recorder, "read", Some(digest(path)), run).await.map(|Bytes(bytes)| bytes)
    }

    async fn open(&self, access: Reading<'_>, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error> {
        let (under_way, leave) = self.begin(&access.recorder(), "open", path)?;
        let there = There::operation(self.passage.family);
        let result = self.folder.open(access, path, offset).await.map(Opened);
        end(leave, &result);
        match result {
            Ok(Opened(body)) => Ok(Box::new(Body::new(body, under_way, "ok", there))),
            Err(error) => {
                under_way.end(error.case(), Extent::default());
                Err(error)
            }
        }
    }

    async fn write(&self, access: Writing<'_>, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        let recorder = access.recorder();
        self.passage.write(&recorder, "write", digest(path), self.folder.write(access, path, bytes, when)).await
    }

    async fn create(&self, access: Writing<'_>, path: &Path, when: &Condition) -> Result<Box<dyn Writer>, Error> {
        let (under_way, leave) = self.begin(&access.recorder(), "create", path)?;
        let there = There::operation(self.passage.family);
        let result = self.folder.create(access, path, when).await.map(Created);
        end(leave, &result);
        match result {
            Ok(Created(writer)) => Ok(Box::new(Pieces { writer, under_way: Some(under_way), bytes: 0, _there: there })),
            Err(error) => {
                under_way.end(error.case(), Extent::default());
                Err(error)
            }
        }
    }

    async fn list(&self, access: Reading<'_>, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        let recorder = access.recorder();
        self.passage.run(&recorder, "list", Some(digest(path)), self.folder.list(access, path, after)).await
    }

    async fn stat(&self, access: Reading<'_>, path: &Path) -> Result<Entry, Error> {
        let recorder = access.recorder();
        let run = async { self.folder.stat(access, path).await.map(Told) };
        self.passage.run(&recorder, "stat", Some(digest(path)), run).await.map(|Told(entry)| entry)
    }

    async fn delete(&self, access: Writing<'_>, path: &Path) -> Result<(), Error> {
        let recorder = access.recorder();
        self.passage.write(&recorder, "delete", digest(path), self.folder.delete(access, path)).await
    }
}

fn digest(path: &Path) -> Digest {
    Digest::of(&[head(path.as_str())])
}

/// A file being written: recorded with its bytes when it is finished, fails, or is let go.
struct Pieces {
    writer: Box<dyn Writer>,
    under_way: Option<UnderWay>,
    bytes: u64,
    _there: There,
}

impl Pieces {
    fn end(&mut self, outcome: &'static str) {
        if let Some(under_way) = self.under_way.take() {
            under_way.end(outcome, Extent { rows: 0, bytes: self.bytes, cached: false });
        }
    }
}

#[async_trait]
impl Writer for Pieces {
    async fn write(&mut self, access: Writing<'_>, bytes: &[u8]) -> Result<(), Error> {
        let written = self.writer.write(access, bytes).await;
        match &written {
            Ok(()) => self.bytes = self.bytes.saturating_add(rows(bytes.len())),
            Err(error) => self.end(error.case()),
        }
        written
    }

    async fn finish(&mut self, access: Writing<'_>) -> Result<u64, Error> {
        let finished = self.writer.finish(access).await;
        self.end(finished.as_ref().map_or_else(Error::case, |_| "ok"));
        finished
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        // Nothing of it was kept.
        self.end("cancelled");
    }
}

/// What a file holds.
struct Bytes(Vec<u8>);
/// What a path names; nothing of it came.
struct Told(Entry);
struct Opened(Box<dyn Reader>);
struct Created(Box<dyn Writer>);

impl Came for Bytes {
    fn extent(&self) -> Extent {
        Extent { rows: 0, bytes: rows(self.0.len()), cached: false }
    }
}

impl Came for Told {}
impl Came for Opened {}
impl Came for Created {}

impl Came for Entry {
    fn extent(&self) -> Extent {
        Extent { rows: 1, bytes: self.size, cached: false }
    }
}

impl Came for Page {
    fn extent(&self) -> Extent {
        Extent { rows: rows(self.entries.len()), bytes: 0, cached: false }
    }
}
