//! `host.yaml` as it is written. Every key may be left out; the defaults stand here and nowhere else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operator's settings: `configs/host.yaml`. Relative paths begin at the working directory;
/// those that `remit check FOLDER` reads, at that folder.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Host {
    /// The address to listen on: an IP address and a port; port 0 takes a free one.
    pub listen: String,
    /// The URL under which clients reach this host, such as `https://remit.example.com`: its host may
    /// stand in the header `Host`, and its origin in `Origin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Where state lies: the journal, compiled components, embedded sources.
    pub state_dir: String,
    /// The journal's SQLite file, within `stateDir` if relative.
    pub journal: String,
    /// Where the components lie that the operator ships.
    pub plugins_dir: String,
    /// Where the tenants' contexts lie, a file each.
    pub contexts_dir: String,
    /// Where workflows lie.
    pub workflows_dir: String,
    /// What one call of a plugin may use.
    pub limits: Limits,
    /// Where the host may connect to.
    pub network: Network,
    /// The language model of tenants that name none.
    pub model: Model,
    /// Answer with the offline model where no language model is configured. For demonstrations.
    pub offline_model: bool,
    /// Rules for single tenants, by name.
    pub tenants: BTreeMap<String, Tenant>,
    /// The environment variables that workflows may name as `{{ env.NAME }}`; to name another is a
    /// fault of the workflow.
    #[schemars(inner(regex(pattern = r"^[A-Z_][A-Z0-9_]*$")))]
    pub env: Vec<String>,
    /// How long requests under way may take to end once the host is told to stop.
    #[schemars(range(max = 3600))]
    pub drain_seconds: u32,
    /// Traces.
    pub telemetry: Telemetry,
    /// Browsers.
    pub cors: Cors,
    /// Names that the `Host` header may hold beside loopback and that of `publicUrl`.
    #[schemars(inner(length(min = 1)))]
    pub allowed_hosts: Vec<String>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3000".into(),
            public_url: None,
            state_dir: "var".into(),
            journal: "remit.db".into(),
            plugins_dir: "plugins/dist".into(),
            contexts_dir: "configs/contexts".into(),
            workflows_dir: "workflows".into(),
            limits: Limits::default(),
            network: Network::default(),
            model: Model::default(),
            offline_model: false,
            tenants: BTreeMap::new(),
            env: Vec::new(),
            drain_seconds: 30,
            telemetry: Telemetry::default(),
            cors: Cors::default(),
            allowed_hosts: Vec::new(),
        }
    }
}

/// What one call of a plugin may use.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// How long a call may take in all, in milliseconds, waiting included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub wall_time_ms: u64,
    /// How long a call may compute, in milliseconds, waiting not included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub cpu_time_ms: u64,
    /// The memory of one instance, in bytes; at most 1 GiB, which is what the pool reserves for each.
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub memory_bytes: u64,
    /// The answer of one call, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub output_bytes: u64,
    /// What one call may log, in bytes.
    #[schemars(range(max = 1_073_741_824))]
    pub log_bytes: u64,
    /// The handles that one call may hold at once.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub handles: u32,
    /// The calls under way at once on this host. At most 1,000: each reserves address space for
    /// the memories that a component may have, and more than that a process can't be sure to get.
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrent_calls: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall_time_ms: 30_000,
            cpu_time_ms: 5_000,
            memory_bytes: 128 << 20,
            output_bytes: 4 << 20,
            log_bytes: 64 << 10,
            handles: 1_000,
            concurrent_calls: 64,
        }
    }
}

/// Where the host may connect to.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Hosts, addresses and ranges (CIDR) that HTTP sources, models and webhooks may reach although
    /// they are private. Public addresses need no entry.
    #[schemars(inner(length(min = 1)))]
    pub allow: Vec<String>,
}

/// A language model.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Model {
    /// As its provider names it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The root of an OpenAI-compatible API; `{credentials}_BASE_URL` wins over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The prefix of the variables that hold its key: `{credentials}_API_KEY`.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: String,
}

impl Default for Model {
    fn default() -> Self {
        Self { name: "gpt-4o".into(), base_url: None, credentials: "OPENAI".into() }
    }
}

/// Rules for one tenant.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Tenant {
    /// The most that any agent of the tenant may do with a source, by the source's name.
    pub ceilings: BTreeMap<String, Ceiling>,
    /// The beginnings of the credential names that the tenant's context may use, each ending in `_`.
    /// Without this key: the tenant's name in capitals, such as `TECHSTART_`.
    #[schemars(inner(regex(pattern = r"^[A-Z][A-Z0-9_]*_$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential_prefixes: Option<Vec<String>>,
}

/// A permission.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ceiling {
    Read,
    Write,
}

/// Traces.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Telemetry {
    /// Where traces are sent by OTLP over HTTP, such as `http://127.0.0.1:4318`; none are sent
    /// without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
}

/// Browsers.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Cors {
    /// The origins whose pages may call this host, such as `https://app.example.com`; none without it.
    pub origins: Vec<String>,
}
