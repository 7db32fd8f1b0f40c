//! Files of the operator's that are no plugin, and compiled code that is not this host's. What is damaged,
//! foreign or grown beyond reason is in `host/server/tests/uploads.rs`.

use std::fs;

use super::{figure, still_well, walk};
use crate::host::Setup;

#[tokio::test]
async fn components_that_ask_for_more_or_never_describe_themselves_are_not_taken_in() {
    let mut host = super::setup(&[]).hostile("imports").hostile("describe").hostile("start").start().await;
    still_well(&host).await;
    let (_, log) = host.stop();
    for (file, reason) in [
        ("hostile-imports.wasm", "hostile:beyond/power@0.1.0"),
        ("hostile-describe.wasm", "describe itself"),
        ("hostile-start.wasm", "describe itself"),
    ] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains(reason)), "{file}: {reason}\n{log}");
    }
}

#[tokio::test]
async fn a_cache_entry_that_is_not_ours_is_never_loaded() {
    let mut host = Setup::demo().start().await;
    still_well(&host).await;
    host.stop();
    let entries: Vec<String> = walk(&host.root.path().join("var/cache"));
    assert!(!entries.is_empty());
    for entry in entries {
        let mut bytes = fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(&entry, bytes).unwrap();
    }
    host.restart();
    still_well(&host).await;
    let (_, log) = host.stop();
    assert!(log.contains("not ours or was damaged"), "{log}");
}

#[tokio::test]
async fn compiled_code_is_no_plugin() {
    let mut host = Setup::demo().start().await;
    still_well(&host).await;
    let before = figure(&host, "remit_plugins_loaded").await;
    host.stop();
    // The host's own entry, with its seal and without: what begins the code is found by its form.
    let entries = walk(&host.root.path().join("var/cache"));
    let sealed = fs::read(&entries[0]).unwrap();
    let code = sealed.windows(4).position(|four| four == b"\x7fELF").unwrap();
    let dist = host.root.path().join("plugins/dist");
    fs::write(dist.join("sealed.wasm"), &sealed).unwrap();
    fs::write(dist.join("compiled.wasm"), &sealed[code..]).unwrap();
    host.restart();
    still_well(&host).await;
    assert_eq!(figure(&host, "remit_plugins_loaded").await, before);
    let (_, log) = host.stop();
    for file in ["sealed.wasm", "compiled.wasm"] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains("not a component")), "{file}\n{log}");
    }
}
