//! What is done with tables.

use remit_sdk::{
    Error, Result,
    serde_json::{Map, Value as Json, json},
    source::{Change, Database, Dialect, Transaction, Value},
};

use crate::{
    Config, Output, conditions,
    operation::Relational,
    statement::{Statement, Style, all_bound, bound, changes_all, style},
};

/// How many values the host takes with one statement.
const MAX_PARAMETERS: usize = 1_000;
/// How many rows one step may insert.
const MAX_ROWS: usize = 10_000;
/// How many statements a transaction may have.
const MAX_STATEMENTS: usize = 100;

pub(crate) fn run(verb: Relational, config: &Config, database: &Database) -> Result<Output> {
    match verb {
        Relational::Select | Relational::Query => read(config, database),
        Relational::Count => count(config, database),
        Relational::Insert => insert(config, database),
        Relational::Update => update(config, database),
        Relational::Delete => delete(config, database),
        Relational::Execute => execute(config, database),
        Relational::Transaction => transaction(config, database),
    }
}

fn read(config: &Config, database: &Database) -> Result<Output> {
    let limit = config.limit()?;
    let (text, values) = match &config.query {
        Some(query) => (sql(query, "/query")?.to_owned(), all_bound(config.params.as_ref())),
        None => select(config, limit, database)?,
    };
    let set = database.query(&text, &values)?;
    Ok(Output::of_list(set.rows()?, limit, set.truncated))
}

/// One row more than wanted tells whether there are more.
fn select(config: &Config, limit: u32, database: &Database) -> Result<(String, Vec<Value>)> {
    let mut statement = begin(config, database, "SELECT ");
    match &config.columns {
        Some(columns) if !columns.is_empty() => {
            for (at, column) in columns.iter().enumerate() {
                statement.push(if at > 0 { ", " } else { "" });
                statement.name(column, "/columns")?;
            }
        }
        _ => statement.push("*"),
    }
    statement.push(" FROM ");
    statement.table(config.collection()?)?;
    narrowed(config, &mut statement)?;
    for (at, (name, order)) in object(config.sort.as_ref(), "/sort")?.iter().enumerate() {
        statement.push(if at > 0 { ", " } else { " ORDER BY " });
        statement.name(name, "/sort")?;
        let descending = match order {
            Json::String(word) if word.eq_ignore_ascii_case("asc") => false,
            Json::String(word) if word.eq_ignore_ascii_case("desc") => true,
            Json::Number(number) if number.as_i64() == Some(1) => false,
            Json::Number(number) if number.as_i64() == Some(-1) => true,
            _ => return Err(Error::invalid(format!("/sort/{name}"), "an order is `asc` or `desc`")),
        };
        statement.push(if descending { " DESC" } else { "" });
    }
    statement.push(&format!(" LIMIT {}", limit + 1));
    if let Some(skip) = config.skip {
        statement.push(&format!(" OFFSET {skip}"));
    }
    Ok(statement.finish())
}

fn count(config: &Config, database: &Database) -> Result<Output> {
    let mut statement = begin(config, database, "SELECT COUNT(*) AS counted FROM ");
    statement.table(config.collection()?)?;
    narrowed(config, &mut statement)?;
    let (text, values) = statement.finish();
    let row: Option<Map<String, Json>> = database.row(&text, &values)?;
    let counted = row.as_ref().and_then(|row| row.get("counted")).and_then(Json::as_u64);
    let count = counted.ok_or_else(|| Error::refused("the database did not say how many rows there are"))?;
    Ok(Output { count, ..Output::default() })
}

