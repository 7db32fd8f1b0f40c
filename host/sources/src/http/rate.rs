//! How many requests a source gets: a bucket for each tenant's source, so that one tenant's calls wait for
//! no other's.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter,
    clock::{Clock as _, DefaultClock},
};
use remit_domain::{
    data::{Error, Wait},
    source,
};

use super::provider::Quota;

/// The longest that a request waits for its turn, or for a service that asks to wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// One source's bucket; none lets everything through.
pub(super) struct Rate {
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl Rate {
    /// What the context says, or what is known of the provider.
    pub(super) fn new(authored: Option<&source::Rate>, known: Option<Quota>) -> Self {
        let known = known.and_then(|quota| {
            let requests = NonZeroU32::new(quota.requests)?;
            Some((requests, Duration::from_secs(quota.seconds.into()), NonZeroU32::new(quota.burst)?))
        });
        let quota = authored.map(|rate| (rate.requests, rate.per, rate.requests)).or(known);
        let quota = quota.and_then(|(requests, per, burst)| {
            Some(governor::Quota::with_period(per / requests.get())?.allow_burst(burst))
        });
        let limiter = quota.map(DefaultDirectRateLimiter::direct);
        Self { limiter, clock: DefaultClock::default() }
    }

    /// Waits for a turn. Errors: `throttled` if it does not come soon or not before `deadline`.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<(), Error> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        loop {
            let Err(early) = limiter.check() else { return Ok(()) };
            let wait = early.wait_time_from(self.clock.now());
            if wait > PATIENCE || Instant::now() + wait >= deadline {
                return Err(Error::Throttled(Wait {
                    message: "the source's limit of requests is used up".to_owned(),
                    retry_after_ms: u32::try_from(wait.as_millis()).ok(),
                }));
            }
            tokio::time::sleep(wait).await;
        }
    }
}
