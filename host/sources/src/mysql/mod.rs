//! Connector: MySQL and MariaDB servers.
//!
//! Reads run in sessions that are read-only, in which the server itself refuses changes and schema
//! changes, and cuts a statement by its time. What such a session still allows (`INTO OUTFILE`,
//! locks, functions that wait or read files, other databases) is refused by [`crate::sql`] before.
//! Deliberately absent: a check that the account has no more rights than it needs, which the
//! operator gives it.
//!
//! What remains: a row is received whole before its values are counted. An answer's columns are
//! counted before it runs and no function makes a long text of a short one by a number, but each of
//! the 64 values may still be as long as the server's `max_allowed_packet` (16 MiB by default) or,
//! where it is stored, as long as it is. No session variable bounds a row: `max_allowed_packet` is
//! the operator's alone, and MariaDB's `max_session_mem_used` does not count what is sent.

mod error;
mod values;

use std::time::Duration;

use futures::TryStreamExt as _;
use remit_domain::{
    data::{
        Error, Refusal, Rejection,
        sql::{Change, Column, Dialect, RowSet, Value},
    },
    source::{DatabaseServer, Definition},
};
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, Row as _,
    Statement as _, mysql::MySqlConnectOptions,
};

use crate::{
    Settings,
    sql::{
        Control, Engine, Fault, Mode, Plan,
        rows::{self, Answer, Rest, Rows},
    },
};

/// A database on a MySQL or MariaDB server as a source of SQL.
pub(crate) struct Mysql {
    options: MySqlConnectOptions,
    database: String,
    statement_timeout: Duration,
    lock_timeout: Duration,
}

/// How long a connection lies idle before it is asked whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(15);
/// How long it may take to say so.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// How long a server is waited for beyond the time it was told that a statement has.
const GRACE: Duration = Duration::from_secs(2);
/// What `GROUP_CONCAT` and its like come to at most, in bytes.
const MAX_CONCATENATED: u32 = 1024 * 1024;
/// Modes that the checks of statements rely on: no `ANSI_QUOTES` and no `NO_BACKSLASH_ESCAPES`, so that
/// quotes mean what they are taken for; `||` joins texts as in other databases; values that do not
/// fit are refused, not cut.
const SQL_MODE: &str = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT";

impl Mysql {
    /// Errors: `invalid` for a definition that cannot work.
    pub(crate) fn new(definition: &Definition, server: &DatabaseServer, settings: &Settings) -> Result<Self, Error> {
        let options = options(definition, server)?
            .charset("utf8mb4")
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .disable_statement_logging();
        let Some(database) = options.get_database().filter(|name| !name.is_empty()).map(str::to_owned) else {
            return Err(Error::Invalid(format!("source `{}` names no database", definition.name)));
        };
        Ok(Self {
            options,
            database,
            statement_timeout: settings.statement_timeout,
            lock_timeout: settings.lock_timeout,
        })
    }

    /// Makes a session what its mode allows.
    async fn confine(&self, connection: &mut MySqlConnection, mode: Mode) -> Result<(), sqlx::Error> {
        let access = match mode {
            Mode::Read => "READ ONLY",
            Mode::Write => "READ WRITE",
        };
        connection.execute(AssertSqlSafe(format!("SET SESSION TRANSACTION {access}"))).await?;
        let wait = self.lock_timeout.as_secs().max(1);
        connection
            .execute(AssertSqlSafe(format!(
                "SET SESSION sql_mode = '{SQL_MODE}', SESSION innodb_lock_wait_timeout = {wait}, \
                 SESSION lock_wait_timeout = {wait}, SESSION group_concat_max_len = {MAX_CONCATENATED}"
            )))
            .await?;
        // The two servers name the limit of a statement's time differently, and count it so. MySQL's
        // holds for reads alone.
        let version: String = connection.fetch_one("SELECT VERSION()").await?.try_get(0)?;
        let limit = if version.to_ascii_lowercase().contains("mariadb") {
            format!("SET SESSION max_statement_time = {:.3}", self.statement_timeout.as_secs_f64())
        } else {
            format!("SET SESSION max_execution_time = {}", self.statement_timeout.as_millis())
        };
        connection.execute(AssertSqlSafe(limit)).await.map(drop)
    }

    /// The same limit from this side, with some grace, for a server that is gone or does not keep it.
    /// What had no effect ran out of its time; a change may have one.
    async fn within<T>(&self, run: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let late = Fault { error: rows::too_slow(self.statement_timeout), ..Fault::broken() };
        tokio::time::timeout(self.statement_timeout + GRACE, run).await.unwrap_or(Err(late))
    }

    fn fault(&self, error: &sqlx::Error) -> Fault {
        error::fault(error, self.statement_timeout, &self.database)
    }

    /// Counts the columns of what a statement answers with, before it runs. The connection keeps what
    /// is prepared here for the run.
    async fn check_columns(&self, connection: &mut MySqlConnection, plan: &Plan) -> Result<(), Fault> {
        let statement = connection.prepare(plan.text.clone()).await.map_err(|error| self.fault(&error).unsent())?;
        Ok(rows::check_columns(statement.columns().len())?)
    }

