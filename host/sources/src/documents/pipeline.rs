//! Aggregation pipelines: the stages that are known, read first, then run over documents in memory.
//!
//! Deliberately absent: expressions beyond references such as `"$customer.city"`, and stages that
//! join, write or run code.

use std::cmp::Ordering;

use remit_domain::data::Error;
use serde_json::{Map, Value, json};

use super::{
    filter::Filter,
    group::Group,
    json::{compare, unknown},
    meter::{Meter, weigh},
    path::Path,
    projection::Projection,
};

/// The most paths of a sort.
const MAX_SORT_KEYS: usize = 32;

/// A stage, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    Match(Filter),
    Sort(Sort),
    Skip(usize),
    Limit(usize),
    Project(Projection),
    Group(Group),
    Count(String),
    Unwind { path: Path, keep_empty: bool },
}

/// Documents that are worked on. They are counted with a meter, which counts each stage's alone: while
/// one runs, those that it is given are there too.
#[derive(Debug, Default)]
pub(super) struct Work {
    documents: Vec<Value>,
}

impl Work {
    /// Takes one more document. Errors: `limit` (`max-working-bytes`); `invalid` for too many levels.
    pub(super) fn push(&mut self, document: Value, meter: &Meter) -> Result<(), Error> {
        meter.step()?;
        meter.take(weigh(&document)?)?;
        self.documents.push(document);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    pub(super) fn into_documents(self) -> Vec<Value> {
        self.documents
    }
}

/// Reads a pipeline that [`super::policy`] has checked. Errors: `invalid` for what is unknown here.
pub(super) fn read(stages: &Value) -> Result<Vec<Stage>, Error> {
    let wrong = || Error::Invalid("a pipeline is a list of stages, each an object with one key".to_owned());
    let stages = stages.as_array().ok_or_else(wrong)?;
    let read = stages.iter().map(|stage| {
        let mut entries = stage.as_object().ok_or_else(wrong)?.iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => Stage::read(name, value),
            _ => Err(wrong()),
        }
    });
    read.collect()
}

/// Runs stages. Errors: `limit` (`max-working-bytes`, `max-statement-ms`); `rejected` for sums that
/// can't be.
pub(super) fn run(stages: &[Stage], work: Work, meter: &Meter) -> Result<Work, Error> {
    stages.iter().try_fold(work, |work, stage| stage.run(work, meter))
}

impl Stage {
    fn read(name: &String, value: &Value) -> Result<Self, Error> {
        let object = || value.as_object().ok_or_else(|| Error::Invalid(format!("`{name}` takes an object")));
        let count = || {
            let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
            count.ok_or_else(|| Error::Invalid(format!("`{name}` takes a whole number")))
        };
        Ok(match name.as_str() {
            "$match" => Self::Match(Filter::read(object()?)?),
            "$sort" => Self::Sort(Sort::read(object()?)?),
            "$skip" => Self::Skip(count()?),
            "$limit" => Self::Limit(count()?),
            "$project" => Self::Project(Projection::read(object()?, true)?),
            "$group" => Self::Group(Group::read(object()?)?),
            "$count" => match value.as_str() {
                Some(field) if !field.is_empty() && !field.contains(['.', '$']) => Self::Count(field.to_owned()),
                _ => return Err(Error::Invalid("`$count` takes a field's name".to_owned())),
            },
            "$unwind" => {
                let wrong = || Error::Invalid("`$unwind` takes a reference such as `\"$items\"`".to_owned());
                let (path, keep_empty) = match value {
                    Value::String(path) => (path, false),
                    Value::Object(object) => {
                        let known =
                            object.keys().find(|key| !matches!(key.as_str(), "path" | "preserveNullAndEmptyArrays"));
                        if let Some(key) = known {
                            return Err(Error::Invalid(format!("`$unwind` knows no `{key}` here")));
                        }
                        let Some(Value::String(path)) = object.get("path") else { return Err(wrong()) };
                        (path, object.get("preserveNullAndEmptyArrays") == Some(&Value::Bool(true)))
                    }
                    _ => return Err(wrong()),
                };
                Self::Unwind { path: Path::reference(path).ok_or_else(wrong)??, keep_empty }
            }
            _ => return Err(unknown(Some(name))),
        })
    }

