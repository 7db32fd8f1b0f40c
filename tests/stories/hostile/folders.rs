//! Guests that look for ways out of a folder, through the real host: its own files and other tenants' lie
//! beside the folder that they were handed.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};

use super::{figure, places_are_free, refused, setup, still_well, walk};
use crate::host::Host;

/// Through each of these doors of a folder's handle.
const DOORS: [&str; 7] = ["read", "open", "list", "stat", "write", "create", "delete"];
/// What no guest may see, in a file of another tenant's.
const CANARY: &str = "canary of another tenant";

fn storage(root: &Path) -> std::path::PathBuf {
    root.join("var/demo/techstart/storage")
}

async fn host(only: Option<Value>) -> Host {
    setup(&["hostile-calls"])
        .hostile("calls")
        .patch("configs/contexts/techstart.json", move |context| {
            let sales = &mut context["agentMappings"]["sales"];
            sales["dataSources"] = json!(["primary", "documents", "storage"]);
            sales["permissions"] = json!({"primary": ["read"], "documents": ["read"], "storage": ["read", "write"]});
            if let Some(only) = only {
                sales["only"] = only;
            }
        })
        .edit(|root| {
            let storage = storage(root);
            let other = root.join("var/demo/acme");
            fs::create_dir_all(&other).unwrap();
            fs::write(other.join("secret"), CANARY).unwrap();
            symlink("../../acme/secret", storage.join("link")).unwrap();
            symlink("../../acme", storage.join("links")).unwrap();
            fs::hard_link(other.join("secret"), storage.join("hard")).unwrap();
        })
        .start()
        .await
}

async fn tried(host: &Host, tool: &str, path: &str, through: &str) -> String {
    host.result(tool, json!({"path": path, "through": through})).await.to_string()
}

#[tokio::test]
async fn a_guest_gets_out_of_no_folder() {
    let mut host = host(None).await;
    let before = outside(&host);
    for path in [
        "../primary.db",
        "..",
        "../../acme/secret",
        "a/../../primary.db",
        "/etc/passwd",
        "/",
        "..\\primary.db",
        ".",
        "a\u{0}b",
        "a//b",
        "a/",
        "%2e%2e/primary.db",
        "..%2fprimary.db",
        "link",
        "links",
        "links/secret",
        "hard",
        "link/x",
        ".remit-uploads/x",
        "../storage/link",
        "/proc/self/environ",
        "file:///etc/passwd",
        "~/.ssh",
    ] {
        for through in DOORS {
            for tool in ["escape_folder", "spoil_folder"] {
                let tried = tried(&host, tool, path, through).await;
                // A name that is none of these tricks here may be written, within the folder.
                let within = tool == "spoil_folder" && ["%2e", "..%", "~"].iter().any(|it| path.starts_with(it));
                assert!(!tried.contains(CANARY) && !tried.contains("root:"), "{tool} {path} {through}: {tried}");
                assert!(within || !tried.contains("allowed:"), "{tool} {path} {through}: {tried}");
                assert!(!tried.contains("/var/") && !tried.contains("/tmp"), "no path of the host: {tried}");
            }
        }
    }
    assert_eq!(outside(&host), before, "nothing appeared, changed or vanished beside the folder");
    assert!(storage(host.root.path()).join("link").is_symlink() && storage(host.root.path()).join("hard").exists());
    still_well(&host).await;
    host.stop();
    let on_record = host.audit().await;
    assert!(on_record.iter().any(|row| row.name == "escape_folder"));
}

#[tokio::test]
async fn a_read_handle_of_files_writes_nothing() {
    let host = host(None).await;
    let listed = tried(&host, "escape_folder", "", "list").await;
    assert!(listed.contains("allowed:") && listed.contains("handbook.md"), "{listed}");
    assert!(tried(&host, "escape_folder", "handbook.md", "read").await.contains("TechStart"));
    for through in ["write", "create", "delete"] {
        let tried = tried(&host, "escape_folder", "handbook.md", through).await;
        assert!(tried.contains("Denied"), "{through}: {tried}");
    }
    assert_eq!(tried(&host, "escape_folder", "", "list").await, listed);
    assert!(tried(&host, "spoil_folder", "new/file", "write").await.contains("allowed:"));
    assert_eq!(fs::read(storage(host.root.path()).join("new/file")).unwrap(), b"hostile");
}

#[tokio::test]
async fn a_mapping_of_paths_holds_at_every_door() {
    let host = host(Some(json!({"documents": {"paths": ["policies"]}, "storage": {"paths": ["exports/2026"]}}))).await;
    for through in DOORS {
        for (tool, path) in [("escape_folder", "handbook.md"), ("spoil_folder", "campaigns"), ("spoil_folder", "new")] {
            let tried = tried(&host, tool, path, through).await;
            assert!(tried.contains("Denied"), "{tool} {path} {through}: {tried}");
        }
    }
    let listed = tried(&host, "escape_folder", "", "list").await;
    assert!(listed.contains("policies") && !listed.contains("handbook"), "{listed}");
    assert!(tried(&host, "spoil_folder", "exports/2026/a", "create").await.contains("allowed: 7"));
    assert!(tried(&host, "spoil_folder", "exports/2025/a", "create").await.contains("Denied"));
}

#[tokio::test]
async fn files_that_are_begun_and_not_ended_leave_nothing() {
    let host = host(None).await;
    let told = host.result("litter", json!({"count": 5, "trap": false})).await.to_string();
    assert!(told.contains("5 begun"), "{told}");
    refused(&host, "litter", json!({"count": 5, "trap": true}), 500, "plugin_trapped", "").await;
    places_are_free(&host).await;
    let told = host.result("litter", json!({"count": 15, "trap": false})).await.to_string();
    assert!(told.contains("15 begun"), "the places of those before are free: {told}");
    places_are_free(&host).await;
    let left = walk(&storage(host.root.path()));
    assert!(!left.iter().any(|file| file.contains("litter") || file.contains(".remit-")), "{left:?}");
    assert_eq!(figure(&host, super::PLACES_TAKEN).await, 0.0);
}

/// All files of the host's folder but those within the folders that guests were handed, and what changes by itself.
fn outside(host: &Host) -> Vec<(String, Vec<u8>)> {
    let files = walk(&host.root.path().join("var/demo")).into_iter();
    let files =
        files.filter(|file| !file.contains("techstart/storage") && !file.ends_with("-wal") && !file.ends_with("-shm"));
    files.map(|file| (file.clone(), fs::read(&file).unwrap())).collect()
}
