//! `where` as an object, written as SQL: `{status: active, total: {gte: 100}, or: [{a: 1}, {b: null}]}`.

use remit_sdk::{
    Error, Result,
    serde_json::{Map, Value as Json},
};

use crate::statement::Statement;

/// The words that compare, and their signs.
const SIGNS: [(&str, &str); 7] =
    [("eq", " = "), ("ne", " <> "), ("gt", " > "), ("gte", " >= "), ("lt", " < "), ("lte", " <= "), ("like", " LIKE ")];

/// How deep `or` and `and` may be nested.
const MAX_DEPTH: usize = 8;

/// Adds the conditions of an object, all of which must hold.
///
/// Errors: `invalid` with the place of what is no condition; an empty object is none.
pub(crate) fn write(conditions: &Map<String, Json>, statement: &mut Statement) -> Result<()> {
    all(conditions, "/where", MAX_DEPTH, statement)
}

fn all(conditions: &Map<String, Json>, pointer: &str, depth: usize, statement: &mut Statement) -> Result<()> {
    if conditions.is_empty() {
        return Err(Error::invalid(
            pointer,
            "no condition: all rows are met by leaving `where` out, where that is allowed",
        ));
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::invalid(pointer, format!("conditions are nested more than {MAX_DEPTH} deep")));
    };
    for (at, (name, wanted)) in conditions.iter().enumerate() {
        if at > 0 {
            statement.push(" AND ");
        }
        let pointer = format!("{pointer}/{name}");
        match (name.as_str(), wanted) {
            ("or", Json::Array(parts)) => several(parts, " OR ", &pointer, depth, statement)?,
            ("and", Json::Array(parts)) => several(parts, " AND ", &pointer, depth, statement)?,
            (_, Json::Object(operators)) => {
                for (at, (operator, operand)) in operators.iter().enumerate() {
                    if at > 0 {
                        statement.push(" AND ");
                    }
                    compare(name, operator, operand, &pointer, statement)?;
                }
                if operators.is_empty() {
                    return Err(Error::invalid(&pointer, "no condition"));
                }
            }
            _ => compare(name, "eq", wanted, &pointer, statement)?,
        }
    }
    Ok(())
}

fn several(parts: &[Json], between: &str, pointer: &str, depth: usize, statement: &mut Statement) -> Result<()> {
    if parts.is_empty() {
        return Err(Error::invalid(pointer, "no condition"));
    }
    statement.push("(");
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            statement.push(between);
        }
        let pointer = format!("{pointer}/{at}");
        let part = part.as_object().ok_or_else(|| Error::invalid(&pointer, "each condition is an object"))?;
        statement.push("(");
        all(part, &pointer, depth, statement)?;
        statement.push(")");
    }
    statement.push(")");
    Ok(())
}

fn compare(name: &str, operator: &str, operand: &Json, pointer: &str, statement: &mut Statement) -> Result<()> {
    let wrong = |message: String| Err(Error::invalid(pointer, message));
    match (operator, operand) {
        ("eq", Json::Null) | ("null", Json::Bool(true)) => {
            statement.name(name, pointer)?;
            statement.push(" IS NULL");
        }
        ("ne", Json::Null) | ("null", Json::Bool(false)) => {
            statement.name(name, pointer)?;
            statement.push(" IS NOT NULL");
        }
        ("in" | "notIn", Json::Array(items)) => {
            if let Some(odd) = items.iter().find(|item| !plain(item)) {
                return wrong(format!("`{operator}` takes texts, numbers and booleans, not {odd}"));
            }
            // No value is among none, and every value is not; of a change that would mean all rows.
            if items.is_empty() {
                if operator == "notIn" && !statement.text.starts_with("SELECT") {
                    return wrong("`notIn` an empty list means all rows".to_owned());
                }
                statement.push(if operator == "in" { "1 = 0" } else { "1 = 1" });
                return Ok(());
            }
            statement.name(name, pointer)?;
            statement.push(if operator == "in" { " IN (" } else { " NOT IN (" });
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    statement.push(", ");
                }
                statement.value(item);
            }
            statement.push(")");
        }
        ("between", Json::Array(ends)) => match ends.as_slice() {
            [low, high] if plain(low) && plain(high) => {
                statement.name(name, pointer)?;
                statement.push(" BETWEEN ");
                statement.value(low);
                statement.push(" AND ");
                statement.value(high);
            }
            _ => return wrong("`between` takes a list of two values".to_owned()),
        },
        _ => {
            let Some((_, sign)) = SIGNS.iter().find(|(word, _)| *word == operator) else {
                return wrong(format!(
                    "`{operator}` does not compare: one of eq, ne, gt, gte, lt, lte, like, in, notIn, between, null"
                ));
            };
            if !plain(operand) {
                return wrong(format!(
                    "`{operator}` takes a text, number or boolean, not {operand}; `in` takes a list"
                ));
            }
            statement.name(name, pointer)?;
            statement.push(sign);
            statement.value(operand);
        }
    }
    Ok(())
}

