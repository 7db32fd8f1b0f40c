//! Sends a request and reads its answer, both bounded: so many attempts, so much time, so many bytes.
//!
//! Stands under the client library, which would otherwise read answers of any length and write
//! those that it cannot parse, or any error page, into the log as they are.

use std::time::Duration;

use async_openai::{error::OpenAIError, middleware::HttpRequestFactory};
use remit_domain::Error;
use reqwest::{StatusCode, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::{Limits, wire};

/// The most of an error page that is read.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// The most characters of an error page that the operator is shown.
const MAX_ERROR_CHARS: usize = 300;

/// Why there is no answer. For the operator; the client is told by [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the model's server was not reached, or broke off")]
    Unreachable(#[source] reqwest::Error),
    #[error("the model's server has not answered whole within {0:?}")]
    TooSlow(Duration),
    #[error("the model's server answered {status}: {said}")]
    Status { status: StatusCode, said: String, retry_after_ms: Option<u32>, out_of_credit: bool },
    #[error("the model's answer has more than {0} bytes")]
    TooLong(usize),
    #[error("the model's answer is not a chat completion (line {line}, column {column})")]
    Malformed { line: usize, column: usize },
}

impl Failure {
    /// Whether the same request may soon fare better.
    fn passing(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.is_connect(),
            Self::Status { status, out_of_credit, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS && !out_of_credit || status.is_server_error()
            }
            // What was begun there may go on: once more would be twice the work.
            Self::TooSlow(_) | Self::TooLong(_) | Self::Malformed { .. } => false,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after_ms, .. } => retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            _ => None,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let reason = match &failure {
            Failure::Unreachable(_) | Failure::TooSlow(_) => {
                return Self::ModelUnavailable { retry_after_ms: None, cause: failure.into() };
            }
            Failure::Status { status, retry_after_ms, .. } => match status.as_u16() {
                401..=403 | 408 | 425 | 429 | 500.. => {
                    return Self::ModelUnavailable { retry_after_ms: *retry_after_ms, cause: failure.into() };
                }
                status => format!("it refused the request with status {status}"),
            },
            Failure::TooLong(_) => "its answer is longer than the host reads".to_owned(),
            Failure::Malformed { .. } => "its answer is not a chat completion".to_owned(),
        };
        Self::Model { reason, cause: Some(failure.into()) }
    }
}

impl From<Failure> for OpenAIError {
    fn from(failure: Failure) -> Self {
        Self::Boxed(Box::new(failure))
    }
}

/// The way to one server.
#[derive(Clone)]
pub(crate) struct Transport {
    http: reqwest::Client,
    limits: Limits,
    key: Option<SecretString>,
}

impl Transport {
    /// `key` is only looked for in error pages, to keep it out of the log.
    pub(crate) fn new(http: reqwest::Client, limits: Limits, key: Option<SecretString>) -> Self {
        Self { http, limits, key }
    }

    /// Sends a request, again if that may help. The response is whole and is known to parse.
    ///
    /// Errors: a boxed [`Failure`]; whatever building the request says.
    pub(crate) async fn send(&self, request: HttpRequestFactory) -> Result<reqwest::Response, OpenAIError> {
        let mut pause = self.limits.first_pause;
        let mut left = self.limits.retries;
        loop {
            let time = self.limits.attempt_time;
            let attempt = tokio::time::timeout(time, self.attempt(request.build().await?));
            let failure = match attempt.await.unwrap_or(Err(Failure::TooSlow(time))) {
                Ok(body) => return Ok(http::Response::new(body).into()),
                Err(failure) => failure,
            };
            let wait = failure.retry_after().unwrap_or(pause).max(pause);
            if left == 0 || !failure.passing() || wait > self.limits.longest_pause {
                return Err(failure.into());
            }
            tracing::debug!(%failure, wait_ms = wait.as_millis(), "asking the model again");
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
            left -= 1;
        }
    }

    async fn attempt(&self, request: reqwest::Request) -> Result<Vec<u8>, Failure> {
        let unreachable = |error: reqwest::Error| Failure::Unreachable(error.without_url());
        let mut response = self.http.execute(request).await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let retry_after_ms = retry_after_ms(response.headers());
            let (page, _) = read(&mut response, MAX_ERROR_BYTES).await.unwrap_or_default();
            let (said, out_of_credit) = self.error_page(&page);
            return Err(Failure::Status { status, said, retry_after_ms, out_of_credit });
        }
        let limit = self.limits.max_answer_bytes;
        let (body, whole) = read(&mut response, limit).await.map_err(unreachable)?;
        if !whole {
            return Err(Failure::TooLong(limit));
        }
        match serde_json::from_slice::<wire::Answer>(&body) {
            Ok(_) => Ok(body),
            Err(error) => Err(Failure::Malformed { line: error.line(), column: error.column() }),
        }
    }

    /// What an error page says, fit for a log line, and whether it says that the money is gone.
    fn error_page(&self, page: &[u8]) -> (String, bool) {
        let parsed: Value = serde_json::from_slice(page).unwrap_or(Value::Null);
        let said = match parsed.pointer("/error/message").or_else(|| parsed.get("error")).and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(page).into_owned(),
        };
        let said = match self.key.as_ref().map(ExposeSecret::expose_secret) {
            Some(key) if !key.is_empty() => said.replace(key, "[key]"),
            _ => said,
        };
        let said = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_ERROR_CHARS).collect();
        let code = parsed.pointer("/error/code").and_then(Value::as_str);
        (said, code == Some("insufficient_quota"))
    }
}

/// Reads up to `limit` bytes; `false` if there are more.
async fn read(response: &mut reqwest::Response, limit: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = limit - body.len();
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// The wait that the server asks for, in milliseconds. A date is not read: servers of models send seconds.
fn retry_after_ms(headers: &HeaderMap) -> Option<u32> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1000.0))?;
    // `as` saturates.
    (ms.is_finite() && ms >= 0.0).then_some(ms.ceil() as u32)
}
