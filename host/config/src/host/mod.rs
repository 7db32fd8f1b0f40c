//! The operator's settings: `host.yaml` with a profile's patch, checked.
//!
//! Deliberately absent: reloading. What stands here is in force until the host is started again.

mod audit;
pub(crate) mod authored;
mod connections;
mod notifications;
mod oauth;
mod sources;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

pub use connections::Connections;
use ipnet::IpNet;
pub use oauth::{Algorithm, Issuer, OAuth};
use remit_domain::{
    SourceName, TenantId,
    grant::Permission,
    limits::{Limits, Tier},
    tenant::ModelChoice,
    usage::Quotas,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use audit::Audit;
pub use notifications::{Bot, Notifications};
pub use sources::Sources;

use crate::{
    environment::{Environment, Part},
    fault::{Fault, Faults, Spot},
    located::{File, Located, join, shown},
};

/// The operator's settings.
#[derive(Debug)]
pub struct Host {
    /// Where relative paths begin.
    pub root: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The URL under which clients reach this host; none: the address listened on.
    pub public_url: Option<Url>,
    /// Where state lies.
    pub state_dir: PathBuf,
    /// The journal's SQLite file.
    pub journal: PathBuf,
    /// Where the operator's components lie.
    pub plugins_dir: PathBuf,
    /// Where the tenants' contexts lie.
    pub contexts_dir: PathBuf,
    /// Where workflows lie.
    pub workflows_dir: PathBuf,
    /// Where templates of mails lie, a folder for each tenant.
    pub templates_dir: PathBuf,
    /// What calls of plugins may use, and what uploads may be.
    pub limits: Limits,
    /// Where components lie that tenants uploaded.
    pub artifacts: Store,
    /// The versions of a tenant's plugin that are kept beside the one that serves and the one before it.
    pub keep_versions: u32,
    /// The plugins that one tenant may have uploaded.
    pub plugins: u32,
    /// What may be reached although it is private.
    pub network: Network,
    /// How the audit log is kept.
    pub audit: Audit,
    /// The language model of tenants that name none; its name is always there.
    pub model: ModelChoice,
    /// Whether the offline model answers where no language model is configured.
    pub offline_model: bool,
    /// Rules for single tenants.
    pub tenants: BTreeMap<TenantId, Rules>,
    /// The environment variables that workflows may name.
    pub env: BTreeSet<String>,
    /// How long requests under way may take once the host is told to stop.
    pub drain: Duration,
    /// Where traces are sent.
    pub otlp_endpoint: Option<Url>,
    /// The origins whose pages may call this host, as browsers write them.
    pub cors_origins: Vec<String>,
    /// Names that the `Host` header may hold beside loopback and that of `public_url`, in lower case.
    pub allowed_hosts: BTreeSet<String>,
    /// Whose tokens let MCP clients in, beside the host's own keys.
    pub oauth: Option<OAuth>,
    /// What a client's connection may take.
    pub connections: Connections,
    /// What data sources may take, and for how long they are waited for.
    pub sources: Sources,
    /// Messages to people.
    pub notifications: Notifications,
    /// The folder of the profile in force.
    pub profile: Option<PathBuf>,
    /// Prefixes of credentials that are the host's own and that no tenant has by its name alone.
    pub(crate) own_prefixes: Vec<String>,
}

/// Where components lie.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a folder.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store.
    Bucket {
        /// Its name.
        bucket: String,
        /// What objects' names begin with; may be empty.
        prefix: String,
        /// The store's address where it is not AWS.
        endpoint: Option<Url>,
        /// Such as `eu-central-1`.
        region: String,
        /// The public half of the key.
        access_key: SecretString,
        /// The secret half.
        secret_key: SecretString,
    },
}

/// What may be reached although it is private.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Host names, in lower case.
    pub hosts: BTreeSet<String>,
    /// Addresses.
    pub ranges: Vec<IpNet>,
}

