//! Port: document databases, as `remit:data/documents` states them. Documents, filters and updates
//! are JSON text.

use async_trait::async_trait;

use super::Error;
use crate::grant::{Reading, Writing};

/// The most bytes one document may have (`max-document-bytes`).
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// The most documents an answer may have (`max-documents`).
pub const MAX_DOCUMENTS: usize = 10_000;
/// The most bytes an answer may have (`max-result-bytes`).
pub const MAX_RESULT_BYTES: usize = 4 * 1024 * 1024;

/// Which documents, how many and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// A filter document; `{}` selects all.
    pub filter: String,
    /// A projection document.
    pub projection: Option<String>,
    /// A sort document.
    pub sort: Option<String>,
    /// How many to pass over first.
    pub skip: u32,
    /// How many at most; 0 means as many as [`MAX_DOCUMENTS`] allows.
    pub limit: u32,
}

/// What an update changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateCount {
    /// Documents that the filter met.
    pub matched: u64,
    /// Documents that now differ.
    pub modified: u64,
    /// The id of a document inserted instead, as JSON.
    pub upserted_id: Option<String>,
}

/// One document database.
///
/// Errors of every method: `invalid` for malformed JSON or an unknown operator; `denied` for
/// operators that run code or write elsewhere; `limit`; `throttled`, `unavailable`, `cancelled`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The documents selected, each as JSON.
    async fn find(&self, access: Reading<'_>, collection: &str, selection: &Selection) -> Result<Vec<String>, Error>;

    /// How many documents a filter meets.
    async fn count(&self, access: Reading<'_>, collection: &str, filter: &str) -> Result<u64, Error>;

    /// The result of a pipeline, given as a JSON array of stages.
    async fn aggregate(&self, access: Reading<'_>, collection: &str, pipeline: &str) -> Result<Vec<String>, Error>;

    /// Inserts documents and returns their ids as JSON. Errors too: `rejected` (`constraint`) for a
    /// duplicate id; `uncertain`.
    async fn insert(&self, access: Writing<'_>, collection: &str, documents: &[String]) -> Result<Vec<String>, Error>;

    /// Changes every document that the filter meets. Errors as [`Self::insert`].
    async fn update(
        &self,
        access: Writing<'_>,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error>;

    /// Deletes every document that the filter meets; an empty filter is `denied`.
    async fn delete(&self, access: Writing<'_>, collection: &str, filter: &str) -> Result<u64, Error>;
}
