//! JSON documents with what JSON lacks, written as in MongoDB's relaxed Extended JSON: how values
//! are read, compared and told apart.

use std::cmp::Ordering;

use base64::Engine as _;
use remit_domain::data::Error;
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::meter::weigh_to;

/// What is never admitted, wherever it stands: it runs code, writes elsewhere, or reads what is no collection
/// of this database. Any other `$` that is on no list of [`super::policy`] is unknown.
const FORBIDDEN: [&str; 20] = [
    "$where",
    "$function",
    "$accumulator",
    "$out",
    "$merge",
    "$changeStream",
    "$collStats",
    "$currentOp",
    "$documents",
    "$indexStats",
    "$listCatalog",
    "$listLocalSessions",
    "$listSampledQueries",
    "$listSearchIndexes",
    "$listSessions",
    "$planCacheStats",
    "$queryStats",
    "$shardedDataDistribution",
    "$querySettings",
    "mapReduce",
];

/// The most bytes of a filter, projection, sort, update or pipeline.
const MAX_QUERY_BYTES: usize = 64 * 1024;
/// The most names and items of one.
const MAX_QUERY_PARTS: usize = 1_000;
/// How many levels a document may have. MongoDB's own limit, and within what can be read again.
const MAX_DEPTH: usize = 100;

/// Reads a guest's JSON. `what` names it in messages. Errors: `invalid` if it is none; `limit`
/// (`max-document-bytes`); `denied` for what is never admitted, at any depth.
pub(super) fn parse(what: &str, text: &str) -> Result<Value, Error> {
    if text.len() > remit_domain::data::documents::MAX_DOCUMENT_BYTES {
        return Err(document_too_large());
    }
    let value = serde_json::from_str(text).map_err(|error| Error::Invalid(format!("{what} is not JSON: {error}")))?;
    forbid(&value)?;
    Ok(value)
}

/// As [`parse`], for what is asked of documents: a filter, a projection, an update, a pipeline. Each of
/// its parts may be held against each part of every document. Errors: `limit` (`max-query-bytes`,
/// `max-query-parts`) too.
pub(super) fn parse_query(what: &str, text: &str) -> Result<Value, Error> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(Error::Limit { name: "max-query-bytes", allowed: MAX_QUERY_BYTES as u64 });
    }
    let query = parse(what, text)?;
    if parts(&query) > MAX_QUERY_PARTS {
        return Err(Error::Limit { name: "max-query-parts", allowed: MAX_QUERY_PARTS as u64 });
    }
    Ok(query)
}

/// A document as it is kept. Errors: `limit` (`max-document-bytes`); `invalid` for too many levels.
pub(super) fn body(document: &Value) -> Result<String, Error> {
    weigh_to(document, MAX_DEPTH)?;
    let body = document.to_string();
    if body.len() > remit_domain::data::documents::MAX_DOCUMENT_BYTES { Err(document_too_large()) } else { Ok(body) }
}

/// What must be an object. Errors: `invalid`.
pub(super) fn object(what: &str, value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::Invalid(format!("{what} is not a JSON object"))),
    }
}

/// How many names and items a value has, at all depths.
fn parts(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len() + items.iter().map(parts).sum::<usize>(),
        Value::Object(object) => object.len() + object.values().map(parts).sum::<usize>(),
        _ => 0,
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
        Value::Object(object) => object.iter().try_for_each(|(key, value)| {
            named(key)?;
            literal(value)
        }),
        _ => Ok(()),
    }
}

/// Checks the name of a field for what no store can keep in one. Errors: `invalid`.
pub(super) fn named(key: &str) -> Result<(), Error> {
    if key.contains('\0') { Err(Error::Invalid("a field's name holds no NUL".to_owned())) } else { Ok(()) }
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
pub(crate) enum Extended {
    ObjectId(String),
    /// In milliseconds since 1970.
    Date(i64),
    Number(Number),
    Binary(Binary),
    /// Seconds since 1970, and a count within the second.
    Timestamp(u32, u32),
}

/// Bytes as Extended JSON writes them. In order as MongoDB has it: by length, kind and content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binary {
    length: usize,
    pub(crate) kind: u8,
    pub(crate) bytes: Vec<u8>,
}

impl Binary {
    fn new(kind: u8, bytes: Vec<u8>) -> Self {
        Self { length: bytes.len(), kind, bytes }
    }

