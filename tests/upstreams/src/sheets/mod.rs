//! Google's Sheets API: spreadsheets, their sheets, and values by range.
//!
//! State begins with TechStart's daily report. It accepts the tokens of a [`TokenServer`](crate::tokens). It
//! lacks formats and the computing of formulas: a formula is kept and given back as it was written.

mod range;

use std::net::SocketAddr;

use anyhow::Result;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use self::range::Range;
use crate::asked::{Asked, serve};
use crate::running::Running;
use crate::tokens::Issued;

/// The spreadsheet of the daily report.
pub const REPORT: &str = "1DailyReportTechStart";

/// Starts the service, which accepts these tokens; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr, issued: Issued) -> Result<Running> {
    let rows = [
        ["Date", "Orders", "Revenue"].map(Value::from).to_vec(),
        vec!["2026-09-28".into(), 14.into(), 18_230.5.into()],
        vec!["2026-09-29".into(), 9.into(), 7_411.25.into()],
    ];
    let sheets = vec![
        Sheet { id: 0, title: "Daily".to_owned(), rows: rows.to_vec() },
        Sheet { id: 1, title: "Lead Scores".to_owned(), rows: Vec::new() },
    ];
    let report = Spreadsheet { id: REPORT.to_owned(), title: "Daily report".to_owned(), sheets };
    serve(addr, Drive { issued, held: vec![report] }, answer, fault).await
}

struct Drive {
    issued: Issued,
    held: Vec<Spreadsheet>,
}

struct Spreadsheet {
    id: String,
    title: String,
    sheets: Vec<Sheet>,
}

struct Sheet {
    id: usize,
    title: String,
    /// Without empty cells at the end of a row.
    rows: Vec<Vec<Value>>,
}

type Answer = Result<Value, StatusCode>;

fn answer(drive: &mut Drive, asked: &Asked) -> Response {
    if !drive.issued.accepts(&asked.headers) {
        return fault(StatusCode::UNAUTHORIZED);
    }
    match dispatch(drive, asked) {
        Ok(body) => Json(body).into_response(),
        Err(status) => fault(status),
    }
}

fn dispatch(drive: &mut Drive, asked: &Asked) -> Answer {
    let parts = asked.parts("/v4/spreadsheets").ok_or(StatusCode::NOT_FOUND)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let ([""], &Method::POST) = (parts.as_slice(), &asked.method) {
        let given = asked.object(None).ok_or(StatusCode::BAD_REQUEST)?;
        let title = given.get("properties").and_then(|it| it.get("title")).and_then(Value::as_str);
        let title = title.unwrap_or("Untitled spreadsheet").to_owned();
        let sheets = vec![Sheet { id: 0, title: "Sheet1".to_owned(), rows: Vec::new() }];
        let made = Spreadsheet { id: format!("1StandIn{:04}", drive.held.len()), title, sheets };
        let shown = made.shown();
        drive.held.push(made);
        return Ok(shown);
    }
    let [id, rest @ ..] = parts.as_slice() else { return Err(StatusCode::NOT_FOUND) };
    let (id, verb) = id.split_once(':').map_or((*id, None), |(id, verb)| (id, Some(verb)));
    let spreadsheet = drive.held.iter_mut().find(|it| it.id == id).ok_or(StatusCode::NOT_FOUND)?;
    match (asked.method.as_str(), rest, verb) {
        ("GET", [], None) => Ok(spreadsheet.shown()),
        ("POST", [], Some("batchUpdate")) => spreadsheet.batch_update(asked),
        ("GET", ["values:batchGet"], None) => {
            let ranges: Result<Vec<_>, _> = asked.all("ranges").map(|range| spreadsheet.values(range)).collect();
            Ok(json!({"spreadsheetId": spreadsheet.id, "valueRanges": ranges?}))
        }
        ("GET", ["values", range], None) => spreadsheet.values(range),
        ("PUT", ["values", range], None) => {
            let rows = given_rows(asked)?;
            let (sheet, range) = spreadsheet.place(range)?;
            let (title, cells) = (sheet.title.clone(), sheet.write(range.top, range.left, &rows));
            let written = range.covering(rows.len(), rows.iter().map(Vec::len).max().unwrap_or_default());
            Ok(updated(id, &written.text(&title), rows.len(), cells))
        }
        ("POST", ["values", range], None) => {
            let (range, verb) = range.rsplit_once(':').ok_or(StatusCode::NOT_FOUND)?;
            match verb {
                "append" => {
                    let rows = given_rows(asked)?;
                    let (sheet, range) = spreadsheet.place(range)?;
                    let top = sheet.rows.len().max(range.top);
                    let (title, cells) = (sheet.title.clone(), sheet.write(top, range.left, &rows));
                    let wide = rows.iter().map(Vec::len).max().unwrap_or_default();
                    let written = range.at_row(top).covering(rows.len(), wide);
                    let updates = updated(id, &written.text(&title), rows.len(), cells);
                    Ok(json!({"spreadsheetId": id, "updates": updates}))
                }
                "clear" => {
                    let (sheet, range) = spreadsheet.place(range)?;
                    sheet.clear(range);
                    Ok(json!({"spreadsheetId": id, "clearedRange": range.text(&sheet.title)}))
                }
                _ => Err(StatusCode::NOT_FOUND),
            }
        }
        _ => Err(StatusCode::NOT_FOUND),
    }
}

