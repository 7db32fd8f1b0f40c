//! What the relational databases share: a statement is planned, a connection lent, the answer kept
//! within its limits, a failure sorted by what may have happened.
//!
//! An engine brings connections, values and error codes ([`Engine`]). Deliberately absent: building
//! SQL. What runs is a guest's statement, checked, and the host's few own ones.

mod classify;
pub(crate) mod functions;
mod metered;
mod notation;
mod parser;
mod plan;
pub(crate) mod rows;
mod scan;
mod tables;
pub(crate) mod text;
mod transaction;

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        sql::{Change, Database, Dialect, RowSet, Transaction, Value},
    },
    grant::{Reading, Writing},
    scope::Scope,
};

pub(crate) use self::plan::Plan;
use self::{
    plan::{Use, plan},
    rows::{Answer, Rest},
    transaction::Open,
};
use crate::{
    Settings,
    ceilings::Share,
    lease::{Connect, Lease, Lender},
    observe::counted,
};

/// What connections are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Reading alone: the engine itself refuses anything else.
    Read,
    /// Changing rows too.
    Write,
}

/// A failure of an engine.
#[derive(Debug)]
pub(crate) struct Fault {
    /// As the caller is to see it, if nothing could have happened.
    pub(crate) error: Error,
    /// Whether the connection can't be used any more.
    pub(crate) broken: bool,
    /// Whether the statement may have taken effect although it failed.
    pub(crate) doubtful: bool,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, broken: false, doubtful: false }
    }
}

impl Fault {
    /// The connection broke after something was sent.
    pub(crate) fn broken() -> Self {
        Self { error: Error::unavailable("the connection to the database broke"), broken: true, doubtful: true }
    }

    /// It happened before anything was sent that could have an effect.
    pub(crate) fn unsent(self) -> Self {
        Self { doubtful: false, ..self }
    }

    /// The error of a reading operation, which never has an effect.
    fn reading(self) -> Error {
        self.error
    }

    /// The error of a changing operation.
    fn changing(self) -> Error {
        if self.doubtful {
            Error::Uncertain("the connection to the database broke before it answered".to_owned())
        } else {
            self.error
        }
    }
}

/// A relational database, as far as each differs.
pub(crate) trait Engine: Send + Sync + 'static {
    /// One connection.
    type Connection: Send + 'static;

    /// The SQL it speaks.
    const DIALECT: Dialect;

    /// The most connections for changes, where the engine sets a limit of its own.
    const MOST_WRITERS: usize;

    /// The only name that a statement's tables may be qualified with.
    fn schema(&self) -> Option<&str>;

    /// Connects. Errors: `unavailable`; `invalid` for a definition that cannot work.
    fn connect(&self, mode: Mode) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

    /// Whether a connection that lay idle for a while still works.
    fn fresh(connection: &mut Self::Connection, idle: Duration) -> impl Future<Output = bool> + Send;

    /// Runs a reading statement and keeps its rows within the limits. `rest` says what is done about
    /// rows beyond them.
    fn query(
        &self,
        connection: &mut Self::Connection,
        plan: &Plan,
        parameters: &[Value],
        rest: Rest,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send;

    /// Runs a changing statement.
    fn execute(
        &self,
        connection: &mut Self::Connection,
        plan: &Plan,
        parameters: &[Value],
    ) -> impl Future<Output = Result<Change, Fault>> + Send;

    /// Begins, commits or undoes a transaction.
    fn control(
        &self,
        connection: &mut Self::Connection,
        control: Control,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Whether the transaction is still open after one of its statements failed: some failures undo
    /// all of it, and what came after would take effect at once.
    fn still_open(connection: &mut Self::Connection, fault: &Fault) -> impl Future<Output = bool> + Send;
}

/// What is done to a transaction as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Begins it.
    Begin,
    /// Makes it lasting.
    Commit,
    /// Undoes it.
    Rollback,
}

/// One database: an engine with its connections for reading and for changing.
pub(crate) struct Source<E: Engine> {
    engine: E,
    readers: Arc<Lender<E::Connection>>,
    writers: Arc<Lender<E::Connection>>,
}

