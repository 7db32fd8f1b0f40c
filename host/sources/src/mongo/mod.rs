//! Connector: MongoDB, through its own driver.
//!
//! What a guest asks for is checked by [`policy`], the same as the embedded store's, and what was checked
//! is what is sent: no text of a guest's is read a second time. The driver sends `find`, `aggregate`,
//! `insert`, `update`, `delete` and `ping` for it, beside what it needs for itself (`hello`, `getMore`,
//! `killCursors`, `endSessions`, and those of authentication), each with the time it may take.
//!
//! Deliberately absent: transactions, other databases than the one of the definition, and a check that the
//! account has no more rights than it needs, which the operator gives it. Unlike in the embedded store, an
//! update or delete of several documents that fails in its midst leaves those before it changed; a view
//! reads whatever the operator made it of.

mod error;
mod options;
mod reach;
mod values;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::{Client, Cursor, Database, action::Action as _};
use remit_domain::{
    data::{
        Error, Wait,
        documents::{MAX_DOCUMENTS, MAX_RESULT_BYTES, Selection, Store, UpdateCount},
    },
    grant::{Reading, Writing},
    scope::Scope,
    source::{Definition, DocumentServer},
};
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use self::{error::Doing, options::Address, reach::Reach};
use crate::{
    Settings,
    documents::{
        beside,
        policy::{self, Kept},
    },
    observe::counted,
    sql::rows,
};

/// How long a server is waited for beyond the time it was told that an operation has.
const GRACE: Duration = Duration::from_secs(2);
/// How many documents a server is asked for at once.
const BATCH: u32 = 500;
/// How many bytes of documents are received before they are written as JSON, which takes fewer or more.
const MAX_RECEIVED_BYTES: usize = 4 * MAX_RESULT_BYTES;
/// How many bytes of documents are inserted by one command: half of what a server takes.
const MAX_SENT_BYTES: usize = 8 * 1024 * 1024;

/// A database of a MongoDB deployment.
pub(crate) struct Mongo {
    address: Address,
    settings: Settings,
    client: OnceCell<Connected>,
    /// The driver has no bound on how long one waits for one of its connections.
    places: Semaphore,
}

struct Connected {
    client: Client,
    reach: Arc<Reach>,
    /// The deployment's word for what it must have done to say that a change is made, if the address has one.
    concern: Option<Document>,
}

