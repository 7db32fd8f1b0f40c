//! Answers to reads that are given again for a while, for sources whose definition asks for it.
//!
//! Bounded in bytes, for each tenant and for all; a tenant that takes much loses its own first. What is
//! kept is found by its source's definition, what of it the caller may touch, and what was asked, letter by
//! letter. A write through the source makes all of it void. Deliberately absent: who may read, which the
//! permit says before anybody looks here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use remit_domain::{
    SourceName, TenantId,
    data::{http_api::Response, sql::RowSet},
};
use sha2::{Digest as _, Sha256};

use crate::Settings;

/// What an answer takes beside its own bytes.
const EACH: u64 = 256;
/// One answer takes at most this part of a tenant's bytes.
const SHARE: u64 = 8;
/// For so long nothing is kept after a write of which nobody knows when it takes effect.
const UNSURE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// To a query.
    Rows(Arc<RowSet>),
    /// To `find` and `aggregate`.
    Documents(Arc<Vec<String>>),
    /// To `count`.
    Count(u64),
    /// Of an API.
    Response(Arc<Response>),
}

/// What was asked: a SHA-256, so that nobody finds two questions of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// Of parts, each with its length.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Everything that is kept on this host.
#[derive(Debug)]
pub(crate) struct Store {
    all: u64,
    of_a_tenant: u64,
    inner: Mutex<Inner>,
    sources: Mutex<HashMap<(TenantId, SourceName), Weak<Source>>>,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    tenants: HashMap<TenantId, Own>,
    bytes: u64,
    next: u64,
}

/// What is kept of one tenant.
#[derive(Debug, Default)]
struct Own {
    bytes: u64,
    sources: HashMap<u64, HashMap<Key, Item>>,
    /// In the order in which they came.
    order: BTreeMap<u64, (u64, Key)>,
}

#[derive(Debug)]
struct Item {
    answer: Answer,
    bytes: u64,
    until: Instant,
    order: u64,
}

impl Store {
    pub(crate) fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            all: settings.cache_bytes,
            of_a_tenant: settings.cache_bytes_per_tenant,
            inner: Mutex::default(),
            sources: Mutex::default(),
            numbers: AtomicU64::new(0),
        })
    }

    /// A shelf for a source's definition. Those of older definitions, which running calls may still hold,
    /// know of its writes and it of theirs.
    pub(crate) fn shelf(self: &Arc<Self>, tenant: &TenantId, source: &SourceName, time: Duration) -> Shelf {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.clone(), source.clone());
        let source = sources.get(&key).and_then(Weak::upgrade).unwrap_or_else(|| {
            sources.retain(|_, source| source.strong_count() > 0);
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            let (store, tenant) = (self.clone(), tenant.clone());
            let source = Arc::new(Source { store, tenant, number, changes: Mutex::default() });
            sources.insert(key, Arc::downgrade(&source));
            source
        });
        Shelf { source, time }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, tenant: &TenantId, source: u64, key: &Key) {
        let Some(own) = self.tenants.get_mut(tenant) else { return };
        let Some(item) = own.sources.get_mut(&source).and_then(|items| items.remove(key)) else { return };
        own.order.remove(&item.order);
        own.bytes -= item.bytes;
        self.bytes -= item.bytes;
    }

    fn forget(&mut self, tenant: &TenantId, source: u64) {
        let Some(own) = self.tenants.get_mut(tenant) else { return };
        for item in own.sources.remove(&source).into_iter().flat_map(HashMap::into_values) {
            own.order.remove(&item.order);
            own.bytes -= item.bytes;
            self.bytes -= item.bytes;
        }
        if own.sources.is_empty() {
            self.tenants.remove(tenant);
        }
    }

    /// Removes a tenant's oldest. False: it has none.
    fn remove_oldest(&mut self, tenant: &TenantId) -> bool {
        let oldest = self.tenants.get(tenant).and_then(|own| own.order.values().next().copied());
        let Some((source, key)) = oldest else { return false };
        self.remove(tenant, source, &key);
        true
    }

    fn largest(&self) -> Option<TenantId> {
        self.tenants.iter().max_by_key(|(_, own)| own.bytes).map(|(tenant, _)| tenant.clone())
    }
}

