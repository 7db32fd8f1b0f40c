//! `remit:data/documents`: document databases.

use std::sync::Arc;

use remit_domain::{
    data::{Error, Handle, documents},
    grant::{Permission, Permit},
    limits::Limit,
};
use wasmtime::component::Resource;

use super::{Bag, Pending, common::error, pending::collect, sql::wrong_family};
use crate::{
    bindings::remit::data::{common::Error as WitError, documents as wit},
    state::State,
    traffic::Size,
};

type Answer<T> = wasmtime::Result<Result<T, WitError>>;

/// What stands behind a guest's `document-store`.
#[derive(Clone)]
pub struct DocumentStore {
    permit: Permit,
    port: Arc<dyn documents::Store>,
}

impl DocumentStore {
    /// The store for one operation that is started and noted now.
    fn start(&self, permission: Permission) -> Result<Self, Error> {
        Ok(Self { permit: self.permit.start(permission)?, ..self.clone() })
    }

    async fn find(&self, collection: &str, selection: &documents::Selection) -> Result<Vec<String>, Error> {
        self.port.find(self.permit.read()?, collection, selection).await
    }

    async fn aggregate(&self, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        self.port.aggregate(self.permit.read()?, collection, pipeline).await
    }

    async fn count(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        self.port.count(self.permit.read()?, collection, filter).await
    }

    async fn insert(&self, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        self.port.insert(self.permit.write()?, collection, documents).await
    }

    async fn update(
        &self,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<documents::UpdateCount, Error> {
        self.port.update(self.permit.write()?, collection, filter, update, upsert).await
    }

    async fn delete(&self, collection: &str, filter: &str) -> Result<u64, Error> {
        self.port.delete(self.permit.write()?, collection, filter).await
    }
}

/// What stands behind a guest's `pending-documents`.
pub struct PendingDocuments(Pending<Vec<String>>);

impl wit::Host for State {}

impl wit::HostDocumentStore for State {
    async fn take(&mut self, grants: Resource<Bag>, name: String) -> Answer<Resource<DocumentStore>> {
        self.enter(&name)?;
        let bag = self.table.get(&grants)?.0.clone();
        Ok(match bag.open(&name).await {
            Ok((permit, Handle::Documents(port))) => Ok(self.table.push(DocumentStore { permit, port })?),
            Ok((_, other)) => Err(wrong_family(&name, other.family())),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn find(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        selection: wit::Selection,
    ) -> Answer<Vec<String>> {
        self.enter(&(&collection, &selection))?;
        let store = self.table.get(&store)?.clone();
        let found = store.find(&collection, &chosen(selection)).await;
        self.documents(found)
    }

    async fn start_find(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        selection: wit::Selection,
    ) -> wasmtime::Result<Resource<PendingDocuments>> {
        self.enter(&(&collection, &selection))?;
        let store = self.table.get(&store)?.start(Permission::Read);
        let operation = async move { store?.find(&collection, &chosen(selection)).await };
        let pending = Pending::start(&self.pending, self.limits.size(Limit::Pending), operation);
        Ok(self.table.push(PendingDocuments(pending))?)
    }

    async fn count(&mut self, store: Resource<DocumentStore>, collection: String, filter: String) -> Answer<u64> {
        self.enter(&(&collection, &filter))?;
        let store = self.table.get(&store)?.clone();
        self.answer(store.count(&collection, &filter).await)
    }

    async fn aggregate(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        pipeline: String,
    ) -> Answer<Vec<String>> {
        self.enter(&(&collection, &pipeline))?;
        let store = self.table.get(&store)?.clone();
        let found = store.aggregate(&collection, &pipeline).await;
        self.documents(found)
    }

    async fn start_aggregate(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        pipeline: String,
    ) -> wasmtime::Result<Resource<PendingDocuments>> {
        self.enter(&(&collection, &pipeline))?;
        let store = self.table.get(&store)?.start(Permission::Read);
        let operation = async move { store?.aggregate(&collection, &pipeline).await };
        let pending = Pending::start(&self.pending, self.limits.size(Limit::Pending), operation);
        Ok(self.table.push(PendingDocuments(pending))?)
    }

    async fn insert(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        documents: Vec<String>,
    ) -> Answer<Vec<String>> {
        self.enter(&(&collection, &documents))?;
        let store = self.table.get(&store)?.clone();
        self.answer(store.insert(&collection, &documents).await)
    }

    async fn update(
        &mut self,
        store: Resource<DocumentStore>,
        collection: String,
        filter: String,
        update: String,
        upsert: bool,
    ) -> Answer<wit::UpdateCount> {
        self.enter(&(&collection, &filter, &update))?;
        let store = self.table.get(&store)?.clone();
        let count = |count: documents::UpdateCount| wit::UpdateCount {
            matched: count.matched,
            modified: count.modified,
            upserted_id: count.upserted_id,
        };
        self.answer(store.update(&collection, &filter, &update, upsert).await.map(count))
    }

    async fn delete(&mut self, store: Resource<DocumentStore>, collection: String, filter: String) -> Answer<u64> {
        self.enter(&(&collection, &filter))?;
        let store = self.table.get(&store)?.clone();
        self.answer(store.delete(&collection, &filter).await)
    }

    async fn drop(&mut self, store: Resource<DocumentStore>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl wit::HostPendingDocuments for State {
    async fn ready(&mut self, pending: Resource<PendingDocuments>) -> wasmtime::Result<bool> {
        self.enter(&())?;
        Ok(self.table.get(&pending)?.0.ready())
    }

    async fn get(&mut self, pending: Resource<PendingDocuments>) -> Answer<Vec<String>> {
        self.enter(&())?;
        let underway = self.table.get_mut(&pending)?.0.take();
        let found = collect(underway).await?;
        self.documents(found)
    }

    async fn drop(&mut self, pending: Resource<PendingDocuments>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl State {
    /// Documents on their way to the guest, if they are no more than a query may give.
    fn documents(&mut self, found: Result<Vec<String>, Error>) -> Answer<Vec<String>> {
        let most = self.limits.size(Limit::Rows);
        let fits = found.and_then(|documents| match documents.len() {
            count if count > most => Err(Error::Limit { name: "max-documents", allowed: self.limits.get(Limit::Rows) }),
            _ => Ok(documents),
        });
        self.answer(fits)
    }
}

impl Size for wit::Selection {
    fn size(&self) -> usize {
        (&self.filter, &self.projection, &self.sort).size()
    }
}

impl Size for wit::UpdateCount {
    fn size(&self) -> usize {
        (self.matched, self.modified, &self.upserted_id).size()
    }
}

fn chosen(selection: wit::Selection) -> documents::Selection {
    documents::Selection {
        filter: selection.filter,
        projection: selection.projection,
        sort: selection.sort,
        skip: selection.skip,
        limit: selection.limit,
    }
}
