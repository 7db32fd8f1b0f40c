//! Requests to Drive: their addresses, their credential, and what a refusal means.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use remit_domain::{
    data::{Error, Wait},
    source::{self, Definition},
};
use reqwest::Response;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{
    super::against_rule,
    ANSWER, in_doubt,
    item::{self, FIELDS},
};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
    tokens::Tokens,
};

const BASE: &str = "https://www.googleapis.com/";
const SCOPE: &str = "https://www.googleapis.com/auth/drive";
/// The most bytes of an answer that is no file's content: a thousand files are some hundred kilobytes.
const MAX_ANSWER_BYTES: usize = 8 << 20;

enum Credential {
    Fixed(HeaderValue),
    Account(Arc<Tokens>),
}

/// What a request holds.
pub(super) enum Body {
    None,
    Json(Value),
    Bytes(Vec<u8>),
    Multipart {
        boundary: String,
        body: Vec<u8>,
    },
    /// A part of a file, and where it lies in it: `bytes 0-9/*`.
    Part {
        range: String,
        bytes: Vec<u8>,
    },
}

pub(super) struct Api {
    client: reqwest::Client,
    base: Url,
    credential: Credential,
    timeout: Duration,
}

impl Api {
    pub(super) fn new(
        definition: &Definition,
        drive: &source::Drive,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let name = &definition.name;
        let invalid = |message: String| Error::Invalid(message);
        let credentials = &drive.credentials;
        let base = credentials.uri.as_ref().map_or(BASE, |uri| uri.expose_secret());
        let base = Url::parse(&format!("{}/", base.trim_end_matches('/')))
            .map_err(|_| invalid(format!("the address of source `{name}` is not an http(s) URL")))?;
        guard.check(&base).map_err(refusal)?;
        let timeouts =
            Timeouts { connect: settings.connect_timeout.min(settings.api_timeout / 4), read: settings.api_timeout };
        let client = guard.client(timeouts).map_err(|error| {
            tracing::error!(%error, "an HTTP client could not be set up");
            Error::unavailable("the HTTP client could not be set up")
        })?;
        let credential = match (&credentials.key_file, &credentials.token) {
            (Some(key_file), _) => {
                Credential::Account(Tokens::service_account(key_file, SCOPE, guard, settings.api_timeout)?)
            }
            (None, Some(token)) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| invalid(format!("a credential of source `{name}` can't be sent in a header")))?;
                value.set_sensitive(true);
                Credential::Fixed(value)
            }
            (None, None) => {
                return Err(invalid(format!("the `_KEY_FILE` or `_TOKEN` credential of source `{name}` is missing")));
            }
        };
        Ok(Self { client, base, credential, timeout: settings.api_timeout })
    }

    /// An address of the API; shared drives are meant wherever Drive would leave them out.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Error> {
        let mut url = self.base.join(path).map_err(|_| Error::Invalid("an id of Drive is none".to_owned()))?;
        url.query_pairs_mut().append_pair("supportsAllDrives", "true").extend_pairs(query);
        Ok(url)
    }

    /// The address of what a query finds.
    pub(super) fn files(&self, query: &str, page: Option<&str>) -> Result<Url, Error> {
        let fields = format!("nextPageToken,files({FIELDS})");
        let mut url = self.url(
            "drive/v3/files",
            &[("q", query), ("fields", &fields), ("pageSize", ANSWER), ("includeItemsFromAllDrives", "true")],
        )?;
        if let Some(page) = page {
            url.query_pairs_mut().append_pair("pageToken", page);
        }
        Ok(url)
    }

    /// The address of what is told of a file.
    pub(super) fn file(&self, id: &str) -> Result<Url, Error> {
        self.url(&format!("drive/v3/files/{id}"), &[("fields", FIELDS)])
    }

    /// A file's bytes, from an offset on.
    pub(super) async fn content(&self, id: &str, offset: u64) -> Result<Response, Error> {
        let url = self.url(&format!("drive/v3/files/{id}"), &[("alt", "media")])?;
        let mut headers = HeaderMap::new();
        if offset > 0
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={offset}-"))
        {
            headers.insert(header::RANGE, range);
        }
        let answer = self.send(Method::GET, &url, &headers, &Body::None, true).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer, true).await) }
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, url: Url, reads: bool) -> Result<T, Error> {
        self.answer(Method::GET, url, &Body::None, reads).await
    }

    /// Sends a request and reads what it answers.
    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: &Body,
        reads: bool,
    ) -> Result<T, Error> {
        let exchange = async {
            let answer = self.send(method, &url, &HeaderMap::new(), body, reads).await?;
            if !answer.status().is_success() {
                return Err(refused(answer, reads).await);
            }
            read(answer, reads).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| Err(unanswered(reads)))
    }

    /// Sends a request, and once more with another token if this one is refused: nothing was done then.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Body,
        reads: bool,
    ) -> Result<Response, Error> {
        let mut again = true;
        loop {
            let bearer = match &self.credential {
                Credential::Fixed(value) => value.clone(),
                Credential::Account(tokens) => tokens.bearer().await?,
            };
            let request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            let request = with(request, body).header(header::AUTHORIZATION, bearer.clone());
            let answer = request.send().await.map_err(|error| lost(&error, reads))?;
            match &self.credential {
                Credential::Account(tokens) if again && answer.status() == StatusCode::UNAUTHORIZED => {
                    tokens.spoiled(&bearer);
                    again = false;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// An address that Drive gave, if it is one of this API: the credential goes nowhere else.
    pub(super) fn own(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let ours = url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none();
        ours.then_some(url)
    }
}

fn with(request: reqwest::RequestBuilder, body: &Body) -> reqwest::RequestBuilder {
    match body {
        Body::None => request,
        Body::Json(value) => request.header(header::CONTENT_TYPE, "application/json").body(value.to_string()),
        Body::Bytes(bytes) => request.header(header::CONTENT_TYPE, item::BYTES).body(bytes.clone()),
        Body::Multipart { boundary, body } => {
            request.header(header::CONTENT_TYPE, format!("multipart/related; boundary={boundary}")).body(body.clone())
        }
        Body::Part { range, bytes } => request.header(header::CONTENT_RANGE, range).body(bytes.clone()),
    }
}

/// An answer as JSON.
pub(super) async fn read<T: DeserializeOwned>(answer: Response, reads: bool) -> Result<T, Error> {
    let bad = || if reads { Error::unavailable("Drive gave no good answer") } else { Error::Uncertain(in_doubt()) };
    let bytes = all(answer, MAX_ANSWER_BYTES).await.map_err(|_| bad())?.ok_or_else(bad)?;
    serde_json::from_slice(&bytes).map_err(|_| bad())
}

/// The bytes of an answer; none if they are more than `most`.
pub(super) async fn all(mut answer: Response, most: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| lost(&error, true))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// What Drive's refusal means.
pub(super) async fn refused(answer: Response, reads: bool) -> Error {
    let status = answer.status();
    let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    let throttled = Error::Throttled(Wait {
        message: "Drive takes no more requests for now".to_owned(),
        retry_after_ms: wait.map(|seconds| seconds.saturating_mul(1_000)),
    });
    let reason = || async {
        let text = all(answer, 64 << 10).await.ok().flatten().unwrap_or_default();
        let value: Value = serde_json::from_slice(&text).unwrap_or_default();
        value.pointer("/error/errors/0/reason").and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => throttled,
        StatusCode::FORBIDDEN => match reason().await.as_str() {
            "rateLimitExceeded" | "userRateLimitExceeded" => throttled,
            _ => against_rule("Drive does not let the source's credentials do this"),
        },
        StatusCode::UNAUTHORIZED => against_rule("Drive does not take the source's credentials"),
        StatusCode::NOT_FOUND => Error::NotFound("there is no such file or folder".to_owned()),
        status if status.is_server_error() => unanswered(reads),
        _ => against_rule(format!("Drive refused the request ({})", status.as_u16())),
    }
}

/// A request that came to no answer.
pub(super) fn lost(error: &reqwest::Error, reads: bool) -> Error {
    let refused = Refused::of(error).copied();
    tracing::warn!(connect = error.is_connect(), timeout = error.is_timeout(), "a request to Drive failed");
    match refused {
        Some(refused) => refusal(refused),
        None if error.is_connect() => unanswered(true),
        None => unanswered(reads),
    }
}

fn unanswered(reads: bool) -> Error {
    if reads {
        Error::unavailable("Drive could not be reached, or did not answer")
    } else {
        Error::Uncertain(in_doubt())
    }
}

fn refusal(refused: Refused) -> Error {
    match refused {
        Refused::Address => Error::Denied(
            "Drive's address is not on the public internet and the operator's network rules do not allow it".to_owned(),
        ),
        Refused::Scheme | Refused::NoHost => Error::Invalid("Drive's address is no http(s) URL".to_owned()),
    }
}
