//! Hostile guests: each states the safe outcome, and the host goes on. A file a theme.
//!
//! The guests lie in `plugins/hostile/`: Rust where Rust can express the attack, text (`wat/`) where it
//! can't, and what the forge there makes of them by damage and at random.

mod abi;
mod away;
mod components;
mod exhaust;
mod folders;
mod handles;
mod lies;
mod limits;
mod mongodb;
mod nodes;
mod reach;

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, eventually, repository};

/// Tight enough for guests to meet them soon.
const LIMITS: &str =
    "wallTimeMs: 3000\n  cpuTimeMs: 300\n  memoryBytes: 33554432\n  outputBytes: 1048576\n  hostCallBytes: 2097152";

/// The figure of places that calls hold.
const PLACES_TAKEN: &str = "remit_sandbox_places_taken";

/// The tools of these sets beside the sales agent's own, with reading what attacks need and writing one.
pub(super) fn setup(sets: &'static [&'static str]) -> Setup {
    Setup::demo()
        .patch("configs/contexts/techstart.json", move |context| {
            let sets: Vec<&str> = ["techstart-crm"].iter().chain(sets).copied().collect();
            let sales = &mut context["agentMappings"]["sales"];
            sales["mcpServer"] = json!(sets);
            sales["dataSources"] = json!(["primary", "crm", "ecommerce"]);
            sales["permissions"] = json!({"primary": ["read", "write"], "crm": ["read"], "ecommerce": ["read"]});
        })
        .edit(|root| set_limits(root, LIMITS))
}

/// A host with the attacks of `plugins/hostile/calls`, and tight limits.
async fn host() -> Host {
    setup(&["hostile-calls"]).hostile("calls").start().await
}

/// Sets the limits of `host.yaml`.
fn set_limits(root: &Path, limits: &str) {
    let file = root.join("configs/host.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.split("\nlimits:").next().unwrap();
    fs::write(&file, format!("{text}\nlimits:\n  {limits}\n")).unwrap();
}

/// Puts the forged components of a folder among a host's plugins, and gives their names.
fn forged(kind: &str) -> Vec<String> {
    let folder = repository().join("plugins/dist/hostile").join(kind);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| {
        panic!("{} is not there ({error}): run `cargo xtask build-plugin`", folder.display());
    });
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().into();
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

/// Copies forged components into a host's folder of plugins.
fn take_in(root: &Path, kind: &str, names: &[String]) {
    for name in names {
        let from = repository().join("plugins/dist/hostile").join(kind).join(name).with_extension("wasm");
        fs::copy(from, root.join("plugins/dist").join(name).with_extension("wasm")).unwrap();
    }
}

/// After whatever happened, a tool answers as ever, and what calls had taken is free.
async fn still_well(host: &Host) {
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
}

/// Waits until no call holds a place: what is stopped may take a moment to fall.
async fn places_are_free(host: &Host) {
    eventually("no call holds a place", async || figure(host, PLACES_TAKEN).await == 0.0).await;
}

/// A figure of `/metrics`.
pub(super) async fn figure(host: &Host, name: &str) -> f64 {
    let (_, figures) = answer(host.http.get(format!("{}/metrics", host.url))).await;
    let lines = figures.as_str().unwrap().lines();
    let value = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).next();
    value.unwrap_or_else(|| panic!("no figure {name}")).parse().unwrap()
}

/// Asks a tool to do what it must not, and checks how it is told off.
async fn refused(host: &Host, tool: &str, parameters: Value, status: u16, code: &str, said: &str) {
    let (got, body) = host.tool(tool, parameters.clone()).await;
    assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{tool} {parameters}: {body:#}");
    assert!(body["error"].as_str().unwrap().contains(said), "{tool} {parameters}: {body:#}");
    for internal in ["wasm", "on purpose", "backtrace", "0x"] {
        assert!(!body.to_string().contains(internal), "no internals: {body:#}");
    }
}

/// How many of the files among a host's plugins its log does not refuse.
fn not_refused(host: &Host, log: &str) -> f64 {
    let files = walk(&host.root.path().join("plugins/dist")).len();
    let refused = log.lines().filter(|line| line.contains("not a plugin")).count();
    f64::from(u32::try_from(files - refused).unwrap())
}

/// The paths of all files below a folder.
pub(super) fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}
