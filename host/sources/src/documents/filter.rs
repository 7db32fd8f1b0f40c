//! Filters: which documents are meant. Read into a tree first, so that what is unknown is refused
//! before any document is looked at.

use remit_domain::data::Error;
use serde_json::{Map, Value};

use super::{
    json::{compare, extended, literal, rank, unknown},
    meter::Meter,
    path::Path,
};

/// A filter, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    None(Vec<Filter>),
    Field(Path, Test),
}

/// What is asked of the values at a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Equal(Value),
    Greater(Value),
    GreaterOrEqual(Value),
    Less(Value),
    LessOrEqual(Value),
    /// In order, to be searched.
    In(Vec<Value>),
    Exists(bool),
    All(Vec<Test>),
    Not(Box<Test>),
}

impl Filter {
    /// Errors: `invalid` for an unknown operator or a wrong form.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, Error> {
        let mut parts = Vec::with_capacity(object.len());
        for (key, value) in object {
            parts.push(match key.as_str() {
                "$and" => Self::All(several(key, value)?),
                "$or" => Self::Any(several(key, value)?),
                "$nor" => Self::None(several(key, value)?),
                operator if operator.starts_with('$') => return Err(unknown(Some(key))),
                path => Self::Field(Path::new(path)?, Test::read(value)?),
            });
        }
        Ok(Self::All(parts))
    }

    /// Whether a document is meant. Errors: those of the meter.
    pub(super) fn matches(&self, document: &Value, meter: &Meter) -> Result<bool, Error> {
        match self {
            Self::All(parts) => all(parts, |part| part.matches(document, meter)),
            Self::Any(parts) => any(parts, |part| part.matches(document, meter)),
            Self::None(parts) => Ok(!any(parts, |part| part.matches(document, meter))?),
            Self::Field(path, test) => test.matches(path, document, meter),
        }
    }

    /// The paths that must have one value, and the value: what an upsert begins with, and what finds
    /// a document by its id.
    pub(super) fn equalities<'a>(&'a self, found: &mut Vec<(&'a Path, &'a Value)>) {
        match self {
            Self::All(parts) => parts.iter().for_each(|part| part.equalities(found)),
            Self::Field(path, Test::Equal(value)) => found.push((path, value)),
            Self::Field(path, Test::All(tests)) => found.extend(tests.iter().filter_map(|test| match test {
                Test::Equal(value) => Some((path, value)),
                _ => None,
            })),
            Self::Any(_) | Self::None(_) | Self::Field(..) => {}
        }
    }
}

impl Test {
    fn read(value: &Value) -> Result<Self, Error> {
        match value {
            Value::Object(object) if operators(object) => {
                let tests: Result<Vec<_>, _> = object.iter().map(|(key, value)| Self::operator(key, value)).collect();
                Ok(Self::All(tests?))
            }
            _ => {
                literal(value)?;
                Ok(Self::Equal(value.clone()))
            }
        }
    }

    fn operator(key: &String, value: &Value) -> Result<Self, Error> {
        let operand = || literal(value).map(|()| value.clone());
        Ok(match key.as_str() {
            "$eq" => Self::Equal(operand()?),
            "$ne" => Self::Not(Box::new(Self::Equal(operand()?))),
            "$gt" => Self::Greater(operand()?),
            "$gte" => Self::GreaterOrEqual(operand()?),
            "$lt" => Self::Less(operand()?),
            "$lte" => Self::LessOrEqual(operand()?),
            "$in" => Self::In(list(key, value)?),
            "$nin" => Self::Not(Box::new(Self::In(list(key, value)?))),
            "$exists" => match value {
                Value::Bool(wanted) => Self::Exists(*wanted),
                Value::Number(number) => Self::Exists(number.as_f64() != Some(0.0)),
                _ => return Err(Error::Invalid("`$exists` takes true or false".to_owned())),
            },
            "$not" => match value {
                Value::Object(object) if operators(object) => Self::Not(Box::new(Self::read(value)?)),
                _ => return Err(Error::Invalid("`$not` takes an object of operators".to_owned())),
            },
            _ => return Err(unknown(Some(key))),
        })
    }

    fn matches(&self, path: &Path, document: &Value, meter: &Meter) -> Result<bool, Error> {
        match self {
            Self::All(tests) => all(tests, |test| test.matches(path, document, meter)),
            Self::Not(test) => Ok(!test.matches(path, document, meter)?),
            Self::Exists(wanted) => Ok(path.any(document, meter, &mut |value| Ok(value.is_some()))? == *wanted),
            _ => path.any(document, meter, &mut |value| match value {
                Some(Value::Array(items)) if !self.holds(value) => any(items, |item| {
                    meter.step()?;
                    Ok(self.holds(Some(item)))
                }),
                _ => Ok(self.holds(value)),
            }),
        }
    }