impl Mongo {
    /// Errors: `invalid` for a definition that cannot work.
    pub(crate) fn new(definition: &Definition, server: &DocumentServer, settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            address: Address::new(definition, server)?,
            settings: settings.clone(),
            client: OnceCell::new(),
            places: Semaphore::new(settings.connections_per_source.max(1)),
        })
    }

    /// Asks the server whether it is there, as this account.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let at = self.enter().await?;
        self.within(Doing::Reading, at.database.run_command(doc! { "ping": 1 }).into_future()).await.map(drop)
    }

    /// A place among those that use the source at once, at a server that answers.
    async fn enter(&self) -> Result<Place<'_>, Error> {
        let place = tokio::time::timeout(self.settings.acquire_timeout, self.places.acquire()).await;
        let Ok(Ok(place)) = place else {
            return Err(Error::Throttled(Wait {
                message: "all connections of this source are in use".to_owned(),
                retry_after_ms: Some(1_000),
            }));
        };
        let connected = self.client.get_or_try_init(|| self.address.connect(&self.settings)).await?;
        let database = connected.client.database(self.address.database());
        connected.reach.wait(&database, self.settings.selection_timeout).await?;
        Ok(Place { database, concern: connected.concern.as_ref(), _place: place })
    }

    /// Runs what the server is asked for. Errors: of a server that does not keep its time, what such an
    /// operation comes to.
    async fn within<T>(
        &self,
        doing: Doing,
        run: impl Future<Output = Result<T, mongodb::error::Error>>,
    ) -> Result<T, Error> {
        let allowed = (self.settings.statement_timeout + GRACE).min(self.settings.socket_timeout);
        match tokio::time::timeout(allowed, run).await {
            Ok(done) => done.map_err(|error| error::told(&error, doing, self.address.database(), self.time())),
            Err(_) => Err(error::late(doing, self.time())),
        }
    }

    fn time(&self) -> Duration {
        self.settings.statement_timeout
    }

    /// A change: its command with the time it has, and what it came to.
    async fn change(&self, at: &Place<'_>, mut command: Document) -> Result<Document, Error> {
        let milliseconds = i64::try_from(self.time().as_millis()).unwrap_or(i64::MAX).max(1);
        command.insert("maxTimeMS", milliseconds);
        if let Some(concern) = at.concern {
            command.insert("writeConcern", concern.clone());
        }
        let answer = self.within(Doing::Writing, at.database.run_command(command).into_future()).await?;
        error::refused(&answer, self.address.database())?;
        Ok(answer)
    }

    async fn received(
        &self,
        begin: impl Future<Output = Result<Cursor<RawDocumentBuf>, mongodb::error::Error>>,
    ) -> Result<Vec<String>, Error> {
        let receive = async {
            let mut cursor = begin.await?;
            let (mut documents, mut bytes) = (Vec::new(), 0);
            while documents.len() <= MAX_DOCUMENTS && bytes <= MAX_RECEIVED_BYTES && cursor.advance().await? {
                let document = cursor.current();
                bytes += document.as_bytes().len();
                documents.push(document.to_owned());
            }
            Ok((documents, bytes))
        };
        let (documents, bytes) = self.within(Doing::Reading, receive).await?;
        if documents.len() > MAX_DOCUMENTS {
            return Err(policy::too_many_documents());
        }
        if bytes > MAX_RECEIVED_BYTES {
            return Err(rows::result_too_large());
        }
        beside(move || write(&documents)).await
    }

    async fn run_find(&self, scope: &Scope, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        policy::collection(collection, scope)?;
        let wanted = policy::selection(selection)?;
        let filter = values::document(&wanted.filter)?;
        let projection = wanted.projection.as_ref().map(values::document).transpose()?;
        let sort = wanted.sort.as_ref().map(values::document).transpose()?;
        let at = self.enter().await?;
        let documents = at.database.collection::<RawDocumentBuf>(collection);
        let find = documents
            .find(filter)
            .skip(u64::from(wanted.skip))
            .limit(i64::try_from(wanted.limit).unwrap_or(i64::MAX))
            .batch_size(BATCH)
            .allow_disk_use(false)
            .max_time(self.time())
            .optional(projection, |find, projection| find.projection(projection))
            .optional(sort, |find, sort| find.sort(sort));
        self.received(find.into_future()).await
    }

    async fn run_count(&self, scope: &Scope, collection: &str, filter: &str) -> Result<u64, Error> {
        policy::collection(collection, scope)?;
        let filter = values::document(&policy::filter(filter)?)?;
        let at = self.enter().await?;
        let documents = at.database.collection::<RawDocumentBuf>(collection);
        self.within(Doing::Reading, documents.count_documents(filter).max_time(self.time()).into_future()).await
    }

    async fn run_aggregate(&self, scope: &Scope, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        policy::collection(collection, scope)?;
        let mut stages = values::documents(&policy::pipeline(pipeline, scope)?)?;
        // One more than there may be, so that it shows that there are more.
        stages.push(doc! { "$limit": i64::try_from(MAX_DOCUMENTS + 1).unwrap_or(i64::MAX) });
        let at = self.enter().await?;
        let documents = at.database.collection::<RawDocumentBuf>(collection);
        let aggregate = documents
            .aggregate(stages)
            .with_type::<RawDocumentBuf>()
            .batch_size(BATCH)
            .allow_disk_use(false)
            .max_time(self.time());
        self.received(aggregate.into_future()).await
    }

    async fn run_insert(&self, scope: &Scope, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        policy::collection(collection, scope)?;
        policy::several(documents)?;
        let texts = documents.to_vec();
        let (ids, parts) = beside(move || parts(&texts)).await?;
        let at = self.enter().await?;
        for (number, part) in parts.into_iter().enumerate() {
            let done = self.change(&at, doc! { "insert": collection, "documents": part, "ordered": true }).await;
            match done {
                Ok(_) => {}
                Err(Error::Rejected(why)) => return Err(Error::Rejected(why)),
                // The parts before it are there.
                Err(error) if number > 0 => {
                    tracing::warn!(%error, "an insert into a MongoDB server broke off");
                    return Err(Error::Uncertain("some of the documents are there, and others are not".to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    async fn run_update(
        &self,
        scope: &Scope,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        policy::collection(collection, scope)?;
        let filter = values::document(&policy::filter(filter)?)?;
        let update = values::document(&policy::update(update)?)?;
        let at = self.enter().await?;
        let update = doc! { "q": filter, "u": update, "upsert": upsert, "multi": true };
        let answer = self.change(&at, doc! { "update": collection, "updates": [update], "ordered": true }).await?;
        let upserted = answer.get_array("upserted").ok().and_then(|all| all.first()).and_then(Bson::as_document);
        let upserted_id = upserted.and_then(|one| one.get("_id")).map(values::text);
        let matched = values::count(&answer, "n");
        Ok(UpdateCount {
            matched: if upserted_id.is_some() { 0 } else { matched },
            modified: values::count(&answer, "nModified"),
            upserted_id,
        })
    }

    async fn run_delete(&self, scope: &Scope, collection: &str, filter: &str) -> Result<u64, Error> {
        policy::collection(collection, scope)?;
        let filter = values::document(&policy::deletion(filter)?)?;
        let at = self.enter().await?;
        let delete = doc! { "q": filter, "limit": 0 };
        let answer = self.change(&at, doc! { "delete": collection, "deletes": [delete], "ordered": true }).await?;
        Ok(values::count(&answer, "n"))
    }
}

struct Place<'a> {
    database: Database,
    concern: Option<&'a Document>,
    _place: SemaphorePermit<'a>,
}

#[async_trait]
impl Store for Mongo {
    async fn find(&self, access: Reading<'_>, collection: &str, selection: &Selection) -> Result<Vec<String>, Error> {
        counted("documents", "find", self.run_find(access.scope(), collection, selection)).await
    }

    async fn count(&self, access: Reading<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        counted("documents", "count", self.run_count(access.scope(), collection, filter)).await
    }

    async fn aggregate(&self, access: Reading<'_>, collection: &str, pipeline: &str) -> Result<Vec<String>, Error> {
        counted("documents", "aggregate", self.run_aggregate(access.scope(), collection, pipeline)).await
    }

    async fn insert(&self, access: Writing<'_>, collection: &str, documents: &[String]) -> Result<Vec<String>, Error> {
        counted("documents", "insert", self.run_insert(access.scope(), collection, documents)).await
    }

    async fn update(
        &self,
        access: Writing<'_>,
        collection: &str,
        filter: &str,
        update: &str,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        counted("documents", "update", self.run_update(access.scope(), collection, filter, update, upsert)).await
    }

    async fn delete(&self, access: Writing<'_>, collection: &str, filter: &str) -> Result<u64, Error> {
        counted("documents", "delete", self.run_delete(access.scope(), collection, filter)).await
    }
}

/// Documents as JSON, up to the bytes there may be.
fn write(documents: &[RawDocumentBuf]) -> Result<Vec<String>, Error> {
    let mut bytes = 0;
    let texts = documents.iter().map(|document| {
        let text = values::read(document)?.to_string();
        bytes += text.len();
        if bytes > MAX_RESULT_BYTES { Err(rows::result_too_large()) } else { Ok(text) }
    });
    texts.collect()
}

/// The ids of documents to insert, and the documents in parts that a server takes at once.
fn parts(texts: &[String]) -> Result<(Vec<String>, Vec<Vec<Document>>), Error> {
    let mut ids = Vec::with_capacity(texts.len());
    let (mut parts, mut bytes): (Vec<Vec<Document>>, _) = (Vec::new(), 0);
    for text in texts {
        let Kept { id, document, .. } = policy::new_document(text)?;
        let document = values::document(&document)?;
        ids.push(Value::to_string(&id));
        let size = values::size(&document)?;
        match parts.last_mut().filter(|_| bytes + size <= MAX_SENT_BYTES) {
            Some(part) => part.push(document),
            None => {
                parts.push(vec![document]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    Ok((ids, parts))
}
