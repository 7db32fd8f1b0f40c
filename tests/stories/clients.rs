//! MCP by clients that others made, in both eras of the protocol, against the real host.
//!
//! Each makes the same requests and reports what it saw; one check holds for all of them. Without the
//! packages, which `cargo xtask test --all` installs, a story says that it is skipped.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::host::{Host, Setup, repository};

const OLDER: &str = "2025-11-25";
const NEWER: &str = "2026-07-28";
/// Node with a bundle of packages takes a second or two to begin, more on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A file that `cargo xtask test --all` installs, or nothing, which is said.
pub(super) fn tool(path: &str) -> Option<PathBuf> {
    present(path, &repository().join("target/tools").join(path))
}

/// What may be missing on this machine, or nothing, which is said.
pub(super) fn present(what: &str, file: &Path) -> Option<PathBuf> {
    if file.exists() {
        return Some(file.to_owned());
    }
    assert!(env::var_os("REMIT_TEST_ALL").is_none(), "{what} is not there, and REMIT_TEST_ALL forbids to skip");
    eprintln!("skipped: {what} is not there (`cargo xtask test --all` installs what it needs)");
    None
}

/// Inspector wants a newer Node than distributions have, so all scripts run on the one that npm brings.
pub(super) fn node() -> Option<PathBuf> {
    tool("node_modules/node/bin/node")
}

#[tokio::test]
async fn typescripts_first_sdk_speaks_the_older_era() {
    typescript("sdk", "legacy", OLDER).await;
}

#[tokio::test]
async fn typescripts_second_sdk_speaks_the_older_era() {
    typescript("client", "legacy", OLDER).await;
}

#[tokio::test]
async fn typescripts_second_sdk_speaks_the_newer_era() {
    typescript("client", "modern", NEWER).await;
}

async fn typescript(generation: &str, era: &str, version: &str) {
    let (Some(node), Some(package)) = (node(), tool(&format!("node_modules/@modelcontextprotocol/{generation}")))
    else {
        return;
    };
    let host = Setup::demo().start().await;
    let packages = package.ancestors().nth(3).unwrap();
    let script = repository().join("tests/clients/typescript.mjs");
    let report = report(&host, Command::new(node).arg(script).arg(packages).args([generation, era, &url(&host)])).await;
    check(&host, &report, version).await;
    check_program(&report, version);
}

#[tokio::test]
async fn pythons_sdk_speaks_the_older_era() {
    python("legacy", OLDER).await;
}

#[tokio::test]
async fn pythons_sdk_speaks_the_newer_era() {
    python(NEWER, NEWER).await;
}

#[tokio::test]
async fn pythons_sdk_finds_the_newer_era_by_itself() {
    python("auto", NEWER).await;
}

async fn python(mode: &str, version: &str) {
    let Some(python) = tool("venv/bin/python") else { return };
    let host = Setup::demo().start().await;
    let script = repository().join("tests/clients/python.py");
    let report = report(&host, Command::new(python).arg(script).args([mode, &url(&host)])).await;
    check(&host, &report, version).await;
    check_program(&report, version);
}

#[tokio::test]
async fn inspectors_command_line_speaks_the_older_era() {
    inspector("legacy", OLDER).await;
}

#[tokio::test]
async fn inspectors_command_line_speaks_the_newer_era() {
    inspector("modern", NEWER).await;
}

