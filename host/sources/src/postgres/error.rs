//! PostgreSQL's SQLSTATEs, sorted by what a guest can do about them.
//!
//! Its messages are shown only where they speak of the statement and its data; others name accounts,
//! databases or files.

use std::time::Duration;

use remit_domain::data::{Error, Refusal, Rejection, Wait};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::sql::{Fault, rows};

/// A failure while a statement ran. `allowed` is the time it had.
pub(super) fn fault(error: &sqlx::Error, allowed: Duration) -> Fault {
    match database(error) {
        Some(database) => answered(database, allowed),
        None => {
            tracing::warn!(%error, "a connection to a PostgreSQL server broke");
            Fault::broken()
        }
    }
}

/// A failure to connect. What the server said stays with the operator.
pub(super) fn unconnected(error: &sqlx::Error) -> Error {
    tracing::warn!(%error, "a PostgreSQL server could not be reached");
    match database(error).map(PgDatabaseError::code) {
        Some("53300" | "53400") => throttled(),
        Some("28000" | "28P01" | "3D000" | "42501") => {
            Error::unavailable("the database did not accept the credentials")
        }
        Some(code) => Error::unavailable(format!("the database refused the connection with SQLSTATE {code}")),
        None => Error::unavailable("the database could not be reached"),
    }
}

/// Whether the server could not tell what types a statement's parameters are of, or took them for
/// types that do not go together.
pub(super) fn lacks_types(error: &sqlx::Error) -> bool {
    matches!(
        database(error).map(PgDatabaseError::code),
        Some("42P18" | "42725" | "42883" | "42804" | "42P08" | "42846")
    )
}

fn database(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

fn answered(error: &PgDatabaseError, allowed: Duration) -> Fault {
    let (code, message) = (error.code(), error.message().to_owned());
    if !matches!(error.severity(), PgSeverity::Error) || code.starts_with("08") || code.starts_with("57P") {
        tracing::warn!(code, message, "a PostgreSQL server ended a session");
        return Fault::broken();
    }
    // A table was altered under a statement that the connection keeps prepared.
    if code == "26000" || (code == "0A000" && message.contains("cached plan")) {
        let error = Error::unavailable("the table was altered meanwhile");
        return Fault { error, broken: true, doubtful: false };
    }
    let rejected =
        |reason, message: String| Error::Rejected(Rejection { reason, code: Some(code.to_owned()), message });
    let error = match code {
        // Unknown table, column, type, schema.
        "42P01" | "42703" | "42704" | "3F000" => Error::NotFound(message),
        "42501" => Error::Denied("the source's account may not do that".to_owned()),
        "25006" => Error::Denied("the database is read only here".to_owned()),
        // Out of its time.
        "57014" => rows::too_slow(allowed),
        "55P03" => rejected(Refusal::Conflict, "another statement got there first".to_owned()),
        "53300" | "53400" => throttled(),
        // Syntax, ambiguity, types that do not go together; too complex; a feature that there is not.
        _ if code.starts_with("42") || code.starts_with("54") || code.starts_with("0A") => Error::Invalid(message),
        _ if code.starts_with("23") => rejected(Refusal::Constraint, message),
        // Serialisation, deadlocks.
        _ if code.starts_with("40") => rejected(Refusal::Conflict, "another statement got there first".to_owned()),
        // A value that does not fit; what a trigger of the operator's raised.
        _ if code.starts_with("22") || code.starts_with("P0") || code.starts_with("44") => {
            rejected(Refusal::Rule, message)
        }
        _ if code.starts_with("53") => {
            tracing::warn!(code, message, "a PostgreSQL server lacks resources");
            Error::unavailable(format!("the database lacks resources (SQLSTATE {code})"))
        }
        _ => {
            tracing::warn!(code, message, "a PostgreSQL server refused a statement");
            rejected(Refusal::Rule, format!("the database refused it with SQLSTATE {code}"))
        }
    };
    Fault { error, broken: false, doubtful: false }
}

fn throttled() -> Error {
    Error::Throttled(Wait {
        message: "the database takes no more connections now".to_owned(),
        retry_after_ms: Some(1_000),
    })
}
