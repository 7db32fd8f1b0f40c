//! Pipelines and their stages, those inside stages too, and the collections that they name.

use remit_domain::{data::Error, scope::Scope};
use serde_json::{Map, Value};

use super::{
    super::{
        json::{literal, unknown},
        path::Path,
        pipeline::Sort,
    },
    collection, count, expression, filter, list_of, object_of, plain,
};

/// The most stages of a pipeline.
const MAX_STAGES: usize = 50;

/// Errors: `invalid` for a stage or operator that is on no list, or a wrong form; `denied` for a
/// collection outside of the scope.
pub(super) fn check(stages: &Value, scope: &Scope) -> Result<(), Error> {
    let wrong = || Error::Invalid("a pipeline is a list of stages, each an object with one key".to_owned());
    let stages = stages.as_array().ok_or_else(wrong)?;
    if stages.len() > MAX_STAGES {
        return Err(Error::Invalid(format!("a pipeline has at most {MAX_STAGES} stages")));
    }
    stages.iter().try_for_each(|one| {
        let mut entries = one.as_object().ok_or_else(wrong)?.iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => stage(name, value, scope),
            _ => Err(wrong()),
        }
    })
}

fn stage(name: &String, value: &Value, scope: &Scope) -> Result<(), Error> {
    match name.as_str() {
        "$match" => filter::check(object_of(name, value)?),
        "$sort" => Sort::read(object_of(name, value)?).map(drop),
        "$skip" | "$limit" => count(name, value),
        "$sample" => parts(name, value, &["size"], count),
        "$project" => object_of(name, value)?.iter().try_for_each(|(path, value)| {
            Path::new(path)?;
            expression::check(value)
        }),
        "$addFields" | "$set" => expression::fields(name, value),
        "$unset" => match value {
            Value::Array(paths) => paths.iter().try_for_each(|one| path(name, one)),
            one => path(name, one),
        },
        "$group" => {
            let fields = object_of(name, value)?;
            let id = fields.get("_id");
            let id = id.ok_or_else(|| Error::Invalid("`$group` needs an `_id`; null for one group".to_owned()))?;
            expression::check(id)?;
            expression::accumulators(name, fields.iter().filter(|(field, _)| *field != "_id"))
        }
        "$count" => match value.as_str() {
            Some(field) => plain(name, field),
            None => Err(Error::Invalid("`$count` takes a field's name".to_owned())),
        },
        "$unwind" => unwind(value),
        "$facet" => object_of(name, value)?.iter().try_for_each(|(field, stages)| {
            plain(name, field)?;
            check(stages, scope)
        }),
        "$bucket" => parts(name, value, &["groupBy", "boundaries", "default", "output"], bucket),
        "$bucketAuto" => parts(name, value, &["groupBy", "buckets", "granularity", "output"], bucket),
        "$sortByCount" | "$replaceWith" => expression::check(value),
        "$replaceRoot" => parts(name, value, &["newRoot"], |_, value| expression::check(value)),
        "$lookup" | "$unionWith" | "$graphLookup" => join(name, value, scope),
        _ => Err(unknown(Some(name))),
    }
}

/// Stages that bring in documents of another collection.
fn join(name: &str, value: &Value, scope: &Scope) -> Result<(), Error> {
    let other = |value: &Value| match value.as_str() {
        Some(other) => collection(other, scope),
        // An object could name another database.
        None => Err(Error::Invalid(format!("`{name}` takes a collection's name"))),
    };
    if name == "$unionWith" && value.is_string() {
        return other(value);
    }
    let (from, keys): (_, &[_]) = match name {
        "$lookup" => ("from", &["from", "localField", "foreignField", "let", "pipeline", "as"]),
        "$unionWith" => ("coll", &["coll", "pipeline"]),
        _ => (
            "from",
            &[
                "from",
                "startWith",
                "connectFromField",
                "connectToField",
                "as",
                "maxDepth",
                "depthField",
                "restrictSearchWithMatch",
            ],
        ),
    };
    // Without it, the stages inside would read something else than a collection.
    if object_of(name, value)?.get(from).is_none() {
        return Err(Error::Invalid(format!("`{name}` needs `{from}`")));
    }
    parts(name, value, keys, |key, value| match key {
        "from" | "coll" => other(value),
        "let" => expression::fields(key, value),
        "pipeline" => check(value, scope),
        "startWith" => expression::check(value),
        "restrictSearchWithMatch" => filter::check(object_of(key, value)?),
        "maxDepth" => count(key, value),
        _ => path(key, value),
    })
}

fn bucket(key: &str, value: &Value) -> Result<(), Error> {
    match key {
        "groupBy" => expression::check(value),
        "boundaries" => list_of(key, value)?.iter().try_for_each(literal),
        "buckets" => count(key, value),
        "output" => expression::accumulators(key, object_of(key, value)?.iter()),
        _ => literal(value),
    }
}

fn unwind(value: &Value) -> Result<(), Error> {
    let reference = |value: &Value| match value.as_str().and_then(Path::reference) {
        Some(path) => path.map(drop),
        None => Err(Error::Invalid("`$unwind` takes a reference such as `\"$items\"`".to_owned())),
    };
    if !value.is_object() {
        return reference(value);
    }
    reference(value.get("path").unwrap_or(&Value::Null))?;
    parts("$unwind", value, &["path", "preserveNullAndEmptyArrays", "includeArrayIndex"], |key, value| match key {
        "preserveNullAndEmptyArrays" if !value.is_boolean() => {
            Err(Error::Invalid(format!("`{key}` takes true or false")))
        }
        "includeArrayIndex" => path(key, value),
        _ => Ok(()),
    })
}

/// Checks the parts of a stage by name. Errors: `invalid` for a part that is on no list.
fn parts(
    name: &str,
    value: &Value,
    known: &[&str],
    check: impl Fn(&str, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let object: &Map<_, _> = object_of(name, value)?;
    object.iter().try_for_each(|(key, value)| {
        if !known.contains(&key.as_str()) {
            let key: String = key.chars().take(64).collect();
            return Err(Error::Invalid(format!("`{name}` knows no `{key}` here")));
        }
        check(key, value)
    })
}

fn path(name: &str, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(path) => Path::new(path).map(drop),
        None => Err(Error::Invalid(format!("`{name}` takes a path"))),
    }
}