    fn run(&self, work: Work, meter: &Meter) -> Result<Work, Error> {
        meter.release(meter.held());
        let mut next = Work::default();
        let documents = work.documents;
        match self {
            Self::Match(filter) => {
                for document in documents {
                    if filter.matches(&document, meter)? {
                        next.push(document, meter)?;
                    }
                }
            }
            Self::Sort(sort) => sort.run(documents, meter)?.into_iter().try_for_each(|one| next.push(one, meter))?,
            Self::Skip(count) => documents.into_iter().skip(*count).try_for_each(|one| next.push(one, meter))?,
            Self::Limit(count) => documents.into_iter().take(*count).try_for_each(|one| next.push(one, meter))?,
            Self::Project(projection) => {
                for document in documents {
                    let before = meter.held();
                    let given = projection.apply(document, meter)?;
                    // What it counted is in the document, which is counted as a whole.
                    meter.release(meter.held() - before);
                    next.push(given, meter)?;
                }
            }
            Self::Group(group) => {
                let groups = group.run(&documents, meter)?;
                meter.release(meter.held());
                groups.into_iter().try_for_each(|one| next.push(one, meter))?;
            }
            Self::Count(field) if !documents.is_empty() => next.push(json!({ field: documents.len() }), meter)?,
            Self::Count(_) => {}
            Self::Unwind { path, keep_empty } => {
                for document in documents {
                    unwind(document, path, *keep_empty, &mut next, meter)?;
                }
            }
        }
        Ok(next)
    }
}

fn unwind(mut document: Value, path: &Path, keep_empty: bool, next: &mut Work, meter: &Meter) -> Result<(), Error> {
    let Some((last, before)) = path.parts().split_last() else { return Ok(()) };
    match path.get(&document) {
        Some(Value::Array(items)) if !items.is_empty() => {}
        Some(Value::Array(_) | Value::Null) | None if keep_empty => return next.push(document, meter),
        Some(Value::Array(_) | Value::Null) | None => return Ok(()),
        // What is no list counts as a list of one.
        Some(_) => return next.push(document, meter),
    }
    let place = match super::path::parent(&mut document, before) {
        Some(Value::Object(parent)) => parent.get_mut(last),
        // A list's item is no field.
        _ => None,
    };
    let Some(Value::Array(items)) = place.map(Value::take) else { return next.push(document, meter) };
    // Without the list, so that each copy is as small as what it becomes.
    let rest = weigh(&document)?;
    for item in items {
        meter.room(rest)?;
        let mut one = document.clone();
        if let Some(Value::Object(parent)) = super::path::parent(&mut one, before) {
            parent.insert(last.clone(), item);
        }
        next.push(one, meter)?;
    }
    Ok(())
}

/// An order of documents.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sort(Vec<(Path, bool)>);

impl Sort {
    /// Errors: `invalid` for anything but 1 and -1.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, Error> {
        if object.is_empty() || object.len() > MAX_SORT_KEYS {
            return Err(Error::Invalid(format!("a sort has 1 to {MAX_SORT_KEYS} paths")));
        }
        let keys = object.iter().map(|(path, direction)| {
            let ascending = match direction.as_f64() {
                Some(1.0) => true,
                Some(-1.0) => false,
                _ => return Err(Error::Invalid(format!("the sort of `{path}` is neither 1 nor -1"))),
            };
            Ok((Path::new(path)?, ascending))
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// Sorts; documents that are equal stay in their order. Errors: those of the meter.
    pub(super) fn run(&self, documents: Vec<Value>, meter: &Meter) -> Result<Vec<Value>, Error> {
        let keys: Vec<_> = documents.iter().map(|document| self.keys(document, meter)).collect::<Result<_, Error>>()?;
        let mut keyed: Vec<(Vec<&Value>, usize)> = keys.into_iter().zip(0..).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let order = a.iter().zip(b).zip(&self.0).map(
                |((a, b), (_, ascending))| {
                    if *ascending { compare(a, b) } else { compare(b, a) }
                },
            );
            order.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        let order: Vec<_> = keyed.into_iter().map(|(_, at)| at).collect();
        let mut documents: Vec<_> = documents.into_iter().map(Some).collect();
        Ok(order.into_iter().filter_map(|at| documents.get_mut(at)?.take()).collect())
    }

    /// What a document is sorted by: of a list its smallest value, or its largest when descending.
    fn keys<'a>(&self, document: &'a Value, meter: &Meter) -> Result<Vec<&'a Value>, Error> {
        let key = |(path, ascending): &(Path, bool)| {
            let mut best: Option<&Value> = None;
            let mut consider = |value| {
                meter.step()?;
                let better = best.is_none_or(|best: &Value| {
                    let order = compare(value, best);
                    if *ascending { order.is_lt() } else { order.is_gt() }
                });
                if better {
                    best = Some(value);
                }
                Ok::<_, Error>(())
            };
            path.any(document, meter, &mut |value| {
                match value {
                    Some(Value::Array(items)) => items.iter().try_for_each(&mut consider)?,
                    Some(value) => consider(value)?,
                    None => consider(&Value::Null)?,
                }
                Ok(false)
            })?;
            Ok(best.unwrap_or(&Value::Null))
        };
        self.0.iter().map(key).collect()
    }
}
