//! Google Drive, as far as files are read and written through version 3 of its REST API: files by id, equal
//! names, uploads in one request and in parts, ranges, folders that go with all that is in them.
//!
//! It lacks permissions, revisions but for their names, shared drives, and every query but three.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::running::{Running, lock};

/// The token that it takes.
pub const TOKEN: &str = "canary-drive-token";
/// The folder that is there from the start.
pub const ROOT: &str = "root-folder";
const FOLDER: &str = "application/vnd.google-apps.folder";
/// As many files as one answer holds, whatever is asked for: small, so that tests meet a second page.
const PAGE: usize = 7;
/// A part of an upload is as large as its client likes.
const MAX_BODY_BYTES: usize = 16 << 20;

#[derive(Debug, Clone)]
struct File {
    name: String,
    mime_type: String,
    parent: String,
    bytes: Vec<u8>,
    revision: u64,
    trashed: bool,
}

#[derive(Debug, Default)]
struct Upload {
    replaces: Option<String>,
    metadata: Value,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Store {
    files: BTreeMap<String, File>,
    uploads: BTreeMap<String, Upload>,
    made: u64,
}

/// What it keeps: for tests that need what no client of paths can make.
#[derive(Debug, Clone, Default)]
pub struct Drive(Arc<Mutex<Store>>);

type Parameters = Query<BTreeMap<String, String>>;

impl Drive {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.0)
    }

    /// Makes a file beside the API, and gives its id.
    pub fn add(&self, parent: &str, name: &str, mime_type: &str, bytes: &[u8]) -> String {
        self.store().make(&json!({"name": name, "parents": [parent], "mimeType": mime_type}), bytes.to_vec())
    }

    /// The names and types of what is in a folder, the bin left out, in the order of their making.
    pub fn inside(&self, parent: &str) -> Vec<(String, String)> {
        let store = self.store();
        let files = store.files.values().filter(|file| file.parent == parent && !file.trashed);
        files.map(|file| (file.name.clone(), file.mime_type.clone())).collect()
    }

    /// Uploads in parts that have not come to an end.
    pub fn unfinished(&self) -> usize {
        self.store().uploads.len()
    }
}

impl Store {
    fn make(&mut self, metadata: &Value, bytes: Vec<u8>) -> String {
        self.made += 1;
        let id = format!("id{:06}", self.made);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let file = File {
            name: text(metadata.get("name")),
            mime_type: text(metadata.get("mimeType")),
            parent: text(metadata.pointer("/parents/0")),
            bytes,
            revision: self.made,
            trashed: false,
        };
        self.files.insert(id.clone(), file);
        id
    }

    fn replace(&mut self, id: &str, bytes: Vec<u8>) -> Option<String> {
        self.made += 1;
        let revision = self.made;
        let file = self.files.get_mut(id)?;
        (file.bytes, file.revision) = (bytes, revision);
        Some(id.to_owned())
    }

    fn shown(&self, id: &str) -> Option<Value> {
        if id == ROOT {
            return Some(json!({"id": ROOT, "name": "root", "mimeType": FOLDER}));
        }
        let file = self.files.get(id)?;
        // Only what has bytes has a size and revisions; null stands for neither.
        let has_bytes = !file.mime_type.starts_with("application/vnd.google-apps.");
        Some(json!({
            "id": id, "name": file.name, "mimeType": file.mime_type, "modifiedTime": "2026-01-02T03:04:05.678Z",
            "size": has_bytes.then(|| file.bytes.len().to_string()),
            "headRevisionId": has_bytes.then(|| format!("revision-{}", file.revision)),
        }))
    }
}

