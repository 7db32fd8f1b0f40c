//! A database that answers statements by what they contain.

use std::{cell::RefCell, fmt, rc::Rc};

use serde_json::Value as Json;

use super::handles::Handle;
use crate::{
    Cause, LimitReached,
    source::{Change, Column, RowSet, Value},
};

type Rows = Rc<dyn Fn(&[Value]) -> Result<Json, Cause>>;
type Changes = Rc<dyn Fn(&[Value]) -> Result<Change, Cause>>;

/// A database in memory. A statement is answered by the first of the prepared answers whose fragment it
/// contains, whatever its case and spacing; one that none fits is `invalid`. Clones are the same database.
#[derive(Clone)]
pub struct FakeDatabase(Rc<Inner>);

struct Inner {
    dialect: &'static str,
    rows: RefCell<Vec<(String, Rows)>>,
    changes: RefCell<Vec<(String, Changes)>>,
    commits: RefCell<Vec<Cause>>,
    statements: RefCell<Vec<Statement>>,
    transactions: RefCell<Vec<Ended>>,
}

/// A statement that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What its parameters stood for.
    pub parameters: Vec<Value>,
    /// Whether it ran in a transaction.
    pub in_transaction: bool,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its changes last.
    Committed,
    /// Its changes were undone: by `rollback`, by dropping it, or since the commit failed.
    Undone,
}

impl FakeDatabase {
    /// One that says it speaks SQLite's SQL.
    pub fn sqlite() -> Self {
        Self::speaking("sqlite")
    }

    /// One that says it speaks MySQL's SQL.
    pub fn mysql() -> Self {
        Self::speaking("mysql")
    }

    /// One that says it speaks PostgreSQL's SQL.
    pub fn postgres() -> Self {
        Self::speaking("postgres")
    }

    /// Answers queries that contain the fragment with these rows: a JSON array of objects.
    #[must_use]
    pub fn rows(self, fragment: &str, rows: Json) -> Self {
        self.rows_by(fragment, move |_| Ok(rows.clone()))
    }

    /// Answers queries that contain the fragment by their parameters.
    #[must_use]
    pub fn rows_by(self, fragment: &str, answer: impl Fn(&[Value]) -> Result<Json, Cause> + 'static) -> Self {
        self.0.rows.borrow_mut().push((plain(fragment), Rc::new(answer)));
        self
    }

    /// Answers changes that contain the fragment with the number of rows changed.
    #[must_use]
    pub fn change(self, fragment: &str, rows_affected: u64) -> Self {
        self.change_by(fragment, move |_| Ok(Change { rows_affected, last_insert_id: None }))
    }

    /// Answers changes that contain the fragment by their parameters.
    #[must_use]
    pub fn change_by(self, fragment: &str, answer: impl Fn(&[Value]) -> Result<Change, Cause> + 'static) -> Self {
        self.0.changes.borrow_mut().push((plain(fragment), Rc::new(answer)));
        self
    }

    /// Fails statements of either kind that contain the fragment.
    #[must_use]
    pub fn fails(self, fragment: &str, cause: Cause) -> Self {
        let again = cause.clone();
        self.rows_by(fragment, move |_| Err(cause.clone())).change_by(fragment, move |_| Err(again.clone()))
    }

    /// Fails the next commit; said twice, the next two.
    #[must_use]
    pub fn fails_commit(self, cause: Cause) -> Self {
        self.0.commits.borrow_mut().push(cause);
        self
    }

    /// What was asked so far, in order.
    pub fn statements(&self) -> Vec<Statement> {
        self.0.statements.borrow().clone()
    }

    /// The transactions that ended so far, in order.
    pub fn transactions(&self) -> Vec<Ended> {
        self.0.transactions.borrow().clone()
    }

    fn speaking(dialect: &'static str) -> Self {
        Self(Rc::new(Inner {
            dialect,
            rows: RefCell::default(),
            changes: RefCell::default(),
            commits: RefCell::default(),
            statements: RefCell::default(),
            transactions: RefCell::default(),
        }))
    }

    fn query(&self, statement: &str, parameters: &[Value], in_transaction: bool) -> Result<Json, Cause> {
        self.note(statement, parameters, in_transaction);
        let answer = fitting(&self.0.rows.borrow(), statement);
        answer.ok_or_else(|| unprepared(statement))?(parameters)
    }

    fn execute(&self, statement: &str, parameters: &[Value], in_transaction: bool) -> Result<Change, Cause> {
        self.note(statement, parameters, in_transaction);
        let answer = fitting(&self.0.changes.borrow(), statement);
        answer.ok_or_else(|| unprepared(statement))?(parameters)
    }

