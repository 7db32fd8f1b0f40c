//! One tool in three languages: what it says of itself, what it answers, what it calls and how it fails is
//! the same.
//!
//! The components in JavaScript and Python are there where their compilers are, which
//! `cargo xtask test --all` installs; a story that lacks one says so.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    clients::{present, tool},
    life::until,
};
use crate::host::{Host, Setup, answer, program, repository};

/// The twins, and an agent for each that may read `primary`.
const TWINS: [(&str, &str); 3] = [("sales", "customers-rust"), ("support", "customers-js"), ("hr", "customers-python")];

/// Whether all of them are built.
fn built() -> bool {
    let dist = repository().join("plugins/dist/examples");
    TWINS.iter().all(|(_, name)| present(name, &dist.join(format!("{name}.wasm"))).is_some())
}

/// Status and what is said, without what is the call's own.
async fn asked(host: &Host, agent: &str, parameters: Value) -> (u16, Value) {
    let asked = json!({ "agent_type": agent, "tool_name": "find_customers", "parameters": parameters });
    let (status, body) = answer(host.post("/api/mcp/test", asked.to_string())).await;
    let said = ["success", "result", "code", "problems"].map(|name| (name, body[name].clone()));
    (status, said.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[tokio::test]
async fn a_tool_is_the_same_in_every_language() {
    if !built() {
        return;
    }
    let mut setup = Setup::demo().patch("configs/contexts/techstart.json", |context| {
        for (agent, plugin) in TWINS {
            context["agentMappings"][agent]["mcpServer"] = json!(plugin);
            context["prompts"]["agents"][agent]["tools"] = json!(["find_customers"]);
        }
        // An agent without `primary`.
        context["agentMappings"]["marketing"]["mcpServer"] = json!("customers-python");
    });
    for (_, plugin) in TWINS {
        setup = setup.example(plugin);
    }
    let host = setup.start().await;
    // It listens before the largest of them is compiled.
    until(&host, "/readyz", |status, _| status == 200).await;

    let mut listed = Vec::new();
    for (agent, _) in TWINS {
        let (status, mut body) = answer(host.get(&format!("/api/mcp/tools/{agent}"))).await;
        assert_eq!(status, 200, "{body:#}");
        // Rust says how wide a number is; a schema means the same without.
        let tool = &mut body["tools"][0];
        for number in ["/parameters/properties/limit", "/outputSchema/properties/total"] {
            tool.pointer_mut(number).unwrap().as_object_mut().unwrap().remove("format");
        }
        tool.as_object_mut().unwrap().remove("server");
        listed.push(tool.clone());
    }
    assert_eq!(listed[0]["name"], "find_customers");
    assert_eq!((&listed[1], &listed[2]), (&listed[0], &listed[0]));

    for (parameters, status, found) in [
        (json!({"query": "acme"}), 200, 1..=10),
        (json!({"query": "a"}), 200, 10..=10),
        (json!({"query": "a", "limit": 100}), 200, 100..=100),
        (json!({"query": "%"}), 200, 0..=0),
        (json!({"query": "über ' \" \\ \u{1f600}"}), 200, 0..=0),
        (json!({"query": "a", "limit": 0}), 422, 0..=0),
        (json!({"query": 7}), 422, 0..=0),
        (json!({"query": "a", "more": 1}), 422, 0..=0),
        (json!({}), 422, 0..=0),
    ] {
        let mut answers = Vec::new();
        for (agent, _) in TWINS {
            answers.push(asked(&host, agent, parameters.clone()).await);
        }
        let (said, rust) = &answers[0];
        assert_eq!(*said, status, "{parameters}: {rust:#}");
        assert_eq!((&answers[1], &answers[2]), (&answers[0], &answers[0]), "{parameters}");
        let total = rust["result"]["total"].as_u64().unwrap_or_default();
        assert!(found.contains(&total), "{parameters}: {rust:#}");
    }
    let (status, body) = asked(&host, "marketing", json!({"query": "a"})).await;
    assert_eq!((status, &body["code"]), (403, &json!("permission_denied")));
}

/// `remit plugin …` with the compilers of `cargo xtask test --all`.
fn remit(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let tools = repository().join("target/tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        [tools.join("node_modules/.bin"), tools.join("venv/bin")].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new(program());
    command.arg("plugin").args(arguments).current_dir(folder).env("PATH", std::env::join_paths(path).unwrap());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// One call without what each run has of its own.
fn tried(folder: &Path, component: &Path, sources: &str, arguments: &str) -> (bool, String) {
    let file = folder.join("tried.yaml");
    fs::write(&file, sources).unwrap();
    let (file, component) = (file.display().to_string(), component.display().to_string());
    let asked = ["test", &component, "--tool", "find_customers", "--sources", &file, "--arguments", arguments];
    let (good, told, complaints) = remit(folder, &asked);
    assert_eq!(complaints, "");
    let own = |line: &&str| !line.starts_with("answered in ") && !line.starts_with("failed after ");
    (good, told.lines().filter(own).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_failing_source_is_passed_on_alike_in_every_language() {
    if !built() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sources = "sources:\n  primary:\n    sql: CREATE TABLE orders (id TEXT);\n";
    let tried = TWINS.map(|(_, name)| {
        let component = repository().join(format!("plugins/dist/examples/{name}.wasm"));
        tried(folder.path(), &component, sources, r#"{"query":"x"}"#)
    });
    let (good, told) = &tried[0];
    assert!(!good);
    assert!(told.starts_with("primary: query SELECT id, name, email, company FROM customers"), "{told}");
    assert!(told.contains("-> not found: no such table: customers\nsource_not_found: source primary"), "{told}");
    assert_eq!((&tried[1], &tried[2]), (&tried[0], &tried[0]));
}

#[test]
fn javascript_runs_on_either_engine() {
    if tool("node_modules/.bin/componentize-js").is_none() || tool("node_modules/.bin/node").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let example = repository().join("plugins/examples/customers-js");
    let edited = |file: &str, what: &str, by: &str| {
        let text = fs::read_to_string(example.join(file)).unwrap();
        assert!(text.contains(what), "{file} lacks {what}");
        fs::write(folder.path().join(file), text.replace(what, by)).unwrap();
    };
    edited("package.json", r#""uses":"#, r#""engine": "starlingmonkey", "uses":"#);
    edited("customers.js", "val: limit", "val: BigInt(limit)");
    let (good, said, complaints) = remit(folder.path(), &["build"]);
    assert!(good, "{complaints}");
    assert!(said.contains("(large tier of uploads)") && said.contains("tool find_customers: reads primary"), "{said}");
    assert!(!said.contains("wasi:http"), "{said}");

    let sources = fs::read_to_string(example.join("sources.yaml")).unwrap();
    let component = folder.path().join("dist/customers-js.wasm");
    let (good, told) = tried(folder.path(), &component, &sources, r#"{"query":"engines","limit":1}"#);
    assert!(good && told.contains("$4 = Integer(1) -> 1 row\n"), "{told}");
    assert!(told.contains(r#""email": "ada@engines.example""#), "{told}");

    // What is built stays, until something of it is another.
    let digest = fs::read(&component).unwrap();
    let (good, _, complaints) = remit(folder.path(), &["build"]);
    assert!(good && complaints.contains("customers-js is built already"), "{complaints}");
    assert_eq!(fs::read(&component).unwrap(), digest);
}
