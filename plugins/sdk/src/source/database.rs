//! Relational databases: typed rows, parameters apart from the text, transactions.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use super::{Change, RowSet, Value, rows};
use crate::{Cause, Error, Pending, Refusal, Result, handles};

/// How often a transaction that lost to another one is begun again.
const ATTEMPTS: u32 = 3;

/// A database that the call was handed. Statements name their parameters `$1`, `$2`, …, whatever the
/// database's own style.
pub struct Database {
    name: Rc<str>,
    handle: handles::Database,
}

/// The SQL a database speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// One that this version of the SDK does not know, by its name.
    Other(String),
}

impl Database {
    pub(crate) fn take(grants: &handles::Grants, name: &str) -> Result<Self> {
        let handle = handles::Database::take(grants, name).map_err(|cause| Error::of_taking(name, cause))?;
        Ok(Self { name: name.into(), handle })
    }

    /// The SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        match self.handle.dialect().as_str() {
            "mysql" => Dialect::Mysql,
            "postgres" => Dialect::Postgres,
            "sqlite" => Dialect::Sqlite,
            other => Dialect::Other(other.to_owned()),
        }
    }

    /// The rows of a query, by column name. Decimals and times arrive as strings.
    pub fn rows<T: DeserializeOwned>(&self, statement: &str, parameters: &[Value]) -> Result<Vec<T>> {
        let json = self.handle.query_json(statement, parameters).map_err(|cause| failed(&self.name, cause))?;
        serde_json::from_str(&json).map_err(|error| unexpected(&self.name, &error))
    }

    /// The first row of a query, if there is one.
    pub fn row<T: DeserializeOwned>(&self, statement: &str, parameters: &[Value]) -> Result<Option<T>> {
        Ok(self.rows(statement, parameters)?.into_iter().next())
    }

    /// The rows of a query with their columns and exact values. An answer has room for so many: one that
    /// was cut says so by `truncated`, where [`Self::rows`] and its like fail.
    pub fn query(&self, statement: &str, parameters: &[Value]) -> Result<RowSet> {
        self.handle.query(statement, parameters).map_err(|cause| failed(&self.name, cause))
    }

    /// Begins a query; as [`Self::rows`] when it is collected.
    pub fn start_rows<T: DeserializeOwned + 'static>(&self, statement: &str, parameters: &[Value]) -> Pending<Vec<T>> {
        let name = Rc::clone(&self.name);
        Pending::new(self.handle.start_query(statement, parameters), handles::PendingRows::ready, move |pending| {
            let set = pending.get().and_then(rows::all).map_err(|cause| failed(&name, cause))?;
            rows::typed(&set).map_err(|error| unexpected(&name, &error))
        })
    }

    /// Runs a statement that changes data.
    pub fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Change> {
        self.handle.execute(statement, parameters).map_err(|cause| failed(&self.name, cause))
    }

    /// Begins a change; as [`Self::execute`] when it is collected. Dropping it does not undo it.
    pub fn start_execute(&self, statement: &str, parameters: &[Value]) -> Pending<Change> {
        let name = Rc::clone(&self.name);
        Pending::new(self.handle.start_execute(statement, parameters), handles::PendingChange::ready, move |pending| {
            pending.get().map_err(|cause| failed(&name, cause))
        })
    }

    /// Does some work in one transaction: all of it takes effect, or, if it fails, none.
    ///
    /// Work that lost to somebody else's transaction is begun again, twice at most: it must do nothing
    /// that the transaction does not undo.
    pub fn transaction<T>(&self, work: impl Fn(&Transaction) -> Result<T>) -> Result<T> {
        let mut attempt = 1;
        loop {
            let done = self.begin().and_then(|transaction| {
                let made = work(&transaction)?;
                transaction.commit()?;
                Ok(made)
            });
            match done {
                Err(error) if attempt < ATTEMPTS && lost(&error) => attempt += 1,
                done => return done,
            }
        }
    }

    /// Begins a transaction, at most one at a time. Dropping it without [`Transaction::commit`] undoes it.
    pub fn begin(&self) -> Result<Transaction> {
        let handle = self.handle.begin().map_err(|cause| failed(&self.name, cause))?;
        Ok(Transaction { name: Rc::clone(&self.name), handle })
    }
}

impl RowSet {
    /// The rows by column name, in the form of [`Database::rows`]. Whether there were more, `truncated` says.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        rows::typed(self).map_err(|error| Error::refused(format!("a row is not as expected: {error}")))
    }
}

/// Statements that take effect together.
pub struct Transaction {
    name: Rc<str>,
    handle: handles::Transaction,
}

impl Transaction {
    /// As [`Database::rows`], seeing the transaction's own changes.
    pub fn rows<T: DeserializeOwned>(&self, statement: &str, parameters: &[Value]) -> Result<Vec<T>> {
        let set = self.handle.query(statement, parameters).and_then(rows::all);
        rows::typed(&set.map_err(|cause| failed(&self.name, cause))?).map_err(|error| unexpected(&self.name, &error))
    }

    /// As [`Database::row`], seeing the transaction's own changes.
    pub fn row<T: DeserializeOwned>(&self, statement: &str, parameters: &[Value]) -> Result<Option<T>> {
        Ok(self.rows(statement, parameters)?.into_iter().next())
    }

    /// As [`Database::execute`].
    pub fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Change> {
        self.handle.execute(statement, parameters).map_err(|cause| failed(&self.name, cause))
    }

    /// Makes the changes lasting.
    pub fn commit(self) -> Result<()> {
        self.handle.commit().map_err(|cause| failed(&self.name, cause))
    }

    /// Undoes the changes.
    pub fn rollback(self) -> Result<()> {
        self.handle.rollback().map_err(|cause| failed(&self.name, cause))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

fn failed(name: &str, cause: Cause) -> Error {
    Error::of_source(name, cause)
}

fn unexpected(name: &str, error: &serde_json::Error) -> Error {
    Error::refused(format!("{name}: a row is not as expected: {error}"))
}

/// Whether a transaction lost to another: nothing happened, and it may succeed the next time.
fn lost(error: &Error) -> bool {
    matches!(error.cause(), Some(Cause::Rejected(rejection)) if rejection.reason == Refusal::Conflict)
}
