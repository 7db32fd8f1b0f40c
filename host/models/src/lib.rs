//! Language models: any OpenAI-compatible server, and the demo's offline model.
//!
//! Deliberately absent: the environment (settings come checked and complete), the rules about which
//! addresses may be reached (they are built into the HTTP client that the caller hands over), and
//! streaming (the port answers whole turns).

mod compatible;
mod offline;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use remit_domain::{
    Error,
    model::{Model, Models},
    tenant::Context,
};
use secrecy::{ExposeSecret, SecretString};

use compatible::Compatible;
pub use offline::Offline;

/// Where a key without a base URL is used.
pub const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";

/// The host's own model, which serves each tenant that has none of its own.
#[derive(Debug, Clone)]
pub struct Settings {
    /// As its provider names it.
    pub name: String,
    /// The root of an OpenAI-compatible API; [`OPENAI_BASE_URL`] if none is given.
    pub base_url: Option<String>,
    /// The key; some servers need none.
    pub key: Option<SecretString>,
    /// Whether the offline model answers where neither tenant nor host has a model: the demo alone.
    pub offline: bool,
    /// What bounds one turn.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "gpt-4o".to_owned(), base_url: None, key: None, offline: false, limits: Limits::default() }
    }
}

/// What bounds one turn of a model. How long a server may keep silent is the HTTP client's own setting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long one attempt may take, from its first byte sent to its last one read: a server that
    /// sends a little now and then is never silent for long.
    pub attempt_time: Duration,
    /// How often a turn is sent again after a refused connection, 429 or 5xx.
    pub retries: u32,
    /// The wait before the first repetition; each further one is twice as long.
    pub first_pause: Duration,
    /// A server that asks for a longer wait than this is not waited for: the client is told.
    pub longest_pause: Duration,
    /// The most of an answer that is read.
    pub max_answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt_time: Duration::from_secs(120),
            retries: 2,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(5),
            max_answer_bytes: 4 * 1024 * 1024,
        }
    }
}

/// The models there are: each tenant's own, else the host's, else (in the demo) the offline one.
#[derive(Debug, Clone)]
pub struct Providers {
    settings: Settings,
    http: reqwest::Client,
}

impl Providers {
    /// `http` carries every request: it holds the rules about addresses.
    pub fn new(settings: Settings, http: reqwest::Client) -> Self {
        Self { settings, http }
    }
}

impl Models for Providers {
    /// Field by field the tenant's choice, else the host's, with one exception: the host's key goes
    /// only to the host's own server, so that a tenant's base URL cannot collect it.
    fn of(&self, context: &Context) -> Result<Arc<dyn Model>, Error> {
        let host = &self.settings;
        let own = context.model.as_ref();
        let own_url = own.and_then(|own| given(own.base_url.as_deref()));
        let host_url = given(host.base_url.as_deref());
        let same_server = own_url.is_none_or(|own| root(own) == root(host_url.unwrap_or(OPENAI_BASE_URL)));
        let host_key = host.key.as_ref().filter(|_| same_server);
        let key = own.and_then(|own| filled(own.key.as_ref())).or_else(|| filled(host_key));
        let base_url = own_url.or(host_url);
        if key.is_none() && base_url.is_none() {
            return if host.offline { Ok(Arc::new(Offline)) } else { Err(Error::NoModel) };
        }
        let name = own.and_then(|own| given(own.name.as_deref())).unwrap_or(&host.name);
        let base_url = root(base_url.unwrap_or(OPENAI_BASE_URL));
        Ok(Arc::new(Compatible::new(name, base_url, key, self.http.clone(), host.limits)?))
    }
}

/// A setting that is there but blank counts as absent: an empty variable is how people unset one.
fn given(setting: Option<&str>) -> Option<&str> {
    setting.map(str::trim).filter(|text| !text.is_empty())
}

fn filled(key: Option<&SecretString>) -> Option<&SecretString> {
    key.filter(|key| given(Some(key.expose_secret())).is_some())
}

fn root(url: &str) -> &str {
    url.trim_end_matches('/')
}
