//! The stage `$group`: documents by a key, with sums and the like over each group.

use std::collections::HashMap;

use remit_domain::data::{Error, Refusal, Rejection};
use serde_json::{Map, Value};

use super::{
    json::{Number, compare, key, literal, number, unknown},
    path::Path,
};

/// The stage, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    by: Expression,
    fields: Vec<(String, Accumulator, Expression)>,
}

/// A reference to a part of a document, a value as it stands, or an object of those.
#[derive(Debug, Clone, PartialEq)]
enum Expression {
    Reference(Path),
    Literal(Value),
    Object(Vec<(String, Expression)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accumulator {
    Sum,
    Average,
    Least,
    Greatest,
    First,
    Last,
    Push,
    Count,
}

impl Group {
    /// Errors: `invalid` for a missing `_id`, an unknown accumulator or expression.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, Error> {
        let by = object
            .get("_id")
            .ok_or_else(|| Error::Invalid("`$group` needs an `_id`; null for one group".to_owned()))?;
        let by = Expression::read(by)?;
        let mut fields = Vec::new();
        for (name, value) in object.iter().filter(|(name, _)| *name != "_id") {
            if name.is_empty() || name.contains(['.', '$']) {
                return Err(Error::Invalid("a field of `$group` is a plain name".to_owned()));
            }
            let mut entries = value.as_object().into_iter().flatten();
            let (Some((operator, operand)), None) = (entries.next(), entries.next()) else {
                return Err(Error::Invalid(format!("`{name}` of `$group` takes one accumulator")));
            };
            let accumulator = Accumulator::read(operator)?;
            fields.push((name.clone(), accumulator, Expression::read(operand)?));
        }
        Ok(Self { by, fields })
    }

    /// A document for each group, in the order in which they first appear.
    pub(super) fn run(&self, documents: &[Value]) -> Result<Vec<Value>, Error> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<(Value, Vec<State>)> = Vec::new();
        for document in documents {
            let id = self.by.evaluate(document).unwrap_or(Value::Null);
            let place = *places.entry(key(&id)).or_insert_with(|| {
                groups.push((id, self.fields.iter().map(|_| State::default()).collect()));
                groups.len() - 1
            });
            let Some((_, states)) = groups.get_mut(place) else { continue };
            for (state, (_, accumulator, expression)) in states.iter_mut().zip(&self.fields) {
                state.take(*accumulator, expression.evaluate(document))?;
            }
        }
        let documents = groups.into_iter().map(|(id, states)| {
            let fields = states.into_iter().zip(&self.fields);
            let fields = fields.map(|(state, (name, accumulator, _))| (name.clone(), state.result(*accumulator)));
            Value::Object(std::iter::once(("_id".to_owned(), id)).chain(fields).collect())
        });
        Ok(documents.collect())
    }
}

impl Expression {
    fn read(value: &Value) -> Result<Self, Error> {
        match value {
            Value::String(text) => match Path::reference(text) {
                Some(path) => Ok(Self::Reference(path?)),
                None => Ok(Self::Literal(value.clone())),
            },
            Value::Object(object) if object.keys().any(|key| key.starts_with('$')) => {
                literal(value).map(|()| Self::Literal(value.clone()))
            }
            Value::Object(object) => {
                let parts = object.iter().map(|(key, value)| Ok((key.clone(), Self::read(value)?)));
                Ok(Self::Object(parts.collect::<Result<_, Error>>()?))
            }
            _ => literal(value).map(|()| Self::Literal(value.clone())),
        }
    }

    fn evaluate(&self, document: &Value) -> Option<Value> {
        match self {
            Self::Reference(path) => path.evaluate(document),
            Self::Literal(value) => Some(value.clone()),
            Self::Object(parts) => {
                let parts = parts.iter().filter_map(|(key, part)| Some((key.clone(), part.evaluate(document)?)));
                Some(Value::Object(parts.collect()))
            }
        }
    }
}

impl Accumulator {
    fn read(operator: &String) -> Result<Self, Error> {
        Ok(match operator.as_str() {
            "$sum" => Self::Sum,
            "$avg" => Self::Average,
            "$min" => Self::Least,
            "$max" => Self::Greatest,
            "$first" => Self::First,
            "$last" => Self::Last,
            "$push" => Self::Push,
            "$count" => Self::Count,
            _ => return Err(unknown(Some(operator))),
        })
    }
}

/// What a group has come to so far. Each accumulator uses what it needs of it.
#[derive(Debug, Default)]
struct State {
    sum: Option<Number>,
    count: u32,
    value: Option<Value>,
    values: Vec<Value>,
}

impl State {
    fn take(&mut self, accumulator: Accumulator, value: Option<Value>) -> Result<(), Error> {
        match accumulator {
            Accumulator::Sum | Accumulator::Average => {
                // What is no number does not count.
                let Some(more) = value.as_ref().and_then(number) else { return Ok(()) };
                self.count = self.count.saturating_add(1);
                self.sum = Some(self.sum.unwrap_or(Number::Whole(0)).add(more).ok_or_else(too_large)?);
            }
            Accumulator::Count => self.count = self.count.saturating_add(1),
            Accumulator::Least | Accumulator::Greatest => {
                let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(()) };
                let better = self.value.as_ref().is_none_or(|best| match accumulator {
                    Accumulator::Least => compare(&value, best).is_lt(),
                    _ => compare(&value, best).is_gt(),
                });
                if better {
                    self.value = Some(value);
                }
            }
            Accumulator::First => {
                self.value.get_or_insert(value.unwrap_or(Value::Null));
            }
            Accumulator::Last => self.value = Some(value.unwrap_or(Value::Null)),
            Accumulator::Push => self.values.extend(value),
        }
        Ok(())
    }

    fn result(self, accumulator: Accumulator) -> Value {
        match accumulator {
            Accumulator::Sum => self.sum.unwrap_or(Number::Whole(0)).value(),
            Accumulator::Average => match self.sum {
                Some(sum) => sum.divide(self.count).value(),
                None => Value::Null,
            },
            Accumulator::Count => Value::from(self.count),
            Accumulator::Push => Value::Array(self.values),
            Accumulator::Least | Accumulator::Greatest | Accumulator::First | Accumulator::Last => {
                self.value.unwrap_or(Value::Null)
            }
        }
    }
}

fn too_large() -> Error {
    Error::Rejected(Rejection {
        reason: Refusal::Rule,
        code: None,
        message: "a sum is too large to be exact".to_owned(),
    })
}
