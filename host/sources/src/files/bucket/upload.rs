//! An object that is written in pieces: small, in one request; else in parts, of which nothing is seen
//! before the end.

use async_trait::async_trait;
use object_store::{
    MultipartId,
    multipart::{MultipartStore as _, PartId},
    path::Path as Key,
};
use remit_domain::data::{
    Error,
    files::{Condition, Path},
};

use super::{super::Pieces, Bucket, unread, unwritten};

/// How large a part is, and what is kept in memory until there is one. S3 wants 5 MiB at least.
const PART_BYTES: usize = 8 << 20;

pub(super) struct Upload {
    bucket: Bucket,
    key: Key,
    path: Path,
    when: Condition,
    buffer: Vec<u8>,
    begun: Option<(MultipartId, Vec<PartId>)>,
}

impl Upload {
    /// The bucket's client is one that knows the condition.
    pub(super) fn new(bucket: Bucket, key: Key, path: Path, when: Condition) -> Self {
        Self { bucket, key, path, when, buffer: Vec::new(), begun: None }
    }

    async fn send_part(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        if self.begun.is_none() {
            let id = self.bucket.store.create_multipart(&self.key).await.map_err(unread)?;
            self.begun = Some((id, Vec::new()));
        }
        if let Some((id, parts)) = &mut self.begun {
            let sent = self.bucket.store.put_part(&self.key, id, parts.len(), bytes.into()).await;
            parts.push(sent.map_err(unread)?);
        }
        Ok(())
    }
}

#[async_trait]
impl Pieces for Upload {
    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < PART_BYTES {
            return Ok(());
        }
        let rest = self.buffer.split_off(PART_BYTES);
        let part = std::mem::replace(&mut self.buffer, rest);
        self.send_part(part).await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let last = std::mem::take(&mut self.buffer);
        if self.begun.is_none() {
            return self.bucket.put(&self.path, last, &self.when).await.map(drop);
        }
        if !last.is_empty() {
            self.send_part(last).await?;
        }
        self.bucket.look_first(&self.path, &self.when).await?;
        let Some((id, parts)) = &self.begun else { return Ok(()) };
        let ended = self.bucket.store.complete_multipart(&self.key, id, parts.clone()).await;
        ended.map_err(|error| unwritten(&self.path, error))?;
        self.begun = None;
        Ok(())
    }
}

/// What was sent of an upload that came to no end is given up, so that nobody pays for it.
impl Drop for Upload {
    fn drop(&mut self) {
        let Some((id, _)) = self.begun.take() else { return };
        let (store, key) = (self.bucket.store.clone(), self.key.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.abort_multipart(&key, &id).await {
                    tracing::warn!(cause = super::chain(&error), "an upload that was given up could not be removed");
                }
            });
        }
    }
}
