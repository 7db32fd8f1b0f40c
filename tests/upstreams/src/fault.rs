//! Faults that a test asks a stand-in for.
//!
//! They are set in-process only: no request can switch one on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use axum::http::StatusCode;

use crate::running::lock;

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this status, in the upstream's own shape of errors.
    Status {
        /// The status.
        status: StatusCode,
        /// Seconds for a `Retry-After` header.
        retry_after_s: Option<u32>,
    },
    /// Exactly this answer, such as a proxy's HTML page.
    Answer {
        /// The status.
        status: StatusCode,
        /// The value of `Content-Type`.
        content_type: &'static str,
        /// The body.
        body: String,
    },
    /// The right answer, but late.
    Delay(Duration),
    /// The connection ends without a byte of an answer. The request has been read, and nothing was done.
    Close,
}

impl Fault {
    /// [`Fault::Status`] without `Retry-After`; 500 where `status` is no status.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::Status { status, retry_after_s: None }
    }
}

/// The faults to come: first those of a path, then the queue, then the lasting one.
#[derive(Debug, Default)]
pub struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    paths: BTreeMap<String, Fault>,
    queue: VecDeque<Fault>,
    lasting: Option<Fault>,
}

impl Faults {
    /// Queues a fault for one of the next requests, whatever it asks for.
    pub fn once(&self, fault: Fault) {
        lock(&self.plan).queue.push_back(fault);
    }

    /// Gives every request the fault, until [`Faults::clear`].
    pub fn always(&self, fault: Fault) {
        lock(&self.plan).lasting = Some(fault);
    }

    /// Gives every request for exactly this path (without a query) the fault, until [`Faults::clear`].
    pub fn on(&self, path: impl Into<String>, fault: Fault) {
        lock(&self.plan).paths.insert(path.into(), fault);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        *lock(&self.plan) = Plan::default();
    }

    pub(crate) fn take(&self, path: &str) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        if let Some(fault) = plan.paths.get(path) {
            return Some(fault.clone());
        }
        plan.queue.pop_front().or_else(|| plan.lasting.clone())
    }
}
