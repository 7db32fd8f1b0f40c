//! The operator's exceptions to the guard.

use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::{Refused, address};

/// An entry of the operator's network rules that is neither a host name nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` is neither a host name, `*.` and a domain, an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidRule {
    /// As it was written.
    pub entry: String,
}

/// The hosts and networks beyond the public internet that HTTP may reach.
///
/// A name unlocks the private addresses it resolves to, but not link-local ones, where clouds keep
/// their metadata service; only a network that the operator wrote out unlocks those.
#[derive(Debug, Clone, Default)]
pub struct NetworkRules {
    names: Vec<String>,
    suffixes: Vec<String>,
    nets: Vec<IpNet>,
}

impl NetworkRules {
    /// Reads a list such as `["crm.internal", "*.corp.example", "127.0.0.1", "10.1.0.0/16"]`.
    ///
    /// Errors: [`InvalidRule`] for the first entry that is none of these.
    pub fn new<S: AsRef<str>>(allowed: impl IntoIterator<Item = S>) -> Result<Self, InvalidRule> {
        let mut rules = Self::default();
        for entry in allowed {
            rules.add(entry.as_ref())?;
        }
        Ok(rules)
    }

    fn add(&mut self, entry: &str) -> Result<(), InvalidRule> {
        let invalid = || InvalidRule { entry: entry.chars().take(255).collect() };
        let entry = entry.trim();
        if let Ok(net) = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from)) {
            self.nets.push(net);
            return Ok(());
        }
        match Host::parse(entry.strip_prefix("*.").unwrap_or(entry)).map_err(|_| invalid())? {
            Host::Domain(domain) if !domain.is_empty() => {
                let name = canonical(&domain).to_owned();
                if entry.starts_with("*.") { self.suffixes.push(format!(".{name}")) } else { self.names.push(name) }
            }
            Host::Ipv4(v4) if !entry.starts_with("*.") => self.nets.push(IpNet::from(IpAddr::V4(v4))),
            Host::Ipv6(v6) if !entry.starts_with("*.") => self.nets.push(IpNet::from(IpAddr::V6(v6))),
            _ => return Err(invalid()),
        }
        Ok(())
    }

    /// Whether a connection to this address, found under this name, is allowed.
    pub(super) fn admit(&self, name: Option<&str>, address: IpAddr) -> bool {
        address::public(address)
            || address::listed(&self.nets, address)
            || (name.is_some_and(|name| self.names_host(name)) && address::reachable_by_name(address))
    }

    /// Checks what a URL itself says: its scheme, and its address if it is written as one. A name
    /// is checked when it is resolved.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        let address = match url.host() {
            None => return Err(Refused::NoHost),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
        };
        if self.admit(None, address) { Ok(()) } else { Err(Refused::Address) }
    }

    fn names_host(&self, name: &str) -> bool {
        let name = canonical(name).to_ascii_lowercase();
        self.names.contains(&name) || self.suffixes.iter().any(|suffix| name.ends_with(suffix))
    }
}

fn canonical(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
