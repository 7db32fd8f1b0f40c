//! A server's errors, sorted by what a guest can do about them.
//!
//! A server's messages are shown only where they speak of what was asked; others name accounts, hosts or
//! collections' values. What is logged is without messages of servers (the driver's `redact-errors`), since
//! these hold tenants' data.

use std::{io, time::Duration};

use bson::Document;
use mongodb::error::{CommandError, ErrorKind};
use remit_domain::data::{Error, Refusal, Rejection, Wait};

use super::values;
use crate::sql::rows;

/// The most characters of a server's message that are passed on.
const MAX_MESSAGE: usize = 300;

/// What an operation would do: one that may have changed something is told otherwise than one that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Reading,
    Writing,
}

impl Doing {
    /// An operation that was sent, and has no answer.
    fn unanswered(self) -> Error {
        match self {
            Self::Reading => Error::unavailable("the connection to the database broke"),
            Self::Writing => Error::Uncertain("the connection to the database broke before it answered".to_owned()),
        }
    }
}

/// What the driver reports. `database` is its name, which stays with the operator.
pub(super) fn told(error: &mongodb::error::Error, doing: Doing, database: &str, allowed: Duration) -> Error {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => commanded(command, doing, database, allowed),
        _ => {
            tracing::warn!(%error, "an operation on a MongoDB server failed");
            match error.kind.as_ref() {
                ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } => unreachable(),
                ErrorKind::Authentication { .. } => unaccepted(),
                ErrorKind::InvalidTlsConfig { .. } | ErrorKind::DnsResolve { .. } => unreachable(),
                // Before anything was sent.
                ErrorKind::Io(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => unreachable(),
                ErrorKind::Bson(_) | ErrorKind::InvalidArgument { .. } if doing == Doing::Reading => {
                    Error::unavailable("the database sent what can't be read")
                }
                ErrorKind::InvalidArgument { .. } | ErrorKind::SessionsNotSupported => {
                    Error::Invalid("the database does not take this".to_owned())
                }
                _ => doing.unanswered(),
            }
        }
    }
}

/// An operation that was out of its time on this side.
pub(super) fn late(doing: Doing, allowed: Duration) -> Error {
    match doing {
        Doing::Reading => rows::too_slow(allowed),
        Doing::Writing => Error::Uncertain("the database did not answer in time".to_owned()),
    }
}

pub(super) fn unreachable() -> Error {
    Error::unavailable("the database could not be reached")
}

fn unaccepted() -> Error {
    Error::unavailable("the database did not accept the credentials")
}

/// A failure before the operation was sent.
pub(super) fn unreached(error: &mongodb::error::Error) -> Error {
    tracing::warn!(%error, "a MongoDB server could not be reached");
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => unaccepted(),
        ErrorKind::Command(command) if command.code == 18 => unaccepted(),
        _ => unreachable(),
    }
}

/// Whether a change that was answered was made. Errors: `rejected`, `denied` and the like for the first
/// document that was refused; `uncertain` if the deployment may lose it.
pub(super) fn refused(answer: &Document, database: &str) -> Result<(), Error> {
    let part = |document: &Document| {
        let code = i32::try_from(values::count(document, "code")).unwrap_or(0);
        (code, document.get_str("errmsg").unwrap_or_default().to_owned())
    };
    let first = answer.get_array("writeErrors").ok().and_then(|all| all.first());
    if let Some(error) = first {
        let (code, message) = error.as_document().map(part).unwrap_or_default();
        return Err(of_document(code, &message, database));
    }
    if let Ok(concern) = answer.get_document("writeConcernError") {
        let (code, _) = part(concern);
        tracing::warn!(code, "a change was not confirmed by enough MongoDB servers");
        return Err(Error::Uncertain("the change was not confirmed by as many servers as it should".to_owned()));
    }
    Ok(())
}

/// A document that was not changed.
fn of_document(code: i32, message: &str, database: &str) -> Error {
    match code {
        11000 | 11001 | 12582 => {
            rejected(Refusal::Constraint, code, "a document with this key is there already".to_owned())
        }
        121 => rejected(Refusal::Constraint, code, "the document is not as the collection wants it".to_owned()),
        112 => conflict(code),
        50 | 262 => Error::Uncertain("the time was up before all documents were changed".to_owned()),
        _ => general(code).unwrap_or_else(|| rejected(Refusal::Rule, code, said(code, message, database))),
    }
}

fn commanded(error: &CommandError, doing: Doing, database: &str, allowed: Duration) -> Error {
    let code = error.code;
    match code {
        50 | 262 => late_there(doing, allowed),
        112 | 24 | 251 => conflict(code),
        // It ended or gave up its part while it worked.
        6 | 7 | 89 | 91 | 189 | 234 | 9001 | 11600 | 11602 => doing.unanswered(),
        // Not the one to ask, and nothing was done.
        10058 | 10107 | 13435 | 13436 => Error::unavailable("the database has no server for this at the moment"),
        16500 | 462 => {
            Error::Throttled(Wait { message: "the database has too much to do".to_owned(), retry_after_ms: None })
        }
        11000 | 11001 | 121 if doing == Doing::Writing => of_document(code, &error.message, database),
        // Bad values, bad forms, types that do not go together; expressions that can't be computed.
        2 | 9 | 14 | 15 | 52 | 241 | 15998 | 16020 | 16410 | 16554 | 16608 | 16702 | 17124 | 28689 | 28764 | 31002
        | 31249 | 31250 | 31253 | 31254 | 34471 | 40353 | 51024 | 51091 | 51108 | 51111 => {
            Error::Invalid(said(code, &error.message, database))
        }
        _ => general(code).unwrap_or_else(|| {
            tracing::warn!(code, name = error.code_name, "a MongoDB server refused a command");
            rejected(Refusal::Rule, code, format!("the database refused with error {code}"))
        }),
    }
}

/// Codes that mean the same wherever they come from.
fn general(code: i32) -> Option<Error> {
    Some(match code {
        13 => Error::Denied("the database does not let its account do this".to_owned()),
        18 => unaccepted(),
        26 => Error::NotFound("there is no such collection".to_owned()),
        146 | 292 => rejected(Refusal::Rule, code, "this takes more memory than the database has for it".to_owned()),
        10334 | 17280 | 17419 | 17420 => rejected(Refusal::Rule, code, "a document would become too large".to_owned()),
        _ => return None,
    })
}

/// What a server said, without the database's name.
fn said(code: i32, message: &str, database: &str) -> String {
    if message.is_empty() {
        return format!("the database refused with error {code}");
    }
    let message = message.replace(&format!("{database}."), "");
    message.chars().take(MAX_MESSAGE).collect()
}

fn late_there(doing: Doing, allowed: Duration) -> Error {
    match doing {
        Doing::Reading => rows::too_slow(allowed),
        Doing::Writing => Error::Uncertain("the time was up before all documents were changed".to_owned()),
    }
}

fn conflict(code: i32) -> Error {
    rejected(Refusal::Conflict, code, "another change got there first".to_owned())
}

fn rejected(reason: Refusal, code: i32, message: String) -> Error {
    Error::Rejected(Rejection { reason, code: Some(code.to_string()), message })
}
