//! Values on their way to BigQuery and back. Exact numbers stay text, lists and records become JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use remit_domain::data::{Error, sql::Column, sql::Value};
use rust_decimal::{Decimal, prelude::ToPrimitive as _};
use serde_json::{Map, Value as Json, json};
use time::{OffsetDateTime, PrimitiveDateTime};

use super::wire::{Cell, Field, Node, Parameter, ParameterType, ParameterValue, Row, malformed};
use crate::sql::text;

/// NUMERIC's digits before and after the point; what has more is a BIGNUMERIC.
const NUMERIC: (usize, usize) = (29, 9);
/// BIGNUMERIC's, of which every number of so many digits has room.
const BIGNUMERIC: (usize, usize) = (38, 38);
/// The largest whole number that every reader of JSON takes for itself.
const EXACT_IN_JSON: u64 = 1 << 53;

/// A parameter as the API takes it. `None` for NULL, which has a type only as a word of the statement.
///
/// Errors: `invalid` for a decimal that BigQuery has no type for.
pub(super) fn parameter(value: &Value) -> Result<Option<Parameter>, Error> {
    let (kind, value) = match value {
        Value::Null => return Ok(None),
        Value::Boolean(yes) => ("BOOL", yes.to_string()),
        Value::Integer(number) => ("INT64", number.to_string()),
        Value::Real(number) => ("FLOAT64", number.to_string()),
        Value::Decimal(digits) => (decimal_type(digits)?, digits.clone()),
        Value::Text(text) | Value::Uuid(text) => ("STRING", text.clone()),
        Value::Blob(bytes) => ("BYTES", BASE64_STANDARD.encode(bytes)),
        Value::Date(day) => ("DATE", day.clone()),
        Value::Time(clock) => ("TIME", clock.clone()),
        Value::Timestamp(instant) => timestamp_parameter(instant)?,
        Value::Json(json) => ("JSON", json.clone()),
    };
    let (parameter_type, parameter_value) = (ParameterType { kind }, ParameterValue { value });
    Ok(Some(Parameter { parameter_type, parameter_value }))
}

fn decimal_type(digits: &str) -> Result<&'static str, Error> {
    let (whole, part) = digits.trim_start_matches(['-', '+']).split_once('.').unwrap_or((digits, ""));
    let size = (whole.trim_start_matches(['-', '+', '0']).len(), part.trim_end_matches('0').len());
    let fits = |most: (usize, usize)| size.0 <= most.0 && size.1 <= most.1;
    match () {
        () if fits(NUMERIC) => Ok("NUMERIC"),
        () if fits(BIGNUMERIC) => Ok("BIGNUMERIC"),
        () => Err(Error::Invalid("a decimal has at most 38 digits on either side of the point".to_owned())),
    }
}

/// With a zone it is a TIMESTAMP, without one a DATETIME.
fn timestamp_parameter(instant: &str) -> Result<(&'static str, String), Error> {
    let invalid = || Error::Invalid("a parameter is not a timestamp".to_owned());
    let written = text::write_timestamp(text::timestamp(instant).ok_or_else(invalid)?, 'T');
    let zoned = OffsetDateTime::parse(instant, &time::format_description::well_known::Rfc3339).is_ok();
    Ok(if zoned { ("TIMESTAMP", format!("{written}Z")) } else { ("DATETIME", written) })
}

/// The columns as the contract tells them.
pub(super) fn columns(fields: &[Field]) -> Vec<Column> {
    fields.iter().map(|field| Column { name: field.name.clone(), data_type: data_type(field) }).collect()
}

/// A type's name in today's SQL; the API uses the names of the older one.
fn data_type(field: &Field) -> String {
    let own = match field.kind.to_ascii_uppercase().as_str() {
        "INTEGER" => "int64".to_owned(),
        "FLOAT" => "float64".to_owned(),
        "BOOLEAN" => "bool".to_owned(),
        "RECORD" => "struct".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    if is_list(field) { format!("array<{own}>") } else { own }
}

fn is_list(field: &Field) -> bool {
    field.mode.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case("REPEATED"))
}