/// Starts it, with what it keeps in hand.
///
/// # Errors
/// When the socket cannot be bound.
pub async fn start(listen: SocketAddr) -> Result<(Running, Drive)> {
    let drive = Drive::default();
    let router = Router::new()
        .route("/drive/v3/files", get(list).post(create))
        .route("/drive/v3/files/{id}", get(file).patch(change))
        .route("/upload/drive/v3/files", post(upload_new))
        .route("/upload/drive/v3/files/{id}", patch(upload_again))
        .route("/upload/session/{id}", put(part).delete(give_up))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(drive.clone());
    let running = Running::start(listen, router, |status: StatusCode| refused(status, "fault")).await?;
    Ok((running, drive))
}

fn refused(status: StatusCode, reason: &str) -> Response {
    let error = json!({"error": {"code": status.as_u16(), "message": reason, "errors": [{"reason": reason}]}});
    (status, Json(error)).into_response()
}

/// Refuses who has no token.
fn stranger(headers: &HeaderMap) -> Option<Response> {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    (token != Some(&format!("Bearer {TOKEN}"))).then(|| refused(StatusCode::UNAUTHORIZED, "authError"))
}

fn answered(value: Option<Value>) -> Response {
    value.map_or_else(|| refused(StatusCode::NOT_FOUND, "notFound"), |value| Json(value).into_response())
}

/// The text in the first quotes after a start, without its escapes.
fn quoted_after(query: &str, start: &str) -> Option<String> {
    let rest = query.split_once(start)?.1;
    let (mut text, mut escaped) = (String::new(), false);
    for c in rest.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '\'' if !escaped => return Some(text),
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    None
}

/// Names are compared without case, as Drive does.
async fn list(State(drive): State<Drive>, headers: HeaderMap, Query(asked): Parameters) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let query = asked.get("q").cloned().unwrap_or_default();
    let Some(parent) = quoted_after(&query, "'").filter(|_| query.ends_with("trashed = false")) else {
        return refused(StatusCode::BAD_REQUEST, "invalid");
    };
    let name = quoted_after(&query, "name = '").map(|name| name.to_lowercase());
    let store = drive.store();
    let found = store.files.iter().filter(|(_, file)| {
        let named = name.as_ref().is_none_or(|name| file.name.to_lowercase() == *name);
        file.parent == parent && !file.trashed && named
    });
    let skip: usize = asked.get("pageToken").and_then(|token| token.parse().ok()).unwrap_or_default();
    let found: Vec<Value> = found.filter_map(|(id, _)| store.shown(id)).collect();
    let next = (found.len() > skip + PAGE).then(|| (skip + PAGE).to_string());
    Json(json!({"files": found.iter().skip(skip).take(PAGE).collect::<Vec<_>>(), "nextPageToken": next}))
        .into_response()
}

async fn create(State(drive): State<Drive>, headers: HeaderMap, Json(metadata): Json<Value>) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let mut store = drive.store();
    let id = store.make(&metadata, Vec::new());
    answered(store.shown(&id))
}

async fn file(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(asked): Parameters,
) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let store = drive.store();
    if asked.get("alt").is_none_or(|alt| alt != "media") {
        return answered(store.shown(&id));
    }
    let Some(file) = store.files.get(&id) else { return refused(StatusCode::NOT_FOUND, "notFound") };
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    match range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok()) {
        Some(start) => match file.bytes.get(start..) {
            Some(bytes) => (StatusCode::PARTIAL_CONTENT, bytes.to_vec()).into_response(),
            None => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        },
        None => file.bytes.clone().into_response(),
    }
}

async fn change(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(changes): Json<Value>,
) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let mut store = drive.store();
    if let (Some(file), Some(trashed)) = (store.files.get_mut(&id), changes.get("trashed").and_then(Value::as_bool)) {
        file.trashed = trashed;
    }
    answered(store.shown(&id))
}

async fn upload_new(State(drive): State<Drive>, headers: HeaderMap, Query(asked): Parameters, body: Bytes) -> Response {
    upload(&drive, &headers, &asked, &body, None)
}

async fn upload_again(
    State(drive): State<Drive>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(asked): Parameters,
    body: Bytes,
) -> Response {
    upload(&drive, &headers, &asked, &body, Some(id))
}

