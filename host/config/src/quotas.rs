//! Quotas as they are written, in `host.yaml` and in contexts alike.

use remit_domain::usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much may be used in a minute or a day, in UTC. What is left out has no bound of its own.
#[derive(Debug, Default, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Quotas {
    /// Requests, whatever they ask for; 60,000 if the operator says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Requests, whatever they ask for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u64>,
    /// Calls of tools and readings of resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_minute: Option<u64>,
    /// Calls of tools and readings of resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_day: Option<u64>,
    /// What plugins compute, in milliseconds. A call that is under way may exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms_per_minute: Option<u64>,
    /// What plugins compute, in milliseconds. A call that is under way may exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms_per_day: Option<u64>,
    /// What chat's language model reads and writes, as its server counts. A reply that is under way may exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// What chat's language model reads and writes, as its server counts. A reply that is under way may exceed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Components that are uploaded, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_bytes_per_minute: Option<u64>,
    /// Components that are uploaded, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_bytes_per_day: Option<u64>,
}

impl Quotas {
    pub(crate) fn is_empty(&self) -> bool {
        self.given().next().is_none()
    }

    /// Each that is written, with its key.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, usage::Meter, usage::Window, u64)> {
        let values = [
            self.requests_per_minute,
            self.requests_per_day,
            self.calls_per_minute,
            self.calls_per_day,
            self.cpu_ms_per_minute,
            self.cpu_ms_per_day,
            self.tokens_per_minute,
            self.tokens_per_day,
            self.upload_bytes_per_minute,
            self.upload_bytes_per_day,
        ];
        let keys = usage::Quotas::KEYS.into_iter().zip(values);
        keys.filter_map(|((key, meter, window), value)| Some((key, meter, window, value?)))
    }

    /// These quotas with each that is written in place of what they say.
    pub(crate) fn over(&self, quotas: usage::Quotas) -> usage::Quotas {
        self.given().fold(quotas, |quotas, (_, meter, window, value)| quotas.with(meter, window, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_the_quota_that_it_names() -> serde_json::Result<()> {
        for (key, meter, window) in usage::Quotas::KEYS {
            let quotas: Quotas = serde_json::from_value(serde_json::json!({ key: 7 }))?;
            assert_eq!(quotas.over(usage::Quotas::NONE), usage::Quotas::NONE.with(meter, window, 7), "{key}");
        }
        Ok(())
    }
}
