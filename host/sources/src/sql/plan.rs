//! From a guest's text to what an engine is given: scanned, classified, rendered, and kept by its
//! text, so that a tool's statement is parsed once.
//!
//! Deliberately absent: what thread parses ([`super::parser`]).

use std::sync::{Arc, LazyLock};

use moka::future::Cache;
use remit_domain::data::{
    Error,
    sql::{Dialect, MAX_STATEMENT_BYTES, Value},
};
use remit_domain::scope::Scope;
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::{
    classify::{Kind, classify},
    parser::{Parser, Patience},
    scan::{render, scan, too_many_parameters},
    tables::Table,
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
    dialect: Dialect,
    kind: Kind,
    parameters: usize,
    tables: Vec<Table>,
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
/// else its account can see. `scope` holds the tables it may name. Errors: `denied`, `invalid`, `limit`; `throttled` if too many wait to
/// be parsed.
pub(crate) async fn plan(
    dialect: Dialect,
    schema: Option<&str>,
    scope: &Scope,
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
    plan.check(schema, scope, parameters.len(), wanted)?;
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
            dialect,
            kind: classified.kind,
            parameters: scanned.parameters,
            tables: classified.tables,
        })
    }

    fn check(&self, schema: Option<&str>, scope: &Scope, given: usize, wanted: Use) -> Result<(), Error> {
        let denied = |message: &str| Err(Error::Denied(message.to_owned()));
        match (wanted, self.kind) {
            (Use::Query, Kind::Reads)
            | (Use::QueryInTransaction, Kind::Reads | Kind::ReadsAndLocks)
            | (Use::Execute, Kind::Changes) => {}
            (Use::Query, Kind::ReadsAndLocks) => return denied("rows are locked inside a transaction only"),
            (_, Kind::Changes) => return denied("the statement changes rows: `execute` runs it"),
            (Use::Execute, _) => return denied("the statement only reads: `query` runs it"),
        }
        for table in &self.tables {
            self.belongs(table, schema, scope)?;
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

    fn belongs(&self, table: &Table, schema: Option<&str>, scope: &Scope) -> Result<(), Error> {
        let short = |name: &str| name.chars().take(64).collect::<String>();
        let (own, listed) = match (self.dialect, &table.schema) {
            (Dialect::BigQuery, qualifier) => {
                of_warehouse(schema.unwrap_or_default(), qualifier.as_deref(), &table.name)
            }
            (_, None) => (true, table.name.clone()),
            (_, Some(qualifier)) => (schema == Some(qualifier), table.name.clone()),
        };
        if let (false, Some(foreign)) = (own, &table.schema) {
            let message = format!("tables of `{}` do not belong to this source", short(&foreign.replace('/', ".")));
            return Err(Error::Denied(message));
        }
        if !own || !scope.holds(&listed) {
            return Err(Error::Denied(format!("the table `{}` is not among those granted", short(&listed))));
        }
        Ok(())
    }
}

/// Whether a table is one of a warehouse's, `project/dataset` or, for all datasets, `project/`; and the
/// name that a scope lists it by, which has its dataset where the source names none.
fn of_warehouse(source: &str, qualifier: Option<&str>, name: &str) -> (bool, String) {
    let (project, dataset) = source.split_once('/').unwrap_or((source, ""));
    let (of, within) = match qualifier.map(|qualifier| qualifier.split_once('/').ok_or(qualifier)) {
        None => (None, None),
        Some(Ok((of, within))) => (Some(of), Some(within)),
        Some(Err(within)) => (None, Some(within)),
    };
    let own = of.is_none_or(|of| of == project) && within.is_none_or(|within| dataset.is_empty() || within == dataset);
    match within {
        Some(within) if dataset.is_empty() => (own, format!("{within}.{name}")),
        _ => (own, name.to_owned()),
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
                    u32::try_from(text.len() + plan.text.as_str().len() + plan.binds.len() * 8 + 256)
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
