//! The versions of the journal's schema, and how a file comes to the newest.
//!
//! A version that was released is never edited; a change is a new file in `migrations/`.
//! Deliberately absent: steps back. An older host refuses a newer file.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};

use crate::{Error, audit, error::sqlite_code};

/// Each brings the schema from the version before to its own (the first: 1) and sets `user_version`.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_first.sql"),
    include_str!("../migrations/0002_keys.sql"),
    include_str!("../migrations/0003_versions.sql"),
    include_str!("../migrations/0004_chain.sql"),
    include_str!("../migrations/0005_usage.sql"),
    include_str!("../migrations/0006_seals.sql"),
    include_str!("../migrations/0007_operations.sql"),
    include_str!("../migrations/0008_executions.sql"),
    include_str!("../migrations/0009_pins.sql"),
    include_str!("../migrations/0010_receipts.sql"),
    include_str!("../migrations/0011_history.sql"),
    include_str!("../migrations/0012_workflows.sql"),
];

/// The version that chains the audit log: its rows get their hashes from the host, as SQL has none.
const CHAINED: i64 = 4;

/// The schema version that this host writes.
#[expect(clippy::cast_possible_wrap, reason = "a handful of files")]
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// `PRAGMA application_id` of a journal; the first migration sets it.
const APPLICATION_ID: i64 = 0x5265_6D69;

/// Brings a file to [`VERSION`]. Touches nothing if it is not a journal or is of a newer version.
///
/// Errors: [`Error::NotADatabase`], [`Error::Foreign`], [`Error::Newer`], [`Error::Corrupt`],
/// [`Error::Open`], [`Error::Migration`].
pub(crate) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), Error> {
    let opening = |cause| opening(path, cause);
    if version(connection, path).await? < VERSION {
        // Two hosts may start at once: the version counts only under the write lock.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(opening)?;
        let found = version(&mut transaction, path).await?;
        for (migration, version) in MIGRATIONS.iter().zip(1..).filter(|(_, version)| *version > found) {
            let failed = |cause| Error::Migration { path: path.to_owned(), version, cause };
            sqlx::raw_sql(*migration).execute(&mut *transaction).await.map_err(failed)?;
        }
        let failed = |cause| Error::Migration { path: path.to_owned(), version: VERSION, cause };
        if found < CHAINED {
            // At the end: rows are written with all the columns that there are now.
            audit::adopt(&mut transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)?;
    }
    Ok(())
}

/// The version of a file; 0 for a new one. Errors as [`migrate`].
pub(crate) async fn version(connection: &mut SqliteConnection, path: &Path) -> Result<i64, Error> {
    let (application, version, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_application_id AS a, pragma_user_version AS v",
    )
    .fetch_one(connection)
    .await
    .map_err(|cause| opening(path, cause))?;
    match application {
        APPLICATION_ID if version > VERSION => {
            Err(Error::Newer { path: path.to_owned(), found: version, known: VERSION })
        }
        APPLICATION_ID => Ok(version),
        0 if version == 0 && tables == 0 => Ok(0),
        _ => Err(Error::Foreign(path.to_owned())),
    }
}

/// What a failure to open says: 26 is SQLite's `NOTADB`, 11 its `CORRUPT`.
pub(crate) fn opening(path: &Path, cause: sqlx::Error) -> Error {
    let path = path.to_owned();
    match sqlite_code(&cause) {
        Some(26) => Error::NotADatabase(path),
        Some(11) => Error::Corrupt { path, cause },
        _ => Error::Open { path, cause },
    }
}
