//! Requests to BigQuery's REST API: each carries a token, is harmless twice, and fails as what it is.
//!
//! Deliberately absent: what jobs are ([`super::job`]).

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, header};
use remit_domain::{
    data::{Error, Wait},
    source::{Definition, Warehouse},
};
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;
use url::Url;

use super::{
    error::{Stage, Telling},
    wire::{Failed, Reason},
};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
    sql::rows,
    tokens::Tokens,
    wait::retry_after,
};

/// Where Google serves the API.
const GOOGLE: &str = "https://bigquery.googleapis.com/";
/// What a service account's tokens are for.
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";
/// The most bytes of one answer: BigQuery sends pages of at most 10 MB.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// How often a request is sent again that was not answered, or answered that it may be.
const RETRIES: u32 = 2;
/// Before the first of them; twice that before the next.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// One account's way to one project.
pub(super) struct Client {
    http: reqwest::Client,
    /// `…/bigquery/v2/projects/{project}/`.
    base: Url,
    credential: Credential,
    name: String,
    pub(super) telling: Telling,
}

enum Credential {
    Given(HeaderValue),
    Minted(Arc<Tokens>),
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Below the project.
    pub(super) path: Vec<&'a str>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<&'a Json>,
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It can't be sent, now or again.
    Early(Error),
    /// No connection could be made.
    Unsent,
    /// It was sent, and nothing says what became of it.
    Unanswered,
    /// The answer is longer than any that is wanted.
    TooLarge,
    /// It was refused.
    Refused(Refusal),
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: Reason,
    pub(super) wait_ms: Option<u32>,
    /// Whether an earlier attempt was not answered.
    pub(super) after_silence: bool,
}

impl Client {
    /// Errors: `invalid` for a definition that cannot work; `denied` for an address that the guard refuses.
    pub(super) fn new(
        definition: &Definition,
        warehouse: &Warehouse,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let name = definition.name.to_string();
        let credentials = &warehouse.credentials;
        let base = base(&name, warehouse)?;
        guard.check(&base).map_err(|refused| refusal(&name, refused))?;
        let credential = match (&credentials.key_file, &credentials.token) {
            (Some(key), _) => Credential::Minted(Tokens::service_account(key, SCOPE, guard, settings.api_timeout)?),
            (None, Some(token)) => {
                let invalid = |_| Error::Invalid(format!("the `_TOKEN` of source `{name}` can't be sent in a header"));
                let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(invalid)?;
                value.set_sensitive(true);
                Credential::Given(value)
            }
            (None, None) => {
                return Err(Error::Invalid(format!("the `_KEY_FILE` credential of source `{name}` is missing")));
            }
        };
        let connect = settings.connect_timeout.min(settings.statement_timeout / (RETRIES + 2));
        let timeouts = Timeouts { connect, read: settings.statement_timeout };
        let http = guard.client(timeouts).map_err(|error| {
            tracing::error!(%error, "an HTTP client could not be set up");
            Error::unavailable("the HTTP client could not be set up")
        })?;
        let telling = Telling {
            project: warehouse.project.clone(),
            dataset: warehouse.dataset.clone(),
            allowed: settings.statement_timeout,
            max_bytes: warehouse.max_bytes_billed,
        };
        Ok(Self { http, base, credential, name, telling })
    }

    /// Sends a request, and again where no answer came or the answer says that it may be.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Failure> {
        let mut silence = false;
        let mut attempt = 0;
        loop {
            let failure = match self.authorised(ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            silence |= matches!(failure, Failure::Unanswered);
            let again = match &failure {
                Failure::Unsent | Failure::Unanswered => true,
                Failure::Refused(refusal) => refusal.status.is_server_error() && refusal.wait_ms.is_none(),
                Failure::Early(_) | Failure::TooLarge => false,
            };
            if !again || attempt >= RETRIES {
                return Err(match failure {
                    Failure::Refused(refusal) => Failure::Refused(Refusal { after_silence: silence, ..refusal }),
                    Failure::Unsent | Failure::Early(_) if silence => Failure::Unanswered,
                    other => other,
                });
            }
            tokio::time::sleep(RETRY_AFTER * 2_u32.pow(attempt)).await;
            attempt += 1;
        }
    }

