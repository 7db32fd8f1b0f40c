//! Rows with exact values, brought into the form that `query-json` gives: what JSON numbers can't hold
//! exactly is text, bytes are base64.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::{RowSet, Value};
use crate::{Cause, LimitReached};

/// The largest integer up to which every one is a binary float: beyond it, integers are text.
const EXACT: u64 = 1 << 53;

/// All rows of an answer. One that was cut is the limit that it met, as with `query-json`: who takes rows
/// without a word about more must not miss any.
pub(super) fn all(set: RowSet) -> Result<RowSet, Cause> {
    if set.truncated {
        let allowed = set.rows.len().try_into().unwrap_or(u64::MAX);
        return Err(Cause::Limit(LimitReached { name: "max-rows".to_owned(), allowed }));
    }
    Ok(set)
}

pub(super) fn typed<T: DeserializeOwned>(set: &RowSet) -> serde_json::Result<Vec<T>> {
    set.rows
        .iter()
        .map(|row| {
            let fields: serde_json::Result<Map<_, _>> =
                set.columns.iter().zip(row).map(|(column, value)| Ok((column.name.clone(), json(value)?))).collect();
            serde_json::from_value(Json::Object(fields?))
        })
        .collect()
}

fn json(value: &Value) -> serde_json::Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Boolean(it) => Json::Bool(*it),
        Value::Integer(it) if it.unsigned_abs() > EXACT => Json::String(it.to_string()),
        Value::Integer(it) => Json::from(*it),
        Value::Real(it) => Json::from(*it),
        Value::Blob(it) => Json::String(base64(it)),
        Value::Json(it) => serde_json::from_str(it)?,
        Value::Decimal(it)
        | Value::Text(it)
        | Value::Date(it)
        | Value::Time(it)
        | Value::Timestamp(it)
        | Value::Uuid(it) => Json::String(it.clone()),
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS.get((group >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(char::from(if place > chunk.len() { b'=' } else { digit }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{base64, typed};
    use crate::source::{Column, RowSet, Value};

    #[test]
    fn rows_have_the_form_of_query_json() -> serde_json::Result<()> {
        let column = |name: &str| Column { name: name.to_owned(), data_type: String::new() };
        let set = RowSet {
            columns: ["a", "b", "c", "d", "e", "f"].map(column).to_vec(),
            rows: vec![vec![
                Value::Null,
                Value::Integer(i64::MAX),
                Value::Decimal("12.50".to_owned()),
                Value::Json("[1]".to_owned()),
                Value::Blob(b"remit".to_vec()),
                Value::Real(0.5),
            ]],
            truncated: false,
        };
        assert_eq!(
            typed::<Json>(&set)?,
            [json!({ "a": null, "b": "9223372036854775807", "c": "12.50", "d": [1], "e": "cmVtaXQ=", "f": 0.5 })]
        );
        Ok(())
    }

    #[test]
    fn base64_pads() {
        let encoded = [&b""[..], b"f", b"fo", b"foo", b"\xff\xfe\xfd\xfc"].map(base64);
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "//79/A=="]);
    }
}
