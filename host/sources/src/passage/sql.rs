//! Relational databases on their way.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        sql::{self, Change, Dialect, RowSet, Value},
    },
    grant::{Reading, Writing},
    operation::{Digest, Extent, Recorder},
};

use super::{Came, Kept, MAX_BYTES, Passage, head, is_certain, record, rows};
use crate::kept::{Answer, Key};

/// A database whose operations go the way.
pub(super) struct Database {
    passage: Arc<Passage>,
    database: Arc<dyn sql::Database>,
}

impl Database {
    pub(super) fn new(passage: Arc<Passage>, database: Arc<dyn sql::Database>) -> Self {
        Self { passage, database }
    }

    fn key(&self, access: &Reading<'_>, statement: &str, parameters: &[Value]) -> Option<Key> {
        let bytes = parameters.iter().map(Value::size).fold(statement.len(), usize::saturating_add);
        if bytes > MAX_BYTES {
            return None;
        }
        // Each kind of value shows itself, and texts are quoted.
        let parameters = format!("{parameters:?}");
        Some(self.passage.key(access.scope(), [b"query".as_slice(), statement.as_bytes(), parameters.as_bytes()]))
    }
}

#[async_trait]
impl sql::Database for Database {
    fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    async fn query(&self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let (recorder, digest) = (access.recorder(), digest(statement));
        let scoped = access.clone();
        let key = || self.key(&scoped, statement, parameters);
        let run = self.database.query(access, statement, parameters);
        self.passage.read(&recorder, "query", digest, key, run).await
    }

    async fn execute(&self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let (recorder, digest) = (access.recorder(), digest(statement));
        let run = self.database.execute(access, statement, parameters);
        self.passage.write(&recorder, "execute", digest, run).await
    }

    async fn begin(&self, access: Writing<'_>) -> Result<Box<dyn sql::Transaction>, Error> {
        let recorder = access.recorder();
        let begun = self.passage.run(&recorder, "begin", None, async { Ok(Begun(self.database.begin(access).await?)) });
        let Begun(open) = begun.await?;
        let passage = self.passage.clone();
        Ok(Box::new(Transaction { passage, recorder, open, changes: Changes::default() }))
    }
}

struct Begun(Box<dyn sql::Transaction>);

impl Came for Begun {}

/// A transaction whose operations are recorded. It has its connection: whether the source is asked is no
/// question any more, and nothing in it is given again.
struct Transaction {
    passage: Arc<Passage>,
    recorder: Recorder,
    open: Box<dyn sql::Transaction>,
    changes: Changes,
}

/// What of a transaction makes void what was kept, once it is gone: however it ended, since an engine may
/// not undo everything.
#[derive(Default)]
struct Changes {
    passage: Option<Arc<Passage>>,
    /// The commit was sent, and its answer did not come.
    in_doubt: bool,
}

impl Drop for Changes {
    fn drop(&mut self) {
        if let Some(passage) = &self.passage {
            passage.written(!self.in_doubt);
        }
    }
}

#[async_trait]
impl sql::Transaction for Transaction {
    async fn query(&mut self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let under_way = self.recorder.begin("transaction-query", Some(digest(statement)))?;
        let result = self.open.query(access, statement, parameters).await;
        record(under_way, &result);
        result
    }

    async fn execute(&mut self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let under_way = self.recorder.begin("transaction-execute", Some(digest(statement)))?;
        self.changes.passage = Some(self.passage.clone());
        let result = self.open.execute(access, statement, parameters).await;
        record(under_way, &result);
        result
    }

    async fn commit(self: Box<Self>, access: Writing<'_>) -> Result<(), Error> {
        let Self { recorder, open, mut changes, .. } = *self;
        let under_way = recorder.begin("commit", None)?;
        changes.in_doubt = true;
        let result = open.commit(access).await;
        changes.in_doubt = !is_certain(&result);
        // Before the answer: who reads after it sees the changes.
        drop(changes);
        record(under_way, &result);
        result
    }

    async fn rollback(self: Box<Self>) -> Result<(), Error> {
        let Self { recorder, open, changes, .. } = *self;
        let under_way = recorder.begin("rollback", None)?;
        let result = open.rollback().await;
        drop(changes);
        record(under_way, &result);
        result
    }
}

fn digest(statement: &str) -> Digest {
    Digest::of_text(head(statement))
}

impl Came for RowSet {
    fn extent(&self) -> Extent {
        let bytes = self.rows.iter().flatten().map(Value::size).fold(0, usize::saturating_add);
        Extent { rows: rows(self.rows.len()), bytes: rows(bytes), cached: false }
    }
}

impl Kept for RowSet {
    fn bytes(&self) -> u64 {
        /// A value, and a row's own list.
        const VALUE: usize = size_of::<Value>();
        const ROW: usize = size_of::<Vec<Value>>();
        let values = self.rows.iter().flatten().map(|value| value.size() + VALUE);
        let columns = self.columns.iter().map(|column| column.name.len() + column.data_type.len() + ROW);
        rows(values.chain(columns).fold(self.rows.len() * ROW, usize::saturating_add))
    }

    fn kept(&self) -> Option<Answer> {
        Some(Answer::Rows(Arc::new(self.clone())))
    }

    fn again(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Rows(rows) => Some(Arc::unwrap_or_clone(rows)),
            Answer::Documents(_) | Answer::Count(_) | Answer::Response(_) => None,
        }
    }
}

impl Came for Change {
    fn extent(&self) -> Extent {
        Extent { rows: self.rows_affected, bytes: 0, cached: false }
    }
}
