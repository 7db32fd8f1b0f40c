//! Values between MySQL or MariaDB and the contract.

use remit_domain::data::{Error, sql::Value};
use rust_decimal::Decimal;
use sqlx::{
    Arguments as _, Decode, MySql, Row as _, Type, TypeInfo as _, ValueRef as _,
    mysql::{
        MySqlArguments, MySqlRow, MySqlTypeInfo, MySqlValueRef,
        types::{MySqlTime, MySqlTimeSign},
    },
};
use time::{Date, PrimitiveDateTime};

use crate::sql::text;

/// The parameters in the engine's form, in the order of their places.
pub(super) fn arguments(parameters: &[Value], binds: &[usize]) -> Result<MySqlArguments, Error> {
    let mut arguments = MySqlArguments::default();
    for value in binds.iter().filter_map(|at| parameters.get(*at)) {
        let added = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Boolean(value) => arguments.add(*value),
            Value::Integer(value) => arguments.add(*value),
            Value::Real(value) => arguments.add(*value),
            // As a decimal while it fits one, so that comparing is exact; more digits only a column keeps.
            Value::Decimal(digits) => match Decimal::from_str_exact(digits) {
                Ok(decimal) => arguments.add(decimal),
                Err(_) => arguments.add(digits.as_str()),
            },
            Value::Date(day) => match text::date(day) {
                Some(day) => arguments.add(day),
                None => arguments.add(day.as_str()),
            },
            Value::Time(clock) => match text::time(clock) {
                Some(clock) => arguments.add(clock),
                None => arguments.add(clock.as_str()),
            },
            Value::Timestamp(instant) => match text::timestamp(instant) {
                Some(instant) => arguments.add(instant),
                None => arguments.add(instant.as_str()),
            },
            Value::Text(text) | Value::Uuid(text) | Value::Json(text) => arguments.add(text.as_str()),
            Value::Blob(bytes) => arguments.add(bytes.as_slice()),
        };
        added.map_err(|_| Error::Invalid("a parameter can't be given to the database".to_owned()))?;
    }
    Ok(arguments)
}

/// The database's own name for a type, in lower case.
pub(super) fn type_name(info: &MySqlTypeInfo) -> String {
    name(info).to_ascii_lowercase()
}

/// The name of a type. A text whose collation compares its bytes is flagged as binary, and sqlx goes
/// by the flag; the collation of what is really binary is another.
fn name(info: &MySqlTypeInfo) -> &str {
    match info.name() {
        name if !<str as Type<MySql>>::compatible(info) => name,
        "BINARY" => "CHAR",
        "VARBINARY" => "VARCHAR",
        "TINYBLOB" => "TINYTEXT",
        "BLOB" => "TEXT",
        "MEDIUMBLOB" => "MEDIUMTEXT",
        "LONGBLOB" => "LONGTEXT",
        name => name,
    }
}

/// A row's values.
pub(super) fn row(row: &MySqlRow) -> impl Iterator<Item = Result<Value, Error>> {
    (0..row.len()).map(|at| value(row, at))
}

fn value(row: &MySqlRow, at: usize) -> Result<Value, Error> {
    let raw = row.try_get_raw(at).map_err(|_| unreadable())?;
    // A date of zeros, which is none, counts as NULL too.
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let info = raw.type_info().into_owned();
    Ok(match name(&info) {
        "BOOLEAN" => match read::<i8>(raw)? {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            // `tinyint(1)` holds any small number.
            other => Value::Integer(other.into()),
        },
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => Value::Integer(read(raw)?),
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
        | "BIT" | "YEAR" => {
            let number = read::<u64>(raw)?;
            i64::try_from(number).map_or_else(|_| Value::Decimal(number.to_string()), Value::Integer)
        }
        // Told with the digits it shows, not with those that widening invents.
        "FLOAT" => {
            let number = read::<f32>(raw)?;
            Value::Real(number.to_string().parse().unwrap_or_else(|_| f64::from(number)))
        }
        "DOUBLE" => Value::Real(read(raw)?),
        "DECIMAL" => Value::Decimal(read(raw)?),
        "DATE" => Value::Date(text::write_date(read::<Date>(raw)?)),
        "TIME" => Value::Time(time(&read(raw)?)),
        "DATETIME" | "TIMESTAMP" => Value::Timestamp(text::write_timestamp(read::<PrimitiveDateTime>(raw)?, 'T')),
        "JSON" => Value::Json(read(raw)?),
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY" => {
            Value::Blob(read(raw)?)
        }
        _ => Value::Text(read(raw)?),
    })
}

/// Reads without asking whether the Rust type is the usual one for the column's: what is wanted of
/// a decimal is its digits.
fn read<'r, T: Decode<'r, MySql>>(raw: MySqlValueRef<'r>) -> Result<T, Error> {
    T::decode(raw).map_err(|_| unreadable())
}

/// A time of MySQL's is a length of time too: up to 838 hours, and below zero.
fn time(time: &MySqlTime) -> String {
    let sign = if time.sign() == MySqlTimeSign::Negative { "-" } else { "" };
    let fraction = text::fraction(time.microseconds());
    format!("{sign}{:02}:{:02}:{:02}{fraction}", time.hours(), time.minutes(), time.seconds())
}

fn unreadable() -> Error {
    Error::Invalid("the database gave a value that can't be read".to_owned())
}
