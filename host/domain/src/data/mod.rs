//! Ports: data sources, one module a family, as the contract in `wit/` states them.
//!
//! What a connector may rely on: the operation was admitted (it is handed the proof), and nothing
//! else. What it must hold: a reading operation changes nothing whatever its text says, limits are
//! kept while data streams in, and no error text holds a secret, a host name or a URL.

pub mod documents;
mod error;
pub mod files;
pub mod http_api;
pub mod sql;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use error::{Error, Refusal, Rejection, Wait};

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
}

impl Handle {
    /// The family, as the contract names its interface.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Sql(_) => "sql",
            Self::Documents(_) => "documents",
            Self::Api(_) => "http-api",
            Self::Files(_) => "files",
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
}
