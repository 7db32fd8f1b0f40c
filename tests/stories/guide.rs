//! The plugin guide, followed as it is written: its commands and files are read out of `plugins/README.md`,
//! and run in an empty folder with the real program against a demo host.
//!
//! A block of `sh` is run; one whose first line names a file beside the language is that file, and one of
//! JSON is what changes in a file of the host's.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{clients::present, life::until};
use crate::host::{Host, Setup, patch_json, program, repository};

/// Where the guide's host listens.
const GUIDES_HOST: &str = "http://127.0.0.1:3000";

/// A block of the guide.
struct Block {
    /// `sh`, or a language and the file that the block is.
    kind: String,
    text: String,
}

/// The blocks of the guide's first section.
fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("From nothing to a running tool")).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut within = false;
    for line in section.lines() {
        match (line.strip_prefix("```"), within) {
            (Some(kind), false) => blocks.push(Block { kind: kind.to_owned(), text: String::new() }),
            (Some(_), true) | (None, false) => {}
            (None, true) => {
                let text = &mut blocks.last_mut().unwrap().text;
                text.push_str(line);
                text.push('\n');
            }
        }
        within ^= line.starts_with("```");
    }
    assert!(!within, "a block has no end");
    blocks
}

/// An author at a shell, in a folder of their own.
struct Author {
    folder: TempDir,
}

impl Author {
    fn new() -> Self {
        let author = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(author.at("bin")).unwrap();
        std::os::unix::fs::symlink(program(), author.at("bin/remit")).unwrap();
        fs::write(author.at("here"), author.at("").display().to_string()).unwrap();
        author
    }

    fn at(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    /// Where the last command left them.
    fn here(&self) -> std::path::PathBuf {
        fs::read_to_string(self.at("here")).unwrap().trim().into()
    }

    /// Runs commands. Whether the last succeeded, and what they said and complained.
    fn run(&self, commands: &str) -> (bool, String, String) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.at("bin")).chain(std::env::split_paths(&path));
        let mut shell = Command::new("bash");
        shell.arg("-euc").arg(format!("{commands}\npwd > \"$HERE\"")).current_dir(self.here());
        shell.env("PATH", std::env::join_paths(path).unwrap()).env("HERE", self.at("here"));
        // What cargo sets for this test's own crate, and a proxy that may stand before the world.
        shell.env_remove("CARGO").env_remove("CARGO_MANIFEST_DIR").env("NO_PROXY", "127.0.0.1");
        // An author may keep what is built in one folder for all projects: plugins are built in their own.
        shell.env("CARGO_TARGET_DIR", self.at("elsewhere"));
        let output = shell.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    /// Runs commands that must succeed.
    fn does(&self, commands: &str) -> String {
        let (good, said, complaints) = self.run(commands);
        assert!(good, "{commands}\n{said}\n{complaints}");
        said
    }

    /// Takes a step of the guide, with the address of the host that is there.
    fn follows(&self, block: &Block, host: &Host) -> String {
        match block.kind.split_once(' ') {
            None if block.kind == "sh" => self.does(&block.text.replace(GUIDES_HOST, &host.url)),
            Some(("json", file)) => {
                let change = serde_json::from_str(&block.text).unwrap();
                patch_json(&host.root.path().join(file), |value| merge(value, change));
                String::new()
            }
            Some((_, file)) => {
                fs::write(self.here().join(file), &block.text).unwrap();
                String::new()
            }
            None => panic!("the guide has a block of {:?}, which nobody follows", block.kind),
        }
    }
}

/// What an object says, and nothing else, becomes so.
fn merge(value: &mut Value, change: Value) {
    match (value, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            changes.into_iter().for_each(|(name, change)| merge(fields.entry(name).or_insert(Value::Null), change));
        }
        (value, change) => *value = change,
    }
}

