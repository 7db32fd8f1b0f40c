//! SQLite's result codes, sorted by what a guest can do about them.

use libsqlite3_sys as ffi;
use remit_domain::data::{Error, Refusal, Rejection};

use super::{Limits, raw::MAX_VALUE_BYTES};
use crate::sql::{Fault, rows};

/// A failure while a statement ran.
pub(crate) fn fault(error: sqlx::Error, limits: Limits) -> Fault {
    let sqlx::Error::Database(database) = &error else {
        // A worker that is gone, or a value that sqlx could not pass: the statement's state is unknown.
        tracing::warn!(error = %error, "a SQLite connection failed");
        return Fault::broken();
    };
    let code: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or(ffi::SQLITE_ERROR);
    let message = database.message();
    let broken = matches!(
        code & 0xff,
        ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB | ffi::SQLITE_NOMEM | ffi::SQLITE_CANTOPEN
    );
    if broken {
        tracing::warn!(code, message, "a SQLite database failed");
    }
    let error = match code & 0xff {
        ffi::SQLITE_ERROR if message.starts_with("no such ") => Error::NotFound(message.to_owned()),
        ffi::SQLITE_ERROR | ffi::SQLITE_RANGE => Error::Invalid(message.to_owned()),
        ffi::SQLITE_AUTH => Error::Denied("the statement does what is not admitted".to_owned()),
        ffi::SQLITE_READONLY | ffi::SQLITE_PERM => Error::Denied("the database can't be changed".to_owned()),
        ffi::SQLITE_INTERRUPT => rows::too_slow(limits.time),
        ffi::SQLITE_TOOBIG => {
            Error::Limit { name: "max-value-bytes", allowed: u64::from(MAX_VALUE_BYTES.unsigned_abs()) }
        }
        ffi::SQLITE_CONSTRAINT => rejected(Refusal::Constraint, code, message),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            rejected(Refusal::Conflict, code, "another statement holds the database for too long")
        }
        ffi::SQLITE_MISMATCH => rejected(Refusal::Rule, code, "a value is not of its column's type"),
        // A disk that is full says the same.
        ffi::SQLITE_FULL => Error::Limit { name: "max-database-bytes", allowed: limits.file_bytes },
        _ => Error::unavailable(format!("the database failed with SQLite's code {code}")),
    };
    Fault { error, broken, doubtful: false }
}

/// A failure to open the file. The path stays with the operator.
pub(crate) fn unopened(error: &sqlx::Error) -> Error {
    tracing::warn!(%error, "a SQLite database could not be opened");
    Error::unavailable("the database's file could not be opened")
}

fn rejected(reason: Refusal, code: i32, message: &str) -> Error {
    Error::Rejected(Rejection { reason, code: Some(code.to_string()), message: message.to_owned() })
}
