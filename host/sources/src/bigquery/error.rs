//! BigQuery's reasons, sorted by what a guest can do about them. Its messages are shown only where
//! they speak of the statement and its data, and without the project's and the dataset's names.

use std::time::Duration;

use remit_domain::data::{Error, Refusal, Rejection, Wait};

use super::wire::Reason;
use crate::sql::rows;

/// What messages and limits are told with.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) project: String,
    pub(super) dataset: Option<String>,
    /// How long a statement may take.
    pub(super) allowed: Duration,
    /// How many bytes it may read.
    pub(super) max_bytes: u64,
}

/// When a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// While it was looked at: nothing is wrong with the data.
    Checking,
    /// While it ran.
    Running,
}

/// The longest message that is passed on.
const MAX_MESSAGE_CHARS: usize = 400;

impl Telling {
    /// A failure by its reason. `wait_ms`: how long the answer asks to wait.
    pub(super) fn error(&self, why: &Reason, stage: Stage, wait_ms: Option<u32>) -> Error {
        let wait = |message: &str| Wait { message: message.to_owned(), retry_after_ms: wait_ms };
        match why.reason.as_str() {
            "invalidQuery" | "invalid" | "parseError" => self.invalid(why, stage),
            "notFound" => Error::NotFound(self.clean(&why.message)),
            "accessDenied" => Error::Denied("the source's account may not do that".to_owned()),
            "rateLimitExceeded" | "quotaExceeded" | "jobRateLimitExceeded" | "userRateLimitExceeded" => {
                Error::Throttled(wait("the warehouse takes no more requests now"))
            }
            "backendError" | "internalError" | "jobBackendError" | "jobInternalError" | "tableUnavailable" => {
                Error::Unavailable(wait("the warehouse failed and may do better later"))
            }
            "bytesBilledLimitExceeded" => self.too_expensive(),
            "timeout" | "stopped" => rows::too_slow(self.allowed),
            "responseTooLarge" => rows::result_too_large(),
            other => {
                tracing::warn!(reason = other, message = why.message, "BigQuery refused a statement");
                let code: String = other.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
                rejected(Refusal::Rule, &code, format!("the warehouse refused it ({code})"))
            }
        }
    }

    /// A statement that would read more than it may.
    pub(super) fn too_expensive(&self) -> Error {
        Error::Limit { name: "max-bytes-billed", allowed: self.max_bytes }
    }

    /// A statement that BigQuery does not take, or that met data it can't work with.
    fn invalid(&self, why: &Reason, stage: Stage) -> Error {
        let message = self.clean(&why.message);
        let says = |part: &str| why.message.contains(part);
        if says("Could not serialize access") || says("due to concurrent update") {
            return rejected(Refusal::Conflict, &why.reason, "another statement got there first".to_owned());
        }
        if says("cannot be null") || says("must match at most one source row") {
            return rejected(Refusal::Constraint, &why.reason, message);
        }
        let unknown = ["Unrecognized name", "Function not found", "not found inside"].iter().any(|part| says(part));
        match stage {
            Stage::Checking if unknown => Error::NotFound(message),
            Stage::Checking => Error::Invalid(message),
            Stage::Running => rejected(Refusal::Rule, &why.reason, message),
        }
    }

    fn clean(&self, message: &str) -> String {
        let mut text = message.to_owned();
        for sign in [".", ":"] {
            text = text.replace(&format!("{}{sign}", self.project), "");
        }
        if let Some(dataset) = &self.dataset {
            text = text.replace(&format!("{dataset}."), "");
        }
        text = text.replace(&self.project, "(project)");
        let words = text.split_whitespace().filter(|word| !word.contains("://"));
        words.collect::<Vec<_>>().join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
    }
}

fn rejected(reason: Refusal, code: &str, message: String) -> Error {
    Error::Rejected(Rejection { reason, code: Some(code.to_owned()), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_by_what_can_be_done() {
        let telling = Telling {
            project: "acme-prod".to_owned(),
            dataset: Some("sales".to_owned()),
            allowed: Duration::from_millis(400),
            max_bytes: 1_000,
        };
        let of = |reason: &str, message: &str, stage| {
            let why = Reason { reason: reason.to_owned(), message: message.to_owned() };
            let error = telling.error(&why, stage, Some(2_000));
            assert!(!format!("{error:?}").contains("acme-prod"), "{error:?}");
            error
        };
        let (checking, running) = (Stage::Checking, Stage::Running);
        assert_eq!(
            of("notFound", "Not found: Table acme-prod:sales.nope was not found in location EU", checking),
            Error::NotFound("Not found: Table nope was not found in location EU".to_owned())
        );
        assert_eq!(
            of("invalidQuery", "Syntax error: see https://evil.example/x at [1:8]", checking),
            Error::Invalid("Syntax error: see at [1:8]".to_owned())
        );
        for (reason, message, stage, case) in [
            ("invalidQuery", "Unrecognized name: missing at [1:8]", checking, "not-found"),
            ("invalidQuery", "division by zero: 1 / 0", running, "rejected"),
            ("accessDenied", "Access Denied: Project acme-prod: User x@y.iam", checking, "denied"),
            ("rateLimitExceeded", "", checking, "throttled"),
            ("quotaExceeded", "", running, "throttled"),
            ("backendError", "", running, "unavailable"),
            ("stopped", "", running, "limit"),
            ("responseTooLarge", "", running, "limit"),
            ("billingNotEnabled", "acme-prod has none", running, "rejected"),
            ("", "", running, "rejected"),
        ] {
            assert_eq!(of(reason, message, stage).case(), case, "{reason} {message}");
        }
        assert_eq!(
            of("bytesBilledLimitExceeded", "", running),
            Error::Limit { name: "max-bytes-billed", allowed: 1_000 }
        );
        let reason = |error| if let Error::Rejected(why) = error { Some(why.reason) } else { None };
        let conflict = "Could not serialize access to table acme-prod:sales.t due to concurrent update";
        assert_eq!(reason(of("invalidQuery", conflict, running)), Some(Refusal::Conflict));
        assert_eq!(
            reason(of("invalidQuery", "Required field name cannot be null", running)),
            Some(Refusal::Constraint)
        );
        let waits = Error::Throttled(Wait {
            message: "the warehouse takes no more requests now".to_owned(),
            retry_after_ms: Some(2_000),
        });
        assert_eq!(of("quotaExceeded", "", checking), waits);
    }
}
