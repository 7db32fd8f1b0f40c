//! A document database in memory.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use serde_json::{Map, Value as Json, json};

use super::handles::Handle;
use crate::{
    Cause,
    source::{Selection, UpdateCount},
};

type Pipelines = Vec<(String, Vec<Json>)>;

/// Collections of documents. Filters compare fields for equality, updates `$set` them; projection and
/// order are left aside, and pipelines have prepared answers. Clones are the same database.
#[derive(Debug, Clone, Default)]
pub struct FakeDocuments(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    collections: BTreeMap<String, Vec<Map<String, Json>>>,
    pipelines: Pipelines,
    failing: BTreeMap<String, Cause>,
    asked: Vec<(String, String)>,
}

impl FakeDocuments {
    /// One with no collection. An unknown collection is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to a collection: a JSON array of objects.
    #[must_use]
    pub fn documents(self, collection: &str, documents: Json) -> Self {
        let documents = documents.as_array().into_iter().flatten().filter_map(Json::as_object).cloned();
        self.0.borrow_mut().collections.entry(collection.to_owned()).or_default().extend(documents);
        self
    }

    /// What pipelines over a collection come to.
    #[must_use]
    pub fn aggregates(self, collection: &str, results: Vec<Json>) -> Self {
        self.0.borrow_mut().pipelines.push((collection.to_owned(), results));
        self
    }

    /// Fails whatever is asked of a collection.
    #[must_use]
    pub fn fails(self, collection: &str, cause: Cause) -> Self {
        self.0.borrow_mut().failing.insert(collection.to_owned(), cause);
        self
    }

    /// What a collection holds now.
    pub fn all(&self, collection: &str) -> Vec<Json> {
        let inner = self.0.borrow();
        inner.collections.get(collection).into_iter().flatten().cloned().map(Json::Object).collect()
    }

    /// Each collection that was asked, with the filter or pipeline, in order.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.0.borrow().asked.clone()
    }

    fn asking(&self, collection: &str, what: &str) -> Result<(), Cause> {
        let mut inner = self.0.borrow_mut();
        inner.asked.push((collection.to_owned(), what.to_owned()));
        inner.failing.get(collection).cloned().map_or(Ok(()), Err)
    }

    fn find(&self, collection: &str, filter: &str) -> Result<Vec<Map<String, Json>>, Cause> {
        self.asking(collection, filter)?;
        let filter = object(filter)?;
        let inner = self.0.borrow();
        let found = inner.collections.get(collection).into_iter().flatten();
        Ok(found.filter(|document| meets(document, &filter)).cloned().collect())
    }
}

impl Handle<FakeDocuments> {
    pub(crate) fn find(&self, collection: &str, selection: &Selection) -> Result<Vec<String>, Cause> {
        let limit = if selection.limit == 0 { usize::MAX } else { selection.limit as usize };
        let found = self.fake.find(collection, &selection.filter)?.into_iter();
        Ok(found.skip(selection.skip as usize).take(limit).map(|it| Json::Object(it).to_string()).collect())
    }

    pub(crate) fn start_find(&self, collection: &str, selection: &Selection) -> PendingDocuments {
        PendingDocuments(self.find(collection, selection))
    }

    pub(crate) fn count(&self, collection: &str, filter: &str) -> Result<u64, Cause> {
        Ok(self.fake.find(collection, filter)?.len() as u64)
    }

    pub(crate) fn aggregate(&self, collection: &str, pipeline: &str) -> Result<Vec<String>, Cause> {
        self.fake.asking(collection, pipeline)?;
        let inner = self.fake.0.borrow();
        let results = inner.pipelines.iter().find(|(it, _)| it == collection).map(|(_, results)| results);
        let results =
            results.ok_or_else(|| Cause::Invalid(format!("the fake has no answer for pipelines over {collection}")))?;
        Ok(results.iter().map(Json::to_string).collect())
    }

    pub(crate) fn start_aggregate(&self, collection: &str, pipeline: &str) -> PendingDocuments {
        PendingDocuments(self.aggregate(collection, pipeline))
    }

    pub(crate) fn insert(&self, collection: &str, documents: &[String]) -> Result<Vec<String>, Cause> {
        let fake = self.for_writing()?;
        fake.asking(collection, "insert")?;
        let mut inner = fake.0.borrow_mut();
        let kept = inner.collections.entry(collection.to_owned()).or_default();
        let insert = |document: &String| {
            let mut document = object(document)?;
            let next = json!(format!("id-{}", kept.len() + 1));
            let id = document.entry("_id").or_insert(next).to_string();
            kept.push(document);
            Ok(id)
        };
        documents.iter().map(insert).collect()
    }

    pub(crate) fn update(
        &self,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Cause> {
        let fake = self.for_writing()?;
        fake.asking(collection, filter)?;
        let (filter, update) = (object(filter)?, object(update)?);
        let set = update.get("$set").and_then(Json::as_object).cloned().unwrap_or_default();
        let mut inner = fake.0.borrow_mut();
        let kept = inner.collections.entry(collection.to_owned()).or_default();
        let mut count = UpdateCount { matched: 0, modified: 0, upserted_id: None };
        for document in kept.iter_mut().filter(|document| meets(document, &filter)) {
            let before = document.clone();
            document.extend(set.clone());
            count.matched += 1;
            count.modified += u64::from(*document != before);
        }
        if count.matched == 0 && upsert {
            let id = json!(format!("id-{}", kept.len() + 1));
            count.upserted_id = Some(id.to_string());
            let id = std::iter::once(("_id".to_owned(), id));
            kept.push(id.chain(filter).chain(set).collect());
        }
        Ok(count)
    }

    pub(crate) fn delete(&self, collection: &str, filter: &str) -> Result<u64, Cause> {
        let fake = self.for_writing()?;
        fake.asking(collection, filter)?;
        let filter = object(filter)?;
        if filter.is_empty() {
            return Err(Cause::Denied("an empty filter deletes everything".to_owned()));
        }
        let mut inner = fake.0.borrow_mut();
        let kept = inner.collections.entry(collection.to_owned()).or_default();
        let before = kept.len();
        kept.retain(|document| !meets(document, &filter));
        Ok((before - kept.len()) as u64)
    }
}

pub(crate) struct PendingDocuments(Result<Vec<String>, Cause>);

impl PendingDocuments {
    pub(crate) fn ready(&self) -> bool {
        true
    }

    pub(crate) fn get(&self) -> Result<Vec<String>, Cause> {
        self.0.clone()
    }
}

fn meets(document: &Map<String, Json>, filter: &Map<String, Json>) -> bool {
    filter.iter().all(|(field, wanted)| document.get(field) == Some(wanted))
}

fn object(text: &str) -> Result<Map<String, Json>, Cause> {
    serde_json::from_str(text).map_err(|error| Cause::Invalid(error.to_string()))
}
