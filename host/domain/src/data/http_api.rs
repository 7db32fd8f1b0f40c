//! Port: other people's HTTP services, as `remit:data/http-api` states them.

use async_trait::async_trait;

use super::Error;
use crate::grant::{Access, Permission};

/// The most bytes a request's body may have (`max-request-bytes`).
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// The most bytes an answer read at once may have (`max-response-bytes`).
pub const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes an answer read in pieces may have (`max-stream-bytes`).
pub const MAX_STREAM_BYTES: u64 = 256 * 1024 * 1024;
/// The most headers a request may have (`max-headers`).
pub const MAX_HEADERS: usize = 64;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the head alone.
    Head,
    /// Changes.
    Post,
    /// Changes.
    Put,
    /// Changes.
    Patch,
    /// Changes.
    Delete,
}

/// A request, relative to the service's base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Percent-encoded, without query.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(String, String)>,
    /// Beyond those the host sets.
    pub headers: Vec<(String, String)>,
    /// If any.
    pub body: Option<Vec<u8>>,
    /// Makes a repeated request harmless.
    pub idempotency_key: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decoded.
    pub body: Vec<u8>,
}

/// An answer whose body is read in pieces.
pub struct ResponseHead {
    /// As in [`Response`].
    pub status: u16,
    /// As in [`Response`].
    pub headers: Vec<(String, String)>,
    /// Up to [`MAX_STREAM_BYTES`].
    pub body: Box<dyn Reader>,
}

/// Bytes that arrive in pieces; dropping it ends the transfer.
#[async_trait]
pub trait Reader: Send {
    /// The next bytes, at least one and at most `max`; `None` at the end.
    /// Errors: `unavailable` if the source broke off; `limit` (`max-stream-bytes`).
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error>;
}

/// One service.
#[async_trait]
pub trait Api: Send + Sync {
    /// What a request does, as this provider counts it: the permission it takes.
    fn permission(&self, request: &Request) -> Permission;

    /// Sends a request and waits for the whole answer.
    ///
    /// Errors: `denied` if [`Self::permission`] says more than `access` proves; `invalid` for an
    /// unsafe path or header; `limit`; `throttled`; `unavailable` (not sent); `uncertain` (sent,
    /// no answer). Cancel: what was sent may take effect.
    async fn send(&self, access: Access<'_>, request: &Request) -> Result<Response, Error>;

    /// Sends a request and returns when the head has come. Errors as [`Self::send`].
    async fn open(&self, access: Access<'_>, request: &Request) -> Result<ResponseHead, Error>;
}
