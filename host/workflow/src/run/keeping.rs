//! What runs leave: how much there is room for, and where outputs lie that are too large for the journal.
//!
//! A large output is kept by the digest of the run's name and what it is, so that no two runs share one: who has
//! another run's digest finds nothing under it. Deliberately absent: when it goes.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use remit_domain::{
    Error, TenantId,
    access::Keys,
    audit::AuditLog,
    execution::{Entry, Outcome, Run, RunId, Stored},
    history::History,
    library::{Artifacts, Digest},
    limits::{Limit, Limits},
    tenant::Tenants,
};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What bounds runs beyond their plans. Without a part, what that part bounds has no bound, and no output may be
/// large.
#[derive(Clone, Default)]
pub struct Keeping {
    /// Where large outputs lie.
    pub outputs: Option<Arc<dyn Artifacts>>,
    /// The keys that runs are begun with.
    pub keys: Option<Arc<dyn Keys>>,
    /// How much there is of tenants' runs.
    pub history: Option<Arc<dyn History>>,
    /// What tenants may.
    pub tenants: Option<Arc<dyn Tenants>>,
    /// Where it goes on record that a run was begun which no request asked for.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// What all runs together read back at once.
    pub loading: Loading,
}

/// Room for large outputs that are read back.
#[derive(Clone)]
pub struct Loading(Arc<Semaphore>);

/// In KiB; twice what a step may leave at most.
const LOADING: u32 = 128 << 10;

impl Default for Loading {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(LOADING).unwrap_or(Semaphore::MAX_PERMITS))))
    }
}

impl Keeping {
    /// What a tenant's runs may leave, as its context says now.
    pub fn bounds(&self, tenant: &TenantId) -> Bounds {
        let context = self.tenants.as_ref().and_then(|tenants| tenants.get(tenant).ok());
        context.map_or_else(Bounds::default, |context| Bounds::of(&context.limits))
    }

    /// Keeps a large output of a run. Lasting once this returns. Errors: [`Error::Internal`].
    pub(super) async fn put(store: &dyn Artifacts, run: &RunId, output: &Value) -> Result<Stored, Error> {
        let text = format!("{run}\n{output}").into_bytes();
        let digest = Digest::of(&text);
        store.put(&digest, &text).await?;
        Ok(Stored { digest, bytes: text.len() as u64 })
    }

    /// A run's large output as it was kept, as JSON; `None` if the run has none of that digest.
    ///
    /// Errors: [`Error::Internal`].
    pub async fn get(&self, run: &RunId, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some(store) = &self.outputs else { return Ok(None) };
        let Some(mut text) = store.get(digest).await? else { return Ok(None) };
        let own = format!("{run}\n");
        if !text.starts_with(own.as_bytes()) {
            return Ok(None);
        }
        text.drain(..own.len());
        Ok(Some(text))
    }

    /// Waits until there is room to read so much back.
    pub(super) async fn reading(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let wanted = u32::try_from(bytes.div_ceil(1024)).unwrap_or(LOADING).min(LOADING);
        // An error would say that the semaphore was closed, which nobody does.
        self.loading.0.acquire_many(wanted).await.ok()
    }
}

/// What is seen of a large output where it does not stand itself.
pub(crate) fn reference(stored: &Stored) -> Value {
    json!({"artifact": stored.digest, "bytes": stored.bytes})
}

/// What a run may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// A step, in bytes of JSON.
    pub step: usize,
    /// What of that stands in the journal.
    pub inline: usize,
    /// All runs of the tenant.
    pub all: u64,
}

impl Bounds {
    /// As a tenant's limits say.
    pub fn of(limits: &Limits) -> Self {
        Self {
            step: limits.size(Limit::StepBytes),
            inline: limits.size(Limit::InlineBytes),
            all: limits.get(Limit::RunBytes),
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::of(&Limits::default())
    }
}

/// How much a tenant's runs take: those that have ended, as they were last counted, and those at work.
#[derive(Debug, Default)]
pub struct Room {
    ended: AtomicU64,
    live: AtomicU64,
}

impl Room {
    /// In bytes.
    pub fn taken(&self) -> u64 {
        self.ended.load(Ordering::Relaxed).saturating_add(self.live.load(Ordering::Relaxed))
    }

    /// Takes a count of those that have ended.
    pub(crate) fn count(&self, ended: u64) {
        self.ended.store(ended, Ordering::Relaxed);
    }
}

/// A run's part of its tenant's room, for as long as it is at work.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) room: Arc<Room>,
    own: AtomicU64,
}

