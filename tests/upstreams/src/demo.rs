//! The demo's state: TechStart's databases and folders as files, made once and kept.
//!
//! It knows nothing of the host's own state beside it, such as the journal.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::data::techstart::{self, Dataset};
use crate::data::{documents, files, table};

/// The collection of customers' analytics.
pub const ANALYTICS_COLLECTION: &str = "customer_analytics";

/// Where the demo's files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// SQLite in place of TechStart's `primary`.
    pub primary: PathBuf,
    /// The document file in place of TechStart's `analytics`.
    pub analytics: PathBuf,
    /// SQLite in place of TechStart's `warehouse`.
    pub warehouse: PathBuf,
    /// A folder in place of TechStart's `documents`.
    pub documents: PathBuf,
    /// A folder in place of TechStart's `storage`.
    pub storage: PathBuf,
}

/// Makes what is missing of `<state>/demo/techstart/`: `{primary,analytics,warehouse}.db`, `documents/`, `storage/`. With `fresh`, all of
/// `<state>/demo` is made anew; no host may have it open then.
///
/// # Errors
/// When a folder or file cannot be made or removed.
pub async fn prepare(state: &Path, fresh: bool) -> Result<Prepared> {
    let demo = state.join("demo");
    if fresh && demo.exists() {
        std::fs::remove_dir_all(&demo).with_context(|| format!("cannot remove {}", demo.display()))?;
    }
    let folder = demo.join("techstart");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let prepared = Prepared {
        primary: folder.join("primary.db"),
        analytics: folder.join("analytics.db"),
        warehouse: folder.join("warehouse.db"),
        documents: folder.join("documents"),
        storage: folder.join("storage"),
    };
    for (folder, files) in [(&prepared.documents, files::DOCUMENTS), (&prepared.storage, files::STORAGE)] {
        if !folder.exists() {
            files::seed(folder, files)?;
        }
    }
    if prepared.primary.exists() && prepared.analytics.exists() && prepared.warehouse.exists() {
        return Ok(prepared);
    }
    let data = techstart::dataset();
    if !prepared.primary.exists() {
        seed_sqlite(&prepared.primary, &data).await?;
    }
    if !prepared.analytics.exists() {
        seed_documents(&prepared.analytics, &data).await?;
    }
    if !prepared.warehouse.exists() {
        table::seed_sqlite(&prepared.warehouse, &techstart::warehouse_tables(&data)).await?;
    }
    Ok(prepared)
}

/// Writes TechStart's tables into a new SQLite file.
///
/// # Errors
/// As [`table::seed_sqlite`].
pub async fn seed_sqlite(path: &Path, data: &Dataset) -> Result<()> {
    table::seed_sqlite(path, &techstart::tables(data)).await
}

/// Writes TechStart's tables into an empty MySQL or MariaDB database, named by the URL's path.
///
/// # Errors
/// As [`table::seed_mysql`].
pub async fn seed_mysql(url: &str, data: &Dataset) -> Result<()> {
    table::seed_mysql(url, &techstart::tables(data)).await
}

/// Writes TechStart's tables into an empty PostgreSQL database, named by the URL's path.
///
/// # Errors
/// As [`table::seed_postgres`].
pub async fn seed_postgres(url: &str, data: &Dataset) -> Result<()> {
    table::seed_postgres(url, &techstart::tables(data)).await
}

/// Writes TechStart's documents into a new file of the embedded document store.
///
/// # Errors
/// As [`documents::seed`].
pub async fn seed_documents(path: &Path, data: &Dataset) -> Result<()> {
    documents::seed(path, &[(ANALYTICS_COLLECTION, &data.analytics)]).await
}

#[cfg(test)]
mod tests;
