//! Updates: operators that change what they name, one by one.

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::{
    super::{
        json::{extended, literal, number, unknown},
        path::{self, Path},
        pipeline::Sort,
    },
    filter, list_of, object_of,
};

/// Errors: `invalid` for an operator that is on no list, a whole document, two changes of one path, or a
/// change of `_id`.
pub(super) fn check(object: &Map<String, Value>) -> Result<(), Error> {
    let mut paths = Vec::new();
    for (operator, fields) in object {
        if !operator.starts_with('$') {
            return Err(Error::Invalid("an update is made of operators such as `$set`".to_owned()));
        }
        let wrong = || Error::Invalid(format!("`{operator}` takes an object of paths"));
        for (path, value) in fields.as_object().ok_or_else(wrong)? {
            paths.push(Path::new(path)?);
            change(operator, value)?;
            if operator == "$rename" {
                paths.push(Path::new(value.as_str().unwrap_or_default())?);
            }
        }
    }
    if paths.iter().any(Path::is_id) {
        return Err(Error::Invalid("`_id` can't be changed".to_owned()));
    }
    if let Some(path) = path::overlapping(paths.iter()) {
        return Err(Error::Invalid(format!("`{}` is changed twice", path.text())));
    }
    if paths.is_empty() {
        return Err(Error::Invalid("the update changes nothing".to_owned()));
    }
    Ok(())
}

fn change(operator: &String, value: &Value) -> Result<(), Error> {
    let wrong = |takes: &str| Err(Error::Invalid(format!("`{operator}` takes {takes}")));
    match operator.as_str() {
        "$set" | "$setOnInsert" | "$min" | "$max" => literal(value),
        "$unset" => Ok(()),
        "$inc" | "$mul" if number(value).is_none() => wrong("numbers"),
        "$inc" | "$mul" => Ok(()),
        "$push" => each(value, &["$each", "$position", "$slice", "$sort"]),
        "$addToSet" => each(value, &["$each"]),
        "$pull" => match value {
            Value::Object(object) if extended(object).is_none() => filter::of_item(operator, value),
            _ => literal(value),
        },
        "$pop" if !matches!(value.as_i64(), Some(1 | -1)) => wrong("1 or -1"),
        "$pop" => Ok(()),
        "$rename" if !value.is_string() => wrong("the new path"),
        "$rename" => Ok(()),
        "$currentDate" if value != &Value::Bool(true) => wrong("true"),
        "$currentDate" => Ok(()),
        _ => Err(unknown(Some(operator))),
    }
}

/// One value to add, or `$each` of a list with what goes with it.
fn each(value: &Value, with: &[&str]) -> Result<(), Error> {
    let Some(object) = value.as_object().filter(|object| object.contains_key("$each")) else { return literal(value) };
    object.iter().try_for_each(|(key, value)| match key.as_str() {
        _ if !with.contains(&key.as_str()) => Err(Error::Invalid(format!("`{key}` does not go with `$each` here"))),
        "$each" => list_of(key, value)?.iter().try_for_each(literal),
        "$sort" if value.is_object() => Sort::read(object_of(key, value)?).map(drop),
        "$sort" if !matches!(value.as_i64(), Some(1 | -1)) => Err(Error::Invalid("`$sort` takes 1 or -1".to_owned())),
        _ if value.as_i64().is_none() => Err(Error::Invalid(format!("`{key}` takes a whole number"))),
        _ => Ok(()),
    })
}
