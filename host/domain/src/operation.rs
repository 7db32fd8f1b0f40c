//! What a call did with its sources, operation by operation, for its audit event.
//!
//! An operation is on record from when it begins: one that is under way when its call ends is recorded as
//! cancelled, and none begins afterwards. Deliberately absent: values. A digest stands for what was asked.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::{SourceName, data::Error, grant::Use};

/// The most operations of one call that its record tells apart; what differs beyond is taken together, so
/// that a plugin that asks for 100,000 things makes a record of some kilobytes.
pub const MAX_DISTINCT: usize = 64;

/// What stands for a statement or request: the first 16 bytes of a SHA-256, so that nobody makes two
/// statements of one digest. Hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 16]);

impl Digest {
    /// Of one text, as `sha256sum` makes it.
    pub fn of_text(text: &str) -> Self {
        Self::cut(Sha256::new().chain_update(text))
    }

    /// Of texts, each with its length before it.
    pub fn of(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self::cut(hash)
    }

    fn cut(hash: Sha256) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash.finalize()).for_each(|(byte, hashed)| *byte = hashed);
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An operation, or equal ones taken together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// On which source; none for [`OTHER`], which may be of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceName>,
    /// Such as `query`; [`OTHER`] for those that are not told apart any more.
    #[serde(rename = "operation")]
    pub name: &'static str,
    /// What was asked. None where nothing is asked (`commit`), and where the permit refused before anything
    /// was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// `ok`, or the error's case; none for [`OTHER`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// How many.
    pub count: u32,
    /// How many of them were answered with what was kept of an earlier answer.
    #[serde(skip_serializing_if = "is_none")]
    pub cached: u32,
    /// Rows or documents that came, or that were changed; people or rooms that a message went to.
    pub rows: u64,
    /// Bytes of values that came, or of a message.
    pub bytes: u64,
    /// How long they took together.
    #[serde(rename = "durationUs", serialize_with = "crate::audit::microseconds")]
    pub duration: Duration,
}

/// The name of what is not told apart any more.
pub const OTHER: &str = "other";

/// What an operation came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Rows or documents.
    pub rows: u64,
    /// Bytes of values.
    pub bytes: u64,
    /// Whether an earlier answer was given again.
    pub cached: bool,
}

impl Operation {
    fn one(source: SourceName, name: &'static str, digest: Option<Digest>) -> Self {
        let source = Some(source);
        Self { source, name, digest, outcome: None, count: 1, cached: 0, rows: 0, bytes: 0, duration: Duration::ZERO }
    }

    fn ended(mut self, outcome: &'static str, extent: Extent, duration: Duration) -> Self {
        self.outcome = Some(outcome);
        (self.rows, self.bytes, self.cached) = (extent.rows, extent.bytes, u32::from(extent.cached));
        self.duration = duration;
        self
    }

    fn equals(&self, other: &Self) -> bool {
        self.digest == other.digest
            && self.name == other.name
            && self.outcome == other.outcome
            && self.source == other.source
    }

    fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.cached = self.cached.saturating_add(other.cached);
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.duration = self.duration.saturating_add(other.duration);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What a call touched: how often it used which source, and its operations.
#[derive(Debug, Default)]
pub struct Touched(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    uses: BTreeMap<SourceName, Use>,
    ended: Vec<Operation>,
    other: Option<Operation>,
    under_way: BTreeMap<u64, (Operation, Instant)>,
    begun: u64,
    closed: bool,
}

/// Everything that a call touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// How often it used which source.
    pub uses: BTreeMap<SourceName, Use>,
    /// Its operations, in the order in which each first ended.
    pub operations: Vec<Operation>,
}

impl Touched {
    /// How often which source was used so far.
    pub fn uses(&self) -> BTreeMap<SourceName, Use> {
        self.state().uses.clone()
    }

    /// Ends the record and gives it. What is under way is in it as cancelled, and no operation begins from
    /// now on.
    pub fn close(&self) -> Record {
        let mut state = self.state();
        state.closed = true;
        for (operation, began) in std::mem::take(&mut state.under_way).into_values() {
            state.add(operation.ended("cancelled", Extent::default(), began.elapsed()));
        }
        let operations = state.ended.drain(..).collect::<Vec<_>>().into_iter();
        let operations = operations.chain(state.other.take()).collect();
        Record { uses: std::mem::take(&mut state.uses), operations }
    }

    pub(crate) fn note(&self, source: &SourceName, more: Use) {
        let mut state = self.state();
        let used = state.uses.entry(source.clone()).or_default();
        used.reads = used.reads.saturating_add(more.reads);
        used.writes = used.writes.saturating_add(more.writes);
        used.denied = used.denied.saturating_add(more.denied);
    }

    /// Notes an operation that the permit refused.
    pub(crate) fn refused(&self, source: &SourceName, name: &'static str) {
        let operation = Operation::one(source.clone(), name, None);
        let operation = operation.ended("denied", Extent::default(), Duration::ZERO);
        told(&operation);
        self.state().add(operation);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, operation: Operation) {
        if let Some(equal) = self.ended.iter_mut().find(|it| it.equals(&operation)) {
            equal.add(&operation);
        } else if self.ended.len() < MAX_DISTINCT {
            self.ended.push(operation);
        } else if let Some(other) = &mut self.other {
            other.add(&operation);
        } else {
            self.other = Some(Operation { source: None, name: OTHER, digest: None, outcome: None, ..operation });
        }
    }
}

