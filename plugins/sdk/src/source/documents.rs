//! Document databases. Filters and updates are JSON made with `json!`, never text put together.

use std::rc::Rc;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;

use super::{Selection, UpdateCount};
use crate::{Cause, Error, Pending, Result, handles};

/// A document database that the call was handed.
pub struct DocumentStore {
    name: Rc<str>,
    handle: handles::DocumentStore,
}

impl DocumentStore {
    pub(crate) fn take(grants: &handles::Grants, name: &str) -> Result<Self> {
        let handle = handles::DocumentStore::take(grants, name).map_err(|cause| Error::of_taking(name, cause))?;
        Ok(Self { name: name.into(), handle })
    }

    /// The documents selected: by a filter, or a [`Selection`].
    pub fn find<T: DeserializeOwned>(&self, collection: &str, selection: impl Into<Selection>) -> Result<Vec<T>> {
        let found = self.handle.find(collection, &selection.into()).map_err(|cause| self.failed(cause))?;
        typed(&self.name, &found)
    }

    /// The first document selected, if there is one.
    pub fn find_one<T: DeserializeOwned>(
        &self,
        collection: &str,
        selection: impl Into<Selection>,
    ) -> Result<Option<T>> {
        Ok(self.find(collection, selection.into().limit(1))?.into_iter().next())
    }

    /// Begins a find; as [`Self::find`] when it is collected.
    pub fn start_find<T: DeserializeOwned + 'static>(
        &self,
        collection: &str,
        selection: impl Into<Selection>,
    ) -> Pending<Vec<T>> {
        self.pending(self.handle.start_find(collection, &selection.into()))
    }

    /// How many documents a filter meets.
    pub fn count(&self, collection: &str, filter: &Json) -> Result<u64> {
        self.handle.count(collection, &filter.to_string()).map_err(|cause| self.failed(cause))
    }

    /// The result of a pipeline: a JSON array of stages.
    pub fn aggregate<T: DeserializeOwned>(&self, collection: &str, pipeline: &Json) -> Result<Vec<T>> {
        let found = self.handle.aggregate(collection, &pipeline.to_string()).map_err(|cause| self.failed(cause))?;
        typed(&self.name, &found)
    }

    /// Begins an aggregation; as [`Self::aggregate`] when it is collected.
    pub fn start_aggregate<T: DeserializeOwned + 'static>(&self, collection: &str, pipeline: &Json) -> Pending<Vec<T>> {
        self.pending(self.handle.start_aggregate(collection, &pipeline.to_string()))
    }

    /// Inserts documents and returns their ids.
    pub fn insert<T: Serialize>(&self, collection: &str, documents: &[T]) -> Result<Vec<Json>> {
        let documents: Vec<String> = documents
            .iter()
            .map(serde_json::to_string)
            .collect::<serde_json::Result<_>>()
            .map_err(|error| Error::refused(format!("{}: a document does not serialise: {error}", self.name)))?;
        let ids = self.handle.insert(collection, &documents).map_err(|cause| self.failed(cause))?;
        typed(&self.name, &ids)
    }

    /// Changes every document that the filter meets, by operators such as `$set`. With `upsert`, inserts
    /// one if there is none.
    pub fn update(&self, collection: &str, filter: &Json, update: &Json, upsert: bool) -> Result<UpdateCount> {
        self.handle
            .update(collection, &filter.to_string(), &update.to_string(), upsert)
            .map_err(|cause| self.failed(cause))
    }

    /// Deletes every document that the filter meets and returns how many.
    pub fn delete(&self, collection: &str, filter: &Json) -> Result<u64> {
        self.handle.delete(collection, &filter.to_string()).map_err(|cause| self.failed(cause))
    }

    fn pending<T: DeserializeOwned + 'static>(&self, handle: handles::PendingDocuments) -> Pending<Vec<T>> {
        let name = Rc::clone(&self.name);
        Pending::new(handle, handles::PendingDocuments::ready, move |pending| {
            typed(&name, &pending.get().map_err(|cause| Error::of_source(&name, cause))?)
        })
    }

    fn failed(&self, cause: Cause) -> Error {
        Error::of_source(&self.name, cause)
    }
}

impl Selection {
    /// All the documents that a filter meets, whole.
    pub fn of(filter: &Json) -> Self {
        Self { filter: filter.to_string(), projection: None, sort: None, skip: 0, limit: 0 }
    }

    /// Only some fields of each, such as `{"_id": 0, "name": 1}`.
    #[must_use]
    pub fn project(mut self, projection: &Json) -> Self {
        self.projection = Some(projection.to_string());
        self
    }

    /// In this order, such as `{"created": -1}`.
    #[must_use]
    pub fn sort(mut self, sort: &Json) -> Self {
        self.sort = Some(sort.to_string());
        self
    }

    /// Passes over the first of them.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

impl From<Json> for Selection {
    fn from(filter: Json) -> Self {
        Self::of(&filter)
    }
}

fn typed<T: DeserializeOwned>(name: &str, documents: &[String]) -> Result<Vec<T>> {
    documents
        .iter()
        .map(|document| serde_json::from_str(document))
        .collect::<serde_json::Result<_>>()
        .map_err(|error| Error::refused(format!("{name}: a document is not as expected: {error}")))
}
