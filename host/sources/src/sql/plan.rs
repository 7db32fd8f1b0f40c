//! From a guest's text to what an engine is given: scanned, classified, rendered, and kept by its
//! text, so that a tool's statement is parsed once.
//!
//! Parsing happens on a thread of its own, since a parsed tree is walked and dropped recursively
//! and a guest chooses how deep it is: host functions run on fibers with little stack.

use std::sync::{
    Arc, LazyLock,
    mpsc::{SyncSender, TrySendError, sync_channel},
};

use moka::future::Cache;
use remit_domain::data::{
    Error, Wait,
    sql::{Dialect, MAX_STATEMENT_BYTES, Value},
};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};
use tokio::sync::oneshot;

use super::{
    classify::{Kind, classify},
    scan::{render, scan, too_many_parameters},
};

/// A statement that may run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the engine's own form. It holds no value of a parameter.
    pub(crate) text: SqlStr,
    /// Which parameter is bound at each place, from 0.
    pub(crate) binds: Vec<usize>,
    kind: Kind,
    parameters: usize,
    schemas: Vec<String>,
}

/// Where a statement is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It must read, and take no lock.
    Query,
    /// It must read; inside a transaction it may lock what it reads.
    QueryInTransaction,
    /// It must change rows.
    Execute,
}

/// Plans a statement for a use, with as many values as are given.
///
/// `schema` is the only name that tables may be qualified with: a source is one database, whatever
/// else its account can see. Errors: `denied`, `invalid`, `limit`; `throttled` if too many wait to
/// be parsed.
pub(crate) async fn plan(
    dialect: Dialect,
    schema: Option<&str>,
    statement: &str,
    parameters: &[Value],
    wanted: Use,
) -> Result<Arc<Plan>, Error> {
    if statement.len() > MAX_STATEMENT_BYTES {
        return Err(Error::Limit { name: "max-statement-bytes", allowed: MAX_STATEMENT_BYTES as u64 });
    }
    let plan = match PLANS.of(dialect).get(statement).await {
        Some(plan) => plan,
        None => {
            let plan = Arc::new(parse(dialect, statement.to_owned()).await?);
            PLANS.of(dialect).insert(statement.into(), plan.clone()).await;
            plan
        }
    };
    plan.check(schema, parameters.len(), wanted)?;
    Ok(plan)
}

impl Plan {
    fn new(dialect: Dialect, statement: &str) -> Result<Self, Error> {
        let scanned = scan(dialect, statement)?;
        let classified = classify(dialect, &scanned)?;
        // A read runs as the parser understood it, so that nothing runs that was not looked at. A
        // change runs as it was written, less comments: it may change rows anyway, and a clause that
        // the parser forgets to write out again must not widen it.
        let text = if classified.kind == Kind::Changes { &scanned.text } else { &classified.text };
        let rendered = render(dialect, text, &scanned)?;
        Ok(Self {
            text: AssertSqlSafe(Arc::<str>::from(rendered.text)).into_sql_str(),
            binds: rendered.binds,
            kind: classified.kind,
            parameters: scanned.parameters,
            schemas: classified.schemas,
        })
    }

    fn check(&self, schema: Option<&str>, given: usize, wanted: Use) -> Result<(), Error> {
        let denied = |message: &str| Err(Error::Denied(message.to_owned()));
        match (wanted, self.kind) {
            (Use::Query, Kind::Reads)
            | (Use::QueryInTransaction, Kind::Reads | Kind::ReadsAndLocks)
            | (Use::Execute, Kind::Changes) => {}
            (Use::Query, Kind::ReadsAndLocks) => return denied("rows are locked inside a transaction only"),
            (_, Kind::Changes) => return denied("the statement changes rows: `execute` runs it"),
            (Use::Execute, _) => return denied("the statement only reads: `query` runs it"),
        }
        if let Some(foreign) = self.schemas.iter().find(|one| schema != Some(one.as_str())) {
            let foreign: String = foreign.chars().take(64).collect();
            return Err(Error::Denied(format!("tables of `{foreign}` do not belong to this source")));
        }
        if given > remit_domain::data::sql::MAX_PARAMETERS {
            return Err(too_many_parameters());
        }
        if given != self.parameters {
            let wanted = self.parameters;
            return Err(Error::Invalid(format!("the statement takes {wanted} parameters and {given} were given")));
        }
        Ok(())
    }
}

static PLANS: LazyLock<Plans> = LazyLock::new(Plans::new);

/// Plans by text, a cache for each dialect. They hold nothing of a tenant: the same text has the
/// same plan for everyone.
struct Plans {
    mysql: Cache<Arc<str>, Arc<Plan>>,
    sqlite: Cache<Arc<str>, Arc<Plan>>,
    postgres: Cache<Arc<str>, Arc<Plan>>,
}

impl Plans {
    /// Room for some thousand statements of usual length.
    const MAX_BYTES: u64 = 8 * 1024 * 1024;

    fn new() -> Self {
        let cache = || {
            Cache::builder()
                .max_capacity(Self::MAX_BYTES)
                .weigher(|text: &Arc<str>, plan: &Arc<Plan>| {
                    u32::try_from(text.len() + plan.text.as_str().len() + plan.binds.len() * 8 + 256)
                        .unwrap_or(u32::MAX)
                })
                .build()
        };
        Self { mysql: cache(), sqlite: cache(), postgres: cache() }
    }

    fn of(&self, dialect: Dialect) -> &Cache<Arc<str>, Arc<Plan>> {
        match dialect {
            Dialect::Mysql => &self.mysql,
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        }
    }
}

struct Job {
    dialect: Dialect,
    statement: String,
    answer: oneshot::Sender<Result<Plan, Error>>,
}

/// Enough for a tree of as many levels as [`scan`] lets tokens through, in a debug build. Only what
/// is touched takes memory.
const PARSER_STACK_BYTES: usize = 256 * 1024 * 1024;
/// How many statements may wait for the parser. Each takes under a millisecond as a rule.
const MAX_WAITING: usize = 256;

/// The parser's thread, if it could be started.
static PARSER: LazyLock<Option<SyncSender<Job>>> = LazyLock::new(|| {
    let (sender, jobs) = sync_channel::<Job>(MAX_WAITING);
    let run = move || {
        for job in jobs {
            let plan = std::panic::catch_unwind(|| Plan::new(job.dialect, &job.statement));
            let plan = plan.unwrap_or_else(|_| Err(Error::Invalid("the statement can't be read".to_owned())));
            // A caller that gave up no longer listens.
            let _gone = job.answer.send(plan);
        }
    };
    let thread = std::thread::Builder::new().name("remit-sql-parser".to_owned()).stack_size(PARSER_STACK_BYTES);
    match thread.spawn(run) {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "the SQL parser's thread could not be started");
            None
        }
    }
});

async fn parse(dialect: Dialect, statement: String) -> Result<Plan, Error> {
    let unavailable = || Error::unavailable("statements can't be parsed now");
    let (answer, plan) = oneshot::channel();
    let parser = PARSER.as_ref().ok_or_else(unavailable)?;
    parser.try_send(Job { dialect, statement, answer }).map_err(|error| match error {
        TrySendError::Full(_) => Error::Throttled(Wait {
            message: "too many new statements wait to be parsed".to_owned(),
            retry_after_ms: Some(100),
        }),
        TrySendError::Disconnected(_) => unavailable(),
    })?;
    plan.await.map_err(|_| unavailable())?
}

#[cfg(test)]
mod tests;
