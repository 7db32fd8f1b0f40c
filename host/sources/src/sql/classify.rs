//! Decides what a statement does, by its parsed form. The second layer behind the engine's own
//! read-only connection, and the only one against what that lets through: functions that read files
//! or wait, tables of other databases, `INTO OUTFILE`.
//!
//! It fails closed: what the parser does not understand is refused, as is any form of statement,
//! table or function that is not listed here.

use std::ops::ControlFlow;

use remit_domain::data::{Error, sql::Dialect};
use sqlparser::{
    ast::{
        BinaryOperator, DataType, Expr, Insert, ObjectName, ObjectNamePart, Query, Select, SetExpr, SqliteOnConflict,
        Statement, TableFactor, TableObject, Update, Visit as _, Visitor,
    },
    dialect::{self, BigQueryDialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect},
    parser::{Parser, ParserError, ParserOptions},
};

use super::{
    functions,
    metered::Metered,
    notation::Notation,
    scan::{MAX_TOKENS, Scanned},
    tables::{Tables, Touched, folded},
};

/// The most expressions that the parser begins for one statement. Each begins with a token, and few
/// are tried more than twice.
const MAX_STEPS: u32 = 4 * MAX_TOKENS;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It reads.
    Reads,
    /// It reads and locks what it reads.
    ReadsAndLocks,
    /// It changes rows.
    Changes,
}

/// A statement as the parser understood it.
#[derive(Debug)]
pub(super) struct Classified {
    pub(super) kind: Kind,
    /// The parsed statement, written out again, with the markers of [`Scanned`].
    pub(super) text: String,
    /// The schemas that its tables are qualified with.
    pub(super) schemas: Vec<String>,
    /// The tables that it touches.
    pub(super) tables: Touched,
}

/// Parses a scanned statement. Needs a stack that grows with the number of tokens: see [`super::parser`].
///
/// Errors: `denied` for anything but one statement that reads or changes rows; `invalid` for what
/// can't be parsed.
pub(super) fn classify(dialect: Dialect, scanned: &Scanned) -> Result<Classified, Error> {
    first_word(dialect, scanned)?;
    let parser_dialect: Box<dyn dialect::Dialect> = match dialect {
        Dialect::Mysql => Box::new(Metered::new(&MySqlDialect {}, MAX_STEPS)),
        Dialect::Sqlite => Box::new(Metered::new(&SQLiteDialect {}, MAX_STEPS)),
        Dialect::Postgres => Box::new(Metered::new(&PostgreSqlDialect {}, MAX_STEPS)),
        Dialect::BigQuery => Box::new(Metered::new(&BigQueryDialect {}, MAX_STEPS)),
    };
    let statements = Parser::new(parser_dialect.as_ref())
        .with_options(ParserOptions::new().with_unescape(false))
        .try_with_sql(&scanned.text)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| match error {
            ParserError::RecursionLimitExceeded => Error::Invalid("the statement is nested too deeply".to_owned()),
            error => Error::Invalid(format!("the statement can't be read: {error}")),
        })?;
    let [statement] = statements.as_slice() else {
        return Err(Error::Denied("one statement at a time is admitted".to_owned()));
    };
    let kind = kind(dialect, statement)?;
    let mut inspector = Inspector {
        dialect,
        top: kind,
        depth: 0,
        locks: false,
        function: false,
        schemas: Vec::new(),
        tables: Tables::new(dialect),
        notation: Notation::default(),
    };
    if let ControlFlow::Break(error) = statement.visit(&mut inspector) {
        return Err(error);
    }
    inspector.notation.finish()?;
    let kind = if kind == Kind::Reads && inspector.locks { Kind::ReadsAndLocks } else { kind };
    if kind == Kind::Changes {
        if let Some(conflict) = on_conflict(statement)
            && conflict == SqliteOnConflict::Rollback
        {
            return Err(Error::Denied("`OR ROLLBACK` would end the transaction".to_owned()));
        }
        // MariaDB does not say before it runs how many columns it would send.
        if dialect == Dialect::Mysql && returns(statement) {
            return Err(Error::Denied("`RETURNING` is not admitted: a change gives no rows back".to_owned()));
        }
    } else if scanned.words.iter().any(|word| matches!(word.as_str(), "into" | "outfile" | "dumpfile")) {
        return Err(Error::Denied("a reading statement has no INTO".to_owned()));
    }
    let (schemas, tables) = (inspector.schemas, inspector.tables.finish());
    Ok(Classified { kind, text: statement.to_string(), schemas, tables })
}

