//! Connector: the embedded document store, documents as JSON in a SQLite file.
//!
//! A filter is read into a tree, and each document of a collection is held against it here, in Rust:
//! nothing of a guest's becomes SQL. Deliberately absent: indexes but for `_id`, and all that
//! MongoDB has beyond the operators named in this folder, which are refused by name.
//!
//! What a guest asks for has so many parts, and runs beside the async threads under a [`meter`]. What
//! remains: one sort of up to 64 MiB of documents runs to its end once begun.

mod filter;
mod group;
mod json;
mod meter;
mod object_id;
mod path;
mod pipeline;
mod projection;
mod storage;
#[cfg(test)]
mod tests;
mod update;
mod visit;

use std::{
    path::Path as FilePath,
    sync::Arc,
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
    meter::Meter,
    pipeline::{Sort, Stage, Work},
    projection::Projection,
    storage::Storage,
    update::Update,
    visit::{Changing, Counting, Deleting, Finding, Visit, beside},
};
use crate::{Settings, ceilings::Share, observe::counted, sql::rows};

/// Documents in a SQLite file, which is made when it is first used.
pub(crate) struct DocumentFile {
    storage: Storage,
    timeout: Duration,
}

impl DocumentFile {
    pub(crate) fn new(path: &FilePath, settings: &Settings, share: &Arc<Share>) -> Self {
        Self { storage: Storage::new(path, settings, share), timeout: settings.statement_timeout }
    }

    /// Closes connections that lie idle since before an instant.
    pub(crate) fn close_idle(&self, before: Instant) {
        self.storage.close_idle(before);
    }

    /// Asks whether any document is there.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.storage.probe().await
    }

    /// Has a collection looked at.
    async fn scan<V: Visit>(&self, collection: &str, key: Option<String>, visitor: V) -> Result<V, Error> {
        let mut reader = self.storage.read().await?;
        let result = reader.each(collection, key.as_deref(), visitor).await;
        reader.done(result)
    }

    /// What stages make of the documents that a filter means, up to `most` of these.
    async fn answer(
        &self,
        collection: &str,
        filter: Filter,
        most: usize,
        stages: Vec<Stage>,
    ) -> Result<Vec<String>, Error> {
        let (meter, _waiting) = Meter::begin(self.timeout);
        let key = id_of(&filter);
        let mut finding = Finding { filter, meter, most, work: Work::default() };
        if most > 0 {
            finding = self.scan(collection, key, finding).await?;
        }
        beside(move || write(pipeline::run(&stages, finding.work, &finding.meter)?)).await
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
        self.answer(collection, filter, most, stages).await
    }

    async fn run_count(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        collection_name(collection)?;
        let filter = read_filter(filter)?;
        if filter.is_empty() {
            return self.storage.count(collection).await;
        }
        let (meter, _waiting) = Meter::begin(self.timeout);
        let key = id_of(&filter);
        Ok(self.scan(collection, key, Counting { filter, meter, count: 0 }).await?.count)
    }

    async fn run_aggregate(&self, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        collection_name(collection)?;
        let mut stages = pipeline::read(&json::parse_query("the pipeline", pipeline)?)?;
        // What the first stage leaves out is never held.
        let first = matches!(stages.first(), Some(Stage::Match(_))).then(|| stages.remove(0));
        let filter = match first {
            Some(Stage::Match(filter)) => filter,
            _ => Filter::All(Vec::new()),
        };
        let most = match stages.first() {
            Some(Stage::Limit(limit)) => *limit,
            _ => usize::MAX,
        };
        self.answer(collection, filter, most, stages).await
    }

    async fn run_insert(&self, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        collection_name(collection)?;
        if documents.is_empty() {
            return Err(Error::Invalid("there is no document to insert".to_owned()));
        }
        if documents.len() > MAX_DOCUMENTS {
            return Err(too_many_documents());
        }
        let documents = documents.to_vec();
        let (meter, _waiting) = Meter::begin(self.timeout);
        let read = move || {
            let read = documents.iter().map(|text| {
                meter.check()?;
                new_document(json::object("a document", json::parse("a document", text)?)?)
            });
            read.collect::<Result<Vec<_>, Error>>()
        };
        self.storage.insert(collection, beside(read).await?).await
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
        let update = Update::read(&json::object("the update", json::parse_query("the update", update)?)?)?;
        let inserted = if upsert { Some(upserted(&filter, &update)?) } else { None };
        let (meter, _waiting) = Meter::begin(self.timeout);
        let key = id_of(&filter);
        let changing = Changing { filter, update, meter, matched: 0, changes: Vec::new() };
        self.storage.update(collection, key.as_deref(), changing, inserted).await
    }

    async fn run_delete(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        collection_name(collection)?;
        let filter = read_filter(filter)?;
        if filter.is_empty() {
            return Err(Error::Denied("a filter that means every document deletes nothing".to_owned()));
        }
        let (meter, _waiting) = Meter::begin(self.timeout);
        let key = id_of(&filter);
        self.storage.delete(collection, key.as_deref(), Deleting { filter, meter, keys: Vec::new() }).await
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
    Filter::read(&json::object("the filter", json::parse_query("the filter", text)?)?)
}

fn optional(what: &str, text: Option<&str>) -> Result<Option<Map<String, Value>>, Error> {
    text.map(|text| json::object(what, json::parse_query(what, text)?)).transpose()
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
