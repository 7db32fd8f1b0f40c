//! Files that are no plugin of this host: damaged, foreign, or grown beyond reason.

use std::fs;

use super::{figure, forged, places_are_free, still_well, take_in, walk};
use crate::host::Setup;

#[tokio::test]
async fn components_that_ask_for_more_or_never_describe_themselves_are_not_taken_in() {
    let mut host = super::setup(&[]).hostile("imports").hostile("describe").hostile("start").start().await;
    still_well(&host).await;
    let (_, log) = host.stop();
    for (file, reason) in [
        ("hostile-imports.wasm", "remit:data/files@0.1.0"),
        ("hostile-describe.wasm", "describe itself"),
        ("hostile-start.wasm", "describe itself"),
    ] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains(reason)), "{file}: {reason}\n{log}");
    }
}

#[tokio::test]
async fn what_is_no_plugin_of_this_host_is_not_taken_in() {
    let names = forged("damaged");
    let taken = names.clone();
    let mut host = super::setup(&[]).edit(move |root| take_in(root, "damaged", &taken)).start().await;
    still_well(&host).await;
    assert_eq!(figure(&host, "remit_plugins_loaded").await, 1.0);
    places_are_free(&host).await;
    let (_, log) = host.stop();
    let said = |name: &str, reason: &str| {
        let file = format!("{name}.wasm\"");
        log.lines().any(|line| line.contains(&file) && line.contains(reason))
    };
    for name in &names {
        assert!(said(name, "WARN"), "{name} is named with what is wrong with it:\n{log}");
    }
    for (name, reason) in [
        ("empty", "not a component"),
        ("text", "not a component"),
        ("module", "not a component"),
        ("cut-in-the-middle", "not a component"),
        ("newer-layer", "not a component"),
        ("newer-contract", "remit:plugin/tools@0."),
        ("newer-import", "remit:data/sql@9.0.0"),
        ("unknown-import", "evil:machine/shell@0.1.0"),
        ("web-import", "wasi:http/outgoing-handler@0.2.0"),
        ("unversioned-import", "remit:data/sql"),
        ("other-world", "remit:plugin/tools@0.1.0"),
        ("nothing-exported", "remit:plugin/tools@0.1.0"),
    ] {
        assert!(said(name, reason), "{name}: {reason}\n{log}");
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
    assert_eq!(figure(&host, "remit_plugins_loaded").await, 1.0);
    let (_, log) = host.stop();
    for file in ["sealed.wasm", "compiled.wasm"] {
        assert!(log.lines().any(|line| line.contains(file) && line.contains("not a component")), "{file}\n{log}");
    }
}