/// The operator's rules for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The most that any of its agents may do with a source.
    pub ceilings: BTreeMap<SourceName, Permission>,
    /// The beginnings of the credential names that it may use; none: its own name's.
    pub credential_prefixes: Option<Vec<String>>,
    /// How large its uploads may be.
    pub uploads: Tier,
    /// How much it may use, if that is not what every tenant may.
    pub quotas: Option<Quotas>,
}

impl Host {
    /// Keeps state in another folder: what lay below the settings' one lies there instead.
    pub fn relocate_state(&mut self, state: &Path) {
        let artifacts = match &mut self.artifacts {
            Store::Folder(path) => Some(path),
            Store::Bucket { .. } => None,
        };
        for path in std::iter::once(&mut self.journal).chain(artifacts) {
            if let Ok(below) = path.strip_prefix(&self.state_dir) {
                *path = state.join(below);
            }
        }
        self.state_dir = state.to_owned();
    }

    /// Reads a `host.yaml`, patched by `profiles/<profile>/host.yaml` beside it where there is one.
    ///
    /// `file` and what it names are relative to `root`. Errors: all faults.
    pub fn load(root: &Path, file: &Path, profile: Option<&str>, env: &Environment) -> Result<Self, Faults> {
        let file = root.join(file);
        let mut located = Located::yaml(&File::read(root, &file)?)?;
        let profile = profile.map(|name| profile_folder(root, &file, name)).transpose()?;
        if let Some(folder) = &profile {
            let patch = folder.join("host.yaml");
            if patch.exists() {
                located.merge(Located::yaml(&File::read(root, &patch)?)?);
            }
        }
        let (authored, mut faults) = located.read::<authored::Host>();
        let mut checker = Checker { located: &located, faults: Vec::new() };
        let host = authored.map(|authored| checker.host(root, authored, profile, env));
        Faults::add(&mut faults, checker.faults);
        Faults::none(faults)?;
        host.ok_or_else(|| located.at("", "the file can't be read").into())
    }

    /// The rules for a tenant; none of its own: none at all.
    pub fn rules(&self, tenant: &TenantId) -> Rules {
        self.tenants.get(tenant).cloned().unwrap_or_default()
    }
}

fn profile_folder(root: &Path, file: &Path, name: &str) -> Result<PathBuf, Fault> {
    let profiles = file.parent().unwrap_or(root).join("profiles");
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let folder = profiles.join(if plain { name } else { "" });
    if plain && folder.is_dir() {
        return Ok(folder);
    }
    Err(Fault::new(shown(root, &profiles), Spot::START, format!("there is no profile `{name}`")))
}

