//! What stands behind one call, and the one constructor of a `Store`. A store never outlives its call.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
};

use remit_domain::{
    data,
    grant::Grants,
    limits::{Limit, Limits},
    plugin::{Description, Invocation},
};
use wasmtime::{ResourceLimiter, Store, component::Resource, component::ResourceTable};
use wasmtime_wasi::{
    HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView, p2::pipe::MemoryOutputPipe,
};

use crate::{
    bindings::remit::data::common::Error as WitError,
    budget::Meter,
    capability::{Bag, common, invocation},
    engine::Sandbox,
    traffic::{Size, Traffic},
};

/// What stands behind one call.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) meter: Arc<Meter>,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
    traffic: Traffic,
    /// Whether a transaction is open, by source.
    pub(crate) transactions: HashMap<String, Arc<AtomicBool>>,
    /// Operations under way, against `max-pending`.
    pub(crate) pending: Arc<()>,
    /// Messages that were asked for, against `max-messages`.
    pub(crate) messages: u32,
    stderr: MemoryOutputPipe,
    wasi: WasiCtx,
}

/// What a call is for. A component that describes itself has none.
pub(crate) struct Purpose {
    pub(crate) grants: Grants,
    pub(crate) invocation: Invocation,
}

/// The most that a panicking guest's own words may be, in bytes.
const STDERR_BYTES: usize = 8 << 10;

impl Sandbox {
    /// A store for one call, under these limits.
    pub(crate) fn store(&self, limits: &Limits) -> Store<State> {
        let stderr = MemoryOutputPipe::new(STDERR_BYTES);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stderr(stderr.clone())
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(64 << 10)
            .wall_clock(CoarseClock)
            .monotonic_clock(CoarseClock::since_now());
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.size(Limit::Handles));
        let meter = Arc::new(Meter::new(limits));
        let state = State {
            table,
            meter: meter.clone(),
            memory: Memory {
                limit: limits.size(Limit::Memory),
                table_limit: limits.size(Limit::TableElements),
                ..Memory::default()
            },
            traffic: Traffic::new(limits),
            limits: limits.clone(),
            transactions: HashMap::new(),
            pending: Arc::new(()),
            messages: 0,
            stderr,
            wasi: wasi.build(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| Ok(meter.at_tick()));
        store.set_hostcall_fuel(limits.size(Limit::HostCallBytes));
        store.set_max_component_handles(limits.size(Limit::Handles));
        store
    }
}

impl State {
    /// Puts the call's grants and invocation where the guest can be handed them.
    pub(crate) fn hand_over(
        &mut self,
        purpose: Purpose,
        description: &Arc<Description>,
    ) -> wasmtime::Result<(Resource<Bag>, Resource<invocation::Invocation>)> {
        let bag = self.table.push(Bag(purpose.grants))?;
        let settings = purpose.invocation.context.settings.get(&description.name).cloned();
        let invocation = self.table.push(invocation::Invocation::new(
            purpose.invocation,
            settings,
            self.limits.size(Limit::LogBytes),
        ))?;
        Ok((bag, invocation))
    }

    /// Counts a call of one of the host's functions with its arguments. Every function of the host begins
    /// with it. Errors: the trap of a guest that went over a limit.
    pub(crate) fn enter(&mut self, arguments: &impl Size) -> wasmtime::Result<()> {
        Ok(self.traffic.enter(arguments.size())?)
    }

    /// Counts what is given to the guest. Errors as [`Self::enter`].
    pub(crate) fn leave<T: Size>(&mut self, given: T) -> wasmtime::Result<T> {
        self.traffic.pass(given.size())?;
        Ok(given)
    }

    /// As [`Self::leave`], of what a source gave.
    pub(crate) fn answer<T: Size>(&mut self, given: Result<T, data::Error>) -> wasmtime::Result<Result<T, WitError>> {
        match given {
            Ok(given) => self.leave(given).map(Ok),
            Err(failure) => Ok(Err(common::error(failure))),
        }
    }

    /// What the guest said of its own end, for the operator's log.
    pub(crate) fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.stderr.contents()).into_owned()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Holds all memories of an instance together to one limit, and all its tables to another.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    limit: usize,
    table_limit: usize,
    used: usize,
    elements: usize,
    refused: Option<Refused>,
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Memory,
    Table,
}

impl Memory {
    /// Whether the last growth was refused: the cause of most traps that follow.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }
}

/// What exceeds a memory's own declared maximum fails whatever is said here, and is not counted: nothing
/// would take it back.
impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.used.saturating_sub(current).saturating_add(desired);
        if wanted > self.limit {
            self.refused = Some(Refused::Memory);
            return Ok(false);
        }
        if most.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        (self.used, self.refused) = (wanted, None);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.elements.saturating_sub(current).saturating_add(desired);
        if wanted > self.table_limit {
            self.refused = Some(Refused::Table);
            return Ok(false);
        }
        if most.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        (self.elements, self.refused) = (wanted, None);
        Ok(true)
    }
}

/// Clocks with a granularity of one millisecond, so that a guest cannot time its neighbours.
struct CoarseClock;

impl CoarseClock {
    const GRAIN: u64 = 1_000_000;

    fn since_now() -> CoarseInstant {
        CoarseInstant(std::time::Instant::now())
    }
}

impl HostWallClock for CoarseClock {
    fn resolution(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(Self::GRAIN)
    }

    fn now(&self) -> std::time::Duration {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        std::time::Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    }
}

struct CoarseInstant(std::time::Instant);

impl HostMonotonicClock for CoarseInstant {
    fn resolution(&self) -> u64 {
        CoarseClock::GRAIN
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_mul(CoarseClock::GRAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grows(grown: wasmtime::Result<bool>) -> Option<bool> {
        grown.ok()
    }

    #[test]
    fn what_a_memory_can_never_be_is_not_counted_against_the_others() {
        let mut memory = Memory { limit: 100, table_limit: 10, ..Memory::default() };
        for _ in 0..5 {
            assert_eq!(grows(memory.memory_growing(0, 80, Some(40))), Some(false));
            assert_eq!(grows(memory.table_growing(0, 8, Some(4))), Some(false));
        }
        assert_eq!(memory.refused(), None);
        assert_eq!(grows(memory.memory_growing(0, 60, Some(80))), Some(true));
        assert_eq!(grows(memory.memory_growing(0, 60, None)), Some(false));
        assert_eq!(memory.refused(), Some(Refused::Memory));
        assert_eq!(grows(memory.memory_growing(0, 40, None)), Some(true));
        assert_eq!((memory.refused(), memory.used), (None, 100));
        assert_eq!(grows(memory.table_growing(0, 10, None)), Some(true));
        assert_eq!(grows(memory.table_growing(0, 1, None)), Some(false));
        assert_eq!(memory.refused(), Some(Refused::Table));
    }
}
