//! Bodies: a request's, which has to come in time, and an answer's, which is under way until it is over.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::pulse::Flight;

/// A body did not come in time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body did not come in time")]
pub(crate) struct Slow;

impl Slow {
    /// Whether an error of a request's body goes back to this.
    pub(crate) fn caused(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

/// A request's body. What is counted is the time that the host waits for its bytes, not what it does
/// with them.
pub(super) struct Paced<B> {
    body: B,
    /// How much waiting is left.
    patience: Duration,
    bytes_per_second: u32,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> Paced<B> {
    /// Each second's worth of bytes adds a second to `patience`.
    pub(super) fn new(body: B, patience: Duration, bytes_per_second: u32) -> Self {
        Self { body, patience, bytes_per_second: bytes_per_second.max(1), waiting: None }
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let patience = this.patience;
            let (_, limit) = this.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(patience))));
            ready!(limit.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Slow.into())));
        };
        if let Some((since, _)) = this.waiting.take() {
            this.patience = this.patience.saturating_sub(since.elapsed());
        }
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
        let earned = bytes.unwrap_or_default() as f64 / f64::from(this.bytes_per_second);
        this.patience = this.patience.saturating_add(Duration::try_from_secs_f64(earned).unwrap_or_default());
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: its request is under way for as long as this lives.
pub(super) struct Held {
    body: Body,
    flight: Flight,
    parked: bool,
}

impl Held {
    pub(super) fn new(body: Body, flight: Flight) -> Self {
        flight.park(Instant::now());
        Self { body, flight, parked: true }
    }

    fn park(&mut self, parked: bool) {
        if parked && !self.parked {
            self.flight.park(Instant::now());
        } else if !parked && self.parked {
            self.flight.resume();
        }
        self.parked = parked;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.park(false);
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let held = self.get_mut();
        let frame = Pin::new(&mut held.body).poll_frame(cx);
        held.park(matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
