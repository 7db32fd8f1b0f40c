//! `host.yaml` as it is written. Every key may be left out; the defaults stand here and nowhere else.

use std::collections::BTreeMap;

use remit_domain::{
    limits::{self, Limit},
    usage,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quotas::Quotas;

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
    /// Where templates of mails lie, a folder for each tenant.
    pub templates_dir: String,
    /// What calls of plugins may use, and what uploads may be.
    pub limits: Limits,
    /// How what tenants upload is kept.
    pub library: Library,
    /// How much each tenant may use, if `tenants` says nothing else of it.
    pub quotas: Quotas,
    /// Where the host may connect to.
    pub network: Network,
    /// How the audit log is kept.
    pub audit: super::audit::Authored,
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
    /// Authorization servers whose tokens let MCP clients in.
    pub oauth: super::oauth::Authored,
    /// What a client's connection may take of the host, and for how long.
    pub connections: super::connections::Authored,
    /// What data sources may take, and for how long they are waited for.
    pub sources: super::sources::Authored,
    /// Messages to people.
    pub notifications: super::notifications::Authored,
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
            templates_dir: "configs/templates".into(),
            limits: Limits::default(),
            library: Library::default(),
            quotas: Quotas { requests_per_minute: tenants_own(), ..Quotas::default() },
            network: Network::default(),
            audit: super::audit::Authored::default(),
            model: Model::default(),
            offline_model: false,
            tenants: BTreeMap::new(),
            env: Vec::new(),
            drain_seconds: 30,
            telemetry: Telemetry::default(),
            cors: Cors::default(),
            allowed_hosts: Vec::new(),
            oauth: super::oauth::Authored::default(),
            connections: super::connections::Authored::default(),
            sources: super::sources::Authored::default(),
            notifications: super::notifications::Authored::default(),
        }
    }
}

/// How what tenants upload is kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Library {
    /// Where components lie: a folder, relative to `stateDir`; or `s3://BUCKET/PREFIX`.
    pub store: String,
    /// The address of an S3-compatible store that is not AWS.
    pub endpoint: Option<String>,
    /// The region of an S3 store.
    pub region: String,
    /// The beginning of the variables that hold the store's key: `ARTIFACTS` for `ARTIFACTS_ACCESS_KEY` and
    /// `ARTIFACTS_SECRET_KEY`.
    pub credentials: String,
    /// The versions of a plugin that are kept beside the one that serves and the one that served before.
    #[schemars(range(max = 1_000))]
    pub keep_versions: u32,
    /// The plugins that one tenant may have uploaded.
    #[schemars(range(min = 1, max = 10_000))]
    pub plugins: u32,
}

impl Default for Library {
    fn default() -> Self {
        Self {
            store: "artifacts".into(),
            endpoint: None,
            region: "us-east-1".into(),
            credentials: "ARTIFACTS".into(),
            keep_versions: 10,
            plugins: 32,
        }
    }
}

/// What the shipped quota of requests is.
fn tenants_own() -> Option<u64> {
    usage::Quotas::of_a_tenant().get(usage::Meter::Requests, usage::Window::Minute)
}

/// What calls of plugins may use, and what uploads may be. Each is a ceiling: a tenant's context may ask
/// for less.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// How long a call may take in all, in milliseconds, waiting included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub wall_time_ms: u64,
    /// How long a call may compute, in milliseconds, waiting not included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub cpu_time_ms: u64,
    /// All memories of one instance together, in bytes; at most 1 GiB, which is what the pool reserves for
    /// each.
    #[schemars(range(min = 1_048_576, max = 1_073_741_824))]
    pub memory_bytes: u64,
    /// The elements of all tables of one instance together.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub table_elements: u64,
    /// The stack of a guest's own calls, in bytes. A tenant can't lower it.
    #[schemars(range(min = 65_536, max = 8_388_608))]
    pub stack_bytes: u64,
    /// The handles that one call may hold at once.
    #[schemars(range(min = 8, max = 1_000_000))]
    pub handles: u64,
    /// The operations that one call may have under way at once.
    #[schemars(range(min = 1, max = 1_000))]
    pub pending: u64,
    /// How often one call may call the host.
    #[schemars(range(min = 10, max = 1_000_000_000))]
    pub host_calls: u64,
    /// What one call of the host may take in or give out, in bytes.
    #[schemars(range(min = 65_536, max = 1_073_741_824))]
    pub host_call_bytes: u64,
    /// What all calls of the host that one call makes may take in and give out together, in bytes.
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub transfer_bytes: u64,
    /// The rows or documents that one query may give; at most 10,000, which is the sources' own bound.
    #[schemars(range(min = 1, max = 10_000))]
    pub rows: u64,
    /// What one call may log, in bytes; more is dropped.
    #[schemars(range(max = 1_073_741_824))]
    pub log_bytes: u64,
    /// The answer of one call, in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub output_bytes: u64,
    /// The calls under way at once on this host, of which one tenant may have half. At most 1,000: each
    /// reserves address space for the memories that a component may have, and more than that a process
    /// can't be sure to get.
    #[schemars(range(min = 1, max = 1_000))]
    pub concurrent_calls: u64,
    /// The calls of one tenant that may wait for a place.
    #[schemars(range(max = 100_000))]
    pub queued_calls: u64,
    /// How long a call may wait for a place, in milliseconds.
    #[schemars(range(max = 3_600_000))]
    pub queue_time_ms: u64,
    /// What tenants may upload.
    pub uploads: Uploads,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = limits::Limits::default();
        Self {
            wall_time_ms: limits.get(Limit::WallTime),
            cpu_time_ms: limits.get(Limit::CpuTime),
            memory_bytes: limits.get(Limit::Memory),
            table_elements: limits.get(Limit::TableElements),
            stack_bytes: limits.get(Limit::Stack),
            handles: limits.get(Limit::Handles),
            pending: limits.get(Limit::Pending),
            host_calls: limits.get(Limit::HostCalls),
            host_call_bytes: limits.get(Limit::HostCallBytes),
            transfer_bytes: limits.get(Limit::TransferBytes),
            rows: limits.get(Limit::Rows),
            log_bytes: limits.get(Limit::LogBytes),
            output_bytes: limits.get(Limit::OutputBytes),
            concurrent_calls: limits.get(Limit::ConcurrentCalls),
            queued_calls: limits.get(Limit::QueuedCalls),
            queue_time_ms: limits.get(Limit::QueueTime),
            uploads: Uploads::default(),
        }
    }
}

