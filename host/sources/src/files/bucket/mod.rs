//! Keeper: a bucket of S3, or of a server that speaks as it does.
//!
//! A file is an object, and a folder is there as long as something is in it. Conditions are held by the
//! store: by Amazon's at the very moment of the write. Of others, some pass over them, so that their objects
//! are looked at once more right before. Deliberately absent: making buckets, versions, and objects whose
//! names no path can have, which are not shown.

mod guarded;
mod upload;

use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path as Key,
};
use remit_domain::{
    data::{
        Error,
        files::{Condition, Entry, Kind, MAX_ENTRIES, MAX_READ_BYTES, Page, Path, Reader},
    },
    source::{self, Definition},
};
use secrecy::ExposeSecret as _;
use url::Url;

use self::{guarded::Guarded, upload::Upload};
use super::{Keeper, Pieces, against_rule, conflict, no_cursor, not_found, order, too_large_to_read};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
};

/// How often a request that is harmless twice is sent again.
const RETRIES: usize = 2;
/// Sorts after whatever else a name can go on with.
const LAST: char = char::MAX;

/// A bucket, or what lies under one prefix of it.
pub(crate) struct Bucket {
    store: AmazonS3,
    builder: AmazonS3Builder,
    http: Guarded,
    /// Empty, or ends in a slash.
    prefix: String,
    /// Whether the store may pass over conditions.
    careless: bool,
}

impl Bucket {
    /// Prepares requests to a bucket; none is made. Errors: `invalid` for a definition that cannot work;
    /// `denied` for an address that the guard refuses.
    pub(crate) fn new(
        definition: &Definition,
        bucket: &source::Bucket,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let name = &definition.name;
        let missing = |which: &str| Error::Invalid(format!("the `{which}` credential of source `{name}` is missing"));
        let credentials = &bucket.credentials;
        let access_key = credentials.access_key.as_ref().ok_or_else(|| missing("_ACCESS_KEY"))?;
        let secret_key = credentials.secret_key.as_ref().ok_or_else(|| missing("_SECRET_KEY"))?;
        let timeouts =
            Timeouts { connect: settings.connect_timeout.min(settings.api_timeout / 4), read: settings.api_timeout };
        let client = guard.client(timeouts).map_err(|error| {
            tracing::error!(%error, "an HTTP client could not be set up");
            Error::unavailable("the HTTP client could not be set up")
        })?;
        let http = Guarded::new(client);
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: settings.api_timeout.min(Duration::from_secs(20)),
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&bucket.bucket)
            .with_region(&bucket.region)
            .with_access_key_id(access_key)
            .with_secret_access_key(secret_key.expose_secret())
            .with_disable_bulk_delete(true)
            .with_retry(retry);
        let endpoint = credentials.uri.as_ref().map(|uri| uri.expose_secret()).or(bucket.endpoint.as_deref());
        if let Some(endpoint) = endpoint {
            let wrong = || Error::Invalid(format!("the address of source `{name}` is not an http(s) URL"));
            let url = Url::parse(endpoint).map_err(|_| wrong())?;
            guard.check(&url).map_err(refusal)?;
            builder = builder.with_endpoint(url.as_str().trim_end_matches('/')).with_allow_http(url.scheme() == "http");
        }
        let prefix = match bucket.prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{}/", Path::inside(prefix)?),
        };
        let store = builder.clone().with_http_connector(http.clone()).build();
        let store = store.map_err(|_| Error::Invalid(format!("the bucket of source `{name}` can't be used")))?;
        Ok(Self { store, builder, http, prefix, careless: endpoint.is_some() })
    }

    fn key(&self, path: &Path) -> Result<Key, Error> {
        Key::parse(format!("{}{path}", self.prefix)).map_err(|_| Error::Invalid("the path has no key".to_owned()))
    }

    /// What the names in a folder begin with.
    fn inside(&self, path: &Path) -> String {
        if path.is_root() { self.prefix.clone() } else { format!("{}{path}/", self.prefix) }
    }

    async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, Error> {
        match self.store.head(&self.key(path)?).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(unread(error)),
        }
    }

    /// Whether anything lies in a folder: then it is one.
    async fn is_folder(&self, path: &Path) -> Result<bool, Error> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let found = self.store.list_paginated(Some(&self.inside(path)), options).await;
        let found = found.map_err(unread)?.result;
        Ok(!found.objects.is_empty() || !found.common_prefixes.is_empty())
    }

    /// Holds a condition for stores that may pass over it.
    async fn look_first(&self, path: &Path, when: &Condition) -> Result<(), Error> {
        if !self.careless || *when == Condition::Always {
            return Ok(());
        }
        let there = self.head(path).await?;
        let met = match when {
            Condition::Always => true,
            Condition::Absent => there.is_none(),
            Condition::Unchanged(etag) => there.and_then(|there| there.e_tag).as_ref() == Some(etag),
        };
        if met { Ok(()) } else { Err(conflict(path)) }
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>, when: &Condition) -> Result<Entry, Error> {
        self.look_first(path, when).await?;
        let mode = match when {
            Condition::Always => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Unchanged(etag) => {
                PutMode::Update(UpdateVersion { e_tag: Some(plain(path, etag)?), version: None })
            }
        };
        let size = bytes.len() as u64;
        let put = self.store.put_opts(&self.key(path)?, bytes.into(), PutOptions::from(mode)).await;
        let etag = put.map_err(|error| unwritten(path, error))?.e_tag;
        Ok(Entry { path: path.to_string(), kind: Kind::File, size, modified: None, etag })
    }
}

