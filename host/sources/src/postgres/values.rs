//! Values from PostgreSQL, read from its binary form.
//!
//! What the contract has no exact case for comes as text where its text is plain, arrays as JSON. Of
//! other types nothing is guessed: the statement is to cast them.

use remit_domain::data::{Error, sql::Value};
use sqlx::{
    Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgRow, PgTypeInfo, PgTypeKind},
};
use time::{Date, PrimitiveDateTime, Time};

use super::{array, numeric};
use crate::sql::text;

/// The catalogue's numbers of types, which are the same in every server.
pub(super) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const XML: u32 = 142;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

/// The Julian day of 2000-01-01, from which PostgreSQL counts.
pub(super) const EPOCH_JULIAN: i32 = 2_451_545;
/// Microseconds of a day.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// The database's own name for a type, in lower case.
pub(super) fn type_name(info: &PgTypeInfo) -> String {
    info.name().to_ascii_lowercase()
}

/// A row's values.
pub(super) fn row(row: &PgRow) -> impl Iterator<Item = Result<Value, Error>> {
    (0..row.len()).map(|at| {
        let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        let info = raw.type_info().into_owned();
        read(&info, raw.as_bytes().map_err(|_| unreadable())?)
    })
}

/// Reads one value. Errors: `invalid` for a type that has no form in the contract.
pub(super) fn read(info: &PgTypeInfo, bytes: &[u8]) -> Result<Value, Error> {
    match info.kind() {
        PgTypeKind::Domain(base) => return read(base, bytes),
        PgTypeKind::Enum(_) => return string(bytes).map(Value::Text),
        PgTypeKind::Array(element) => return array::read(element, bytes),
        PgTypeKind::Simple | PgTypeKind::Pseudo => {}
        PgTypeKind::Composite(_) | PgTypeKind::Range(_) => return Err(formless(info)),
    }
    Ok(match info.oid().map_or(0, |oid| oid.0) {
        oid::BOOL => Value::Boolean(number::<1>(bytes)? != [0]),
        oid::INT2 => Value::Integer(i16::from_be_bytes(number(bytes)?).into()),
        oid::INT4 => Value::Integer(i32::from_be_bytes(number(bytes)?).into()),
        oid::INT8 => Value::Integer(i64::from_be_bytes(number(bytes)?)),
        oid::OID => Value::Integer(u32::from_be_bytes(number(bytes)?).into()),
        // Told with the digits it shows, not with those that widening invents.
        oid::FLOAT4 => {
            let number = f32::from_be_bytes(number(bytes)?);
            Value::Real(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
        }
        oid::FLOAT8 => Value::Real(f64::from_be_bytes(number(bytes)?)),
        oid::NUMERIC => match numeric::decode(bytes).ok_or_else(unreadable)? {
            Ok(digits) => Value::Decimal(digits),
            Err(name) => Value::Text(name.to_owned()),
        },
        oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::NAME | oid::CHAR | oid::UNKNOWN | oid::XML => {
            Value::Text(string(bytes)?)
        }
        oid::BYTEA => Value::Blob(bytes.to_vec()),
        oid::DATE => match i32::from_be_bytes(number(bytes)?) {
            i32::MAX => Value::Text("infinity".to_owned()),
            i32::MIN => Value::Text("-infinity".to_owned()),
            days => Value::Date(text::write_date(date(days.into())?)),
        },
        oid::TIME => Value::Time(clock(i64::from_be_bytes(number(bytes)?))),
        oid::TIMESTAMP => instant(bytes, "")?,
        oid::TIMESTAMPTZ => instant(bytes, "Z")?,
        oid::INTERVAL => Value::Text(interval(bytes)?),
        oid::UUID => Value::Uuid(uuid::Uuid::from_bytes(number(bytes)?).to_string()),
        oid::JSON => Value::Json(string(bytes)?),
        oid::JSONB => match bytes.split_first() {
            Some((1, text)) => Value::Json(string(text)?),
            _ => return Err(unreadable()),
        },
        _ if info.name().eq_ignore_ascii_case("citext") => Value::Text(string(bytes)?),
        _ if info.name().eq_ignore_ascii_case("void") => Value::Null,
        _ => return Err(formless(info)),
    })
}

fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| unreadable())
}

fn string(bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| unreadable())
}

fn date(days: i64) -> Result<Date, Error> {
    let julian = i32::try_from(days + i64::from(EPOCH_JULIAN)).ok();
    let date = julian.and_then(|julian| Date::from_julian_day(julian).ok()).filter(|date| date.year() > 0);
    date.ok_or_else(|| Error::Invalid("a date lies outside of the years 1 to 9999: cast it to text".to_owned()))
}

