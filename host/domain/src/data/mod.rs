//! Ports: data sources, one module a family, as the contract in `wit/` states them.
//!
//! What a connector may rely on: the operation was admitted (it is handed the proof), and nothing
//! else. What it must hold: a reading operation changes nothing whatever its text says, limits are
//! kept while data streams in, and no error text holds a secret, a host name or a URL.

pub mod documents;
mod error;
pub mod files;
pub mod http_api;
pub mod notify;
pub mod sql;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use error::{Error, Refusal, Rejection, Wait};
use time::OffsetDateTime;

use crate::{TenantId, source::Definition};

/// An open source, by family. Cheap to clone; holds no authority by itself.
#[derive(Clone)]
pub enum Handle {
    /// A relational database.
    Sql(Arc<dyn sql::Database>),
    /// A document database.
    Documents(Arc<dyn documents::Store>),
    /// Somebody's HTTP API.
    Api(Arc<dyn http_api::Api>),
    /// A folder of files.
    Files(Arc<dyn files::Folder>),
    /// A channel to people.
    Channel(Arc<dyn notify::Channel>),
}

impl Handle {
    /// The family, as the contract names its interface.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Sql(_) => "sql",
            Self::Documents(_) => "documents",
            Self::Api(_) => "http-api",
            Self::Files(_) => "files",
            Self::Channel(_) => "notify",
        }
    }
}

/// Port: opens sources, pooled by tenant and source.
#[async_trait]
pub trait Sources: Send + Sync {
    /// The connection pool or client of a tenant's source; made on first use, kept while in use.
    ///
    /// Errors: `unavailable` if it cannot be set up now; `not-found` if no connector serves this
    /// kind; `invalid` if its definition cannot work (a missing credential, named without its value).
    async fn open(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Handle, Error>;

    /// Asks the source itself whether it answers, and says how long that took.
    ///
    /// Errors as [`Self::open`], and whatever the source answers.
    async fn probe(&self, tenant: &TenantId, source: &Arc<Definition>) -> Result<Duration, Error>;

    /// What is known of a source without asking it. None for one that is not open.
    fn condition(&self, _tenant: &TenantId, _source: &Arc<Definition>) -> Option<Condition> {
        None
    }
}

/// What is known of a source from what became of earlier operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Whether it is asked.
    pub breaker: Breaker,
    /// Its last failure that was not its caller's: when, and the error's case.
    pub last_error: Option<(OffsetDateTime, &'static str)>,
}

/// Whether a source is asked, after it failed again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// It is.
    Closed,
    /// Not for so long: callers are answered `unavailable` at once.
    Open(Duration),
    /// By one caller, whose answer decides.
    HalfOpen,
}

impl Breaker {
    /// Its name in health.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen => "half-open",
        }
    }
}
