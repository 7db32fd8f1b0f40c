//! The rows of an answer while they stream in, held to the contract's limits: a full answer is cut
//! after a whole row.

use std::time::Duration;

use futures::{Stream, TryStreamExt as _};
use remit_domain::data::{
    Error,
    sql::{Column, MAX_RESULT_BYTES, MAX_ROWS, RowSet, Value},
};

/// The most columns of an answer. A row is held whole before its values can be counted, so that this
/// times the engine's longest value is what one row can take.
const MAX_COLUMNS: usize = 64;

/// How long rows that have no room are read, so that their connection can be used again.
const BRIEFLY: Duration = Duration::from_millis(100);

/// An answer, and what has become of its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The rows.
    pub(crate) rows: RowSet,
    /// Whether the connection can't be used any more: rows are still to come on it.
    pub(crate) spent: bool,
}

/// What is done about the rows that a full answer has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are read for a moment; a connection on which there are more after that is closed.
    Leave,
    /// They are read, for as long as the statement may run: the connection holds a transaction.
    Read,
}

impl Rest {
    /// Reads what is left. Says whether there is nothing more. Errors: the stream's, if all is read.
    pub(crate) async fn of<T, E>(self, stream: &mut (impl Stream<Item = Result<T, E>> + Unpin)) -> Result<bool, E> {
        let all = async {
            while stream.try_next().await?.is_some() {}
            Ok(true)
        };
        match self {
            Self::Leave => Ok(matches!(tokio::time::timeout(BRIEFLY, all).await, Ok(Ok::<_, E>(_)))),
            Self::Read => all.await,
        }
    }
}

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
        let rows = Self { set: RowSet { columns, ..RowSet::default() }, bytes };
        rows.within().map(|()| rows)
    }

    /// Takes one more row, value by value, so that no more is copied than an answer may have. Says
    /// whether there was room for it; if not, the answer is cut here.
    ///
    /// Errors: `limit` if it is the first row and too large; whatever a value's reading says.
    pub(crate) fn push(&mut self, values: impl Iterator<Item = Result<Value, Error>>) -> Result<bool, Error> {
        if self.set.rows.len() >= MAX_ROWS {
            self.set.truncated = true;
            return Ok(false);
        }
        let mut row = Vec::with_capacity(self.set.columns.len());
        for value in values {
            let value = value?;
            self.bytes += value.size();
            if self.within().is_err() {
                return self.cut().map(|()| false);
            }
            row.push(value);
        }
        self.set.rows.push(row);
        Ok(true)
    }

    /// Cuts the answer after the rows so far: there is no room for what comes. Errors: `limit` if that is
    /// the first row.
    pub(crate) fn cut(&mut self) -> Result<(), Error> {
        self.set.truncated = !self.set.rows.is_empty();
        if self.set.truncated { Ok(()) } else { Err(result_too_large()) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.set.rows.len()
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

/// Holds a statement to as many columns as an answer may have, before it runs. Errors: `invalid`.
pub(crate) fn check_columns(count: usize) -> Result<(), Error> {
    if count > MAX_COLUMNS {
        return Err(Error::Invalid(format!("an answer has at most {MAX_COLUMNS} columns: name those that are needed")));
    }
    Ok(())
}

/// An answer beyond `max-result-bytes`.
pub(crate) fn result_too_large() -> Error {
    Error::Limit { name: "max-result-bytes", allowed: MAX_RESULT_BYTES as u64 }
}

/// A statement that ran out of its time.
pub(crate) fn too_slow(allowed: Duration) -> Error {
    Error::Limit { name: "max-statement-ms", allowed: u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_given_up_at_the_value_that_is_too_much() {
        let mut rows = Rows::new(Vec::new()).unwrap_or_else(|error| unreachable!("{error}"));
        let mut read = 0;
        let values = (0..200).map(|_| {
            read += 1;
            Ok(Value::Blob(vec![0; 1024 * 1024]))
        });
        assert_eq!(rows.push(values), Err(result_too_large()));
        assert_eq!(read, 4, "four with what each takes beside its bytes are over 4 MiB");
        // After a row that has room the answer is cut there.
        let mut rows = Rows::new(Vec::new()).unwrap_or_else(|error| unreachable!("{error}"));
        assert_eq!(rows.push([Ok(Value::Integer(1))].into_iter()), Ok(true));
        assert_eq!(rows.push((0..4).map(|_| Ok(Value::Blob(vec![0; 1024 * 1024])))), Ok(false));
        let set = rows.finish();
        assert_eq!((set.rows, set.truncated), (vec![vec![Value::Integer(1)]], true));
        assert_eq!(check_columns(64), Ok(()));
        assert_eq!(check_columns(65).map_err(|error| error.case()), Err("invalid"));
    }
}
