//! The engine and its limits: made once for the process.

use std::{path::Path, thread, time::Duration};

use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails, component::Linker,
};

use crate::{Error, cache::CodeCache, capability, places::Places, state::State};

/// How often the epoch advances: the granularity of CPU budgets and of fairness between guests.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// What one call may use, and how many calls run at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the call's beginning to its end, waiting included.
    pub wall_time: Duration,
    /// Running, not waiting; checked at every tick of 10 ms.
    pub cpu_time: Duration,
    /// Summed over all memories of an instance, in bytes. At most [`Limits::MAX_MEMORY_BYTES`].
    pub memory_bytes: usize,
    /// Elements in all tables of an instance together.
    pub table_elements: usize,
    /// What a call may answer in all, in bytes.
    pub output_bytes: usize,
    /// What a call may log, in bytes; more is dropped.
    pub log_bytes: usize,
    /// Handles that a call may hold at once.
    pub handles: usize,
    /// Operations that a call may have under way at once (`max-pending` of the contract).
    pub pending: usize,
    /// Calls that run at once on this host. A component may consist of several core instances: the
    /// pool has room for [`Limits::CORE_INSTANCES`] a call.
    pub concurrent_calls: usize,
    /// How long a call waits for a free place before it is answered with `busy`.
    pub queue_time: Duration,
}

impl Limits {
    /// The most memory that an instance can be given: what the pool reserves for each.
    pub const MAX_MEMORY_BYTES: usize = 1 << 30;
    /// Core instances a component may consist of; Rust's have 3, Python's 14 modules.
    const CORE_INSTANCES: u32 = 32;
    /// Memories a component may have. Compilers make one; adapters add one more.
    const MEMORIES: u32 = 4;
    /// Tables a component may have.
    const TABLES: u32 = 32;
}

impl Default for Limits {
    /// Ten times and more what the tools shipped with the host were measured to use.
    fn default() -> Self {
        Self {
            wall_time: Duration::from_secs(30),
            cpu_time: Duration::from_secs(5),
            memory_bytes: 128 << 20,
            table_elements: 20_000,
            output_bytes: 4 << 20,
            log_bytes: 64 << 10,
            handles: 1_000,
            pending: 16,
            concurrent_calls: 64,
            queue_time: Duration::from_secs(5),
        }
    }
}

/// The process-wide half of the sandbox: one engine, one linker, one code cache.
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) limits: Limits,
    pub(crate) cache: CodeCache,
    pub(crate) places: Places,
}

impl Sandbox {
    /// Makes the engine and starts the thread that advances its epoch, which ends with the engine.
    /// Compiled code is kept under `cache`, sealed with a key kept under `secrets`.
    ///
    /// Errors: [`Error::Engine`] if the machine can't give the address space; [`Error::Cache`].
    pub fn new(limits: Limits, cache: &Path, secrets: &Path) -> Result<Self, Error> {
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
        let places = Places::new(limits.concurrent_calls, limits.queue_time);
        Ok(Self { engine, linker, limits, cache, places })
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Places taken by calls now, and all there are.
    pub fn occupancy(&self) -> (usize, usize) {
        self.places.occupancy()
    }
}

/// The one configuration. Everything that a tool does not need is off; what is on is the part of
/// wasmtime that its project fuzzes and calls tier 1.
fn config(limits: &Limits) -> Config {
    let calls = u32::try_from(limits.concurrent_calls).unwrap_or(u32::MAX);
    // One place more for describing a component while all others are taken.
    let places = calls.saturating_add(1);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(places)
        .total_core_instances(places.saturating_mul(Limits::CORE_INSTANCES))
        .total_memories(places.saturating_mul(Limits::MEMORIES))
        .total_tables(places.saturating_mul(Limits::TABLES))
        .total_stacks(places)
        .max_core_instances_per_component(Limits::CORE_INSTANCES)
        .max_memories_per_component(Limits::MEMORIES)
        .max_tables_per_component(Limits::TABLES)
        .max_memory_size(limits.memory_bytes.min(Limits::MAX_MEMORY_BYTES))
        .table_elements(limits.table_elements)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(1 << 20)
        // Warm pages of small guests stay mapped between calls: saves a page fault each.
        .linear_memory_keep_resident(64 << 10);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .memory_init_cow(true)
        .wasm_memory64(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        // Host functions run on the guest's fiber: they get what the wasm stack leaves over.
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    config
}
