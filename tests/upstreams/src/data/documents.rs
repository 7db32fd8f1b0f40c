//! Documents for the embedded document store: a SQLite file with one table.
//!
//! Its format is the store's: `documents(collection, id, body)`, where `id` is the JSON text of `_id`.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::{Connection, Executor};

use super::table::{open_part, part_of, publish};

/// Writes collections into a new file. A half-written file is never seen under `path`.
///
/// # Errors
/// When the folder is missing, the file exists already, a document has no `_id`, or writing fails.
pub async fn seed(path: &Path, collections: &[(&str, &[Value])]) -> Result<()> {
    anyhow::ensure!(!path.exists(), "{} exists already", path.display());
    let part = part_of(path);
    let mut connection = open_part(&part).await?;
    let mut transaction = connection.begin().await?;
    transaction
        .execute(
            "CREATE TABLE documents (collection TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, \
             PRIMARY KEY (collection, id)) WITHOUT ROWID",
        )
        .await?;
    for (collection, documents) in collections {
        for document in *documents {
            let id = document.get("_id").with_context(|| format!("a document of {collection} has no _id"))?;
            sqlx::query("INSERT INTO documents (collection, id, body) VALUES (?, ?, ?)")
                .bind(*collection)
                .bind(id.to_string())
                .bind(document.to_string())
                .execute(&mut *transaction)
                .await
                .with_context(|| format!("document {id} of {collection}"))?;
        }
    }
    transaction.commit().await?;
    publish(connection, &part, path).await
}
