//! Connector: PostgreSQL servers.
//!
//! Reads run in sessions that are read-only by default and, each, in a transaction that is read-only
//! and has begun to read, so that nothing inside can make it another; the server cuts a statement by
//! its time. What such a transaction still allows (functions that read files, wait, or lock by a
//! number; the catalogue) is refused by [`crate::sql`] before. A statement in a guest's transaction
//! has a savepoint before it, since a failure would undo the whole otherwise. Deliberately absent: a
//! check that the account has no more rights than it needs, which the operator gives it; and schemas
//! other than `public`.
//!
//! A statement that is given up has its connection closed. The server notices within a second where
//! it looks after its clients (version 14, on Linux), else when the statement's time is up.
//!
//! What remains: a row is received whole before its values are counted, and takes up to 1 GiB, which
//! is the server's own bound. Functions, operators and casts that the operator's schema adds under
//! the names of admitted ones run as they are.

mod array;
mod error;
mod numeric;
mod parameters;
mod values;

use std::time::Duration;

use futures::TryStreamExt as _;
use remit_domain::{
    data::{
        Error, Refusal, Rejection,
        sql::{Change, Column, Dialect, Value},
    },
    source::{DatabaseServer, Definition},
};
use secrecy::ExposeSecret as _;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Either, Executor as _, PgConnection, Row as _,
    SqlSafeStr as _, SqlStr, Statement as _,
    postgres::{PgArguments, PgConnectOptions, PgSslMode, PgStatement},
};
use url::Url;

use crate::{
    Settings,
    sql::{
        Control, Engine, Fault, Mode, Plan,
        rows::{self, Answer, Rest, Rows},
    },
};

/// A database on a PostgreSQL server as a source of SQL.
pub(crate) struct Postgres {
    options: PgConnectOptions,
    statement_timeout: Duration,
    lock_timeout: Duration,
}

/// One connection.
pub(crate) struct Link {
    connection: PgConnection,
    /// Whether a guest's transaction is open on it.
    in_transaction: bool,
}

/// A statement as the server understood it.
struct Prepared {
    text: SqlStr,
    statement: PgStatement,
    arguments: PgArguments,
}

/// Where tables are. Whatever is searched, the server looks into its catalogue before.
const SCHEMA: &str = "public";
const DEFAULT_PORT: u16 = 5432;
/// How many statements a connection keeps prepared.
const PREPARED: usize = 100;
/// How long a connection lies idle before it is asked whether it still works.
const ASKED_AFTER: Duration = Duration::from_secs(15);
/// How long it may take to say so.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// How long a server is waited for beyond the time it was told that a statement has.
const GRACE: Duration = Duration::from_secs(2);
/// How long a guest may do nothing between the statements of a transaction. More than a call has.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

impl Postgres {
    /// Errors: `invalid` for a definition that cannot work.
    pub(crate) fn new(definition: &Definition, server: &DatabaseServer, settings: &Settings) -> Result<Self, Error> {
        let options = options(definition, server)?
            .application_name("remit")
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging();
        if options.get_database().is_none_or(str::is_empty) {
            return Err(Error::Invalid(format!("source `{}` names no database", definition.name)));
        }
        Ok(Self { options, statement_timeout: settings.statement_timeout, lock_timeout: settings.lock_timeout })
    }

