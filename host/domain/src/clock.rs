//! Port: what time it is.

use time::OffsetDateTime;

/// The time of day, so that tests can choose it.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// An instant in RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(instant: OffsetDateTime) -> String {
    let cut = instant.replace_millisecond(instant.millisecond()).unwrap_or(instant);
    cut.to_offset(time::UtcOffset::UTC)
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_else(|_| cut.unix_timestamp().to_string())
}
