//! Values that travel as text: whether a guest's are what they say, and the forms they take.

use remit_domain::data::{Error, sql::Value};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const TIME: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]");
const TIME_PARTS: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second].[subsecond]");

/// Checks parameters. Errors: `invalid` for a decimal, date, time, timestamp, UUID or JSON document
/// that is none.
pub(crate) fn check(parameters: &[Value]) -> Result<(), Error> {
    for (at, value) in parameters.iter().enumerate() {
        let (valid, kind) = match value {
            Value::Decimal(text) => (is_decimal(text), "a decimal number"),
            Value::Date(text) => (date(text).is_some(), "a date such as 2026-11-23"),
            Value::Time(text) => (time(text).is_some(), "a time such as 13:45:00"),
            Value::Timestamp(text) => (timestamp(text).is_some(), "a timestamp such as 2026-11-23T13:45:00Z"),
            Value::Uuid(text) => (is_uuid(text), "a hyphenated UUID"),
            Value::Json(text) => (is_json(text), "JSON"),
            Value::Real(number) => (number.is_finite(), "a finite number"),
            Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Text(_) | Value::Blob(_) => (true, ""),
        };
        if !valid {
            return Err(Error::Invalid(format!("parameter ${} is not {kind}", at + 1)));
        }
    }
    Ok(())
}

/// Whether a text is decimal digits with a sign and a point at most, as many as MySQL's 65.
pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && all_digits(part) && digits.len() <= 66
}

/// Whether a text is one JSON document.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(crate) fn date(text: &str) -> Option<Date> {
    Date::parse(text, DATE).ok()
}

pub(crate) fn time(text: &str) -> Option<Time> {
    Time::parse(text, if text.contains('.') { TIME_PARTS } else { TIME }).ok()
}

/// A timestamp in UTC, or as it is if it has no zone.
pub(crate) fn timestamp(text: &str) -> Option<PrimitiveDateTime> {
    if let Ok(instant) = OffsetDateTime::parse(text, &Rfc3339) {
        let utc = instant.checked_to_offset(UtcOffset::UTC)?;
        return Some(PrimitiveDateTime::new(utc.date(), utc.time()));
    }
    let (day, clock) = text.split_once(['T', ' '])?;
    Some(PrimitiveDateTime::new(date(day)?, time(clock)?))
}

/// `2026-11-23`.
pub(crate) fn write_date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// `13:45:00`, with as many digits after it as are not zero, to the microsecond.
pub(crate) fn write_time(time: Time) -> String {
    let mut text = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
    text.push_str(&fraction(time.microsecond()));
    text
}

/// The date and the time with a sign between them: `T` for guests, a space for databases.
pub(crate) fn write_timestamp(instant: PrimitiveDateTime, between: char) -> String {
    format!("{}{between}{}", write_date(instant.date()), write_time(instant.time()))
}

/// `.5` for half a second; nothing for a whole one.
pub(crate) fn fraction(microsecond: u32) -> String {
    if microsecond == 0 {
        return String::new();
    }
    format!(".{microsecond:06}").trim_end_matches('0').to_owned()
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_what_it_says_is_refused() {
        let text = |text: &str| text.to_owned();
        for good in [
            Value::Decimal(text("-12.50")),
            Value::Date(text("2026-02-28")),
            Value::Time(text("13:45:00.5")),
            Value::Timestamp(text("2026-11-23T13:45:00.123+02:00")),
            Value::Timestamp(text("2026-11-23T13:45:00")),
            Value::Uuid(text("67e55044-10b1-426f-9247-bb680e5fe0c8")),
            Value::Json(text("{\"a\": [1]}")),
        ] {
            assert_eq!(check(std::slice::from_ref(&good)), Ok(()), "{good:?}");
        }
        for bad in [
            Value::Decimal(text("1e5")),
            Value::Decimal(text("1; DROP")),
            Value::Decimal(text(".5")),
            Value::Decimal("1".repeat(67)),
            Value::Date(text("2026-02-30")),
            Value::Time(text("25:00:00")),
            Value::Timestamp(text("yesterday")),
            Value::Uuid(text("67e55044")),
            Value::Json(text("{")),
            Value::Real(f64::NAN),
        ] {
            assert!(check(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn timestamps_are_told_in_utc() {
        let told = timestamp("2026-11-23T01:30:00.250+02:00").map(|instant| write_timestamp(instant, 'T'));
        assert_eq!(told.as_deref(), Some("2026-11-22T23:30:00.25"));
    }
}
