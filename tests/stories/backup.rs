//! What is kept of a host outlasts it: backups made under load, and their way back.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use remit_artifacts::Folder;
use remit_domain::{
    PluginName, TenantId,
    library::{Artifacts as _, Digest, Upload, Versions as _},
};
use remit_journal::Journal;
use serde_json::{Value, json};

use crate::host::{Host, Setup, answer, program, run};

/// Arguments that every verb takes here.
const AT: [&str; 4] = ["--profile", "demo", "--state", "var"];

fn remit(root: &Path, verb: &[&str]) -> (Option<i32>, String) {
    let (code, _, log) = run(root, &[verb, &AT].concat());
    (code, log)
}

async fn chat(host: &Host, token: &str, message: &Value) -> (u16, Value) {
    answer(host.post("/api/sales/chat", message.to_string()).bearer_auth(token)).await
}

/// Adds plugins with their bytes, as uploads do, until it is told to stop. Gives how many.
async fn upload_without_end(root: &Path, stop: &AtomicBool) -> u32 {
    let journal = Journal::open(&root.join("var/remit.db").display().to_string()).await.unwrap();
    let artifacts = Folder::open(&root.join("var/artifacts")).unwrap();
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let bytes = format!("component {at}").into_bytes();
        let digest = Digest::of(&bytes);
        artifacts.put(&digest, &bytes).await.unwrap();
        let upload = Upload {
            tenant: TenantId::new("techstart").unwrap(),
            plugin: PluginName::new("made-under-load").unwrap(),
            digest,
            bytes: bytes.len() as u64,
            says: format!("1.0.{at}"),
            at: time::OffsetDateTime::now_utc(),
            by: "anyone".to_owned(),
            signer: None,
            offers: json!({}),
        };
        journal.add(&upload).await.unwrap();
        at += 1;
    }
    journal.close().await;
    at
}

