//! Port: relational databases, as `remit:data/sql` states them.

use async_trait::async_trait;

use super::Error;
use crate::grant::{Reading, Writing};

/// The most bytes a statement may have (`max-statement-bytes`). Parsing more than this can overflow
/// a parser's stack: `1+1+…` of 200 KB did, 60 KB did not.
pub const MAX_STATEMENT_BYTES: usize = 32 * 1024;
/// The most parameters a statement may have (`max-parameters`).
pub const MAX_PARAMETERS: usize = 1_000;
/// The most rows an answer may have (`max-rows`); one with more is cut.
pub const MAX_ROWS: usize = 10_000;
/// The most bytes of values and column names an answer may have (`max-result-bytes`); one with more is cut.
pub const MAX_RESULT_BYTES: usize = 4 * 1024 * 1024;

/// A value of a column or parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// True or false.
    Boolean(bool),
    /// Any integer of up to 64 bits.
    Integer(i64),
    /// A binary floating-point number.
    Real(f64),
    /// An exact number in decimal digits.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// `2026-11-23`.
    Date(String),
    /// `13:45:00.5`.
    Time(String),
    /// RFC 3339, or without zone if the column has none.
    Timestamp(String),
    /// Hyphenated.
    Uuid(String),
    /// A JSON document as text.
    Json(String),
}

impl Value {
    /// What it counts for against [`MAX_RESULT_BYTES`]: its own bytes, and what any value takes in memory.
    pub fn size(&self) -> usize {
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

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Not necessarily unique.
    pub name: String,
    /// The database's own name for its type, in lower case.
    pub data_type: String,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet {
    /// In the order of each row's values.
    pub columns: Vec<Column>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
    /// Whether rows were left out, because an answer has no room for them.
    pub truncated: bool,
}

/// What a statement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Rows inserted, updated or deleted.
    pub rows_affected: u64,
    /// The key made for the last inserted row, where the database reports one.
    pub last_insert_id: Option<i64>,
}

/// The SQL a database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
    /// Google BigQuery's.
    BigQuery,
}

impl Dialect {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::BigQuery => "bigquery",
        }
    }
}

/// One database.
#[async_trait]
pub trait Database: Send + Sync {
    /// The SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a single reading statement.
    ///
    /// Errors: `denied` if it is anything else; `invalid` for bad syntax or parameters; `not-found`
    /// for an unknown table or column; `limit`; `throttled`, `unavailable`, `cancelled`. More rows than
    /// an answer has room for are no error: it is cut after a whole row and says so. A first row that
    /// alone is too large is `limit` (`max-result-bytes`).
    /// Cancel: dropping the future gives the query up.
    async fn query(&self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error>;

    /// Runs a single statement that changes data.
    ///
    /// Errors: as [`Self::query`]; `rejected` for a constraint or conflict; `uncertain` if the
    /// connection broke after sending. Cancel: what was sent may take effect.
    async fn execute(&self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error>;

    /// Begins a transaction. Errors: `unavailable`; `invalid` where the database has none.
    async fn begin(&self, access: Writing<'_>) -> Result<Box<dyn Transaction>, Error>;
}

/// Statements that take effect together; dropped without `commit`, none does.
#[async_trait]
pub trait Transaction: Send {
    /// As [`Database::query`], seeing the transaction's own changes.
    async fn query(&mut self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error>;

    /// As [`Database::execute`].
    async fn execute(&mut self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error>;

    /// Makes the changes lasting. Errors: `rejected` (`conflict`); `uncertain`.
    async fn commit(self: Box<Self>, access: Writing<'_>) -> Result<(), Error>;

    /// Undoes the changes.
    async fn rollback(self: Box<Self>) -> Result<(), Error>;
}