fn insert(config: &Config, database: &Database) -> Result<Output> {
    let data = config.data()?;
    let rows: Vec<&Map<String, Json>> = match data {
        Json::Object(row) => vec![row],
        Json::Array(rows) => rows.iter().map(Json::as_object).collect::<Option<_>>().ok_or_else(|| {
            Error::invalid("/data", "what to insert is an object from columns to values, or a list of such")
        })?,
        _ => return Err(Error::invalid("/data", "what to insert is an object from columns to values")),
    };
    let Some(first) = rows.first() else {
        return Ok(Output { data: Some(data.clone()), ..Output::default() });
    };
    let columns: Vec<&str> = first.keys().map(String::as_str).collect();
    let alike = |row: &&Map<String, Json>| row.len() == columns.len() && columns.iter().all(|it| row.contains_key(*it));
    if columns.is_empty() || !rows.iter().all(alike) {
        return Err(Error::invalid("/data", "each row has values for the same columns, at least one"));
    }
    if rows.len() > MAX_ROWS || columns.len() > MAX_PARAMETERS {
        return Err(Error::invalid("/data", format!("a step inserts {MAX_ROWS} rows at most")));
    }
    let dialect = database.dialect();
    let parts: Vec<_> = rows
        .chunks((MAX_PARAMETERS / columns.len()).max(1))
        .map(|rows| inserting(config, &dialect, &columns, rows))
        .collect::<Result<_>>()?;
    let changes = match parts.as_slice() {
        [(text, values)] => vec![database.execute(text, values)?],
        parts => database.transaction(|transaction| {
            parts.iter().map(|(text, values)| transaction.execute(text, values)).collect::<Result<Vec<_>>>()
        })?,
    };
    let count = changes.iter().map(|change| change.rows_affected).sum();
    // A key that the row brought along is the key; the database's own word would be the number of the row.
    let own = |change: &Change| change.last_insert_id.map(Json::from);
    let key = config.returning.as_deref().unwrap_or("id");
    let id = if rows.len() == 1 { first.get(key).cloned().or_else(|| changes.first().and_then(own)) } else { None };
    let data = match (data, &id) {
        (Json::Object(row), Some(id)) => {
            let mut shown = Map::from_iter([(key.to_owned(), id.clone())]);
            shown.extend(row.clone());
            Json::Object(shown)
        }
        _ => data.clone(),
    };
    Ok(Output { data: Some(data), count, inserted_id: id, ..Output::default() })
}

fn inserting(
    config: &Config,
    dialect: &Dialect,
    columns: &[&str],
    rows: &[&Map<String, Json>],
) -> Result<(String, Vec<Value>)> {
    let mut statement = Statement::new(dialect, "INSERT INTO ", Style::Question, Vec::new());
    statement.table(config.collection()?)?;
    statement.push(" (");
    for (at, column) in columns.iter().enumerate() {
        statement.push(if at > 0 { ", " } else { "" });
        statement.name(column, "/data")?;
    }
    statement.push(") VALUES ");
    for (at, row) in rows.iter().enumerate() {
        statement.push(if at > 0 { ", (" } else { "(" });
        for (at, column) in columns.iter().enumerate() {
            statement.push(if at > 0 { ", " } else { "" });
            statement.value(row.get(*column).unwrap_or(&Json::Null));
        }
        statement.push(")");
    }
    if let (Some(key), Dialect::Postgres, [_]) = (&config.returning, dialect, rows) {
        statement.push(" RETURNING ");
        statement.name(key, "/returning")?;
    }
    Ok(statement.finish())
}

fn update(config: &Config, database: &Database) -> Result<Output> {
    let data = config.data()?;
    let values = data.as_object().filter(|values| !values.is_empty());
    let values =
        values.ok_or_else(|| Error::invalid("/data", "the new values are an object from columns to values"))?;
    required(config)?;
    let mut statement = begin(config, database, "UPDATE ");
    statement.table(config.collection()?)?;
    for (at, (name, value)) in values.iter().enumerate() {
        statement.push(if at > 0 { ", " } else { " SET " });
        statement.name(name, "/data")?;
        statement.push(" = ");
        statement.value(value);
    }
    narrowed(config, &mut statement)?;
    changed(statement, database, Some(data))
}

