//! What a tenant's own calls may use: the operator's limits, lowered.

use remit_domain::{
    limits::{self, Limit},
    usage,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Reader;
use crate::{located::join, quotas::Quotas};

/// What this tenant's calls of plugins may use, where that is less than the operator allows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Limits {
    /// How long a call may take in all, in milliseconds, waiting included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub wall_time_ms: Option<u64>,
    /// How long a call may compute, in milliseconds, waiting not included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub cpu_time_ms: Option<u64>,
    /// All memories of one instance together, in bytes.
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub memory_bytes: Option<u64>,
    /// The elements of all tables of one instance together.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub table_elements: Option<u64>,
    /// The handles that one call may hold at once.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub handles: Option<u64>,
    /// The operations that one call may have under way at once.
    #[schemars(range(min = 1, max = 1_000))]
    pub pending: Option<u64>,
    /// How often one call may call the host.
    #[schemars(range(min = 10, max = 1_000_000_000))]
    pub host_calls: Option<u64>,
    /// What one call of the host may take in or give out, in bytes.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub host_call_bytes: Option<u64>,
    /// What all calls of the host that one call makes may take in and give out together, in bytes.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub transfer_bytes: Option<u64>,
    /// The rows or documents that one query may give.
    #[schemars(range(min = 1, max = 10_000))]
    pub rows: Option<u64>,
    /// What one call may log, in bytes; more is dropped.
    #[schemars(range(max = 1_073_741_824))]
    pub log_bytes: Option<u64>,
    /// The answer of one call, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub output_bytes: Option<u64>,
    /// The calls under way at once; at most half of what the host has places for.
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrent_calls: Option<u64>,
    /// The calls that may wait for a place.
    #[schemars(range(max = 100_000))]
    pub queued_calls: Option<u64>,
    /// How long a call may wait for a place, in milliseconds.
    #[schemars(range(max = 3_600_000))]
    pub queue_time_ms: Option<u64>,
    /// What one step of a workflow may leave, as JSON, in bytes.
    #[schemars(range(min = 65_536, max = 67_108_864))]
    pub step_bytes: Option<u64>,
    /// What of that stands in the journal, in bytes; what is larger lies beside it.
    #[schemars(range(min = 1024, max = 1_048_576))]
    pub inline_bytes: Option<u64>,
    /// What the runs of workflows may take together, in bytes: those at work and those that are kept.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub run_bytes: Option<u64>,
    /// The runs that are kept once they have ended.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub runs: Option<u64>,
    /// For how many days they are kept.
    #[schemars(range(min = 1, max = 36_500))]
    pub run_days: Option<u64>,
}

impl Limits {
    fn given(&self) -> impl Iterator<Item = (Limit, u64)> {
        let all = [
            (Limit::WallTime, self.wall_time_ms),
            (Limit::CpuTime, self.cpu_time_ms),
            (Limit::Memory, self.memory_bytes),
            (Limit::TableElements, self.table_elements),
            (Limit::Handles, self.handles),
            (Limit::Pending, self.pending),
            (Limit::HostCalls, self.host_calls),
            (Limit::HostCallBytes, self.host_call_bytes),
            (Limit::TransferBytes, self.transfer_bytes),
            (Limit::Rows, self.rows),
            (Limit::LogBytes, self.log_bytes),
            (Limit::OutputBytes, self.output_bytes),
            (Limit::ConcurrentCalls, self.concurrent_calls),
            (Limit::QueuedCalls, self.queued_calls),
            (Limit::QueueTime, self.queue_time_ms),
            (Limit::StepBytes, self.step_bytes),
            (Limit::InlineBytes, self.inline_bytes),
            (Limit::RunBytes, self.run_bytes),
            (Limit::Runs, self.runs),
            (Limit::RunDays, self.run_days),
        ];
        all.into_iter().filter_map(|(limit, value)| Some((limit, value?)))
    }
}

impl Reader<'_> {
    /// The limits in force for the tenant. What is above the operator's is a fault.
    pub(super) fn limits(&mut self, own: Option<&Limits>, quotas: &Quotas) -> limits::Limits {
        let mut limits = self.around.host.limits.of_one_tenant();
        limits.quotas = self.quotas(quotas);
        for (limit, value) in own.into_iter().flat_map(Limits::given) {
            if let Err(allowed) = limits.lower(limit, value) {
                let message = format!("more than the operator allows, which is {allowed} {}", limit.unit());
                let hint = match limit {
                    Limit::ConcurrentCalls => "half of `limits.concurrentCalls` in host.yaml".to_owned(),
                    _ => format!("`limits.{}` in host.yaml", limit.key()),
                };
                self.at(&join("/limits", limit.key()), message, hint);
            }
        }
        limits
    }

    /// The quotas in force for the tenant. What is above the operator's is a fault.
    fn quotas(&mut self, own: &Quotas) -> usage::Quotas {
        let host = self.around.host;
        let (mut quotas, place) = match host.rules(self.tenant).quotas {
            Some(quotas) => (quotas, format!("tenants.{}.quotas", self.tenant)),
            None => (host.limits.quotas, "quotas".to_owned()),
        };
        for (key, meter, window, value) in own.given() {
            if let Err(allowed) = quotas.lower(meter, window, value) {
                let message = format!("more than the operator allows, which is {allowed}");
                self.at(&join("/quotas", key), message, format!("`{place}.{key}` in host.yaml"));
            }
        }
        quotas
    }
}
