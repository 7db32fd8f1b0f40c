//! Parameters on their way to PostgreSQL, in the binary form of the types that it takes them for.

use remit_domain::data::{Error, sql::Value};
use sqlx::{
    Arguments as _, Either, Statement as _, TypeInfo as _,
    postgres::{PgArguments, PgStatement, PgTypeInfo, PgTypeKind, types::Oid},
};
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339};

use super::{numeric, values::oid};
use crate::sql::text;

/// A type that the server is left to find out.
const UNSAID: u32 = 0;

/// The types that the server takes a statement's parameters for.
pub(super) fn types(statement: &PgStatement) -> Vec<PgTypeInfo> {
    match statement.parameters() {
        Some(Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    }
}

/// The parameters as values of these types; `None` if one of them is none of its type.
pub(super) fn arguments(values: &[Value], types: &[PgTypeInfo]) -> Result<Option<PgArguments>, Error> {
    if values.len() != types.len() {
        return Ok(None);
    }
    let mut arguments = PgArguments::default();
    for (value, info) in values.iter().zip(types) {
        let encoded = match value {
            Value::Null => None,
            value => match encode(value, info) {
                Some(bytes) => Some(bytes),
                None => return Ok(None),
            },
        };
        let added = arguments.add(encoded);
        added.map_err(|_| Error::Invalid("a parameter can't be given to the database".to_owned()))?;
    }
    Ok(Some(arguments))
}

/// The types to declare: a value's own where it is none of the type that the server took it for.
pub(super) fn declared(values: &[Value], types: Option<&[PgTypeInfo]>) -> Vec<PgTypeInfo> {
    let one = |(at, value): (usize, &Value)| {
        let fits = types
            .and_then(|types| types.get(at))
            .is_some_and(|info| matches!(value, Value::Null) || encode(value, info).is_some());
        PgTypeInfo::with_oid(Oid(if fits { UNSAID } else { own(value) }))
    };
    values.iter().enumerate().map(one).collect()
}

/// What tells declared types apart.
pub(super) fn signature(declared: &[PgTypeInfo]) -> String {
    let oids = declared.iter().map(|info| info.oid().map_or(UNSAID, |oid| oid.0).to_string());
    oids.collect::<Vec<_>>().join(" ")
}

/// The type of a literal that a value would be written as.
fn own(value: &Value) -> u32 {
    match value {
        Value::Null | Value::Text(_) => oid::TEXT,
        Value::Boolean(_) => oid::BOOL,
        Value::Integer(number) if i32::try_from(*number).is_ok() => oid::INT4,
        Value::Integer(_) => oid::INT8,
        Value::Real(_) => oid::FLOAT8,
        Value::Decimal(_) => oid::NUMERIC,
        Value::Blob(_) => oid::BYTEA,
        Value::Date(_) => oid::DATE,
        Value::Time(_) => oid::TIME,
        Value::Timestamp(instant) if OffsetDateTime::parse(instant, &Rfc3339).is_ok() => oid::TIMESTAMPTZ,
        Value::Timestamp(_) => oid::TIMESTAMP,
        Value::Uuid(_) => oid::UUID,
        Value::Json(_) => oid::JSONB,
    }
}

/// A value as one of a type, exactly; a text where a literal of that type may be written as one.
fn encode(value: &Value, info: &PgTypeInfo) -> Option<Vec<u8>> {
    match info.kind() {
        PgTypeKind::Domain(base) => return encode(value, base),
        PgTypeKind::Enum(_) => return string(value),
        PgTypeKind::Simple => {}
        _ => return None,
    }
    let written = match value {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    };
    match info.oid().map_or(UNSAID, |oid| oid.0) {
        oid::BOOL => match value {
            Value::Boolean(it) => Some(vec![u8::from(*it)]),
            _ => None,
        },
        oid::INT2 => Some(i16::try_from(whole(value)?).ok()?.to_be_bytes().to_vec()),
        oid::INT4 => Some(i32::try_from(whole(value)?).ok()?.to_be_bytes().to_vec()),
        oid::INT8 => Some(whole(value)?.to_be_bytes().to_vec()),
        // Wider values are compared as what they are.
        oid::FLOAT4 => match value {
            Value::Integer(number) => Some(f32::from(i16::try_from(*number).ok()?).to_be_bytes().to_vec()),
            _ => None,
        },
        oid::FLOAT8 => Some(real(value)?.to_be_bytes().to_vec()),
        oid::NUMERIC => numeric::encode(&decimal(value)?),
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::UNKNOWN | oid::XML => string(value),
        oid::BYTEA => match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        },
        oid::DATE => match value {
            Value::Date(day) => day_number(text::date(day)?),
            _ => day_number(text::date(written?)?),
        },
        oid::TIME => match value {
            Value::Time(clock) => Some(microseconds_of(text::time(clock)?).to_be_bytes().to_vec()),
            _ => Some(microseconds_of(text::time(written?)?).to_be_bytes().to_vec()),
        },
        oid::TIMESTAMP | oid::TIMESTAMPTZ => match value {
            Value::Timestamp(instant) => instant_number(text::timestamp(instant)?),
            Value::Date(day) => instant_number(text::date(day)?.midnight()),
            _ => instant_number(text::timestamp(written?)?),
        },
        oid::UUID => match value {
            Value::Uuid(text) | Value::Text(text) => Some(uuid::Uuid::parse_str(text).ok()?.into_bytes().to_vec()),
            _ => None,
        },
        oid::JSON => json(value).map(|text| text.as_bytes().to_vec()),
        // A version comes before the text.
        oid::JSONB => json(value).map(|text| [&[1], text.as_bytes()].concat()),
        _ if info.name().eq_ignore_ascii_case("citext") => string(value),
        _ => None,
    }
}

fn string(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Text(text) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

fn json(value: &Value) -> Option<&str> {
    match value {
        Value::Json(text) => Some(text),
        Value::Text(text) if text::is_json(text) => Some(text),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        Value::Integer(number) => Some(f64::from(i32::try_from(*number).ok()?)),
        Value::Decimal(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn decimal(value: &Value) -> Option<String> {
    match value {
        Value::Decimal(digits) => Some(digits.clone()),
        Value::Text(digits) if text::is_decimal(digits) => Some(digits.clone()),
        Value::Integer(number) => Some(number.to_string()),
        // The shortest digits that are this number, never with an exponent.
        Value::Real(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Days since the year 2000, at which PostgreSQL's calendar begins.
fn day_number(day: Date) -> Option<Vec<u8>> {
    Some(day.to_julian_day().checked_sub(super::values::EPOCH_JULIAN)?.to_be_bytes().to_vec())
}

fn instant_number(instant: PrimitiveDateTime) -> Option<Vec<u8>> {
    let days = i64::from(instant.date().to_julian_day() - super::values::EPOCH_JULIAN);
    let number = days.checked_mul(super::values::DAY)?.checked_add(microseconds_of(instant.time()))?;
    Some(number.to_be_bytes().to_vec())
}

fn microseconds_of(time: Time) -> i64 {
    let (hour, minute, second, micro) = time.as_hms_micro();
    ((i64::from(hour) * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(micro)
}
