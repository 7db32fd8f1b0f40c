//! Uploads: any bytes are examined as a tenant's component. They are a plugin or not fit; the host's own
//! failures and panics are what is looked for.
//!
//! Deliberately absent: the compiler's process. Its part is done here, so that the fuzzer sees into it.

#![no_main]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is what a fuzzer looks for")]

use std::{cell::RefCell, sync::Arc};

use libfuzzer_sys::fuzz_target;
use remit_domain::{
    Error,
    limits::{Limit, Limits},
    plugin::{Computed, Workshop as _},
    tenant::Context,
};
use remit_fuzz::context;
use remit_sandbox::{Compiler, Registry, Sandbox};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// After so many, the code that was kept is thrown away.
const ROUND: u32 = 500;

struct Workshop {
    registry: Registry,
    context: Arc<Context>,
    runtime: Runtime,
    left: u32,
    _folder: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits::default()
            .with(Limit::ConcurrentCalls, 1)
            .with(Limit::CpuTime, 100)
            .with(Limit::WallTime, 1_000)
            .with(Limit::Memory, 16 << 20);
        let (cache, secrets) = (folder.path().join("cache"), folder.path().join("secrets"));
        let sandbox = Sandbox::new(limits.clone(), Compiler::here(), &cache, &secrets).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let registry = Registry::new(Arc::new(sandbox));
        Self { registry, context: context(limits, Vec::new()), runtime, left: ROUND, _folder: folder }
    }
}

thread_local! {
    static WORKSHOP: RefCell<Workshop> = RefCell::new(Workshop::new());
}

fuzz_target!(|wasm: &[u8]| {
    WORKSHOP.with_borrow_mut(|workshop| {
        if workshop.left == 0 {
            *workshop = Workshop::new();
        }
        workshop.left -= 1;
        let uncounted = Computed::default();
        let examining = workshop.registry.examine(&workshop.context, Arc::new(wasm.to_vec()), &uncounted);
        match workshop.runtime.block_on(examining) {
            Ok(plugin) => assert!(!plugin.description().name.as_str().is_empty()),
            Err(Error::Unfit { reason, .. }) => assert!(!reason.contains("can't be read"), "its reader panicked"),
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(workshop.registry.sandbox().occupancy().0, 0);
    });
});