    /// Makes a session what its mode allows, and quotes and times what they are taken for.
    async fn confine(&self, connection: &mut PgConnection, mode: Mode) -> Result<(), sqlx::Error> {
        let read_only = if mode == Mode::Read { "on" } else { "off" };
        let (statement, lock) = (self.statement_timeout.as_millis().max(1), self.lock_timeout.as_millis().max(1));
        let idle = IDLE_IN_TRANSACTION.as_millis();
        let settings = format!(
            "SET default_transaction_read_only = {read_only}; SET statement_timeout = {statement}; \
             SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {idle}; \
             SET search_path = {SCHEMA}, pg_temp; SET standard_conforming_strings = on; \
             SET TimeZone = 'UTC'"
        );
        connection.execute(AssertSqlSafe(settings)).await?;
        // Not every version and system has it.
        let notice = "SELECT set_config(name, '1000', false) FROM pg_settings \
                      WHERE name = 'client_connection_check_interval'";
        match connection.execute(notice).await {
            Err(error) if error.as_database_error().is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// The server's limit of a statement's time from this side, with some grace. What had no effect
    /// ran out of its time; a change may have one.
    async fn within<T>(&self, run: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let late = Fault { error: rows::too_slow(self.statement_timeout), ..Fault::broken() };
        tokio::time::timeout(self.statement_timeout + GRACE, run).await.unwrap_or(Err(late))
    }

    fn fault(&self, error: &sqlx::Error) -> Fault {
        error::fault(error, self.statement_timeout)
    }

    /// Runs one of the host's own few commands.
    async fn command(&self, link: &mut Link, command: &'static str) -> Result<(), Fault> {
        link.connection.execute(command).await.map(drop).map_err(|error| self.fault(&error))
    }

    /// Has the server read a statement, and the parameters in the types that it takes them for. Where
    /// it can't tell, or takes a value for another kind of thing than it is, the value says its type,
    /// as a literal in its place would.
    async fn prepare(&self, link: &mut Link, plan: &Plan, values: &[Value]) -> Result<Prepared, Fault> {
        let text = plan.text.clone();
        let types = match link.connection.prepare(text.clone()).await {
            Ok(statement) => {
                let types = parameters::types(&statement);
                if let Some(arguments) = parameters::arguments(values, &types)? {
                    return Ok(Prepared { text, statement, arguments });
                }
                Some(types)
            }
            Err(error) if error::lacks_types(&error) && !values.is_empty() => {
                self.undo_one(link).await?;
                None
            }
            Err(error) => return Err(self.fault(&error).unsent()),
        };
        let declared = parameters::declared(values, types.as_deref());
        // The connection keeps what it has prepared by its text: other types are another statement.
        let text =
            AssertSqlSafe(format!("{} /* {} */", text.as_str(), parameters::signature(&declared))).into_sql_str();
        let statement = link.connection.prepare_with(text.clone(), &declared).await;
        let statement = statement.map_err(|error| self.fault(&error).unsent())?;
        match parameters::arguments(values, &parameters::types(&statement))? {
            Some(arguments) => Ok(Prepared { text, statement, arguments }),
            None => Err(Error::Invalid("a parameter is of another type than its place takes".to_owned()).into()),
        }
    }

    async fn rows(&self, link: &mut Link, plan: &Plan, values: &[Value], rest: Rest) -> Result<Answer, Fault> {
        let Prepared { text, statement, arguments } = self.prepare(link, plan, values).await?;
        rows::check_columns(statement.columns().len())?;
        let own = !link.in_transaction;
        if own {
            self.command(link, "BEGIN READ ONLY; SELECT 1").await?;
        }
        let result = self.stream(link, &statement, text, arguments, rest).await;
        let usable = !matches!(&result, Ok(Answer { spent: true, .. }) | Err(Fault { broken: true, .. }));
        if own && usable {
            self.command(link, "ROLLBACK").await.map_err(|fault| Fault { broken: true, ..fault })?;
        }
        result
    }

    async fn stream(
        &self,
        link: &mut Link,
        statement: &PgStatement,
        text: SqlStr,
        arguments: PgArguments,
        rest: Rest,
    ) -> Result<Answer, Fault> {
        let mut answer = Rows::new(columns(statement)).map_err(unread)?;
        let mut stream = sqlx::query_with(text, arguments).fetch(&mut link.connection);
        let mut spent = false;
        while let Some(row) = stream.try_next().await.map_err(|error| self.fault(&error))? {
            if !answer.push(values::row(&row)).map_err(unread)? {
                spent = !rest.of(&mut stream).await.map_err(|error| self.fault(&error))?;
                break;
            }
        }
        Ok(Answer { rows: answer.finish(), spent })
    }

    async fn change(&self, link: &mut Link, plan: &Plan, values: &[Value]) -> Result<Change, Fault> {
        let Prepared { text, statement, arguments } = self.prepare(link, plan, values).await?;
        // What it would return is received too, before it is let go.
        rows::check_columns(statement.columns().len())?;
        let inserts = text.as_str().trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert"));
        let mut stream = link.connection.fetch_many(sqlx::query_with(text, arguments));
        let mut change = Change { rows_affected: 0, last_insert_id: None };
        while let Some(step) = stream.try_next().await.map_err(|error| self.fault(&error))? {
            match step {
                Either::Left(done) => change.rows_affected += done.rows_affected(),
                // The server makes keys known by `RETURNING` alone.
                Either::Right(row) if inserts && row.len() == 1 => {
                    if let Some(Ok(Value::Integer(key))) = values::row(&row).next() {
                        change.last_insert_id = Some(key);
                    }
                }
                Either::Right(_) => {}
            }
        }
        Ok(change)
    }

    /// In a guest's transaction: what comes next is undone alone, if it fails.
    async fn settle(&self, link: &mut Link) -> Result<(), Fault> {
        if !link.in_transaction {
            return Ok(());
        }
        let kept = self.command(link, "RELEASE SAVEPOINT remit; SAVEPOINT remit").await;
        kept.map_err(|fault| Fault { broken: true, ..fault })
    }

    /// In a guest's transaction: undoes the statement that failed.
    async fn undo_one(&self, link: &mut Link) -> Result<(), Fault> {
        if !link.in_transaction {
            return Ok(());
        }
        self.command(link, "ROLLBACK TO SAVEPOINT remit").await.map_err(|fault| Fault { broken: true, ..fault })
    }
}

impl Engine for Postgres {
    type Connection = Link;

    const DIALECT: Dialect = Dialect::Postgres;
    const MOST_WRITERS: usize = usize::MAX;

    fn schema(&self) -> Option<&str> {
        Some(SCHEMA)
    }

    async fn connect(&self, mode: Mode) -> Result<Link, Error> {
        let mut connection = self.options.connect().await.map_err(|error| error::unconnected(&error))?;
        self.confine(&mut connection, mode).await.map_err(|error| error::unconnected(&error))?;
        Ok(Link { connection, in_transaction: false })
    }

    async fn fresh(link: &mut Link, idle: Duration) -> bool {
        idle < ASKED_AFTER || matches!(tokio::time::timeout(ASKED_FOR, link.connection.ping()).await, Ok(Ok(())))
    }

    async fn query(&self, link: &mut Link, plan: &Plan, parameters: &[Value], rest: Rest) -> Result<Answer, Fault> {
        self.within(async {
            let answer = self.rows(link, plan, parameters, rest).await?;
            self.settle(link).await?;
            Ok(answer)
        })
        .await
    }

    async fn execute(&self, link: &mut Link, plan: &Plan, parameters: &[Value]) -> Result<Change, Fault> {
        self.within(async {
            let change = self.change(link, plan, parameters).await?;
            self.settle(link).await?;
            Ok(change)
        })
        .await
    }

    async fn control(&self, link: &mut Link, control: Control) -> Result<(), Fault> {
        let command = match control {
            Control::Begin => "BEGIN READ WRITE; SAVEPOINT remit",
            Control::Commit => "COMMIT",
            Control::Rollback => "ROLLBACK",
        };
        link.in_transaction = control == Control::Begin;
        // No statement of a guest's that took its time: the server is gone.
        let run = self.command(link, command);
        tokio::time::timeout(self.statement_timeout + GRACE, run).await.unwrap_or_else(|_| Err(Fault::broken()))
    }

    async fn still_open(link: &mut Link, fault: &Fault) -> bool {
        // After a conflict the statements before it may have to be another's too.
        if matches!(&fault.error, Error::Rejected(Rejection { reason: Refusal::Conflict, .. })) {
            return false;
        }
        let undone = link.connection.execute("ROLLBACK TO SAVEPOINT remit");
        matches!(tokio::time::timeout(ASKED_FOR, undone).await, Ok(Ok(_)))
    }
}

fn options(definition: &Definition, server: &DatabaseServer) -> Result<PgConnectOptions, Error> {
    let name = &definition.name;
    let credentials = &server.credentials;
    let missing = |which| Error::Invalid(format!("the `{which}` credential of source `{name}` is missing"));
    // Each is set, since the driver takes from the environment what is not.
    let Some(uri) = &credentials.uri else {
        if server.host.is_empty() {
            return Err(Error::Invalid(format!("source `{name}` names no host")));
        }
        let user = credentials.user.as_deref().ok_or_else(|| missing("_USER"))?;
        let password = credentials.password.as_ref().ok_or_else(|| missing("_PASS"))?;
        return Ok(PgConnectOptions::new_without_pgpass()
            .host(&server.host)
            .port(server.port.unwrap_or(DEFAULT_PORT))
            .username(user)
            .password(password.expose_secret())
            .database(&server.database)
            .ssl_mode(PgSslMode::Prefer));
    };
    // The cause would show the URI.
    let wrong = || Error::Invalid(format!("the `_URI` credential of source `{name}` is not a postgres:// URL"));
    let uri = Url::parse(uri.expose_secret()).map_err(|_| wrong())?;
    let says = |key: &str| uri.query_pairs().any(|(one, _)| one == key);
    if !matches!(uri.scheme(), "postgres" | "postgresql") || (uri.host_str().is_none_or(str::is_empty) && !says("host"))
    {
        return Err(wrong());
    }
    let mut options = PgConnectOptions::from_url(&uri).map_err(|_| wrong())?;
    if uri.port().is_none() && !says("port") {
        options = options.port(DEFAULT_PORT);
    }
    if uri.username().is_empty() && !says("user") {
        options = options.username(credentials.user.as_deref().ok_or_else(|| missing("_USER"))?);
    }
    if uri.password().is_none() && !says("password") {
        options = options.password(credentials.password.as_ref().map(|it| it.expose_secret()).unwrap_or_default());
    }
    if uri.path().trim_start_matches('/').is_empty() && !says("dbname") {
        options = options.database(&server.database);
    }
    if !says("sslmode") && !says("ssl-mode") {
        options = options.ssl_mode(PgSslMode::Prefer);
    }
    Ok(options)
}

fn columns(statement: &PgStatement) -> Vec<Column> {
    let column = |column: &sqlx::postgres::PgColumn| Column {
        name: column.name().to_owned(),
        data_type: values::type_name(column.type_info()),
    };
    statement.columns().iter().map(column).collect()
}

/// A failure on this side, with rows still on their way: reading them to the end could take long.
fn unread(error: Error) -> Fault {
    Fault { error, broken: true, doubtful: false }
}

#[cfg(test)]
mod tests;