/// Names what is refused by its first word, before a parser may fail on the rest of it.
fn first_word(dialect: Dialect, scanned: &Scanned) -> Result<(), Error> {
    let Some(word) = scanned.words.first() else {
        return Err(Error::Invalid("the statement has no words".to_owned()));
    };
    match word.as_str() {
        "select" | "with" | "values" | "insert" | "update" | "delete" | "replace" => Ok(()),
        "merge" if dialect == Dialect::BigQuery => Ok(()),
        "create" | "alter" | "drop" | "truncate" | "rename" | "reindex" => {
            Err(Error::Denied(format!("`{}` changes the schema; a tool changes data only", word.to_uppercase())))
        }
        "begin" | "start" | "commit" | "rollback" | "savepoint" | "release" | "end" => {
            Err(Error::Denied("transactions are begun and ended through the handle, not by statements".to_owned()))
        }
        _ => Err(Error::Denied(format!(
            "a statement that begins with `{}` neither reads nor changes rows",
            word.chars().take(32).collect::<String>().to_uppercase()
        ))),
    }
}

fn kind(dialect: Dialect, statement: &Statement) -> Result<Kind, Error> {
    match statement {
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) => Ok(Kind::Changes),
            _ => Ok(Kind::Reads),
        },
        Statement::Insert(Insert { table: TableObject::TableName(_), .. })
        | Statement::Update(_)
        | Statement::Delete(_) => Ok(Kind::Changes),
        Statement::Merge(_) if dialect == Dialect::BigQuery => Ok(Kind::Changes),
        _ => Err(Error::Denied("the statement neither reads nor changes rows".to_owned())),
    }
}

fn on_conflict(statement: &Statement) -> Option<SqliteOnConflict> {
    match statement {
        Statement::Insert(Insert { or, .. }) | Statement::Update(Update { or, .. }) => *or,
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) => on_conflict(inner),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a change sends rows.
fn returns(statement: &Statement) -> bool {
    match statement {
        Statement::Insert(insert) => insert.returning.is_some(),
        Statement::Update(update) => update.returning.is_some(),
        Statement::Delete(delete) => delete.returning.is_some(),
        Statement::Query(query) => match query.body.as_ref() {
            SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => returns(inner),
            _ => false,
        },
        _ => false,
    }
}

struct Inspector {
    dialect: Dialect,
    top: Kind,
    depth: usize,
    locks: bool,
    /// Whether the relation that comes next is the name of a table's function.
    function: bool,
    schemas: Vec<String>,
    tables: Tables,
    notation: Notation,
}

impl Inspector {
    /// Only the outermost body of a changing statement may change rows; a part of a query never.
    fn body(&self, body: &SetExpr) -> Result<(), Error> {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => Ok(()),
            SetExpr::SetOperation { left, right, .. } => {
                self.body(left)?;
                self.body(right)
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)
                if self.top == Kind::Changes && self.depth == 0 =>
            {
                Ok(())
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
                Err(Error::Denied("a query that changes rows inside itself is not admitted".to_owned()))
            }
        }
    }

    fn query(&mut self, query: &Query) -> Result<(), Error> {
        self.body(&query.body)?;
        self.depth += 1;
        self.locks |= !query.locks.is_empty();
        let foreign = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || query.fetch.is_some()
            || !query.pipe_operators.is_empty();
        if foreign { Err(Error::Denied("the query has a clause that is not admitted".to_owned())) } else { Ok(()) }
    }

    fn function(&self, name: &ObjectName) -> Result<(), Error> {
        let refused = || {
            let name: String = name.to_string().chars().take(64).collect();
            Error::Denied(format!("the function `{name}` is not admitted"))
        };
        let admitted = |part: &ObjectNamePart| {
            part.as_ident().is_some_and(|ident| functions::admitted(self.dialect, &folded(self.dialect, ident)))
        };
        match name.0.as_slice() {
            [one] if admitted(one) => Ok(()),
            // The same function, with NULL in place of an error.
            [safe, one]
                if self.dialect == Dialect::BigQuery
                    && safe.as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case("safe"))
                    && admitted(one) =>
            {
                Ok(())
            }
            _ => Err(refused()),
        }
    }

    /// PostgreSQL's types that look names up in its catalogue, or that stand in a schema of their own.
    fn data_type(&self, data_type: &DataType) -> Result<(), Error> {
        let foreign = match data_type {
            DataType::Regclass => true,
            DataType::Custom(name, _) => match name.0.as_slice() {
                [one] => one.as_ident().is_none_or(|ident| folded(self.dialect, ident).starts_with("reg")),
                _ => true,
            },
            _ => false,
        };
        if foreign && self.dialect == Dialect::Postgres {
            let name: String = data_type.to_string().chars().take(64).collect();
            return Err(Error::Denied(format!("the type `{name}` is not admitted")));
        }
        Ok(())
    }

    fn table(&self, factor: &TableFactor) -> Result<(), Error> {
        match factor {
            TableFactor::Table { args: None, version: None, json_path: None, sample: None, .. }
            | TableFactor::Derived { sample: None, .. }
            | TableFactor::NestedJoin { .. } => Ok(()),
            TableFactor::JsonTable { .. } if self.dialect == Dialect::Mysql => Ok(()),
            TableFactor::UNNEST { with_offset: false, .. } if self.dialect == Dialect::Postgres => Ok(()),
            TableFactor::UNNEST { .. } if self.dialect == Dialect::BigQuery => Ok(()),
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. }
                if matches!(name.0.as_slice(), [one] if one.as_ident().is_some_and(
                    |ident| functions::admitted_table(self.dialect, &folded(self.dialect, ident)))) =>
            {
                Ok(())
            }
            _ => Err(Error::Denied("a table function or table form is not admitted".to_owned())),
        }
    }
}