#[async_trait]
impl Keeper for Bucket {
    async fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let found = match self.store.get(&self.key(path)?).await {
            Err(object_store::Error::NotFound { .. }) => return Err(self.no_file(path).await),
            found => found.map_err(unread)?,
        };
        if found.meta.size > MAX_READ_BYTES as u64 {
            return Err(too_large_to_read());
        }
        let (mut stream, mut bytes) = (found.into_stream(), Vec::new());
        while let Some(more) = stream.next().await {
            bytes.extend_from_slice(&more.map_err(unread)?);
            if bytes.len() > MAX_READ_BYTES {
                return Err(too_large_to_read());
            }
        }
        Ok(bytes)
    }

    async fn open(&self, path: &Path, offset: u64) -> Result<Box<dyn Reader>, Error> {
        let Some(there) = self.head(path).await? else { return Err(self.no_file(path).await) };
        if offset >= there.size {
            return Ok(Box::new(Stream { body: futures::stream::empty().boxed(), rest: Vec::new() }));
        }
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let options = GetOptions { range, ..GetOptions::default() };
        let found = self.store.get_opts(&self.key(path)?, options).await.map_err(unread)?;
        Ok(Box::new(Stream { body: found.into_stream().map(|piece| piece.map(Vec::from)).boxed(), rest: Vec::new() }))
    }

    async fn write(&self, path: &Path, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        self.put(path, bytes.to_vec(), when).await
    }

    async fn create(&self, path: &Path, when: &Condition) -> Result<Box<dyn Pieces>, Error> {
        self.look_first(path, when).await?;
        let http = match when {
            Condition::Always => self.http.clone(),
            Condition::Absent => self.http.clone().absent(),
            Condition::Unchanged(etag) => {
                self.http.clone().unchanged(&plain(path, etag)?).ok_or_else(|| conflict(path))?
            }
        };
        let store = self.builder.clone().with_http_connector(http).build().map_err(unread)?;
        let whole = Self {
            store: store.clone(),
            builder: self.builder.clone(),
            http: self.http.clone(),
            prefix: self.prefix.clone(),
            careless: self.careless,
        };
        Ok(Box::new(Upload::new(whole, self.key(path)?, path.clone(), when.clone())))
    }

    async fn list(&self, path: &Path, after: Option<&str>) -> Result<Page, Error> {
        let inside = self.inside(path);
        let offset = match after {
            None => None,
            Some(after) => {
                let name = after.strip_suffix('/');
                path.join(name.unwrap_or(after)).map_err(|_| no_cursor())?;
                // Past everything in that folder.
                Some(if name.is_some() { format!("{inside}{after}{LAST}") } else { format!("{inside}{after}") })
            }
        };
        let options = PaginatedListOptions {
            offset,
            delimiter: Some("/".into()),
            max_keys: Some(MAX_ENTRIES),
            ..PaginatedListOptions::default()
        };
        let prefix = Some(inside.as_str()).filter(|inside| !inside.is_empty());
        let found = self.store.list_paginated(prefix, options).await.map_err(unread)?;
        let nothing = found.result.objects.is_empty() && found.result.common_prefixes.is_empty();
        if nothing && after.is_none() && !path.is_root() {
            return Err(not_found(path));
        }
        let named = |key: &Key| -> Option<Path> {
            let name = key.as_ref().strip_prefix(&inside)?;
            path.join(name).ok()
        };
        let files = found.result.objects.iter().filter_map(|object| Some(file(&named(&object.location)?, object)));
        let folders = found.result.common_prefixes.iter().filter_map(|key| Some(folder(&named(key)?)));
        let mut entries: Vec<Entry> = files.chain(folders).collect();
        entries.sort_by_key(order);
        // From the keys, since the last of them may be one that is not shown.
        let last = found.result.objects.iter().map(|object| object.location.as_ref().to_owned());
        let last = last.chain(found.result.common_prefixes.iter().map(|key| format!("{key}/"))).max();
        let next = last.filter(|_| found.page_token.is_some());
        let next = next.and_then(|next| next.strip_prefix(&inside).map(str::to_owned));
        Ok(Page { entries, next })
    }

    async fn stat(&self, path: &Path) -> Result<Entry, Error> {
        if path.is_root() {
            return Ok(folder(path));
        }
        if let Some(there) = self.head(path).await? {
            return Ok(file(path, &there));
        }
        if self.is_folder(path).await? { Ok(folder(path)) } else { Err(not_found(path)) }
    }

    async fn delete(&self, path: &Path) -> Result<(), Error> {
        if self.head(path).await?.is_none() {
            return Err(if self.is_folder(path).await? {
                against_rule(format!("`{path}` is not empty"))
            } else {
                not_found(path)
            });
        }
        self.store.delete(&self.key(path)?).await.map_err(|error| unwritten(path, error))
    }

    async fn probe(&self) -> Result<(), Error> {
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let prefix = Some(self.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        self.store.list_paginated(prefix, options).await.map(drop).map_err(unread)
    }
}