impl Spreadsheet {
    fn shown(&self) -> Value {
        let sheets: Vec<_> = self.sheets.iter().map(Sheet::shown).collect();
        let url = format!("https://docs.google.com/spreadsheets/d/{}/edit", self.id);
        json!({
            "spreadsheetId": self.id, "properties": {"title": self.title, "locale": "en_US"}, "sheets": sheets,
            "spreadsheetUrl": url,
        })
    }

    /// The sheet and the cells of `Sheet!A1:B2`, `Sheet`, or `A1:B2` of the first.
    fn place(&mut self, text: &str) -> Result<(&mut Sheet, Range), StatusCode> {
        let (title, cells) = match text.rsplit_once('!') {
            Some((title, cells)) => (Some(title), Some(cells)),
            None if self.sheets.iter().any(|sheet| sheet.title == text.trim_matches('\'')) => (Some(text), None),
            None => (None, Some(text)),
        };
        let range = cells.map_or(Ok(Range::ALL), |cells| Range::parse(cells).ok_or(StatusCode::BAD_REQUEST))?;
        let sheet = match title.map(|title| title.trim_matches('\'')) {
            Some(title) => self.sheets.iter_mut().find(|sheet| sheet.title == title),
            None => self.sheets.first_mut(),
        };
        Ok((sheet.ok_or(StatusCode::BAD_REQUEST)?, range))
    }

    fn values(&mut self, text: &str) -> Answer {
        let (sheet, range) = self.place(text)?;
        let rows = sheet.read(range);
        let mut answer = json!({"range": range.text(&sheet.title), "majorDimension": "ROWS"});
        // The real service leaves out what is empty.
        if let (false, Some(answer)) = (rows.is_empty(), answer.as_object_mut()) {
            answer.insert("values".to_owned(), rows.into());
        }
        Ok(answer)
    }

    fn batch_update(&mut self, asked: &Asked) -> Answer {
        let given = asked.object(None).ok_or(StatusCode::BAD_REQUEST)?;
        let requests = given.get("requests").and_then(Value::as_array).ok_or(StatusCode::BAD_REQUEST)?;
        let mut replies = Vec::new();
        for request in requests {
            let title = request.pointer("/addSheet/properties/title").and_then(Value::as_str);
            let title = title.ok_or(StatusCode::BAD_REQUEST)?;
            if self.sheets.iter().any(|sheet| sheet.title == title) {
                return Err(StatusCode::BAD_REQUEST);
            }
            let sheet = Sheet { id: self.sheets.len(), title: title.to_owned(), rows: Vec::new() };
            replies.push(json!({"addSheet": sheet.shown()}));
            self.sheets.push(sheet);
        }
        Ok(json!({"spreadsheetId": self.id, "replies": replies}))
    }
}

impl Sheet {
    fn shown(&self) -> Value {
        json!({"properties": {"sheetId": self.id, "title": self.title, "index": self.id, "sheetType": "GRID"}})
    }

    fn read(&self, range: Range) -> Vec<Vec<Value>> {
        let rows = self.rows.iter().skip(range.top).take(range.height());
        let mut found: Vec<Vec<Value>> =
            rows.map(|row| row.iter().skip(range.left).take(range.width()).cloned().collect()).collect();
        while found.last().is_some_and(Vec::is_empty) {
            found.pop();
        }
        found
    }

    /// Writes rows and says how many cells that were.
    fn write(&mut self, top: usize, left: usize, rows: &[Vec<Value>]) -> usize {
        let mut cells = 0;
        for (at, values) in (top..).zip(rows) {
            if self.rows.len() <= at {
                self.rows.resize(at + 1, Vec::new());
            }
            let Some(row) = self.rows.get_mut(at) else { continue };
            if row.len() < left + values.len() {
                row.resize(left + values.len(), "".into());
            }
            for (cell, value) in row.iter_mut().skip(left).zip(values) {
                *cell = value.clone();
                cells += 1;
            }
            trim(row);
        }
        cells
    }

    fn clear(&mut self, range: Range) {
        for row in self.rows.iter_mut().skip(range.top).take(range.height()) {
            for cell in row.iter_mut().skip(range.left).take(range.width()) {
                *cell = "".into();
            }
            trim(row);
        }
        while self.rows.last().is_some_and(Vec::is_empty) {
            self.rows.pop();
        }
    }
}

fn trim(row: &mut Vec<Value>) {
    while row.last().is_some_and(|cell| cell == "") {
        row.pop();
    }
}

