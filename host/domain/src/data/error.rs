//! Why an operation on a source failed, by cause: the contract's `error`.

/// Why an operation failed. The case alone says whether the same request may be sent again:
/// [`Error::Throttled`] and [`Error::Unavailable`] may, unchanged; no other may.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not permitted. Nothing happened.
    #[error("denied: {0}")]
    Denied(String),
    /// Malformed: bad syntax, a wrong type, an unsafe path. Nothing happened.
    #[error("invalid: {0}")]
    Invalid(String),
    /// There is no such table, collection, path or source.
    #[error("not found: {0}")]
    NotFound(String),
    /// Larger than the host allows. Nothing was delivered.
    #[error("over the limit {name} ({allowed})")]
    Limit {
        /// Which, as the contract names it: `max-rows`.
        name: &'static str,
        /// The most that is allowed, in the unit that the limit is documented with.
        allowed: u64,
    },
    /// Too many requests. Nothing happened.
    #[error("throttled: {}", .0.message)]
    Throttled(Wait),
    /// Not reached, or did not take the request. Nothing happened.
    #[error("unavailable: {}", .0.message)]
    Unavailable(Wait),
    /// Sent, and no answer came: it may have taken effect.
    #[error("uncertain: {0}")]
    Uncertain(String),
    /// Understood and refused.
    #[error("rejected: {}", .0.message)]
    Rejected(Rejection),
    /// The call is cancelled or out of time.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// [`Error::Unavailable`] without a known time to wait.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable(Wait { message: message.into(), retry_after_ms: None })
    }

    /// Whether the same request may be sent again.
    pub fn retriable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable(_))
    }

    /// The case's name, as the contract writes it.
    pub fn case(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not-found",
            Self::Limit { .. } => "limit",
            Self::Throttled(_) => "throttled",
            Self::Unavailable(_) => "unavailable",
            Self::Uncertain(_) => "uncertain",
            Self::Rejected(_) => "rejected",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How long to wait before sending again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// For people; holds no host name or credential.
    pub message: String,
    /// If the source or the host knows.
    pub retry_after_ms: Option<u32>,
}

/// A source's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What kind of refusal.
    pub reason: Refusal,
    /// The source's own code, such as SQLSTATE `23505`.
    pub code: Option<String>,
    /// For people, cleaned of secrets.
    pub message: String,
}

/// The kinds of refusal that a plugin can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A uniqueness, foreign-key or check rule would be broken.
    Constraint,
    /// Somebody else changed the same thing first.
    Conflict,
    /// Any other rule of the source.
    Rule,
}
