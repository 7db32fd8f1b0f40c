//! What a component says of itself, and what a folder is taken for. Deliberately absent: anything that builds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, path::Path};

use crate::{
    Build, Described, Home, Need, Tool,
    component::{Names, names},
    interpreted::{Engine, Settings},
    project::{Language, Project},
};

/// An empty component, and one that imports an empty instance named `a:b/c`.
const EMPTY: &[u8] = &[0, b'a', b's', b'm', 0x0d, 0, 1, 0];
const IMPORTING: &[u8] =
    &[0, b'a', b's', b'm', 0x0d, 0, 1, 0, 7, 3, 1, 0x42, 0, 10, 10, 1, 0, 5, b'a', b':', b'b', b'/', b'c', 5, 0];

#[test]
fn reads_names() {
    assert_eq!(names(EMPTY).unwrap(), Names::default());
    assert_eq!(names(IMPORTING).unwrap().imports, ["a:b/c"]);
    let exporting = Names { imports: Vec::new(), exports: vec!["remit:plugin/tools@0.1.0".to_owned()] };
    assert!(exporting.exports("remit:plugin/tools") && !exporting.exports("remit:plugin/tool"));
}

#[test]
fn refuses_what_is_no_component() {
    let message = |bytes: &[u8]| names(bytes).err().map(|error| error.to_string());
    let module = message(&[0, b'a', b's', b'm', 1, 0, 0, 0]);
    assert_eq!(module.as_deref(), Some("a core module, not a component: build it for wasm32-wasip2"));
    assert_eq!(message(b"text").as_deref(), Some("not a WebAssembly file, or a broken one"));
}

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn plugins_of_other_languages_are_found_by_their_manifests() {
    let root = tempfile::tempdir().unwrap();
    put(
        root.path(),
        "examples/js/package.json",
        r#"{"name": "orders-js", "main": "orders.js", "remit": {"uses": ["sql"], "engine": "starlingmonkey"}}"#,
    );
    put(root.path(), "examples/js/node_modules/x/package.json", "{}");
    put(
        root.path(),
        "examples/py/pyproject.toml",
        "[project]\nname = \"orders-py\"\n[tool.remit]\nuses = [\"documents\"]\n",
    );
    let home = Home::at(root.path()).unwrap();
    let found = Project::all(&home).unwrap();
    let names: Vec<_> = found.iter().map(|project| (project.name.as_str(), &project.language)).collect();
    let settings = |uses: &str, engine| Settings { uses: vec![uses.to_owned()], engine };
    let js = settings("sql", Some(Engine::StarlingMonkey));
    let js = Language::JavaScript { main: "orders.js".to_owned(), settings: js };
    let python = Language::Python { settings: settings("documents", None) };
    assert_eq!(names, [("examples/js", &js), ("examples/py", &python)]);
    assert_eq!(found[0].file, home.folder().join("dist/examples/js.wasm"));
    // By itself, a plugin is called what it calls itself.
    let own = Home::at(&root.path().join("examples/py")).unwrap();
    assert_eq!(Project::read(own.folder(), &own).unwrap().name, "orders-py");

    put(root.path(), "broken/package.json", "{\"version\": 1}");
    let said = |plugin: &str| format!("{:#}", home.project(plugin).unwrap_err());
    assert!(
        said("broken").contains("broken/package.json is not a plugin's: missing field `name`"),
        "{}",
        said("broken")
    );
    for settings in [r#"{"engine": "v8"}"#, r#"{"use": ["sql"]}"#] {
        put(root.path(), "broken/package.json", &format!(r#"{{"name": "x", "remit": {settings}}}"#));
        assert!(said("broken").contains("is not a plugin's: unknown "), "{}", said("broken"));
    }
}

#[test]
fn what_is_not_there_or_not_built_is_said() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "js/package.json", r#"{"name": "orders-js"}"#);
    let home = Home::at(root.path()).unwrap();
    let said = |what: &str| home.component(what).unwrap_err().to_string();
    assert!(said("nothing").starts_with("there is no plugin nothing: neither nothing nor "));
    assert!(said("nothing.wasm").starts_with("there is no file nothing.wasm"));
    assert!(said("js").contains("js is not built"));
    put(root.path(), "dist/js.wasm", "x");
    let (file, folder) = home.component("js").unwrap();
    assert_eq!((file, folder), (home.folder().join("dist/js.wasm"), Some(home.folder().join("js"))));
    let asked = Build { plugins: vec!["nothing".to_owned()], all: false };
    assert!(crate::build(&home, &asked).is_err());
}

#[test]
fn a_description_reads_as_sentences() {
    let need = |source: &str, permission: &str, optional| Need {
        source: source.to_owned(),
        permission: permission.to_owned(),
        optional,
    };
    let described = Described {
        name: "desk".to_owned(),
        version: "0.1.0".to_owned(),
        title: None,
        bytes: 7,
        digest: "sha256:ab".to_owned(),
        tier: "small".to_owned(),
        tools: vec![Tool {
            name: "note".to_owned(),
            description: String::new(),
            annotations: serde_json::Value::Null,
            needs: vec![need("primary", "write", false), need("crm", "read", true)],
            input_schema: serde_json::Value::Null,
            output_schema: None,
        }],
        resources: Vec::new(),
        nodes: Vec::new(),
        imports: vec!["remit:data/sql@0.1.0".to_owned()],
    };
    let text = "desk 0.1.0\n  7 bytes (small tier of uploads), sha256:ab\n  tool note: writes primary, reads crm if granted\n  \
                imports remit:data/sql@0.1.0\n";
    assert_eq!(described.to_string(), text);
    let json = serde_json::to_string(&described).unwrap();
    assert_eq!(serde_json::from_str::<Described>(&json).unwrap(), described);
}