    fn note(&self, statement: &str, parameters: &[Value], in_transaction: bool) {
        self.0.statements.borrow_mut().push(Statement {
            text: statement.to_owned(),
            parameters: parameters.to_vec(),
            in_transaction,
        });
    }
}

impl fmt::Debug for FakeDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDatabase").field("dialect", &self.0.dialect).finish_non_exhaustive()
    }
}

impl Handle<FakeDatabase> {
    pub(crate) fn dialect(&self) -> String {
        self.fake.0.dialect.to_owned()
    }

    pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<RowSet, Cause> {
        self.fake.query(statement, parameters, false).map(|rows| row_set(&rows))
    }

    pub(crate) fn query_json(&self, statement: &str, parameters: &[Value]) -> Result<String, Cause> {
        let rows = self.fake.query(statement, parameters, false)?;
        if rows.as_array().is_some_and(|rows| rows.len() > MAX_ROWS) {
            return Err(Cause::Limit(LimitReached { name: "max-rows".to_owned(), allowed: MAX_ROWS as u64 }));
        }
        Ok(rows.to_string())
    }

    pub(crate) fn start_query(&self, statement: &str, parameters: &[Value]) -> PendingRows {
        PendingRows(self.query(statement, parameters))
    }

    pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Change, Cause> {
        self.for_writing()?.execute(statement, parameters, false)
    }

    pub(crate) fn start_execute(&self, statement: &str, parameters: &[Value]) -> PendingChange {
        PendingChange(self.execute(statement, parameters))
    }

    pub(crate) fn begin(&self) -> Result<Transaction, Cause> {
        Ok(Transaction { fake: self.for_writing()?.clone(), ended: false.into() })
    }
}

pub(crate) struct PendingRows(Result<RowSet, Cause>);

impl PendingRows {
    pub(crate) fn ready(&self) -> bool {
        true
    }

    pub(crate) fn get(&self) -> Result<RowSet, Cause> {
        self.0.clone()
    }
}

pub(crate) struct PendingChange(Result<Change, Cause>);

impl PendingChange {
    pub(crate) fn ready(&self) -> bool {
        true
    }

    pub(crate) fn get(&self) -> Result<Change, Cause> {
        self.0.clone()
    }
}

pub(crate) struct Transaction {
    fake: FakeDatabase,
    ended: std::cell::Cell<bool>,
}

impl Transaction {
    pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<RowSet, Cause> {
        self.fake.query(statement, parameters, true).map(|rows| row_set(&rows))
    }

    pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Change, Cause> {
        self.fake.execute(statement, parameters, true)
    }

    pub(crate) fn commit(&self) -> Result<(), Cause> {
        let failure = {
            let mut commits = self.fake.0.commits.borrow_mut();
            if commits.is_empty() { None } else { Some(commits.remove(0)) }
        };
        self.end(if failure.is_some() { Ended::Undone } else { Ended::Committed });
        failure.map_or(Ok(()), Err)
    }

    pub(crate) fn rollback(&self) -> Result<(), Cause> {
        self.end(Ended::Undone);
        Ok(())
    }

    fn end(&self, how: Ended) {
        if !self.ended.replace(true) {
            self.fake.0.transactions.borrow_mut().push(how);
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.end(Ended::Undone);
    }
}

fn fitting<T: Clone>(answers: &[(String, T)], statement: &str) -> Option<T> {
    let statement = plain(statement);
    answers.iter().find(|(fragment, _)| statement.contains(fragment)).map(|(_, answer)| answer.clone())
}

fn unprepared(statement: &str) -> Cause {
    Cause::Invalid(format!("the fake database has no answer for: {statement}"))
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What an answer has room for, as at the host.
const MAX_ROWS: usize = 10_000;

fn row_set(rows: &Json) -> RowSet {
    let rows: Vec<_> = rows.as_array().into_iter().flatten().filter_map(Json::as_object).collect();
    let columns = rows.first().into_iter().flat_map(|row| row.keys());
    RowSet {
        columns: columns.map(|name| Column { name: name.clone(), data_type: String::new() }).collect(),
        rows: rows.iter().take(MAX_ROWS).map(|row| row.values().map(value).collect()).collect(),
        truncated: rows.len() > MAX_ROWS,
    }
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Boolean(*it),
        Json::Number(it) => match it.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Real(it.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(it) => Value::Text(it.clone()),
        other => Value::Json(other.to_string()),
    }
}
