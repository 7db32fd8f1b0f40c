//! Connector: other people's HTTP APIs. A guest gives a path below a base URL it never sees; the
//! host adds the credential, follows no redirect, and shows of an answer what does not name a host.
//!
//! Deliberately absent: what the services' requests mean, which plugins know, and OAuth: a token is
//! used as it is given.

mod body;
mod headers;
mod path;
mod provider;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header};
use remit_domain::{
    data::{
        Error, Refusal, Rejection, Wait,
        http_api::{
            Api, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_STREAM_BYTES, Method, Request, Response, ResponseHead,
        },
    },
    grant::{Access, Permission},
    source::{self, Definition},
};
use secrecy::ExposeSecret as _;
use url::Url;

use self::{
    body::Body,
    provider::{Facts, Travel},
};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
    observe::counted,
    wait::retry_after,
};

/// How often a request that is harmless twice is sent again after a connection could not be made.
const RETRIES: u32 = 2;
/// Before the first of them; twice that before the next.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// One tenant's account with a service.
pub(crate) struct RemoteApi {
    name: String,
    client: reqwest::Client,
    facts: &'static Facts,
    base: Url,
    /// The header that carries the credential, marked as secret.
    credential: Option<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

impl RemoteApi {
    /// Errors: `invalid` for a definition that cannot work; `denied` for an address that the guard
    /// refuses.
    pub(crate) fn new(
        definition: &Definition,
        api: &source::Api,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let name = definition.name.to_string();
        let facts = provider::facts(api.provider);
        let uri = api.credentials.uri.as_ref().map(|uri| uri.expose_secret());
        let base = facts.base(&name, api, uri)?;
        guard.check(&base).map_err(|refused| Error::Denied(refusal(&name, refused)))?;
        let credential = credential(&name, facts, api)?;
        // Short enough for the attempts to fit into a request's time: whoever runs out of it before a
        // connection was made must not be told that the request may have taken effect.
        let connect = settings.connect_timeout.min(settings.api_timeout / (RETRIES + 2));
        let timeouts = Timeouts { connect, read: settings.api_timeout };
        let client = guard.client(timeouts).map_err(|error| {
            tracing::error!(%error, "an HTTP client could not be set up");
            Error::unavailable("the HTTP client could not be set up")
        })?;
        Ok(Self { name, client, facts, base, credential, timeout: settings.api_timeout })
    }

