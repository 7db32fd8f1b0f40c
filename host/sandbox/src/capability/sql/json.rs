//! Rows as one JSON text, for guests that pass them on. Deliberately absent: a part of them, since the text
//! has no place to say so.

use base64::Engine as _;
use remit_domain::data::{Error, sql};
use serde_json::Value as Json;

/// Refuses rows that were cut, where the answer has no place to say so.
pub(super) fn whole(set: sql::RowSet, most: u64) -> Result<sql::RowSet, Error> {
    let most = most.min(sql::MAX_ROWS as u64);
    match (set.truncated, u64::try_from(set.rows.len())) {
        (false, _) => Ok(set),
        (true, Ok(count)) if count < most => {
            Err(Error::Limit { name: "max-result-bytes", allowed: sql::MAX_RESULT_BYTES as u64 })
        }
        (true, _) => Err(Error::Limit { name: "max-rows", allowed: most }),
    }
}

/// The rows as a JSON array of objects. Blobs are base64; what JSON numbers can't hold exactly is text.
/// Written and counted piece by piece: a name stands in every row, so that the text may be many times
/// the rows' size.
pub(super) fn json(set: &sql::RowSet) -> Result<String, Error> {
    let mut names = Vec::with_capacity(set.columns.len());
    for (at, column) in set.columns.iter().enumerate() {
        if set.columns.iter().skip(at + 1).any(|later| later.name == column.name) {
            return Err(Error::Invalid(format!("two columns are called `{}`: give one another name", column.name)));
        }
        names.push(format!("{}:", Json::String(column.name.clone())));
    }
    let mut text = String::from("[");
    for row in &set.rows {
        text.push_str(if text.len() > 1 { ",{" } else { "{" });
        for (at, (name, value)) in names.iter().zip(row).enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(name);
            write_value(value, &mut text);
            if text.len() > sql::MAX_RESULT_BYTES {
                return Err(Error::Limit { name: "max-result-bytes", allowed: sql::MAX_RESULT_BYTES as u64 });
            }
        }
        text.push('}');
    }
    text.push(']');
    Ok(text)
}

fn write_value(value: &sql::Value, text: &mut String) {
    /// The largest integer that a JSON reader with binary floating point takes exactly.
    const EXACT: i64 = 1 << 53;
    let quoted = |it: &str| Json::String(it.to_owned()).to_string();
    text.push_str(&match value {
        sql::Value::Null => "null".to_owned(),
        sql::Value::Boolean(it) => it.to_string(),
        sql::Value::Integer(it) if (-EXACT..=EXACT).contains(it) => it.to_string(),
        sql::Value::Integer(it) => quoted(&it.to_string()),
        sql::Value::Real(it) => serde_json::Number::from_f64(*it).map_or(Json::Null, Json::Number).to_string(),
        sql::Value::Blob(it) => quoted(&base64::engine::general_purpose::STANDARD.encode(it)),
        sql::Value::Json(it) => serde_json::from_str::<Json>(it).map_or_else(|_| quoted(it), |json| json.to_string()),
        sql::Value::Decimal(it)
        | sql::Value::Text(it)
        | sql::Value::Date(it)
        | sql::Value::Time(it)
        | sql::Value::Timestamp(it)
        | sql::Value::Uuid(it) => quoted(it),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> sql::Column {
        sql::Column { name: name.to_owned(), data_type: "x".to_owned() }
    }

    #[test]
    fn rows_as_json_keep_exact_numbers_exact() {
        let set = sql::RowSet {
            columns: vec![column("a"), column("b"), column("c"), column("d")],
            rows: vec![vec![
                sql::Value::Integer(1 << 53),
                sql::Value::Integer((1 << 53) + 1),
                sql::Value::Decimal("12.50".to_owned()),
                sql::Value::Json("{\"x\":[1]}".to_owned()),
            ]],
            truncated: false,
        };
        assert_eq!(
            json(&set),
            Ok(r#"[{"a":9007199254740992,"b":"9007199254740993","c":"12.50","d":{"x":[1]}}]"#.to_owned())
        );
    }

    #[test]
    fn a_name_that_stands_in_every_row_counts_in_every_row() {
        let rows = vec![vec![sql::Value::Null]; 10_000];
        let set = sql::RowSet { columns: vec![column(&"n".repeat(30_000))], rows, truncated: false };
        assert_eq!(json(&set), Err(Error::Limit { name: "max-result-bytes", allowed: 4 << 20 }));
    }

    #[test]
    fn json_has_all_rows_or_none() {
        let set = |count: usize, truncated| sql::RowSet {
            columns: vec![column("a")],
            rows: vec![vec![sql::Value::Null]; count],
            truncated,
        };
        assert_eq!(whole(set(3, false), 3), Ok(set(3, false)));
        assert_eq!(whole(set(3, true), 3), Err(Error::Limit { name: "max-rows", allowed: 3 }));
        let bytes = Error::Limit { name: "max-result-bytes", allowed: 4 << 20 };
        assert_eq!(whole(set(2, true), 3), Err(bytes));
        assert_eq!(whole(set(10_000, true), 20_000), Err(Error::Limit { name: "max-rows", allowed: 10_000 }));
    }

    #[test]
    fn columns_of_one_name_are_an_error_and_not_a_loss() {
        let set = sql::RowSet { columns: vec![column("id"), column("id")], ..sql::RowSet::default() };
        assert!(matches!(json(&set), Err(Error::Invalid(text)) if text.contains("`id`")));
    }
}
