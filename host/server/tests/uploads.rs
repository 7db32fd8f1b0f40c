//! What a tenant uploads: damaged, foreign, grown beyond reason, random, and real components with random
//! damage. They are examined as an upload is: scanned, compiled by the program's own child process, and
//! described without any grant.
//!
//! They are here, and not among the stories, since cargo builds the program for the tests of its own crate.
//!
//! Deliberately absent: the route, and more than a bounded number of mutants: `cargo xtask fuzz` goes on.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests: a panic is a failed test")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use remit_domain::{
    Error, PluginName, TenantId,
    limits::{Limit, Limits, Upload},
    plugin::{Computed, Workshop as _},
    tenant::Context,
};
use remit_sandbox::{Compiler, Registry, Sandbox, VERB};
use tempfile::TempDir;
use tokio::{
    sync::{Mutex, MutexGuard},
    task::yield_now,
    time::timeout,
};

/// Far more than anything takes here: whoever waits so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tenant whose settings hold the canary, which no other tenant is ever told.
const OTHER: &str = "b";
const CANARY: &str = "what-only-the-other-tenant-knows";

/// Waits for a test's turn: each counts the processes and the open files of all of them.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The built plugins; `cargo xtask test` builds them first.
fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/dist")
}

/// The names of the forged components of a kind.
fn forged(kind: &str) -> Vec<String> {
    let folder = dist().join("hostile").join(kind);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} is not there ({error}): run `cargo xtask build-plugin`", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// A registry whose compiler is the program under test.
struct Workshop {
    registry: Registry,
    limits: Limits,
    /// By all that was examined.
    computed: Computed,
    _folder: TempDir,
}

impl Workshop {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = limits.with(Limit::ConcurrentCalls, 4).with(Limit::CpuTime, 500).with(Limit::WallTime, 2_000);
        let (cache, secrets) = (folder.path().join("cache"), folder.path().join("secrets"));
        let sandbox =
            Sandbox::new(limits.clone(), Compiler::at(env!("CARGO_BIN_EXE_remit")), &cache, &secrets).unwrap();
        Self { registry: Registry::new(Arc::new(sandbox)), limits, computed: Computed::default(), _folder: folder }
    }

    /// What comes of an upload: the name that it gives itself, or why it is not fit. Anything else is a
    /// fault of the host.
    async fn examine(&self, tenant: &str, what: &str, wasm: Vec<u8>) -> Result<String, String> {
        let context = self.context(tenant);
        let examined = timeout(PATIENCE, self.registry.examine(&context, Arc::new(wasm), &self.computed)).await;
        let examined = examined.unwrap_or_else(|_| panic!("{what}: no end within {PATIENCE:?}"));
        let told = match &examined {
            Ok(plugin) => format!("{:?}", plugin.description()),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(tenant == OTHER || !told.contains(CANARY), "{what}: {told}");
        match examined {
            Ok(plugin) => Ok(plugin.description().name.to_string()),
            Err(unfit @ Error::Unfit { .. }) => Err(unfit.to_string()),
            Err(other) => panic!("{what}: {other} ({:?})", std::error::Error::source(&other)),
        }
    }

    async fn file(&self, kind: &str, name: &str) -> Result<String, String> {
        self.examine("a", name, component(kind, name)).await
    }

    fn context(&self, tenant: &str) -> Arc<Context> {
        // Of the sets that both upload.
        let theirs = ["hostile-handle-forged", "techstart-crm"].into_iter().filter(|_| tenant == OTHER);
        let settings = theirs.map(|set| (PluginName::new(set).unwrap(), serde_json::json!({"secret": CANARY})));
        let blank = Context::of(TenantId::new(tenant).unwrap(), "A");
        Arc::new(Context { settings: settings.collect(), limits: self.limits.clone(), ..blank })
    }

    /// Nothing of what was examined is left: no place, no process, no more open files than before.
    async fn leaves_nothing(&self, open_before: usize) {
        let places = || self.registry.sandbox().occupancy();
        let gone = async {
            while places().0 > 0 || !compilers().is_empty() || open_files() > open_before {
                yield_now().await;
            }
        };
        let in_time = timeout(PATIENCE, gone).await.is_ok();
        assert!(in_time, "left: {:?} places, {:?}, {} files", places(), compilers(), open_files());
    }
}

/// A forged component of a kind, or, where that is empty, one of the hostile guests.
fn component(kind: &str, name: &str) -> Vec<u8> {
    fs::read(dist().join("hostile").join(kind).join(name).with_extension("wasm")).unwrap()
}