/// Where the operations on one source of one call are recorded.
#[derive(Debug, Clone)]
pub struct Recorder {
    touched: Arc<Touched>,
    source: SourceName,
}

impl Recorder {
    pub(crate) fn new(touched: &Arc<Touched>, source: &SourceName) -> Self {
        Self { touched: touched.clone(), source: source.clone() }
    }

    /// Begins an operation. Dropped without its end, it is recorded as cancelled.
    ///
    /// Errors: `cancelled` if the call is over; nothing may be done then.
    pub fn begin(&self, name: &'static str, digest: Option<Digest>) -> Result<UnderWay, Error> {
        let mut state = self.touched.state();
        if state.closed {
            return Err(Error::Cancelled);
        }
        let (id, began) = (state.begun, Instant::now());
        state.begun += 1;
        state.under_way.insert(id, (Operation::one(self.source.clone(), name, digest), began));
        Ok(UnderWay { touched: self.touched.clone(), id: Some(id) })
    }
}

/// An operation under way.
#[derive(Debug)]
pub struct UnderWay {
    touched: Arc<Touched>,
    id: Option<u64>,
}

impl UnderWay {
    /// Ends the operation, with `ok` or the error's case.
    pub fn end(mut self, outcome: &'static str, extent: Extent) {
        self.finish(outcome, extent);
    }

    fn finish(&mut self, outcome: &'static str, extent: Extent) {
        let Some(id) = self.id.take() else { return };
        let mut state = self.touched.state();
        // Gone if the record was closed first, in which it is.
        if let Some((operation, began)) = state.under_way.remove(&id) {
            let operation = operation.ended(outcome, extent, began.elapsed());
            told(&operation);
            state.add(operation);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.finish("cancelled", Extent::default());
    }
}

fn told(operation: &Operation) {
    tracing::debug!(
        source = operation.source.as_ref().map(SourceName::as_str),
        operation = operation.name,
        digest = operation.digest.map(tracing::field::display),
        outcome = operation.outcome,
        cached = operation.cached > 0,
        rows = operation.rows,
        bytes = operation.bytes,
        duration_us = u64::try_from(operation.duration.as_micros()).unwrap_or(u64::MAX),
        "an operation on a source"
    );
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn recorder() -> (Arc<Touched>, Recorder) {
        let touched = Arc::new(Touched::default());
        let recorder = Recorder::new(&touched, &SourceName::new("primary").unwrap());
        (touched, recorder)
    }

    fn run(recorder: &Recorder, statement: &str, outcome: &'static str, extent: Extent) {
        recorder.begin("query", Some(Digest::of(&[statement]))).unwrap().end(outcome, extent);
    }

    #[test]
    fn equal_operations_are_one_entry_with_sums() {
        let (touched, recorder) = recorder();
        let extent = Extent { rows: 2, bytes: 30, cached: false };
        run(&recorder, "SELECT 1", "ok", extent);
        run(&recorder, "SELECT 1", "ok", Extent { cached: true, ..extent });
        run(&recorder, "SELECT 1", "denied", Extent::default());
        run(&recorder, "SELECT 2", "ok", extent);
        let record = touched.close();
        let told = record.operations.iter().map(|it| (it.outcome, it.count, it.cached, it.rows, it.bytes));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(Some("ok"), 2, 1, 4, 60), (Some("denied"), 1, 0, 0, 0), (Some("ok"), 1, 0, 2, 30)]
        );
        let json = serde_json::to_value(&record.operations).unwrap();
        assert_eq!(json.pointer("/0/operation"), Some(&"query".into()));
        assert_eq!(json.pointer("/0/digest").and_then(|it| it.as_str()).map(str::len), Some(32));
        assert!(json.pointer("/2/cached").is_none());
    }

    #[test]
    fn a_flood_makes_a_bounded_record() {
        let (touched, recorder) = recorder();
        for at in 0..100_000 {
            run(&recorder, &at.to_string(), "ok", Extent { rows: 1, bytes: 1, cached: false });
        }
        let operations = touched.close().operations;
        assert_eq!(operations.len(), MAX_DISTINCT + 1);
        let other = operations.last().unwrap();
        assert_eq!((other.name, other.count, other.rows), (OTHER, 99_936, 99_936));
        assert!(other.source.is_none() && other.digest.is_none() && other.outcome.is_none());
        assert!(serde_json::to_string(&operations).unwrap().len() < 16 << 10);
    }

    #[test]
    fn what_is_given_up_or_under_way_is_recorded_as_cancelled_and_nothing_begins_later() {
        let (touched, recorder) = recorder();
        drop(recorder.begin("query", None).unwrap());
        let late = recorder.begin("execute", None).unwrap();
        let record = touched.close();
        let told: Vec<_> = record.operations.iter().map(|it| (it.name, it.outcome)).collect();
        assert_eq!(told, [("query", Some("cancelled")), ("execute", Some("cancelled"))]);
        late.end("ok", Extent::default());
        assert_eq!(recorder.begin("query", None).err(), Some(Error::Cancelled));
        assert_eq!(touched.close(), Record::default());
    }

    #[test]
    fn texts_next_to_each_other_are_told_apart() {
        assert_ne!(Digest::of(&["ab", "c"]), Digest::of(&["a", "bc"]));
        // The first half of what `printf abc | sha256sum` prints.
        assert_eq!(Digest::of_text("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223");
    }
}
