//! Connector: SQLite files.
//!
//! Reads run on connections that are read-only, that an authorizer holds to reading main's tables by
//! listed functions, and that a progress handler stops in time; each of the three was seen to be
//! needed. Changes run on one connection of their own, under an authorizer too, in a file that grows
//! to a size and no further. Deliberately absent: creating the file and its schema, which belong to
//! the operator.
//!
//! What remains: a row is held whole before its values are counted, in SQLite and again in sqlx, so
//! that one takes up to 64 MiB in each; sorting spills into temporary files, for as long as a
//! statement may run; and the log beside the file grows while readers keep it from being taken in.

mod declared;
pub(crate) mod error;
mod raw;
mod script;
mod values;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::TryStreamExt as _;
use moka::future::Cache;
use remit_domain::data::{
    Error,
    sql::{Change, Column, Dialect, RowSet, Value},
};
use sqlx::{
    AssertSqlSafe, Column as _, ColumnOrigin, ConnectOptions as _, Executor as _, Row as _, SqliteConnection,
    Statement as _,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

pub use self::script::make_sqlite;
use self::{declared::Declared, watch::Watch};
use crate::{
    Settings,
    sql::{
        Control, Engine, Fault, Mode, Plan,
        rows::{Answer, Rest, Rows, check_columns},
    },
};

/// A SQLite file as a source of SQL.
pub(crate) struct Sqlite {
    path: PathBuf,
    limits: Limits,
    lock_timeout: Duration,
    shapes: Cache<Arc<str>, Arc<Shape>>,
}

/// What a statement may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long.
    pub(crate) time: Duration,
    /// How large the file may become.
    pub(crate) file_bytes: u64,
}

impl Limits {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { time: settings.statement_timeout, file_bytes: settings.database_bytes }
    }
}

/// One connection, with what stops its statements.
pub(crate) struct Link {
    connection: SqliteConnection,
    watch: Arc<Watch>,
}

/// The columns of a statement's answer.
struct Shape {
    columns: Vec<Column>,
    declared: Vec<Declared>,
}

/// How often a running statement is asked whether to go on: some ten microseconds of work.
const STEPS_BETWEEN_CHECKS: i32 = 2_000;
/// How many rows the connection's thread may be ahead. Each may take a value's limit times the columns'.
const ROWS_AHEAD: usize = 1;
/// How long the declared types of a statement's columns are kept, should somebody alter the table.
const SHAPE_KEPT: Duration = Duration::from_secs(60);
const MAX_SHAPES: u64 = 1_000;

impl Sqlite {
    pub(crate) fn new(path: &Path, settings: &Settings) -> Self {
        Self {
            path: path.to_owned(),
            limits: Limits::of(settings),
            lock_timeout: settings.lock_timeout,
            shapes: Cache::builder().max_capacity(MAX_SHAPES).time_to_live(SHAPE_KEPT).build(),
        }
    }

    fn options(&self, mode: Mode) -> SqliteConnectOptions {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.lock_timeout)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        match mode {
            Mode::Read => options.read_only(true),
            // In this mode readers and the writer do not wait for each other. Synchronised so, what
            // was committed survives the end of the process; a power cut may take the last of it.
            Mode::Write => options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal),
        }
    }

    async fn shape(&self, connection: &mut SqliteConnection, plan: &Plan) -> Result<Arc<Shape>, sqlx::Error> {
        if let Some(shape) = self.shapes.get(plan.text.as_str()).await {
            return Ok(shape);
        }
        let statement = connection.prepare(plan.text.clone()).await?;
        let mut handle = connection.lock_handle().await?;
        let (mut columns, mut declared) = (Vec::new(), Vec::new());
        for column in statement.columns() {
            let declaration = match column.origin() {
                ColumnOrigin::Table(origin) => raw::declared_type(&mut handle, &origin.table, &origin.name),
                _ => None,
            };
            let (data_type, meaning) = declared::read(declaration.as_deref().unwrap_or_default());
            columns.push(Column { name: column.name().to_owned(), data_type });
            declared.push(meaning);
        }
        let shape = Arc::new(Shape { columns, declared });
        self.shapes.insert(plan.text.as_str().into(), shape.clone()).await;
        Ok(shape)
    }

    async fn rows(&self, link: &mut Link, plan: &Plan, parameters: &[Value]) -> Result<RowSet, Fault> {
        let fault = |error| error::fault(error, self.limits);
        let shape = self.shape(&mut link.connection, plan).await.map_err(fault)?;
        check_columns(shape.columns.len())?;
        let arguments = values::arguments(parameters, &plan.binds)?;
        let mut stream = sqlx::query_with(plan.text.clone(), arguments).fetch(&mut link.connection);
        let mut rows = Rows::new(shape.columns.clone()).map_err(unread)?;
        let mut first = true;
        while let Some(row) = stream.try_next().await.map_err(fault)? {
            if first {
                if row.columns().len() != shape.columns.len() {
                    self.shapes.invalidate(plan.text.as_str()).await;
                    return Err(unread(Error::unavailable("the table is being altered")));
                }
                for (at, column) in rows.columns().iter_mut().enumerate() {
                    if column.data_type.is_empty() {
                        column.data_type = values::class(&row, at);
                    }
                }
                first = false;
            }
            if !rows.push(values::row(&row, &shape.declared)).map_err(unread)? {
                break;
            }
        }
        Ok(rows.finish())
    }
}

