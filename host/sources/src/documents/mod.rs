//! Connector: the embedded document store, documents as JSON in a SQLite file.
//!
//! A filter is read into a tree, and each document of a collection is held against it here, in Rust:
//! nothing of a guest's becomes SQL. Deliberately absent: indexes but for `_id`, and all that
//! MongoDB has beyond the operators named in this folder, which are refused by name.

mod filter;
mod group;
mod json;
mod object_id;
mod path;
mod pipeline;
mod projection;
mod storage;
#[cfg(test)]
mod tests;
mod update;

use std::{
    path::Path as FilePath,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        documents::{MAX_DOCUMENTS, MAX_RESULT_BYTES, Selection, Store, UpdateCount},
    },
    grant::{Reading, Writing},
};
use serde_json::{Map, Value};

use self::{
    filter::Filter,
    pipeline::{Sort, Stage, Work},
    projection::Projection,
    storage::Storage,
    update::Update,
};
use crate::{Settings, observe::counted, sql::rows};

/// More documents than this are sorted and grouped beside the async threads.
const FEW: usize = 256;

/// Documents in a SQLite file, which is made when it is first used.
pub(crate) struct DocumentFile {
    storage: Storage,
    timeout: Duration,
}

impl DocumentFile {
    pub(crate) fn new(path: &FilePath, settings: &Settings) -> Self {
        Self { storage: Storage::new(path, settings), timeout: settings.statement_timeout }
    }

    /// Asks whether any document is there.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.storage.probe().await
    }

    /// The documents of a collection that a filter means, up to `most`.
    async fn matching(&self, collection: &str, filter: &Filter, most: usize) -> Result<Work, Error> {
        let mut work = Work::default();
        if most == 0 {
            return Ok(work);
        }
        self.scan(collection, filter, |document| {
            work.push(document)?;
            Ok(work.len() < most)
        })
        .await?;
        Ok(work)
    }

    /// Calls `each` with what a filter means, until it says that it has enough.
    async fn scan(
        &self,
        collection: &str,
        filter: &Filter,
        mut each: impl FnMut(Value) -> Result<bool, Error> + Send,
    ) -> Result<(), Error> {
        let clock = Clock { until: Instant::now() + self.timeout, allowed: self.timeout };
        let mut reader = self.storage.read().await?;
        let result = reader
            .each(collection, id_of(filter).as_deref(), |body| {
                clock.check()?;
                let document = storage::document(&body)?;
                if filter.matches(&document) { each(document) } else { Ok(true) }
            })
            .await;
        reader.done(result)
    }

    async fn run_find(&self, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        collection_name(collection)?;
        let filter = read_filter(&selection.filter)?;
        let projection = optional("the projection", selection.projection.as_deref())?
            .map(|object| Projection::read(&object, false))
            .transpose()?;
        let sort = optional("the sort", selection.sort.as_deref())?
            .filter(|object| !object.is_empty())
            .map(|object| Sort::read(&object))
            .transpose()?;
        let skip = usize::try_from(selection.skip).unwrap_or(usize::MAX);
        let limit = match usize::try_from(selection.limit).unwrap_or(usize::MAX) {
            0 => MAX_DOCUMENTS,
            limit if limit > MAX_DOCUMENTS => return Err(too_many_documents()),
            limit => limit,
        };
        let most = if sort.is_some() { usize::MAX } else { skip.saturating_add(limit) };
        let mut stages: Vec<Stage> = sort.map(Stage::Sort).into_iter().collect();
        stages.extend([Stage::Skip(skip), Stage::Limit(limit)]);
        stages.extend(projection.map(Stage::Project));
        write(work_through(stages, self.matching(collection, &filter, most).await?).await?)
    }

    async fn run_count(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        collection_name(collection)?;
        let filter = read_filter(filter)?;
        if filter.is_empty() {
            return self.storage.count(collection).await;
        }
        let mut count = 0;
        self.scan(collection, &filter, |_| {
            count += 1;
            Ok(true)
        })
        .await?;
        Ok(count)
    }

    async fn run_aggregate(&self, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        collection_name(collection)?;
        let mut stages = pipeline::read(&json::parse("the pipeline", pipeline)?)?;
        // What the first stage leaves out is never held.
        let filter = match stages.first() {
            Some(Stage::Match(filter)) => filter.clone(),
            _ => Filter::All(Vec::new()),
        };
        if matches!(stages.first(), Some(Stage::Match(_))) {
            stages.remove(0);
        }
        let most = match stages.first() {
            Some(Stage::Limit(limit)) => *limit,
            _ => usize::MAX,
        };
        write(work_through(stages, self.matching(collection, &filter, most).await?).await?)
    }

    async fn run_insert(&self, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        collection_name(collection)?;
        if documents.is_empty() {
            return Err(Error::Invalid("there is no document to insert".to_owned()));
        }
        if documents.len() > MAX_DOCUMENTS {
            return Err(too_many_documents());
        }
        let read: Result<Vec<_>, _> =
            documents.iter().map(|text| new_document(json::parse_object("a document", text)?)).collect();
        self.storage.insert(collection, read?).await
    }

    async fn run_update(
        &self,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        collection_name(collection)?;
        let filter = read_filter(filter)?;
        let update = Update::read(&json::parse_object("the update", update)?)?;
        let inserted = if upsert { Some(upserted(&filter, &update)?) } else { None };
        let clock = Clock { until: Instant::now() + self.timeout, allowed: self.timeout };
        let change = |document: &Value| {
            clock.check()?;
            if !filter.matches(document) {
                return Ok(None);
            }
            let mut changed = document.clone();
            update.apply(&mut changed)?;
            Ok(Some(changed))
        };
        self.storage.update(collection, id_of(&filter).as_deref(), change, inserted).await
    }

    async fn run_delete(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        collection_name(collection)?;
        let filter = read_filter(filter)?;
        if filter.is_empty() {
            return Err(Error::Denied("a filter that means every document deletes nothing".to_owned()));
        }
        let clock = Clock { until: Instant::now() + self.timeout, allowed: self.timeout };
        let meant = |document: &Value| clock.check().map(|()| filter.matches(document));
        self.storage.delete(collection, id_of(&filter).as_deref(), meant).await
    }
}

