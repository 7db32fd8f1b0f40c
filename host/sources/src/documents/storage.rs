//! The table in which documents lie: `documents(collection, id, body)`, a document's id and body as
//! JSON text. Knows nothing of filters.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::TryStreamExt as _;
use remit_domain::data::{
    Error, Refusal, Rejection,
    documents::{MAX_DOCUMENT_BYTES, UpdateCount},
};
use serde_json::Value;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    json,
    policy::Kept,
    visit::{Changing, Deleting, Visit, beside},
};
use crate::{
    Settings,
    ceilings::Share,
    lease::{Connect, Lease, Lender},
    sqlite::{
        Limits, cap,
        error::{fault, unopened},
    },
};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS documents (collection TEXT NOT NULL, id TEXT NOT NULL, \
                      body TEXT NOT NULL, PRIMARY KEY (collection, id)) WITHOUT ROWID";
const ALL: &str = "SELECT body FROM documents WHERE collection = ?1";
const ONE: &str = "SELECT body FROM documents WHERE collection = ?1 AND id = ?2";
const INSERT: &str = "INSERT INTO documents (collection, id, body) VALUES (?1, ?2, ?3)";
const REPLACE: &str = "UPDATE documents SET body = ?3 WHERE collection = ?1 AND id = ?2";
const DELETE: &str = "DELETE FROM documents WHERE collection = ?1 AND id = ?2";
const COUNT: &str = "SELECT count(*) FROM documents WHERE collection = ?1";

/// How many documents are read before they are looked at, and about how many bytes of them.
const BATCH: usize = 64;
const BATCH_BYTES: usize = MAX_DOCUMENT_BYTES;
/// How many rows the connection's thread may be ahead, each a document.
const ROWS_AHEAD: usize = 4;

/// A file of documents, with its connections.
pub(super) struct Storage {
    path: PathBuf,
    lock_timeout: Duration,
    limits: Limits,
    readers: Arc<Lender<SqliteConnection>>,
    writers: Arc<Lender<SqliteConnection>>,
}

/// A document that is not in the file yet.
pub(super) struct New {
    key: String,
    id: String,
    body: String,
}

impl From<Kept> for New {
    fn from(kept: Kept) -> Self {
        Self { key: json::key(&kept.id), id: kept.id.to_string(), body: kept.text }
    }
}

/// A document as it lies in the file. Errors: `rejected` if somebody else put something else there.
pub(super) fn document(body: &str) -> Result<Value, Error> {
    serde_json::from_str(body).map_err(|_| {
        Error::Rejected(Rejection {
            reason: Refusal::Rule,
            code: None,
            message: "a document in the file is not JSON".to_owned(),
        })
    })
}

/// A connection that reads.
pub(super) struct Reader<'a> {
    lease: Lease<SqliteConnection>,
    storage: &'a Storage,
}

impl Reader<'_> {
    /// Has the documents of a collection looked at, or the one under a key.
    pub(super) async fn each<V: Visit>(&mut self, collection: &str, key: Option<&str>, visitor: V) -> Result<V, Error> {
        self.storage.visit(&mut self.lease, collection, key, visitor).await
    }

    /// Gives the connection back, if nothing failed on it.
    pub(super) fn done<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_ok() {
            self.lease.give_back();
        }
        result
    }
}

impl Storage {
    pub(super) fn new(path: &Path, settings: &Settings, share: &Arc<Share>) -> Self {
        let lender = |most| Lender::new("documents", most, settings.acquire_timeout, settings.connect_timeout, share);
        Self {
            path: path.to_owned(),
            lock_timeout: settings.lock_timeout,
            limits: Limits::of(settings),
            readers: lender(settings.connections_per_source),
            // SQLite lets one connection write at a time; the others wait in order of arrival.
            writers: lender(1),
        }
    }

    /// Closes connections that lie idle since before an instant.
    pub(super) fn close_idle(&self, before: Instant) {
        self.readers.close_idle(before);
        self.writers.close_idle(before);
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
        let mut reader = self.read().await?;
        let row = reader.lease.fetch_optional("SELECT 1 FROM documents LIMIT 1").await;
        let result = row.map(drop).map_err(|error| self.error(error));
        reader.done(result)
    }

