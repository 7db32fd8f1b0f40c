//! The MCP door: `POST /mcp/{tenant}/{agent}`, streamable HTTP, both protocol eras on one URL.
//!
//! `GET` streams notices that the lists have changed. Deliberately absent: sessions. Every request stands alone, so nothing of one client can be reached
//! by another, and a restart loses nothing.

mod changes;
mod convert;
mod server;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use remit_domain::{Catalogue, Error, RequestId, TenantId, access::Principal, audit, catalogue::Caller, plugin::Shelf};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) use self::changes::__path_stream;
pub(crate) use self::changes::stream;
use self::{changes::Changes, server::Server};
use crate::http::{
    MAX_BODY_BYTES,
    error::{self, Failure},
    extract::{self, Path},
};

/// Its route.
pub(crate) const ROUTE: &str = "/mcp/{tenant}/{agent}";

/// A refusal of the gate in this door's words.
pub(crate) fn refused(failure: &Failure) -> Response {
    let data = json!({ "code": failure.code() });
    let mut response = rpc_error(failure.status(), INVALID_REQUEST, failure.error(), data);
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// What the MCP door stands on.
#[derive(Clone)]
pub(crate) struct Door {
    catalogue: Catalogue,
    changes: Changes,
    service: StreamableHttpService<Server, NeverSessionManager>,
}

impl Door {
    /// `stopping` ends streams that only listen, `ends` whatever is still under way.
    pub(crate) fn new(
        catalogue: Catalogue,
        shelf: Arc<dyn Shelf>,
        stopping: CancellationToken,
        ends: CancellationToken,
    ) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_max_request_body_bytes(MAX_BODY_BYTES)
            .with_cancellation_token(ends)
            // The gate before every route checks Host and Origin, for all doors alike.
            .disable_allowed_hosts();
        let changes = Changes::new(catalogue.clone(), shelf, stopping);
        let server = Server::new(catalogue.clone(), changes.clone());
        let service = StreamableHttpService::new(move || Ok(server.clone()), Default::default(), config);
        Self { catalogue, changes, service }
    }

    fn caller(&self, principal: Principal, tenant: &str, agent: &str, request: RequestId) -> Result<Caller, Error> {
        let unknown = || Error::UnknownTenant(tenant.chars().take(64).collect());
        let id = TenantId::new(tenant).map_err(|_| unknown())?;
        // Whether there is another tenant of this name is none of a key's business.
        if principal.tenant().is_some_and(|own| *own != id) {
            return Err(unknown());
        }
        Caller::new(principal, self.catalogue.context(&id)?, agent, audit::Door::Mcp, request)
    }
}

/// Takes one JSON-RPC message of an MCP client.
#[utoipa::path(
    post, path = "/mcp/{tenant}/{agent}", tag = "mcp", request_body = Object,
    params(("tenant" = String, Path), ("agent" = String, Path)),
    responses((status = 200, body = Object, description = "a JSON-RPC answer, or a stream of them"), (status = 404, body = Object))
)]
pub(crate) async fn handle(
    State(door): State<Door>,
    Path((tenant, agent)): Path<(String, String)>,
    mut request: Request,
) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::random);
    // A proxy that proves who asks says so in the header, for whatever path: the two must agree.
    let mut named = request.headers().get_all(extract::CONTEXT_HEADER).iter();
    if named.any(|named| named.as_bytes() != tenant.as_bytes()) {
        let data = json!({ "code": "context_mismatch", "hint": "X-Context and the path must name one tenant" });
        return rpc_error(StatusCode::FORBIDDEN, INVALID_REQUEST, "X-Context names another tenant than the path", data);
    }
    let caller = extract::principal(request.extensions());
    match caller.and_then(|principal| door.caller(principal, &tenant, &agent, id)) {
        Ok(caller) => request.extensions_mut().insert(caller),
        Err(error) => return failed(&error),
    };
    let (mut parts, body) = request.into_parts();
    let bytes = match extract::read(body).await {
        Ok(bytes) => bytes,
        Err(failure) => {
            let data = json!({ "code": failure.code() });
            return rpc_error(failure.status(), INVALID_REQUEST, failure.error(), data);
        }
    };
    if let Err(refused) = check_message(&bytes) {
        return *refused;
    }
    // A client that takes anything takes what the specification wants it to name.
    let takes_anything = parts.headers.get(header::ACCEPT).is_none_or(|accept| accept == "*/*");
    if takes_anything {
        parts.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
    door.service.handle(Request::from_parts(parts, Body::from(bytes))).await.map(Body::new)
}

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// What is not a single JSON-RPC message is answered here, as JSON-RPC says; the library answers it
/// with a bare text.
fn check_message(bytes: &[u8]) -> Result<(), Box<Response>> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default, deserialize_with = "present")]
        id: Option<Value>,
    }
    /// Keeps `null` apart from an id that is not there.
    fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
        Value::deserialize(deserializer).map(Some)
    }
    let bad = |code, text: &str| Box::new(rpc_error(StatusCode::BAD_REQUEST, code, text, Value::Null));
    match serde_json::from_slice::<Message>(bytes) {
        Ok(Message { id: None | Some(Value::String(_) | Value::Number(_)) }) if !starts_with_array(bytes) => Ok(()),
        Ok(_) => Err(bad(INVALID_REQUEST, "the id must be a string or a number, and the message not a batch")),
        Err(error) if error.classify() == serde_json::error::Category::Data => {
            Err(bad(INVALID_REQUEST, "a message is one JSON-RPC object"))
        }
        Err(error) => {
            let at = format!("not JSON, at line {}, column {}", error.line(), error.column());
            Err(bad(PARSE_ERROR, &at))
        }
    }
}

/// A struct is read from an array too, field by field.
fn starts_with_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// A failure before there is a message to answer.
fn failed(error: &Error) -> Response {
    let status = error::status(error);
    error::report(error, status);
    let data = json!({ "code": error.code(), "hint": error.hint() });
    rpc_error(status, INVALID_REQUEST, &error.to_string(), data)
}

fn rpc_error(status: StatusCode, code: i32, message: &str, data: Value) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(error), false) = (error.as_object_mut(), data.is_null()) {
        error.insert("data".to_owned(), data);
    }
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": error });
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_message_is_refused() {
        for good in [r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, r#" {"id":"a"}"#, r#"{"method":"x"}"#] {
            assert!(check_message(good.as_bytes()).is_ok(), "{good}");
        }
        let deep = "[".repeat(100_000);
        for bad in ["", "{", "[]", r#"[{"id":1}]"#, r#"{"id":null}"#, r#"{"id":{}}"#, "1", "\"x\"", deep.as_str()] {
            assert!(check_message(bad.as_bytes()).is_err(), "{:.40}", bad);
        }
    }
}
