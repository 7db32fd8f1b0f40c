//! What one operation over documents may take: time, and bytes held at once. Whatever a guest wrote
//! decides how much there is to do, so that every loop over it asks here.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use remit_domain::data::Error;
use serde_json::Value;

use crate::sql::rows;

/// The most bytes of documents that are made at once.
const MAX_WORKING_BYTES: usize = 64 * 1024 * 1024;
/// How many levels a document that is worked on may have. What is read has at most the 128 of the
/// parser, and a stage of a pipeline adds to them.
const MAX_DEPTH: usize = 200;
/// How many steps are taken between two looks at the clock.
const STEPS: u32 = 256;

/// The time and the bytes of one operation.
#[derive(Debug)]
pub(super) struct Meter {
    until: Instant,
    allowed: Duration,
    given_up: Arc<AtomicBool>,
    steps: Cell<u32>,
    held: Cell<usize>,
}

/// Whoever waits for an operation. Dropping it gives the operation up.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Meter {
    pub(super) fn begin(allowed: Duration) -> (Self, Waiting) {
        let given_up = Arc::new(AtomicBool::new(false));
        let until = Instant::now() + allowed;
        let meter = Self { until, allowed, given_up: given_up.clone(), steps: Cell::new(0), held: Cell::new(0) };
        (meter, Waiting(given_up))
    }

    /// One step of work. Errors: as [`Self::check`], now and then.
    pub(super) fn step(&self) -> Result<(), Error> {
        let steps = self.steps.get() + 1;
        if steps < STEPS {
            self.steps.set(steps);
            return Ok(());
        }
        self.steps.set(0);
        self.check()
    }

    /// Errors: `limit` (`max-statement-ms`) once the time is up; `cancelled` if nobody waits.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.given_up.load(Ordering::Acquire) {
            return Err(Error::Cancelled);
        }
        if Instant::now() > self.until { Err(rows::too_slow(self.allowed)) } else { Ok(()) }
    }

    /// Asks for room before something is made that is soon let go. Errors: `limit`
    /// (`max-working-bytes`).
    pub(super) fn room(&self, bytes: usize) -> Result<(), Error> {
        if self.held.get().saturating_add(bytes) > MAX_WORKING_BYTES {
            return Err(Error::Limit { name: "max-working-bytes", allowed: MAX_WORKING_BYTES as u64 });
        }
        Ok(())
    }

    /// Counts what is kept. Errors: as [`Self::room`].
    pub(super) fn take(&self, bytes: usize) -> Result<(), Error> {
        self.room(bytes)?;
        self.held.set(self.held.get() + bytes);
        Ok(())
    }

    /// What was counted is let go.
    pub(super) fn release(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }

    /// How much is held.
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }
}

/// About how many bytes a value takes in memory. Errors: `invalid` for one of too many levels.
pub(super) fn weigh(value: &Value) -> Result<usize, Error> {
    weigh_to(value, MAX_DEPTH)
}

/// As [`weigh`], for a document of so many levels at most.
pub(super) fn weigh_to(value: &Value, levels: usize) -> Result<usize, Error> {
    let too_deep = || Error::Invalid("a document has too many levels".to_owned());
    let inside = || levels.checked_sub(1).ok_or_else(too_deep);
    let own = size_of::<Value>();
    Ok(match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => own,
        Value::String(text) => own + text.len(),
        Value::Array(items) => {
            let levels = inside()?;
            items.iter().try_fold(own, |sum, item| Ok::<_, Error>(sum + weigh_to(item, levels)?))?
        }
        Value::Object(object) => {
            let levels = inside()?;
            object
                .iter()
                .try_fold(own, |sum, (key, value)| Ok::<_, Error>(sum + entry(key) + weigh_to(value, levels)?))?
        }
    })
}

/// What a name in an object takes beside its value: itself, its hash and its place.
pub(super) fn entry(name: &str) -> usize {
    size_of::<String>() + name.len() + 2 * size_of::<usize>()
}

#[cfg(test)]
pub(super) fn endless() -> Meter {
    let (meter, waiting) = Meter::begin(Duration::from_secs(3_600));
    // Nobody gives it up.
    std::mem::forget(waiting);
    meter
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn values_weigh_what_they_take_and_have_so_many_levels() {
        let own = size_of::<Value>();
        assert_eq!(weigh(&json!(null)), Ok(own));
        assert_eq!(weigh(&json!(["abc", 1])), Ok(3 * own + 3));
        assert_eq!(weigh(&json!({ "ab": 1 })), Ok(2 * own + entry("ab")));
        assert!(weigh(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(weigh(&nested(MAX_DEPTH + 1)).map_err(|error| error.case()), Err("invalid"));
    }

    #[test]
    fn time_and_bytes_end() {
        let (meter, waiting) = Meter::begin(Duration::ZERO);
        let stopped = (0..=STEPS).find_map(|_| meter.step().err());
        assert_eq!(stopped, Some(Error::Limit { name: "max-statement-ms", allowed: 0 }));
        drop(waiting);
        assert_eq!(meter.check(), Err(Error::Cancelled));
        assert_eq!(meter.take(MAX_WORKING_BYTES), Ok(()));
        assert_eq!(meter.room(1).map_err(|error| error.case()), Err("limit"));
        meter.release(1);
        assert_eq!(meter.take(1), Ok(()));
    }
}
