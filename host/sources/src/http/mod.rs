//! Connector: other people's HTTP APIs. A guest gives a path below a base URL it never sees; the
//! host adds the credential, follows no redirect, and shows of an answer what does not name a host.
//!
//! Deliberately absent: what the services' requests mean, which plugins know.

mod body;
mod credential;
mod exchange;
mod headers;
mod links;
mod path;
mod provider;
mod rate;
mod reads;
#[cfg(test)]
mod tests;
mod web;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, StatusCode, header};
use remit_domain::{
    data::{
        Error, Refusal, Rejection,
        http_api::{
            Api, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, MAX_STREAM_BYTES, Method, Request, Response, ResponseHead,
        },
    },
    grant::{Access, Permission},
    source::{self, Definition, WebHost},
};
use secrecy::ExposeSecret as _;
use url::Url;

use self::{
    body::Body,
    credential::{Account, Credential},
    exchange::{Exchange, RETRIES},
    links::Links,
    provider::Facts,
    rate::Rate,
};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
    observe::counted,
};

/// The most bytes of a probe's answer that are looked at.
const MAX_PROBE_BYTES: u64 = 64 * 1024;

/// One tenant's account with a service.
pub(crate) struct RemoteApi {
    name: String,
    client: reqwest::Client,
    facts: &'static Facts,
    base: Url,
    credential: Credential,
    /// Headers that every request has.
    sends: Vec<(HeaderName, HeaderValue)>,
    /// The path that takes GraphQL.
    graphql: Option<String>,
    rate: Rate,
    timeout: Duration,
    /// The hosts of the web, where the source is that and has no base.
    web: Option<Vec<WebHost>>,
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
        // Short enough for the attempts to fit into a request's time: whoever runs out of it before a
        // connection was made must not be told that the request may have taken effect.
        let timeout = settings.api_timeout;
        let connect = settings.connect_timeout.min(timeout / (RETRIES + 2));
        let account = Account { name: &name, facts, api, base: &base, guard, timeout: timeout / 2 };
        let credential = account.credential()?;
        let version = facts.version(&name, api)?;
        let invalid = |_| Error::Invalid(format!("the `apiVersion` of source `{name}` can't be sent in a header"));
        let sends = facts.sends.iter().map(|(header, value)| {
            let value = HeaderValue::from_str(&value.replace("{version}", version)).map_err(invalid)?;
            Ok((HeaderName::from_static(header), value))
        });
        let sends = sends.collect::<Result<_, Error>>()?;
        let client = client(guard, connect, timeout)?;
        let graphql = api.graphql.clone().or_else(|| facts.reads.graphql.map(str::to_owned));
        let rate = Rate::new(api.rate.as_ref(), facts.rate);
        Ok(Self { name, client, facts, base, credential, sends, graphql, rate, timeout, web: None })
    }

    /// The web, as far as a tenant's context lists its hosts: whatever the rules for somebody's API are, they
    /// hold, but that a request names a whole URL, and that nothing is sent that nobody gave.
    ///
    /// Errors: `unavailable` if no client can be made.
    pub(crate) fn web(
        definition: &Definition,
        hosts: &[WebHost],
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let timeout = settings.api_timeout;
        let connect = settings.connect_timeout.min(timeout / (RETRIES + 2));
        let client = client(guard, connect, timeout)?;
        // No answer's address lies below it, so that links are shown to nobody.
        let base = Url::parse("https://web.invalid/").map_err(|_| Error::Invalid("no base".to_owned()))?;
        Ok(Self {
            name: definition.name.to_string(),
            client,
            facts: provider::facts(source::Provider::Rest),
            base,
            credential: Credential::None,
            sends: Vec::new(),
            graphql: None,
            rate: Rate::new(None, None),
            timeout,
            web: Some(hosts.to_vec()),
        })
    }

    /// Asks for what the provider's health is told by.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        // The web is there; which of its hosts answer is nobody's health.
        if self.web.is_some() {
            return Ok(());
        }
        let probe = self.facts.probe;
        let request = Request {
            method: Method::Get,
            path: probe.path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            idempotency_key: None,
        };
        let answer = self.exchange(&request, true, Instant::now() + self.timeout).await?;
        let status = answer.status();
        let rejected = |message: &str| {
            Err(Error::Rejected(Rejection {
                reason: Refusal::Rule,
                code: Some(status.as_u16().to_string()),
                message: message.to_owned(),
            }))
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => rejected("the service did not accept the credential"),
            StatusCode::NOT_FOUND if probe.missing => Ok(()),
            status if status.is_server_error() => {
                Err(Error::unavailable(format!("the service answered with status {}", status.as_u16())))
            }
            // Whatever stands there, it is not what was asked for.
            status if status.is_redirection() => rejected("the service is somewhere else"),
            // A base URL of a service that has nothing at its root is healthy all the same.
            status if status.is_client_error() && !probe.path.is_empty() => rejected("the service has no such API"),
            _ => match probe.flag {
                Some(flag) if !flagged(answer, flag).await? => rejected("the service did not accept the credential"),
                _ => Ok(()),
            },
        }
    }

    /// Sends a request and waits for the head of the answer.
    async fn exchange(&self, request: &Request, read: bool, deadline: Instant) -> Result<reqwest::Response, Error> {
        let prepared = self.prepare(request, read)?;
        Exchange::new(self, request, read, deadline).run(prepared).await
    }

    fn prepare(&self, request: &Request, read: bool) -> Result<reqwest::Request, Error> {
        let mut url = match &self.web {
            Some(hosts) => web::url(hosts, &request.path, &request.query)?,
            None => path::join(&self.base, &request.path, &request.query)?,
        };
        let mut headers = headers::request(&request.headers, self.facts, self.credential.header())?;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(self.sends.iter().cloned());
        match &self.credential {
            Credential::Header(name, value) => drop(headers.insert(name.clone(), value.clone())),
            Credential::Query(name, value) => {
                if request.query.iter().any(|(given, _)| given == name) {
                    return Err(Error::Denied("a parameter of the query is not a plugin's to set".to_owned()));
                }
                url.query_pairs_mut().append_pair(name, value.expose_secret());
            }
            Credential::Tokens(_) | Credential::None => {}
        }
        if let Some(key) = &request.idempotency_key {
            let invalid = || Error::Invalid("the idempotency key is not a header's value".to_owned());
            let key = HeaderValue::from_str(key).ok().filter(|key| !key.is_empty()).ok_or_else(invalid)?;
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        if request.body.as_ref().is_some_and(|body| body.len() > MAX_REQUEST_BYTES) {
            return Err(Error::Limit { name: "max-request-bytes", allowed: MAX_REQUEST_BYTES as u64 });
        }
        if read {
            if request.body.is_some() && !reads::takes_body(&self.facts.reads, self.graphql.as_deref(), request) {
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

    async fn run_send(&self, request: &Request, read: bool) -> Result<Response, Error> {
        let deadline = Instant::now() + self.timeout;
        let answer = self.exchange(request, read, deadline).await?;
        let (status, headers) = (answer.status().as_u16(), headers::response(answer.headers(), &self.links()));
        let json = is_json(&answer);
        let mut reader = Body::new(answer, MAX_RESPONSE_BYTES as u64, "max-response-bytes", read);
        let body = tokio::time::timeout_at(deadline.into(), reader.all()).await;
        let body = body.unwrap_or_else(|_| Err(unanswered(read))).map_err(|error| undelivered(error, read))?;
        let body = if json { self.links().body(body, self.facts.pages) } else { body };
        Ok(Response { status, headers, body })
    }

    async fn run_open(&self, request: &Request, read: bool) -> Result<ResponseHead, Error> {
        let answer = self.exchange(request, read, Instant::now() + self.timeout).await?;
        let (status, headers) = (answer.status().as_u16(), headers::response(answer.headers(), &self.links()));
        let body = Body::new(answer, MAX_STREAM_BYTES, "max-stream-bytes", read);
        Ok(ResponseHead { status, headers, body: Box::new(body) })
    }

    fn links(&self) -> Links<'_> {
        Links { base: &self.base, secret: self.credential.parameter() }
    }

    fn reads(&self, request: &Request) -> bool {
        reads::reads(&self.facts.reads, self.graphql.as_deref(), request)
    }

    /// Whether a request that is let through only reads. Errors: `denied` for one that does more than was
    /// proved, or whose path the mapping leaves out.
    fn admit(&self, access: &Access<'_>, request: &Request) -> Result<bool, Error> {
        let read = self.reads(request);
        if matches!(access, Access::Reading(_)) && !read {
            return Err(Error::Denied("this request changes something, and the handle only reads".to_owned()));
        }
        let covers = match &self.web {
            Some(hosts) => {
                let url = web::url(hosts, &request.path, &[])?;
                access.scope().is_all() || access.scope().covers(&web::place(&url)?)
            }
            None => {
                // As it is sent: what `path` takes can't be read as a path that lies elsewhere.
                path::check(&request.path)?;
                access.scope().covers(&request.path)
            }
        };
        if !covers {
            return Err(Error::Denied("this path is not one of those that the agent's mapping lists".to_owned()));
        }
        Ok(read)
    }
}

#[async_trait]
impl Api for RemoteApi {
    fn permission(&self, request: &Request) -> Permission {
        if self.reads(request) { Permission::Read } else { Permission::Write }
    }

    async fn send(&self, access: Access<'_>, request: &Request) -> Result<Response, Error> {
        counted("http-api", "send", async {
            let read = self.admit(&access, request)?;
            self.run_send(request, read).await
        })
        .await
    }

    async fn open(&self, access: Access<'_>, request: &Request) -> Result<ResponseHead, Error> {
        counted("http-api", "open", async {
            let read = self.admit(&access, request)?;
            self.run_open(request, read).await
        })
        .await
    }
}

fn client(guard: &Guard, connect: Duration, read: Duration) -> Result<reqwest::Client, Error> {
    guard.client(Timeouts { connect, read }).map_err(|error| {
        tracing::error!(%error, "an HTTP client could not be set up");
        Error::unavailable("the HTTP client could not be set up")
    })
}

/// Whether an answer's JSON has a member that is true.
async fn flagged(answer: reqwest::Response, flag: &str) -> Result<bool, Error> {
    let body = Body::new(answer, MAX_PROBE_BYTES, "max-response-bytes", true).all().await?;
    let said: Result<serde_json::Value, _> = serde_json::from_slice(&body);
    Ok(said.is_ok_and(|said| said.get(flag).and_then(serde_json::Value::as_bool) == Some(true)))
}

fn is_json(answer: &reqwest::Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
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
