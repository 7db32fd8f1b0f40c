//! MySQL's and MariaDB's error numbers, sorted by what a guest can do about them.
//!
//! Their messages are shown only where they speak of the statement and its data; others name
//! accounts, hosts or files.

use std::time::Duration;

use remit_domain::data::{Error, Refusal, Rejection, Wait};
use sqlx::mysql::MySqlDatabaseError;

use crate::sql::{Fault, rows};

/// A failure while a statement ran. `allowed` is the time it had; `schema` is the database's name,
/// which stays with the operator.
pub(super) fn fault(error: &sqlx::Error, allowed: Duration, schema: &str) -> Fault {
    match database(error) {
        Some(database) => answered(database, allowed, schema),
        None => {
            tracing::warn!(%error, "a connection to a MySQL server broke");
            Fault::broken()
        }
    }
}

/// A failure to connect. What the server said stays with the operator.
pub(super) fn unconnected(error: &sqlx::Error) -> Error {
    tracing::warn!(%error, "a MySQL server could not be reached");
    match database(error).map(MySqlDatabaseError::number) {
        Some(1040 | 1203 | 1226) => throttled(),
        Some(1044 | 1045 | 1698 | 1049 | 1130) => Error::unavailable("the database did not accept the credentials"),
        Some(number) => Error::unavailable(format!("the database refused the connection with error {number}")),
        None => Error::unavailable("the database could not be reached"),
    }
}

fn database(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

fn answered(error: &MySqlDatabaseError, allowed: Duration, schema: &str) -> Fault {
    let number = error.number();
    let message = error.message().replace(&format!("`{schema}`."), "").replace(&format!("'{schema}."), "'");
    let broken = matches!(number, 1053 | 1152 | 1158..=1161 | 1927 | 4031);
    if broken {
        return Fault::broken();
    }
    let rejected =
        |reason, message: String| Error::Rejected(Rejection { reason, code: error.code().map(str::to_owned), message });
    let error = match number {
        // Its message names the database without quotes.
        1305 => Error::NotFound("the database has no such function".to_owned()),
        // Unknown table, column, database, table in the statement.
        1146 | 1054 | 1049 | 1109 | 1051 => Error::NotFound(message),
        // Syntax, ambiguity, wrong counts, misplaced aggregates, mixed collations and the like.
        1064 | 1149 | 1052 | 1055 | 1056 | 1058 | 1066 | 1110 | 1111 | 1136 | 1139 | 1140 | 1210 | 1221 | 1222
        | 1235 | 1241 | 1242 | 1247 | 1248 | 1267 | 1271 | 1318 | 1463 | 1582 | 1583 | 3141 | 3143 | 4036 | 4037
        | 4038 => Error::Invalid(message),
        // Not null, duplicate, foreign keys, no default, check.
        1022 | 1048 | 1062 | 1169 | 1216 | 1217 | 1364 | 1451 | 1452 | 1557 | 1586 | 1761 | 1762 | 3819 | 4025 => {
            rejected(Refusal::Constraint, message)
        }
        // Lock waits, deadlocks, changed since read.
        1205 | 1213 | 1614 | 1689 | 3058 | 3572 | 1020 => {
            rejected(Refusal::Conflict, "another statement got there first".to_owned())
        }
        // A value that does not fit its column.
        1264 | 1265 | 1292 | 1365 | 1366 | 1367 | 1406 | 1411 | 1441 | 1690 | 3140 | 3156 => {
            rejected(Refusal::Rule, message)
        }
        // Read-only connection or server; no right to do this.
        1792 | 1290 | 1836 => Error::Denied("the database is read only here".to_owned()),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1295 | 1148 | 1698 => {
            Error::Denied("the source's account may not do that".to_owned())
        }
        // Out of its time.
        1969 | 3024 | 1317 => rows::too_slow(allowed),
        1040 | 1203 | 1226 | 1041 => throttled(),
        _ => {
            tracing::warn!(number, message, "a MySQL server refused a statement");
            rejected(Refusal::Rule, format!("the database refused it with error {number}"))
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
