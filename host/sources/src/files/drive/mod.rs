//! Keeper: a folder of Google Drive, through its REST API, version 3.
//!
//! Drive knows ids and no paths, and lets two files have one name: a path is resolved part by part, by exact
//! names, and one that several files have is refused rather than guessed. Drive has no conditions either:
//! they are asked right before the write, and held among the writes of this host alone. What is deleted goes
//! to Drive's bin. Deliberately absent: shortcuts, which are links; the bytes of Google's own documents, which
//! have none; and names that no path can have.

mod api;
mod item;
mod resumable;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use remit_domain::{
    data::{
        Error,
        files::{Condition, Entry, Kind, MAX_ENTRIES, MAX_READ_BYTES, Page, Path, Reader},
    },
    source::{self, Definition},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::{
    api::{Api, Body},
    item::{FIELDS, FOLDER, Item, Listed},
    resumable::Resumable,
};
use super::{Keeper, Pieces, against_rule, conflict, no_cursor, not_found, too_large_to_read};
use crate::{Settings, guard::Guard};

/// How many files one answer of Drive holds at most.
const ANSWER: &str = "1000";

/// A folder of Drive.
#[derive(Clone)]
pub(crate) struct Drive(Arc<Inner>);

struct Inner {
    api: Api,
    folder_id: String,
    /// Held while a condition is asked and the write it is for is made.
    writing: Mutex<()>,
}

/// What a write replaces, or where it makes a new file.
enum Target {
    Replace(String),
    New { folder: String, name: String },
}

impl Drive {
    /// Errors: `invalid` for a definition that cannot work; `denied` for an address that the guard refuses.
    pub(crate) fn new(
        definition: &Definition,
        drive: &source::Drive,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let api = Api::new(definition, drive, guard, settings)?;
        Ok(Self(Arc::new(Inner { api, folder_id: drive.folder_id.clone(), writing: Mutex::default() })))
    }

    /// What has a name in a folder: exactly that name, where Drive compares without case.
    async fn named(&self, folder: &str, name: &str) -> Result<Vec<Item>, Error> {
        let query = format!("'{}' in parents and name = '{}' and trashed = false", quoted(folder), quoted(name));
        let listed: Listed = self.0.api.json(self.0.api.files(&query, None)?, true).await?;
        Ok(listed.files.into_iter().filter(|item| item.name == name && item.shown()).collect())
    }

    /// The id of a folder. Errors: `not-found`; `rejected` (`rule`) if several have its name.
    async fn folder(&self, path: &Path) -> Result<String, Error> {
        let mut id = self.0.folder_id.clone();
        for part in path.parts() {
            let mut folders = self.named(&id, part).await?;
            folders.retain(|item| item.kind() == Kind::Folder);
            id = only(path, folders)?.ok_or_else(|| not_found(path))?.id;
        }
        Ok(id)
    }

