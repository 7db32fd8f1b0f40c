//! The hosts of the web that a tenant's tools and steps may reach by absolute URLs, and the source `web` that
//! stands for them: it has no definition of its own, no credentials, and is granted by this very list.
//!
//! Deliberately absent: private addresses, which the operator's `network.allow` opens and the guard holds.

use std::{collections::BTreeMap, sync::Arc};

use remit_domain::{
    SourceName,
    source::{Definition, Kind, WebHost},
};

use super::{Reader, authored};
use crate::host::is_host_name;

/// The implied source's name.
pub(super) const WEB: &str = "web";

impl Reader<'_> {
    /// Whether the context lists hosts, so that there is a source `web`.
    pub(super) fn has_web(&self) -> bool {
        let listed = self.located.get("/network/allow").and_then(serde_json::Value::as_array);
        listed.is_some_and(|listed| !listed.is_empty())
    }

    /// Adds the source that the context's list implies.
    pub(super) fn web(
        &mut self,
        network: Option<&authored::Network>,
        sources: &mut BTreeMap<SourceName, Arc<Definition>>,
    ) {
        let mut hosts = Vec::new();
        for (at, entry) in network.into_iter().flat_map(|network| &network.allow).enumerate() {
            match host(entry) {
                Some(host) => hosts.push(host),
                None => {
                    let message = format!("`{entry}` is not a host");
                    let hint = "such as `api.example.com`, `*.example.com` or `api.example.com:8443`, without scheme";
                    self.at(&format!("/network/allow/{at}"), message, hint);
                }
            }
        }
        let Some(name) = SourceName::new(WEB).ok().filter(|_| !hosts.is_empty()) else { return };
        if sources.contains_key(&name) {
            let hint = "with `network.allow`, `web` stands for the hosts that it lists";
            return self.at("/network/allow", "`dataSources` defines a source named `web`", hint);
        }
        let kind = Kind::Web { hosts };
        let revision = self.revision("/network", &kind);
        let definition = Definition { name: name.clone(), authored_kind: WEB.to_owned(), kind, revision, cache: None };
        sources.insert(name, Arc::new(definition));
    }
}

/// A host, or all hosts below a domain that is no top-level one; with a port, if that is not its scheme's.
fn host(entry: &str) -> Option<WebHost> {
    let (name, port) = match entry.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (entry, None),
    };
    let (name, below) = match name.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (name, false),
    };
    let fits = is_host_name(name) && (!below || name.contains('.'));
    fits.then(|| WebHost { name: name.to_ascii_lowercase(), below, port })
}

#[cfg(test)]
mod tests;
