//! Steps of type `google_sheets`: the node `google-sheets.run`, values of Google's spreadsheets by range.
//!
//! A cell is written as the value that it is: a text that looks like a formula stays a text unless the step
//! asks for formulas. It lacks formats, charts and changes of a sheet's shape.

mod cells;

use remit_sdk::{
    prelude::*,
    serde_json::Value as Json,
    source::{Response, segment},
};

node_set![
    Node::new("run", "Reads, appends, replaces or clears cells of a Google spreadsheet, or makes a new one.", run)
        .title("Google Sheets")
        .validates(validate)
];

/// The source that is asked if a step names none.
const SOURCE: &str = "google_sheets";

/// What to do, and with what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    /// What to do.
    operation: Operation,
    /// The API source; `google_sheets` if none.
    source: Option<String>,
    /// The spreadsheet: what stands between `/d/` and `/edit` in its address.
    spreadsheet_id: Option<String>,
    /// The cells, such as `Daily!A2:C10`, or a sheet's name for all of it.
    range: Option<String>,
    /// The rows to write: lists of cells, or objects with `columns`; a list of plain values is one row.
    values: Option<Json>,
    /// The keys of `values` that are objects, in the order of the cells; as the first object has them if none.
    columns: Option<Vec<String>>,
    /// How texts are written.
    #[serde(default)]
    input: Input,
    /// How values are read.
    #[serde(default)]
    render: Render,
    /// Whether the first row read holds names, so that each row is given as an object.
    #[serde(default)]
    header: bool,
    /// The title of a new spreadsheet.
    title: Option<String>,
    /// The names of a new spreadsheet's sheets.
    sheets: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Operation {
    #[serde(rename = "values.get")]
    Get,
    #[serde(rename = "values.append")]
    Append,
    #[serde(rename = "values.update")]
    Update,
    #[serde(rename = "values.clear")]
    Clear,
    #[serde(rename = "sheets.create")]
    Create,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Input {
    /// As they are.
    #[default]
    Raw,
    /// As if typed in: `12.50` becomes a number and `2026-11-23` a day, but nothing becomes a formula.
    Entered,
    /// As if typed in, formulas included: for texts that nobody else has a word in.
    Formulas,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Render {
    /// As people see them: `$1,234.50`.
    #[default]
    Formatted,
    /// Numbers as numbers.
    Unformatted,
    /// Formulas, not what they come to.
    Formula,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    operation: Operation,
    /// The source's name.
    data_source: String,
    /// The spreadsheet.
    spreadsheet_id: String,
    /// The cells that were read or changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    /// The rows read.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    /// How many rows were read or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// How many cells were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_cells: Option<u64>,
    /// Where people find a new spreadsheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

fn validate(config: &Written<'_>) -> Option<Validated> {
    config.requires("google_sheets", &["operation"]);
    let operation: Operation = config.choice("operation")?;
    let name = config.literal("operation").unwrap_or_default();
    let (needed, others): (&[&str], &[&str]) = match operation {
        Operation::Get => (&["spreadsheetId", "range"], &["render", "header"]),
        Operation::Append | Operation::Update => (&["spreadsheetId", "range", "values"], &["columns", "input"]),
        Operation::Clear => (&["spreadsheetId", "range"], &[]),
        Operation::Create => (&["title"], &["sheets"]),
    };
    config.requires(name, needed);
    config.takes_only(name, &[needed, others, &["operation", "source"]].concat());
    // What decides whether a text from outside may compute something is the author's alone.
    config.literal("input");
    let source = if config.has("source") { config.literal("source")? } else { SOURCE };
    Some(match operation {
        Operation::Get => Validated::harmless(vec![Need::reads(source)]),
        Operation::Update | Operation::Clear => Validated::harmless(vec![Need::writes(source)]),
        Operation::Append | Operation::Create => Validated::harmful(vec![Need::writes(source)]),
    })
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    let source = config.source.as_deref().unwrap_or(SOURCE);
    let api = call.api(source)?;
    let empty = Output {
        success: true,
        operation: config.operation,
        data_source: source.to_owned(),
        spreadsheet_id: config.spreadsheet_id.clone().unwrap_or_default(),
        range: None,
        data: None,
        count: None,
        updated_cells: None,
        url: None,
    };
    match config.operation {
        Operation::Get => get(&config, &api, empty),
        Operation::Append => append(&config, &api, empty),
        Operation::Update => update(&config, &api, empty),
        Operation::Clear => clear(&config, &api, empty),
        Operation::Create => create(&config, &api, empty),
    }
}

fn get(config: &Config, api: &Api, empty: Output) -> Result<Output> {
    let render = match config.render {
        Render::Formatted => "FORMATTED_VALUE",
        Render::Unformatted => "UNFORMATTED_VALUE",
        Render::Formula => "FORMULA",
    };
    let mut body = asked(api, &Request::get(cells_of(config, "")?).query("valueRenderOption", render))?;
    // A range without any value is answered without `values`.
    let rows = match body.get_mut("values").map(Json::take) {
        Some(Json::Array(rows)) => rows,
        _ => Vec::new(),
    };
    let rows = if config.header { cells::named(&rows)? } else { rows };
    let count = Some(rows.len() as u64);
    Ok(Output { range: text(&body, "/range"), data: Some(rows.into()), count, ..empty })
}

fn append(config: &Config, api: &Api, empty: Output) -> Result<Output> {
    let rows = cells::rows(config)?;
    if rows.is_empty() {
        return Ok(Output { count: Some(0), updated_cells: Some(0), ..empty });
    }
    let request = Request::post(cells_of(config, ":append")?)
        .query("valueInputOption", entered(config))
        .query("insertDataOption", "INSERT_ROWS")
        .json(&json!({"values": rows}))?;
    let body = asked(api, &request)?;
    written(&body, "/updates", empty)
}

fn update(config: &Config, api: &Api, empty: Output) -> Result<Output> {
    let rows = cells::rows(config)?;
    if rows.is_empty() {
        return Err(Error::invalid("/values", "no rows: `values.clear` empties cells"));
    }
    let request = Request::put(cells_of(config, "")?)
        .query("valueInputOption", entered(config))
        .json(&json!({"values": rows}))?;
    written(&asked(api, &request)?, "", empty)
}

fn clear(config: &Config, api: &Api, empty: Output) -> Result<Output> {
    let body = asked(api, &Request::post(cells_of(config, ":clear")?).json(&json!({}))?)?;
    Ok(Output { range: text(&body, "/clearedRange"), ..empty })
}

fn create(config: &Config, api: &Api, empty: Output) -> Result<Output> {
    let title = config.title.as_deref().filter(|title| !title.trim().is_empty());
    let title = title.ok_or_else(|| Error::invalid("/title", "a spreadsheet has a title"))?;
    let mut body = json!({"properties": {"title": title}});
    if let (Some(sheets), Some(body)) = (&config.sheets, body.as_object_mut()) {
        let sheets: Vec<Json> = sheets.iter().map(|sheet| json!({"properties": {"title": sheet}})).collect();
        body.insert("sheets".to_owned(), sheets.into());
    }
    let made = asked(api, &Request::post("spreadsheets").json(&body)?)?;
    let id = text(&made, "/spreadsheetId");
    let id = id.ok_or_else(|| Error::refused("the service did not say which spreadsheet it made"))?;
    Ok(Output { spreadsheet_id: id, url: text(&made, "/spreadsheetUrl"), ..empty })
}

/// The path of the config's range, and what follows it.
fn cells_of(config: &Config, verb: &str) -> Result<String> {
    let needed = |value: &Option<String>, pointer: &str, what: &str| {
        let text = value.as_deref().map(str::trim).filter(|text| !text.is_empty() && *text != "." && *text != "..");
        text.map(segment).ok_or_else(|| Error::invalid(pointer, what))
    };
    let id = needed(&config.spreadsheet_id, "/spreadsheetId", "which spreadsheet?")?;
    let range = needed(&config.range, "/range", "which cells?")?;
    Ok(format!("spreadsheets/{id}/values/{range}{verb}"))
}

fn entered(config: &Config) -> &'static str {
    if config.input == Input::Raw { "RAW" } else { "USER_ENTERED" }
}

fn written(body: &Json, below: &str, empty: Output) -> Result<Output> {
    let number = |name: &str| body.pointer(&format!("{below}/{name}")).and_then(Json::as_u64);
    Ok(Output {
        range: text(body, &format!("{below}/updatedRange")),
        count: number("updatedRows"),
        updated_cells: number("updatedCells"),
        ..empty
    })
}

/// A request that must succeed. A refusal tells what Google says.
fn asked(api: &Api, request: &Request) -> Result<Json> {
    let response = api.send(request)?;
    if response.is_success() {
        return api.json_of(&response);
    }
    Err(api.failure(request.method, &response, &words(api, &response)))
}

fn words(api: &Api, response: &Response) -> String {
    let body: Option<Json> = api.json_of(response).ok();
    body.as_ref().and_then(|body| text(body, "/error/message")).unwrap_or_default()
}

fn text(body: &Json, pointer: &str) -> Option<String> {
    body.pointer(pointer).and_then(Json::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests;