    /// Whether one value passes; what is missing counts as null.
    fn holds(&self, value: Option<&Value>) -> bool {
        let value = value.unwrap_or(&Value::Null);
        let ordered = |wanted: &Value, test: fn(std::cmp::Ordering) -> bool| {
            rank(value) == rank(wanted) && test(compare(value, wanted))
        };
        match self {
            Self::Equal(wanted) => compare(value, wanted).is_eq(),
            Self::In(wanted) => wanted.binary_search_by(|one| compare(one, value)).is_ok(),
            Self::Greater(wanted) => ordered(wanted, std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual(wanted) => ordered(wanted, std::cmp::Ordering::is_ge),
            Self::Less(wanted) => ordered(wanted, std::cmp::Ordering::is_lt),
            Self::LessOrEqual(wanted) => ordered(wanted, std::cmp::Ordering::is_le),
            // Asked of all values at once, in `matches`.
            Self::Exists(_) | Self::All(_) | Self::Not(_) => false,
        }
    }
}

fn all<T>(parts: &[T], mut test: impl FnMut(&T) -> Result<bool, Error>) -> Result<bool, Error> {
    Ok(!any(parts, |part| Ok(!test(part)?))?)
}

fn any<T>(parts: &[T], mut test: impl FnMut(&T) -> Result<bool, Error>) -> Result<bool, Error> {
    for part in parts {
        if test(part)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an object is made of operators and not a value.
fn operators(object: &Map<String, Value>) -> bool {
    object.keys().any(|key| key.starts_with('$')) && extended(object).is_none()
}

fn several(key: &str, value: &Value) -> Result<Vec<Filter>, Error> {
    let wrong = || Error::Invalid(format!("`{key}` takes a list of filters, at least one"));
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().map(|item| item.as_object().ok_or_else(wrong).and_then(Filter::read)).collect()
        }
        _ => Err(wrong()),
    }
}

fn list(key: &str, value: &Value) -> Result<Vec<Value>, Error> {
    literal(value)?;
    match value {
        Value::Array(items) => {
            let mut items = items.clone();
            items.sort_by(compare);
            Ok(items)
        }
        _ => Err(Error::Invalid(format!("`{key}` takes a list"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::{super::meter::endless, *};

    fn filter(filter: &Value) -> Result<Filter, Error> {
        Filter::read(filter.as_object().unwrap())
    }

    #[test]
    fn filters_mean_what_mongodb_means() {
        let document = json!({
            "_id": { "$oid": "65f000000000000000000001" }, "name": "Ada", "age": 36, "tags": ["a", "b"], "none": null,
            "address": { "city": "London" }, "orders": [{ "total": 10 }, { "total": 25.5, "paid": true }],
            "joined": { "$date": "2026-01-02T00:00:00Z" }, "balance": { "$numberDecimal": "12.50" },
        });
        for (wanted, matches) in [
            (json!({}), true),
            (json!({ "name": "Ada" }), true),
            (json!({ "name": "ada" }), false),
            (json!({ "age": 36.0 }), true),
            (json!({ "age": { "$gt": 30, "$lt": 40 } }), true),
            (json!({ "age": { "$gt": "30" } }), false),
            (json!({ "age": { "$gte": 36, "$lte": 36 } }), true),
            (json!({ "tags": "b" }), true),
            (json!({ "tags": ["a", "b"] }), true),
            (json!({ "tags": ["b", "a"] }), false),
            (json!({ "tags": { "$in": ["x", "a"] } }), true),
            (json!({ "age": { "$in": ["a", null, 40, 36.0, 3, true] } }), true),
            (json!({ "missing": { "$in": ["a", null] } }), true),
            (json!({ "tags": { "$nin": ["x", "a"] } }), false),
            (json!({ "tags": { "$ne": "c" } }), true),
            (json!({ "tags.0": "a" }), true),
            (json!({ "address.city": "London" }), true),
            (json!({ "address": { "city": "London" } }), true),
            (json!({ "orders.total": { "$gt": 20 } }), true),
            (json!({ "orders.total": { "$gt": 30 } }), false),
            (json!({ "orders.paid": true }), true),
            (json!({ "none": null }), true),
            (json!({ "missing": null }), true),
            (json!({ "missing": { "$exists": false } }), true),
            (json!({ "none": { "$exists": true } }), true),
            (json!({ "name": { "$not": { "$in": ["Bob"] } } }), true),
            (json!({ "$or": [{ "name": "Bob" }, { "age": 36 }] }), true),
            (json!({ "$nor": [{ "name": "Bob" }, { "age": 36 }] }), false),
            (json!({ "$and": [{ "name": "Ada" }, { "age": { "$ne": 36 } }] }), false),
            (json!({ "_id": { "$oid": "65F000000000000000000001" } }), true),
            (json!({ "joined": { "$gte": { "$date": "2026-01-01T00:00:00Z" } } }), true),
            (json!({ "joined": { "$lt": { "$date": 0 } } }), false),
            (json!({ "balance": { "$gt": 12.4 } }), true),
            (json!({ "balance": { "$eq": { "$numberDecimal": "12.5" } } }), true),
        ] {
            assert_eq!(filter(&wanted).unwrap().matches(&document, &endless()), Ok(matches), "{wanted}");
        }
    }

    #[test]
    fn what_is_unknown_is_refused_at_any_depth() {
        for unknown in [
            json!({ "$expr": {} }),
            json!({ "a": { "$regex": "x" } }),
            json!({ "a": { "$gt": 1, "b": 2 } }),
            json!({ "a": { "$gt": { "$foo": 1 } } }),
            json!({ "a": [{ "b": { "$foo": 1 } }] }),
            json!({ "a": { "b": { "$gt": 1 } } }),
            json!({ "a": { "$not": { "$foo": 1 } } }),
            json!({ "a": { "$not": 1 } }),
            json!({ "a": { "$oid": "short" } }),
            json!({ "$or": [] }),
            json!({ "$or": [1] }),
            json!({ "$and": [{ "$or": [{ "$foo": 1 }] }] }),
            json!({ "a": { "$in": 1 } }),
            json!({ "a": { "$exists": "yes" } }),
            json!({ "": 1 }),
            json!({ "a.$b": 1 }),
        ] {
            assert_eq!(filter(&unknown).unwrap_err().case(), "invalid", "{unknown}");
        }
    }
}
