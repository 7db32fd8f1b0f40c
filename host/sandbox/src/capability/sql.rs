//! `remit:data/sql`: relational databases.

mod json;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use remit_domain::{
    data::{Error, Handle, sql},
    grant::{Permission, Permit},
    limits::Limit,
};
use wasmtime::component::Resource;

use self::json::{json, whole};
use super::{Bag, Pending, common::error, pending::collect};
use crate::{
    bindings::remit::data::{common::Error as WitError, sql as wit},
    state::State,
    traffic::Size,
};

type Answer<T> = wasmtime::Result<Result<T, WitError>>;

/// What stands behind a guest's `database`.
#[derive(Clone)]
pub struct Database {
    permit: Permit,
    port: Arc<dyn sql::Database>,
    in_transaction: Arc<AtomicBool>,
}

impl Database {
    async fn query(&self, statement: &str, parameters: &[sql::Value]) -> Result<sql::RowSet, Error> {
        self.port.query(self.permit.read()?, statement, parameters).await
    }

    /// The database for one operation that is started and noted now.
    fn start(&self, permission: Permission) -> Result<Self, Error> {
        Ok(Self { permit: self.permit.start(permission)?, ..self.clone() })
    }

    async fn execute(&self, statement: &str, parameters: &[sql::Value]) -> Result<sql::Change, Error> {
        self.port.execute(self.permit.write()?, statement, parameters).await
    }

    /// At most one transaction of a source at a time, whatever handles a guest takes: it can't take a
    /// pool's every connection.
    async fn begin(&self) -> Result<Transaction, Error> {
        let access = self.permit.write()?;
        if self.in_transaction.swap(true, Ordering::AcqRel) {
            return Err(Error::Limit { name: "max-transactions", allowed: 1 });
        }
        let slot = Slot(self.in_transaction.clone());
        let port = self.port.begin(access).await?;
        Ok(Transaction { permit: self.permit.clone(), open: Some((port, slot)) })
    }
}

