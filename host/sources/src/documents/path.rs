//! Dotted paths into documents: `customer.address.city`, `items.0.sku`.

use std::borrow::Cow;

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::meter::{Meter, weigh};

/// How many parts a path may have.
const MAX_PARTS: usize = 32;

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Whether it leads to the other or through it.
    fn leads_through(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// As it is written.
    pub(super) fn text(&self) -> String {
        self.0.join(".")
    }

    /// Calls `each` with what is at the path in a document, through arrays too; with `None` where an
    /// object on the way lacks the next part. Stops when `each` says true, and says so.
    ///
    /// Errors: those of the meter.
    pub(super) fn any<'a>(
        &self,
        document: &'a Value,
        meter: &Meter,
        each: &mut dyn FnMut(Option<&'a Value>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        walk(document, &self.0, meter, each)
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
    /// their parts. Errors: those of the meter, before anything is made.
    pub(super) fn evaluate<'a>(&self, document: &'a Value, meter: &Meter) -> Result<Option<Cow<'a, Value>>, Error> {
        let mut value = document;
        let mut parts = self.0.as_slice();
        while let Some((part, rest)) = parts.split_first() {
            value = match value {
                Value::Object(object) => match object.get(part) {
                    Some(inner) => inner,
                    None => return Ok(None),
                },
                Value::Array(_) => {
                    meter.room(measure(value, parts, meter)?)?;
                    return Ok(collect(value, parts).map(Cow::Owned));
                }
                _ => return Ok(None),
            };
            parts = rest;
        }
        Ok(Some(Cow::Borrowed(value)))
    }
}

/// Two of the paths of which one leads through the other, so that both can't be set.
pub(super) fn overlapping<'a>(paths: impl Iterator<Item = &'a Path>) -> Option<&'a Path> {
    let mut paths: Vec<_> = paths.collect();
    // In this order a path stands right before those that lead through it.
    paths.sort();
    paths.windows(2).find_map(|pair| match pair {
        [a, b] if a.leads_through(b) => Some(*b),
        _ => None,
    })
}

fn walk<'a>(
    value: &'a Value,
    parts: &[String],
    meter: &Meter,
    each: &mut dyn FnMut(Option<&'a Value>) -> Result<bool, Error>,
) -> Result<bool, Error> {
    meter.step()?;
    let Some((part, rest)) = parts.split_first() else { return each(Some(value)) };
    match value {
        Value::Object(object) => match object.get(part) {
            Some(inner) => walk(inner, rest, meter, each),
            None => each(None),
        },
        Value::Array(items) => {
            let indexed = part.parse::<usize>().ok().and_then(|at| items.get(at));
            if let Some(item) = indexed
                && walk(item, rest, meter, each)?
            {
                return Ok(true);
            }
            for item in items.iter().filter(|item| item.is_object()) {
                if walk(item, parts, meter, each)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => each(None),
    }
}

/// What [`collect`] would make, in bytes.
fn measure(value: &Value, parts: &[String], meter: &Meter) -> Result<usize, Error> {
    meter.step()?;
    let Some((part, rest)) = parts.split_first() else { return weigh(value) };
    match value {
        Value::Object(object) => object.get(part).map_or(Ok(0), |inner| measure(inner, rest, meter)),
        Value::Array(items) => {
            items.iter().try_fold(size_of::<Value>(), |sum, item| Ok(sum.saturating_add(measure(item, parts, meter)?)))
        }
        _ => Ok(0),
    }
}

fn collect(value: &Value, parts: &[String]) -> Option<Value> {
    let Some((part, rest)) = parts.split_first() else { return Some(value.clone()) };
    match value {
        Value::Object(object) => collect(object.get(part)?, rest),
        Value::Array(items) => Some(items.iter().filter_map(|item| collect(item, parts)).collect()),
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

    use super::{super::meter::endless, *};

    #[test]
    fn paths_lead_through_arrays() {
        let document = json!({ "items": [{ "sku": "a" }, { "sku": "b" }, {}, 3], "n": { "0": "zero" } });
        let all = |path: &str| {
            let mut found = Vec::new();
            let each = &mut |value: Option<&Value>| {
                found.push(value.cloned());
                Ok(false)
            };
            assert_eq!(Path::new(path).unwrap().any(&document, &endless(), each), Ok(false));
            found
        };
        assert_eq!(all("items.sku"), [Some(json!("a")), Some(json!("b")), None]);
        assert_eq!(all("items.1.sku"), [Some(json!("b")), None, None, None]);
        assert_eq!(all("n.0"), [Some(json!("zero"))]);
        assert_eq!(all("none.at.all"), [None]);
        let skus = Path::new("items.sku").unwrap().evaluate(&document, &endless()).unwrap();
        assert_eq!(skus.as_deref(), Some(&json!(["a", "b"])));
    }

    #[test]
    fn paths_that_lead_through_each_other_are_found() {
        for (paths, found) in [
            (vec!["a", "b", "a.b.c"], Some("a.b.c")),
            (vec!["a.b", "a.c", "a-b", "ab"], None),
            (vec!["a.b.c", "x", "a.b", "a.a"], Some("a.b.c")),
        ] {
            let paths: Vec<_> = paths.into_iter().map(|path| Path::new(path).unwrap()).collect();
            assert_eq!(overlapping(paths.iter()).map(Path::text).as_deref(), found);
        }
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["", ".", "a.", ".a", "a..b", "$where", "a.$set", "a\0b", &vec!["a"; 33].join(".")] {
            assert!(Path::new(path).is_err(), "{path:?}");
        }
    }
}