fn instant(bytes: &[u8], zone: &str) -> Result<Value, Error> {
    let number = i64::from_be_bytes(number(bytes)?);
    match number {
        i64::MAX => return Ok(Value::Text("infinity".to_owned())),
        i64::MIN => return Ok(Value::Text("-infinity".to_owned())),
        _ => {}
    }
    let day = date(number.div_euclid(DAY))?;
    let within = number.rem_euclid(DAY).unsigned_abs();
    let seconds = u32::try_from(within / 1_000_000).map_err(|_| unreadable())?;
    let micro = u32::try_from(within % 1_000_000).map_err(|_| unreadable())?;
    let part = |value: u32| u8::try_from(value).map_err(|_| unreadable());
    let time = Time::from_hms_micro(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, micro);
    let told = text::write_timestamp(PrimitiveDateTime::new(day, time.map_err(|_| unreadable())?), 'T');
    Ok(Value::Timestamp(told + zone))
}

/// `13:45:00.5`. The end of a day is `24:00:00` to PostgreSQL.
fn clock(microseconds: i64) -> String {
    let seconds = microseconds / 1_000_000;
    let fraction = text::fraction(u32::try_from(microseconds % 1_000_000).unwrap_or_default());
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// As ISO 8601 writes lengths of time, each part with its own sign: `P1Y2M-3DT4H5M6.5S`.
fn interval(bytes: &[u8]) -> Result<String, Error> {
    let (clock, rest) = bytes.split_at_checked(8).ok_or_else(unreadable)?;
    let (days, months) = rest.split_at_checked(4).ok_or_else(unreadable)?;
    let clock = i64::from_be_bytes(number(clock)?);
    let (days, months) = (i32::from_be_bytes(number(days)?), i32::from_be_bytes(number(months)?));
    let mut told = String::from("P");
    let mut add = |number: i64, unit: char| {
        if number != 0 {
            told.push_str(&format!("{number}{unit}"));
        }
    };
    add((months / 12).into(), 'Y');
    add((months % 12).into(), 'M');
    add(days.into(), 'D');
    if clock != 0 || told == "P" {
        told.push('T');
        let seconds = clock / 1_000_000;
        let mut add = |number: i64, unit: char| {
            if number != 0 {
                told.push_str(&format!("{number}{unit}"));
            }
        };
        add(seconds / 3600, 'H');
        add(seconds / 60 % 60, 'M');
        let fraction = text::fraction(u32::try_from((clock % 1_000_000).abs()).unwrap_or_default());
        let sign = if clock < 0 && seconds % 60 == 0 && !fraction.is_empty() { "-" } else { "" };
        if seconds % 60 != 0 || !fraction.is_empty() || clock == 0 {
            told.push_str(&format!("{sign}{}{fraction}S", seconds % 60));
        }
    }
    Ok(told)
}

fn formless(info: &PgTypeInfo) -> Error {
    let name: String = type_name(info).chars().take(64).collect();
    Error::Invalid(format!("a value of type `{name}` has no form here: cast it to text"))
}

pub(super) fn unreadable() -> Error {
    Error::Invalid("the database gave a value that can't be read".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_told_part_by_part() {
        let told = |clock: i64, days: i32, months: i32| {
            let bytes = [clock.to_be_bytes().as_slice(), &days.to_be_bytes(), &months.to_be_bytes()].concat();
            interval(&bytes)
        };
        for (clock, days, months, expected) in [
            (0, 0, 0, "PT0S"),
            (0, 3, 14, "P1Y2M3D"),
            (14_706_500_000, -3, 0, "P-3DT4H5M6.5S"),
            (-500_000, 0, 0, "PT-0.5S"),
            (-3_600_000_000, 0, 0, "PT-1H"),
        ] {
            assert_eq!(told(clock, days, months), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn a_time_counts_from_the_year_2000() {
        assert_eq!(instant(&0_i64.to_be_bytes(), "Z"), Ok(Value::Timestamp("2000-01-01T00:00:00Z".to_owned())));
        let before = instant(&(-1_i64).to_be_bytes(), "");
        assert_eq!(before, Ok(Value::Timestamp("1999-12-31T23:59:59.999999".to_owned())));
        assert_eq!(instant(&i64::MAX.to_be_bytes(), ""), Ok(Value::Text("infinity".to_owned())));
        assert_eq!(date(-10_000_000).map_err(|error| error.case()), Err("invalid"));
        assert_eq!(clock(DAY), "24:00:00");
    }
}
