//! Projections: which parts of a document are given, and for pipelines values under new names.

use std::collections::BTreeMap;

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::{
    meter::{Meter, weigh},
    path::{Path, overlapping},
};

/// Paths by their parts, so that each name of a document is looked up once.
#[derive(Debug, Clone, PartialEq, Default)]
struct Tree {
    /// Whether a path ends here.
    ends: bool,
    below: BTreeMap<String, Tree>,
}

/// A projection, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Projection {
    /// Whether the paths are what is kept, or what is left out.
    keep: bool,
    /// Whether `_id` is given.
    id: bool,
    tree: Tree,
    /// New names with what they refer to; in pipelines only.
    computed: Vec<(Path, Path)>,
}

impl Projection {
    /// Errors: `invalid` for anything but 0 and 1 (or, with `computed`, references such as `"$a.b"`),
    /// and for a mixture of kept and left out.
    pub(super) fn read(object: &Map<String, Value>, computed: bool) -> Result<Self, Error> {
        let mut this = Self { keep: false, id: true, tree: Tree::default(), computed: Vec::new() };
        let (mut kinds, mut paths) = (Vec::new(), Vec::new());
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
            kinds.push(keep);
            paths.push(path);
        }
        if let Some(path) = overlapping(paths.iter()) {
            return Err(Error::Invalid(format!("`{}` is projected twice", path.text())));
        }
        paths.iter().for_each(|path| this.tree.add(path.parts()));
        if kinds.iter().any(|kind| Some(kind) != kinds.first()) {
            return Err(Error::Invalid("a projection keeps paths or leaves them out, not both".to_owned()));
        }
        this.keep |= kinds.first() == Some(&true);
        Ok(this)
    }

    /// The document with what is wanted of it. Errors: those of the meter, before anything is made.
    pub(super) fn apply(&self, document: Value, meter: &Meter) -> Result<Value, Error> {
        let mut document = document;
        let mut computed = Vec::with_capacity(self.computed.len());
        for (name, from) in &self.computed {
            meter.step()?;
            if let Some(value) = from.evaluate(&document, meter)? {
                meter.take(weigh(&value)?)?;
                computed.push((name, value.into_owned()));
            }
        }
        let id = document.as_object_mut().and_then(|object| object.shift_remove("_id"));
        let mut given = Map::new();
        if self.id && !self.computed.iter().any(|(name, _)| name.is_id()) {
            given.extend(id.map(|id| ("_id".to_owned(), id)));
        }
        let rest = if self.keep { keep(document, &self.tree) } else { leave_out(document, &self.tree) };
        if let Value::Object(rest) = rest {
            given.extend(rest);
        }
        let mut given = Value::Object(given);
        for (name, value) in computed {
            let Some((last, before)) = name.parts().split_last() else { continue };
            if let Some(Value::Object(parent)) = super::path::parent(&mut given, before) {
                parent.insert(last.clone(), value);
            }
        }
        Ok(given)
    }
}

impl Tree {
    fn add(&mut self, parts: &[String]) {
        let end = parts.iter().fold(self, |tree, part| tree.below.entry(part.clone()).or_default());
        end.ends = true;
    }
}

fn keep(value: Value, tree: &Tree) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter_map(|(key, value)| {
                let below = tree.below.get(&key)?;
                if below.ends {
                    return Some((key, value));
                }
                // What is no object has no parts to keep.
                let deeper = matches!(value, Value::Object(_) | Value::Array(_));
                deeper.then(|| (key, keep(value, below)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let objects = items.into_iter().filter(|item| matches!(item, Value::Object(_) | Value::Array(_)));
            objects.map(|item| keep(item, tree)).collect()
        }
        other => other,
    }
}

fn leave_out(value: Value, tree: &Tree) -> Value {
    match value {
        Value::Object(object) => {
            let left = object.into_iter().filter_map(|(key, value)| match tree.below.get(&key) {
                Some(below) if below.ends => None,
                Some(below) => Some((key, leave_out(value, below))),
                None => Some((key, value)),
            });
            Value::Object(left.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| leave_out(item, tree)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::{super::meter::endless, *};

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
            assert_eq!(read.apply(document.clone(), &endless()), Ok(given), "{projection}");
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
