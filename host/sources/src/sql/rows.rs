//! The rows of an answer while they stream in, held to the contract's limits.

use remit_domain::data::{
    Error,
    sql::{Column, MAX_RESULT_BYTES, MAX_ROWS, RowSet, Value},
};

/// Rows so far.
#[derive(Debug)]
pub(crate) struct Rows {
    set: RowSet,
    bytes: usize,
}

impl Rows {
    /// None yet. Errors: `limit` if the columns' names alone are too much.
    pub(crate) fn new(columns: Vec<Column>) -> Result<Self, Error> {
        let bytes = columns.iter().map(|column| column.name.len()).sum();
        let rows = Self { set: RowSet { columns, rows: Vec::new() }, bytes };
        rows.within().map(|()| rows)
    }

    /// Takes one more row. Errors: `limit` if it is one too many, or too large.
    pub(crate) fn push(&mut self, values: Vec<Value>) -> Result<(), Error> {
        if self.set.rows.len() >= MAX_ROWS {
            return Err(Error::Limit { name: "max-rows", allowed: MAX_ROWS as u64 });
        }
        self.bytes += values.iter().map(Value::size).sum::<usize>();
        self.within()?;
        self.set.rows.push(values);
        Ok(())
    }

    /// The columns, to complete what only a row tells.
    pub(crate) fn columns(&mut self) -> &mut [Column] {
        &mut self.set.columns
    }

    /// All of them.
    pub(crate) fn finish(self) -> RowSet {
        self.set
    }

    fn within(&self) -> Result<(), Error> {
        if self.bytes > MAX_RESULT_BYTES { Err(result_too_large()) } else { Ok(()) }
    }
}

/// An answer beyond `max-result-bytes`.
pub(crate) fn result_too_large() -> Error {
    Error::Limit { name: "max-result-bytes", allowed: MAX_RESULT_BYTES as u64 }
}

/// A statement that ran out of its time.
pub(crate) fn too_slow(allowed: std::time::Duration) -> Error {
    Error::Limit { name: "max-statement-ms", allowed: u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX) }
}
