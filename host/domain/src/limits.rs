//! What calls of plugins, tenants and uploads may use: the operator's figures, and what a tenant lowers.
//!
//! Deliberately absent: how limits are written (`remit-config`), who enforces them (`remit-sandbox`), and
//! what bounds a source's answers whoever asks, which stands with each port in `data`.

use std::time::Duration;

use crate::{Error, PluginName, usage::Quotas};

/// One limit. Its facts stand in one table: the key in `host.yaml`, the unit, and a default that a real
/// tool never meets (ten times and more what the tools shipped with the host were measured to use).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// From a call's beginning to its end, waiting for sources included.
    WallTime,
    /// Computing, waiting not included. Looked at every 10 ms.
    CpuTime,
    /// Summed over all memories of an instance.
    Memory,
    /// Elements, summed over all tables of an instance.
    TableElements,
    /// The stack of a guest's own calls. One for the whole engine: a tenant can't lower it.
    Stack,
    /// Handles that a call holds at once.
    Handles,
    /// Operations that a call has under way at once (`max-pending` of the contract).
    Pending,
    /// Calls of the host's functions in one call. WASI's are not counted: behind them is nothing but the
    /// guest's own computing time.
    HostCalls,
    /// Bytes that one call of a host's function takes in or gives out.
    HostCallBytes,
    /// Bytes of all calls of the host's functions in one call, in and out together.
    TransferBytes,
    /// Rows or documents that one query gives. A source's own bound holds as well.
    Rows,
    /// What a call logs; more is dropped.
    LogBytes,
    /// What a call answers in all.
    OutputBytes,
    /// Calls at once: of the whole host for the operator, of one tenant for a tenant.
    ConcurrentCalls,
    /// Calls of one tenant that wait for a place.
    QueuedCalls,
    /// How long a call waits for a place.
    QueueTime,
    /// What a step of a workflow leaves, as JSON.
    StepBytes,
    /// What of that stands in the journal; more of it lies beside it.
    InlineBytes,
    /// What all runs of one tenant's workflows take, those that have ended among them.
    RunBytes,
    /// Runs of one tenant that are kept once they have ended.
    Runs,
    /// How long these are kept.
    RunDays,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::WallTime,
        Self::CpuTime,
        Self::Memory,
        Self::TableElements,
        Self::Stack,
        Self::Handles,
        Self::Pending,
        Self::HostCalls,
        Self::HostCallBytes,
        Self::TransferBytes,
        Self::Rows,
        Self::LogBytes,
        Self::OutputBytes,
        Self::ConcurrentCalls,
        Self::QueuedCalls,
        Self::QueueTime,
        Self::StepBytes,
        Self::InlineBytes,
        Self::RunBytes,
        Self::Runs,
        Self::RunDays,
    ];

    /// As `host.yaml` and contexts name it.
    pub fn key(self) -> &'static str {
        self.facts().0
    }

    /// What its value counts.
    pub fn unit(self) -> &'static str {
        self.facts().1
    }

    fn facts(self) -> (&'static str, &'static str, u64) {
        match self {
            Self::WallTime => ("wallTimeMs", "ms", 30_000),
            Self::CpuTime => ("cpuTimeMs", "ms", 5_000),
            Self::Memory => ("memoryBytes", "bytes", 128 << 20),
            Self::TableElements => ("tableElements", "elements", 100_000),
            Self::Stack => ("stackBytes", "bytes", 512 << 10),
            Self::Handles => ("handles", "handles", 1_000),
            Self::Pending => ("pending", "operations", 16),
            Self::HostCalls => ("hostCalls", "calls", 100_000),
            Self::HostCallBytes => ("hostCallBytes", "bytes", 8 << 20),
            // Twice the longest stream that the contract lets a guest read.
            Self::TransferBytes => ("transferBytes", "bytes", 512 << 20),
            Self::Rows => ("rows", "rows", 10_000),
            Self::LogBytes => ("logBytes", "bytes", 64 << 10),
            Self::OutputBytes => ("outputBytes", "bytes", 4 << 20),
            Self::ConcurrentCalls => ("concurrentCalls", "calls", 64),
            Self::QueuedCalls => ("queuedCalls", "calls", 64),
            Self::QueueTime => ("queueTimeMs", "ms", 5_000),
            // What one call may answer, with what a step puts around it.
            Self::StepBytes => ("stepBytes", "bytes", 5 << 20),
            Self::InlineBytes => ("inlineBytes", "bytes", 64 << 10),
            Self::RunBytes => ("runBytes", "bytes", 4 << 30),
            Self::Runs => ("runs", "runs", 100_000),
            Self::RunDays => ("runDays", "days", 365),
        }
    }
}

/// A value for each limit: the operator's for the host, or those in force for one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    values: [u64; Limit::ALL.len()],
    /// What uploads may be, by tier. The operator's alone.
    pub uploads: Uploads,
    /// How much a tenant may use in a minute or a day.
    pub quotas: Quotas,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            values: Limit::ALL.map(|limit| limit.facts().2),
            uploads: Uploads::default(),
            quotas: Quotas::of_a_tenant(),
        }
    }
}

impl Limits {
    /// A limit's value, in its unit.
    #[expect(clippy::indexing_slicing, reason = "there is a value for each variant, in their order")]
    pub fn get(&self, limit: Limit) -> u64 {
        self.values[limit as usize]
    }

