//! Projections: which parts of a document are given, and for pipelines values under new names.

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::path::Path;

/// A projection, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Projection {
    /// Whether the paths are what is kept, or what is left out.
    keep: bool,
    /// Whether `_id` is given.
    id: bool,
    paths: Vec<Path>,
    /// New names with what they refer to; in pipelines only.
    computed: Vec<(Path, Path)>,
}

impl Projection {
    /// Errors: `invalid` for anything but 0 and 1 (or, with `computed`, references such as `"$a.b"`),
    /// and for a mixture of kept and left out.
    pub(super) fn read(object: &Map<String, Value>, computed: bool) -> Result<Self, Error> {
        let mut this = Self { keep: false, id: true, paths: Vec::new(), computed: Vec::new() };
        let mut kinds = Vec::new();
        for (key, value) in object {
            let wrong = || Error::Invalid(format!("the projection of `{key}` is neither 0 nor 1"));
            let path = Path::new(key)?;
            let keep = match value {
                Value::Bool(keep) => *keep,
                Value::Number(number) => number.as_f64() != Some(0.0),
                Value::String(reference) if computed => {
                    let reference = Path::reference(reference).ok_or_else(wrong)??;
                    kinds.push(true);
                    this.computed.push((path, reference));
                    continue;
                }
                _ => return Err(wrong()),
            };
            if key == "_id" {
                this.id = keep;
                if keep {
                    // Kept anyway; alone it means that nothing else is.
                    this.keep |= object.len() == 1;
                }
                continue;
            }
            if this.paths.iter().any(|other| other.overlaps(&path)) {
                return Err(Error::Invalid(format!("`{key}` is projected twice")));
            }
            kinds.push(keep);
            this.paths.push(path);
        }
        if kinds.iter().any(|kind| Some(kind) != kinds.first()) {
            return Err(Error::Invalid("a projection keeps paths or leaves them out, not both".to_owned()));
        }
        this.keep |= kinds.first() == Some(&true);
        Ok(this)
    }

    /// The document with what is wanted of it.
    pub(super) fn apply(&self, document: Value) -> Value {
        let mut document = document;
        let computed: Vec<_> = self.computed.iter().map(|(name, from)| (name, from.evaluate(&document))).collect();
        let id = document.as_object_mut().and_then(|object| object.shift_remove("_id"));
        let paths: Vec<_> = self.paths.iter().map(Path::parts).collect();
        let mut given = Map::new();
        if self.id && !self.computed.iter().any(|(name, _)| name.is_id()) {
            given.extend(id.map(|id| ("_id".to_owned(), id)));
        }
        let rest = if self.keep { keep(document, &paths) } else { leave_out(document, &paths) };
        if let Value::Object(rest) = rest {
            given.extend(rest);
        }
        let mut given = Value::Object(given);
        for (name, value) in computed {
            let Some((last, before)) = name.parts().split_last() else { continue };
            if let (Some(value), Some(Value::Object(parent))) = (value, super::path::parent(&mut given, before)) {
                parent.insert(last.clone(), value);
            }
        }
        given
    }
}

fn keep(value: Value, paths: &[&[String]]) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter_map(|(key, value)| {
                let below = below(&key, paths);
                if below.iter().any(|path| path.is_empty()) {
                    return Some((key, value));
                }
                // What is no object has no parts to keep.
                let deeper = !below.is_empty() && matches!(value, Value::Object(_) | Value::Array(_));
                deeper.then(|| (key, keep(value, &below)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let objects = items.into_iter().filter(|item| matches!(item, Value::Object(_) | Value::Array(_)));
            objects.map(|item| keep(item, paths)).collect()
        }
        other => other,
    }
}

fn leave_out(value: Value, paths: &[&[String]]) -> Value {
    match value {
        Value::Object(object) => {
            let left = object.into_iter().filter_map(|(key, value)| {
                let below = below(&key, paths);
                if below.iter().any(|path| path.is_empty()) {
                    return None;
                }
                let value = if below.is_empty() { value } else { leave_out(value, &below) };
                Some((key, value))
            });
            Value::Object(left.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| leave_out(item, paths)).collect(),
        other => other,
    }
}

/// What is left of the paths that begin with a key.
fn below<'a>(key: &str, paths: &[&'a [String]]) -> Vec<&'a [String]> {
    paths
        .iter()
        .filter_map(|path| path.split_first().filter(|(first, _)| *first == key).map(|(_, rest)| rest))
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn projections_keep_leave_out_and_rename() {
        let document = json!({ "_id": 1, "a": 1, "b": { "c": 2, "d": 3 }, "rows": [{ "x": 1, "y": 2 }, 5] });
        for (projection, given) in [
            (json!({}), document.clone()),
            (json!({ "a": 1 }), json!({ "_id": 1, "a": 1 })),
            (json!({ "a": true, "_id": 0 }), json!({ "a": 1 })),
            (json!({ "_id": 1 }), json!({ "_id": 1 })),
            (json!({ "b.c": 1, "rows.y": 1 }), json!({ "_id": 1, "b": { "c": 2 }, "rows": [{ "y": 2 }] })),
            (json!({ "a.z": 1 }), json!({ "_id": 1 })),
            (json!({ "b": 0, "rows": 0 }), json!({ "_id": 1, "a": 1 })),
            (json!({ "_id": 0, "b.c": 0, "rows.x": 0 }), json!({ "a": 1, "b": { "d": 3 }, "rows": [{ "y": 2 }, 5] })),
            (
                json!({ "_id": 0, "city": "$b.c", "xs": "$rows.x", "in.side": "$a" }),
                json!({ "city": 2, "xs": [1], "in": { "side": 1 } }),
            ),
        ] {
            let read = Projection::read(projection.as_object().unwrap(), true).unwrap();
            assert_eq!(read.apply(document.clone()), given, "{projection}");
        }
        for bad in [
            json!({ "a": 1, "b": 0 }),
            json!({ "a": { "$slice": 1 } }),
            json!({ "a": "b" }),
            json!({ "a": 1, "a.b": 1 }),
        ] {
            assert!(Projection::read(bad.as_object().unwrap(), true).is_err(), "{bad}");
        }
        assert!(Projection::read(json!({ "a": "$b" }).as_object().unwrap(), false).is_err());
    }
}
