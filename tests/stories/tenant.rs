//! A tenant that goes: all that the host has of it is given out, and then gone.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::hostile::walk;
use crate::host::{Setup, answer, run};

const AT: [&str; 4] = ["--profile", "demo", "--state", "var"];
const CANARY: &str = "a word that nobody else says";

fn remit(root: &Path, verb: &[&str]) -> (Option<i32>, String, String) {
    run(root, &[verb, &AT].concat())
}

fn lines(folder: &Path) -> BTreeMap<String, Vec<Value>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "jsonl"));
    let read = |file: &Path| -> Vec<Value> {
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    files.map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), read(&file))).collect()
}

#[tokio::test]
async fn a_tenant_is_given_out_whole_and_removed_and_no_other_notices() {
    let mut host = Setup::demo()
        .edit(|root| {
            let other = r#"{"company": {"name": "Other"}, "prompts": {"agents": {"sales": {}}}}"#;
            fs::write(root.join("configs/contexts/other.json"), other).unwrap();
        })
        .start()
        .await;
    let root = host.root.path().to_owned();
    let key = |more: &[&str]| {
        let (code, token, log) = remit(&root, &[&["keys", "create"], more].concat());
        assert_eq!(code, Some(0), "{log}");
        token.trim().to_owned()
    };
    let ours = key(&["--tenant", "techstart", "--role", "agent"]);
    let said = json!({"message": format!("Search for ACME Corp, {CANARY}")}).to_string();
    let chat = |token: &str, body: String| {
        host.http.post(format!("{}/api/sales/chat", host.url)).bearer_auth(token).body(body)
    };
    let (status, body) = answer(chat(&ours, said.clone())).await;
    assert_eq!(status, 200, "{body:#}");

    let (code, _, log) = remit(&root, &["tenant", "export", "techstart", "--to", "gone"]);
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("configs/contexts/techstart.json") && log.contains("TECHSTART_"),
        "what is not the host's: {log}"
    );
    let parts = lines(&root.join("gone"));
    let count = |part: &str| parts[part].len();
    assert_eq!((count("conversations"), count("keys")), (1, 1));
    assert!(count("messages") >= 2 && count("audit") >= 1, "{parts:?}");
    assert!(parts["messages"][0]["message"]["content"].as_str().unwrap().contains(CANARY));
    // The beginning of its secret part, which stands between its id and its checksum.
    let secret = &ours.split('_').nth(2).unwrap()[..20];
    let text = format!("{parts:?}");
    assert!(!text.contains(secret), "no key lets anybody in");
    let files = walk(&root.join("gone"));
    assert!(files.len() > parts.len(), "the manifest too: {files:?}");
    for file in files {
        let raw = fs::read(&file).unwrap();
        for part in [ours.as_str(), secret] {
            assert!(!raw.windows(part.len()).any(|window| window == part.as_bytes()), "a key in {file}");
        }
    }
    assert!(parts["keys"][0].get("digest").is_none());
    for (verb, said) in [
        (&["tenant", "export", "techstart", "--to", "gone"][..], "not empty"),
        (&["tenant", "export", "nobody", "--to", "none"], "nothing of nobody"),
        (&["tenant", "export", "../x", "--to", "none"], "not a tenant's name"),
        (&["tenant", "delete", "techstart", "--yes"], "a host is running"),
    ] {
        let (code, _, log) = remit(&root, verb);
        assert!(code == Some(1) && log.contains(said), "{verb:?}: {log}");
    }
    assert!(!root.join("none").exists());

    let (code, _) = host.stop();
    assert_eq!(code, Some(0));
    let delete = |more: &[&str]| remit(&root, &[&["tenant", "delete", "techstart"], more].concat());
    let (code, _, log) = delete(&["--yes"]);
    assert!(code == Some(1) && log.contains("the only ones"), "a host without keys would be open: {log}");
    let theirs = key(&["--tenant", "other", "--role", "agent"]);
    host.restart();
    let (status, body) = answer(
        host.http.post(format!("{}/api/sales/chat", host.url)).bearer_auth(&theirs).body(r#"{"message": "Hello"}"#),
    )
    .await;
    assert_eq!(status, 200, "{body:#}");
    let conversation = body["conversationId"].clone();
    let audited = host.audit().await.len();
    host.kill();

    let (code, _, log) = delete(&[]);
    assert!(code == Some(1) && log.contains("1 conversations") && log.contains("--yes"), "{log}");
    let (code, _, log) = delete(&["--yes"]);
    assert!(code == Some(0) && log.contains("audit events stay"), "{log}");
    for file in ["remit.db", "remit.db-wal"] {
        let bytes = fs::read(root.join("var").join(file)).unwrap_or_default();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{file} still says it");
    }
    let (code, _, log) = delete(&["--yes"]);
    assert!(code == Some(1) && log.contains("nothing of techstart"), "{log}");

    host.restart();
    let ask = |token: &str, body: Value| {
        host.http.post(format!("{}/api/sales/chat", host.url)).bearer_auth(token).body(body.to_string())
    };
    assert_eq!(answer(ask(&ours, json!({"message": "Hello"}))).await.0, 401, "its keys are gone");
    let (status, more) = answer(ask(&theirs, json!({"message": "Again", "conversationId": conversation}))).await;
    assert_eq!(status, 200, "{more:#}");
    assert!(more["conversationLength"].as_u64() > body["conversationLength"].as_u64(), "another's goes on");
    assert!(host.audit().await.len() >= audited, "what was done stays on record");
}
