//! A file of Drive that is written in pieces: small, in one request; else by an upload that Drive shows to
//! nobody before its last part. Folders above a new file are made when the first part is sent, and stay.

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode, header};
use remit_domain::data::{
    Error,
    files::{Condition, Path},
};
use serde_json::json;
use url::Url;

use super::{
    super::Pieces,
    Drive, Target,
    api::{self, Body},
    in_doubt,
    item::{BYTES, FIELDS, Item},
};

/// How large a part is: a multiple of 256 KiB, as Drive wants it.
const PART_BYTES: usize = 8 << 20;

pub(super) struct Resumable {
    drive: Drive,
    path: Path,
    when: Condition,
    buffer: Vec<u8>,
    sent: u64,
    session: Option<Session>,
}

struct Session {
    url: Url,
    target: Target,
}

impl Resumable {
    pub(super) fn new(drive: Drive, path: Path, when: Condition) -> Self {
        Self { drive, path, when, buffer: Vec::new(), sent: 0, session: None }
    }

    async fn begin(&self) -> Result<Session, Error> {
        let api = &self.drive.0.api;
        let _writing = self.drive.0.writing.lock().await;
        let target = self.drive.target(&self.path, &self.when).await?;
        let query = [("uploadType", "resumable"), ("fields", FIELDS)];
        let (method, url, metadata) = match &target {
            Target::Replace(id) => {
                (Method::PATCH, api.url(&format!("upload/drive/v3/files/{id}"), &query)?, json!({"mimeType": BYTES}))
            }
            Target::New { folder, name } => {
                let metadata = json!({"name": name, "parents": [folder], "mimeType": BYTES});
                (Method::POST, api.url("upload/drive/v3/files", &query)?, metadata)
            }
        };
        let answer = api.send(method, &url, &HeaderMap::new(), &Body::Json(metadata), true).await?;
        if !answer.status().is_success() {
            return Err(api::refused(answer, true).await);
        }
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let url = location.and_then(|location| api.own(location));
        let url = url.ok_or_else(|| Error::unavailable("Drive gave no address for the upload"))?;
        Ok(Session { url, target })
    }

    async fn send_part(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        if self.session.is_none() {
            self.session = Some(self.begin().await?);
        }
        let Some(session) = &self.session else { return Ok(()) };
        let end = self.sent.saturating_add(bytes.len() as u64);
        let range = format!("bytes {}-{}/*", self.sent, end.saturating_sub(1));
        let body = Body::Part { range, bytes };
        let answer = self.drive.0.api.send(Method::PUT, &session.url, &HeaderMap::new(), &body, true).await?;
        if answer.status() != StatusCode::PERMANENT_REDIRECT {
            return Err(api::refused(answer, true).await);
        }
        let kept = answer.headers().get(header::RANGE).and_then(|value| value.to_str().ok()?.rsplit('-').next());
        if kept.and_then(|last| last.parse::<u64>().ok()) != Some(end.saturating_sub(1)) {
            return Err(Error::unavailable("Drive did not take a part of the file"));
        }
        self.sent = end;
        Ok(())
    }
}

#[async_trait]
impl Pieces for Resumable {
    async fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        // The last part is kept back, since the end of an upload is never empty.
        if self.buffer.len() <= PART_BYTES {
            return Ok(());
        }
        let rest = self.buffer.split_off(PART_BYTES);
        let part = std::mem::replace(&mut self.buffer, rest);
        self.send_part(part).await
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let last = std::mem::take(&mut self.buffer);
        let Some(session) = &self.session else { return self.drive.put(&self.path, last, &self.when).await.map(drop) };
        let _writing = self.drive.0.writing.lock().await;
        let now = self.drive.target(&self.path, &self.when).await?;
        let as_begun = match (&session.target, &now) {
            (Target::Replace(begun), Target::Replace(now)) => begun == now,
            (Target::New { .. }, Target::New { .. }) => true,
            _ => false,
        };
        if !as_begun {
            return Err(super::conflict(&self.path));
        }
        let total = self.sent.saturating_add(last.len() as u64);
        let range = format!("bytes {}-{}/{total}", self.sent, total.saturating_sub(1));
        let body = Body::Part { range, bytes: last };
        let api = &self.drive.0.api;
        let answer = api.send(Method::PUT, &session.url, &HeaderMap::new(), &body, false).await?;
        if !answer.status().is_success() {
            return Err(match api::refused(answer, false).await {
                Error::Throttled(_) => Error::Uncertain(in_doubt()),
                refused => refused,
            });
        }
        let item: Item = api::read(answer, false).await?;
        if let Some(Session { target: Target::New { folder, .. }, .. }) = self.session.take() {
            self.drive.alone(&self.path, &folder, item).await?;
        }
        Ok(())
    }
}

/// An upload that came to no end is given up.
impl Drop for Resumable {
    fn drop(&mut self) {
        let Some(Session { url, .. }) = self.session.take() else { return };
        let drive = self.drive.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = drive.0.api.send(Method::DELETE, &url, &HeaderMap::new(), &Body::None, true).await;
            });
        }
    }
}