async fn inspector(era: &str, version: &str) {
    let program = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    let (Some(node), Some(program)) = (node(), tool(program)) else { return };
    let host = Setup::demo().start().await;
    let ask = async |method: &str, arguments: &[&str], good: bool| {
        let mut command = Command::new(&node);
        command.arg(&program).args(["--cli", &url(&host), "--transport", "http", "--protocol-era", era]);
        command.args(["--format", "json", "--method", method]).args(arguments);
        let output = run(&host, &mut command).await;
        // A tool's error is its answer too, and a failure of the program.
        assert_eq!(output.status.success(), good, "{method} {arguments:?}: {output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        answer["result"].clone()
    };
    let about = ask("initialize", &[], true).await;
    let listed = ask("tools/list", &[], true).await;
    let search = ["--tool-name", "search_customers", "--tool-args-json"];
    let found = ask("tools/call", &[&search[..], &[r#"{"query":"ACME","limit":2}"#]].concat(), true).await;
    let refused = ask("tools/call", &[&search[..], &[r#"{"query":"ACME","limit":0}"#]].concat(), false).await;
    let resources = ask("resources/list", &[], true).await["resources"].clone();
    let mut contents = Vec::new();
    for resource in resources.as_array().unwrap() {
        let read = ask("resources/read", &["--uri", resource["uri"].as_str().unwrap()], true).await;
        contents.extend_from_slice(read["contents"].as_array().unwrap());
    }
    let report = json!({
        "version": about["protocolVersion"],
        "server": about["serverInfo"]["name"],
        "tools": listed["tools"],
        "found": found,
        "refused": refused,
        "resources": resources,
        "contents": contents,
    });
    check(&host, &report, version).await;
}

/// What every client must have seen.
async fn check(host: &Host, report: &Value, version: &str) {
    assert_eq!(report["version"], version, "{report:#}");
    assert_eq!(report["server"], "techstart/sales");
    let names =
        |list: &str| report[list].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>();
    let tools = [
        "search_customers",
        "get_customer_orders",
        "calculate_customer_ltv",
        "update_customer_notes",
        "check_inventory",
        "get_current_promotions",
    ];
    assert_eq!(names("tools"), tools);
    assert_eq!(names("resources"), ["customer_context", "sales_playbook"]);
    assert_eq!(report["tools"][0]["inputSchema"]["properties"]["limit"]["maximum"], 1000);

    let found = &report["found"];
    assert_ne!(found["isError"], true, "{found:#}");
    let by_http = host.result("search_customers", json!({"query": "ACME", "limit": 2})).await;
    assert_eq!((&by_http["total"], &found["structuredContent"]), (&json!(2), &by_http), "one answer at both doors");
    assert_eq!(text_of(found), by_http);
    let refused = &report["refused"];
    assert_eq!(refused["isError"], true, "{refused:#}");
    let said = text_of(refused);
    assert_eq!((&said["code"], &said["problems"][0]["pointer"]), (&json!("invalid_arguments"), &json!("/limit")));

    let contents = report["contents"].as_array().unwrap();
    let types: Vec<_> = contents.iter().map(|it| it["mimeType"].as_str().unwrap()).collect();
    assert_eq!(types, ["application/json", "text/markdown"]);
    let context: Value = serde_json::from_str(contents[0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(context["company"]["name"], "TechStart Inc");
    assert!(contents[1]["text"].as_str().unwrap().contains("## Qualification Criteria"));
}

/// What a program can ask for that Inspector's command line can't: tools it was not told of, and a ping,
/// which the newer era has not.
fn check_program(report: &Value, version: &str) {
    assert_eq!((&report["unknownTool"], &report["unknownResource"]), (&json!(-32602), &json!(-32602)));
    assert_eq!(report["ping"], if version == OLDER { json!({}) } else { Value::Null });
}

/// The JSON that an answer holds as text.
fn text_of(result: &Value) -> Value {
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

fn url(host: &Host) -> String {
    format!("{}/mcp/techstart/sales", host.url)
}

/// What a script prints.
async fn report(host: &Host, command: &mut Command) -> Value {
    let output = run(host, command).await;
    let failed = || panic!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    if output.status.success() { serde_json::from_slice(&output.stdout).unwrap_or_else(|_| failed()) } else { failed() }
}

/// Runs a program to its end, with a home of its own: the machine's settings are none of its business.
async fn run(host: &Host, command: &mut Command) -> Output {
    let home: &Path = host.root.path();
    command.env_clear().env("HOME", home).current_dir(home).stdin(Stdio::null()).kill_on_drop(true);
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}