    /// Asks for what the provider's health is told by.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let request = Request {
            method: Method::Get,
            path: self.facts.probe.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            idempotency_key: None,
        };
        let answer = self.exchange(&request).await?;
        let rejected = |message: &str| {
            Err(Error::Rejected(Rejection {
                reason: Refusal::Rule,
                code: Some(answer.status().as_u16().to_string()),
                message: message.to_owned(),
            }))
        };
        match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => rejected("the service did not accept the credential"),
            status if status.is_server_error() => {
                Err(Error::unavailable(format!("the service answered with status {}", status.as_u16())))
            }
            // Whatever stands there, it is not what was asked for.
            status if status.is_redirection() => rejected("the service is somewhere else"),
            // A base URL of a service that has nothing at its root is healthy all the same.
            status if status.is_client_error() && !self.facts.probe.is_empty() => {
                rejected("the service has no such API")
            }
            _ => Ok(()),
        }
    }

    /// Sends a request and waits for the head of the answer, a whole answer's time at most.
    async fn exchange(&self, request: &Request) -> Result<reqwest::Response, Error> {
        let prepared = self.prepare(request)?;
        let repeatable = reads(request) || request.idempotency_key.is_some();
        let answered = tokio::time::timeout(self.timeout, self.attempt(prepared, repeatable)).await;
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.failure(&error, reads(request))),
            Err(_) => return Err(unanswered(reads(request))),
        };
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(Error::Throttled(Wait {
                message: "the service takes no more requests now".to_owned(),
                retry_after_ms: retry_after(answer.headers()),
            }));
        }
        let coded = answer.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity");
        if coded {
            let coded = Error::Rejected(Rejection {
                reason: Refusal::Rule,
                code: None,
                message: "the service answered in a content coding that was not asked for".to_owned(),
            });
            return Err(undelivered(coded, reads(request)));
        }
        Ok(answer)
    }

    /// Sends, and where that is harmless again if no connection could be made.
    async fn attempt(&self, mut prepared: reqwest::Request, repeatable: bool) -> reqwest::Result<reqwest::Response> {
        let mut attempt = 0;
        loop {
            // A body that is held in memory can always be sent again.
            let spare = prepared.try_clone().filter(|_| repeatable && attempt < RETRIES);
            let result = self.client.execute(prepared).await;
            match (result, spare) {
                (Err(error), Some(spare)) if error.is_connect() && Refused::of(&error).is_none() => {
                    tokio::time::sleep(RETRY_AFTER * 2_u32.pow(attempt)).await;
                    attempt += 1;
                    prepared = spare;
                }
                (result, _) => return result,
            }
        }
    }

    fn prepare(&self, request: &Request) -> Result<reqwest::Request, Error> {
        let url = path::join(&self.base, &request.path, &request.query)?;
        let mut headers =
            headers::request(&request.headers, self.facts, self.credential.as_ref().map(|(name, _)| name))?;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(self.credential.clone());
        if let Some(key) = &request.idempotency_key {
            let invalid = || Error::Invalid("the idempotency key is not a header's value".to_owned());
            let key = HeaderValue::from_str(key).ok().filter(|key| !key.is_empty()).ok_or_else(invalid)?;
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        if request.body.as_ref().is_some_and(|body| body.len() > MAX_REQUEST_BYTES) {
            return Err(Error::Limit { name: "max-request-bytes", allowed: MAX_REQUEST_BYTES as u64 });
        }
        if reads(request) {
            if request.body.is_some() {
                return Err(Error::Invalid("a request that reads has no body".to_owned()));
            }
            // Some services let a query override the method.
            let overrides = |name: &str| matches!(name.to_ascii_lowercase().as_str(), "_method" | "_httpmethod");
            if request.query.iter().any(|(name, _)| overrides(name)) {
                return Err(Error::Denied("a request that reads does not override its method".to_owned()));
            }
        }
        let mut prepared = reqwest::Request::new(method(request.method), url);
        *prepared.headers_mut() = headers;
        *prepared.body_mut() = request.body.clone().map(Into::into);
        Ok(prepared)
    }

    /// What a request that failed comes to. What the client says of it names the host.
    fn failure(&self, error: &reqwest::Error, read: bool) -> Error {
        if let Some(refused) = Refused::of(error) {
            return Error::Denied(refusal(&self.name, *refused));
        }
        tracing::warn!(source = self.name, error = %chain(error), "a request to an API failed");
        if error.is_builder() {
            return Error::Invalid("the request can't be sent".to_owned());
        }
        if error.is_connect() {
            return Error::unavailable("the service could not be reached");
        }
        unanswered(read)
    }

    async fn run_send(&self, request: &Request) -> Result<Response, Error> {
        let exchanged = async {
            let answer = self.exchange(request).await?;
            let (status, headers) = (answer.status().as_u16(), headers::response(answer.headers(), &self.base));
            let mut reader = Body::new(answer, MAX_RESPONSE_BYTES as u64, "max-response-bytes", reads(request));
            let body = reader.all().await.map_err(|error| undelivered(error, reads(request)))?;
            Ok(Response { status, headers, body })
        };
        tokio::time::timeout(self.timeout, exchanged).await.unwrap_or_else(|_| Err(unanswered(reads(request))))
    }

    async fn run_open(&self, request: &Request) -> Result<ResponseHead, Error> {
        let answer = self.exchange(request).await?;
        let (status, headers) = (answer.status().as_u16(), headers::response(answer.headers(), &self.base));
        let body = Body::new(answer, MAX_STREAM_BYTES, "max-stream-bytes", reads(request));
        Ok(ResponseHead { status, headers, body: Box::new(body) })
    }

    fn admit(access: Access<'_>, request: &Request) -> Result<(), Error> {
        match access {
            Access::Reading(_) if !reads(request) => {
                Err(Error::Denied("this request changes something, and the handle only reads".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Api for RemoteApi {
    fn permission(&self, request: &Request) -> Permission {
        if reads(request) { Permission::Read } else { Permission::Write }
    }

    async fn send(&self, access: Access<'_>, request: &Request) -> Result<Response, Error> {
        counted("http-api", "send", async {
            Self::admit(access, request)?;
            self.run_send(request).await
        })
        .await
    }

    async fn open(&self, access: Access<'_>, request: &Request) -> Result<ResponseHead, Error> {
        counted("http-api", "open", async {
            Self::admit(access, request)?;
            self.run_open(request).await
        })
        .await
    }
}

/// Whether a request only reads: by its method, at every provider there is.
fn reads(request: &Request) -> bool {
    matches!(request.method, Method::Get | Method::Head)
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

fn credential(name: &str, facts: &Facts, api: &source::Api) -> Result<Option<(HeaderName, HeaderValue)>, Error> {
    let credentials = &api.credentials;
    let missing = |which: &str| Error::Invalid(format!("the `{which}` credential of source `{name}` is missing"));
    let invalid = || Error::Invalid(format!("a credential of source `{name}` can't be sent in a header"));
    let token = || credentials.token.as_ref().map(|token| token.expose_secret()).ok_or_else(|| missing("_TOKEN"));
    let (header, value) = match provider::auth(facts, api) {
        Travel::None => return Ok(None),
        Travel::Bearer => (header::AUTHORIZATION, format!("Bearer {}", token()?)),
        Travel::Header(header) => {
            let wrong = |_| Error::Invalid(format!("the credential header of source `{name}` is not a header's name"));
            (HeaderName::from_bytes(header.as_bytes()).map_err(wrong)?, token()?.to_owned())
        }
        Travel::Basic => {
            let user = credentials.user.as_deref().ok_or_else(|| missing("_USER"))?;
            let word = credentials.password.as_ref().or(credentials.token.as_ref()).ok_or_else(|| missing("_PASS"))?;
            if user.contains(':') {
                return Err(Error::Invalid(format!("the `_USER` credential of source `{name}` has a colon")));
            }
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", word.expose_secret()));
            (header::AUTHORIZATION, format!("Basic {pair}"))
        }
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok(Some((header, value)))
}

fn refusal(name: &str, refused: Refused) -> String {
    match refused {
        Refused::Address => format!(
            "the address of source `{name}` is not on the public internet and the operator's network rules do not \
             allow it"
        ),
        Refused::Scheme | Refused::NoHost => format!("the address of source `{name}` is not an http(s) URL"),
    }
}

/// Sent, and no answer came. A read has no effect that could be in doubt.
fn unanswered(read: bool) -> Error {
    if read {
        Error::unavailable("the service did not answer")
    } else {
        Error::Uncertain("the service did not answer; the request may have taken effect".to_owned())
    }
}

/// An answer that came and can't be given whole. `limit` and `rejected` say that nothing was done or
/// asked in vain, which nobody knows of a change.
fn undelivered(error: Error, read: bool) -> Error {
    match error {
        Error::Limit { .. } | Error::Rejected(_) if !read => {
            Error::Uncertain(format!("the request may have taken effect, and its answer can't be given: {error}"))
        }
        other => other,
    }
}

/// An error with its causes, without the URL, which may hold what a guest searched for.
fn chain(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.fold("request failed".to_owned(), |text, cause| format!("{text}: {cause}"))
}
