//! One request's way to a service and back, until the head of the answer: its turn, its token, and the
//! attempts that a passing failure is worth.
//!
//! Deliberately absent: what the request may be (`mod`), and the answer's body.

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use remit_domain::data::{Error, Refusal, Rejection, Wait, http_api::Request};

use super::{RemoteApi, credential::Credential, rate::PATIENCE, unanswered, undelivered};
use crate::{guard::Refused, wait::retry_after};

/// How often a request that is harmless twice is sent again.
pub(super) const RETRIES: u32 = 2;
/// Before the first of them, more or less; twice that before the next.
const PAUSE: Duration = Duration::from_millis(100);

/// A request under way.
pub(super) struct Exchange<'a> {
    api: &'a RemoteApi,
    /// Whether it only reads.
    read: bool,
    /// Whether it is harmless twice.
    repeatable: bool,
    deadline: Instant,
    /// Whether anything may have reached the service.
    sent: bool,
    /// How often it was sent again.
    again: u32,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(api: &'a RemoteApi, request: &Request, read: bool, deadline: Instant) -> Self {
        let repeatable = read || request.idempotency_key.is_some();
        Self { api, read, repeatable, deadline, sent: false, again: 0 }
    }

    /// Sends and waits for the head of the answer, until the deadline.
    pub(super) async fn run(mut self, prepared: reqwest::Request) -> Result<reqwest::Response, Error> {
        let answered = tokio::time::timeout_at(self.deadline.into(), self.attempts(prepared)).await;
        let answer = match answered {
            Ok(answer) => answer?,
            Err(_) if self.sent => return Err(unanswered(self.read)),
            Err(_) => return Err(Error::unavailable("the request could not be sent in time")),
        };
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(Error::Throttled(Wait {
                message: "the service takes no more requests now".to_owned(),
                retry_after_ms: retry_after(answer.headers()),
            }));
        }
        if answer.headers().get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            let coded = Error::Rejected(Rejection {
                reason: Refusal::Rule,
                code: None,
                message: "the service answered in a content coding that was not asked for".to_owned(),
            });
            return Err(undelivered(coded, self.read));
        }
        Ok(answer)
    }

    async fn attempts(&mut self, prepared: reqwest::Request) -> Result<reqwest::Response, Error> {
        let mut renewed = false;
        loop {
            self.api.rate.turn(self.deadline).await?;
            let (request, token) = self.signed(&prepared).await?;
            let before = std::mem::replace(&mut self.sent, true);
            match self.api.client.execute(request).await {
                Err(error) => {
                    if error.is_connect() {
                        self.sent = before;
                    }
                    let broken = error.is_request() && !error.is_timeout();
                    let passing = Refused::of(&error).is_none() && (error.is_connect() || broken);
                    if !(passing && self.rests(None).await) {
                        return Err(self.api.failure(&error, self.read));
                    }
                }
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && !renewed => {
                    let (Some(token), Credential::Tokens(tokens)) = (token, &self.api.credential) else {
                        return Ok(answer);
                    };
                    renewed = true;
                    tokens.spoiled(&token);
                    // A service that says 401 did nothing, so that any request may be sent again.
                    if tokens.bearer().await? == token {
                        return Ok(answer);
                    }
                }
                Ok(answer) => {
                    let passing = self.api.facts.retries.contains(&answer.status().as_u16());
                    let asked = retry_after(answer.headers()).map(|ms| Duration::from_millis(ms.into()));
                    if !(passing && self.rests(asked).await) {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// A copy with the credential that changes, if it has one, and that credential.
    async fn signed(&self, prepared: &reqwest::Request) -> Result<(reqwest::Request, Option<HeaderValue>), Error> {
        // A body that is held in memory can always be sent again.
        let copy = prepared.try_clone();
        let mut request = copy.ok_or_else(|| Error::Invalid("the request can't be sent".to_owned()))?;
        let Credential::Tokens(tokens) = &self.api.credential else { return Ok((request, None)) };
        let token = tokens.bearer().await?;
        request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        Ok((request, Some(token)))
    }

    /// Rests before another attempt, as long as the service asked or a little longer each time, and not all
    /// callers equally long. False if there is to be none.
    async fn rests(&mut self, asked: Option<Duration>) -> bool {
        if !self.repeatable || self.again >= RETRIES {
            return false;
        }
        let jitter = fastrand::f64();
        let rest = match asked {
            Some(asked) => asked.saturating_add(PAUSE.mul_f64(jitter)),
            None => (PAUSE * 2_u32.pow(self.again)).mul_f64(0.5 + jitter),
        };
        if rest > PATIENCE || Instant::now() + rest >= self.deadline {
            return false;
        }
        self.again += 1;
        tokio::time::sleep(rest).await;
        true
    }
}