impl Engine for Sqlite {
    type Connection = Link;

    const DIALECT: Dialect = Dialect::Sqlite;
    // SQLite lets one connection write at a time; here the others wait in order of arrival.
    const MOST_WRITERS: usize = 1;

    fn schema(&self) -> Option<&str> {
        Some("main")
    }

    async fn connect(&self, mode: Mode) -> Result<Link, Error> {
        if !tokio::fs::try_exists(&self.path).await.unwrap_or(false) {
            return Err(Error::unavailable("the database's file does not exist"));
        }
        let mut connection = self.options(mode).connect().await.map_err(|error| error::unopened(&error))?;
        if mode == Mode::Write {
            cap(&mut connection, self.limits.file_bytes).await.map_err(|error| error::unopened(&error))?;
        }
        let watch = Watch::new();
        let mut handle = connection.lock_handle().await.map_err(|error| error::unopened(&error))?;
        raw::confine(&mut handle, mode).map_err(|code| {
            tracing::error!(code, "a SQLite connection could not be confined");
            Error::unavailable("the database could not be opened safely")
        })?;
        let asked = watch.clone();
        handle.set_progress_handler(STEPS_BETWEEN_CHECKS, move || asked.go_on());
        drop(handle);
        Ok(Link { connection, watch })
    }

    async fn fresh(_link: &mut Link, _idle: Duration) -> bool {
        true
    }

    async fn query(&self, link: &mut Link, plan: &Plan, parameters: &[Value], _rest: Rest) -> Result<Answer, Fault> {
        let running = link.watch.begin(self.limits.time);
        let result = self.rows(link, plan, parameters).await;
        // A statement with rows still to come goes on until it is stopped.
        match &result {
            Ok(rows) if rows.truncated => {
                drop(running);
                // The handle is free once the connection's thread has noticed.
                drop(link.connection.lock_handle().await);
                link.watch.begin(self.limits.time).ended();
            }
            Err(fault) if fault.broken => drop(running),
            _ => running.ended(),
        }
        result.map(|rows| Answer { rows, spent: false })
    }

    async fn execute(&self, link: &mut Link, plan: &Plan, parameters: &[Value]) -> Result<Change, Fault> {
        let arguments = values::arguments(parameters, &plan.binds)?;
        // What it would return is held too, before it is let go.
        let shape = self.shape(&mut link.connection, plan).await;
        check_columns(shape.map_err(|error| error::fault(error, self.limits))?.columns.len())?;
        let running = link.watch.begin(self.limits.time);
        let result = sqlx::query_with(plan.text.clone(), arguments).execute(&mut link.connection).await;
        running.ended();
        let done = result.map_err(|error| error::fault(error, self.limits))?;
        let last = done.last_insert_rowid();
        Ok(Change { rows_affected: done.rows_affected(), last_insert_id: (last != 0).then_some(last) })
    }

    async fn control(&self, link: &mut Link, control: Control) -> Result<(), Fault> {
        let statement = match control {
            // At once for writing: a transaction that reads first and writes later could not wait.
            Control::Begin => "BEGIN IMMEDIATE",
            Control::Commit => "COMMIT",
            Control::Rollback => "ROLLBACK",
        };
        let done = link.connection.execute(statement).await;
        done.map(drop).map_err(|error| error::fault(error, self.limits))
    }

    async fn still_open(link: &mut Link, _fault: &Fault) -> bool {
        match link.connection.lock_handle().await {
            Ok(mut handle) => raw::in_transaction(&mut handle),
            Err(_) => false,
        }
    }
}

/// Lets a file grow to a size. One that is larger already stays as it is.
pub(crate) async fn cap(connection: &mut SqliteConnection, bytes: u64) -> Result<(), sqlx::Error> {
    let page: i64 = connection.fetch_one("PRAGMA page_size").await?.try_get(0)?;
    // The most pages that SQLite counts.
    let most = (bytes / page.unsigned_abs().max(512)).clamp(1, 4_294_967_294);
    connection.execute(AssertSqlSafe(format!("PRAGMA max_page_count = {most}"))).await.map(drop)
}

/// A failure on this side, with rows still on their way.
fn unread(error: Error) -> Fault {
    Fault { error, broken: true, doubtful: false }
}

#[cfg(test)]
mod tests;