fn upload(
    drive: &Drive,
    headers: &HeaderMap,
    asked: &BTreeMap<String, String>,
    body: &[u8],
    replaces: Option<String>,
) -> Response {
    if let Some(refusal) = stranger(headers) {
        return refusal;
    }
    let mut store = drive.store();
    let id = match (asked.get("uploadType").map(String::as_str), replaces) {
        (Some("media"), Some(id)) => store.replace(&id, body.to_vec()),
        (Some("multipart"), None) => parts(headers, body).map(|(metadata, bytes)| store.make(&metadata, bytes)),
        (Some("resumable"), replaces) => {
            store.made += 1;
            let session = format!("session{}", store.made);
            let metadata = serde_json::from_slice(body).unwrap_or_default();
            store.uploads.insert(session.clone(), Upload { replaces, metadata, bytes: Vec::new() });
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            let location = HeaderValue::from_str(&format!("http://{host}/upload/session/{session}"));
            let Ok(location) = location else { return refused(StatusCode::BAD_REQUEST, "invalid") };
            return (StatusCode::OK, [(header::LOCATION, location)]).into_response();
        }
        _ => return refused(StatusCode::BAD_REQUEST, "invalid"),
    };
    answered(id.and_then(|id| store.shown(&id)))
}

/// The two parts of a `multipart/related` body.
fn parts(headers: &HeaderMap, body: &[u8]) -> Option<(Value, Vec<u8>)> {
    let boundary = headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split_once("boundary=")?.1;
    let delimiter = format!("--{boundary}");
    let at = |from: usize, what: &str| {
        let rest = body.get(from..)?;
        rest.windows(what.len()).position(|window| window == what.as_bytes()).map(|position| from + position)
    };
    let first = at(at(0, &delimiter)?, "\r\n\r\n")? + 4;
    let second = at(first, &delimiter)?;
    let bytes = at(second, "\r\n\r\n")? + 4;
    let end = at(bytes, &format!("\r\n{delimiter}--"))?;
    let metadata = serde_json::from_slice(body.get(first..second)?.trim_ascii_end()).ok()?;
    Some((metadata, body.get(bytes..end)?.to_vec()))
}

async fn part(State(drive): State<Drive>, Path(session): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    let mut store = drive.store();
    let Some(upload) = store.uploads.get_mut(&session) else { return refused(StatusCode::NOT_FOUND, "notFound") };
    let range = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let begins = format!("bytes {}-{}/", upload.bytes.len(), (upload.bytes.len() + body.len()).saturating_sub(1));
    let Some(total) = range.strip_prefix(&begins) else { return refused(StatusCode::BAD_REQUEST, "invalid") };
    if total == "*" && !body.len().is_multiple_of(256 << 10) {
        return refused(StatusCode::BAD_REQUEST, "a part that is no multiple of 256 KiB");
    }
    upload.bytes.extend_from_slice(&body);
    if total == "*" {
        let kept = HeaderValue::from_str(&format!("bytes=0-{}", upload.bytes.len().saturating_sub(1)));
        let Ok(kept) = kept else { return refused(StatusCode::BAD_REQUEST, "invalid") };
        return (StatusCode::PERMANENT_REDIRECT, [(header::RANGE, kept)]).into_response();
    }
    let Some(upload) = store.uploads.remove(&session) else { return refused(StatusCode::NOT_FOUND, "notFound") };
    let id = match upload.replaces {
        Some(id) => store.replace(&id, upload.bytes),
        None => Some(store.make(&upload.metadata, upload.bytes)),
    };
    answered(id.and_then(|id| store.shown(&id)))
}

async fn give_up(State(drive): State<Drive>, Path(session): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = stranger(&headers) {
        return refusal;
    }
    drive.store().uploads.remove(&session);
    StatusCode::NO_CONTENT.into_response()
}
