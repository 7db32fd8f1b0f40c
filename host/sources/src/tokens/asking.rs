//! One request for an access token, and what its answer may be.
//!
//! Nothing of an answer but the token, its lifetime and a known error code is used: what else a token
//! server says may repeat what it was sent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, StatusCode, header};
use remit_domain::data::{Error, Refusal, Rejection, Wait};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use time::OffsetDateTime;
use url::{Url, form_urlencoded};

use super::account::Account;
use crate::guard::{Guard, Refused, Timeouts};

/// The most bytes of an answer; tokens have a few hundred, with claims of a directory a few thousand.
const MAX_BYTES: usize = 64 * 1024;
/// How long a token is used whose lifetime the server does not say. A source that refuses it earlier is
/// believed.
const UNSAID: Duration = Duration::from_secs(30 * 60);
/// The longest lifetime that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A client that the token server knows.
pub(crate) struct Client {
    /// Its public name.
    pub(crate) id: String,
    /// What it proves itself with; none for a public client.
    pub(crate) secret: Option<SecretString>,
    /// How both travel.
    pub(crate) auth: ClientAuth,
}

/// How a client says who it is (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// HTTP Basic, which every server must know.
    Basic,
    /// In the request's body.
    Body,
}

/// What entitles to a token.
pub(super) enum Grant {
    Account(Box<Account>),
    Client { client: Client, scope: Option<String> },
    Refresh { client: Option<Client>, token: Mutex<SecretString> },
}

impl Grant {
    pub(super) fn client(client: Client, scope: Option<&str>) -> Self {
        Self::Client { client, scope: scope.map(str::to_owned) }
    }

    pub(super) fn refresh(client: Option<Client>, token: SecretString) -> Self {
        Self::Refresh { client, token: Mutex::new(token) }
    }
}

/// A token server, and what it is asked with.
pub(super) struct Asking {
    http: reqwest::Client,
    url: Url,
    grant: Grant,
    timeout: Duration,
}

/// A token that came.
pub(super) struct Token {
    pub(super) value: HeaderValue,
    pub(super) lifetime: Duration,
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    /// A number by the standard, a text at some.
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
}

impl Asking {
    /// Errors: `denied` for an address that the guard refuses; `invalid`.
    pub(super) fn new(url: Url, grant: Grant, guard: &Guard, timeout: Duration) -> Result<Self, Error> {
        guard.check(&url).map_err(denied)?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(Error::Invalid("the token server's URL has more than host, path and query".to_owned()));
        }
        let http = guard.client(Timeouts { connect: timeout, read: timeout }).map_err(|error| {
            tracing::error!(%error, "an HTTP client could not be set up");
            Error::unavailable("the HTTP client could not be set up")
        })?;
        Ok(Self { http, url, grant, timeout })
    }

    /// Asks once. Errors: as `Tokens::bearer`.
    pub(super) async fn ask(&self) -> Result<Token, Error> {
        let result = tokio::time::timeout(self.timeout, self.exchange()).await;
        let result = result.unwrap_or_else(|_| Err(Error::unavailable("the token server did not answer")));
        let outcome = result.as_ref().map_or_else(Error::case, |_| "ok");
        metrics::counter!("remit_source_tokens_total", "outcome" => outcome).increment(1);
        if let Err(error) = &result {
            tracing::warn!(%error, "no access token");
        }
        result
    }

    async fn exchange(&self) -> Result<Token, Error> {
        let (form, authorization) = self.form()?;
        let mut request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let unreached = |error: reqwest::Error| match Refused::of(&error) {
            Some(refused) => denied(*refused),
            None => Error::unavailable("the token server could not be reached or did not answer"),
        };
        let mut answer = request.send().await.map_err(unreached)?;
        let (status, wait) = (answer.status(), crate::wait::retry_after(answer.headers()));
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreached)? {
            if body.len() + piece.len() > MAX_BYTES {
                return Err(Error::unavailable("the token server's answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        if status != StatusCode::OK { Err(refusal(status, wait, &body)) } else { self.granted(&body) }
    }

    /// The request's body, and its `Authorization`.
    fn form(&self) -> Result<(String, Option<HeaderValue>), Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        let client = match &self.grant {
            Grant::Account(account) => {
                let assertion = account.assertion(OffsetDateTime::now_utc());
                let assertion = assertion.ok_or_else(|| Error::unavailable("the assertion could not be signed"))?;
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.append_pair("assertion", assertion.expose_secret());
                None
            }
            Grant::Client { client, scope } => {
                form.append_pair("grant_type", "client_credentials");
                if let Some(scope) = scope {
                    form.append_pair("scope", scope);
                }
                Some(client)
            }
            Grant::Refresh { client, token } => {
                form.append_pair("grant_type", "refresh_token");
                let token = token.lock().unwrap_or_else(PoisonError::into_inner);
                form.append_pair("refresh_token", token.expose_secret());
                client.as_ref()
            }
        };
        let authorization = match client {
            Some(Client { id, secret: Some(secret), auth: ClientAuth::Basic }) => Some(basic(id, secret)?),
            Some(Client { id, secret, .. }) => {
                form.append_pair("client_id", id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose_secret());
                }
                None
            }
            None => None,
        };
        Ok((form.finish(), authorization))
    }

    fn granted(&self, body: &[u8]) -> Result<Token, Error> {
        let unusable = || Error::unavailable("the token server answered without a token that can be used");
        let granted: Granted = serde_json::from_slice(body).map_err(|_| unusable())?;
        if granted.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(unusable());
        }
        let token = &granted.access_token;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable());
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable())?;
        value.set_sensitive(true);
        let seconds = granted.expires_in.and_then(|said| match said {
            serde_json::Value::Number(number) => number.as_f64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        });
        let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(UNSAID);
        if let (Grant::Refresh { token, .. }, Some(next)) = (&self.grant, granted.refresh_token)
            && !next.is_empty()
        {
            *token.lock().unwrap_or_else(PoisonError::into_inner) = next.into();
        }
        Ok(Token { value, lifetime: lifetime.min(LONGEST) })
    }
}

/// RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, Error> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = BASE64_STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret.expose_secret())));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}"))
        .map_err(|_| Error::Invalid("the client's credential can't be sent in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn refusal(status: StatusCode, retry_after_ms: Option<u32>, body: &[u8]) -> Error {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Error::Throttled(Wait {
            message: "the token server takes no more requests now".to_owned(),
            retry_after_ms,
        });
    }
    if !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT {
        let message = format!("the token server answered with status {}", status.as_u16());
        return Error::Unavailable(Wait { message, retry_after_ms });
    }
    Error::Rejected(Rejection {
        reason: Refusal::Rule,
        code: Some(code(body).map_or_else(|| status.as_u16().to_string(), str::to_owned)),
        message: "the token server did not accept the credential".to_owned(),
    })
}

/// The answer's error code, if it is one of the standard's (RFC 6749, 5.2).
fn code(body: &[u8]) -> Option<&'static str> {
    const KNOWN: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = said.get("error")?.as_str()?;
    KNOWN.into_iter().find(|known| *known == said)
}

fn denied(refused: Refused) -> Error {
    Error::Denied(match refused {
        Refused::Address => "the token server's address is not on the public internet and the operator's network \
                             rules do not allow it"
            .to_owned(),
        Refused::Scheme | Refused::NoHost => "the token server's address is not an http(s) URL".to_owned(),
    })
}
