//! Messages with a key are sent once: what is noted before a message travels, and what becomes of the note.
//!
//! Deliberately absent: where notes are kept, which is a port; [`Memory`] is for hosts without a journal.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use remit_domain::{
    SourceName, TenantId,
    data::{
        Error, Wait,
        notify::{Receipt, Receipted, Receipts},
    },
};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};

/// How long a key is good, as the contract says.
const GOOD_FOR: Duration = Duration::hours(24);

/// What a message is noted by.
pub(super) fn receipted(tenant: &TenantId, channel: &SourceName, parts: [&str; 3]) -> Receipted {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Receipted { tenant: tenant.clone(), channel: channel.clone(), digest: hash.finalize().into() }
}

/// The keys of one channel.
pub(super) struct Once {
    receipts: Arc<dyn Receipts>,
    under_way: UnderWay,
}

type UnderWay = Arc<Mutex<HashSet<Receipted>>>;

/// What is known of a key.
pub(super) enum Begun {
    /// A message was sent with it, and has this id.
    Before(String),
    /// It is to be sent now.
    Now(Turn),
}

impl Once {
    pub(super) fn new(receipts: Arc<dyn Receipts>) -> Self {
        Self { receipts, under_way: Arc::default() }
    }

    /// Begins a message. Errors: `unavailable` while another with the key is on its way, and if nothing can be
    /// noted; `uncertain` if nobody knows what became of the first.
    pub(super) async fn begin(&self, message: Receipted) -> Result<Begun, Error> {
        if !lock(&self.under_way).insert(message.clone()) {
            return Err(Error::Unavailable(Wait {
                message: "a message with this key is on its way".to_owned(),
                retry_after_ms: Some(1_000),
            }));
        }
        let mut noted = Noted {
            receipts: self.receipts.clone(),
            under_way: self.under_way.clone(),
            message,
            sent: AtomicBool::new(false),
            noted: false,
        };
        let now = OffsetDateTime::now_utc();
        match self.receipts.begin(&noted.message, now, now - GOOD_FOR).await {
            Ok(None) => {
                noted.noted = true;
                Ok(Begun::Now(Turn(Some(noted))))
            }
            Ok(Some(Receipt::Handed(id))) => Ok(Begun::Before(id)),
            Ok(Some(Receipt::Begun)) => Err(Error::Uncertain(
                "a message with this key was begun before, and nobody knows whether it was sent".to_owned(),
            )),
            Err(error) => {
                tracing::error!(%error, cause = ?std::error::Error::source(&error), "a message could not be noted");
                Err(Error::unavailable("the message could not be noted, so it was not sent"))
            }
        }
    }
}

/// The turn of one message. Dropped before its end, it is forgotten if nothing was sent yet.
pub(super) struct Turn(Option<Noted>);

struct Noted {
    receipts: Arc<dyn Receipts>,
    under_way: UnderWay,
    message: Receipted,
    sent: AtomicBool,
    noted: bool,
}

impl Turn {
    /// Of a message without a key.
    pub(super) fn unkeyed() -> Self {
        Self(None)
    }

    /// From now on nobody knows whether the message arrives, until its end is known.
    pub(super) fn sends(&self) {
        if let Some(noted) = &self.0 {
            noted.sent.store(true, Ordering::Release);
        }
    }

