//! The stage `$group`: documents by a key, with sums and the like over each group.

use std::{
    borrow::Cow,
    collections::{HashMap, hash_map::Entry},
};

use remit_domain::data::{Error, Refusal, Rejection};
use serde_json::{Map, Value};

use super::{
    json::{Number, compare, key, literal, number, unknown},
    meter::{Meter, entry, weigh},
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
    ///
    /// Errors: those of the meter; `rejected` for sums that can't be.
    pub(super) fn run(&self, documents: &[Value], meter: &Meter) -> Result<Vec<Value>, Error> {
        // What a group takes before anything is put into it.
        let states: usize =
            self.fields.iter().map(|(name, ..)| entry(name) + size_of::<State>() + size_of::<Value>()).sum();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<(Value, Vec<State>)> = Vec::new();
        for document in documents {
            meter.check()?;
            let id = self.by.evaluate(document, meter)?.unwrap_or(Cow::Owned(Value::Null));
            let size = weigh(&id)?;
            // Once as it is and once as a key.
            meter.room(size.saturating_mul(2))?;
            let place = match places.entry(key(&id)) {
                Entry::Occupied(place) => *place.get(),
                Entry::Vacant(place) => {
                    meter.take(size + entry("_id") + entry(place.key()) + states)?;
                    groups.push((id.into_owned(), self.fields.iter().map(|_| State::default()).collect()));
                    *place.insert(groups.len() - 1)
                }
            };
            let Some((_, states)) = groups.get_mut(place) else { continue };
            for (state, (_, accumulator, expression)) in states.iter_mut().zip(&self.fields) {
                meter.step()?;
                state.take(*accumulator, expression.evaluate(document, meter)?, meter)?;
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

    /// What it comes to for a document. Errors: those of the meter, before anything is made.
    fn evaluate<'a>(&'a self, document: &'a Value, meter: &Meter) -> Result<Option<Cow<'a, Value>>, Error> {
        match self {
            Self::Reference(path) => path.evaluate(document, meter),
            Self::Literal(value) => Ok(Some(Cow::Borrowed(value))),
            Self::Object(parts) => {
                let mut object = Map::with_capacity(parts.len());
                let mut size = size_of::<Value>();
                for (key, part) in parts {
                    meter.step()?;
                    if let Some(value) = part.evaluate(document, meter)? {
                        size = size.saturating_add(entry(key)).saturating_add(weigh(&value)?);
                        meter.room(size)?;
                        object.insert(key.clone(), value.into_owned());
                    }
                }
                Ok(Some(Cow::Owned(Value::Object(object))))
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
    fn take(&mut self, accumulator: Accumulator, value: Option<Cow<'_, Value>>, meter: &Meter) -> Result<(), Error> {
        match accumulator {
            Accumulator::Sum | Accumulator::Average => {
                // What is no number does not count.
                let Some(more) = value.as_deref().and_then(number) else { return Ok(()) };
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
                    self.keep(value, meter)?;
                }
            }
            Accumulator::First => {
                if self.value.is_none() {
                    self.keep(value.unwrap_or(Cow::Owned(Value::Null)), meter)?;
                }
            }
            Accumulator::Last => self.keep(value.unwrap_or(Cow::Owned(Value::Null)), meter)?,
            Accumulator::Push => {
                if let Some(value) = value {
                    meter.take(weigh(&value)?)?;
                    self.values.push(value.into_owned());
                }
            }
        }
        Ok(())
    }

    /// Puts a value in the place of the one before.
    fn keep(&mut self, value: Cow<'_, Value>, meter: &Meter) -> Result<(), Error> {
        if let Some(before) = self.value.take() {
            meter.release(weigh(&before)?);
        }
        meter.take(weigh(&value)?)?;
        self.value = Some(value.into_owned());
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
