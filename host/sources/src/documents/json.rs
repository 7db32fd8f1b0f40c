//! JSON documents with what JSON lacks, written as in MongoDB's relaxed Extended JSON: how values
//! are read, compared and told apart.

use std::cmp::Ordering;

use remit_domain::data::Error;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Operators that run code or write elsewhere.
const FORBIDDEN: [&str; 5] = ["$where", "$function", "$accumulator", "$out", "$merge"];

/// Reads a guest's JSON. `what` names it in messages. Errors: `invalid` if it is none; `limit`
/// (`max-document-bytes`); `denied` for an operator that runs code or writes elsewhere, at any depth.
pub(super) fn parse(what: &str, text: &str) -> Result<Value, Error> {
    if text.len() > remit_domain::data::documents::MAX_DOCUMENT_BYTES {
        return Err(document_too_large());
    }
    let value = serde_json::from_str(text).map_err(|error| Error::Invalid(format!("{what} is not JSON: {error}")))?;
    forbid(&value)?;
    Ok(value)
}

/// As [`parse`], for what must be an object.
pub(super) fn parse_object(what: &str, text: &str) -> Result<Map<String, Value>, Error> {
    match parse(what, text)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Invalid(format!("{what} is not a JSON object"))),
    }
}

fn forbid(value: &Value) -> Result<(), Error> {
    match value {
        Value::Array(items) => items.iter().try_for_each(forbid),
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            if FORBIDDEN.contains(&key.as_str()) {
                return Err(Error::Denied(format!("the operator `{key}` is not admitted")));
            }
            forbid(value)
        }),
        _ => Ok(()),
    }
}

/// Checks a value that is meant as it stands: `$` begins no key in it, but for Extended JSON's own.
/// Errors: `invalid`.
pub(super) fn literal(value: &Value) -> Result<(), Error> {
    match value {
        Value::Array(items) => items.iter().try_for_each(literal),
        Value::Object(object) if object.keys().any(|key| key.starts_with('$')) => match extended(object) {
            Some(_) => Ok(()),
            None => Err(unknown(object.keys().find(|key| key.starts_with('$')))),
        },
        Value::Object(object) => object.values().try_for_each(literal),
        _ => Ok(()),
    }
}

/// The refusal of an operator by name.
pub(super) fn unknown(operator: Option<&String>) -> Error {
    let name: String = operator.map(|name| name.chars().take(64).collect()).unwrap_or_default();
    Error::Invalid(format!("the operator `{name}` is unknown here"))
}

pub(super) fn document_too_large() -> Error {
    let allowed = remit_domain::data::documents::MAX_DOCUMENT_BYTES as u64;
    Error::Limit { name: "max-document-bytes", allowed }
}

/// What Extended JSON writes as an object with one `$` key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Extended {
    ObjectId(String),
    /// In milliseconds since 1970.
    Date(i64),
    Number(Number),
    Binary(String),
}

/// Whether an object is a value of Extended JSON, and which.
pub(super) fn extended(object: &Map<String, Value>) -> Option<Extended> {
    let mut entries = object.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else { return None };
    match (key.as_str(), value) {
        ("$oid", Value::String(id)) => {
            let valid = id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            valid.then(|| Extended::ObjectId(id.to_ascii_lowercase()))
        }
        ("$uuid", Value::String(id)) => Some(Extended::Binary(id.to_ascii_lowercase())),
        ("$date", Value::String(instant)) => {
            let instant = OffsetDateTime::parse(instant, &Rfc3339).ok()?;
            i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok().map(Extended::Date)
        }
        ("$date", Value::Number(milliseconds)) => milliseconds.as_i64().map(Extended::Date),
        ("$date", Value::Object(inner)) => match extended(inner)? {
            Extended::Number(Number::Whole(milliseconds)) => Some(Extended::Date(milliseconds)),
            _ => None,
        },
        ("$numberInt" | "$numberLong", Value::String(digits)) => {
            digits.parse().ok().map(|whole| Extended::Number(Number::Whole(whole)))
        }
        ("$numberDouble", Value::String(digits)) => {
            digits.parse().ok().map(|real| Extended::Number(Number::Real(real)))
        }
        ("$numberDecimal", Value::String(digits)) => {
            Decimal::from_str_exact(digits).ok().map(|exact| Extended::Number(Number::Exact(exact)))
        }
        _ => None,
    }
}

