//! `sources` of `host.yaml`: what all tenants' data sources together and each of them may take, and for how
//! long they are waited for.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Checker;

/// What data sources may take, and for how long they are waited for.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Authored {
    /// The connections of one tenant's database for reading, and as many for changes.
    #[schemars(range(min = 1, max = 1_000))]
    pub connections_per_source: u32,
    /// The connections to databases of one tenant at once, idle ones among them.
    #[schemars(range(min = 1, max = 10_000))]
    pub connections_per_tenant: u32,
    /// The connections to databases of the whole host at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub connections: u32,
    /// How long a database may take to accept a connection, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub connect_timeout_ms: u64,
    /// How long is waited for a server of a MongoDB deployment that may be asked, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub selection_timeout_ms: u64,
    /// How long a MongoDB server may be silent before it is given up, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub socket_timeout_ms: u64,
    /// How long an operation waits for a connection to be free, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub acquire_timeout_ms: u64,
    /// How long a statement may run, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub statement_timeout_ms: u64,
    /// How long a statement waits for another's lock, in milliseconds. Servers that count in seconds wait
    /// one at least.
    #[schemars(range(min = 1, max = 600_000))]
    pub lock_timeout_ms: u64,
    /// How large an SQLite file, of rows or of documents, may become, in bytes.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub database_bytes: u64,
    /// How much a folder of the host's disk may hold, in bytes.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub folder_bytes: u64,
    /// How long an API may take to answer, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub api_timeout_ms: u64,
    /// How long a health probe may take, connecting included, in milliseconds.
    #[schemars(range(min = 1, max = 600_000))]
    pub probe_timeout_ms: u64,
    /// After how many minutes the connections of an unused source are closed, and those of a used one that
    /// lie idle.
    #[schemars(range(min = 1, max = 10_080))]
    pub idle_minutes: u32,
    /// After how many failures in a row a source is not asked for a while, and callers are answered
    /// `unavailable` at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub breaker_failures: u32,
    /// For how long at first, in milliseconds; twice as long each time that it still fails.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub breaker_ms: u64,
    /// For how long at most, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub breaker_longest_ms: u64,
    /// How much is kept of answers that contexts allow to be given again (`cache`), in bytes.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub cache_bytes: u64,
    /// How much of that is one tenant's, in bytes. A single answer takes an eighth of it at most.
    #[schemars(range(max = 1_099_511_627_776_u64))]
    pub cache_bytes_per_tenant: u64,
}

impl Default for Authored {
    fn default() -> Self {
        Self {
            connections_per_source: 10,
            connections_per_tenant: 50,
            connections: 400,
            connect_timeout_ms: 60_000,
            selection_timeout_ms: 5_000,
            socket_timeout_ms: 45_000,
            acquire_timeout_ms: 10_000,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 5_000,
            database_bytes: 1024 * 1024 * 1024,
            folder_bytes: 1024 * 1024 * 1024,
            api_timeout_ms: 30_000,
            probe_timeout_ms: 5_000,
            idle_minutes: 30,
            breaker_failures: 5,
            breaker_ms: 1_000,
            breaker_longest_ms: 60_000,
            cache_bytes: 64 * 1024 * 1024,
            cache_bytes_per_tenant: 16 * 1024 * 1024,
        }
    }
}

/// What data sources may take, and for how long they are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The connections of one tenant's database, for reading and for changes each.
    pub connections_per_source: usize,
    /// The connections to databases of one tenant.
    pub connections_per_tenant: usize,
    /// The connections to databases in all.
    pub connections: usize,
    /// How long a database may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long is waited for a MongoDB server.
    pub selection_timeout: Duration,
    /// How long one may be silent.
    pub socket_timeout: Duration,
    /// How long an operation waits for a connection.
    pub acquire_timeout: Duration,
    /// How long a statement may run.
    pub statement_timeout: Duration,
    /// How long it waits for a lock.
    pub lock_timeout: Duration,
    /// How large an SQLite file may become.
    pub database_bytes: u64,
    /// How much a folder of the host's disk may hold.
    pub folder_bytes: u64,
    /// How long an API may take to answer.
    pub api_timeout: Duration,
    /// How long a health probe may take.
    pub probe_timeout: Duration,
    /// When what is unused is closed.
    pub idle_timeout: Duration,
    /// After how many failures in a row a source is not asked.
    pub breaker_failures: u32,
    /// For how long at first.
    pub breaker_wait: Duration,
    /// For how long at most.
    pub breaker_longest: Duration,
    /// How much is kept of answers.
    pub cache_bytes: u64,
    /// How much of that for one tenant.
    pub cache_bytes_per_tenant: u64,
}

impl Checker<'_> {
    pub(super) fn sources(&mut self, authored: &Authored) -> Sources {
        let ms = Duration::from_millis;
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        for (key, value, bound, most) in [
            (
                "connectionsPerSource",
                authored.connections_per_source.into(),
                "connectionsPerTenant",
                authored.connections_per_tenant.into(),
            ),
            (
                "connectionsPerTenant",
                authored.connections_per_tenant.into(),
                "connections",
                authored.connections.into(),
            ),
            ("breakerMs", authored.breaker_ms, "breakerLongestMs", authored.breaker_longest_ms),
            ("cacheBytesPerTenant", authored.cache_bytes_per_tenant, "cacheBytes", authored.cache_bytes),
        ] {
            if value > most {
                let message = format!("`{key}` is {value}, and `{bound}` only {most}");
                self.complain(&format!("/sources/{key}"), message, Some("lower the one or raise the other"));
            }
        }
        Sources {
            connections_per_source: count(authored.connections_per_source),
            connections_per_tenant: count(authored.connections_per_tenant),
            connections: count(authored.connections),
            connect_timeout: ms(authored.connect_timeout_ms),
            selection_timeout: ms(authored.selection_timeout_ms),
            socket_timeout: ms(authored.socket_timeout_ms),
            acquire_timeout: ms(authored.acquire_timeout_ms),
            statement_timeout: ms(authored.statement_timeout_ms),
            lock_timeout: ms(authored.lock_timeout_ms),
            database_bytes: authored.database_bytes,
            folder_bytes: authored.folder_bytes,
            api_timeout: ms(authored.api_timeout_ms),
            probe_timeout: ms(authored.probe_timeout_ms),
            idle_timeout: Duration::from_secs(u64::from(authored.idle_minutes) * 60),
            breaker_failures: authored.breaker_failures,
            breaker_wait: ms(authored.breaker_ms),
            breaker_longest: ms(authored.breaker_longest_ms),
            cache_bytes: authored.cache_bytes,
            cache_bytes_per_tenant: authored.cache_bytes_per_tenant,
        }
    }
}
