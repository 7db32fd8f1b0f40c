//! The one place where errors become HTTP: statuses, codes and the body that all failures share.

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::{PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use remit_domain::{Error, data, schema::Problem};
use serde::Serialize;

/// A failed request: `{"success": false, "error", "code", "hint"}`.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    body: Body,
    /// When to come back, where that may help.
    retry_after_ms: Option<u32>,
    /// How to prove who asks, where the answer is more than "with a key".
    challenge: Option<Box<HeaderValue>>,
}

/// What every failure answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Failure)]
pub(crate) struct Body {
    /// Always false.
    success: bool,
    /// For people.
    error: String,
    /// Stable; `docs/errors.md` has a section for each.
    code: &'static str,
    /// What to do about it, where there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// True where the same request may be sent again as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retriable: bool,
    /// What is wrong with the arguments, by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    problems: Vec<Problem>,
}

impl Failure {
    /// A failure that only HTTP knows.
    pub(crate) fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        let body =
            Body { success: false, error: error.into(), code, hint: None, retriable: false, problems: Vec::new() };
        Self { status, body, retry_after_ms: None, challenge: None }
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Its code.
    pub(crate) fn code(&self) -> &'static str {
        self.body.code
    }

    /// Its text for people.
    pub(crate) fn error(&self) -> &str {
        &self.body.error
    }

    /// What `Retry-After` says: whole seconds.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        self.retry_after_ms.map(|wait_ms| HeaderValue::from(wait_ms.div_ceil(1_000)))
    }

    /// With what `WWW-Authenticate` says.
    pub(crate) fn challenge(mut self, text: &str) -> Self {
        self.challenge = HeaderValue::from_str(text).ok().map(Box::new);
        self
    }

    /// One that passes: the same request may be sent again.
    pub(crate) fn again_after(mut self, wait: Duration) -> Self {
        self.body.retriable = true;
        self.retry_after_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self
    }

    /// With a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }
}

/// The status of each error, by decision: see `docs/errors.md`.
pub(crate) fn status(error: &Error) -> StatusCode {
    match error {
        Error::UnknownTenant(_)
        | Error::UnknownAgent { .. }
        | Error::UnknownTool { .. }
        | Error::UnknownNode(_)
        | Error::UnknownResource { .. } => StatusCode::NOT_FOUND,
        Error::UnknownVersion { .. } => StatusCode::NOT_FOUND,
        Error::UnknownWorkflow(_) | Error::UnknownExecution(_) | Error::UnknownArtifact(_) => StatusCode::NOT_FOUND,
        Error::ExecutionState { .. } | Error::HistoryFull { .. } => StatusCode::CONFLICT,
        Error::NotApprover { .. } => StatusCode::FORBIDDEN,
        Error::VersionInUse { .. } | Error::NothingBefore(_) | Error::LibraryFull { .. } => StatusCode::CONFLICT,
        Error::Untrusted(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::BadKey => StatusCode::UNAUTHORIZED,
        Error::Denied(_)
        | Error::Source { cause: data::Error::Denied(_), .. }
        | Error::RoleTooLow { .. }
        | Error::NotYourAgent(_)
        | Error::NotYourTenant => StatusCode::FORBIDDEN,
        Error::InvalidArguments(_)
        | Error::Refused(_)
        | Error::Unfit { .. }
        | Error::Source { cause: data::Error::Limit { .. }, .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Source { cause, .. } => match cause {
            data::Error::Throttled(_) | data::Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            data::Error::Cancelled => CLIENT_CLOSED_REQUEST.unwrap_or(StatusCode::BAD_REQUEST),
            data::Error::Invalid(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_GATEWAY,
        },
        Error::Trapped { .. } | Error::BadAnswer { .. } | Error::Limit { .. } | Error::Internal(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        Error::Deadline { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Busy { .. } | Error::Quota { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::ConversationBusy(_) => StatusCode::CONFLICT,
        Error::Model { .. } => StatusCode::BAD_GATEWAY,
        Error::NoSet(_)
        | Error::TenantUnavailable { .. }
        | Error::NoModel
        | Error::ModelUnavailable { .. }
        | Error::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Cancelled => CLIENT_CLOSED_REQUEST.unwrap_or(StatusCode::BAD_REQUEST),
    }
}

/// 499, as proxies write it: nobody is there to read the answer.
const CLIENT_CLOSED_REQUEST: Option<StatusCode> = match StatusCode::from_u16(499) {
    Ok(status) => Some(status),
    Err(_) => None,
};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = status(&error);
        report(&error, status);
        let body = Body {
            success: false,
            error: error.to_string(),
            code: error.code(),
            hint: error.hint(),
            retriable: error.retriable(),
            problems: match &error {
                Error::InvalidArguments(problems) => problems.clone(),
                _ => Vec::new(),
            },
        };
        // A time is given wherever coming back may help: the source's own, else a second.
        let retry_after_ms = error.retry_after_ms().or(error.retriable().then_some(1_000));
        Self { status, retry_after_ms, body, challenge: None }
    }
}

/// Tells the operator what the client is not told: the chain of causes.
pub(crate) fn report(error: &Error, status: StatusCode) {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        causes.push(next.to_string());
        cause = next.source();
    }
    let code = error.code();
    // As a value, which is quoted: the text may be a guest's, line breaks included.
    if status.is_server_error() {
        tracing::error!(code, error = error.to_string(), ?causes, "request failed");
    } else {
        tracing::debug!(code, error = error.to_string(), ?causes, "request refused");
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let mut response = (self.status, Json(self.body)).into_response();
        let challenge = match self.challenge {
            Some(challenge) => Some(*challenge),
            None => {
                (self.status == StatusCode::UNAUTHORIZED).then(|| HeaderValue::from_static("Bearer realm=\"remit\""))
            }
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use remit_domain::data::Wait;

    use super::*;

    #[test]
    fn what_may_pass_says_when_to_come_back() {
        let throttled = data::Error::Throttled(Wait { message: "slow down".to_owned(), retry_after_ms: Some(2_500) });
        let throttled =
            remit_domain::SourceName::new("crm").map(|source_name| Error::Source { source_name, cause: throttled });
        let cases = [
            (throttled.ok(), 503, Some("3")),
            (
                Some(Error::Busy { limit: "queuedCalls", allowed: 1, unit: "calls", retry_after_ms: 1_000 }),
                429,
                Some("1"),
            ),
            // What it did is there, though it is not on record.
            (Some(Error::Journal("full".into())), 503, None),
            (Some(Error::NoModel), 503, None),
        ];
        for (error, status, retry_after) in cases {
            let response = error.map(|error| Failure::from(error).into_response());
            assert_eq!(response.as_ref().map(|it| it.status().as_u16()), Some(status));
            let header = response.as_ref().and_then(|it| it.headers().get(header::RETRY_AFTER));
            assert_eq!(header.and_then(|it| it.to_str().ok()), retry_after);
        }
    }
}