/// A number of any of the kinds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Exact(Decimal),
    Real(f64),
}

/// The number a value is, if it is one.
pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Some(Number::Whole(whole)),
            None => number.as_f64().map(Number::Real),
        },
        Value::Object(object) => match extended(object)? {
            Extended::Number(number) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

impl Number {
    /// The sum, of the more exact kind where both have it; none beyond what the kind can hold.
    pub(super) fn add(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.checked_add(b).map(Self::Whole),
            (Self::Real(_), _) | (_, Self::Real(_)) => Some(Self::Real(self.real() + other.real())),
            _ => self.exact()?.checked_add(other.exact()?).map(Self::Exact),
        }
    }

    pub(super) fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => {
                #[expect(clippy::cast_precision_loss, reason = "what a binary floating-point number is")]
                let real = whole as f64;
                real
            }
            Self::Exact(exact) => exact.to_f64().unwrap_or(f64::NAN),
            Self::Real(real) => real,
        }
    }

    /// Divided by a count: an exact number stays exact, any other becomes a binary one.
    pub(super) fn divide(self, count: u32) -> Self {
        match self {
            Self::Exact(exact) => exact.checked_div(Decimal::from(count)).map_or(Self::Real(f64::NAN), Self::Exact),
            _ => Self::Real(self.real() / f64::from(count)),
        }
    }

    fn exact(self) -> Option<Decimal> {
        match self {
            Self::Whole(whole) => Some(Decimal::from(whole)),
            Self::Exact(exact) => Some(exact),
            Self::Real(_) => None,
        }
    }

    /// As a document holds it.
    pub(super) fn value(self) -> Value {
        match self {
            Self::Whole(whole) => Value::from(whole),
            Self::Exact(exact) => serde_json::json!({ "$numberDecimal": exact.to_string() }),
            Self::Real(real) => serde_json::Number::from_f64(real).map_or(Value::Null, Value::Number),
        }
    }

    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(&b),
            _ => match (self.exact(), other.exact()) {
                (Some(a), Some(b)) => a.cmp(&b),
                // Adding zero makes minus zero plain.
                _ => (self.real() + 0.0).total_cmp(&(other.real() + 0.0)),
            },
        }
    }
}

/// The order of MongoDB's kinds; values of different kinds compare by it alone.
pub(super) fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 5,
        Value::Bool(_) => 8,
        Value::Object(object) => match extended(object) {
            None => 4,
            Some(Extended::Number(_)) => 2,
            Some(Extended::Binary(_)) => 6,
            Some(Extended::ObjectId(_)) => 7,
            Some(Extended::Date(_)) => 9,
        },
    }
}

/// Compares any two values, as MongoDB sorts them.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let differing = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.compare(b),
            _ => match (a, b) {
                (Value::Object(a), Value::Object(b)) => compare_objects(a, b),
                _ => Ordering::Equal,
            },
        },
    })
}

fn compare_objects(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    match (extended(a), extended(b)) {
        (Some(Extended::Date(a)), Some(Extended::Date(b))) => a.cmp(&b),
        (Some(Extended::ObjectId(a)), Some(Extended::ObjectId(b)))
        | (Some(Extended::Binary(a)), Some(Extended::Binary(b))) => a.cmp(&b),
        _ => {
            let differing = a
                .iter()
                .zip(b)
                .map(|((a_key, a), (b_key, b))| {
                    rank(a).cmp(&rank(b)).then_with(|| a_key.cmp(b_key)).then_with(|| compare(a, b))
                })
                .find(|order| order.is_ne());
            differing.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
    }
}

/// A text that equal values share: what an id is stored under, and what groups are told apart by.
pub(super) fn key(value: &Value) -> String {
    match number(value) {
        Some(Number::Real(real)) if real.fract() == 0.0 && real.abs() < 9e15 => format!("{real:.0}"),
        Some(Number::Whole(whole)) => whole.to_string(),
        Some(Number::Exact(exact)) if exact.is_integer() => exact.trunc().normalize().to_string(),
        _ => match value.as_object().and_then(extended) {
            Some(Extended::ObjectId(id)) => format!("{{\"$oid\":\"{id}\"}}"),
            _ => value.to_string(),
        },
    }
}

/// About how many bytes a value takes, as JSON.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(object) => 2 + object.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
    }
}
