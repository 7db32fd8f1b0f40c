//! Failures, and short ways to make them. The kinds themselves are the contract's.

use crate::{AskError, Cause, Error, Problem, SourceFailure};

impl Error {
    /// The tool's own rules say no; the text is for the model and the user.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// An argument breaks a rule that the schema cannot state. `pointer` is a JSON pointer to it,
    /// such as `/customer_id`.
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem { pointer: pointer.into(), message: message.into() }])
    }

    /// Why a source failed, if that is what happened.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Source(failure) => Some(&failure.cause),
            _ => None,
        }
    }

    /// Whether the same request may be sent again as it is.
    pub fn may_be_repeated(&self) -> bool {
        matches!(self.cause(), Some(Cause::Throttled(_) | Cause::Unavailable(_)))
    }

    /// A handle was not to be had: not granted, or its source does not open.
    pub(crate) fn of_taking(source: &str, cause: Cause) -> Self {
        match cause {
            Cause::NotFound(_) => Self::NotGranted(source.to_owned()),
            cause => Self::of_source(source, cause),
        }
    }

    pub(crate) fn of_source(source: &str, cause: Cause) -> Self {
        match cause {
            Cause::Cancelled => Self::Cancelled,
            cause => Self::Source(SourceFailure { source: source.to_owned(), cause }),
        }
    }
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Suspended => Self::Suspended,
            AskError::Cancelled => Self::Cancelled,
            AskError::Unsupported => Self::refused("this needs an answer, and nobody can be asked here"),
            AskError::Invalid(message) => Self::refused(format!("the question is malformed: {message}")),
            AskError::Limit(allowed) => Self::refused(format!("more was asked than the {allowed} allowed")),
        }
    }
}
