//! What an operator may set about connections, with the defaults.

use std::time::Duration;

/// Limits of connections to sources. Durations that a tenant's call can run into are also cut by the
/// call's own deadline, since dropping an operation gives it up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most connections one tenant's source has at once. Default 10, the seed's `connectionLimit`
    /// and `maxPoolSize`.
    pub connections_per_source: usize,
    /// How long a database may take to accept a connection. Default 60 s (decisions.md 33).
    pub connect_timeout: Duration,
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_per_source: 10,
            connect_timeout: Duration::from_secs(60),
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(5),
            database_bytes: 1024 * 1024 * 1024,
            folder_bytes: 1024 * 1024 * 1024,
            api_timeout: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30 * 60),
        }
    }
}
