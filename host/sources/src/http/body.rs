//! An answer's body, in pieces, counted while it streams in.

use async_trait::async_trait;
use remit_domain::data::{Error, http_api::Reader};

/// A body that is being read.
pub(super) struct Body {
    answer: reqwest::Response,
    /// What came in one piece and was not taken whole.
    left: Vec<u8>,
    taken: usize,
    counted: u64,
    allowed: u64,
    limit: &'static str,
    /// Whether what was asked for only reads.
    read: bool,
}

/// The most bytes that a guest takes at once, whatever it asks for.
const MAX_PIECE_BYTES: usize = 1024 * 1024;

impl Body {
    /// A body of at most `allowed` bytes, which the contract calls `limit`. After a request that was
    /// not a `read`, one that breaks off is `uncertain`: what it did is known only to the service.
    pub(super) fn new(answer: reqwest::Response, allowed: u64, limit: &'static str, read: bool) -> Self {
        Self { answer, left: Vec::new(), taken: 0, counted: 0, allowed, limit, read }
    }

    /// All of it. Errors: `limit`, before it is read where the answer says its length; `unavailable`;
    /// `uncertain`.
    pub(super) async fn all(&mut self) -> Result<Vec<u8>, Error> {
        if self.answer.content_length().is_some_and(|length| length > self.allowed) {
            return Err(self.too_large());
        }
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    async fn piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let piece = self.answer.chunk().await.map_err(|error| {
                tracing::warn!(timeout = error.is_timeout(), "an API's answer broke off");
                if self.read {
                    Error::unavailable("the answer broke off")
                } else {
                    Error::Uncertain("the answer broke off; the request may have taken effect".to_owned())
                }
            })?;
            let Some(piece) = piece else { return Ok(None) };
            self.counted = self.counted.saturating_add(piece.len() as u64);
            if self.counted > self.allowed {
                return Err(self.too_large());
            }
            if !piece.is_empty() {
                return Ok(Some(piece.to_vec()));
            }
        }
    }

    fn too_large(&self) -> Error {
        Error::Limit { name: self.limit, allowed: self.allowed }
    }
}

#[async_trait]
impl Reader for Body {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        if max == 0 {
            return Err(Error::Invalid("at least one byte is read".to_owned()));
        }
        if self.taken == self.left.len() {
            match self.piece().await? {
                Some(piece) => (self.left, self.taken) = (piece, 0),
                None => return Ok(None),
            }
        }
        let end = self.left.len().min(self.taken.saturating_add(max.min(MAX_PIECE_BYTES)));
        let piece = self.left.get(self.taken..end).unwrap_or_default().to_vec();
        self.taken = end;
        Ok(Some(piece))
    }
}