impl From<&Limits> for limits::Limits {
    fn from(authored: &Limits) -> Self {
        let mut made = Self::default()
            .with(Limit::WallTime, authored.wall_time_ms)
            .with(Limit::CpuTime, authored.cpu_time_ms)
            .with(Limit::Memory, authored.memory_bytes)
            .with(Limit::TableElements, authored.table_elements)
            .with(Limit::Stack, authored.stack_bytes)
            .with(Limit::Handles, authored.handles)
            .with(Limit::Pending, authored.pending)
            .with(Limit::HostCalls, authored.host_calls)
            .with(Limit::HostCallBytes, authored.host_call_bytes)
            .with(Limit::TransferBytes, authored.transfer_bytes)
            .with(Limit::Rows, authored.rows)
            .with(Limit::LogBytes, authored.log_bytes)
            .with(Limit::OutputBytes, authored.output_bytes)
            .with(Limit::ConcurrentCalls, authored.concurrent_calls)
            .with(Limit::QueuedCalls, authored.queued_calls)
            .with(Limit::QueueTime, authored.queue_time_ms);
        authored.uploads.small.apply(&mut made.uploads.small);
        authored.uploads.large.apply(&mut made.uploads.large);
        made
    }
}

/// What tenants may upload.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Uploads {
    /// A tenant of whom `tenants` says nothing else: 8 MiB, bodies of 256 KiB, 20,000 functions, 16 core
    /// modules, 5 seconds and 1 GiB to compile, which components from Rust and QuickJS pass with room.
    pub small: Upload,
    /// A tenant with `uploads: large`: 32 MiB, bodies of 1 MiB, 100,000 functions, 32 core modules, 30
    /// seconds and 2 GiB to compile, for components that bring Python or a whole JavaScript engine.
    pub large: Upload,
}

/// What an upload may be; a key that is left out is as the tier says.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Upload {
    /// The component, in bytes.
    #[schemars(range(min = 1024, max = 268_435_456))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_bytes: Option<u64>,
    /// The body of one function, in bytes.
    #[schemars(range(min = 1024, max = 7_654_321))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// The functions of all core modules together.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub functions: Option<u64>,
    /// The core modules; at most 32, which is what an instance has room for.
    #[schemars(range(min = 1, max = 32))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_modules: Option<u64>,
    /// How long compiling may compute, in seconds.
    #[schemars(range(min = 1, max = 600))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_cpu_seconds: Option<u64>,
    /// The address space of the compiling process, in bytes.
    #[schemars(range(min = 268_435_456, max = 68_719_476_736_u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compile_memory_bytes: Option<u64>,
}

impl Upload {
    fn apply(&self, made: &mut limits::Upload) {
        let set = |value: &mut u64, given: Option<u64>| *value = given.unwrap_or(*value);
        set(&mut made.component_bytes, self.component_bytes);
        set(&mut made.body_bytes, self.body_bytes);
        set(&mut made.functions, self.functions);
        set(&mut made.core_modules, self.core_modules);
        set(&mut made.compile_cpu_seconds, self.compile_cpu_seconds);
        set(&mut made.compile_memory_bytes, self.compile_memory_bytes);
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
    /// How large the tenant's uploads may be: `limits.uploads` has the figures.
    pub uploads: Tier,
    /// How much the tenant may use: each key in place of the same one of `quotas`.
    pub quotas: Quotas,
}

/// How large uploads may be.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    #[default]
    Small,
    Large,
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