#[tokio::test]
async fn the_guide_leads_from_nothing_to_a_running_tool() {
    if present("curl", Path::new("/usr/bin/curl")).is_none() {
        return;
    }
    let host = Setup::demo().start().await;
    let author = Author::new();
    let mut said = Vec::new();
    let blocks = blocks();
    let upload = blocks.iter().position(|block| block.text.contains("plugin upload")).unwrap();
    for block in &blocks[..upload] {
        said.push(author.follows(block, &host));
    }
    let [_begun, _written, built, _sources, tried] = &said[..] else { panic!("{said:#?}") };
    assert!(built.contains("tool customers_by_status: reads primary"), "{built}");
    assert!(built.contains("(small tier of uploads)"), "{built}");
    assert!(tried.contains("primary: query SELECT status") && tried.contains("-> 2 rows"), "{tried}");
    let answer: Value = serde_json::from_str(&tried[tried.find('{').unwrap()..]).unwrap();
    let count = |status: &str| json!({"status": status, "customers": 1});
    assert_eq!(answer, json!({"items": [count("active"), count("inactive")]}));
    assert!(author.here().join("target/wasm32-wasip2/release/shop_desk.wasm").is_file(), "in its own folder");

    reproducible(&author);
    signed(&author);
    without_the_target(&author);

    let [upload, mapping, call] = &blocks[upload..] else { panic!("upload, mapping, call") };
    let said = author.follows(upload, &host);
    assert!(said.starts_with("shop-desk 0.1.0 is upload 1, active\n"), "{said}");
    assert!(said.contains("tool customers_by_status (primary: read)"), "{said}");
    assert!(said.contains("no agent names it") && said.contains("agent sales would get customers_by_status"), "{said}");
    let said = author.follows(upload, &host);
    assert!(said.contains("these bytes were there already"), "{said}");
    author.follows(mapping, &host);
    until(&host, "/api/mcp/tools/sales", |_, body| body.to_string().contains("customers_by_status")).await;
    let answer: Value = serde_json::from_str(&author.follows(call, &host)).unwrap();
    let active = &answer["result"]["items"][0];
    assert_eq!((&answer["success"], &active["status"]), (&json!(true), &json!("active")), "{answer:#}");
    assert!(active["customers"].as_u64().unwrap() > 100, "{answer:#}");

    let (good, _, complaints) = author.run(&upload.text.replace(GUIDES_HOST, &host.url).replace("techstart", "nobody"));
    assert!(!good && complaints.contains("the host refused it:"), "{complaints}");
}

/// The same sources in another folder give the same bytes.
fn reproducible(author: &Author) {
    let (here, elsewhere) = (author.here(), author.at("quite/another place"));
    author.does(&format!(
        "mkdir -p '{0}' && cp -r Cargo.lock *.toml src vendor wit '{0}' && cd '{0}' && \
         CARGO_PROFILE_RELEASE_OPT_LEVEL=0 RUSTFLAGS=-Copt-level=1 remit plugin build",
        elsewhere.display()
    ));
    let component = |folder: &Path| fs::read(folder.join("dist/shop-desk.wasm")).unwrap();
    assert!(component(&here) == component(&elsewhere), "two builds of the same sources differ");
    author.does(&format!("cd '{}'", here.display()));
}

/// A signature lies beside the component, until that is another.
fn signed(author: &Author) {
    let public = author.does("remit plugin key shop.key");
    let signature = author.does("remit plugin sign . --key shop.key");
    assert!(signature.starts_with(public.trim()), "{signature}");
    let kept = fs::read_to_string(author.here().join("dist/shop-desk.wasm.sig")).unwrap();
    assert_eq!(kept, signature);
    let (good, _, complaints) = author.run("remit plugin key shop.key");
    assert!(!good && complaints.contains("shop.key exists already"), "{complaints}");
}

/// A Rust that cannot compile for plugins, and a folder without a plugin: what is missing is said.
fn without_the_target(author: &Author) {
    let rustc = author.at("bin/rustc");
    let script =
        "#!/bin/sh\ncase \"$*\" in *target-libdir*) echo /nowhere ;; *) PATH=${PATH#*:} exec rustc \"$@\" ;; esac\n";
    fs::write(&rustc, script).unwrap();
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    let (good, _, complaints) = author.run("remit plugin build");
    assert!(
        !good && complaints.contains("plugins need the Rust target wasm32-wasip2, which is missing"),
        "{complaints}"
    );
    fs::remove_file(rustc).unwrap();
    let (good, _, complaints) = author.run("cd .. && mkdir empty && cd empty && remit plugin build");
    assert!(!good && complaints.contains("say which plugin to build"), "{complaints}");
}

#[test]
fn steps_for_workflows_begin_alike() {
    let author = Author::new();
    let said = author.does("remit plugin new shop-steps --node && cd shop-steps && remit plugin build");
    assert!(said.contains("cargo test") && said.contains("step count_orders: reads primary"), "{said}");
    for (name, complaint) in [("shop-steps", "shop-steps exists already"), ("Shop", "is not a plugin's name")] {
        let (good, _, complaints) = author.run(&format!("cd \"${{HERE%/*}}\" && remit plugin new {name}"));
        assert!(!good && complaints.contains(complaint), "{complaints}");
    }
}