    /// A UUID has a kind of its own.
    const UUID: u8 = 4;

    fn read(object: &Map<String, Value>) -> Option<Self> {
        let (base64, kind) = (object.get("base64")?.as_str()?, object.get("subType")?.as_str()?);
        let plain = object.len() == 2 && (1..=2).contains(&kind.len());
        let kind = plain.then(|| u8::from_str_radix(kind, 16).ok()).flatten()?;
        base64::engine::general_purpose::STANDARD.decode(base64).ok().map(|bytes| Self::new(kind, bytes))
    }
}

/// Whether an object is a value of Extended JSON, and which.
pub(crate) fn extended(object: &Map<String, Value>) -> Option<Extended> {
    let mut entries = object.iter();
    let (Some((key, value)), None) = (entries.next(), entries.next()) else { return None };
    match (key.as_str(), value) {
        ("$oid", Value::String(id)) => {
            let valid = id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            valid.then(|| Extended::ObjectId(id.to_ascii_lowercase()))
        }
        ("$uuid", Value::String(id)) => {
            let id = uuid::Uuid::try_parse(id).ok()?;
            Some(Extended::Binary(Binary::new(Binary::UUID, id.into_bytes().to_vec())))
        }
        ("$binary", Value::Object(inner)) => Binary::read(inner).map(Extended::Binary),
        ("$timestamp", Value::Object(inner)) if inner.len() == 2 => {
            let part = |name| inner.get(name)?.as_u64().and_then(|part| u32::try_from(part).ok());
            Some(Extended::Timestamp(part("t")?, part("i")?))
        }
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
pub(crate) enum Number {
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

    /// A total order, whatever the kinds: sorting relies on it. What is exact compares exactly; a
    /// binary number compares by the decimal that it is.
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Real(a), Self::Real(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            _ => match (self.exact(), other.exact()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => self.nearest().total_cmp(&other.nearest()).then_with(|| self.decimal().cmp(&other.decimal())),
            },
        }
    }

    /// The binary number next to it, which is never out of order with another's.
    fn nearest(self) -> f64 {
        match self {
            // Converting divides, which rounds more than once; reading the digits does not.
            Self::Exact(exact) => exact.normalize().to_string().parse().unwrap_or(f64::NAN),
            // Adding zero makes minus zero plain.
            _ => self.real() + 0.0,
        }
    }

    /// The decimal it is, if there is one of that size.
    fn decimal(self) -> Option<Decimal> {
        match self {
            Self::Real(real) => Decimal::from_f64_retain(real),
            _ => self.exact(),
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
            Some(Extended::Timestamp(..)) => 10,
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
        (Some(Extended::ObjectId(a)), Some(Extended::ObjectId(b))) => a.cmp(&b),
        (Some(Extended::Binary(a)), Some(Extended::Binary(b))) => a.cmp(&b),
        (Some(Extended::Timestamp(a, c)), Some(Extended::Timestamp(b, d))) => (a, c).cmp(&(b, d)),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_all_kinds_are_in_one_order() {
        let exact = |digits: &str| json!({ "$numberDecimal": digits });
        let ascending = [
            json!(-1e300),
            json!(i64::MIN),
            json!(-0.5),
            exact("0"),
            json!(1e-30),
            exact("0.1"),
            // A little more than it says.
            json!(0.1),
            exact("12.5"),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_994.0),
            json!(i64::MAX),
            json!(1e300),
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        for (a, b) in [(json!(36), json!(36.0)), (exact("12.50"), json!(12.5)), (json!(-0.0), json!(0))] {
            assert_eq!(compare(&a, &b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn a_query_has_so_many_parts() {
        let list = |length: usize| json!({ "a": vec![1; length] }).to_string();
        assert!(parse_query("the filter", &list(999)).is_ok());
        let case = |text: &str| parse_query("the filter", text).map_err(|error| error.to_string());
        assert_eq!(case(&list(1_000)), Err("over the limit max-query-parts (1000)".to_owned()));
        let long = json!({ "a": "x".repeat(64 * 1024) }).to_string();
        assert_eq!(case(&long), Err("over the limit max-query-bytes (65536)".to_owned()));
        assert!(parse("a document", &long).is_ok());
    }
}