/// The values of a row. Errors: [`malformed`].
pub(super) fn row<'a>(fields: &'a [Field], row: &'a Row<'a>) -> impl Iterator<Item = Result<Value, Error>> + 'a {
    let complete = fields.len() == row.f.len();
    fields.iter().zip(&row.f).map(move |(field, cell)| if complete { value(field, cell) } else { Err(malformed()) })
}

fn value(field: &Field, cell: &Cell<'_>) -> Result<Value, Error> {
    match &cell.v {
        Node::Null => Ok(Value::Null),
        Node::Text(text) if !is_list(field) => scalar(&data_type(field), text),
        node => Ok(Value::Json(json(field, node)?.to_string())),
    }
}

fn scalar(kind: &str, text: &str) -> Result<Value, Error> {
    let own = || text.to_owned();
    Ok(match kind {
        "int64" => Value::Integer(text.parse().map_err(|_| malformed())?),
        "float64" => Value::Real(text.parse().map_err(|_| malformed())?),
        "bool" => Value::Boolean(text.parse().map_err(|_| malformed())?),
        "numeric" | "bignumeric" if is_exact(text) => Value::Decimal(own()),
        "numeric" | "bignumeric" | "struct" => return Err(malformed()),
        "date" => Value::Date(text::write_date(text::date(text).ok_or_else(malformed)?)),
        "time" => Value::Time(text::write_time(text::time(text).ok_or_else(malformed)?)),
        "datetime" => Value::Timestamp(text::write_timestamp(text::timestamp(text).ok_or_else(malformed)?, 'T')),
        "timestamp" => Value::Timestamp(instant(text)?),
        "bytes" => Value::Blob(BASE64_STANDARD.decode(text).map_err(|_| malformed())?),
        "json" if text::is_json(text) => Value::Json(own()),
        "json" => return Err(malformed()),
        // What has no exact case travels as text: intervals, ranges, places on the Earth.
        _ => Value::Text(own()),
    })
}

/// Decimal digits with a sign and a point at most. BIGNUMERIC has up to 77 of them.
fn is_exact(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain(whole) && plain(part)
}

/// An instant in RFC 3339, from microseconds, which are asked for, or from seconds with a point or an
/// exponent, which is what a server sends that does not know the wish.
fn instant(text: &str) -> Result<String, Error> {
    let micros = match text.parse::<i64>() {
        Ok(micros) => micros,
        Err(_) => {
            let seconds: Decimal = text.parse().or_else(|_| Decimal::from_scientific(text)).map_err(|_| malformed())?;
            let micros = seconds.checked_mul(Decimal::from(1_000_000)).ok_or_else(malformed)?;
            micros.round().to_i64().ok_or_else(malformed)?
        }
    };
    let instant = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(|_| malformed())?;
    Ok(format!("{}Z", text::write_timestamp(PrimitiveDateTime::new(instant.date(), instant.time()), 'T')))
}