/// The processes that this one started to compile and that are there, dead ones included.
fn compilers() -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        // Processes come and go meanwhile.
        let Ok(about) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let after_name: Vec<&str> = about.rsplit(')').next().unwrap().split_whitespace().take(2).collect();
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if after_name[1] == own && (after_name[0] == "Z" || command.contains(VERB)) {
            found.push(about);
        }
    }
    found
}

/// How many files, pipes and the like are open. What belongs to a runtime is not counted: a test that waits for
/// its turn has one already.
fn open_files() -> usize {
    let of_runtime = |link: &Path| {
        let link = link.to_string_lossy();
        link.starts_with("anon_inode:[event") || link.starts_with("socket:")
    };
    // They come and go meanwhile.
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| !of_runtime(link)).count()
}

#[tokio::test]
async fn what_is_no_plugin_of_this_host_is_not_fit() {
    let _turn = alone().await;
    let workshop = Workshop::new(Limits::default());
    let reasons = BTreeMap::from([
        ("empty", "not a component"),
        ("text", "not a component"),
        ("module", "a core module"),
        ("cut-in-its-header", "not a component"),
        ("cut-after-its-header", "remit:plugin/tools@0.1.0"),
        ("cut-in-the-middle", "not a component"),
        ("cut-by-a-byte", "not a component"),
        ("longer-than-it-says", "not a component"),
        ("newer-layer", "not a component"),
        ("unknown-layer", "not a component"),
        ("newer-contract", "remit:plugin/tools@0.9.0"),
        ("newer-import", "remit:data/sql@9.0.0"),
        ("unknown-import", "evil:machine/shell@0.1.0"),
        ("web-import", "wasi:http/outgoing-handler@0.2.0"),
        ("unversioned-import", "remit:data/sql"),
        ("other-world", "remit:plugin/tools@0.1.0"),
        ("other-types", "does not fit the contract"),
        ("nothing-exported", "remit:plugin/tools@0.1.0"),
        ("components-in-components", "deeper than 16 levels"),
        ("blocks-in-blocks", "bodyBytes allows 262144 bytes"),
        ("types-that-double", "not a component"),
        ("instances-by-the-thousand", "not a component"),
        ("functions-by-the-hundred-thousand", "functions allows 20000 functions, and it has 200000"),
        ("memory-of-64-bits", "not a component"),
        ("memory-that-is-shared", "not a component"),
        ("memories-by-the-dozen", "does not fit the contract"),
    ]);
    let names = forged("damaged");
    assert!(names.iter().all(|name| reasons.contains_key(name.as_str())), "{names:?}");
    let before = open_files();
    for (name, reason) in reasons {
        let told = workshop.file("damaged", name).await;
        assert!(told.as_ref().is_err_and(|told| told.contains(reason)), "{name}: {reason}: {told:?}");
    }
    for (name, reason) in [
        ("whole-memory", "memoryBytes allows 134217728 bytes, and it has 4294967296 or more in one memory"),
        ("whole-table", "tableElements allows 100000 elements, and it has 10000000 or more in one table"),
        ("two-memories-at-once", "memoryBytes allows 134217728 bytes, and it takes more to describe itself"),
        ("start-section", "cpuTimeMs allows 500 ms"),
        ("start-trap", "did not describe itself"),
        ("start", "cpuTimeMs allows 500 ms"),
        ("describe", "cpuTimeMs allows 500 ms"),
        ("imports", "hostile:beyond/power@0.1.0"),
    ] {
        let told = workshop.file("", name).await;
        assert!(told.as_ref().is_err_and(|told| told.contains(reason)), "{name}: {reason}: {told:?}");
    }
    workshop.leaves_nothing(before).await;
}

