//! Wrong keys, counted by the address that they come from: who presents many is told to come back later, and
//! that is known by then.
//!
//! The table is bounded. Once it is full, within a minute, addresses that are new to it are not counted: a
//! key can't be guessed however often somebody tries, and nobody is to be locked out by a crowd. Deliberately
//! absent: requests without any key, which cost nothing, and addresses of this machine itself, behind which
//! stands whoever its proxy does not name.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, StatusCode, header},
};
use ipnet::IpNet;
use remit_domain::clock::{Clock, SystemClock};

use super::error::Failure;
use crate::connections::network;

/// How many wrong keys an address may present in a minute.
const ALLOWED: u32 = 30;
/// How many addresses are counted at once.
const ADDRESSES: usize = 10_000;
/// The header in which a proxy names the address of who asks.
const FORWARDED: &str = "x-forwarded-for";

/// Addresses that presented wrong keys in this minute.
#[derive(Default)]
pub(crate) struct Strangers {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    minute: i64,
    by: HashMap<IpAddr, u32>,
}

impl Strangers {
    /// What a refused request is answered: 429 where it presented a key that lets nobody in, and its address has
    /// presented too many of them. A key that does let in passes whatever others from its address present.
    pub(super) fn answer(&self, address: Option<IpAddr>, headers: &HeaderMap, refused: Failure) -> Failure {
        let wrong = refused.status() == StatusCode::UNAUTHORIZED && headers.contains_key(header::AUTHORIZATION);
        let (Some(address), true) = (address, wrong) else { return refused };
        let now = SystemClock.now().unix_timestamp();
        if self.count(address, now, 1) <= ALLOWED {
            return refused;
        }
        too_many(now)
    }

    /// Notes a wrong proof of another kind, such as a signature. Errors: 429 where its address has presented too
    /// many.
    pub(super) fn note(&self, address: Option<IpAddr>) -> Result<(), Failure> {
        let now = SystemClock.now().unix_timestamp();
        match address {
            Some(address) if self.count(address, now, 1) > ALLOWED => Err(too_many(now)),
            _ => Ok(()),
        }
    }

    /// Adds to an address's count, and gives it.
    fn count(&self, address: IpAddr, now: i64, more: u32) -> u32 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.div_euclid(60);
        if seen.minute != minute {
            *seen = Seen { minute, by: HashMap::new() };
        }
        match seen.by.get_mut(&address) {
            Some(count) => {
                *count = count.saturating_add(more);
                *count
            }
            None => {
                if more > 0 && seen.by.len() < ADDRESSES {
                    seen.by.insert(address, more);
                }
                more
            }
        }
    }
}

fn too_many(now: i64) -> Failure {
    let text = "too many keys from this address let nobody in";
    let wait = Duration::from_secs(u64::try_from(60 - now.rem_euclid(60)).unwrap_or(60));
    Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys", text).again_after(wait)
}

/// Where a request comes from: the address of the connection; if that is a proxy's, the last one that it
/// names. `None` for what a proxy asks itself, such as this machine.
pub(super) fn address(extensions: &Extensions, headers: &HeaderMap, proxies: &[IpNet]) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip().to_canonical();
    if !proxies.iter().any(|proxy| proxy.contains(&peer)) {
        return Some(network(peer));
    }
    let named = headers.get_all(FORWARDED).iter().next_back()?.to_str().ok()?;
    named.rsplit(',').next()?.trim().parse().ok().map(|ip: IpAddr| network(ip.to_canonical()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use axum::http::HeaderValue;

    use super::*;

    fn from(peer: &str, forwarded: &[&'static str]) -> Option<String> {
        let mut extensions = Extensions::new();
        extensions.extend(peer.parse().ok().map(ConnectInfo::<SocketAddr>).map(|it| {
            let mut one = Extensions::new();
            one.insert(it);
            one
        })?);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED, HeaderValue::from_static(value));
        }
        let proxies = [
            IpNet::from(IpAddr::from([127, 0, 0, 1])),
            IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)),
            IpNet::from(IpAddr::from([10, 0, 0, 9])),
        ];
        address(&extensions, &headers, &proxies).map(|ip| ip.to_string())
    }

    #[test]
    fn an_address_is_the_connections_or_what_this_machines_proxy_says() {
        for (peer, forwarded, expected) in [
            ("203.0.113.5:1", &[][..], Some("203.0.113.5")),
            ("203.0.113.5:1", &["198.51.100.1"], Some("203.0.113.5")),
            ("127.0.0.1:1", &[], None),
            ("127.0.0.1:1", &["1.1.1.1, 198.51.100.1"], Some("198.51.100.1")),
            ("[::1]:1", &["1.1.1.1", "198.51.100.2"], Some("198.51.100.2")),
            ("10.0.0.9:1", &["198.51.100.3"], Some("198.51.100.3")),
            ("127.0.0.1:1", &["nonsense"], None),
            ("[::ffff:203.0.113.5]:1", &[], Some("203.0.113.5")),
            ("[2001:db8:1:2:3:4:5:6]:1", &[], Some("2001:db8:1:2::")),
        ] {
            assert_eq!(from(peer, forwarded).as_deref(), expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn counts_are_by_address_of_one_minute_and_bounded() {
        let strangers = Strangers::default();
        let ip = |at: usize| IpAddr::from(u32::try_from(at).unwrap_or_default().to_be_bytes());
        for at in 0..ADDRESSES + 10 {
            assert_eq!(strangers.count(ip(at), 59, 1), 1);
        }
        assert_eq!(strangers.count(ip(0), 59, 1), 2);
        assert_eq!(strangers.count(ip(ADDRESSES), 59, 1), 1, "not counted any more");
        assert_eq!(strangers.count(ip(0), 60, 0), 0, "a new minute");
    }
}