/// What is kept of a source, by whoever holds one of its definitions.
#[derive(Debug)]
pub(crate) struct Shelf {
    source: Arc<Source>,
    time: Duration,
}

/// What is kept of one source. Dropped, all of it goes.
#[derive(Debug)]
struct Source {
    store: Arc<Store>,
    tenant: TenantId,
    number: u64,
    changes: Mutex<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    /// How many writes ended so far.
    writes: u64,
    /// Until when a write may still take effect that nobody knows the end of.
    unsure: Option<Instant>,
}

/// A read that began: what it finds may be kept if no write ended since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    key: Key,
    writes: u64,
}

impl Shelf {
    /// The answer to what was asked before; otherwise what [`Self::keep`] wants to know.
    pub(crate) fn get(&self, key: Key) -> Result<Answer, Reading> {
        let Source { store, tenant, number, .. } = &*self.source;
        let writes = self.source.changes().writes;
        let mut inner = store.inner();
        let own = inner.tenants.get(tenant);
        match own.and_then(|own| own.sources.get(number)?.get(&key)) {
            Some(item) if item.until > Instant::now() => Ok(item.answer.clone()),
            Some(_) => {
                inner.remove(tenant, *number, &key);
                Err(Reading { key, writes })
            }
            None => Err(Reading { key, writes }),
        }
    }

    /// Whether an answer of so many bytes is small enough to be kept.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        let store = &self.source.store;
        bytes.saturating_add(EACH) <= store.of_a_tenant.min(store.all) / SHARE
    }

    /// Keeps an answer of so many bytes, which it takes, unless something was written since the read began.
    pub(crate) fn keep(&self, reading: Reading, answer: Answer, bytes: u64) {
        let (bytes, now) = (bytes.saturating_add(EACH), Instant::now());
        let Source { store, tenant, number, .. } = &*self.source;
        // Held until the answer is on the shelf: a write that ends now finds it there.
        let changes = self.source.changes();
        if changes.writes != reading.writes || changes.unsure.is_some_and(|until| until > now) {
            return;
        }
        let mut inner = store.inner();
        inner.remove(tenant, *number, &reading.key);
        while inner.tenants.get(tenant).is_some_and(|own| own.bytes + bytes > store.of_a_tenant) {
            if !inner.remove_oldest(tenant) {
                return;
            }
        }
        while inner.bytes + bytes > store.all {
            let Some(largest) = inner.largest() else { return };
            if !inner.remove_oldest(&largest) {
                return;
            }
        }
        let order = inner.next;
        inner.next += 1;
        inner.bytes += bytes;
        let own = inner.tenants.entry(tenant.clone()).or_default();
        own.bytes += bytes;
        own.order.insert(order, (*number, reading.key));
        let item = Item { answer, bytes, until: now + self.time, order };
        own.sources.entry(*number).or_default().insert(reading.key, item);
        metrics::gauge!("remit_source_cache_bytes").set(inner.bytes as f64);
    }

    /// A write that begins: it makes void what is kept when this is dropped, however it ended.
    pub(crate) fn write(&self) -> Write<'_> {
        Write { shelf: self, known: false }
    }

    /// Makes void what is kept.
    pub(crate) fn written(&self, known: bool) {
        let mut changes = self.source.changes();
        changes.writes += 1;
        if !known {
            changes.unsure = Some(Instant::now() + UNSURE);
        }
        self.source.store.inner().forget(&self.source.tenant, self.source.number);
    }
}

impl Source {
    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.store.inner().forget(&self.tenant, self.number);
    }
}

/// A write under way. One that is given up may take effect later.
pub(crate) struct Write<'a> {
    shelf: &'a Shelf,
    known: bool,
}