/// The place of the one transaction of a handle; free again when dropped.
struct Slot(Arc<AtomicBool>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What stands behind a guest's `transaction`; empty once it has ended.
pub struct Transaction {
    permit: Permit,
    open: Option<(Box<dyn sql::Transaction>, Slot)>,
}

impl Transaction {
    async fn query(&mut self, statement: &str, parameters: &[sql::Value]) -> Result<sql::RowSet, Error> {
        let access = self.permit.read()?;
        let (port, _) = self.open.as_mut().ok_or_else(ended)?;
        port.query(access, statement, parameters).await
    }

    async fn execute(&mut self, statement: &str, parameters: &[sql::Value]) -> Result<sql::Change, Error> {
        let access = self.permit.write()?;
        let (port, _) = self.open.as_mut().ok_or_else(ended)?;
        port.execute(access, statement, parameters).await
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let (port, _slot) = self.open.take().ok_or_else(ended)?;
        port.commit(self.permit.write()?).await
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        let (port, _slot) = self.open.take().ok_or_else(ended)?;
        port.rollback().await
    }
}

fn ended() -> Error {
    Error::Invalid("the transaction has ended".to_owned())
}

/// What stands behind a guest's `pending-rows`.
pub struct PendingRows(Pending<sql::RowSet>);

/// What stands behind a guest's `pending-change`.
pub struct PendingChange(Pending<sql::Change>);

impl wit::Host for State {}

impl wit::HostDatabase for State {
    async fn take(&mut self, grants: Resource<Bag>, name: String) -> Answer<Resource<Database>> {
        self.enter(&name)?;
        let bag = self.table.get(&grants)?.0.clone();
        Ok(match bag.open(&name).await {
            Ok((permit, Handle::Sql(port))) => {
                let in_transaction = self.transactions.entry(name).or_default().clone();
                Ok(self.table.push(Database { permit, port, in_transaction })?)
            }
            Ok((_, other)) => Err(wrong_family(&name, other.family())),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn dialect(&mut self, database: Resource<Database>) -> wasmtime::Result<String> {
        self.enter(&())?;
        Ok(self.table.get(&database)?.port.dialect().as_str().to_owned())
    }

    async fn query(
        &mut self,
        database: Resource<Database>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::RowSet> {
        self.enter(&(&statement, &parameters))?;
        let database = self.table.get(&database)?.clone();
        let rows = database.query(&statement, &values(parameters)).await;
        self.rows(rows)
    }

    async fn query_json(
        &mut self,
        database: Resource<Database>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<String> {
        self.enter(&(&statement, &parameters))?;
        let database = self.table.get(&database)?.clone();
        let rows = database.query(&statement, &values(parameters)).await;
        let most = self.limits.get(Limit::Rows);
        self.answer(rows.map(|rows| few(rows, most)).and_then(|rows| whole(rows, most)).and_then(|rows| json(&rows)))
    }

    async fn start_query(
        &mut self,
        database: Resource<Database>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> wasmtime::Result<Resource<PendingRows>> {
        self.enter(&(&statement, &parameters))?;
        let database = self.table.get(&database)?.start(Permission::Read);
        let operation = async move { database?.query(&statement, &values(parameters)).await };
        let pending = Pending::start(&self.pending, self.limits.size(Limit::Pending), operation);
        Ok(self.table.push(PendingRows(pending))?)
    }

    async fn execute(
        &mut self,
        database: Resource<Database>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::Change> {
        self.enter(&(&statement, &parameters))?;
        let database = self.table.get(&database)?.clone();
        let changed = database.execute(&statement, &values(parameters)).await;
        self.answer(changed.map(change))
    }

    async fn start_execute(
        &mut self,
        database: Resource<Database>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> wasmtime::Result<Resource<PendingChange>> {
        self.enter(&(&statement, &parameters))?;
        let database = self.table.get(&database)?.start(Permission::Write);
        let operation = async move { database?.execute(&statement, &values(parameters)).await };
        let pending = Pending::start(&self.pending, self.limits.size(Limit::Pending), operation);
        Ok(self.table.push(PendingChange(pending))?)
    }

    async fn begin(&mut self, database: Resource<Database>) -> Answer<Resource<Transaction>> {
        self.enter(&())?;
        let database = self.table.get(&database)?.clone();
        Ok(match database.begin().await {
            Ok(transaction) => Ok(self.table.push(transaction)?),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn drop(&mut self, database: Resource<Database>) -> wasmtime::Result<()> {
        self.table.delete(database)?;
        Ok(())
    }
}

impl wit::HostTransaction for State {
    async fn query(
        &mut self,
        transaction: Resource<Transaction>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::RowSet> {
        self.enter(&(&statement, &parameters))?;
        let transaction = self.table.get_mut(&transaction)?;
        let rows = transaction.query(&statement, &values(parameters)).await;
        self.rows(rows)
    }

    async fn execute(
        &mut self,
        transaction: Resource<Transaction>,
        statement: String,
        parameters: Vec<wit::Value>,
    ) -> Answer<wit::Change> {
        self.enter(&(&statement, &parameters))?;
        let transaction = self.table.get_mut(&transaction)?;
        let changed = transaction.execute(&statement, &values(parameters)).await;
        self.answer(changed.map(change))
    }

    async fn commit(&mut self, transaction: Resource<Transaction>) -> Answer<()> {
        self.enter(&())?;
        let ended = self.table.get_mut(&transaction)?.commit().await;
        self.answer(ended)
    }

    async fn rollback(&mut self, transaction: Resource<Transaction>) -> Answer<()> {
        self.enter(&())?;
        let ended = self.table.get_mut(&transaction)?.rollback().await;
        self.answer(ended)
    }

    async fn drop(&mut self, transaction: Resource<Transaction>) -> wasmtime::Result<()> {
        self.table.delete(transaction)?;
        Ok(())
    }
}

impl wit::HostPendingRows for State {
    async fn ready(&mut self, pending: Resource<PendingRows>) -> wasmtime::Result<bool> {
        self.enter(&())?;
        Ok(self.table.get(&pending)?.0.ready())
    }

    async fn get(&mut self, pending: Resource<PendingRows>) -> Answer<wit::RowSet> {
        self.enter(&())?;
        let underway = self.table.get_mut(&pending)?.0.take();
        let rows = collect(underway).await?;
        self.rows(rows)
    }

    async fn drop(&mut self, pending: Resource<PendingRows>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl wit::HostPendingChange for State {
    async fn ready(&mut self, pending: Resource<PendingChange>) -> wasmtime::Result<bool> {
        self.enter(&())?;
        Ok(self.table.get(&pending)?.0.ready())
    }

    async fn get(&mut self, pending: Resource<PendingChange>) -> Answer<wit::Change> {
        self.enter(&())?;
        let underway = self.table.get_mut(&pending)?.0.take();
        let changed = collect(underway).await?;
        self.answer(changed.map(change))
    }

    async fn drop(&mut self, pending: Resource<PendingChange>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl State {
    /// Rows on their way to the guest, no more than a query may give.
    fn rows(&mut self, rows: Result<sql::RowSet, Error>) -> Answer<wit::RowSet> {
        let most = self.limits.get(Limit::Rows);
        self.answer(rows.map(|rows| few(rows, most)).map(row_set))
    }
}

/// Cuts rows to as many as a query may give.
fn few(mut set: sql::RowSet, most: u64) -> sql::RowSet {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if set.rows.len() > most {
        set.rows.truncate(most);
        set.truncated = true;
    }
    set
}

impl Size for wit::Value {
    fn size(&self) -> usize {
        /// Even a NULL is a value of some bytes, here and in the guest.
        const EACH: usize = 16;
        EACH + match self {
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Real(_) => 0,
            Self::Blob(bytes) => bytes.len(),
            Self::Decimal(text)
            | Self::Text(text)
            | Self::Date(text)
            | Self::Time(text)
            | Self::Timestamp(text)
            | Self::Uuid(text)
            | Self::Json(text) => text.len(),
        }
    }
}

impl Size for wit::RowSet {
    fn size(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.name.len() + column.data_type.len());
        columns.fold(0, usize::saturating_add).saturating_add(self.rows.size())
    }
}

impl Size for wit::Change {
    fn size(&self) -> usize {
        self.rows_affected.size()
    }
}

/// `not-found` for a source of another kind than the interface that was asked.
pub(super) fn wrong_family(name: &str, family: &str) -> WitError {
    WitError::NotFound(format!("`{name}` is not of this kind: take it by `{family}`"))
}

fn values(values: Vec<wit::Value>) -> Vec<sql::Value> {
    let value = |value| match value {
        wit::Value::Null => sql::Value::Null,
        wit::Value::Boolean(it) => sql::Value::Boolean(it),
        wit::Value::Integer(it) => sql::Value::Integer(it),
        wit::Value::Real(it) => sql::Value::Real(it),
        wit::Value::Decimal(it) => sql::Value::Decimal(it),
        wit::Value::Text(it) => sql::Value::Text(it),
        wit::Value::Blob(it) => sql::Value::Blob(it),
        wit::Value::Date(it) => sql::Value::Date(it),
        wit::Value::Time(it) => sql::Value::Time(it),
        wit::Value::Timestamp(it) => sql::Value::Timestamp(it),
        wit::Value::Uuid(it) => sql::Value::Uuid(it),
        wit::Value::Json(it) => sql::Value::Json(it),
    };
    values.into_iter().map(value).collect()
}

fn row_set(set: sql::RowSet) -> wit::RowSet {
    let value = |value| match value {
        sql::Value::Null => wit::Value::Null,
        sql::Value::Boolean(it) => wit::Value::Boolean(it),
        sql::Value::Integer(it) => wit::Value::Integer(it),
        sql::Value::Real(it) => wit::Value::Real(it),
        sql::Value::Decimal(it) => wit::Value::Decimal(it),
        sql::Value::Text(it) => wit::Value::Text(it),
        sql::Value::Blob(it) => wit::Value::Blob(it),
        sql::Value::Date(it) => wit::Value::Date(it),
        sql::Value::Time(it) => wit::Value::Time(it),
        sql::Value::Timestamp(it) => wit::Value::Timestamp(it),
        sql::Value::Uuid(it) => wit::Value::Uuid(it),
        sql::Value::Json(it) => wit::Value::Json(it),
    };
    let column = |column: sql::Column| wit::Column { name: column.name, data_type: column.data_type };
    wit::RowSet {
        columns: set.columns.into_iter().map(column).collect(),
        rows: set.rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect(),
        truncated: set.truncated,
    }
}

fn change(change: sql::Change) -> wit::Change {
    wit::Change { rows_affected: change.rows_affected, last_insert_id: change.last_insert_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_to_what_a_query_may_give() {
        let set = |count: usize, truncated| sql::RowSet {
            columns: Vec::new(),
            rows: vec![vec![sql::Value::Null]; count],
            truncated,
        };
        assert_eq!(few(set(3, false), 3), set(3, false));
        assert_eq!(few(set(4, false), 3), set(3, true));
    }
}
