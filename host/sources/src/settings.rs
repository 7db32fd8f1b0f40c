//! What an operator may set about connections, with the defaults.

use std::time::Duration;

/// Limits of connections to sources. Durations that a tenant's call can run into are also cut by the
/// call's own deadline, since dropping an operation gives it up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most connections one tenant's source has at once. Default 10, the seed's `connectionLimit`
    /// and `maxPoolSize`.
    pub connections_per_source: usize,
    /// The most connections to databases that one tenant has at once, idle ones among them. Default 50: a
    /// tenant's calls, of which 32 run at once, each with one.
    pub connections_per_tenant: usize,
    /// The most connections to databases that the host has at once. Default 400, well below the descriptors
    /// that a process usually has.
    pub connections: usize,
    /// How long a database may take to accept a connection. Default 60 s (decisions.md 33).
    pub connect_timeout: Duration,
    /// How long is waited for a server of a MongoDB deployment that may be asked. Default 5 s (decisions.md 33).
    pub selection_timeout: Duration,
    /// How long a MongoDB server may be silent before it is given up, whatever time a statement has. Default
    /// 45 s (decisions.md 33).
    pub socket_timeout: Duration,
    /// How long an operation waits for one of the connections to be free; then it is `throttled`.
    /// Default 10 s, within the 30 s that a workflow's caller waits.
    pub acquire_timeout: Duration,
    /// How long a statement may run. Default 30 s, the same as an API request.
    pub statement_timeout: Duration,
    /// How long a statement waits for another's lock; then it is a `conflict`. Default 5 s.
    pub lock_timeout: Duration,
    /// How large a SQLite file, of rows or of documents, may become by changes through its source; then
    /// a change is over the limit `max-database-bytes`. The host's own journal may share its disk.
    /// Default 1 GiB.
    pub database_bytes: u64,
    /// How much a folder of the host's disk may hold after a write through its source, each file and folder
    /// counted with 4 KiB beside its bytes; then a write is over the limit `max-folder-bytes`. Default 1 GiB.
    pub folder_bytes: u64,
    /// How long an API may take to answer. Default 30 s (decisions.md 33).
    pub api_timeout: Duration,
    /// How long a health probe may take, connecting included. Default 5 s, the seed's
    /// `serverSelectionTimeoutMS`.
    pub probe_timeout: Duration,
    /// When an unused source's connections are closed. Default 30 min (decisions.md 33).
    pub idle_timeout: Duration,
    /// After how many failures in a row a source is not asked for a while. Default 5.
    pub breaker_failures: u32,
    /// For how long at first; twice as long after each try that fails. Default 1 s.
    pub breaker_wait: Duration,
    /// For how long at most. Default 60 s.
    pub breaker_longest: Duration,
    /// How much of the answers is kept of which a source's definition says that they may be given again, in
    /// bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// How much of that for one tenant. Default 16 MiB.
    pub cache_bytes_per_tenant: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_per_source: 10,
            connections_per_tenant: 50,
            connections: 400,
            connect_timeout: Duration::from_secs(60),
            selection_timeout: Duration::from_secs(5),
            socket_timeout: Duration::from_secs(45),
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            database_bytes: 1024 * 1024 * 1024,
            folder_bytes: 1024 * 1024 * 1024,
            api_timeout: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30 * 60),
            breaker_failures: 5,
            breaker_wait: Duration::from_secs(1),
            breaker_longest: Duration::from_secs(60),
            cache_bytes: 64 * 1024 * 1024,
            cache_bytes_per_tenant: 16 * 1024 * 1024,
        }
    }
}