impl Write<'_> {
    /// Ends a write of which it is known whether it took effect.
    pub(crate) fn end(mut self) {
        self.known = true;
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.shelf.written(self.known);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn store(all: u64, of_a_tenant: u64) -> Arc<Store> {
        Store::new(&Settings { cache_bytes: all, cache_bytes_per_tenant: of_a_tenant, ..Settings::default() })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn key(text: &str) -> Key {
        Key::of([text.as_bytes()])
    }

    /// Reads: what was kept, or a new answer that is kept.
    fn read(shelf: &Shelf, asked: &str, answer: u64, bytes: u64) -> u64 {
        match shelf.get(key(asked)) {
            Ok(Answer::Count(kept)) => kept,
            Ok(other) => unreachable!("{other:?}"),
            Err(reading) => {
                assert!(shelf.takes(bytes));
                shelf.keep(reading, Answer::Count(answer), bytes);
                answer
            }
        }
    }

    fn shelf(store: &Arc<Store>, of: &str, time: Duration) -> Shelf {
        store.shelf(&tenant(of), &SourceName::new("primary").unwrap(), time)
    }

    #[test]
    fn an_answer_is_given_again_until_something_is_written_or_its_time_is_up() {
        let store = store(1 << 20, 1 << 20);
        let (one, two) = (shelf(&store, "one", HOUR), shelf(&store, "two", HOUR));
        assert_eq!((read(&one, "a", 1, 10), read(&one, "a", 2, 10)), (1, 1));
        assert_eq!(read(&one, "b", 3, 10), 3, "another question");
        assert_eq!(read(&two, "a", 4, 10), 4, "another tenant");
        one.write().end();
        assert_eq!((read(&one, "a", 5, 10), read(&two, "a", 6, 10)), (5, 4), "its own source alone");
        let newer = shelf(&store, "one", Duration::ZERO);
        newer.write().end();
        assert!(one.get(key("a")).is_err(), "a newer definition of the source was written through");
        assert_eq!((read(&newer, "a", 7, 10), read(&newer, "a", 8, 10)), (7, 8));
        drop((one, two, newer));
        let inner = store.inner();
        assert_eq!((inner.bytes, inner.tenants.len()), (0, 0));
    }

    #[test]
    fn what_was_read_before_a_write_ended_is_not_kept() {
        let store = store(1 << 20, 1 << 20);
        let shelf = shelf(&store, "one", HOUR);
        let early = shelf.get(key("a")).unwrap_err();
        let write = shelf.write();
        let during = shelf.get(key("b")).unwrap_err();
        write.end();
        shelf.keep(early, Answer::Count(1), 10);
        shelf.keep(during, Answer::Count(1), 10);
        assert!(shelf.get(key("a")).is_err() && shelf.get(key("b")).is_err());
        assert_eq!((read(&shelf, "a", 2, 10), read(&shelf, "a", 3, 10)), (2, 2));
        // A write that was given up may take effect at any time: nothing is kept for a while.
        drop(shelf.write());
        assert_eq!((read(&shelf, "a", 4, 10), read(&shelf, "a", 5, 10)), (4, 5));
    }

    #[test]
    fn who_keeps_much_loses_its_own() {
        let store = store(10 * EACH * 10, 6 * EACH * 10);
        let (much, little) = (shelf(&store, "much", HOUR), shelf(&store, "little", HOUR));
        for at in 0..20 {
            read(&little, &at.to_string(), at, 0);
        }
        for at in 0..1_000 {
            read(&much, &at.to_string(), at, 2 * EACH);
        }
        let own = |name: &str| store.inner().tenants.get(&tenant(name)).map_or(0, |own| own.bytes);
        assert_eq!((own("little"), own("much")), (20 * EACH, 60 * EACH));
        assert!(store.inner().bytes <= 100 * EACH);
        assert!(much.get(key("999")).is_ok() && much.get(key("0")).is_err(), "the oldest went");
        for at in 0..1_000 {
            read(&little, &at.to_string(), at, EACH);
        }
        assert!(own("little") >= 48 * EACH, "{} of {}", own("little"), own("much"));
        assert!(store.inner().bytes <= 100 * EACH);
        // What is too large is not kept at all.
        assert!(!much.takes(60 * EACH) && much.takes(6 * EACH));
    }
}
