//! OAuth access tokens: asked for when one is needed, kept until shortly before they expire, and asked for
//! once however many calls wait.
//!
//! Whoever asks does so in a task of its own, so that a call that goes away takes nothing from the others.
//! Deliberately absent: consent and other grants that need a person, tokens on disk, and the retries of the
//! request that a token is for.

mod account;
mod asking;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderValue;
use remit_domain::data::Error;
use secrecy::SecretString;
use tokio::sync::watch;
use url::Url;

pub(crate) use self::asking::{Client, ClientAuth};
use self::{
    account::Account,
    asking::{Asking, Grant},
};
use crate::guard::Guard;

/// How long before its end a token is no longer used: long enough for a request that begins with it.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a refusal of the token server is believed: it does not heal by itself.
const REFUSED_FOR: Duration = Duration::from_secs(30);
/// How long it is left alone after it did not answer well.
const FAILED_FOR: Duration = Duration::from_secs(5);
/// How often a token may be given up because a source refused it: one that refuses every token must not
/// send the host to the token server with each call.
const SPOILED_EVERY: Duration = Duration::from_secs(10);

/// One credential's access tokens.
pub(crate) struct Tokens {
    asking: Arc<Asking>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// When a token was last given up because a source refused it.
    spoiled: Option<Instant>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Empty,
    Asking(watch::Receiver<Option<Answer>>),
    Good {
        value: HeaderValue,
        until: Instant,
    },
    Failed {
        error: Error,
        until: Instant,
    },
}

type Answer = Result<HeaderValue, Error>;

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// The tokens of a Google service account: `key_file` is what its JSON file holds, `scope` the
    /// permissions, separated by blanks. Asks nobody yet.
    ///
    /// Errors: `invalid` for a file that is no such key; `denied` for a token server that the guard refuses.
    pub(crate) fn service_account(
        key_file: &SecretString,
        scope: &str,
        guard: &Guard,
        timeout: Duration,
    ) -> Result<Arc<Self>, Error> {
        let account = Account::read(key_file, scope)?;
        let url = account.token_uri().clone();
        Self::new(url, Grant::Account(Box::new(account)), guard, timeout)
    }

    /// The tokens that a client gets for itself (RFC 6749, 4.4). Errors: `denied` as above.
    pub(crate) fn client_credentials(
        url: &Url,
        client: Client,
        scope: Option<&str>,
        guard: &Guard,
        timeout: Duration,
    ) -> Result<Arc<Self>, Error> {
        Self::new(url.clone(), Grant::client(client, scope), guard, timeout)
    }

    /// The tokens that a refresh token gets (RFC 6749, 6). A server that answers with another refresh token
    /// gets that one from then on, as long as the process lives. Errors: `denied` as above.
    pub(crate) fn refresh(
        url: &Url,
        client: Option<Client>,
        refresh_token: SecretString,
        guard: &Guard,
        timeout: Duration,
    ) -> Result<Arc<Self>, Error> {
        Self::new(url.clone(), Grant::refresh(client, refresh_token), guard, timeout)
    }

    fn new(url: Url, grant: Grant, guard: &Guard, timeout: Duration) -> Result<Arc<Self>, Error> {
        let asking = Arc::new(Asking::new(url, grant, guard, timeout)?);
        Ok(Arc::new(Self { asking, state: Arc::default() }))
    }

    /// The value of an `Authorization` header, marked as secret.
    ///
    /// Errors: `rejected` if the token server refuses the credential; `throttled`; `unavailable` if it does
    /// not answer, or not with a token; `denied` if the guard refuses it. A failure is remembered for some
    /// seconds. Cancel: others that wait still get the token.
    pub(crate) async fn bearer(&self) -> Answer {
        self.bearer_at(Instant::now()).await
    }

    async fn bearer_at(&self, now: Instant) -> Answer {
        let mut asked = match self.begin(now) {
            Step::Known(answer) => return answer,
            Step::Asked(asked) => asked,
        };
        match asked.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or_else(|| Err(broken())),
            Err(_) => Err(broken()),
        }
    }

    fn begin(&self, now: Instant) -> Step {
        let mut state = lock(&self.state);
        match &state.phase {
            Phase::Good { value, until } if now < *until => return Step::Known(Ok(value.clone())),
            Phase::Failed { error, until } if now < *until => return Step::Known(Err(after(error, *until - now))),
            // One whose task is gone without an answer is closed.
            Phase::Asking(asked) if asked.has_changed().is_ok() => return Step::Asked(asked.clone()),
            _ => {}
        }
        let (answered, asked) = watch::channel(None);
        state.phase = Phase::Asking(asked.clone());
        let (asking, shared) = (self.asking.clone(), self.state.clone());
        tokio::spawn(async move {
            let result = asking.ask().await;
            let answer = result.as_ref().map(|token| token.value.clone()).map_err(Clone::clone);
            lock(&shared).phase = match result {
                Ok(token) => Phase::Good { value: token.value, until: now + usable(token.lifetime) },
                Err(error) => {
                    let until = now + if error.retriable() { FAILED_FOR } else { REFUSED_FOR };
                    Phase::Failed { error, until }
                }
            };
            answered.send_replace(Some(answer));
        });
        Step::Asked(asked)
    }

    /// Gives up a token that a source refused, so that the next call asks for another. One that was given up
    /// before, or soon after another, stays as it is.
    pub(crate) fn spoiled(&self, value: &HeaderValue) {
        self.spoiled_at(value, Instant::now());
    }

    fn spoiled_at(&self, refused: &HeaderValue, now: Instant) {
        let mut state = lock(&self.state);
        let rested = state.spoiled.is_none_or(|before| now.saturating_duration_since(before) >= SPOILED_EVERY);
        if rested && matches!(&state.phase, Phase::Good { value, .. } if value == refused) {
            *state = State { phase: Phase::Empty, spoiled: Some(now) };
        }
    }
}

enum Step {
    Known(Answer),
    Asked(watch::Receiver<Option<Answer>>),
}

/// How long a token with this lifetime is used: a second at least, so that a server that says 0 is not
/// asked for every call.
fn usable(lifetime: Duration) -> Duration {
    lifetime.saturating_sub(MARGIN.min(lifetime / 10)).max(Duration::from_secs(1))
}

/// A remembered failure, with the time for which it stays one.
fn after(error: &Error, rest: Duration) -> Error {
    let mut error = error.clone();
    if let Error::Throttled(wait) | Error::Unavailable(wait) = &mut error {
        let rest = u32::try_from(rest.as_millis()).unwrap_or(u32::MAX);
        wait.retry_after_ms = Some(wait.retry_after_ms.map_or(rest, |asked| asked.max(rest)));
    }
    error
}

fn broken() -> Error {
    Error::unavailable("asking for an access token broke")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
