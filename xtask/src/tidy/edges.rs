//! Which crate may use which: the floors of the house, and who may name which library.
//!
//! A crate that has no line here may use no crate of the project. What only tests use is looser: the
//! stand-ins are open to every crate's tests.

use toml::{Table, Value};

use super::{Fault, File, Tree};

/// The crates of the project that each may use. `*`: any.
const CRATES: &[(&str, &[&str])] = &[
    ("remit-domain", &[]),
    ("remit-config", &["remit-domain"]),
    ("remit-sandbox", &["remit-domain"]),
    ("remit-sources", &["remit-domain"]),
    ("remit-models", &["remit-domain"]),
    ("remit-journal", &["remit-domain"]),
    ("remit-issuers", &["remit-config", "remit-domain"]),
    ("remit-artifacts", &["remit-domain"]),
    ("remit-library", &["remit-domain"]),
    ("remit-workflow", &["remit-config", "remit-domain"]),
    ("remit-agent", &["remit-config", "remit-domain"]),
    ("remit-author", &["remit-domain"]),
    ("remit-server", &["*"]),
    ("remit-fuzz", &["remit-config", "remit-domain", "remit-sandbox", "remit-sources"]),
    ("remit-tests", &["*"]),
    ("remit-upstreams", &[]),
    ("xtask", &["remit-author", "remit-config", "remit-upstreams", "remit-workflow"]),
];

/// The crate of stand-ins, which the tests of every crate may use.
const STAND_INS: &str = "remit-upstreams";

/// Who may name a library. A name that ends in `*` stands for all that begin so.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("apollo-parser", &["remit-sources", "remit-upstreams"]),
    ("async-openai", &["remit-models"]),
    ("axum", &["remit-server", "remit-tests", "remit-upstreams"]),
    ("bson", &["remit-sources", "remit-upstreams"]),
    ("cap-std", &["remit-sources"]),
    ("chrono*", &["remit-workflow"]),
    ("clap", &["remit-author", "remit-server", "xtask"]),
    ("croner", &["remit-workflow"]),
    ("dotenvy", &["remit-config"]),
    ("governor", &["remit-sources"]),
    ("hyper*", &["remit-server"]),
    ("jsonschema-regex", &["remit-domain"]),
    ("jsonwebtoken", &["remit-issuers"]),
    ("lettre", &["remit-sources"]),
    ("libsqlite3-sys", &["remit-sources"]),
    ("minijinja", &["remit-config", "remit-sources"]),
    ("mongodb", &["remit-sources"]),
    ("object_store", &["remit-artifacts", "remit-sources"]),
    ("opentelemetry*", &["remit-server"]),
    ("regex-automata", &["remit-domain"]),
    ("reqwest", &["remit-author", "remit-issuers", "remit-models", "remit-sources", "remit-tests"]),
    ("ring", &["remit-issuers", "remit-sources", "remit-upstreams"]),
    ("rmcp", &["remit-server"]),
    ("rusqlite", &[]),
    ("sqlx", &["remit-journal", "remit-sources", "remit-tests", "remit-upstreams"]),
    ("wasmparser", &["remit-author", "remit-sandbox"]),
    ("wasmtime*", &["remit-sandbox"]),
];

/// Runtimes, which the ground floor does without.
const RUNTIMES: &[&str] = &["tokio", "async-std", "smol"];

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    let manifests = tree.files.iter().filter(|file| {
        let of_host =
            file.path.starts_with("host/") || file.path.starts_with("tests/") || file.path.starts_with("xtask/");
        of_host && file.path.ends_with("/Cargo.toml")
    });
    manifests.flat_map(manifest).collect()
}

fn manifest(file: &File) -> Vec<Fault> {
    let table: Table = match file.text.parse() {
        Ok(table) => table,
        Err(error) => return vec![Fault::new(file, 1, format!("not TOML: {}", error.message()))],
    };
    let name = table.get("package").and_then(|package| package.get("name")).and_then(Value::as_str).unwrap_or_default();
    let mut faults = Vec::new();
    let Some((_, crates)) = CRATES.iter().find(|(crate_name, _)| *crate_name == name) else {
        let message = format!("the crate `{name}` has no floor: add it to xtask/src/tidy/edges.rs");
        return vec![Fault::new(file, 1, message)];
    };
    for (dependency, in_tests) in dependencies(&table) {
        let line = line_of(file, &dependency);
        let own = CRATES.iter().any(|(crate_name, _)| *crate_name == dependency) || dependency.starts_with("remit-");
        let open =
            crates.contains(&"*") || crates.contains(&dependency.as_str()) || (in_tests && dependency == STAND_INS);
        if own && !open {
            faults.push(Fault::new(file, line, format!("`{name}` may not use `{dependency}`")));
        }
        let library = LIBRARIES.iter().find(|(library, _)| is(library, &dependency));
        if let (Some((_, users)), false) = (library, in_tests)
            && !users.contains(&name)
        {
            let users = if users.is_empty() { "no crate".to_owned() } else { users.join(", ") };
            faults.push(Fault::new(file, line, format!("`{name}` may not name `{dependency}`: {users} may")));
        }
        if name == "remit-domain" && !in_tests && RUNTIMES.contains(&dependency.as_str()) {
            faults.push(Fault::new(file, line, format!("`{name}` names no runtime, so not `{dependency}`")));
        }
    }
    faults
}

