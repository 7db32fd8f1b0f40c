//! The places for connections: so many in all, and so many of one address, so that nobody alone takes
//! them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The places.
pub(super) struct Seats {
    total: usize,
    per_address: usize,
    /// Who speaks for many clients.
    proxies: Vec<ipnet::IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by: HashMap<IpAddr, usize>,
}

/// A place, for as long as this lives.
pub(super) struct Seat {
    seats: Arc<Seats>,
    /// Whom it is counted to; a proxy's to nobody.
    by: Option<IpAddr>,
}

impl Seats {
    pub(super) fn new(total: usize, per_address: usize, proxies: Vec<ipnet::IpNet>) -> Self {
        Self { total, per_address, proxies, taken: Mutex::default() }
    }

    /// Errors: which of the two numbers was reached.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Seat, &'static str> {
        let address = address.to_canonical();
        let by = (!self.proxies.iter().any(|net| net.contains(&address))).then(|| network(address));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.total {
            return Err("total");
        }
        if let Some(by) = by {
            let count = taken.by.entry(by).or_default();
            if *count >= self.per_address {
                return Err("address");
            }
            *count += 1;
        }
        taken.total += 1;
        metrics::gauge!("remit_connections").set(taken.total as f64);
        Ok(Seat { seats: self.clone(), by })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        metrics::gauge!("remit_connections").set(taken.total as f64);
        if let Some(by) = self.by {
            let left = taken.by.get(&by).map_or(0, |count| count.saturating_sub(1));
            if left == 0 {
                taken.by.remove(&by);
            } else {
                taken.by.insert(by, left);
            }
        }
    }
}

/// An address as it is counted: whoever has one of IPv6 has a network of 64 bits of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_address_leaves_room_for_others() {
        let seats = Arc::new(Seats::new(4, 2, vec!["10.0.0.0/8".parse().unwrap()]));
        let take = |address: &str| seats.take(address.parse().unwrap());
        let first = take("192.0.2.1").unwrap();
        let _mapped = take("::ffff:192.0.2.1").unwrap();
        assert_eq!(take("192.0.2.1").err(), Some("address"));
        let proxied = (take("10.1.1.1").unwrap(), take("10.1.1.1").unwrap());
        assert_eq!(take("192.0.2.2").err(), Some("total"));
        drop(first);
        drop(take("192.0.2.1").unwrap());
        drop(proxied);
        let _neighbours = (take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap());
        assert_eq!(take("2001:db8::3").err(), Some("address"));
        assert!(take("2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn what_is_given_back_is_forgotten() {
        let seats = Arc::new(Seats::new(9, 9, Vec::new()));
        drop((0..9).map(|at| seats.take(IpAddr::from([192, 0, 2, at])).unwrap()).collect::<Vec<_>>());
        let taken = seats.taken.lock().unwrap();
        assert_eq!((taken.total, taken.by.len()), (0, 0));
    }
}