    /// Sends with a token, and once more with another if that one is refused.
    async fn authorised(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Failure> {
        let bearer = self.bearer().await?;
        let answer = self.once(ask, bearer.clone()).await;
        let refused = matches!(&answer, Err(Failure::Refused(no)) if no.status == StatusCode::UNAUTHORIZED);
        if refused && let Credential::Minted(tokens) = &self.credential {
            tokens.spoiled(&bearer);
            let another = self.bearer().await?;
            if another != bearer {
                return self.once(ask, another).await;
            }
        }
        answer
    }

    async fn bearer(&self) -> Result<HeaderValue, Failure> {
        match &self.credential {
            Credential::Given(value) => Ok(value.clone()),
            Credential::Minted(tokens) => tokens.bearer().await.map_err(Failure::Early),
        }
    }

    async fn once(&self, ask: &Ask<'_>, bearer: HeaderValue) -> Result<Vec<u8>, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&ask.path);
        }
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut request = self.http.request(ask.method.clone(), url).header(header::AUTHORIZATION, bearer);
        request = request.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        request = match ask.body {
            Some(body) => request.json(body),
            None if ask.method == Method::POST => request.body(Vec::new()),
            None => request,
        };
        let answer = request.send().await.map_err(|error| self.unanswered(&error))?;
        let (status, wait_ms) = (answer.status(), retry_after(answer.headers()));
        let body = self.read(answer).await?;
        match status {
            // What stands between here and BigQuery gave up on it.
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Unanswered),
            status if status.is_success() => Ok(body),
            status => {
                let why = why(status, &body);
                tracing::debug!(%status, reason = why.reason, "BigQuery refused a request");
                Err(Failure::Refused(Refusal { status, why, wait_ms, after_silence: false }))
            }
        }
    }

    async fn read(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unanswered(&error))? {
            if body.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// What the client says of a failure names the host, and stays with the operator.
    fn unanswered(&self, error: &reqwest::Error) -> Failure {
        if let Some(refused) = Refused::of(error) {
            return Failure::Early(refusal(&self.name, *refused));
        }
        let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
        let causes = causes.fold("request failed".to_owned(), |text, cause| format!("{text}: {cause}"));
        tracing::warn!(source = self.name, error = causes, "a request to BigQuery failed");
        match () {
            () if error.is_builder() => Failure::Early(Error::Invalid("the request can't be sent".to_owned())),
            () if error.is_connect() => Failure::Unsent,
            () => Failure::Unanswered,
        }
    }

    /// The error of something that has no effect.
    pub(super) fn reading(&self, failure: Failure, stage: Stage) -> Error {
        match failure {
            Failure::Early(error) => error,
            Failure::Unsent => Error::unavailable("the warehouse could not be reached"),
            Failure::Unanswered => Error::unavailable("the warehouse did not answer"),
            Failure::TooLarge => rows::result_too_large(),
            Failure::Refused(refusal) => self.refused(&refusal, stage),
        }
    }

    /// The error of a refusal.
    pub(super) fn refused(&self, refusal: &Refusal, stage: Stage) -> Error {
        let wait = |message: &str| Wait { message: message.to_owned(), retry_after_ms: refusal.wait_ms };
        match refusal.status {
            StatusCode::UNAUTHORIZED => Error::unavailable("the warehouse did not accept the credentials"),
            StatusCode::TOO_MANY_REQUESTS => Error::Throttled(wait("the warehouse takes no more requests now")),
            status if status.is_server_error() => {
                Error::Unavailable(wait("the warehouse failed and may do better later"))
            }
            status if status.is_redirection() => Error::unavailable("the warehouse is somewhere else"),
            _ => self.telling.error(&refusal.why, stage, refusal.wait_ms),
        }
    }
}

/// What an answer says of its failure. One that is no JSON has a reason by its status.
fn why(status: StatusCode, body: &[u8]) -> Reason {
    let failed: Failed = serde_json::from_slice(body).unwrap_or_default();
    let message = failed.error.message;
    let first = failed.error.errors.into_iter().next().unwrap_or_default();
    let reason = match status {
        _ if !first.reason.is_empty() => first.reason,
        StatusCode::BAD_REQUEST => "invalid".to_owned(),
        StatusCode::FORBIDDEN => "accessDenied".to_owned(),
        StatusCode::NOT_FOUND => "notFound".to_owned(),
        status => format!("status{}", status.as_u16()),
    };
    Reason { reason, message: if first.message.is_empty() { message } else { first.message } }
}

fn base(name: &str, warehouse: &Warehouse) -> Result<Url, Error> {
    let invalid =
        || Error::Invalid(format!("the `_URI` credential of source `{name}` is not an http(s) URL without query"));
    let uri = warehouse.credentials.uri.as_ref().map_or(GOOGLE, |uri| uri.expose_secret());
    let mut base: Url = uri.parse().map_err(|_| invalid())?;
    let plain = matches!(base.scheme(), "http" | "https")
        && base.has_host()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if !plain {
        return Err(invalid());
    }
    base.path_segments_mut().map_err(|()| invalid())?.pop_if_empty().extend([
        "bigquery",
        "v2",
        "projects",
        &warehouse.project,
        "",
    ]);
    Ok(base)
}

fn refusal(name: &str, refused: Refused) -> Error {
    Error::Denied(match refused {
        Refused::Address => format!(
            "the address of source `{name}` is not on the public internet and the operator's network rules do not \
             allow it"
        ),
        Refused::Scheme | Refused::NoHost => format!("the address of source `{name}` is not an http(s) URL"),
    })
}