impl Visitor for Inspector {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.tables.enter(query);
        flow(self.query(query))
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<Error> {
        self.tables.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        // `QUALIFY` and `SELECT AS STRUCT` are BigQuery's own.
        let own = self.dialect == Dialect::BigQuery;
        let foreign = select.into.is_some()
            || select.top.is_some()
            || select.exclude.is_some()
            || select.prewhere.is_some()
            || (select.qualify.is_some() && !own)
            || (select.value_table_mode.is_some() && !own)
            || !(select.lateral_views.is_empty()
                && select.connect_by.is_empty()
                && select.cluster_by.is_empty()
                && select.distribute_by.is_empty()
                && select.sort_by.is_empty());
        if foreign {
            return ControlFlow::Break(Error::Denied("a SELECT has a clause that is not admitted".to_owned()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Error> {
        let parts: Option<Vec<_>> = relation.0.iter().map(|part| part.as_ident()).collect();
        // The name of a function that is admitted stands here too.
        if std::mem::take(&mut self.function) {
            return ControlFlow::Continue(());
        }
        let warehouse = self.dialect == Dialect::BigQuery;
        if warehouse && !relation.0.iter().all(is_plain_part) {
            let message = "a table has a name of letters, digits, `_` and `-`, and is none of INFORMATION_SCHEMA";
            return ControlFlow::Break(Error::Denied(message.to_owned()));
        }
        match parts.as_deref() {
            Some([name]) => {
                if self.dialect == Dialect::Postgres {
                    let folded = folded(self.dialect, name);
                    // Its catalogue is found without a schema's name, before anything else.
                    if folded.starts_with("pg_") {
                        self.schemas.push("pg_catalog".to_owned());
                    }
                    // `FROM ONLY t` is a table called so to the parser.
                    if name.quote_style.is_none() && folded == "only" {
                        return ControlFlow::Break(Error::Denied("`ONLY` is not admitted".to_owned()));
                    }
                }
                self.tables.named(name);
            }
            Some([dataset, name]) if warehouse => self.tables.touch(&[dataset], name),
            Some([project, dataset, name]) if warehouse => self.tables.touch(&[project, dataset], name),
            Some([schema, name]) => {
                self.schemas.push(folded(self.dialect, schema));
                self.tables.touch(&[], name);
            }
            _ => {
                let most = if warehouse { "three" } else { "two" };
                return ControlFlow::Break(Error::Denied(format!("a table's name has at most {most} parts")));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        self.function = matches!(factor, TableFactor::Table { args: Some(_), .. });
        if self.dialect == Dialect::Postgres {
            self.notation.factor(self.dialect, factor);
        }
        flow(self.table(factor))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        if self.dialect == Dialect::Postgres {
            flow(self.notation.expr(self.dialect, expr))?;
        }
        match expr {
            Expr::Function(function) => flow(self.function(&function.name)),
            Expr::Cast { data_type, .. } => flow(self.data_type(data_type)),
            Expr::TypedString(typed) => flow(self.data_type(&typed.data_type)),
            // An operator of another schema than those that are searched.
            Expr::BinaryOp { op: BinaryOperator::PGCustomBinaryOperator(_), .. } => {
                ControlFlow::Break(Error::Denied("`OPERATOR` is not admitted".to_owned()))
            }
            // Functions without parentheses that the parser takes for columns.
            Expr::Identifier(ident)
                if ident.quote_style.is_none()
                    && ["current_user", "current_role", "session_user", "system_user", "current_schema"]
                        .iter()
                        .any(|one| one.eq_ignore_ascii_case(&ident.value)) =>
            {
                ControlFlow::Break(Error::Denied(format!("the function `{}` is not admitted", ident.value)))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Error> {
        self.tables.changed(statement);
        flow(kind(self.dialect, statement).map(drop))
    }
}

/// Whether a part of a BigQuery table's name means one thing: not many tables (`events_*`), a table of
/// another time or partition (`t@0`, `t$2026`), or the catalogue of a whole project.
fn is_plain_part(part: &ObjectNamePart) -> bool {
    part.as_ident().is_some_and(|ident| {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        !ident.value.is_empty()
            && ident.value.chars().all(plain)
            && !ident.value.eq_ignore_ascii_case("information_schema")
    })
}

fn flow(result: Result<(), Error>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}