    /// Notes how it ended, and gives that.
    pub(super) async fn end(mut self, result: Result<String, Error>) -> Result<String, Error> {
        let Some(mut noted) = self.0.take() else { return result };
        noted.noted = false;
        let id = match &result {
            Ok(id) => Some(id.as_str()),
            // It stays as begun: nobody knows.
            Err(Error::Uncertain(_)) => return result,
            Err(_) => None,
        };
        if let Err(error) = noted.receipts.end(&noted.message, id).await {
            tracing::error!(%error, "what became of a message could not be noted: its key is not good for another");
        }
        result
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.message);
        if self.noted
            && !self.sent.load(Ordering::Acquire)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (receipts, message) = (self.receipts.clone(), self.message.clone());
            runtime.spawn(async move {
                if let Err(error) = receipts.end(&message, None).await {
                    tracing::error!(%error, "a message that was given up stays noted");
                }
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that end with the process.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<Receipted, (OffsetDateTime, Receipt)>>);

#[async_trait]
impl Receipts for Memory {
    async fn begin(
        &self,
        message: &Receipted,
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<Receipt>, remit_domain::Error> {
        let mut notes = lock(&self.0);
        notes.retain(|_, (at, _)| *at > since);
        if let Some((_, known)) = notes.get(message) {
            return Ok(Some(known.clone()));
        }
        notes.insert(message.clone(), (now, Receipt::Begun));
        Ok(None)
    }

    async fn end(&self, message: &Receipted, id: Option<&str>) -> Result<(), remit_domain::Error> {
        let mut notes = lock(&self.0);
        match (id, notes.get_mut(message)) {
            (Some(id), Some((_, note))) => *note = Receipt::Handed(id.to_owned()),
            (None, Some(_)) => drop(notes.remove(message)),
            (_, None) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn message(key: &str) -> Receipted {
        let (tenant, channel) = (TenantId::new("techstart").unwrap(), SourceName::new("email").unwrap());
        receipted(&tenant, &channel, ["sales", "send", key])
    }

    async fn turn(once: &Once, key: &str) -> Turn {
        match once.begin(message(key)).await.unwrap() {
            Begun::Now(turn) => turn,
            Begun::Before(id) => unreachable!("sent before as {id}"),
        }
    }

    async fn told(once: &Once, key: &str) -> String {
        match once.begin(message(key)).await {
            Ok(Begun::Before(id)) => id,
            Ok(Begun::Now(turn)) => {
                assert!(turn.end(Err(Error::Invalid(String::new()))).await.is_err());
                "now".to_owned()
            }
            Err(error) => error.case().to_owned(),
        }
    }

    #[tokio::test]
    async fn what_was_sent_is_sent_once_and_what_was_not_may_be_again() {
        let once = Once::new(Arc::new(Memory::default()));
        let first = turn(&once, "a").await;
        assert_eq!(told(&once, "a").await, "unavailable", "while the first is on its way");
        first.sends();
        assert!(first.end(Ok("id-1".to_owned())).await.is_ok());
        assert_eq!((told(&once, "a").await, told(&once, "b").await), ("id-1".to_owned(), "now".to_owned()));
        let lost = turn(&once, "c").await;
        lost.sends();
        assert!(lost.end(Err(Error::Uncertain(String::new()))).await.is_err());
        assert_eq!(told(&once, "c").await, "uncertain");
    }

    #[tokio::test]
    async fn a_message_that_is_given_up_is_forgotten_until_it_travels() {
        let once = Once::new(Arc::new(Memory::default()));
        drop(turn(&once, "early").await);
        while told(&once, "early").await != "now" {
            tokio::task::yield_now().await;
        }
        let late = turn(&once, "late").await;
        late.sends();
        drop(late);
        tokio::task::yield_now().await;
        assert_eq!(told(&once, "late").await, "uncertain");
    }

    #[tokio::test]
    async fn a_key_is_good_for_a_day() {
        let memory = Memory::default();
        let (key, now) = (message("a"), OffsetDateTime::now_utc());
        assert_eq!(memory.begin(&key, now, now - GOOD_FOR).await.unwrap(), None);
        memory.end(&key, Some("id")).await.unwrap();
        let later = now + GOOD_FOR - Duration::seconds(1);
        let known = memory.begin(&key, later, later - GOOD_FOR).await.unwrap();
        assert_eq!(known, Some(Receipt::Handed("id".to_owned())));
        let later = now + GOOD_FOR + Duration::seconds(1);
        assert_eq!(memory.begin(&key, later, later - GOOD_FOR).await.unwrap(), None);
    }
}
