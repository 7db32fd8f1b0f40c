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
    json::{compare, size, unknown},
    path::Path,
    projection::Projection,
};

/// The most stages of a pipeline.
const MAX_STAGES: usize = 50;
/// The most paths of a sort.
const MAX_SORT_KEYS: usize = 32;
/// The most bytes of documents that are worked on at once.
const MAX_WORKING_BYTES: usize = 32 * 1024 * 1024;

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

/// Documents that are worked on, within a limit of memory.
#[derive(Debug, Default)]
pub(super) struct Work {
    documents: Vec<Value>,
    bytes: usize,
}

impl Work {
    /// Takes one more document. Errors: `limit` (`max-working-bytes`).
    pub(super) fn push(&mut self, document: Value) -> Result<(), Error> {
        self.bytes += size(&document);
        if self.bytes > MAX_WORKING_BYTES {
            return Err(Error::Limit { name: "max-working-bytes", allowed: MAX_WORKING_BYTES as u64 });
        }
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

/// Reads a pipeline. Errors: `invalid` for an unknown stage or a wrong form.
pub(super) fn read(stages: &Value) -> Result<Vec<Stage>, Error> {
    let wrong = || Error::Invalid("a pipeline is a list of stages, each an object with one key".to_owned());
    let stages = stages.as_array().ok_or_else(wrong)?;
    if stages.len() > MAX_STAGES {
        return Err(Error::Invalid(format!("a pipeline has at most {MAX_STAGES} stages")));
    }
    let read = stages.iter().map(|stage| {
        let mut entries = stage.as_object().ok_or_else(wrong)?.iter();
        match (entries.next(), entries.next()) {
            (Some((name, value)), None) => Stage::read(name, value),
            _ => Err(wrong()),
        }
    });
    read.collect()
}

/// Runs stages. Errors: `limit` (`max-working-bytes`); `rejected` for sums that can't be.
pub(super) fn run(stages: &[Stage], work: Work) -> Result<Work, Error> {
    stages.iter().try_fold(work, |work, stage| stage.run(work))
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

    fn run(&self, work: Work) -> Result<Work, Error> {
        let mut next = Work::default();
        let documents = work.documents;
        match self {
            Self::Match(filter) => {
                documents.into_iter().filter(|document| filter.matches(document)).try_for_each(|one| next.push(one))?;
            }
            Self::Sort(sort) => sort.run(documents).into_iter().try_for_each(|one| next.push(one))?,
            Self::Skip(count) => documents.into_iter().skip(*count).try_for_each(|one| next.push(one))?,
            Self::Limit(count) => documents.into_iter().take(*count).try_for_each(|one| next.push(one))?,
            Self::Project(projection) => {
                documents.into_iter().map(|one| projection.apply(one)).try_for_each(|one| next.push(one))?;
            }
            Self::Group(group) => group.run(&documents)?.into_iter().try_for_each(|one| next.push(one))?,
            Self::Count(field) if !documents.is_empty() => next.push(json!({ field: documents.len() }))?,
            Self::Count(_) => {}
            Self::Unwind { path, keep_empty } => {
                for document in documents {
                    unwind(document, path, *keep_empty, &mut next)?;
                }
            }
        }
        Ok(next)
    }
}

fn unwind(document: Value, path: &Path, keep_empty: bool, next: &mut Work) -> Result<(), Error> {
    let Some((last, before)) = path.parts().split_last() else { return Ok(()) };
    match path.get(&document) {
        Some(Value::Array(items)) if !items.is_empty() => {
            let items = items.clone();
            for item in items {
                let mut one = document.clone();
                if let Some(Value::Object(parent)) = super::path::parent(&mut one, before) {
                    parent.insert(last.clone(), item);
                }
                next.push(one)?;
            }
            Ok(())
        }
        Some(Value::Array(_) | Value::Null) | None if keep_empty => next.push(document),
        Some(Value::Array(_) | Value::Null) | None => Ok(()),
        // What is no list counts as a list of one.
        Some(_) => next.push(document),
    }
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

    /// Sorts; documents that are equal stay in their order.
    pub(super) fn run(&self, documents: Vec<Value>) -> Vec<Value> {
        let mut keyed: Vec<(Vec<Value>, Value)> =
            documents.into_iter().map(|document| (self.keys(&document), document)).collect();
        keyed.sort_by(|(a, _), (b, _)| {
            let order = a.iter().zip(b).zip(&self.0).map(
                |((a, b), (_, ascending))| {
                    if *ascending { compare(a, b) } else { compare(b, a) }
                },
            );
            order.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        keyed.into_iter().map(|(_, document)| document).collect()
    }

    /// What a document is sorted by: of a list its smallest value, or its largest when descending.
    fn keys(&self, document: &Value) -> Vec<Value> {
        let key = |(path, ascending): &(Path, bool)| {
            let mut best: Option<&Value> = None;
            let mut consider = |value| {
                let better = best.is_none_or(|best: &Value| {
                    let order = compare(value, best);
                    if *ascending { order.is_lt() } else { order.is_gt() }
                });
                if better {
                    best = Some(value);
                }
            };
            path.any(document, &mut |value| {
                match value {
                    Some(Value::Array(items)) => items.iter().for_each(&mut consider),
                    Some(value) => consider(value),
                    None => consider(&Value::Null),
                }
                false
            });
            best.cloned().unwrap_or(Value::Null)
        };
        self.0.iter().map(key).collect()
    }
}