    async fn find(&self, path: &Path) -> Result<Option<Item>, Error> {
        let Some((above, name)) = path.split() else {
            return self.0.api.json(self.0.api.file(&self.0.folder_id)?, true).await.map(Some);
        };
        match self.folder(&above).await {
            Ok(folder) => only(path, self.named(&folder, name).await?),
            Err(Error::NotFound(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn file(&self, path: &Path) -> Result<Item, Error> {
        let item = self.find(path).await?.ok_or_else(|| not_found(path))?;
        match item.kind() {
            Kind::Folder => Err(against_rule(format!("`{path}` is a folder"))),
            Kind::File if item.is_document() => {
                Err(against_rule(format!("`{path}` is a document of Google's and has no bytes")))
            }
            Kind::File => Ok(item),
        }
    }

    /// Where a write goes, if its condition is met now. Makes the folders above a new file.
    async fn target(&self, path: &Path, when: &Condition) -> Result<Target, Error> {
        let there = self.find(path).await?;
        if there.as_ref().is_some_and(|item| item.kind() == Kind::Folder) {
            return Err(against_rule(format!("`{path}` is a folder")));
        }
        let target = match (there, when) {
            (Some(item), Condition::Unchanged(etag)) if item.etag().as_ref() == Some(etag) => Target::Replace(item.id),
            (Some(item), Condition::Always) if item.is_document() => {
                return Err(against_rule(format!("`{}` is a document of Google's and can't be replaced", item.name)));
            }
            (Some(item), Condition::Always) => Target::Replace(item.id),
            (None, Condition::Always | Condition::Absent) => {
                let (above, name) = path.split().ok_or_else(|| against_rule("the folder itself is no file"))?;
                Target::New { folder: self.make_folders(&above).await?, name: name.to_owned() }
            }
            _ => return Err(conflict(path)),
        };
        Ok(target)
    }

    async fn make_folders(&self, path: &Path) -> Result<String, Error> {
        let mut id = self.0.folder_id.clone();
        for part in path.parts() {
            let found = self.named(&id, part).await?;
            let made = match only(path, found)? {
                Some(item) if item.kind() == Kind::Folder => item,
                Some(_) => return Err(against_rule(format!("a part of `{path}` is no folder"))),
                None => {
                    let body = Body::Json(json!({"name": part, "mimeType": FOLDER, "parents": [id]}));
                    let url = self.0.api.url("drive/v3/files", &[("fields", FIELDS)])?;
                    self.0.api.answer(Method::POST, url, &body, false).await?
                }
            };
            id = made.id;
        }
        Ok(id)
    }

    /// Writes a file in one request. Errors as the port's.
    async fn put(&self, path: &Path, bytes: Vec<u8>, when: &Condition) -> Result<Entry, Error> {
        let _writing = self.0.writing.lock().await;
        let item: Item = match self.target(path, when).await? {
            Target::Replace(id) => {
                let url = self
                    .0
                    .api
                    .url(&format!("upload/drive/v3/files/{id}"), &[("uploadType", "media"), ("fields", FIELDS)])?;
                self.0.api.answer(Method::PATCH, url, &Body::Bytes(bytes), false).await?
            }
            Target::New { folder, name } => {
                let url =
                    self.0.api.url("upload/drive/v3/files", &[("uploadType", "multipart"), ("fields", FIELDS)])?;
                let metadata = json!({"name": name, "parents": [folder], "mimeType": item::BYTES});
                let item = self.0.api.answer(Method::POST, url, &multipart(&metadata, &bytes), false).await?;
                self.alone(path, &folder, item).await?
            }
        };
        Ok(item.entry(path))
    }

    /// A new file, if it is the only one of its name: somebody may have made another meanwhile, and then
    /// this one goes. Errors: `rejected` (`conflict`).
    async fn alone(&self, path: &Path, folder: &str, item: Item) -> Result<Item, Error> {
        let named = self.named(folder, &item.name).await.map_err(|_| Error::Uncertain(in_doubt()))?;
        if named.iter().any(|other| other.id != item.id) {
            self.bin(&item.id).await?;
            return Err(conflict(path));
        }
        Ok(item)
    }

    async fn bin(&self, id: &str) -> Result<(), Error> {
        let url = self.0.api.url(&format!("drive/v3/files/{id}"), &[("fields", "id")])?;
        let body = Body::Json(json!({"trashed": true}));
        self.0.api.answer::<Value>(Method::PATCH, url, &body, false).await.map(drop)
    }
}

#[async_trait]
impl Keeper for Drive {
    async fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let item = self.file(path).await?;
        if item.size() > MAX_READ_BYTES as u64 {
            return Err(too_large_to_read());
        }
        let answer = self.0.api.content(&item.id, 0).await?;
        api::all(answer, MAX_READ_BYTES).await?.ok_or_else(too_large_to_read)
    }

    async fn open(&self, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error> {
        let item = self.file(path).await?;
        if offset >= item.size() {
            return Ok(Box::new(Content { answer: None, rest: Vec::new(), skip: 0 }));
        }
        let answer = self.0.api.content(&item.id, offset).await?;
        // A server that knows no ranges begins at the beginning.
        let skip = if answer.status() == StatusCode::PARTIAL_CONTENT { 0 } else { offset };
        Ok(Box::new(Content { answer: Some(answer), rest: Vec::new(), skip }))
    }

    async fn write(&self, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        self.put(path, bytes.to_vec(), when).await
    }

    async fn create(&self, path: &Path, when: &Condition) -> Result<Box<dyn Pieces>, Error> {
        Ok(Box::new(Resumable::new(self.clone(), path.clone(), when.clone())))
    }

    /// Drive's own order depends on language, so that all of a folder is gone through for each page.
    async fn list(&self, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        if let Some(after) = after {
            path.join(after.strip_suffix('/').unwrap_or(after)).map_err(|_| no_cursor())?;
        }
        let query = format!("'{}' in parents and trashed = false", quoted(&self.folder(path).await?));
        let (mut found, mut more, mut page): (BTreeMap<String, Item>, _, Option<String>) =
            (BTreeMap::new(), false, None);
        loop {
            let listed: Listed = self.0.api.json(self.0.api.files(&query, page.as_deref())?, true).await?;
            for item in listed.files.into_iter().filter(|item| item.shown() && path.join(&item.name).is_ok()) {
                let key = item.order();
                if after.is_none_or(|after| key.as_str() > after) {
                    found.insert(key, item);
                }
                if found.len() > MAX_ENTRIES {
                    found.pop_last();
                    more = true;
                }
            }
            match listed.next_page_token {
                Some(next) => page = Some(next),
                None => break,
            }
        }
        let next = found.last_key_value().map(|(key, _)| key.clone()).filter(|_| more);
        let entries = found.into_values().map(|item| Ok(item.entry(&path.join(&item.name)?)));
        Ok(Page { entries: entries.collect::<Result<_, Error>>()?, next })
    }

    async fn stat(&self, path: &Path) -> Result<Entry, Error> {
        Ok(self.find(path).await?.ok_or_else(|| not_found(path))?.entry(path))
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        let _writing = self.0.writing.lock().await;
        let item = self.find(path).await?.ok_or_else(|| not_found(path))?;
        if item.kind() == Kind::Folder {
            let query = format!("'{}' in parents and trashed = false", quoted(&item.id));
            let inside: Listed = self.0.api.json(self.0.api.files(&query, None)?, true).await?;
            if !inside.files.is_empty() {
                return Err(against_rule(format!("`{path}` is not empty")));
            }
        }
        self.bin(&item.id).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.0.api.json::<Item>(self.0.api.file(&self.0.folder_id)?, true).await.map(drop)
    }
}

/// A file being read.
struct Content {
    answer: Option<reqwest::Response>,
    rest: Vec<u8>,
    /// What is passed over first.
    skip: u64,
}

#[async_trait]
impl Reader for Content {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        while self.rest.is_empty() {
            let Some(answer) = &mut self.answer else { return Ok(None) };
            match answer.chunk().await {
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => {
                    let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
                    self.skip = self.skip.saturating_sub(skip as u64);
                    self.rest = piece.get(skip..).unwrap_or_default().to_vec();
                }
                Err(error) => return Err(api::lost(&error, true)),
            }
        }
        let later = self.rest.split_off(max.clamp(1, self.rest.len()));
        Ok(Some(std::mem::replace(&mut self.rest, later)))
    }
}

/// The one that has a name. Errors: `rejected` (`rule`) if several have it.
fn only(path: &Path, mut items: Vec<Item>) -> Result<Option<Item>, Error> {
    match (items.pop(), items.is_empty()) {
        (item, true) => Ok(item),
        _ => Err(against_rule(format!("several files or folders are called as a part of `{path}`"))),
    }
}

/// A text within a query's quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn in_doubt() -> String {
    "Drive did not confirm the change".to_owned()
}

fn multipart(metadata: &Value, bytes: &[u8]) -> Body {
    let boundary = Uuid::new_v4().simple().to_string();
    let mut body = format!(
        "--{boundary}\r\n{}: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n--{boundary}\r\n{}: {}\r\n\r\n",
        header::CONTENT_TYPE,
        header::CONTENT_TYPE,
        item::BYTES
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Body::Multipart { boundary, body }
}
