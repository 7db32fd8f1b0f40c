//! From a guest's text to what an engine is given: scanned, classified, rendered, and kept by its
//! text, so that a tool's statement is parsed once.
//!
//! Deliberately absent: what thread parses ([`super::parser`]).

use std::sync::{Arc, LazyLock};

use moka::future::Cache;
use remit_domain::{
    data::{
        Error,
        sql::{Dialect, MAX_STATEMENT_BYTES, Value},
    },
    scope::Scope,
};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::{
    classify::{Kind, classify},
    parser::{Parser, Patience},
    scan::{render, scan, too_many_parameters},
    tables::Touched,
};

/// A statement that may run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the engine's own form. It holds no value of a parameter.
    pub(crate) text: SqlStr,
    /// Which parameter is bound at each place, from 0.
    pub(crate) binds: Vec<usize>,
    /// Where in the text each `?` stands that takes one of them; empty where parameters are numbered.
    pub(crate) marks: Vec<usize>,
    kind: Kind,
    parameters: usize,
    schemas: Vec<String>,
    tables: Touched,
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
/// else its account can see. BigQuery's is `project/dataset`, or `project/` for all of its datasets.
/// Errors: `denied`, `invalid`, `limit`; `throttled` if too many wait to be parsed.
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
            let plan = Arc::new(PARSER.parse(dialect, statement.to_owned()).await?);
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
            marks: rendered.marks,
            kind: classified.kind,
            parameters: scanned.parameters,
            schemas: classified.schemas,
            tables: classified.tables,
        })
    }

    /// Holds the tables that it touches to those of a scope. `schema` as for [`plan`]. Errors: `denied`.
    pub(crate) fn keep_within(&self, schema: Option<&str>, scope: &Scope) -> Result<(), Error> {
        match self.tables.iter().find(|(table, _)| !scope.holds(&table.listed(schema))) {
            Some((_, written)) => {
                let written: String = written.chars().take(64).collect();
                Err(Error::Denied(format!("the table `{written}` is not among those that this agent may touch")))
            }
            None => Ok(()),
        }
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
        let foreign = self.schemas.iter().find(|one| schema != Some(one.as_str())).cloned();
        if let Some(foreign) = foreign.or_else(|| self.tables.keys().find_map(|table| table.foreign(schema))) {
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
    bigquery: Cache<Arc<str>, Arc<Plan>>,
}

impl Plans {
    /// Room for some thousand statements of usual length.
    const MAX_BYTES: u64 = 8 * 1024 * 1024;

    fn new() -> Self {
        let cache = || {
            Cache::builder()
                .max_capacity(Self::MAX_BYTES)
                .weigher(|text: &Arc<str>, plan: &Arc<Plan>| {
                    // The names of its tables are parts of the text.
                    u32::try_from(3 * text.len() + plan.text.as_str().len() + plan.binds.len() * 16 + 256)
                        .unwrap_or(u32::MAX)
                })
                .build()
        };
        Self { mysql: cache(), sqlite: cache(), postgres: cache(), bigquery: cache() }
    }

    fn of(&self, dialect: Dialect) -> &Cache<Arc<str>, Arc<Plan>> {
        match dialect {
            Dialect::Mysql => &self.mysql,
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
            Dialect::BigQuery => &self.bigquery,
        }
    }
}

/// The parser of every tenant's statements.
static PARSER: LazyLock<Parser<Plan>> = LazyLock::new(|| Parser::new(Patience::default(), Box::new(Plan::new)));

#[cfg(test)]
mod tests;