impl<E: Engine> Source<E> {
    pub(crate) fn new(engine: E, settings: &Settings, share: &Arc<Share>) -> Arc<Self> {
        let lender = |most| Lender::new("sql", most, settings.acquire_timeout, settings.connect_timeout, share);
        let most = settings.connections_per_source;
        Arc::new(Self { engine, readers: lender(most), writers: lender(most.min(E::MOST_WRITERS)) })
    }

    /// Asks the database for the number 1, through a connection as any query's.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.run_query(&Scope::ALL, "SELECT 1", &[]).await.map(drop)
    }

    /// Closes connections that lie idle since before an instant.
    pub(crate) fn close_idle(&self, before: Instant) {
        self.readers.close_idle(before);
        self.writers.close_idle(before);
    }

    async fn lend(&self, mode: Mode) -> Result<Lease<E::Connection>, Error> {
        let lender = match mode {
            Mode::Read => &self.readers,
            Mode::Write => &self.writers,
        };
        lender.lend(&Link { engine: &self.engine, mode }).await
    }

    async fn plan(
        &self,
        scope: &Scope,
        statement: &str,
        parameters: &[Value],
        wanted: Use,
    ) -> Result<Arc<Plan>, Error> {
        let plan = plan(E::DIALECT, self.engine.schema(), statement, parameters, wanted).await?;
        plan.keep_within(self.engine.schema(), scope)?;
        text::check(parameters)?;
        Ok(plan)
    }

    async fn run_query(&self, scope: &Scope, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let plan = self.plan(scope, statement, parameters, Use::Query).await?;
        let mut lease = self.lend(Mode::Read).await?;
        let result = self.engine.query(&mut lease, &plan, parameters, Rest::Leave).await;
        if !matches!(&result, Ok(Answer { spent: true, .. }) | Err(Fault { broken: true, .. })) {
            lease.give_back();
        }
        result.map(|answer| answer.rows).map_err(Fault::reading)
    }

    async fn run_execute(&self, scope: &Scope, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let plan = self.plan(scope, statement, parameters, Use::Execute).await?;
        let mut lease = self.lend(Mode::Write).await?;
        let result = self.engine.execute(&mut lease, &plan, parameters).await;
        if !matches!(&result, Err(Fault { broken: true, .. })) {
            lease.give_back();
        }
        result.map_err(Fault::changing)
    }

    async fn run_begin(self: &Arc<Self>) -> Result<Open<E>, Error> {
        let mut lease = self.lend(Mode::Write).await?;
        match self.engine.control(&mut lease, Control::Begin).await {
            Ok(()) => Ok(Open::new(self.clone(), lease)),
            // Nothing happened yet, so that the same may be asked again.
            Err(Fault { error: Error::Rejected(why), .. }) => Err(Error::unavailable(why.message)),
            Err(fault) => Err(fault.reading()),
        }
    }
}

struct Link<'a, E> {
    engine: &'a E,
    mode: Mode,
}

impl<E: Engine> Connect for Link<'_, E> {
    type Connection = E::Connection;

    fn connect(&self) -> impl Future<Output = Result<E::Connection, Error>> + Send {
        self.engine.connect(self.mode)
    }

    fn fresh(&self, connection: &mut E::Connection, idle: Duration) -> impl Future<Output = bool> + Send {
        E::fresh(connection, idle)
    }
}

/// A plan of a statement that reads, for tests of an engine alone.
#[cfg(test)]
pub(crate) async fn planned(dialect: Dialect, statement: &str, parameters: &[Value]) -> Result<Arc<Plan>, Error> {
    plan(dialect, None, statement, parameters, Use::Query).await
}

/// A handle to a database, as the port wants it.
pub(crate) struct Shared<E: Engine>(pub(crate) Arc<Source<E>>);

#[async_trait]
impl<E: Engine> Database for Shared<E> {
    fn dialect(&self) -> Dialect {
        E::DIALECT
    }

    async fn query(&self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        counted("sql", "query", self.0.run_query(access.scope(), statement, parameters)).await
    }

    async fn execute(&self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        counted("sql", "execute", self.0.run_execute(access.scope(), statement, parameters)).await
    }

    async fn begin(&self, _access: Writing<'_>) -> Result<Box<dyn Transaction>, Error> {
        counted("sql", "begin", async { Ok(Box::new(self.0.run_begin().await?) as Box<dyn Transaction>) }).await
    }
}
