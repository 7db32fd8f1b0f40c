//! `connections` of `host.yaml`: what a client's connection may take of the host, and for how long.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Checker;
use crate::located::join;

/// What a client's connection may take of the host, and for how long.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Authored {
    /// The connections at once. One more is answered 503 and closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub total: u32,
    /// The connections at once of one address; of IPv6, of one network of 64 bits.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_address: u32,
    /// Addresses and ranges (CIDR) of proxies, which speak for many clients: their connections count in
    /// `total` alone.
    #[schemars(inner(length(min = 1)))]
    pub proxies: Vec<String>,
    /// How long the head of a request may take, in seconds: from when the connection is made, and of a
    /// later request from its first byte.
    #[schemars(range(min = 1, max = 3600))]
    pub head_seconds: u32,
    /// The head of a request, in bytes. Larger ones are answered 431.
    #[schemars(range(min = 8192, max = 1_048_576))]
    pub head_bytes: u32,
    /// The headers of a request. More are answered 431.
    #[schemars(range(min = 16, max = 1_000))]
    pub headers: u32,
    /// How long the host waits for a body's bytes in all, in seconds. What has come adds to it by
    /// `bodyBytesPerSecond`. Who takes longer is answered 408.
    #[schemars(range(min = 1, max = 3600))]
    pub body_seconds: u32,
    /// How many bytes of a body are worth one more second of waiting for it.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub body_bytes_per_second: u32,
    /// How long a connection may lie idle between requests, in seconds: longer than a proxy keeps its own.
    #[schemars(range(min = 1, max = 86_400))]
    pub idle_seconds: u32,
    /// How long a client may take nothing of an answer that is on its way, in seconds. A stream that is
    /// silent because there is nothing to say is not meant.
    #[schemars(range(min = 1, max = 3600))]
    pub write_seconds: u32,
    /// HTTP/2: the requests at once on one connection.
    #[schemars(range(min = 1, max = 1_000))]
    pub streams: u32,
    /// HTTP/2: how often a client is asked whether it is still there, in seconds; it has as long to answer.
    #[schemars(range(min = 1, max = 3600))]
    pub ping_seconds: u32,
}

impl Default for Authored {
    fn default() -> Self {
        Self {
            total: 2_000,
            per_address: 200,
            proxies: vec!["127.0.0.0/8".into(), "::1".into()],
            head_seconds: 15,
            head_bytes: 32_768,
            headers: 100,
            body_seconds: 30,
            body_bytes_per_second: 16_384,
            idle_seconds: 130,
            write_seconds: 60,
            streams: 64,
            ping_seconds: 20,
        }
    }
}

/// What a client's connection may take of the host, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// The connections at once.
    pub total: usize,
    /// The connections at once of one address.
    pub per_address: usize,
    /// Whose connections count in `total` alone.
    pub proxies: Vec<IpNet>,
    /// How long the head of a request may take.
    pub head: Duration,
    /// The head of a request.
    pub head_bytes: u32,
    /// The headers of a request.
    pub headers: usize,
    /// How long a body is waited for, beside what its bytes add.
    pub body: Duration,
    /// How many bytes of a body add a second.
    pub body_bytes_per_second: u32,
    /// How long a connection may lie idle.
    pub idle: Duration,
    /// How long a client may take nothing of an answer.
    pub write: Duration,
    /// HTTP/2: the requests at once on one connection.
    pub streams: u32,
    /// HTTP/2: how often a client is asked whether it is there.
    pub ping: Duration,
}

impl Checker<'_> {
    pub(super) fn connections(&mut self, authored: &Authored) -> Connections {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let mut proxies = Vec::new();
        for (at, entry) in authored.proxies.iter().enumerate() {
            match entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)) {
                Ok(net) => proxies.push(net),
                Err(_) => {
                    let hint = Some("such as `10.0.0.7` or `10.0.0.0/24`");
                    let pointer = join("/connections/proxies", &at.to_string());
                    self.complain(&pointer, format!("`{entry}` is not an address or a range"), hint);
                }
            }
        }
        Connections {
            total: count(authored.total),
            per_address: count(authored.per_address),
            proxies,
            head: seconds(authored.head_seconds),
            head_bytes: authored.head_bytes,
            headers: count(authored.headers),
            body: seconds(authored.body_seconds),
            body_bytes_per_second: authored.body_bytes_per_second,
            idle: seconds(authored.idle_seconds),
            write: seconds(authored.write_seconds),
            streams: authored.streams,
            ping: seconds(authored.ping_seconds),
        }
    }
}
