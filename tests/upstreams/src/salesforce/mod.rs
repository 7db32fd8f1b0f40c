//! Salesforce's REST API, version 57.0: `query`, `sobjects` and `limits`.
//!
//! Contacts, accounts and leads begin with TechStart's customers; tasks begin empty. It lacks OAuth,
//! composite requests, describe calls and all of SOQL beyond [`soql`].

mod record;
mod soql;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use self::record::{Kind, Records};
use crate::data::techstart::{Dataset, dataset};
use crate::running::{Running, lock};

/// The one version that is answered.
pub const VERSION: &str = "v57.0";
/// The session token of the demo's organisation.
pub const TOKEN: &str = "00D-demo-techstart";
/// How the name of a query's rest begins.
const LOCATOR: &str = "01gStandIn";
/// The fewest and the most records on a page, as `Sforce-Query-Options: batchSize` may say.
const MIN_BATCH: usize = 200;
const MAX_BATCH: usize = 2_000;
/// Requests a day, as the real service grants a small organisation.
const DAILY_REQUESTS: u32 = 15_000;

/// What an organisation begins with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bearer token it accepts.
    pub token: String,
    /// Whose customers it knows.
    pub data: Dataset,
    /// The clock that changes go by.
    pub now: fn() -> OffsetDateTime,
}

impl Default for Options {
    fn default() -> Self {
        Self { token: TOKEN.to_owned(), data: dataset(), now: OffsetDateTime::now_utc }
    }
}

/// Starts TechStart's organisation; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr) -> Result<Running> {
    start_with(addr, Options::default()).await
}

/// Starts an organisation of one's own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(addr: SocketAddr, options: Options) -> Result<Running> {
    let records = Records::new(&options.data, options.now);
    let held = Held { records, remaining: DAILY_REQUESTS, cursors: Vec::new() };
    let organisation = Arc::new(Organisation { bearer: format!("Bearer {}", options.token), state: Mutex::new(held) });
    let router = Router::new()
        .route("/services/data/{version}/{*rest}", any(handle))
        .fallback(async || Refusal::not_found().response())
        .with_state(organisation);
    Running::start(addr, router, fault).await
}

struct Organisation {
    bearer: String,
    state: Mutex<Held>,
}

struct Held {
    records: Records,
    remaining: u32,
    cursors: Vec<Cursor>,
}

/// The answer of a query that was too long for one page. It is kept as it was.
struct Cursor {
    found: Vec<Value>,
    size: usize,
}

impl Held {
    fn page(&mut self, found: Vec<Value>, start: usize, size: usize) -> Value {
        if found.len() <= size {
            return json!({ "totalSize": found.len(), "done": true, "records": found });
        }
        let page = cut(&found, self.cursors.len(), start, size);
        self.cursors.push(Cursor { found, size });
        page
    }
}

fn cut(found: &[Value], number: usize, start: usize, size: usize) -> Value {
    let end = start.saturating_add(size).min(found.len());
    let page: Vec<_> = found.iter().skip(start).take(size).collect();
    let mut answer = json!({ "totalSize": found.len(), "done": end == found.len(), "records": page });
    if let (true, Some(answer)) = (end < found.len(), answer.as_object_mut()) {
        let next = format!("/services/data/{VERSION}/query/{LOCATOR}{number}-{end}");
        answer.insert("nextRecordsUrl".to_owned(), next.into());
    }
    answer
}

async fn handle(
    State(organisation): State<Arc<Organisation>>,
    Path((version, rest)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).map(axum::http::HeaderValue::as_bytes);
    if bearer != Some(organisation.bearer.as_bytes()) {
        return Refusal::unauthorized().response();
    }
    if version != VERSION {
        return Refusal::not_found().response();
    }
    let mut state = lock(&organisation.state);
    state.remaining = state.remaining.saturating_sub(1);
    let batch = headers.get("sforce-query-options").and_then(|value| value.to_str().ok()?.strip_prefix("batchSize="));
    let batch = batch.and_then(|size| size.trim().parse().ok()).unwrap_or(MAX_BATCH);
    let mut response = match dispatch(&mut state, &method, &rest, &query, (&body, batch)) {
        Ok((status, Some(body))) => (status, axum::Json(body)).into_response(),
        Ok((status, None)) => status.into_response(),
        Err(refusal) => refusal.response(),
    };
    let used = format!("api-usage={}/{DAILY_REQUESTS}", DAILY_REQUESTS - state.remaining);
    if let Ok(used) = used.parse() {
        response.headers_mut().insert("sforce-limit-info", used);
    }
    response
}