/// The rows of a request, as they are kept: texts as they are with `RAW`, numbers and truth values read with
/// `USER_ENTERED`.
fn given_rows(asked: &Asked) -> Result<Vec<Vec<Value>>, StatusCode> {
    let entered = match asked.get("valueInputOption") {
        Some("RAW") => false,
        Some("USER_ENTERED") => true,
        _ => return Err(StatusCode::BAD_REQUEST),
    };
    let given = asked.object(None).ok_or(StatusCode::BAD_REQUEST)?;
    let rows = given.get("values").and_then(Value::as_array).ok_or(StatusCode::BAD_REQUEST)?;
    let cell = |value: &Value| match value {
        Value::String(text) if entered => match (text.parse::<f64>(), text.as_str()) {
            (Ok(number), _) => json!(number),
            (_, "TRUE") => true.into(),
            (_, "FALSE") => false.into(),
            _ => value.clone(),
        },
        Value::Null => "".into(),
        other => other.clone(),
    };
    let row = |row: &Value| row.as_array().map(|row| row.iter().map(cell).collect());
    rows.iter().map(row).collect::<Option<_>>().ok_or(StatusCode::BAD_REQUEST)
}

fn updated(id: &str, range: &str, rows: usize, cells: usize) -> Value {
    json!({"spreadsheetId": id, "updatedRange": range, "updatedRows": rows, "updatedCells": cells})
}

/// The answer of a status that a test asked for, or that a request came to.
fn fault(status: StatusCode) -> Response {
    let (word, message) = match status {
        StatusCode::UNAUTHORIZED => ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
        StatusCode::NOT_FOUND => ("NOT_FOUND", "Requested entity was not found."),
        StatusCode::BAD_REQUEST => ("INVALID_ARGUMENT", "Request contains an invalid argument."),
        StatusCode::TOO_MANY_REQUESTS => ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Read requests'."),
        StatusCode::SERVICE_UNAVAILABLE => ("UNAVAILABLE", "The service is currently unavailable."),
        _ => ("INTERNAL", "Internal error encountered."),
    };
    let error = json!({"code": status.as_u16(), "message": message, "status": word});
    (status, Json(json!({"error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::client::{Answer, send};
    use crate::tokens::TokenServer;

    #[tokio::test]
    async fn values_are_read_written_appended_and_cleared() -> Result<()> {
        let tokens = TokenServer::start(([127, 0, 0, 1], 0).into()).await?;
        let running = start(([127, 0, 0, 1], 0).into(), tokens.issued.clone()).await?;
        let bearer = format!("Bearer {}", tokens.issued.give());
        let ask = async |method: &str, rest: &str, body: Option<Value>| -> Result<Answer> {
            let target = format!("/v4/spreadsheets/{REPORT}{rest}");
            send(&running, method, &target, &[("Authorization", bearer.as_str())], body).await
        };
        let read = ask("GET", "/values/Daily!A2:B3", None).await?.json()?;
        assert_eq!(read["values"], json!([["2026-09-28", 14], ["2026-09-29", 9]]));
        let row = json!({"values": [["2026-09-30", "11", "=SUM(B2:B4)"]]});
        let append = "/values/Daily!A1:append?valueInputOption=USER_ENTERED";
        let added = ask("POST", append, Some(row.clone())).await?.json()?;
        assert_eq!(added["updates"]["updatedRange"], "Daily!A4:C4");
        let written = ask("PUT", "/values/'Lead%20Scores'!B2?valueInputOption=RAW", Some(row)).await?.json()?;
        assert_eq!(
            (written["updatedCells"].as_u64(), written["updatedRange"].as_str()),
            (Some(3), Some("'Lead Scores'!B2:D2"))
        );
        let both = ask("GET", "/values:batchGet?ranges=Daily!A4:C&ranges=Lead%20Scores", None).await?.json()?;
        assert_eq!(both["valueRanges"][0]["values"], json!([["2026-09-30", 11.0, "=SUM(B2:B4)"]]));
        assert_eq!(both["valueRanges"][1]["values"], json!([[], ["", "2026-09-30", "11", "=SUM(B2:B4)"]]));
        ask("POST", "/values/Daily!A2:C:clear", None).await?;
        assert_eq!(ask("GET", "/values/Daily", None).await?.json()?["values"], json!([["Date", "Orders", "Revenue"]]));
        let sheet = json!({"requests": [{"addSheet": {"properties": {"title": "October"}}}]});
        assert_eq!(ask("POST", ":batchUpdate", Some(sheet)).await?.status, 200);
        assert_eq!(ask("GET", "", None).await?.json()?["sheets"].as_array().map(Vec::len), Some(3));
        for (method, rest, status) in [
            ("GET", "/values/None!A1", 400),
            ("GET", "/values/Daily!1A", 400),
            ("PUT", "/values/Daily!A1", 400),
            ("GET", "/x", 404),
        ] {
            assert_eq!(ask(method, rest, Some(json!({"values": []}))).await?.status, status, "{rest}");
        }
        tokens.issued.revoke_all();
        assert_eq!(ask("GET", "", None).await?.status, 401);
        Ok(())
    }
}