/// A list or a record, whole, as JSON: exact numbers and large whole ones are texts in it.
fn json(field: &Field, node: &Node<'_>) -> Result<Json, Error> {
    match node {
        Node::Null => Ok(Json::Null),
        Node::List(items) if is_list(field) => {
            let one = Field { mode: None, ..field.clone() };
            items.iter().map(|item| json(&one, &item.v)).collect::<Result<Vec<_>, _>>().map(Json::Array)
        }
        Node::Record(row) if !is_list(field) && row.f.len() == field.fields.len() => {
            let parts = field.fields.iter().zip(&row.f);
            let parts = parts.map(|(part, cell)| Ok((part.name.clone(), json(part, &cell.v)?)));
            parts.collect::<Result<Map<_, _>, Error>>().map(Json::Object)
        }
        Node::Text(text) if !is_list(field) => Ok(match scalar(&data_type(field), text)? {
            Value::Null => Json::Null,
            Value::Boolean(yes) => json!(yes),
            Value::Integer(number) if number.unsigned_abs() <= EXACT_IN_JSON => json!(number),
            Value::Integer(number) => json!(number.to_string()),
            Value::Real(number) if number.is_finite() => json!(number),
            Value::Json(text) => serde_json::from_str(&text).map_err(|_| malformed())?,
            Value::Date(text) | Value::Time(text) | Value::Timestamp(text) => json!(text),
            Value::Real(_) | Value::Decimal(_) | Value::Text(_) | Value::Blob(_) | Value::Uuid(_) => json!(text),
        }),
        Node::List(_) | Node::Record(_) | Node::Text(_) => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(kind: &str, mode: &str, cell: &str) -> Result<Value, Error> {
        let part = |name: &str, kind: &str| Field { name: name.to_owned(), kind: kind.to_owned(), ..Field::default() };
        let fields = vec![part("a", "INTEGER"), part("b", "NUMERIC"), part("c", "TIMESTAMP")];
        let field = Field { fields, mode: Some(mode.to_owned()), ..part("x", kind) };
        value(&field, &serde_json::from_str(cell).unwrap())
    }

    #[test]
    fn values_come_as_what_they_are() {
        let text = |text: &str| text.to_owned();
        for (kind, cell, expected) in [
            ("INTEGER", "{\"v\":\"-9223372036854775808\"}", Value::Integer(i64::MIN)),
            ("INT64", "{\"v\":\"7\"}", Value::Integer(7)),
            ("FLOAT", "{\"v\":\"1.5E-7\"}", Value::Real(1.5e-7)),
            ("FLOAT64", "{\"v\":\"-inf\"}", Value::Real(f64::NEG_INFINITY)),
            ("BOOLEAN", "{\"v\":\"true\"}", Value::Boolean(true)),
            ("NUMERIC", "{\"v\":\"-1234567890.10\"}", Value::Decimal(text("-1234567890.10"))),
            ("BIGNUMERIC", "{\"v\":\"0.00000000000000000000000000000000000001\"}", {
                Value::Decimal(text("0.00000000000000000000000000000000000001"))
            }),
            ("STRING", "{\"v\":\"a \\\"b\\\" \\u00fc\"}", Value::Text(text("a \"b\" ü"))),
            ("BYTES", "{\"v\":\"AP8n\"}", Value::Blob(vec![0, 255, 39])),
            ("DATE", "{\"v\":\"2026-11-23\"}", Value::Date(text("2026-11-23"))),
            ("TIME", "{\"v\":\"13:45:00.500000\"}", Value::Time(text("13:45:00.5"))),
            ("DATETIME", "{\"v\":\"2026-11-23T13:45:00\"}", Value::Timestamp(text("2026-11-23T13:45:00"))),
            ("TIMESTAMP", "{\"v\":\"1795441500250000\"}", Value::Timestamp(text("2026-11-23T13:45:00.25Z"))),
            ("TIMESTAMP", "{\"v\":\"1.79544150025E9\"}", Value::Timestamp(text("2026-11-23T13:45:00.25Z"))),
            ("TIMESTAMP", "{\"v\":\"1795441500.25\"}", Value::Timestamp(text("2026-11-23T13:45:00.25Z"))),
            ("TIMESTAMP", "{\"v\":\"-62135596800000000\"}", Value::Timestamp(text("0001-01-01T00:00:00Z"))),
            ("JSON", "{\"v\":\"{\\\"a\\\":[1,null]}\"}", Value::Json(text("{\"a\":[1,null]}"))),
            ("GEOGRAPHY", "{\"v\":\"POINT(1 2)\"}", Value::Text(text("POINT(1 2)"))),
            ("RECORD", "{\"v\":{\"f\":[{\"v\":\"1\"},{\"v\":\"2.50\"},{\"v\":null}]}}", {
                Value::Json(text("{\"a\":1,\"b\":\"2.50\",\"c\":null}"))
            }),
            ("STRING", "{\"v\":null}", Value::Null),
            ("STRING", "{}", Value::Null),
        ] {
            assert_eq!(read(kind, "NULLABLE", cell).unwrap(), expected, "{kind} {cell}");
        }
        let list = "{\"v\":[{\"v\":\"1\"},{\"v\":\"9007199254740993\"},{\"v\":null}]}";
        assert_eq!(read("INTEGER", "REPEATED", list).unwrap(), Value::Json(text("[1,\"9007199254740993\",null]")));
        let records = "{\"v\":[{\"v\":{\"f\":[{\"v\":\"1\"},{\"v\":\"0.1\"},{\"v\":\"1500000\"}]}}]}";
        let expected = "[{\"a\":1,\"b\":\"0.1\",\"c\":\"1970-01-01T00:00:01.5Z\"}]";
        assert_eq!(read("RECORD", "REPEATED", records).unwrap(), Value::Json(text(expected)));
    }

    #[test]
    fn what_is_not_of_its_type_is_not_guessed() {
        for (kind, mode, cell) in [
            ("INTEGER", "NULLABLE", "{\"v\":\"1.5\"}"),
            ("BOOLEAN", "NULLABLE", "{\"v\":\"yes\"}"),
            ("NUMERIC", "NULLABLE", "{\"v\":\"1e5\"}"),
            ("BYTES", "NULLABLE", "{\"v\":\"*\"}"),
            ("DATE", "NULLABLE", "{\"v\":\"2026-02-30\"}"),
            ("TIMESTAMP", "NULLABLE", "{\"v\":\"9223372036854775807\"}"),
            ("TIMESTAMP", "NULLABLE", "{\"v\":\"soon\"}"),
            ("JSON", "NULLABLE", "{\"v\":\"{\"}"),
            ("STRING", "NULLABLE", "{\"v\":[]}"),
            ("STRING", "REPEATED", "{\"v\":\"a\"}"),
            ("RECORD", "NULLABLE", "{\"v\":{\"f\":[{\"v\":\"1\"}]}}"),
            ("RECORD", "NULLABLE", "{\"v\":\"a\"}"),
        ] {
            assert_eq!(read(kind, mode, cell), Err(malformed()), "{kind} {mode} {cell}");
        }
        for broken in ["{\"v\":1}", "{\"v\":{}}", "{\"v\":true}"] {
            assert!(serde_json::from_str::<Cell<'_>>(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn parameters_have_the_type_that_fits() {
        let of = |value: Value| {
            parameter(&value).map(|one| one.map(|one| (one.parameter_type.kind, one.parameter_value.value)))
        };
        let good = |kind, value: &str| Ok(Some((kind, value.to_owned())));
        assert_eq!(of(Value::Null), Ok(None));
        assert_eq!(of(Value::Integer(i64::MAX)), good("INT64", "9223372036854775807"));
        assert_eq!(of(Value::Real(0.1)), good("FLOAT64", "0.1"));
        assert_eq!(of(Value::Decimal("-12.50".to_owned())), good("NUMERIC", "-12.50"));
        let long = "+0012345678901234567890123456789.5000000000";
        assert_eq!(of(Value::Decimal(long.to_owned())), good("NUMERIC", long));
        assert_eq!(of(Value::Decimal("0.0000000001".to_owned())), good("BIGNUMERIC", "0.0000000001"));
        assert_eq!(of(Value::Decimal("9".repeat(39))).map_err(|error| error.case()), Err("invalid"));
        assert_eq!(of(Value::Blob(vec![0, 255, 39])), good("BYTES", "AP8n"));
        let zoned = Value::Timestamp("2026-11-23T14:45:00.25+01:00".to_owned());
        assert_eq!(of(zoned), good("TIMESTAMP", "2026-11-23T13:45:00.25Z"));
        assert_eq!(of(Value::Timestamp("2026-11-23 14:45:00".to_owned())), good("DATETIME", "2026-11-23T14:45:00"));
    }
}