    /// A limit's value as a size in memory.
    pub fn size(&self, limit: Limit) -> usize {
        usize::try_from(self.get(limit)).unwrap_or(usize::MAX)
    }

    /// The value of a limit in milliseconds.
    pub fn time(&self, limit: Limit) -> Duration {
        Duration::from_millis(self.get(limit))
    }

    /// With another value for one limit.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "there is a value for each variant, in their order")]
    pub fn with(mut self, limit: Limit, value: u64) -> Self {
        self.values[limit as usize] = value;
        self
    }

    /// The most that one tenant may have where these are the host's: the same, but half of the places, so
    /// that the others find the other half whatever it does.
    #[must_use]
    pub fn of_one_tenant(&self) -> Self {
        let share = self.get(Limit::ConcurrentCalls).div_ceil(2).max(1);
        self.clone().with(Limit::ConcurrentCalls, share)
    }

    /// Lowers a limit. Errors: the present value, which stays, if that is less.
    pub fn lower(&mut self, limit: Limit, value: u64) -> Result<(), u64> {
        let present = self.get(limit);
        if value > present {
            return Err(present);
        }
        *self = self.clone().with(limit, value);
        Ok(())
    }

    /// The error of a plugin that met a limit.
    pub fn reached(&self, limit: Limit, plugin: &PluginName) -> Error {
        Error::Limit { plugin: plugin.clone(), limit: limit.key(), allowed: self.get(limit), unit: limit.unit() }
    }
}

/// How large a tenant's uploads may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// As components from Rust and small JavaScript engines are.
    #[default]
    Small,
    /// As those are that bring Python or a whole JavaScript engine. The operator allows it.
    Large,
}

impl Tier {
    /// As `host.yaml` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

/// What uploads may be, by tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploads {
    /// Of tenants without another word of the operator.
    pub small: Upload,
    /// Of tenants that the operator allows it.
    pub large: Upload,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { small: Upload::SMALL, large: Upload::LARGE }
    }
}

impl Uploads {
    /// What an upload of a tier may be.
    pub fn of(&self, tier: Tier) -> &Upload {
        match tier {
            Tier::Small => &self.small,
            Tier::Large => &self.large,
        }
    }
}

/// What an upload may be, and what compiling it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// The component, in bytes (`componentBytes`).
    pub component_bytes: u64,
    /// One function's body, in bytes (`bodyBytes`): what a compiler takes most time over.
    pub body_bytes: u64,
    /// Functions in all core modules together (`functions`).
    pub functions: u64,
    /// Core modules (`coreModules`).
    pub core_modules: u64,
    /// What compiling may compute, in seconds (`compileCpuSeconds`).
    pub compile_cpu_seconds: u64,
    /// The compiler's whole address space, in bytes (`compileMemoryBytes`).
    pub compile_memory_bytes: u64,
}

impl Upload {
    /// The default of the small tier: components from Rust and QuickJS pass with room.
    pub const SMALL: Self = Self {
        component_bytes: 8 << 20,
        body_bytes: 256 << 10,
        functions: 20_000,
        core_modules: 16,
        compile_cpu_seconds: 5,
        compile_memory_bytes: 1 << 30,
    };
    /// The default of the large tier. Python and StarlingMonkey need 15 to 19 MB, bodies of 427 KB and 12 seconds.
    pub const LARGE: Self = Self {
        component_bytes: 32 << 20,
        body_bytes: 1 << 20,
        functions: 100_000,
        core_modules: 32,
        compile_cpu_seconds: 30,
        compile_memory_bytes: 2 << 30,
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_limit_has_a_value_and_a_name_of_its_own() {
        let limits = Limits::default();
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, at, "{limit:?}");
            let changed = limits.clone().with(limit, 7);
            let differ = Limit::ALL.into_iter().filter(|other| changed.get(*other) != limits.get(*other));
            assert_eq!(differ.collect::<Vec<_>>(), [limit]);
        }
        assert_eq!(Limit::ALL.iter().map(|limit| limit.key()).collect::<BTreeSet<_>>().len(), Limit::ALL.len());
    }

    #[test]
    fn a_tenant_lowers_and_never_raises() {
        let mut limits = Limits::default().with(Limit::ConcurrentCalls, 5).of_one_tenant();
        assert_eq!(limits.get(Limit::ConcurrentCalls), 3);
        assert_eq!(limits.lower(Limit::ConcurrentCalls, 4), Err(3));
        assert_eq!(limits.lower(Limit::ConcurrentCalls, 2), Ok(()));
        assert_eq!(limits.lower(Limit::Memory, 1 << 40), Err(128 << 20));
        assert_eq!(limits.lower(Limit::WallTime, 100), Ok(()));
        assert_eq!((limits.get(Limit::ConcurrentCalls), limits.size(Limit::Memory)), (2, 128 << 20));
        assert_eq!(limits.time(Limit::WallTime), Duration::from_millis(100));
        assert_eq!(Limits::default().with(Limit::ConcurrentCalls, 1).of_one_tenant().get(Limit::ConcurrentCalls), 1);
    }

    #[test]
    fn the_error_names_limit_value_and_unit() -> Result<(), crate::InvalidName> {
        let error = Limits::default().reached(Limit::HostCalls, &PluginName::new("crm")?);
        assert_eq!(error.to_string(), "the plugin crm reached the limit hostCalls (100000 calls)");
        assert_eq!(error.code(), "plugin_limit");
        Ok(())
    }
}