impl Part {
    pub(super) fn of(room: Arc<Room>) -> Self {
        Self { room, own: AtomicU64::new(0) }
    }

    pub(super) fn take(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.room.live.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The run has ended, and counts as such from now on.
    pub(super) fn end(&self) {
        let own = self.own.swap(0, Ordering::Relaxed);
        self.room.live.fetch_sub(own, Ordering::Relaxed);
        self.room.ended.fetch_add(own, Ordering::Relaxed);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.live.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// The bytes of a value as JSON, or a little more; `None` if there are more than `most`. Nothing is written out
/// for it, and nothing looked at beyond that.
pub(crate) fn measured(value: &Value, most: usize) -> Option<usize> {
    let mut room = most;
    take(value, &mut room).then(|| most - room)
}

fn take(value: &Value, room: &mut usize) -> bool {
    /// No number with a fraction is written with more.
    const NUMBER: usize = 25;
    let digits = |whole: u64| whole.checked_ilog10().map_or(1, |digits| digits as usize + 1);
    let text = |text: &str| {
        let escaped = text.bytes().filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).count();
        text.len() + 2 + escaped * 5
    };
    let mut of = |bytes: usize| match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    };
    match value {
        Value::Null | Value::Bool(_) => of(5),
        Value::Number(number) => of(match (number.as_u64(), number.as_i64()) {
            (Some(whole), _) => digits(whole),
            (None, Some(whole)) => digits(whole.unsigned_abs()) + 1,
            (None, None) => NUMBER,
        }),
        Value::String(string) => of(text(string)),
        Value::Array(items) => of(2 + items.len()) && items.iter().all(|item| take(item, room)),
        Value::Object(members) => {
            of(2)
                && members.iter().all(|(name, member)| {
                    let named = room.checked_sub(text(name) + 2);
                    named.is_some_and(|left| {
                        *room = left;
                        take(member, room)
                    })
                })
        }
    }
}

/// About what an entry takes in the journal.
pub(super) fn weight(entry: &Entry) -> u64 {
    /// Names, instants and what stands around them.
    const AROUND: usize = 150;
    let value = |value: &Value| measured(value, usize::MAX).unwrap_or(usize::MAX);
    let (of, path) = match entry {
        Entry::Began { path, input, .. } => (value(input), path.len()),
        Entry::Ended { path, outcome, .. } => match outcome {
            Outcome::Done(output) => (value(output), path.len()),
            Outcome::Stored(_) | Outcome::Skipped => (0, path.len()),
            Outcome::Failed { failure, output } => (value(output) + failure.message.len(), path.len()),
        },
        Entry::Signalled { name, payload, .. } => (value(payload), name.len()),
        Entry::Resolved { path, .. } => (0, path.len()),
        Entry::Cancelled { .. } => (0, 0),
    };
    AROUND.saturating_add(of).saturating_add(path) as u64
}

/// What a run takes before it does anything.
pub(crate) fn weight_of(run: &Run) -> u64 {
    measured(&run.inputs, usize::MAX).unwrap_or(usize::MAX) as u64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_value_is_measured_without_being_written() {
        for value in [
            json!(null),
            json!(-1.234_567_890_123_456_7e-300),
            json!(u64::MAX),
            json!(i64::MIN),
            json!([0, 9, 10, 99, -100]),
            json!("plain"),
            json!("\"quoted\" \\ \u{1} \n ü"),
            json!([1, [2, []], {"a": {"b\"": [true, false, null]}}]),
            json!({}),
        ] {
            let written = value.to_string().len();
            let measured = measured(&value, usize::MAX).unwrap();
            assert!(measured >= written, "{value}: {measured} for {written}");
        }
        let long = json!("x".repeat(1_000));
        assert_eq!(measured(&long, 2_000), Some(1_002));
        assert_eq!(measured(&long, 1_002), Some(1_002));
        assert_eq!(measured(&long, 1_001), None);
        assert_eq!(measured(&json!([10, 20, 30]), 10), None);
        assert_eq!(measured(&json!({"a": "x".repeat(10)}), 10), None);
    }

    #[test]
    fn a_run_gives_its_part_back_or_leaves_it_behind() {
        let room = Arc::new(Room::default());
        room.count(100);
        let (first, second) = (Part::of(room.clone()), Part::of(room.clone()));
        first.take(10);
        second.take(5);
        assert_eq!(room.taken(), 115);
        first.end();
        drop(first);
        assert_eq!(room.taken(), 115);
        drop(second);
        assert_eq!(room.taken(), 110);
        room.count(7);
        assert_eq!(room.taken(), 7);
    }
}
