//! Statements that take effect together. A transaction that is dropped, or one of whose statements
//! was given up, ends with its connection, and the database undoes it.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error, Refusal, Rejection,
        sql::{Change, RowSet, Transaction, Value},
    },
    grant::{Reading, Writing},
    scope::Scope,
};

use super::{Control, Engine, Fault, Source, plan::Use};
use crate::{lease::Lease, observe::counted};

/// An open transaction.
pub(super) struct Open<E: Engine> {
    source: Arc<Source<E>>,
    /// Gone once the transaction has ended. Taken out while a statement runs, so that a statement
    /// that is given up halfway ends it.
    lease: Option<Lease<E::Connection>>,
}

impl<E: Engine> Open<E> {
    pub(super) fn new(source: Arc<Source<E>>, lease: Lease<E::Connection>) -> Self {
        Self { source, lease: Some(lease) }
    }

    fn take(&mut self) -> Result<Lease<E::Connection>, Error> {
        self.lease.take().ok_or_else(|| Error::Invalid("the transaction has ended".to_owned()))
    }

    /// Keeps the connection for the next statement, unless the failure ended the transaction.
    async fn keep<T>(&mut self, mut lease: Lease<E::Connection>, result: Result<T, Fault>) -> Result<T, Fault> {
        let open = match &result {
            Ok(_) => true,
            Err(fault) => !fault.broken && E::still_open(&mut lease, fault).await,
        };
        self.lease = open.then_some(lease);
        result
    }

    async fn run_query(&mut self, scope: &Scope, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        let plan = self.source.plan(scope, statement, parameters, Use::QueryInTransaction).await?;
        let mut lease = self.take()?;
        let result = self.source.engine.query(&mut lease, &plan, parameters).await;
        self.keep(lease, result).await.map_err(undone)
    }

    async fn run_execute(&mut self, scope: &Scope, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        let plan = self.source.plan(scope, statement, parameters, Use::Execute).await?;
        let mut lease = self.take()?;
        let result = self.source.engine.execute(&mut lease, &plan, parameters).await;
        self.keep(lease, result).await.map_err(undone)
    }

    async fn end(&mut self, control: Control) -> Result<(), Error> {
        let mut lease = self.take()?;
        match self.source.engine.control(&mut lease, control).await {
            Ok(()) => {
                lease.give_back();
                Ok(())
            }
            Err(fault) if control == Control::Commit => Err(fault.changing()),
            // The connection is closed, which undoes it as well.
            Err(_) => Ok(()),
        }
    }
}

/// The error of a statement in a transaction. A connection that breaks before the commit has the
/// database undo everything, so that nothing is in doubt, but the statement alone can't be repeated.
fn undone(fault: Fault) -> Error {
    if !fault.broken || !matches!(fault.error, Error::Unavailable(_)) {
        return fault.error;
    }
    Error::Rejected(Rejection {
        reason: Refusal::Conflict,
        code: None,
        message: "the connection broke and the transaction was undone: begin again".to_owned(),
    })
}

#[async_trait]
impl<E: Engine> Transaction for Open<E> {
    async fn query(&mut self, access: Reading<'_>, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        counted("sql", "transaction-query", self.run_query(access.scope(), statement, parameters)).await
    }

    async fn execute(&mut self, access: Writing<'_>, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        counted("sql", "transaction-execute", self.run_execute(access.scope(), statement, parameters)).await
    }

    async fn commit(mut self: Box<Self>, _access: Writing<'_>) -> Result<(), Error> {
        counted("sql", "commit", self.end(Control::Commit)).await
    }

    async fn rollback(mut self: Box<Self>) -> Result<(), Error> {
        counted("sql", "rollback", self.end(Control::Rollback)).await
    }
}