    pub(super) async fn read(&self) -> Result<Reader<'_>, Error> {
        Ok(Reader { lease: self.readers.lend(&Opening { storage: self, write: false }).await?, storage: self })
    }

    pub(super) async fn count(&self, collection: &str) -> Result<u64, Error> {
        let mut reader = self.read().await?;
        let row = sqlx::query(COUNT).bind(collection).fetch_one(&mut *reader.lease).await;
        let count = row.and_then(|row| row.try_get::<i64, _>(0)).map_err(|error| self.error(error));
        reader.done(count.map(|count| u64::try_from(count).unwrap_or(0)))
    }

    /// Inserts documents in order, up to the first whose id is taken. Returns their ids.
    pub(super) async fn insert(&self, collection: &str, documents: Vec<New>) -> Result<Vec<String>, Error> {
        let mut writer = self.begin().await?;
        let mut ids = Vec::with_capacity(documents.len());
        let mut refused = None;
        for new in documents {
            match self.add(&mut writer, collection, &new).await {
                Ok(()) => ids.push(new.id),
                // Those before it stay, as in MongoDB.
                Err(error @ Error::Rejected(_)) => {
                    refused = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.commit(writer).await?;
        refused.map_or(Ok(ids), Err)
    }

    /// Replaces each document that is changed, or inserts one if it is given and none was meant.
    pub(super) async fn update(
        &self,
        collection: &str,
        key: Option<&str>,
        changing: Changing,
        inserted: Option<New>,
    ) -> Result<UpdateCount, Error> {
        let mut writer = self.begin().await?;
        let changing = self.visit(&mut writer, collection, key, changing).await?;
        let mut count = UpdateCount { matched: changing.matched, modified: 0, upserted_id: None };
        for (key, body) in changing.changes {
            let done = sqlx::query(REPLACE).bind(collection).bind(key).bind(body).execute(&mut *writer).await;
            count.modified += done.map_err(|error| self.error(error))?.rows_affected();
        }
        if let Some(new) = inserted.filter(|_| count.matched == 0) {
            self.add(&mut writer, collection, &new).await?;
            count.upserted_id = Some(new.id);
        }
        self.commit(writer).await?;
        Ok(count)
    }

    /// Deletes each document that is meant.
    pub(super) async fn delete(&self, collection: &str, key: Option<&str>, deleting: Deleting) -> Result<u64, Error> {
        let mut writer = self.begin().await?;
        let deleting = self.visit(&mut writer, collection, key, deleting).await?;
        let mut count = 0;
        for key in deleting.keys {
            let done = sqlx::query(DELETE).bind(collection).bind(key).execute(&mut *writer).await;
            count += done.map_err(|error| self.error(error))?.rows_affected();
        }
        self.commit(writer).await?;
        Ok(count)
    }

    /// Has documents looked at, some at a time, until the visitor has seen enough.
    async fn visit<V: Visit>(
        &self,
        connection: &mut SqliteConnection,
        collection: &str,
        key: Option<&str>,
        mut visitor: V,
    ) -> Result<V, Error> {
        let mut rows = sqlx::query(if key.is_some() { ONE } else { ALL })
            .bind(collection.to_owned())
            .bind(key.map(str::to_owned))
            .fetch(connection);
        loop {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Some(row) = rows.try_next().await.map_err(|error| self.error(error))? else { break };
                let body: String = row.try_get(0).map_err(|error| self.error(error))?;
                bytes += body.len();
                batch.push(body);
            }
            let last = batch.len() < BATCH && bytes < BATCH_BYTES;
            let looked = move || {
                for body in batch {
                    if !visitor.visit(&body)? {
                        return Ok((visitor, false));
                    }
                }
                Ok((visitor, true))
            };
            let more;
            (visitor, more) = beside(looked).await?;
            if last || !more {
                return Ok(visitor);
            }
        }
    }

    async fn add(&self, writer: &mut SqliteConnection, collection: &str, new: &New) -> Result<(), Error> {
        let done = sqlx::query(INSERT).bind(collection).bind(&new.key).bind(&new.body).execute(writer).await;
        match done {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Error::Rejected(Rejection {
                reason: Refusal::Constraint,
                // What MongoDB calls a duplicate key.
                code: Some("11000".to_owned()),
                message: "a document with this `_id` is there already".to_owned(),
            })),
            Err(error) => Err(self.error(error)),
        }
    }

    /// A connection with a transaction begun. Dropped, it is closed, and the transaction undone.
    async fn begin(&self) -> Result<Lease<SqliteConnection>, Error> {
        let mut lease = self.writers.lend(&Opening { storage: self, write: true }).await?;
        lease.execute("BEGIN IMMEDIATE").await.map_err(|error| self.error(error))?;
        Ok(lease)
    }

    async fn commit(&self, mut lease: Lease<SqliteConnection>) -> Result<(), Error> {
        lease.execute("COMMIT").await.map_err(|error| self.error(error))?;
        lease.give_back();
        Ok(())
    }

    fn error(&self, error: sqlx::Error) -> Error {
        fault(error, self.limits).error
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.lock_timeout)
            .row_buffer_size(ROWS_AHEAD)
            .disable_statement_logging()
    }

    async fn make(&self) -> Result<SqliteConnection, Error> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(folder).await.map_err(|error| unopened(&sqlx::Error::Io(error)))?;
        }
        let options = self
            .options()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let mut connection = options.connect().await.map_err(|error| unopened(&error))?;
        connection.execute(SCHEMA).await.map_err(|error| unopened(&error))?;
        cap(&mut connection, self.limits.file_bytes).await.map_err(|error| unopened(&error))?;
        Ok(connection)
    }
}

/// The key under which a document of the file lies.
pub(super) fn id_key(document: &Value) -> String {
    json::key(document.get("_id").unwrap_or(&Value::Null))
}

struct Opening<'a> {
    storage: &'a Storage,
    write: bool,
}

impl Connect for Opening<'_> {
    type Connection = SqliteConnection;

    async fn connect(&self) -> Result<SqliteConnection, Error> {
        if self.write {
            return self.storage.make().await;
        }
        if !tokio::fs::try_exists(&self.storage.path).await.unwrap_or(false) {
            // A failed close leaves nothing behind: the file is there either way.
            let _closed = self.storage.make().await?.close().await;
        }
        self.storage.options().read_only(true).connect().await.map_err(|error| unopened(&error))
    }

    async fn fresh(&self, _connection: &mut SqliteConnection, _idle: Duration) -> bool {
        true
    }
}