async fn call_without_end(host: &Host, token: &str, stop: &AtomicBool) {
    let asked = json!({"agent_type": "sales", "tool_name": "get_current_promotions", "parameters": {}});
    while !stop.load(Ordering::Relaxed) {
        let request = host.post("/api/mcp/test", asked.to_string()).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_is_whole_and_a_new_host_goes_on_from_it() {
    let mut host = Setup::demo().start().await;
    let root = host.root.path().to_owned();
    let verb = ["keys", "create", "--tenant", "techstart", "--role", "agent"];
    let (code, token, log) = run(&root, &[&verb[..], &AT].concat());
    assert_eq!(code, Some(0), "{log}");
    let token = token.trim().to_owned();
    let (status, said) = chat(&host, &token, &json!({"message": "Search for ACME Corp"})).await;
    assert_eq!(status, 200, "{said:#}");
    let before: BTreeSet<String> = host.audit().await.into_iter().map(|row| row.call).collect();
    assert!(!before.is_empty());

    let stop = Arc::new(AtomicBool::new(false));
    let backup = {
        let (root, stop) = (root.clone(), stop.clone());
        tokio::task::spawn_blocking(move || {
            let made: Vec<_> = ["one", "two", "three"].map(|to| remit(&root, &["backup", "--to", to])).into();
            stop.store(true, Ordering::Relaxed);
            made
        })
    };
    let ((), (), uploaded, made) = futures::join!(
        call_without_end(&host, &token, &stop),
        call_without_end(&host, &token, &stop),
        upload_without_end(&root, &stop),
        backup
    );
    for (code, log) in made.unwrap() {
        assert_eq!(code, Some(0), "{log}");
    }
    assert!(uploaded > 0);
    let (code, log) = remit(&root, &["backup", "--to", "one"]);
    assert!(code == Some(1) && log.contains("not empty"), "{log}");
    let (code, log) = remit(&root, &["restore", "--from", "one", "--force"]);
    assert!(code == Some(1) && log.contains("a host is running"), "{log}");

    host.kill();
    let (code, log) = remit(&root, &["restore", "--from", "three"]);
    assert!(code == Some(1) && log.contains("--force"), "not over what is there: {log}");
    // A machine that has nothing but the settings and the tenant's own databases.
    fs::rename(root.join("var"), root.join("lost")).unwrap();
    fs::create_dir(root.join("var")).unwrap();
    fs::rename(root.join("lost/demo"), root.join("var/demo")).unwrap();
    let (code, log) = remit(&root, &["restore", "--from", "three"]);
    assert_eq!(code, Some(0), "{log}");

    host.restart();
    let again = json!({"message": "And again", "conversationId": said["conversationId"]});
    let (status, more) = chat(&host, &token, &again).await;
    assert_eq!(status, 200, "the key lets in: {more:#}");
    assert!(more["conversationLength"].as_u64() > said["conversationLength"].as_u64(), "the conversation goes on");
    assert_eq!(answer(host.get("/api/health/mcp")).await.0, 401, "and nobody without a key");
    let after: BTreeSet<String> = host.audit().await.into_iter().map(|row| row.call).collect();
    assert!(before.is_subset(&after), "what was on record is");
    let journal = Journal::open(&root.join("var/remit.db").display().to_string()).await.unwrap();
    let artifacts = Folder::existing(&root.join("var/artifacts"));
    let tenant = TenantId::new("techstart").unwrap();
    let versions = remit_domain::library::Versions::list(&journal, Some(&tenant), None).await.unwrap();
    assert!(!versions.is_empty() && versions.len() <= uploaded as usize);
    for version in versions {
        assert!(artifacts.get(&version.upload.digest).await.unwrap().is_some(), "{version:?}");
    }
    journal.close().await;
}

#[tokio::test]
async fn nothing_but_a_whole_backup_is_taken_and_what_was_there_is_kept() {
    let mut host = Setup::demo().start().await;
    let root = host.root.path().to_owned();
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    assert_eq!(remit(&root, &["backup", "--to", "whole"]).0, Some(0));
    let (code, _) = host.stop();
    assert_eq!(code, Some(0));
    for (change, said) in [
        (&(|folder: &Path| fs::write(folder.join("secrets/more"), "x")) as &dyn Fn(&Path) -> _, "does not belong"),
        (&|folder: &Path| fs::remove_file(folder.join("secrets/code-cache.key")), "is missing"),
        (&|folder: &Path| fs::remove_file(folder.join("manifest.json")), "no whole archive"),
        (
            &|folder: &Path| {
                let mut bytes = fs::read(folder.join("journal.db"))?;
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(folder.join("journal.db"), bytes)
            },
            "was changed",
        ),
    ] {
        let _ = fs::remove_dir_all(root.join("broken"));
        assert!(Command::new("cp").args(["-r", "whole", "broken"]).current_dir(&root).status().unwrap().success());
        change(&root.join("broken")).unwrap();
        let (code, log) = remit(&root, &["restore", "--from", "broken", "--force"]);
        assert!(code == Some(1) && log.contains(said), "{said}: {log}");
    }
    assert_eq!(host.audit().await.len(), 1, "all of that changed nothing");
    assert!(
        !fs::read_dir(root.join("var")).unwrap().any(|it| it
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("restore"))
    );
    let (code, log) = remit(&root, &["restore", "--from", "whole", "--force"]);
    assert_eq!(code, Some(0), "{log}");
    host.restart();
    host.result("search_customers", json!({"query": "test", "limit": 1})).await;
    assert_eq!(host.audit().await.len(), 2);

    // A restore that was cut short leaves a mark, and no host starts on a mixture.
    host.kill();
    fs::write(root.join("var/restore.unfinished"), "").unwrap();
    let (code, log) = remit(&root, &["keys", "list"]);
    assert!(code == Some(1) && log.contains("cut short"), "{log}");
    // However fast one follows the other, each puts aside what was there.
    let asides = || {
        let names = fs::read_dir(root.join("var")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with("remit.db.replaced-") && !name.ends_with("-wal") && !name.ends_with("-shm"))
            .count()
    };
    let before = asides();
    for again in 1..=3 {
        let (code, log) = remit(&root, &["restore", "--from", "whole", "--force"]);
        assert_eq!((code, asides()), (Some(0), before + again), "{log}");
    }
    host.restart();
}

#[tokio::test]
async fn a_backup_that_is_killed_is_none() {
    let host = Setup::demo().start().await;
    let root = host.root.path();
    let mut outcomes = BTreeSet::new();
    // By the name of the backup, what shows when it is killed: nothing, its folder, or a file in that.
    for (to, shows) in [
        ("at-once", None),
        ("begun", Some("")),
        ("with-the-journal", Some("journal.db")),
        ("with-the-manifest", Some("manifest.json")),
        ("never", Some("no such file")),
    ] {
        let mut command = Command::new(program());
        command.args(["backup", "--to", to]).args(AT).current_dir(root).env_clear().stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let reached = || shows.is_none_or(|file| unfinished(root).is_some_and(|folder| folder.join(file).exists()));
        // Or it is at its end.
        while child.try_wait().unwrap().is_none() && !reached() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        let whole = root.join(to).exists();
        if whole {
            let fresh = format!("fresh-{to}");
            let verb = ["restore", "--from", to, "--profile", "demo", "--state", &fresh];
            let (code, _, log) = run(root, &verb);
            assert_eq!(code, Some(0), "what has its name is whole: {to}: {log}");
        }
        // The next one is to be seen by a folder of its own.
        if let Some(left) = unfinished(root) {
            assert!(!whole, "{to}: {} is left", left.display());
            fs::remove_dir_all(left).unwrap();
        }
        outcomes.insert(whole);
    }
    assert_eq!(outcomes, BTreeSet::from([false, true]), "some were killed in time, and some not");
}

/// The folder of a backup that has begun and is not whole.
fn unfinished(root: &Path) -> Option<PathBuf> {
    let mut paths = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(".remit-unfinished-"))
}