type Answer = Result<(StatusCode, Option<Value>), Refusal>;

fn dispatch(
    state: &mut Held,
    method: &Method,
    rest: &str,
    query: &BTreeMap<String, String>,
    (body, batch): (&[u8], usize),
) -> Answer {
    let segments: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let records = &mut state.records;
    match (segments.as_slice(), method) {
        (["limits"], &Method::GET) => {
            let requests = json!({ "Max": DAILY_REQUESTS, "Remaining": state.remaining });
            Ok((StatusCode::OK, Some(json!({ "DailyApiRequests": requests }))))
        }
        (["query"], &Method::GET) => {
            let text = query.get("q").ok_or_else(|| Refusal::malformed("q parameter is required"))?;
            let statement = soql::parse(text).map_err(|message| Refusal::malformed(&message))?;
            let found = records.query(&statement)?;
            let size = batch.clamp(MIN_BATCH, MAX_BATCH);
            Ok((StatusCode::OK, Some(state.page(found, 0, size))))
        }
        // What is left of a query, by the address that its answer gave.
        (["query", locator], &Method::GET) => {
            let (number, start) = locator.strip_prefix(LOCATOR).and_then(|rest| rest.split_once('-')).unzip();
            let number = number.and_then(|number| number.parse::<usize>().ok());
            let start = start.and_then(|start| start.parse::<usize>().ok());
            let (Some(number), Some(start)) = (number, start) else { return Err(Refusal::bad_locator()) };
            let held = state.cursors.get(number).ok_or_else(Refusal::bad_locator)?;
            Ok((StatusCode::OK, Some(cut(&held.found, number, start, held.size))))
        }
        (["sobjects", kind], &Method::POST) => {
            let id = records.create(Kind::named(kind)?, &object(body)?)?;
            Ok((StatusCode::CREATED, Some(json!({ "id": id, "success": true, "errors": [] }))))
        }
        (["sobjects", kind, id], &Method::GET) => {
            let fields = query.get("fields").map(|fields| fields.split(',').map(str::trim).collect::<Vec<_>>());
            let record = records.get(Kind::named(kind)?, id, fields.as_deref())?;
            Ok((StatusCode::OK, Some(record)))
        }
        (["sobjects", kind, id], &Method::PATCH) => {
            records.update(Kind::named(kind)?, id, &object(body)?)?;
            Ok((StatusCode::NO_CONTENT, None))
        }
        (["limits" | "query"] | ["sobjects", _] | ["sobjects", _, _], other) => Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "METHOD_NOT_ALLOWED",
            message: format!("HTTP Method '{other}' not allowed."),
            fields: None,
        }),
        _ => Err(Refusal::not_found()),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal {
        status: StatusCode::BAD_REQUEST,
        code: "JSON_PARSER_ERROR",
        message: format!("The request body is not a JSON object: {error}"),
        fields: None,
    })
}

/// A refused request, in a list of one as Salesforce answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    fields: Option<Vec<String>>,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), fields: None }
    }

    fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested resource does not exist")
    }

    fn bad_locator() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_QUERY_LOCATOR", "invalid query locator")
    }

    fn malformed(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED_QUERY", message)
    }

    fn no_column(field: &str, kind: &str) -> Self {
        let message = format!("No such column '{field}' on sobject of type {kind}");
        Self::new(StatusCode::BAD_REQUEST, "INVALID_FIELD", message)
    }

    fn response(self) -> Response {
        let mut error = json!({ "message": self.message, "errorCode": self.code });
        if let (Some(fields), Some(object)) = (self.fields, error.as_object_mut()) {
            object.insert("fields".to_owned(), json!(fields));
        }
        (self.status, axum::Json(json!([error]))).into_response()
    }
}

/// The answer of a status that a test asked for.
fn fault(status: StatusCode) -> Response {
    let refusal = match status {
        StatusCode::UNAUTHORIZED => Refusal::unauthorized(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::FORBIDDEN => {
            Refusal::new(status, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        }
        StatusCode::SERVICE_UNAVAILABLE => Refusal::new(status, "SERVER_UNAVAILABLE", "Server is unavailable"),
        other => Refusal::new(other, "UNKNOWN_EXCEPTION", other.canonical_reason().unwrap_or("Error")),
    };
    refusal.response()
}

#[cfg(test)]
mod tests;