impl Bucket {
    /// Why there is no file to read.
    async fn no_file(&self, path: &Path) -> Error {
        match self.is_folder(path).await {
            Ok(true) => against_rule(format!("`{path}` is a folder")),
            Ok(false) => not_found(path),
            Err(failure) => failure,
        }
    }
}

/// An object being read.
struct Stream {
    body: BoxStream<'static, object_store::Result<Vec<u8>>>,
    /// What came and was not asked for yet.
    rest: Vec<u8>,
}

#[async_trait]
impl Reader for Stream {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        while self.rest.is_empty() {
            match self.body.next().await {
                None => return Ok(None),
                Some(piece) => self.rest = piece.map_err(unread)?,
            }
        }
        let later = self.rest.split_off(max.clamp(1, self.rest.len()));
        Ok(Some(std::mem::replace(&mut self.rest, later)))
    }
}

fn file(path: &Path, object: &ObjectMeta) -> Entry {
    Entry {
        path: path.to_string(),
        kind: Kind::File,
        size: object.size,
        modified: Some(object.last_modified.to_rfc3339()),
        etag: object.e_tag.clone(),
    }
}

fn folder(path: &Path) -> Entry {
    Entry { path: path.to_string(), kind: Kind::Folder, size: 0, modified: None, etag: None }
}

/// One etag, and not several, nor any: what a guest gives becomes a header. Errors: `rejected` (`conflict`),
/// since nothing has such an etag.
fn plain(path: &Path, etag: &str) -> Result<String, Error> {
    let inner = etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"'));
    let fits = |inner: &str| inner.len() <= 256 && inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if inner.is_some_and(fits) { Ok(etag.to_owned()) } else { Err(conflict(path)) }
}

/// A read that failed.
fn unread(error: object_store::Error) -> Error {
    use object_store::Error as Store;
    tracing::warn!(cause = chain(&error), "a request to an object store failed");
    match &error {
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            against_rule("the object store does not let the source's credentials do this")
        }
        Store::NotFound { .. } => Error::NotFound("there is no such bucket or object".to_owned()),
        _ => match cause::<Refused>(&error) {
            Some(refused) => refusal(*refused),
            None => Error::unavailable("the object store could not be reached, or gave no good answer"),
        },
    }
}

/// A write that failed.
fn unwritten(path: &Path, error: object_store::Error) -> Error {
    use object_store::{
        Error as Store,
        client::{HttpError, HttpErrorKind},
    };
    match &error {
        Store::AlreadyExists { .. } | Store::Precondition { .. } | Store::NotModified { .. } => return conflict(path),
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } | Store::NotFound { .. } => {
            return unread(error);
        }
        _ => {}
    }
    let sent = cause::<HttpError>(&error).is_none_or(|error| !matches!(error.kind(), HttpErrorKind::Connect));
    if !sent {
        return unread(error);
    }
    tracing::warn!(cause = chain(&error), "a write to an object store failed");
    Error::Uncertain("the object store did not confirm the change".to_owned())
}

/// The cause of a kind, however deep.
fn cause<E: std::error::Error + 'static>(error: &object_store::Error) -> Option<&E> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// The last cause says most; those before it hold the address.
fn chain(error: &object_store::Error) -> String {
    let first: &(dyn std::error::Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Address => Error::Denied(
            "the object store's address is not on the public internet and the operator's network rules do not allow it"
                .to_owned(),
        ),
        Refused::Scheme | Refused::NoHost => Error::Invalid("the object store's address is no http(s) URL".to_owned()),
    }
}
