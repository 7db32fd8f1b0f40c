//! Contexts: any bytes are checked as a tenant's file. Faults have a place in the file; nothing panics,
//! and no text of the file becomes a fault's whole message.

#![no_main]
#![expect(clippy::unwrap_used, reason = "a panic is what a fuzzer looks for")]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use remit_config::{Environment, Host, check};
use tempfile::TempDir;

struct Root {
    host: Host,
    env: Environment,
    file: PathBuf,
    _folder: TempDir,
}

static ROOT: LazyLock<Root> = LazyLock::new(|| {
    // Where files are memory, if the machine has that.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let contexts = folder.path().join("configs/contexts");
    fs::create_dir_all(&contexts).unwrap();
    fs::write(folder.path().join("configs/host.yaml"), "").unwrap();
    let env = Environment::from_map([("FUZZED_DB_USER", "u".to_owned()), ("FUZZED_DB_PASS", "canary".to_owned())]);
    let host = Host::load(folder.path(), "configs/host.yaml".as_ref(), None, &env).unwrap();
    Root { host, env, file: contexts.join("fuzzed.json"), _folder: folder }
});

fuzz_target!(|bytes: &[u8]| {
    let root = &*ROOT;
    fs::write(&root.file, bytes).unwrap();
    let report = check::contexts(&root.host, &root.env, None);
    for fault in report.faults.iter().chain(&report.warnings) {
        let told = fault.to_string();
        assert!(!told.contains("canary"), "a secret is told: {told}");
        assert!(told.contains("fuzzed.json") || told.contains("host.yaml"), "without a place: {told}");
    }
});