    async fn rows(
        &self,
        connection: &mut MySqlConnection,
        plan: &Plan,
        parameters: &[Value],
        rest: Rest,
    ) -> Result<Answer, Fault> {
        let arguments = values::arguments(parameters, &plan.binds)?;
        self.check_columns(connection, plan).await?;
        let mut stream = sqlx::query_with(plan.text.clone(), arguments).fetch(&mut *connection);
        let mut answer: Option<Rows> = None;
        let mut spent = false;
        while let Some(row) = stream.try_next().await.map_err(|error| self.fault(&error))? {
            let answer = match &mut answer {
                Some(answer) => answer,
                None => answer.insert(Rows::new(columns(row.columns())).map_err(unread)?),
            };
            if !answer.push(values::row(&row)).map_err(unread)? {
                spent = !rest.of(&mut stream).await.map_err(|error| self.fault(&error))?;
                break;
            }
        }
        drop(stream);
        let rows = match answer {
            Some(answer) => answer.finish(),
            // Without a row only the prepared statement, which the connection has kept, tells the columns.
            None => {
                let statement = connection.prepare(plan.text.clone()).await.map_err(|error| self.fault(&error))?;
                RowSet { columns: columns(statement.columns()), ..RowSet::default() }
            }
        };
        Ok(Answer { rows, spent })
    }
}

impl Engine for Mysql {
    type Connection = MySqlConnection;

    const DIALECT: Dialect = Dialect::Mysql;
    const MOST_WRITERS: usize = usize::MAX;

    fn schema(&self) -> Option<&str> {
        Some(&self.database)
    }

    async fn connect(&self, mode: Mode) -> Result<MySqlConnection, Error> {
        let mut connection = self.options.connect().await.map_err(|error| error::unconnected(&error))?;
        self.confine(&mut connection, mode).await.map_err(|error| error::unconnected(&error))?;
        Ok(connection)
    }

    async fn fresh(connection: &mut MySqlConnection, idle: Duration) -> bool {
        idle < ASKED_AFTER || matches!(tokio::time::timeout(ASKED_FOR, connection.ping()).await, Ok(Ok(())))
    }

    async fn query(
        &self,
        connection: &mut MySqlConnection,
        plan: &Plan,
        parameters: &[Value],
        rest: Rest,
    ) -> Result<Answer, Fault> {
        self.within(self.rows(connection, plan, parameters, rest)).await
    }

    async fn execute(
        &self,
        connection: &mut MySqlConnection,
        plan: &Plan,
        parameters: &[Value],
    ) -> Result<Change, Fault> {
        let arguments = values::arguments(parameters, &plan.binds)?;
        self.within(async {
            // What it would return is received too, before it is let go.
            self.check_columns(connection, plan).await?;
            let done = sqlx::query_with(plan.text.clone(), arguments).execute(connection).await;
            let done = done.map_err(|error| self.fault(&error))?;
            let last = i64::try_from(done.last_insert_id()).ok().filter(|id| *id != 0);
            Ok(Change { rows_affected: done.rows_affected(), last_insert_id: last })
        })
        .await
    }

    async fn control(&self, connection: &mut MySqlConnection, control: Control) -> Result<(), Fault> {
        let statement = match control {
            Control::Begin => "START TRANSACTION READ WRITE",
            Control::Commit => "COMMIT",
            Control::Rollback => "ROLLBACK",
        };
        let run = async { connection.execute(statement).await.map(drop).map_err(|error| self.fault(&error)) };
        // No statement of a guest's that took its time: the server is gone.
        tokio::time::timeout(self.statement_timeout + GRACE, run).await.unwrap_or_else(|_| Err(Fault::broken()))
    }

    async fn still_open(_connection: &mut MySqlConnection, fault: &Fault) -> bool {
        // A deadlock undoes the whole transaction, and so may a lock that was waited for in vain.
        // Failures that leave the statement alone undone are these, and no others are relied on.
        matches!(
            &fault.error,
            Error::Invalid(_)
                | Error::NotFound(_)
                | Error::Denied(_)
                | Error::Rejected(Rejection { reason: Refusal::Constraint | Refusal::Rule, .. })
        )
    }
}

fn options(definition: &Definition, server: &DatabaseServer) -> Result<MySqlConnectOptions, Error> {
    let name = &definition.name;
    let credentials = &server.credentials;
    if let Some(uri) = &credentials.uri {
        let uri = uri.expose_secret();
        let scheme = ["mysql://", "mariadb://"].iter().any(|scheme| uri.starts_with(scheme));
        return match uri.parse() {
            Ok(options) if scheme => Ok(options),
            // The cause would show the URI.
            _ => Err(Error::Invalid(format!("the `_URI` credential of source `{name}` is not a mysql:// URL"))),
        };
    }
    if server.host.is_empty() {
        return Err(Error::Invalid(format!("source `{name}` names no host")));
    }
    let missing = |which| Error::Invalid(format!("the `{which}` credential of source `{name}` is missing"));
    let user = credentials.user.as_deref().ok_or_else(|| missing("_USER"))?;
    let password = credentials.password.as_ref().ok_or_else(|| missing("_PASS"))?;
    let options = MySqlConnectOptions::new()
        .host(&server.host)
        .username(user)
        .password(password.expose_secret())
        .database(&server.database);
    Ok(match server.port {
        Some(port) => options.port(port),
        None => options,
    })
}

fn columns(columns: &[sqlx::mysql::MySqlColumn]) -> Vec<Column> {
    columns
        .iter()
        .map(|column| Column { name: column.name().to_owned(), data_type: values::type_name(column.type_info()) })
        .collect()
}

/// A failure on this side, with rows still on their way: reading them to the end could take long.
fn unread(error: Error) -> Fault {
    Fault { error, broken: true, doubtful: false }
}

#[cfg(test)]
mod tests;
