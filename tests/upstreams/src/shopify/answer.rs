//! Shopify's shapes of answers and of errors.
//!
//! `errors` is a string, or an object from a field to its messages.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Answer;

/// A refused request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Value,
}

impl Refusal {
    pub(super) fn unauthorized() -> Self {
        let text = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        Self { status: StatusCode::UNAUTHORIZED, errors: text.into() }
    }

    pub(super) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, errors: "Not Found".into() }
    }

    /// A body that is not a JSON object.
    pub(super) fn unreadable() -> Self {
        Self::bad_request("base", "request body is not a valid JSON object")
    }

    /// A body without the object that all others lie in.
    pub(super) fn missing(key: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors: json!({ key: "Required parameter missing or invalid" }) }
    }

    pub(super) fn bad_request(key: &str, message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors: json!({ key: message }) }
    }

    /// A well-formed request that cannot be done.
    pub(super) fn unprocessable(key: &str, message: &str) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, errors: json!({ key: [message] }) }
    }

    pub(super) fn response(self) -> Response {
        (self.status, axum::Json(json!({ "errors": self.errors }))).into_response()
    }
}

/// The answer of a status that a test asked for.
pub(super) fn fault(status: StatusCode) -> Response {
    let errors = match status {
        StatusCode::UNAUTHORIZED => return Refusal::unauthorized().response(),
        StatusCode::TOO_MANY_REQUESTS => {
            "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."
        }
        other => other.canonical_reason().unwrap_or("Error"),
    };
    Refusal { status, errors: errors.into() }.response()
}

/// A handler's answer with the headers of the real service.
pub(super) fn response(answer: Answer) -> Response {
    let mut response = (answer.status, axum::Json(answer.body)).into_response();
    response.headers_mut().insert("x-shopify-shop-api-call-limit", HeaderValue::from_static("1/40"));
    if let Some(link) = answer.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}
