//! PostgreSQL's arrays, told as JSON: the contract has no lists among its values.

use remit_domain::data::{Error, sql::Value};
use serde_json::Value as Json;
use sqlx::postgres::PgTypeInfo;

use super::values::{read as value, unreadable};

/// More dimensions than PostgreSQL's own most.
const MAX_DIMENSIONS: usize = 6;

/// Reads an array of elements of a type. Errors: `invalid`, as for a value of that type.
pub(super) fn read(element: &PgTypeInfo, bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader(bytes);
    let dimensions = usize::try_from(reader.number()?).map_err(|_| unreadable())?;
    if dimensions > MAX_DIMENSIONS {
        return Err(unreadable());
    }
    // Whether there are NULLs, and the elements' type, which is known.
    reader.number()?;
    reader.number()?;
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        lengths.push(usize::try_from(reader.number()?).map_err(|_| unreadable())?);
        // Where its counting begins.
        reader.number()?;
    }
    let told = if lengths.is_empty() { Json::Array(Vec::new()) } else { reader.part(element, &lengths)? };
    Ok(Value::Json(told.to_string()))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i32, Error> {
        self.take(4)?.try_into().map(i32::from_be_bytes).map_err(|_| unreadable())
    }

    fn part(&mut self, element: &PgTypeInfo, lengths: &[usize]) -> Result<Json, Error> {
        let Some((length, inner)) = lengths.split_first() else { return self.element(element) };
        let mut items = Vec::new();
        for _ in 0..*length {
            items.push(self.part(element, inner)?);
        }
        Ok(Json::Array(items))
    }

    fn element(&mut self, element: &PgTypeInfo) -> Result<Json, Error> {
        let Ok(length) = usize::try_from(self.number()?) else { return Ok(Json::Null) };
        Ok(match value(element, self.take(length)?)? {
            Value::Null => Json::Null,
            Value::Boolean(it) => it.into(),
            Value::Integer(it) => it.into(),
            Value::Real(it) => serde_json::Number::from_f64(it).map_or(Json::Null, Json::Number),
            Value::Json(it) => serde_json::from_str(&it).map_err(|_| unreadable())?,
            Value::Decimal(it)
            | Value::Text(it)
            | Value::Date(it)
            | Value::Time(it)
            | Value::Timestamp(it)
            | Value::Uuid(it) => it.into(),
            Value::Blob(_) => {
                return Err(Error::Invalid("an array of bytes has no form here: cast it to text".to_owned()));
            }
        })
    }
}
