//! Values between SQLite and the contract. SQLite has five storage classes; what else a value is,
//! its column's declaration says.

use remit_domain::data::{Error, sql::Value};
use rust_decimal::Decimal;
use sqlx::{
    Arguments as _, Decode, Row as _, Sqlite, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteArguments, SqliteRow, SqliteValueRef},
};

use super::declared::Declared;
use crate::sql::text;

/// As many significant digits as a binary floating-point number always keeps.
const EXACT_DIGITS: usize = 15;

/// The parameters in the engine's form, in the order of their places.
pub(super) fn arguments(parameters: &[Value], binds: &[usize]) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for value in binds.iter().filter_map(|at| parameters.get(*at)) {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Boolean(value) => arguments.add(i64::from(*value)),
            Value::Integer(value) => arguments.add(*value),
            Value::Real(value) => arguments.add(*value),
            Value::Decimal(digits) => match number(digits) {
                Number::Whole(value) => arguments.add(value),
                Number::Real(value) => arguments.add(value),
                Number::TooLong => arguments.add(digits.clone()),
            },
            Value::Timestamp(value) => {
                let stored = text::timestamp(value).map(|instant| text::write_timestamp(instant, ' '));
                arguments.add(stored.unwrap_or_else(|| value.clone()))
            }
            Value::Blob(bytes) => arguments.add(bytes.clone()),
            Value::Text(text) | Value::Date(text) | Value::Time(text) | Value::Uuid(text) | Value::Json(text) => {
                arguments.add(text.clone())
            }
        };
        added.map_err(|_| Error::Invalid("a parameter can't be given to the database".to_owned()))?;
    }
    Ok(arguments)
}

/// A row's values, told as their columns were declared.
pub(super) fn row(row: &SqliteRow, declared: &[Declared]) -> impl Iterator<Item = Result<Value, Error>> {
    declared.iter().enumerate().map(|(at, declared)| value(row, at, *declared))
}

/// The storage class of a value, in lower case.
pub(super) fn class(row: &SqliteRow, at: usize) -> String {
    match row.try_get_raw(at) {
        Ok(raw) if !raw.is_null() => raw.type_info().name().to_ascii_lowercase(),
        _ => "null".to_owned(),
    }
}

enum Number {
    Whole(i64),
    Real(f64),
    /// More digits than the engine can hold as a number: better a text than another number.
    TooLong,
}

/// A decimal as SQLite can hold it: it has no exact numbers but integers, and compares a text with a
/// computed number as different kinds.
fn number(digits: &str) -> Number {
    let significant = digits.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    if let Ok(whole) = digits.parse() {
        return Number::Whole(whole);
    }
    match digits.parse() {
        Ok(real) if significant <= EXACT_DIGITS => Number::Real(real),
        _ => Number::TooLong,
    }
}

fn value(row: &SqliteRow, at: usize, declared: Declared) -> Result<Value, Error> {
    let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
    // Of a NULL, the type told is its column's.
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let class = raw.type_info();
    Ok(match class.name() {
        "INTEGER" => {
            let integer = read::<i64>(raw)?;
            match declared {
                Declared::Boolean if matches!(integer, 0 | 1) => Value::Boolean(integer == 1),
                Declared::Decimal(scale) => Value::Decimal(with_scale(integer.to_string(), scale.unwrap_or(0))),
                _ => Value::Integer(integer),
            }
        }
        "REAL" => {
            let real = read::<f64>(raw)?;
            match declared {
                Declared::Decimal(scale) if real.is_finite() => Value::Decimal(rounded(real, scale)),
                _ => Value::Real(real),
            }
        }
        "TEXT" => told(string(row, at, raw)?, declared),
        _ => Value::Blob(read(raw)?),
    })
}

fn string(row: &SqliteRow, at: usize, raw: SqliteValueRef<'_>) -> Result<Result<String, Vec<u8>>, Error> {
    if let Ok(text) = read(raw) {
        return Ok(Ok(text));
    }
    // A text that is not UTF-8 is told as the bytes it is.
    let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
    read(raw).map(Err)
}

fn told(text: Result<String, Vec<u8>>, declared: Declared) -> Value {
    let text = match text {
        Ok(text) => text,
        Err(bytes) => return Value::Blob(bytes),
    };
    match declared {
        Declared::Decimal(scale) if text::is_decimal(&text) => {
            Value::Decimal(scale.map_or_else(|| text.clone(), |scale| with_scale(text.clone(), scale)))
        }
        Declared::Date if text::date(&text).is_some() => Value::Date(text),
        Declared::Time if text::time(&text).is_some() => Value::Time(text),
        Declared::Timestamp => match text::timestamp(&text) {
            // An instant with a zone stays as it was written: it is RFC 3339 already.
            Some(_) if text.ends_with('Z') || text.get(19..).is_some_and(|rest| rest.contains(['+', '-'])) => {
                Value::Timestamp(text.replacen(' ', "T", 1))
            }
            Some(instant) => Value::Timestamp(text::write_timestamp(instant, 'T')),
            None => match text::date(&text) {
                Some(_) => Value::Timestamp(format!("{text}T00:00:00")),
                None => Value::Text(text),
            },
        },
        Declared::Uuid => Value::Uuid(text),
        Declared::Json if text::is_json(&text) => Value::Json(text),
        _ => Value::Text(text),
    }
}

/// The decimal digits of a number that was stored in binary, as many as its column declares.
fn rounded(real: f64, scale: Option<usize>) -> String {
    // The shortest decimal that reads back as this number is the one that was stored, unless it had
    // more digits than fit; rounding that, and not the binary value, keeps 1.005 from becoming 1.00.
    let shortest = format!("{real}");
    match (shortest.parse::<Decimal>(), scale) {
        (Ok(decimal), Some(scale)) => {
            let places = u32::try_from(scale).unwrap_or(0).min(Decimal::MAX_SCALE);
            let rounded = decimal.round_dp_with_strategy(places, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
            with_scale(rounded.to_string(), scale)
        }
        (Err(_), Some(scale)) => format!("{real:.scale$}"),
        (_, None) => shortest,
    }
}

/// Fills up with zeros after the point.
fn with_scale(mut digits: String, scale: usize) -> String {
    let have = digits.split_once('.').map_or(0, |(_, part)| part.len());
    if have < scale {
        if have == 0 {
            digits.push('.');
        }
        digits.extend(std::iter::repeat_n('0', scale - have));
    }
    digits
}

fn read<'r, T: Decode<'r, Sqlite>>(raw: SqliteValueRef<'r>) -> Result<T, Error> {
    T::decode(raw).map_err(|_| unreadable())
}

fn unreadable() -> Error {
    Error::Invalid("the database gave a value that can't be read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_numbers_are_told_in_the_declared_digits() {
        for (real, scale, told) in [
            (12.5, Some(2), "12.50"),
            (1.005, Some(2), "1.01"),
            (-0.1, Some(2), "-0.10"),
            (1e20, Some(2), "100000000000000000000.00"),
            (0.1, None, "0.1"),
            (1e-7, None, "0.0000001"),
            (3.0, Some(0), "3"),
        ] {
            assert_eq!(rounded(real, scale), told);
        }
        assert_eq!(with_scale("7".to_owned(), 2), "7.00");
        assert_eq!(with_scale("7".to_owned(), 0), "7");
    }
}
