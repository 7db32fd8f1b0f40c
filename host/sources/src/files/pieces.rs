//! Files in pieces: what holds for every keeper's readers and writers.

use std::time::Duration;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        files::{self, MAX_CHUNK_BYTES, MAX_FILE_BYTES, Path},
    },
    grant,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{Pieces, in_doubt, scope, too_late};
use crate::observe::counted;

/// A file being read. Each piece has its time.
pub(super) struct Reading {
    body: Box<dyn files::Reader>,
    timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    pub(super) fn new(body: Box<dyn files::Reader>, timeout: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { body, timeout, _place: place }
    }
}

#[async_trait]
impl files::Reader for Reading {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        tokio::time::timeout(self.timeout, self.body.read(max)).await.unwrap_or_else(|_| Err(too_late()))
    }
}

/// A file being written.
pub(super) struct Writing {
    path: Path,
    /// None once it has ended or failed.
    pieces: Option<Box<dyn Pieces>>,
    written: u64,
    timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl Writing {
    pub(super) fn new(path: Path, pieces: Box<dyn Pieces>, timeout: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { path, pieces: Some(pieces), written: 0, timeout, _place: place }
    }
}

fn ended() -> Error {
    Error::Invalid("the writer has ended".to_owned())
}

#[async_trait]
impl files::Writer for Writing {
    /// What fails ends the writer: a file with a gap must never be finished.
    async fn write(&mut self, access: grant::Writing<'_>, bytes: &[u8]) -> Result<(), Error> {
        scope::covered(access.scope(), &self.path)?;
        if bytes.len() > MAX_CHUNK_BYTES {
            return Err(Error::Limit { name: "max-chunk-bytes", allowed: MAX_CHUNK_BYTES as u64 });
        }
        let mut pieces = self.pieces.take().ok_or_else(ended)?;
        let written = self.written.saturating_add(bytes.len() as u64);
        if written > MAX_FILE_BYTES {
            return Err(Error::Limit { name: "max-file-bytes", allowed: MAX_FILE_BYTES });
        }
        tokio::time::timeout(self.timeout, pieces.append(bytes)).await.unwrap_or_else(|_| Err(too_late()))?;
        (self.pieces, self.written) = (Some(pieces), written);
        Ok(())
    }

    async fn finish(&mut self, access: grant::Writing<'_>) -> Result<u64, Error> {
        scope::covered(access.scope(), &self.path)?;
        let mut pieces = self.pieces.take().ok_or_else(ended)?;
        let finished = tokio::time::timeout(self.timeout, pieces.finish());
        counted("files", "finish", async { finished.await.unwrap_or_else(|_| Err(in_doubt())) }).await?;
        Ok(self.written)
    }
}
