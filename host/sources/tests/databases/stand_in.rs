//! A recording stand-in for BigQuery's API, which answers as a test tells it to.
//!
//! It knows no SQL: what a statement means, the emulator says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{OriginalUri, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use remit_upstreams::tokens::Issued;
use serde_json::{Value as Json, json};

/// What the stand-in does with a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// Answers.
    Json(u16, Json),
    /// Answers with this text.
    Text(u16, String),
    /// Refuses for this reason, and asks to wait so many seconds.
    Reason(u16, &'static str, Option<u32>),
    /// Breaks off in the middle of an answer.
    Broken,
    /// Never answers.
    Silent,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    DryRun,
    Begin,
    Page,
    Outcome,
    Cancel,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) wish: Wish,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Json,
}

#[derive(Default)]
struct Script {
    seen: Vec<Seen>,
    replies: Vec<(Wish, VecDeque<Reply>)>,
    issued: Option<Issued>,
}

/// One that answers.
pub(crate) struct StandIn {
    script: Arc<Mutex<Script>>,
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A good dry run of a statement of this type.
pub(crate) fn would(statement_type: &str, bytes: u64) -> Reply {
    let fields = json!([{ "name": "n", "type": "INTEGER" }]);
    let query = json!({
        "statementType": statement_type,
        "totalBytesProcessed": bytes.to_string(),
        "schema": { "fields": fields },
    });
    Reply::Json(
        200,
        json!({
            "jobReference": { "projectId": "acme", "location": "EU" },
            "status": { "state": "DONE" },
            "statistics": { "totalBytesProcessed": "0", "query": query },
        }),
    )
}

/// A job that was begun.
pub(crate) fn begun() -> Reply {
    Reply::Json(200, json!({ "jobReference": { "location": "EU" }, "status": { "state": "RUNNING" } }))
}

/// That a job has not ended.
pub(crate) fn not_yet() -> Reply {
    Reply::Json(200, json!({ "jobComplete": false }))
}

/// A page of whole numbers.
pub(crate) fn page(numbers: &[i64], next: Option<&str>) -> Reply {
    let rows: Vec<_> = numbers.iter().map(|n| json!({ "f": [{ "v": n.to_string() }] })).collect();
    let fields = json!([{ "name": "n", "type": "INTEGER", "mode": "NULLABLE" }]);
    Reply::Json(200, json!({ "jobComplete": true, "schema": { "fields": fields }, "rows": rows, "pageToken": next }))
}

/// A change that ended.
pub(crate) fn changed(inserted: u32, deleted: u32) -> Reply {
    let dml = json!({ "insertedRowCount": inserted.to_string(), "deletedRowCount": deleted.to_string() });
    Reply::Json(200, json!({ "status": { "state": "DONE" }, "statistics": { "query": { "dmlStats": dml } } }))
}

/// A job that failed.
pub(crate) fn failed(reason: &str) -> Reply {
    let why = json!({ "reason": reason, "message": "Table acme:sales.t says no" });
    Reply::Json(200, json!({ "status": { "state": "DONE", "errorResult": why } }))
}

impl StandIn {
    /// Starts one. Each wish is answered by its replies in order, the last of which lasts.
    pub(crate) async fn start(replies: Vec<(Wish, Vec<Reply>)>) -> Self {
        Self::guarded(replies, None).await
    }

    /// One that wants a token which was given out and not taken back.
    pub(crate) async fn guarded(replies: Vec<(Wish, Vec<Reply>)>, issued: Option<Issued>) -> Self {
        let replies = replies.into_iter().map(|(wish, replies)| (wish, replies.into())).collect();
        let script = Arc::new(Mutex::new(Script { seen: Vec::new(), replies, issued }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(answer).with_state(script.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { script, url, server }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// What was asked so far.
    pub(crate) fn wishes(&self) -> Vec<Wish> {
        self.seen().iter().map(|seen| seen.wish).collect()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.script).seen.clone()
    }

    /// Waits until something was asked for.
    pub(crate) async fn until(&self, wish: Wish) {
        let began = Instant::now();
        while !self.wishes().contains(&wish) {
            assert!(began.elapsed() < Duration::from_secs(30), "never asked: {wish:?}");
            tokio::task::yield_now().await;
        }
    }
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap()
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    method: Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Json = serde_json::from_slice(&body).unwrap_or_default();
    let path = uri.path().to_owned();
    let wish = match (&method, path.rsplit('/').nth(1)) {
        _ if path.ends_with("/cancel") => Wish::Cancel,
        (&Method::POST, _) if body["configuration"]["dryRun"] == json!(true) => Wish::DryRun,
        (&Method::POST, _) => Wish::Begin,
        (_, Some("queries")) => Wish::Page,
        _ => Wish::Outcome,
    };
    let reply = {
        let mut script = lock(&script);
        let query = uri.query().unwrap_or_default().to_owned();
        script.seen.push(Seen { wish, path, query, body });
        if script.issued.as_ref().is_some_and(|issued| !issued.accepts(&headers)) {
            Reply::Reason(401, "authError", None)
        } else {
            let replies = script.replies.iter_mut().find(|(of, _)| *of == wish).map(|(_, replies)| replies);
            match replies {
                Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
                Some(replies) => replies.front().unwrap().clone(),
                None if wish == Wish::Cancel => Reply::Json(200, json!({})),
                None => Reply::Reason(404, "notFound", None),
            }
        }
    };
    match reply {
        Reply::Json(status, json) => (StatusCode::from_u16(status).unwrap(), json.to_string()).into_response(),
        Reply::Text(status, text) => (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Reply::Reason(status, reason, wait) => {
            let why = json!({ "reason": reason, "message": "Project acme:sales says no, see http://127.0.0.1/" });
            let json = json!({ "error": { "code": status, "message": "no", "errors": [why] } });
            let mut answer = (StatusCode::from_u16(status).unwrap(), json.to_string()).into_response();
            if let Some(wait) = wait {
                answer.headers_mut().insert("retry-after", wait.into());
            }
            answer
        }
        Reply::Broken => {
            let pieces = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("broken"))];
            Response::new(Body::from_stream(futures::stream::iter(pieces)))
        }
        Reply::Silent => std::future::pending().await,
    }
}
