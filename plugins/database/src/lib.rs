//! Steps of type `database`: the node `database.run`, for SQL and for documents alike.
//!
//! `operation` says all that decides a grant: `primary.mysql.select` reads the source `primary`. Values
//! never become part of a statement, and what comes from outside never becomes a condition: it is bound, or
//! must be plain. It lacks changes of a schema, and rows given back by a change.

mod conditions;
mod documents;
mod operation;
mod relational;
mod statement;
mod validate;

use remit_sdk::{prelude::*, serde_json::Value as Json};

use crate::operation::{Operation, Verb};

node_set![
    Node::new("run", "Reads or changes a database, by SQL or as documents.", run)
        .title("Database")
        .validates(validate::validate)
];

/// How many rows or documents a step gives if it says no number.
const DEFAULT_LIMIT: u32 = 1_000;
/// The most that it may ask for.
const MAX_LIMIT: u32 = 5_000;

/// What to do, and with what. Which keys belong together depends on the operation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    /// `<source>.<kind>.<verb>`, such as `primary.mysql.select` or `analytics.mongodb.find`. For `mysql`, `postgres`,
    /// `sqlite` and `bigquery`: `select`, `query`, `count`, `insert`, `update`, `delete`, `execute`, `transaction`.
    /// For `mongodb` and `documents`: `find`, `findOne`, `count`, `aggregate`, `insert`, `insertOne`, `insertMany`,
    /// `update`, `updateOne`, `updateMany`, `delete`, `deleteOne`, `deleteMany`.
    operation: String,
    /// SQL with `?` or `$1` for values; for documents a filter, or the stages of an `aggregate`.
    query: Option<Json>,
    /// The values of the parameters in `query` or in a `where` that is a text, in order.
    params: Option<Vec<Json>>,
    /// The table or collection.
    collection: Option<String>,
    /// What to insert (an object, or a list of them), or the new values of an update.
    data: Option<Json>,
    /// Which rows: an object such as `{status: active, total: {gte: 100}}`, or SQL with `params`. For documents
    /// a filter.
    #[serde(rename = "where")]
    conditions: Option<Json>,
    /// The columns that a `select` by `collection` gives; all by default.
    columns: Option<Vec<String>>,
    /// The fields that documents are given with, such as `{name: 1}`.
    projection: Option<Json>,
    /// The order, such as `{created_at: desc}` or `{created_at: -1}`.
    sort: Option<Json>,
    /// How many rows or documents to pass over.
    skip: Option<u32>,
    /// The most rows or documents to give, 1,000 by default; `truncated` says that there are more.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<u32>,
    /// The stages of an `aggregate`.
    pipeline: Option<Json>,
    /// The operators of an update of documents, such as `{$inc: {visits: 1}}`, in place of `data`.
    update: Option<Json>,
    /// Whether an update of documents inserts one where the filter meets none.
    upsert: Option<bool>,
    /// The column that holds the key of an inserted row, which PostgreSQL tells only if asked: `insertedId`.
    returning: Option<String>,
    /// The statements of a `transaction`: all take effect, or none.
    statements: Option<Vec<Part>>,
}

/// One statement of a transaction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// SQL that changes rows.
    query: String,
    /// The values of its parameters.
    #[serde(default)]
    params: Vec<Json>,
}

/// What came of it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    /// As in the config.
    operation: String,
    /// The source's name.
    data_source: String,
    /// The rows or documents, or what was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    /// How many rows or documents were given, counted or changed.
    count: u64,
    /// Whether there are more than `data` holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// The key of the inserted row or document.
    #[serde(skip_serializing_if = "Option::is_none")]
    inserted_id: Option<Json>,
    /// The keys of several inserted documents, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    inserted_ids: Option<Vec<Json>>,
    /// How many documents an update's filter met; `count` is how many then differed.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<u64>,
    /// The key of the document that an update inserted instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    upserted_id: Option<Json>,
    /// How many rows each statement of a transaction changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<u64>>,
}

impl Config {
    fn limit(&self) -> Result<u32> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            _ => Err(Error::invalid("/limit", format!("`limit` is a number from 1 to {MAX_LIMIT}"))),
        }
    }

    fn collection(&self) -> Result<&str> {
        self.collection.as_deref().ok_or_else(|| Error::invalid("", "`collection` is needed: the table's name"))
    }

    fn data(&self) -> Result<&Json> {
        self.data.as_ref().ok_or_else(|| Error::invalid("", "`data` is needed"))
    }
}

impl Output {
    /// Of rows or documents of which one more than `limit` was asked for.
    fn of_list(mut found: Vec<Json>, limit: u32, more: bool) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let truncated = more || found.len() > limit;
        found.truncate(limit);
        Self { count: found.len() as u64, data: Some(found.into()), truncated: Some(truncated), ..Self::default() }
    }
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    let operation = Operation::parse(&config.operation).map_err(|message| Error::invalid("/operation", message))?;
    let output = match operation.verb {
        Verb::Relational(verb) => relational::run(verb, &config, &call.database(operation.source)?),
        Verb::Documents(verb) => documents::run(verb, &config, &call.documents(operation.source)?),
    }?;
    let source = operation.source.to_owned();
    Ok(Output { success: true, data_source: source, operation: config.operation, ..output })
}

#[cfg(test)]
mod tests;
