//! The engine and its limits: made once for the process.

use std::{path::Path, thread, time::Duration};

use remit_domain::{
    TenantId,
    limits::{Limit, Limits},
};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, component::Linker,
};

use crate::{
    Error,
    cache::CodeCache,
    capability,
    compile::Compiler,
    places::{Full, Place, Places, Terms},
    state::State,
    turns::Turns,
};

/// How often the epoch advances: the granularity of CPU budgets and of fairness between guests.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Core instances that a component may consist of; Rust's have 3, Python's 14 modules.
const CORE_INSTANCES: u32 = 32;
/// Memories that a component may have. Compilers make one; adapters add one more.
const MEMORIES: u32 = 4;
/// Tables that a component may have.
const TABLES: u32 = 32;
/// What a host function has of a fiber's stack beside the guest's own, in bytes.
const HOST_STACK_BYTES: usize = 3 << 19;

/// The process-wide half of the sandbox: one engine, one linker, one code cache.
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) limits: Limits,
    pub(crate) cache: CodeCache,
    pub(crate) compiler: Compiler,
    places: Places,
    pub(crate) turns: Turns,
    /// Held while a component of the operator's describes itself, which takes none of the tenants' places.
    pub(crate) describing: tokio::sync::Mutex<()>,
}

impl Sandbox {
    /// Makes the engine and starts the thread that advances its epoch, which ends with the engine.
    /// Compiled code is kept under `cache`, sealed with a key kept under `secrets`; what tenants upload is
    /// compiled by `compiler`.
    ///
    /// Errors: [`Error::Engine`] if the machine can't give the address space; [`Error::Cache`].
    pub fn new(limits: Limits, compiler: Compiler, cache: &Path, secrets: &Path) -> Result<Self, Error> {
        let engine = Engine::new(&config(&limits)).map_err(Error::Engine)?;
        let weak = engine.weak();
        let ticker = move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        };
        let started = thread::Builder::new().name("epoch".to_owned()).spawn(ticker);
        started.map_err(|cause| Error::Io { what: "the epoch thread did not start".to_owned(), cause })?;
        let linker = capability::linker(&engine).map_err(Error::Engine)?;
        let cache = CodeCache::open(&engine, cache, secrets)?;
        let places = Places::new(limits.size(Limit::ConcurrentCalls));
        let (turns, describing) = (Turns::new(), tokio::sync::Mutex::default());
        Ok(Self { engine, linker, limits, cache, compiler, places, turns, describing })
    }

    /// The operator's limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Places taken by calls now, and all there are.
    pub fn occupancy(&self) -> (usize, usize) {
        self.places.occupancy()
    }

    /// Takes a place for a call of a tenant, or waits for one in its queue.
    ///
    /// Errors: [`remit_domain::Error::Busy`] if the queue is full, or if no place frees in time.
    pub(crate) async fn place(&self, tenant: &TenantId, limits: &Limits) -> Result<Place, remit_domain::Error> {
        let terms = Terms {
            share: limits.size(Limit::ConcurrentCalls),
            queue: limits.size(Limit::QueuedCalls),
            wait: limits.time(Limit::QueueTime),
        };
        self.places.take(tenant, terms).await.map_err(|full| {
            let limit = match full {
                Full::Queue => Limit::QueuedCalls,
                Full::Time => Limit::QueueTime,
            };
            let (limit, allowed, unit) = (limit.key(), limits.get(limit), limit.unit());
            remit_domain::Error::Busy { limit, allowed, unit, retry_after_ms: 1_000 }
        })
    }
}

/// The engine of a process that only compiles: its code is the host's, without the host's pool, which
/// reserves more address space than such a process may have.
pub(crate) fn compiling() -> Result<Engine, Error> {
    let mut config = code();
    // One thread, so that what it computes is what it takes, and no more stacks count as its memory.
    config.parallel_compilation(false);
    Engine::new(&config).map_err(Error::Engine)
}

/// What decides the code. Everything that a tool does not need is off; what is on is the part of wasmtime
/// that its project fuzzes and calls tier 1.
fn code() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// The one configuration that runs guests.
fn config(limits: &Limits) -> Config {
    let calls = u32::try_from(limits.get(Limit::ConcurrentCalls)).unwrap_or(u32::MAX);
    // One place more for describing a component while all others are taken.
    let places = calls.saturating_add(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(places)
        .total_core_instances(places.saturating_mul(CORE_INSTANCES))
        .total_memories(places.saturating_mul(MEMORIES))
        .total_tables(places.saturating_mul(TABLES))
        .total_stacks(places)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        // However they are spread over modules: the sum is what is limited.
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_memory_size(limits.size(Limit::Memory))
        .table_elements(limits.size(Limit::TableElements))
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        // Warm pages of small guests stay mapped between calls: saves a page fault each.
        .linear_memory_keep_resident(64 << 10);
    let stack = limits.size(Limit::Stack);
    let mut config = code();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        // Host functions run on the guest's fiber: they get what the wasm stack leaves over.
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK_BYTES));
    config
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    #[test]
    fn what_the_compilers_process_makes_is_what_the_host_runs() -> Result<(), Box<dyn std::error::Error>> {
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        let limits = Limits::default().with(Limit::ConcurrentCalls, 1).with(Limit::Stack, 1 << 20);
        assert_eq!(hash(&compiling()?), hash(&Engine::new(&config(&limits))?));
        Ok(())
    }
}
