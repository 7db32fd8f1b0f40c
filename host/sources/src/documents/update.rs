//! Updates: `$set`, `$unset`, `$inc` and `$push`. Read first, then applied to each document.

use remit_domain::data::{Error, Refusal, Rejection};
use serde_json::{Map, Value};

use super::{
    json::{literal, number, unknown},
    path::{self, Path},
};

/// How far beyond an array's end `$set` may reach.
const MAX_PADDING: usize = 1_000;

/// An update, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update(Vec<(Path, Change)>);

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Set(Value),
    Unset,
    Increase(Value),
    Push(Vec<Value>),
}

impl Update {
    /// Reads what [`super::policy`] has checked. Errors: `invalid` for an operator that is unknown here.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, Error> {
        let mut changes: Vec<(Path, Change)> = Vec::new();
        for (operator, fields) in object {
            for (path, value) in fields.as_object().into_iter().flatten() {
                changes.push((Path::new(path)?, Change::read(operator, value)?));
            }
        }
        Ok(Self(changes))
    }

    /// Changes a document. Errors: `rejected` (`rule`) if a value on the way is not what the change
    /// needs.
    pub(super) fn apply(&self, document: &mut Value) -> Result<(), Error> {
        self.0.iter().try_for_each(|(path, change)| change.apply(path, document))
    }
}

impl Change {
    fn read(operator: &String, value: &Value) -> Result<Self, Error> {
        Ok(match operator.as_str() {
            "$set" => {
                literal(value)?;
                Self::Set(value.clone())
            }
            "$unset" => Self::Unset,
            "$inc" => match number(value) {
                Some(_) => Self::Increase(value.clone()),
                None => return Err(Error::Invalid("`$inc` takes numbers".to_owned())),
            },
            "$push" => match value.as_object().filter(|object| object.contains_key("$each")) {
                Some(object) => match (object.get("$each"), object.len()) {
                    (Some(Value::Array(items)), 1) => {
                        items.iter().try_for_each(literal)?;
                        Self::Push(items.clone())
                    }
                    _ => return Err(Error::Invalid("`$each` takes a list, and nothing beside it".to_owned())),
                },
                None => {
                    literal(value)?;
                    Self::Push(vec![value.clone()])
                }
            },
            _ => return Err(unknown(Some(operator))),
        })
    }

    fn apply(&self, path: &Path, document: &mut Value) -> Result<(), Error> {
        let refused = |why: &str| {
            Error::Rejected(Rejection {
                reason: Refusal::Rule,
                code: None,
                message: format!("`{}` {why}", path.text()),
            })
        };
        // Taking away never makes what leads there.
        if *self == Self::Unset && path.get(document).is_none() {
            return Ok(());
        }
        let Some((last, before)) = path.parts().split_last() else { return Ok(()) };
        let parent =
            path::parent(document, before).ok_or_else(|| refused("leads through a value that is no object"))?;
        match parent {
            Value::Object(object) => match self {
                Self::Unset => drop(object.shift_remove(last)),
                _ => self.change(object.entry(last.clone()).or_insert(Value::Null), &refused)?,
            },
            Value::Array(items) => {
                let at: usize = last.parse().map_err(|_| refused("names no place in a list"))?;
                if *self == Self::Unset {
                    if let Some(item) = items.get_mut(at) {
                        *item = Value::Null;
                    }
                    return Ok(());
                }
                if at > items.len() + MAX_PADDING {
                    return Err(refused("lies far beyond the list's end"));
                }
                items.resize(items.len().max(at + 1), Value::Null);
                if let Some(item) = items.get_mut(at) {
                    self.change(item, &refused)?;
                }
            }
            _ => return Err(refused("leads through a value that is no object")),
        }
        Ok(())
    }

    fn change(&self, value: &mut Value, refused: &dyn Fn(&str) -> Error) -> Result<(), Error> {
        match self {
            Self::Set(new) => *value = new.clone(),
            Self::Unset => *value = Value::Null,
            Self::Increase(by) if value.is_null() => *value = by.clone(),
            Self::Increase(by) => {
                let (Some(now), Some(by)) = (number(value), number(by)) else { return Err(refused("is no number")) };
                *value = now.add(by).ok_or_else(|| refused("would become too large"))?.value();
            }
            Self::Push(new) => match value {
                Value::Null => *value = Value::Array(new.clone()),
                Value::Array(items) => items.extend(new.iter().cloned()),
                _ => return Err(refused("is no list")),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn read(update: &Value) -> Result<Update, Error> {
        Update::read(&super::super::policy::update(&update.to_string())?)
    }

    #[test]
    fn updates_change_what_they_name() {
        let mut document = json!({ "_id": 1, "n": 1, "list": [1], "in": { "a": 1, "b": 2 }, "rows": [{ "x": 1 }],
            "money": { "$numberDecimal": "0.10" } });
        let update = json!({
            "$set": { "in.a": 5, "new.deep.path": true, "rows.0.x": 9, "list.2": 3 },
            "$unset": { "in.b": "", "none.at.all": "" },
            "$inc": { "n": 2, "count": 1, "money": { "$numberDecimal": "0.20" } },
            "$push": { "tags": { "$each": ["a", "b"] } },
        });
        read(&update).unwrap().apply(&mut document).unwrap();
        assert_eq!(
            document,
            json!({ "_id": 1, "n": 3, "list": [1, null, 3], "in": { "a": 5 }, "rows": [{ "x": 9 }],
                "money": { "$numberDecimal": "0.30" }, "new": { "deep": { "path": true } }, "count": 1,
                "tags": ["a", "b"] })
        );
    }

    #[test]
    fn updates_that_cannot_be_are_refused() {
        for bad in [
            json!({}),
            json!({ "a": 1 }),
            json!({ "$set": 1 }),
            json!({ "$set": {} }),
            json!({ "$set": { "_id": 1 } }),
            json!({ "$set": { "_id.x": 1 } }),
            json!({ "$set": { "a": 1, "a.b": 2 } }),
            json!({ "$set": { "a": 1 }, "$inc": { "a": 2 } }),
            json!({ "$set": { "a": { "$foo": 1 } } }),
            json!({ "$set": { "$a": 1 } }),
            json!({ "$inc": { "a": "1" } }),
            json!({ "$push": { "a": { "$each": [1], "$slice": 1 } } }),
            json!({ "$rename": { "a": "b" } }),
            json!({ "$set": { "a": 1 }, "b": 2 }),
        ] {
            assert_eq!(read(&bad).unwrap_err().case(), "invalid", "{bad}");
        }
        for impossible in [
            json!({ "$inc": { "text": 1 } }),
            json!({ "$push": { "text": 1 } }),
            json!({ "$set": { "text.a": 1 } }),
            json!({ "$set": { "list.9999": 1 } }),
            json!({ "$set": { "list.x": 1 } }),
            json!({ "$inc": { "big": 1 } }),
        ] {
            let mut document = json!({ "text": "x", "list": [], "big": i64::MAX });
            let error = read(&impossible).unwrap().apply(&mut document).unwrap_err();
            assert_eq!(error.case(), "rejected", "{impossible}");
        }
    }
}