#[async_trait]
impl Store for DocumentFile {
    async fn find(&self, _access: Reading<'_>, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        counted("documents", "find", self.run_find(collection, selection)).await
    }

    async fn count(&self, _access: Reading<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        counted("documents", "count", self.run_count(collection, filter)).await
    }

    async fn aggregate(&self, _access: Reading<'_>, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        counted("documents", "aggregate", self.run_aggregate(collection, pipeline)).await
    }

    async fn insert(&self, _access: Writing<'_>, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        counted("documents", "insert", self.run_insert(collection, documents)).await
    }

    async fn update(
        &self,
        _access: Writing<'_>,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        counted("documents", "update", self.run_update(collection, filter, update, upsert)).await
    }

    async fn delete(&self, _access: Writing<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        counted("documents", "delete", self.run_delete(collection, filter)).await
    }
}

/// The time that an operation may take over documents, whoever wrote the filter.
#[derive(Debug, Clone, Copy)]
struct Clock {
    until: Instant,
    allowed: Duration,
}

impl Clock {
    fn check(&self) -> Result<(), Error> {
        if Instant::now() > self.until { Err(rows::too_slow(self.allowed)) } else { Ok(()) }
    }
}

/// Runs the stages, beside the async threads if there is much to do.
async fn work_through(stages: Vec<Stage>, work: Work) -> Result<Work, Error> {
    if work.len() <= FEW {
        return pipeline::run(&stages, work);
    }
    let run = tokio::task::spawn_blocking(move || pipeline::run(&stages, work));
    run.await.unwrap_or_else(|_| Err(Error::unavailable("the documents could not be worked on")))
}

fn write(work: Work) -> Result<Vec<String>, Error> {
    if work.len() > MAX_DOCUMENTS {
        return Err(too_many_documents());
    }
    let mut bytes = 0;
    let texts = work.into_documents().into_iter().map(|document| {
        let text = document.to_string();
        bytes += text.len();
        if bytes > MAX_RESULT_BYTES { Err(rows::result_too_large()) } else { Ok(text) }
    });
    texts.collect()
}

fn read_filter(text: &str) -> Result<Filter, Error> {
    Filter::read(&json::parse_object("the filter", text)?)
}

fn optional(what: &str, text: Option<&str>) -> Result<Option<Map<String, Value>>, Error> {
    text.map(|text| json::parse_object(what, text)).transpose()
}

/// The key under which the one document lies that a filter can mean, if it names an `_id`.
fn id_of(filter: &Filter) -> Option<String> {
    let mut equalities = Vec::new();
    filter.equalities(&mut equalities);
    let id = equalities.into_iter().find(|(path, _)| path.is_id() && path.parts().len() == 1);
    id.map(|(_, id)| json::key(id))
}

/// A document ready to be kept, with its key. Errors: `invalid`; `limit` (`max-document-bytes`).
fn new_document(mut document: Map<String, Value>) -> Result<storage::New, Error> {
    let id = match document.shift_remove("_id") {
        Some(id @ (Value::Array(_) | Value::Null)) => {
            return Err(Error::Invalid(format!("`_id` can't be {}", if id.is_null() { "null" } else { "a list" })));
        }
        Some(id) => id,
        None => object_id::make(),
    };
    json::literal(&id)?;
    document.values().try_for_each(json::literal)?;
    if let Some(key) = document.keys().find(|key| key.starts_with('$') || key.contains('\0')) {
        return Err(Error::Invalid(format!("`{key}` is no name of a field")));
    }
    // It stands first, as MongoDB keeps it.
    let whole: Map<_, _> = std::iter::once(("_id".to_owned(), id.clone())).chain(document).collect();
    storage::New::of(&id, &Value::Object(whole))
}

/// The document that an upsert inserts: what the filter says must be equal, then changed.
fn upserted(filter: &Filter, update: &Update) -> Result<storage::New, Error> {
    let mut document = Value::Object(Map::new());
    let mut equalities = Vec::new();
    filter.equalities(&mut equalities);
    for (path, value) in equalities {
        if let Some((last, before)) = path.parts().split_last()
            && let Some(Value::Object(parent)) = path::parent(&mut document, before)
        {
            parent.insert(last.clone(), value.clone());
        }
    }
    update.apply(&mut document)?;
    match document {
        Value::Object(document) => new_document(document),
        _ => Err(Error::Invalid("the filter makes no document".to_owned())),
    }
}

fn collection_name(name: &str) -> Result<(), Error> {
    let bad = name.is_empty() || name.len() > 120 || name.contains(['$', '\0']) || name.starts_with("system.");
    if bad {
        return Err(Error::Invalid(
            "a collection's name has 1 to 120 bytes, no `$`, and is not the system's".to_owned(),
        ));
    }
    Ok(())
}

fn too_many_documents() -> Error {
    Error::Limit { name: "max-documents", allowed: MAX_DOCUMENTS as u64 }
}
