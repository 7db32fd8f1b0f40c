//! Steps run against fakes, as the host runs them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::{Method, Response},
    testing::{self, FakeApi},
};

use super::node_set;

const VALUES: &str = "spreadsheets/1Report/values/Daily%21A2%3AC10";

fn execute(api: &FakeApi, config: Json) -> Result<Json> {
    let call = testing::call().writes("google_sheets", api).build();
    let outcome = node_set().execute("run", &config.to_string(), "null", &call)?;
    Ok(serde_json::from_str(&outcome.output).unwrap())
}

fn config(operation: &str, more: Json) -> Json {
    let mut config = json!({"operation": operation, "spreadsheetId": "1Report", "range": "Daily!A2:C10"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config
}

fn answering(method: Method, path: &str, body: Json) -> FakeApi {
    FakeApi::new().answer(method, path, move |_| Ok(Response::of_json(200, &body)))
}

fn sent(api: &FakeApi) -> Json {
    serde_json::from_slice(api.requests()[0].body.as_deref().unwrap()).unwrap()
}

#[test]
fn values_are_read() {
    let rows = json!([["Date", "Orders"], ["2026-09-28", "14"], ["2026-09-29"]]);
    let api = answering(Method::Get, VALUES, json!({"range": "Daily!A2:C4", "values": rows}));
    let output = execute(&api, config("values.get", json!({}))).unwrap();
    let expected = json!({
        "success": true, "operation": "values.get", "dataSource": "google_sheets", "spreadsheetId": "1Report",
        "range": "Daily!A2:C4", "data": rows, "count": 3,
    });
    assert_eq!(output, expected);
    let named = execute(&api, config("values.get", json!({"header": true, "render": "unformatted"}))).unwrap();
    assert_eq!(named["data"], json!([{"Date": "2026-09-28", "Orders": "14"}, {"Date": "2026-09-29", "Orders": ""}]));
    assert_eq!(api.requests()[1].query, [("valueRenderOption".to_owned(), "UNFORMATTED_VALUE".to_owned())]);
    let empty = answering(Method::Get, VALUES, json!({"range": "Daily!A2:C4"}));
    assert_eq!(execute(&empty, config("values.get", json!({"header": true}))).unwrap()["data"], json!([]));
    let twice = answering(Method::Get, VALUES, json!({"values": [["A", "A"], [1, 2]]}));
    assert!(matches!(execute(&twice, config("values.get", json!({"header": true}))), Err(Error::Refused(_))));
}

#[test]
fn rows_are_appended() {
    let updates = json!({"updates": {"updatedRange": "Daily!A4:C4", "updatedRows": 1, "updatedCells": 3}});
    let append = format!("{VALUES}:append");
    let appending = |more: Json| {
        let api = answering(Method::Post, &append, updates.clone());
        let output = execute(&api, config("values.append", more)).unwrap();
        (output, sent(&api)["values"].clone(), api.requests()[0].query.clone())
    };
    let (output, values, query) = appending(json!({"values": ["2026-11-23", 9, null]}));
    assert_eq!(
        (&output["range"], &output["count"], &output["updatedCells"]),
        (&json!("Daily!A4:C4"), &json!(1), &json!(3))
    );
    assert_eq!(values, json!([["2026-11-23", 9, ""]]));
    assert_eq!(query[0], ("valueInputOption".to_owned(), "RAW".to_owned()));
    let rows = json!([{"day": "a", "total": "12.50"}, {"total": "=IMPORTXML(1)", "day": "+SUM(1)"}]);
    let (_, values, query) = appending(json!({"values": rows, "columns": ["total", "day"], "input": "entered"}));
    assert_eq!(values, json!([["12.50", "a"], ["'=IMPORTXML(1)", "'+SUM(1)"]]));
    assert_eq!(query[0].1, "USER_ENTERED");
    let (_, values, _) = appending(json!({"values": [["=SUM(B2:B4)", "-2.5", "@x"]], "input": "formulas"}));
    assert_eq!(values, json!([["=SUM(B2:B4)", "-2.5", "@x"]]));
    let (_, values, _) = appending(json!({"values": [["-2.5", "-x", true]], "input": "entered"}));
    assert_eq!(values, json!([["-2.5", "'-x", true]]));
    let none = FakeApi::new();
    assert_eq!(execute(&none, config("values.append", json!({"values": []}))).unwrap()["count"], 0);
    assert_eq!(none.requests(), []);
}

#[test]
fn cells_are_replaced_and_cleared_and_spreadsheets_made() {
    let updated = json!({"updatedRange": "Daily!A2:B2", "updatedRows": 1, "updatedCells": 2});
    let api = answering(Method::Put, VALUES, updated);
    let output = execute(&api, config("values.update", json!({"values": [[1, 2]]}))).unwrap();
    assert_eq!((&output["range"], &output["updatedCells"]), (&json!("Daily!A2:B2"), &json!(2)));
    let api = answering(Method::Post, &format!("{VALUES}:clear"), json!({"clearedRange": "Daily!A2:C10"}));
    assert_eq!(execute(&api, config("values.clear", json!({}))).unwrap()["range"], "Daily!A2:C10");
    let made = json!({"spreadsheetId": "1New", "spreadsheetUrl": "https://docs.google.com/spreadsheets/d/1New/edit"});
    let api = answering(Method::Post, "spreadsheets", made);
    let create = json!({"operation": "sheets.create", "title": "November", "sheets": ["Daily"]});
    let output = execute(&api, create).unwrap();
    assert_eq!(
        (&output["spreadsheetId"], &output["url"]),
        (&json!("1New"), &json!("https://docs.google.com/spreadsheets/d/1New/edit"))
    );
    assert_eq!(
        sent(&api),
        json!({"properties": {"title": "November"}, "sheets": [{"properties": {"title": "Daily"}}]})
    );
}

#[test]
fn what_is_no_row_is_not_written() {
    let api = FakeApi::new();
    let large: Vec<Vec<u32>> = vec![vec![0; 100]; 501];
    for (operation, more, pointer) in [
        ("values.append", json!({"values": "x"}), "/values"),
        ("values.append", json!({"values": [[1], "x"]}), "/values/1"),
        ("values.append", json!({"values": [[{"a": 1}]]}), "/values/0/0"),
        ("values.append", json!({"values": [{"a": 1}, {"b": 1}]}), "/values/1"),
        ("values.append", json!({"values": large}), "/values"),
        ("values.update", json!({"values": []}), "/values"),
        ("values.get", json!({"range": " "}), "/range"),
        ("values.clear", json!({"spreadsheetId": ".."}), "/spreadsheetId"),
        ("sheets.create", json!({"title": ""}), "/title"),
    ] {
        match execute(&api, config(operation, more.clone())) {
            Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{more}"),
            other => panic!("{more}: {other:?}"),
        }
    }
    assert_eq!(api.requests(), []);
    let refusing = FakeApi::new().answer(Method::Get, VALUES, |_| {
        Ok(Response::of_json(400, &json!({"error": {"message": "Unable to parse range"}})))
    });
    let refused = execute(&refusing, config("values.get", json!({}))).unwrap_err();
    assert!(matches!(refused.cause(), Some(Cause::Rejected(it)) if it.message.ends_with("400: Unable to parse range")));
}

#[test]
fn what_a_config_needs_stands_in_its_operation() {
    let of = |config: Json| {
        let found = node_set().validate("run", &config.to_string());
        found.map_err(|problems| problems.into_iter().map(|it| it.pointer).collect::<Vec<_>>())
    };
    let reads = Validated::harmless(vec![Need::reads("google_sheets")]);
    assert_eq!(of(config("values.get", json!({}))), Ok(reads));
    let append = config("values.append", json!({"values": "{{ steps.a.output.data }}", "source": "sheets"}));
    assert_eq!(of(append), Ok(Validated::harmful(vec![Need::writes("sheets")])));
    let update = config("values.update", json!({"values": [["{{ now }}"]]}));
    assert_eq!(of(update), Ok(Validated::harmless(vec![Need::writes("google_sheets")])));
    for (config, places) in [
        (json!({}), vec![""]),
        (json!({"operation": "values.delete"}), vec!["/operation"]),
        (json!({"operation": "values.append", "range": "A1"}), vec!["", ""]),
        (config("values.append", json!({"values": [], "input": "{{ x }}", "header": true})), vec!["/header", "/input"]),
        (config("sheets.create", json!({"title": "a"})), vec!["/spreadsheetId", "/range"]),
        (config("values.get", json!({"source": "{{ s }}"})), vec!["/source"]),
    ] {
        assert_eq!(of(config.clone()), Err(places.into_iter().map(str::to_owned).collect()), "{config}");
    }
}
