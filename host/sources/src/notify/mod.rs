//! Connectors: channels to people, mail and Slack. What may be sent to whom is checked here before anything
//! travels: addresses, rooms, templates, limits, the rate, and whether a key was used before.
//!
//! A message that a host keeps instead of sending (`Inbox`) goes the same way up to the last step. Deliberately
//! absent: trying again, which is for whoever sends. No text of an error holds an address or a word of a message.

mod inbox;
mod letter;
mod mailer;
mod message;
mod once;
mod slack;
mod smtp;
mod template;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, sync::Arc};

use governor::{
    DefaultDirectRateLimiter, NotUntil, Quota,
    clock::{Clock, DefaultClock},
};
use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Error, Wait,
        notify::{MAX_KEY_BYTES, Receipts},
    },
};

pub use inbox::{Inbox, Kept, KeptFile};
pub(crate) use mailer::Mailer;
pub(crate) use slack::Workspace;

use self::once::{Begun, Once, Turn};

/// How often a message with a key may be asked for, for each that may be sent: most askings again are of one that
/// was sent, and cost no message.
const NOTES: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// What channels need beyond their definitions.
#[derive(Clone)]
pub struct Notify {
    /// Which messages with a key were handed over.
    pub receipts: Arc<dyn Receipts>,
    /// Where messages are kept that go nowhere. None: they are sent.
    pub inbox: Option<Arc<Inbox>>,
    /// How much a tenant may send through one channel in a minute, and at once: a post counts once, a mail once
    /// for each recipient.
    pub per_minute: NonZeroU32,
}

impl Default for Notify {
    /// Sends, remembers keys as long as it lives, and lets 60 messages a minute pass.
    fn default() -> Self {
        Self {
            receipts: Arc::new(once::Memory::default()),
            inbox: None,
            per_minute: NonZeroU32::MIN.saturating_add(59),
        }
    }
}

/// What all channels share: the rate, the keys, and where messages are kept if they go nowhere.
struct Desk {
    tenant: TenantId,
    name: SourceName,
    limiter: DefaultDirectRateLimiter,
    /// Each message with a key is noted, and synchronised, before anything else is known of it.
    notes: DefaultDirectRateLimiter,
    clock: DefaultClock,
    per_minute: NonZeroU32,
    once: Once,
    inbox: Option<Arc<Inbox>>,
}

/// A message that is asked for.
struct Asked<'a> {
    agent: &'a AgentName,
    operation: &'static str,
    key: Option<&'a str>,
    /// Against the rate.
    count: usize,
}

impl Desk {
    fn new(tenant: &TenantId, name: &SourceName, notify: &Notify) -> Self {
        Self {
            tenant: tenant.clone(),
            name: name.clone(),
            limiter: DefaultDirectRateLimiter::direct(Quota::per_minute(notify.per_minute)),
            notes: DefaultDirectRateLimiter::direct(Quota::per_minute(notify.per_minute.saturating_mul(NOTES))),
            clock: DefaultClock::default(),
            per_minute: notify.per_minute,
            once: Once::new(notify.receipts.clone()),
            inbox: notify.inbox.clone(),
        }
    }

    /// Begins a message, unless one with its key was sent before. Whoever is given the turn ends it.
    ///
    /// Errors: `invalid` for a key that is none; `throttled`, `limit`; as [`Once::begin`].
    async fn begin(&self, asked: Asked<'_>) -> Result<Begun, Error> {
        let Some(key) = asked.key else {
            self.take(asked.count)?;
            return Ok(Begun::Now(Turn::unkeyed()));
        };
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Error::Invalid(format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes")));
        }
        self.notes.check().map_err(|early| self.throttled(&early))?;
        let message = once::receipted(&self.tenant, &self.name, [asked.agent.as_str(), asked.operation, key]);
        let turn = match self.once.begin(message).await? {
            Begun::Before(id) => return Ok(Begun::Before(id)),
            Begun::Now(turn) => turn,
        };
        match self.take(asked.count) {
            Ok(()) => Ok(Begun::Now(turn)),
            Err(throttled) => turn.end(Err(throttled)).await.map(Begun::Before),
        }
    }

    /// Takes so many messages out of the tenant's rate. Errors: `throttled`; `limit` for more than there can
    /// ever be at once.
    fn take(&self, count: usize) -> Result<(), Error> {
        let most = u64::from(self.per_minute.get());
        let beyond = || Error::Limit { name: "max-recipients", allowed: most };
        let Some(count) = NonZeroU32::new(u32::try_from(count).map_err(|_| beyond())?) else { return Ok(()) };
        match self.limiter.check_n(count).map_err(|_| beyond())? {
            Ok(()) => Ok(()),
            Err(early) => Err(self.throttled(&early)),
        }
    }

    fn throttled(&self, early: &NotUntil<<DefaultClock as Clock>::Instant>) -> Error {
        let wait = early.wait_time_from(self.clock.now());
        Error::Throttled(Wait {
            message: format!("the tenant's limit of {} messages a minute is used up", self.per_minute),
            retry_after_ms: Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)),
        })
    }
}

/// Whether a text would be more than one line, or is none at all to a reader.
fn has_controls(text: &str) -> bool {
    text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Holds what is counted against `max-message-bytes`. Errors: `limit`.
fn bounded(bytes: impl IntoIterator<Item = usize>) -> Result<usize, Error> {
    use remit_domain::data::notify::MAX_MESSAGE_BYTES;
    let bytes = bytes.into_iter().fold(0, usize::saturating_add);
    if bytes > MAX_MESSAGE_BYTES {
        return Err(Error::Limit { name: "max-message-bytes", allowed: MAX_MESSAGE_BYTES as u64 });
    }
    Ok(bytes)
}
