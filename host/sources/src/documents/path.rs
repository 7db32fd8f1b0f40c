//! Dotted paths into documents: `customer.address.city`, `items.0.sku`.

use remit_domain::data::Error;
use serde_json::{Map, Value};

/// How many parts a path may have.
const MAX_PARTS: usize = 32;

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// Errors: `invalid` for an empty part, one that begins with `$`, or too many.
    pub(super) fn new(text: &str) -> Result<Self, Error> {
        let parts: Vec<_> = text.split('.').map(str::to_owned).collect();
        let bad = parts.iter().any(|part| part.is_empty() || part.starts_with('$') || part.contains('\0'));
        if bad || parts.len() > MAX_PARTS {
            let text: String = text.chars().take(64).collect();
            return Err(Error::Invalid(format!("`{text}` is not a path such as `customer.city`")));
        }
        Ok(Self(parts))
    }

    /// A path from a reference such as `"$customer.city"`. Errors: as [`Self::new`].
    pub(super) fn reference(text: &str) -> Option<Result<Self, Error>> {
        text.strip_prefix('$').map(Self::new)
    }

    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }

    pub(super) fn is_id(&self) -> bool {
        self.0.first().is_some_and(|part| part == "_id")
    }

    /// Whether one of the two leads through the other, so that both can't be set.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// Calls `each` with what is at the path in a document, through arrays too; with `None` where an
    /// object on the way lacks the next part. Stops when `each` says true, and says so.
    pub(super) fn any<'a>(&self, document: &'a Value, each: &mut dyn FnMut(Option<&'a Value>) -> bool) -> bool {
        walk(document, &self.0, each)
    }

    /// The one value at the path, not looking through arrays but by index.
    pub(super) fn get<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, part| match value {
            Value::Object(object) => object.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The value that a reference in an expression means: through an array of objects, the array of
    /// their parts.
    pub(super) fn evaluate(&self, document: &Value) -> Option<Value> {
        evaluate(document, &self.0)
    }
}

fn walk<'a>(value: &'a Value, parts: &[String], each: &mut dyn FnMut(Option<&'a Value>) -> bool) -> bool {
    let Some((part, rest)) = parts.split_first() else { return each(Some(value)) };
    match value {
        Value::Object(object) => match object.get(part) {
            Some(inner) => walk(inner, rest, each),
            None => each(None),
        },
        Value::Array(items) => {
            let indexed = part.parse::<usize>().ok().and_then(|at| items.get(at));
            indexed.is_some_and(|item| walk(item, rest, each))
                || items.iter().filter(|item| item.is_object()).any(|item| walk(item, parts, each))
        }
        _ => each(None),
    }
}

fn evaluate(value: &Value, parts: &[String]) -> Option<Value> {
    let Some((part, rest)) = parts.split_first() else { return Some(value.clone()) };
    match value {
        Value::Object(object) => evaluate(object.get(part)?, rest),
        Value::Array(items) => Some(items.iter().filter_map(|item| evaluate(item, parts)).collect()),
        _ => None,
    }
}

/// The object at all parts of a path but the last, made where it is missing.
///
/// `None` if something else than an object is in the way; an array is entered by index.
pub(super) fn parent<'a>(document: &'a mut Value, parts: &[String]) -> Option<&'a mut Value> {
    parts.iter().try_fold(document, |value, part| match value {
        Value::Object(object) => Some(object.entry(part.clone()).or_insert_with(|| Value::Object(Map::new()))),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_arrays() {
        let document = json!({ "items": [{ "sku": "a" }, { "sku": "b" }, {}, 3], "n": { "0": "zero" } });
        let all = |path: &str| {
            let mut found = Vec::new();
            Path::new(path).unwrap().any(&document, &mut |value| {
                found.push(value.cloned());
                false
            });
            found
        };
        assert_eq!(all("items.sku"), [Some(json!("a")), Some(json!("b")), None]);
        assert_eq!(all("items.1.sku"), [Some(json!("b")), None, None, None]);
        assert_eq!(all("n.0"), [Some(json!("zero"))]);
        assert_eq!(all("none.at.all"), [None]);
        assert_eq!(Path::new("items.sku").unwrap().evaluate(&document), Some(json!(["a", "b"])));
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["", ".", "a.", ".a", "a..b", "$where", "a.$set", "a\0b", &vec!["a"; 33].join(".")] {
            assert!(Path::new(path).is_err(), "{path:?}");
        }
    }
}
