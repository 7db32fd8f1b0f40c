//! One issuer's keys, kept for a while: asked for when a token names one that is not known, and no
//! oftener than [`Times::retry`] says, whatever tokens come in.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jsonwebtoken::DecodingKey;

use super::{
    Refusal, Signing, Times,
    fetch::{Key, Place},
};

/// How long fetching may take in all, metadata included.
const FETCH_TIME: Duration = Duration::from_secs(5);

/// One issuer's keys.
pub(crate) struct Keys {
    place: Place,
    http: reqwest::Client,
    times: Times,
    state: Mutex<State>,
    /// Held while fetching, so that many who wait cause one request.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// The last good set and when it came.
    set: Option<(Arc<[Key]>, Instant)>,
    /// When the issuer was last asked.
    asked: Option<Instant>,
}

impl Keys {
    pub(crate) fn new(place: Place, http: reqwest::Client, times: Times) -> Self {
        Self { place, http, times, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// The key that a token names, as of `now`; fetched if need be.
    ///
    /// Errors: [`Refusal::Invalid`] if the issuer has no such key; [`Refusal::Unavailable`] if there is
    /// no set that is good.
    pub(crate) async fn find(
        keys: &Arc<Self>,
        id: &str,
        signing: Signing,
        now: Instant,
    ) -> Result<DecodingKey, Refusal> {
        let (known, age) = keys.look(id, signing, now);
        let fresh = age.is_some_and(|age| age < keys.times.keys);
        if let (Some(key), true) = (&known, fresh || !keys.may_ask(now)) {
            return Ok(key.clone());
        }
        // In a task of its own: a client that goes away would otherwise stop the fetch that was granted
        // to it, and nobody else would be granted one for a while.
        let refreshing = keys.clone();
        let refreshed = tokio::spawn(async move { refreshing.refresh(now).await });
        if let Err(error) = refreshed.await {
            tracing::error!(%error, "fetching keys broke");
        }
        match keys.look(id, signing, now) {
            (Some(key), _) => Ok(key),
            (None, Some(_)) => Err(Refusal::Invalid("its key is not one of the issuer's")),
            (None, None) => Err(Refusal::Unavailable { retry_after: keys.wait(now) }),
        }
    }

    /// The key, and the age of the set it was looked for in; none, if there is no set that is still good.
    fn look(&self, id: &str, signing: Signing, now: Instant) -> (Option<DecodingKey>, Option<Duration>) {
        let set = self.state().set.clone();
        let set = set.map(|(set, since)| (set, now.saturating_duration_since(since)));
        let Some((set, age)) = set.filter(|(_, age)| *age < self.times.keep) else { return (None, None) };
        let key = set.iter().find(|key| key.is(id, signing)).map(|key| key.key.clone());
        (key, Some(age))
    }

    async fn refresh(&self, now: Instant) {
        let _alone = self.fetching.lock().await;
        if !self.may_ask(now) {
            return;
        }
        self.state().asked = Some(now);
        let fetched = tokio::time::timeout(FETCH_TIME, self.place.keys(&self.http)).await;
        let issuer = &self.place.issuer;
        match fetched {
            Ok(Ok(keys)) => {
                tracing::info!(issuer, keys = keys.len(), "an issuer's keys were fetched");
                self.state().set = Some((keys.into(), now));
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(issuer, %error, cause, "an issuer's keys were not fetched");
            }
            Err(_) => tracing::warn!(issuer, "an issuer's keys did not come in time"),
        }
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.wait(now).is_zero()
    }

    /// How long until the issuer may be asked again.
    fn wait(&self, now: Instant) -> Duration {
        let asked = self.state().asked;
        asked.map_or(Duration::ZERO, |asked| self.times.retry.saturating_sub(now.saturating_duration_since(asked)))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