/// The real names of all dependencies, those of targets included, and whether only tests use them.
fn dependencies(table: &Table) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let targets = table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    for holder in targets.filter_map(Value::as_table).chain([table]) {
        for (kind, in_tests) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (key, value) in holder.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(Value::as_str);
                found.push((renamed.unwrap_or(key).to_owned(), in_tests));
            }
        }
    }
    found
}

fn is(library: &str, dependency: &str) -> bool {
    match library.strip_suffix('*') {
        Some(start) => dependency.starts_with(start),
        None => library == dependency,
    }
}

fn line_of(file: &File, dependency: &str) -> usize {
    let names = |line: &str| line.trim_start().trim_matches('"').starts_with(dependency);
    file.text.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::{Tree, faults};

    fn check(path: &str, text: &str, expect: &[&str]) {
        let found: Vec<String> = faults(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn crates_look_down_only() {
        check(
            "host/sources/Cargo.toml",
            "[package]\nname = \"remit-sources\"\n[dependencies]\nremit-domain.workspace = true\nsqlx = \"1\"\n",
            &[],
        );
        check(
            "host/sources/Cargo.toml",
            "[package]\nname = \"remit-sources\"\n[dependencies]\nremit-journal.workspace = true\n",
            &["host/sources/Cargo.toml:4: `remit-sources` may not use `remit-journal`"],
        );
        check(
            "host/agent/Cargo.toml",
            "[package]\nname = \"remit-agent\"\n[dependencies]\nmodels = { package = \"remit-models\", path = \"x\" }\n",
            &["host/agent/Cargo.toml:1: `remit-agent` may not use `remit-models`"],
        );
        check(
            "host/domain/Cargo.toml",
            "[package]\nname = \"remit-domain\"\n[target.'cfg(unix)'.dependencies]\ntokio = \"1\"\n[dev-dependencies]\ntokio = \"1\"\n",
            &["host/domain/Cargo.toml:4: `remit-domain` names no runtime, so not `tokio`"],
        );
    }

    #[test]
    fn libraries_have_one_home() {
        check(
            "host/server/Cargo.toml",
            "[package]\nname = \"remit-server\"\n[dependencies]\naxum = \"1\"\nremit-sandbox = \"1\"\n\"wasmtime-wasi\" = \"1\"\n",
            &["host/server/Cargo.toml:6: `remit-server` may not name `wasmtime-wasi`: remit-sandbox may"],
        );
        check(
            "host/models/Cargo.toml",
            "[package]\nname = \"remit-models\"\n[dev-dependencies]\naxum = \"1\"\nremit-upstreams = \"1\"\nremit-server = \"1\"\n",
            &["host/models/Cargo.toml:6: `remit-models` may not use `remit-server`"],
        );
        check(
            "host/journal/Cargo.toml",
            "[package]\nname = \"remit-journal\"\n[build-dependencies]\nrusqlite = \"1\"\n",
            &["host/journal/Cargo.toml:4: `remit-journal` may not name `rusqlite`: no crate may"],
        );
    }

    #[test]
    fn a_new_crate_needs_a_floor() {
        check(
            "host/attic/Cargo.toml",
            "[package]\nname = \"remit-attic\"\n",
            &["host/attic/Cargo.toml:1: the crate `remit-attic` has no floor: add it to xtask/src/tidy/edges.rs"],
        );
        check("plugins/x/Cargo.toml", "[package]\nname = \"x\"\n", &[]);
        let broken = faults(&Tree::of(&[("host/x/Cargo.toml", "[package\n")]));
        assert!(matches!(broken.as_slice(), [fault] if fault.message.starts_with("not TOML: ")));
    }
}
