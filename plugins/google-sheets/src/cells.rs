//! Rows of cells: from what an author writes, and to objects.

use std::collections::BTreeSet;

use remit_sdk::{
    Error, Result,
    serde_json::{Map, Value as Json},
};

use crate::{Config, Input};

/// The most cells of one step.
const MAX_CELLS: usize = 50_000;

/// The rows to write. Errors: `invalid` with the place of what is no cell.
pub(crate) fn rows(config: &Config) -> Result<Vec<Vec<Json>>> {
    let values = match &config.values {
        Some(Json::Array(values)) => values,
        _ => return Err(Error::invalid("/values", "`values` is a list of rows")),
    };
    let plain = |value: &Json| !value.is_array() && !value.is_object();
    let rows: Vec<Vec<Json>> = if !values.is_empty() && values.iter().all(plain) {
        vec![
            values
                .iter()
                .enumerate()
                .map(|(at, value)| cell(config, value, &format!("/values/{at}")))
                .collect::<Result<_>>()?,
        ]
    } else {
        let columns = columns(config, values);
        let each = values.iter().enumerate().map(|(at, row)| one(config, &columns, row, &format!("/values/{at}")));
        each.collect::<Result<_>>()?
    };
    if rows.iter().map(Vec::len).sum::<usize>() > MAX_CELLS {
        return Err(Error::invalid("/values", format!("a step writes {MAX_CELLS} cells at most")));
    }
    Ok(rows)
}

/// Rows as objects, by the names in the first of them. A cell that a row lacks is an empty text, as the sheet
/// shows it.
pub(crate) fn named(rows: &[Json]) -> Result<Vec<Json>> {
    let cells = |row: &Json| row.as_array().cloned().unwrap_or_default();
    let Some((first, rows)) = rows.split_first() else { return Ok(Vec::new()) };
    let names: Vec<String> =
        cells(first).iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect();
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return Err(Error::refused("two columns have the same name in the first row"));
    }
    let object = |row: &Json| {
        let mut cells = cells(row).into_iter();
        let named = names.iter().map(|name| (name.clone(), cells.next().unwrap_or_else(|| "".into())));
        Json::Object(named.collect::<Map<_, _>>())
    };
    Ok(rows.iter().map(object).collect())
}

fn columns(config: &Config, values: &[Json]) -> Vec<String> {
    let first = || values.first().and_then(Json::as_object).map(|row| row.keys().cloned().collect());
    config.columns.clone().or_else(first).unwrap_or_default()
}

fn one(config: &Config, columns: &[String], row: &Json, pointer: &str) -> Result<Vec<Json>> {
    match row {
        Json::Array(cells) => {
            cells.iter().enumerate().map(|(at, value)| cell(config, value, &format!("{pointer}/{at}"))).collect()
        }
        Json::Object(fields) => columns
            .iter()
            .map(|name| {
                let value = fields.get(name);
                let value = value.ok_or_else(|| Error::invalid(pointer, format!("the row has no `{name}`")))?;
                cell(config, value, &format!("{pointer}/{name}"))
            })
            .collect(),
        _ => Err(Error::invalid(pointer, "a row is a list of cells, or an object")),
    }
}

/// A value as a cell. What is typed in and would compute something is marked as text, by the sign that people use.
fn cell(config: &Config, value: &Json, pointer: &str) -> Result<Json> {
    match value {
        // Google's null leaves a cell as it is; who writes a row means that it is empty.
        Json::Null => Ok("".into()),
        Json::Bool(_) | Json::Number(_) => Ok(value.clone()),
        Json::String(text) if config.input == Input::Entered && computes(text) => Ok(format!("'{text}").into()),
        Json::String(_) => Ok(value.clone()),
        Json::Array(_) | Json::Object(_) => Err(Error::invalid(pointer, "a cell is a text, number or boolean")),
    }
}

/// Whether a text would be taken for a formula: `+1` and `-2.50` are numbers.
fn computes(text: &str) -> bool {
    let text = text.trim_start();
    match text.chars().next() {
        Some('=' | '@') => true,
        Some('+' | '-') => text.trim_end().parse::<f64>().is_err(),
        _ => false,
    }
}
