//! A tenant's context: who it is, its agents, their mappings and sources. Immutable once made.
//!
//! Deliberately absent: how a context is written (`remit-config`) and who watches the files.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

use crate::{
    AgentName, Error, PluginName, SourceName, TenantId,
    grant::Permission,
    limits::{Limits, Tier},
    scope::Scope,
    signature::PublicKey,
    source,
};

/// Everything the host knows of one tenant at one moment.
#[derive(Debug)]
pub struct Context {
    /// Whose it is.
    pub tenant: TenantId,
    /// Who the tenant is.
    pub company: Company,
    /// Its agents, in order of name.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Its sources.
    pub sources: BTreeMap<SourceName, Arc<source::Definition>>,
    /// The operator's ceilings for this tenant's sources; a source not named has none.
    pub ceilings: BTreeMap<SourceName, Permission>,
    /// Settings for plugins, without secrets: a JSON object for each plugin's name.
    pub settings: BTreeMap<PluginName, serde_json::Value>,
    /// What its calls may use: the operator's limits, with what the tenant lowered.
    pub limits: Limits,
    /// How large its uploads may be.
    pub uploads: Tier,
    /// Whose signatures its uploads must bear; without any, none is needed.
    pub trusted_keys: Vec<PublicKey>,
    /// What signs requests to its workflows' webhooks, by the name that workflows call it.
    pub webhooks: BTreeMap<String, secrecy::SecretString>,
    /// The language model it uses instead of the host's.
    pub model: Option<ModelChoice>,
    /// The context as it was written, merged and with nothing secret in it, for `/api/debug/context`.
    pub authored: serde_json::Value,
}

impl Context {
    /// One of a tenant that has nothing: no agents and no sources, the limits as they are without any settings.
    pub fn of(tenant: TenantId, company: impl Into<String>) -> Self {
        let company = Company { name: company.into(), industry: None, website: None, timezone: "UTC".to_owned() };
        Self {
            tenant,
            company,
            agents: BTreeMap::new(),
            sources: BTreeMap::new(),
            ceilings: BTreeMap::new(),
            settings: BTreeMap::new(),
            limits: Limits::default(),
            uploads: Tier::Small,
            trusted_keys: Vec::new(),
            webhooks: BTreeMap::new(),
            model: None,
            authored: serde_json::Value::Null,
        }
    }

    /// An agent by name. Errors: [`Error::UnknownAgent`].
    pub fn agent(&self, name: &str) -> Result<(&AgentName, &Agent), Error> {
        self.agents
            .get_key_value(name)
            .ok_or_else(|| Error::UnknownAgent { tenant: self.tenant.clone(), agent: name.chars().take(64).collect() })
    }
}

/// Who a tenant is, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Company {
    /// Such as `TechStart Inc`.
    pub name: String,
    /// Such as `Technology`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub industry: Option<String>,
    /// Its public site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// An IANA name; `UTC` if the tenant gave none.
    pub timezone: String,
}

/// An agent of a tenant.
#[derive(Debug, Clone)]
pub struct Agent {
    /// What the model is told first.
    pub system_prompt: String,
    /// From 0 to 2.
    pub temperature: f32,
    /// The tools that chat offers the model: all of the agent's sets if none are listed.
    pub tools: Option<BTreeSet<String>>,
    /// What it may use; an agent without one chats without tools.
    pub mapping: Option<Mapping>,
    /// The workflows that chat offers it.
    pub workflows: Vec<String>,
}

/// What an agent may use.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The sources, in the order written.
    pub order: Vec<SourceName>,
    /// The sources with what it may do; one without `permissions` is read only.
    pub permissions: BTreeMap<SourceName, Permission>,
    /// What of each source, where that is not all.
    pub scopes: BTreeMap<SourceName, Scope>,
    /// The tool sets (the seed's `mcpServer`), in the order written.
    pub sets: Vec<PluginName>,
}

/// A tenant's own language model.
#[derive(Debug, Clone)]
pub struct ModelChoice {
    /// As its provider names it.
    pub name: Option<String>,
    /// The root of an OpenAI-compatible API, such as `https://api.openai.com/v1`.
    pub base_url: Option<String>,
    /// The key.
    pub key: Option<secrecy::SecretString>,
}

/// Port: the contexts in force now.
pub trait Tenants: Send + Sync {
    /// A tenant's context.
    ///
    /// Errors: [`Error::UnknownTenant`]; [`Error::TenantUnavailable`] if its files are faulty and
    /// there is no last good version.
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error>;

    /// All tenants, with the faults of those that are quarantined or whose last change was refused.
    fn all(&self) -> Vec<(TenantId, State)>;
}

/// How a tenant's files stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// As on disk.
    Current,
    /// The last good version serves; the files as they stand have these faults.
    Stale(Vec<String>),
    /// Nothing serves; the faults.
    Quarantined(Vec<String>),
}