fn delete(config: &Config, database: &Database) -> Result<Output> {
    required(config)?;
    let mut statement = begin(config, database, "DELETE FROM ");
    statement.table(config.collection()?)?;
    narrowed(config, &mut statement)?;
    changed(statement, database, None)
}

fn execute(config: &Config, database: &Database) -> Result<Output> {
    let query = config.query.as_ref().ok_or_else(|| Error::invalid("", "`query` is needed: the statement"))?;
    let text = certain(sql(query, "/query")?, "/query")?;
    let change = database.execute(text, &all_bound(config.params.as_ref()))?;
    let id = change.last_insert_id.map(Json::from);
    Ok(Output { count: change.rows_affected, inserted_id: id, ..Output::default() })
}

fn transaction(config: &Config, database: &Database) -> Result<Output> {
    let parts = config.statements.as_deref().unwrap_or_default();
    if parts.is_empty() || parts.len() > MAX_STATEMENTS {
        return Err(Error::invalid("/statements", format!("a transaction has 1 to {MAX_STATEMENTS} statements")));
    }
    for (at, part) in parts.iter().enumerate() {
        certain(&part.query, &format!("/statements/{at}/query"))?;
    }
    let work = |transaction: &Transaction| {
        let changes = parts.iter().map(|part| {
            let values: Vec<Value> = part.params.iter().map(bound).collect();
            Ok(transaction.execute(&part.query, &values)?.rows_affected)
        });
        changes.collect::<Result<Vec<u64>>>()
    };
    let results = database.transaction(work)?;
    Ok(Output { count: results.iter().sum(), results: Some(results), ..Output::default() })
}

/// A statement that begins so, and that ends with the config's `where`.
fn begin(config: &Config, database: &Database, text: &str) -> Statement {
    let style = config.conditions.as_ref().and_then(Json::as_str).map_or(Style::Question, style);
    let given = if style == Style::Dollar { all_bound(config.params.as_ref()) } else { Vec::new() };
    Statement::new(&database.dialect(), text, style, given)
}

/// Adds the config's `where`.
fn narrowed(config: &Config, statement: &mut Statement) -> Result<()> {
    match &config.conditions {
        None | Some(Json::Null) => Ok(()),
        Some(Json::Object(conditions)) => {
            statement.push(" WHERE ");
            conditions::write(conditions, statement)
        }
        Some(Json::String(text)) if !text.trim().is_empty() => {
            statement.push(&format!(" WHERE ({text})"));
            if style(text) == Style::Question {
                statement.values(all_bound(config.params.as_ref()));
            }
            Ok(())
        }
        Some(_) => Err(Error::invalid("/where", "conditions are an object, or SQL with `params`")),
    }
}

/// That a change says which rows it means.
fn required(config: &Config) -> Result<()> {
    match &config.conditions {
        None | Some(Json::Null) => {
            Err(Error::invalid("", "`where` is needed: a change without it would mean every row of the table"))
        }
        Some(_) => Ok(()),
    }
}

fn changed(statement: Statement, database: &Database, data: Option<&Json>) -> Result<Output> {
    let (text, values) = statement.finish();
    let change = database.execute(&text, &values)?;
    Ok(Output { data: data.cloned(), count: change.rows_affected, ..Output::default() })
}

fn sql<'a>(query: &'a Json, pointer: &str) -> Result<&'a str> {
    query.as_str().ok_or_else(|| Error::invalid(pointer, "SQL is a text"))
}

/// A statement that does not change every row of a table.
fn certain<'a>(text: &'a str, pointer: &str) -> Result<&'a str> {
    if changes_all(text) {
        return Err(Error::invalid(pointer, "a change without WHERE would mean every row of the table"));
    }
    Ok(text)
}

fn object(value: Option<&Json>, pointer: &str) -> Result<Map<String, Json>> {
    match value {
        None | Some(Json::Null) => Ok(Map::new()),
        Some(Json::Object(map)) => Ok(map.clone()),
        Some(other) => Err(Error::invalid(pointer, format!("an object is needed, not {}", json!(other)))),
    }
}
