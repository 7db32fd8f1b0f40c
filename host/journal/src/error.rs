//! Why the journal can't be opened, read or written.
//!
//! Deliberately absent: texts for clients. They see `remit_domain::Error::Journal`, whose cause this is.

use std::{path::PathBuf, sync::Arc};

/// Why the journal can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL's scheme is not `sqlite:`.
    #[error("the journal's URL begins with `{0}:`; this build keeps the journal in SQLite: `sqlite:<path>`")]
    Scheme(String),
    /// The URL names no lasting file.
    #[error("`{url}` does not name the journal's file: {reason}")]
    Location {
        /// As configured; a SQLite URL holds no secret.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file or its folder can't be made or protected.
    #[error("the journal's file {} can't be made", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Something else lies there.
    #[error("{} is not a SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// A database of something else lies there.
    #[error("{} is a database, but not a journal of Remit", .0.display())]
    Foreign(PathBuf),
    /// A newer host wrote it.
    #[error("the journal {} has schema version {found}; this host knows up to {known}: start the newer host", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest that this host knows.
        known: i64,
    },
    /// The file is damaged.
    #[error("the journal {} is damaged: restore it, or move it away to begin anew", path.display())]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        cause: sqlx::Error,
    },
    /// SQLite can't open it.
    #[error("the journal {} can't be opened", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A step from one schema version to the next failed; the file is as before it.
    #[error("the journal {} can't be brought to schema version {version}", path.display())]
    Migration {
        /// Which.
        path: PathBuf,
        /// The version that was not reached.
        version: i64,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A write did not happen.
    #[error("the journal can't be written")]
    Write(#[source] sqlx::Error),
    /// A copy was not made.
    #[error("the journal can't be copied to {}", to.display())]
    Copy {
        /// Where to.
        to: PathBuf,
        /// Why.
        #[source]
        cause: sqlx::Error,
    },
    /// A read did not happen.
    #[error("the journal can't be read")]
    Read(#[source] sqlx::Error),
    /// A record can't be turned to JSON, or isn't what this host writes.
    #[error("a record of the journal is not what it should be")]
    Record(#[source] serde_json::Error),
    /// A segment of the audit log is not sealed with this host's key.
    #[error(
        "the seal of segment {segment} of the audit log is not signed with this host's key, and nothing is built on it: \
         `remit audit verify` says more"
    )]
    Unsealed {
        /// Its number.
        segment: i64,
    },
    /// A segment of the audit log that is to be sealed or removed is not as it was written.
    #[error(
        "segment {segment} of the audit log is not as it was written, and stays: `remit audit verify` says what was changed"
    )]
    Altered {
        /// Its number.
        segment: i64,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl Error {
    /// The port's error with this as its cause.
    pub(crate) fn into_domain(self) -> remit_domain::Error {
        remit_domain::Error::Journal(Box::new(self))
    }

    /// As [`Self::into_domain`], for one cause that several waiters share.
    pub(crate) fn shared_into_domain(this: Arc<Self>) -> remit_domain::Error {
        remit_domain::Error::Journal(Box::new(this))
    }
}

/// SQLite's primary result code, if the database itself refused.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether the fault lies in what was to be written, so that writing the rest still makes sense:
/// `ERROR`, `TOOBIG`, `CONSTRAINT`, `MISMATCH` and `RANGE` of <https://sqlite.org/rescode.html>.
pub(crate) fn is_of_the_record(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Encode(_)) || matches!(sqlite_code(error), Some(1 | 18 | 19 | 20 | 25))
}
