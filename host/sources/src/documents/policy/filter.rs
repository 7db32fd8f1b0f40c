//! Filters, at every depth.

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::{
    super::{
        json::{extended, literal, unknown},
        path::Path,
    },
    count, expression, list_of, object_of,
};

/// Errors: `invalid` for an operator that is on no list, or a wrong form.
pub(super) fn check(object: &Map<String, Value>) -> Result<(), Error> {
    for (key, value) in object {
        match key.as_str() {
            "$and" | "$or" | "$nor" => several(key, value)?,
            "$expr" => expression::check(value)?,
            operator if operator.starts_with('$') => return Err(unknown(Some(key))),
            path => {
                Path::new(path)?;
                test(value)?;
            }
        }
    }
    Ok(())
}

/// Whether a filter means every document, as far as it says so by itself.
pub(crate) fn means_everything(object: &Map<String, Value>) -> bool {
    let every = |value: &Value| value.as_object().is_some_and(means_everything);
    object.iter().all(|(key, value)| match key.as_str() {
        "$and" => value.as_array().is_some_and(|parts| parts.iter().all(every)),
        "$or" => value.as_array().is_some_and(|parts| parts.iter().any(every)),
        // One that looks at no field is true of all or of none.
        "$expr" => !expression::refers(value),
        _ => false,
    })
}

/// What is asked of the values at a path: a value, or operators.
pub(super) fn test(value: &Value) -> Result<(), Error> {
    match value {
        Value::Object(object) if operators(object) => object.iter().try_for_each(|(key, value)| operator(key, value)),
        _ => literal(value),
    }
}

/// What is asked of an item of a list: operators, or a filter of its fields.
pub(super) fn of_item(name: &str, value: &Value) -> Result<(), Error> {
    let object = object_of(name, value)?;
    let logical = object.keys().any(|key| matches!(key.as_str(), "$and" | "$or" | "$nor"));
    if operators(object) && !logical { test(value) } else { check(object) }
}

/// Whether an object is made of operators and is no value.
pub(super) fn operators(object: &Map<String, Value>) -> bool {
    object.keys().any(|key| key.starts_with('$')) && extended(object).is_none()
}

fn operator(key: &String, value: &Value) -> Result<(), Error> {
    let wrong = |takes: &str| Err(Error::Invalid(format!("`{key}` takes {takes}")));
    match key.as_str() {
        "$eq" | "$ne" | "$gt" | "$gte" | "$lt" | "$lte" => literal(value),
        "$in" | "$nin" | "$all" => list_of(key, value).and_then(|items| items.iter().try_for_each(literal)),
        "$exists" if !matches!(value, Value::Bool(_) | Value::Number(_)) => wrong("true or false"),
        "$not" => match value {
            Value::Object(object) if operators(object) => test(value),
            _ => wrong("an object of operators"),
        },
        "$regex" if !value.is_string() => wrong("a pattern"),
        "$options" if !value.as_str().is_some_and(|flags| flags.chars().all(|flag| "imsx".contains(flag))) => {
            wrong("some of the letters i, m, s and x")
        }
        "$exists" | "$regex" | "$options" => Ok(()),
        "$size" => count(key, value),
        "$type" => {
            let named = |value: &Value| value.is_string() || value.is_i64();
            let fine = named(value) || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(named));
            if fine { Ok(()) } else { wrong("names of types") }
        }
        "$mod" => match list_of(key, value)?.as_slice() {
            [Value::Number(_), Value::Number(_)] => Ok(()),
            _ => wrong("a divisor and a remainder"),
        },
        "$elemMatch" => of_item(key, value),
        _ => Err(unknown(Some(key))),
    }
}

fn several(key: &str, value: &Value) -> Result<(), Error> {
    let wrong = || Error::Invalid(format!("`{key}` takes a list of filters, at least one"));
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().try_for_each(|item| item.as_object().ok_or_else(wrong).and_then(check))
        }
        _ => Err(wrong()),
    }
}