fn plain(value: &Json) -> bool {
    matches!(value, Json::Bool(_) | Json::Number(_) | Json::String(_))
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        Error, json,
        serde_json::Value as Json,
        source::{Dialect, Value},
    };

    use super::write;
    use crate::statement::{Statement, Style};

    fn written(conditions: &Json) -> Result<(String, Vec<Value>), Error> {
        of("SELECT ", conditions)
    }

    fn of(begin: &str, conditions: &Json) -> Result<(String, Vec<Value>), Error> {
        let mut statement = Statement::new(&Dialect::Mysql, begin, Style::Question, Vec::new());
        write(conditions.as_object().unwrap(), &mut statement)?;
        Ok(statement.finish())
    }

    #[test]
    fn conditions_become_sql_with_parameters() {
        for (conditions, text) in [
            (json!({"id": 7}), "`id` = ?"),
            (json!({"a": null, "b": {"ne": null}}), "`a` IS NULL AND `b` IS NOT NULL"),
            (json!({"a": {"gte": 1, "lt": 5}}), "`a` >= ? AND `a` < ?"),
            (json!({"a": {"in": [1, 2]}, "b": {"notIn": []}}), "`a` IN (?, ?) AND 1 = 1"),
            (json!({"a": {"between": ["x", "y"]}}), "`a` BETWEEN ? AND ?"),
            (json!({"a": {"null": false, "like": "x%"}}), "`a` IS NOT NULL AND `a` LIKE ?"),
            (
                json!({"a": 1, "or": [{"b": 2, "c": 3}, {"and": [{"d": 4}]}]}),
                "`a` = ? AND ((`b` = ? AND `c` = ?) OR (((`d` = ?))))",
            ),
        ] {
            assert_eq!(written(&conditions).unwrap().0, format!("SELECT {text}"));
        }
        assert!(of("DELETE ", &json!({"a": {"notIn": []}})).is_err());
        let (_, values) = written(&json!({"price": {"gt": 9.99}, "name": "x' OR 1=1 --"})).unwrap();
        assert_eq!(values, [Value::Decimal("9.99".to_owned()), Value::Text("x' OR 1=1 --".to_owned())]);
    }

    #[test]
    fn what_is_no_condition_is_named() {
        let mut deep = json!({"a": 1});
        for _ in 0..9 {
            deep = json!({"or": [deep]});
        }
        for (conditions, pointer) in [
            (json!({}), "/where"),
            (json!({"a": {}}), "/where/a"),
            (json!({"a": {"$gt": 1}}), "/where/a"),
            (json!({"a": {"eq": {"ne": 1}}}), "/where/a"),
            (json!({"a": [1, 2]}), "/where/a"),
            (json!({"a": {"in": [null]}}), "/where/a"),
            (json!({"a": {"between": [1]}}), "/where/a"),
            (json!({"or": []}), "/where/or"),
            (json!({"or": [1]}), "/where/or/0"),
            (json!({"a` = 1 OR `b": 1}), "/where/a` = 1 OR `b"),
        ] {
            match written(&conditions) {
                Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{conditions}"),
                other => panic!("{conditions}: {other:?}"),
            }
        }
        assert!(written(&deep).is_err());
    }
}