#[tokio::test]
async fn each_limit_of_uploads_is_named_with_its_value() {
    let _turn = alone().await;
    // So that a limit that is new is not forgotten here.
    let Upload {
        component_bytes: _,
        body_bytes: _,
        functions: _,
        core_modules: _,
        compile_cpu_seconds: _,
        compile_memory_bytes: _,
    } = Upload::SMALL;
    // What the scan lets pass, so that compiling is what takes too much.
    let wide = Upload { body_bytes: 8 << 20, functions: 1_000_000, ..Upload::SMALL };
    for (name, tier, said) in [
        ("blocks-in-blocks", Upload { component_bytes: 1_000, ..wide }, "componentBytes allows 1000 bytes"),
        ("blocks-in-blocks", Upload { body_bytes: 5_000, ..wide }, "bodyBytes allows 5000 bytes, and it has "),
        ("other-world", Upload { core_modules: 0, ..wide }, "coreModules allows 0 modules, and it has 1"),
        ("functions-by-the-hundred-thousand", Upload { functions: 7, ..wide }, "functions allows 7 functions"),
        (
            "functions-by-the-hundred-thousand",
            Upload { compile_cpu_seconds: 1, ..wide },
            "compileCpuSeconds allows 1 seconds, and it takes longer to compile",
        ),
        (
            "functions-by-the-hundred-thousand",
            Upload { compile_memory_bytes: 256 << 20, compile_cpu_seconds: 60, ..wide },
            "compileMemoryBytes allows 268435456 bytes, and it takes more to compile",
        ),
    ] {
        let mut limits = Limits::default();
        limits.uploads.small = tier;
        let workshop = Workshop::new(limits);
        let before = open_files();
        let told = workshop.file("damaged", name).await;
        assert!(told.as_ref().is_err_and(|told| told.contains(said)), "{name}: {said}: {told:?}");
        // The process was stopped, and what it had computed is said all the same.
        let counted = workshop.computed.time();
        assert!(counted.as_millis() >= if said.starts_with("compileCpu") { 900 } else { 0 }, "{name}: {counted:?}");
        // Whose turn is next counts what is left.
        workshop.leaves_nothing(before).await;
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_no_process() {
    let _turn = alone().await;
    let mut limits = Limits::default();
    limits.uploads.small = Upload { functions: 1_000_000, ..Upload::SMALL };
    let workshop = Workshop::new(limits);
    let before = open_files();
    let endless = component("damaged", "functions-by-the-hundred-thousand");
    let mut upload = Box::pin(workshop.examine("a", "given up", endless));
    // Until its compiler is there.
    let begun = async {
        while compilers().is_empty() {
            tokio::select! {
                biased;
                came = &mut upload => panic!("it was done before it was given up: {came:?}"),
                () = yield_now() => {}
            }
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
    drop(upload);
    workshop.leaves_nothing(before).await;
    assert_eq!(workshop.file("", "handle-forged").await, Ok("hostile-handle-forged".to_owned()), "its turn is over");
}

/// Whatever is uploaded is taken in or not fit; nothing breaks the host, and nothing of it stays.
#[tokio::test]
async fn random_components_and_mutants_of_real_ones_are_taken_in_or_not_fit() {
    /// Of each small guest.
    const MUTANTS: u64 = 24;
    let _turn = alone().await;
    let guests = ["handle-forged", "two-memories", "tables", "realloc", "same-text", "no-case"];
    let mut uploads: Vec<(String, Vec<u8>)> =
        forged("random").into_iter().map(|name| (name.clone(), component("random", &name))).collect();
    for (at, name) in guests.into_iter().enumerate() {
        let whole = component("", name);
        for seed in 0..MUTANTS {
            let seed = seed + 1_000 * at as u64;
            uploads.push((format!("{name}, mutant {seed}"), mutant(seed, &whole)));
        }
    }
    let real = fs::read(dist().join("techstart-crm.wasm")).unwrap();
    uploads.extend((0..8).map(|seed| (format!("techstart-crm, mutant {seed}"), mutant(seed, &real))));
    let workshop = Workshop::new(Limits::default());
    let before = open_files();
    let examined: Vec<Result<String, String>> = stream::iter(uploads.into_iter().enumerate())
        // Two tenants, as each has one compiler. What `a` is told says nothing of the other: `examine` looks.
        .map(|(at, (what, wasm))| {
            let workshop = &workshop;
            async move { workshop.examine(["a", OTHER][at % 2], &what, wasm).await }
        })
        .buffer_unordered(2)
        .collect()
        .await;
    for reason in examined.iter().filter_map(|examined| examined.as_ref().err()) {
        let internal = ["/proc", "/tmp", "panicked", "src/"].iter().any(|part| reason.contains(part));
        assert!(!internal && reason.len() < 1_100, "{reason}");
    }
    // The damage is of every kind: some is in what nobody reads.
    let fit = examined.iter().filter(|examined| examined.is_ok()).count();
    assert!(fit > 0 && fit < examined.len() / 2, "{fit} of {}", examined.len());
    workshop.leaves_nothing(before).await;
    assert_eq!(workshop.file("", "handle-forged").await, Ok("hostile-handle-forged".to_owned()));
}

/// A component with some damage. The same number makes the same damage.
fn mutant(seed: u64, whole: &[u8]) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x5eed);
    // SplitMix64.
    let mut below = move |most: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap()
    };
    let mut bytes = whole.to_vec();
    for _ in 0..=below(3) {
        // Behind the header, so that it is still looked at.
        let at = 8 + below(bytes.len() - 16);
        let length = 1 + below(8);
        match below(5) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at..at + length].fill(u8::try_from(below(256)).unwrap()),
            2 => drop(bytes.drain(at..at + length)),
            3 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = 8 + below(bytes.len() - 16);
                bytes.swap(at, other);
            }
        }
    }
    bytes
}