struct Checker<'a> {
    located: &'a Located,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn host(&mut self, root: &Path, authored: authored::Host, profile: Option<PathBuf>, env: &Environment) -> Host {
        let state_dir = root.join(&authored.state_dir);
        let limits = limits(&authored);
        if authored.journal.contains("://") {
            self.complain("/journal", "the journal is a file", Some("give a path, such as `remit.db`"));
        }
        let public_url = authored.public_url.as_deref().and_then(|text| self.url("/publicUrl", text));
        Host {
            root: root.to_owned(),
            listen: authored.listen.parse().unwrap_or_else(|_| {
                let hint = Some("such as `127.0.0.1:3000` or `[::1]:3000`");
                self.complain("/listen", "not an IP address with a port", hint);
                SocketAddr::from(([127, 0, 0, 1], 0))
            }),
            oauth: self.oauth(authored.oauth, public_url.as_ref()),
            connections: self.connections(&authored.connections),
            sources: self.sources(&authored.sources),
            notifications: self.notifications(&authored.notifications, env),
            public_url,
            journal: state_dir.join(&authored.journal),
            artifacts: self.store(&state_dir, &authored.library, env),
            keep_versions: authored.library.keep_versions,
            plugins: authored.library.plugins,
            state_dir,
            plugins_dir: root.join(&authored.plugins_dir),
            contexts_dir: root.join(&authored.contexts_dir),
            workflows_dir: root.join(&authored.workflows_dir),
            templates_dir: root.join(&authored.templates_dir),
            limits,
            network: self.network(&authored.network),
            audit: self.audit(root, &authored.audit),
            own_prefixes: vec![
                format!("{}_", authored.model.credentials),
                format!("{}_", authored.library.credentials),
                "OPENAI_".into(),
                "SLACK_".into(),
                "EMAIL_".into(),
                "REMIT_".into(),
                "OTEL_".into(),
            ],
            model: self.model(&authored.model, env),
            offline_model: authored.offline_model,
            tenants: self.tenants(authored.tenants, authored.quotas.over(Quotas::of_a_tenant())),
            env: authored.env.into_iter().collect(),
            drain: Duration::from_secs(authored.drain_seconds.into()),
            otlp_endpoint: authored
                .telemetry
                .otlp_endpoint
                .as_deref()
                .and_then(|text| self.url("/telemetry/otlpEndpoint", text)),
            cors_origins: self.origins(&authored.cors.origins),
            allowed_hosts: authored.allowed_hosts.iter().map(|name| name.to_ascii_lowercase()).collect(),
            profile,
        }
    }

    fn complain(&mut self, pointer: &str, message: impl Into<String>, hint: Option<&str>) {
        self.faults.push(self.located.at(pointer, message).hint_if(hint));
    }

    fn url(&mut self, pointer: &str, text: &str) -> Option<Url> {
        http_url(text).map_err(|message| self.complain(pointer, message, None)).ok()
    }

    fn audit(&mut self, root: &Path, authored: &audit::Authored) -> Audit {
        let checkpoints = &authored.checkpoints;
        Audit {
            segment_rows: authored.segment_rows,
            segment_age: Duration::from_secs(u64::from(authored.segment_hours) * 3_600),
            keep: authored.keep_days.map(|days| audit::DAY * days),
            checkpoint_file: checkpoints.file.as_ref().map(|file| root.join(file)),
            checkpoint_url: checkpoints.url.as_deref().and_then(|text| self.url("/audit/checkpoints/url", text)),
            checkpoint_every: Duration::from_secs(u64::from(checkpoints.every_minutes) * 60),
            checkpoint_rows: checkpoints.every_rows,
        }
    }

    fn network(&mut self, network: &authored::Network) -> Network {
        let mut made = Network::default();
        for (at, entry) in network.allow.iter().enumerate() {
            if let Ok(range) = entry.parse::<IpNet>() {
                made.ranges.push(range);
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                made.ranges.push(address.into());
            } else if is_host_name(entry) {
                made.hosts.insert(entry.to_ascii_lowercase());
            } else {
                let message = format!("`{entry}` is not a host, an address or a range");
                let hint = Some("such as `10.1.0.0/16`, `127.0.0.1` or `db.internal`, without scheme and port");
                self.complain(&join("/network/allow", &at.to_string()), message, hint);
            }
        }
        made
    }

    fn store(&mut self, state_dir: &Path, library: &authored::Library, env: &Environment) -> Store {
        let Some(rest) = library.store.strip_prefix("s3://") else {
            if library.store.contains("://") {
                let hint = Some("a folder, or `s3://BUCKET/PREFIX`");
                self.complain("/library/store", "no store that this host knows", hint);
            }
            return Store::Folder(state_dir.join(&library.store));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_host_name(bucket) {
            self.complain("/library/store", format!("`{bucket}` is not a bucket's name"), None);
        }
        let prefix = prefix.trim_end_matches('/');
        let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(|byte| byte.is_ascii_graphic());
        if !prefix.is_empty() && !prefix.split('/').all(part) {
            self.complain("/library/store", format!("`{prefix}` is not a prefix of objects' names"), None);
        }
        let mut key = |part: Part| match env.part(&library.credentials, part) {
            Ok(Some(key)) => key,
            Ok(None) => {
                let message = format!("{} is not set", part.variable(&library.credentials));
                self.complain("/library/credentials", message, None);
                SecretString::default()
            }
            Err(error) => {
                self.complain("/library/credentials", error.to_string(), None);
                SecretString::default()
            }
        };
        let (access_key, secret_key) = (key(Part::AccessKey), key(Part::SecretKey));
        Store::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: library.endpoint.as_deref().and_then(|text| self.url("/library/endpoint", text)),
            region: library.region.clone(),
            access_key,
            secret_key,
        }
    }

    fn model(&mut self, model: &authored::Model, env: &Environment) -> ModelChoice {
        let base_url = model.base_url.as_deref().and_then(|text| self.url("/model/baseUrl", text));
        let mut part = |part| {
            env.part(&model.credentials, part)
                .map_err(|error| self.complain("/model/credentials", error.to_string(), None))
                .ok()
                .flatten()
        };
        let key = part(Part::ApiKey);
        let from_env = part(Part::BaseUrl);
        let from_env = from_env.and_then(|text| {
            http_url(text.expose_secret())
                .map_err(|message| {
                    let name = Part::BaseUrl.variable(&model.credentials);
                    self.complain("/model/credentials", format!("{name}: {message}"), None);
                })
                .ok()
        });
        ModelChoice {
            name: Some(model.name.clone()),
            base_url: from_env.or(base_url).map(|url| url.as_str().trim_end_matches('/').to_owned()),
            key,
        }
    }

    fn tenants(&mut self, tenants: BTreeMap<String, authored::Tenant>, quotas: Quotas) -> BTreeMap<TenantId, Rules> {
        let mut made = BTreeMap::new();
        for (name, tenant) in tenants {
            let pointer = join("/tenants", &name);
            let mut ceilings = BTreeMap::new();
            for (source, ceiling) in tenant.ceilings {
                let permission = match ceiling {
                    authored::Ceiling::Read => Permission::Read,
                    authored::Ceiling::Write => Permission::Write,
                };
                match SourceName::new(&source) {
                    Ok(source) => drop(ceilings.insert(source, permission)),
                    Err(invalid) => {
                        let at = join(&join(&pointer, "ceilings"), &source);
                        self.faults.push(self.located.at_key(&at, invalid.to_string()));
                    }
                }
            }
            match TenantId::new(&name) {
                Ok(id) => {
                    let uploads = match tenant.uploads {
                        authored::Tier::Small => Tier::Small,
                        authored::Tier::Large => Tier::Large,
                    };
                    let credential_prefixes = tenant.credential_prefixes;
                    let quotas = Some(tenant.quotas.over(quotas)).filter(|own| *own != quotas);
                    drop(made.insert(id, Rules { ceilings, credential_prefixes, uploads, quotas }));
                }
                Err(invalid) => self.faults.push(self.located.at_key(&pointer, invalid.to_string())),
            }
        }
        made
    }

    fn origins(&mut self, origins: &[String]) -> Vec<String> {
        for (at, origin) in origins.iter().enumerate() {
            let exact = http_url(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !exact {
                let hint = Some("scheme, host and port as a browser sends them, such as `https://app.example.com`");
                self.complain(&join("/cors/origins", &at.to_string()), format!("`{origin}` is not an origin"), hint);
            }
        }
        origins.to_vec()
    }
}

fn limits(authored: &authored::Host) -> Limits {
    let mut limits = Limits::from(&authored.limits);
    limits.quotas = authored.quotas.over(limits.quotas);
    limits
}

/// An address for HTTP without credentials, query or fragment. Errors: what is wrong, without the
/// address itself, which may hold a secret.
pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("not an http or https URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user or password in it: they belong in the environment".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a URL with a query or fragment".to_owned());
    }
    Ok(url)
}

/// Whether a text is a host's name or an IPv4 address: nothing that could change a URL it is put in.
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}
