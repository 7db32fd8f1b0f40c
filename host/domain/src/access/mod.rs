//! Who may come in: keys, roles, and what a role may do.
//!
//! A key says whose it is and how much it may do; what an agent may do with a source is another
//! question, which [`crate::grant`] answers. Deliberately absent: where keys are stored, how a
//! request carries one, and how a token of somebody else's authorization server is verified.

mod subject;
mod token;

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;
use time::OffsetDateTime;

pub use subject::Subject;
pub use token::{Digest, Token};

use crate::{AgentName, Error, TenantId, execution::Asker, usage::Quotas};

/// What somebody may do, each role all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads health, tools, resources' names, and how executions stand.
    Viewer,
    /// Chats, calls tools and runs workflows, of the agents that its key names.
    Agent,
    /// Manages its tenant's plugins and keys.
    Admin,
    /// Manages all tenants.
    Operator,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Agent, Self::Admin, Self::Operator];

    /// Its name in commands, answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    /// The role of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// A key's public name: what lists, logs and audit events call it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// How many characters it has.
    pub const LENGTH: usize = 16;

    /// Checks a text: [`Self::LENGTH`] letters and digits.
    pub fn new(text: &str) -> Option<Self> {
        let fit = text.len() == Self::LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fit.then(|| Self(text.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a key. Nothing in it lets anybody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public name.
    pub id: KeyId,
    /// Whose it is; an operator's key is nobody's.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub role: Role,
    /// The agents that it may speak for; all of the tenant's without it.
    pub agents: Option<BTreeSet<AgentName>>,
    /// What people call it by.
    pub label: Option<String>,
    /// When it was made.
    pub created: OffsetDateTime,
    /// From when on it lets nobody in.
    pub expires: Option<OffsetDateTime>,
    /// Since when it lets nobody in, whatever `expires` says.
    pub revoked: Option<OffsetDateTime>,
    /// How much may be used with it, beside what its tenant may.
    pub quotas: Quotas,
}

impl Key {
    /// Whether it lets anybody in at a moment.
    pub fn is_valid(&self, now: OffsetDateTime) -> bool {
        self.revoked.is_none() && self.expires.is_none_or(|expires| now < expires)
    }
}

/// Port: the keys there are.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Keeps a key with the digest of its token. Lasting, against a power cut too, once this returns.
    ///
    /// Errors: [`Error::Journal`].
    async fn add(&self, key: &Key, digest: &Digest) -> Result<(), Error>;

    /// A key with its token's digest, as they are this moment. Errors: [`Error::Journal`].
    async fn find(&self, id: &KeyId) -> Result<Option<(Key, Digest)>, Error>;

    /// A tenant's keys, or all, the newest first. Errors: [`Error::Journal`].
    async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<Key>, Error>;

    /// Revokes a key of a tenant, or any. False if there is none, or it was revoked before. Lasting as
    /// with [`Self::add`]. Errors: [`Error::Journal`].
    async fn revoke(&self, tenant: Option<&TenantId>, id: &KeyId, at: OffsetDateTime) -> Result<bool, Error>;

    /// Whether there is a key at all, valid or not. Errors: [`Error::Journal`].
    async fn any(&self) -> Result<bool, Error>;
}

/// What proved who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Nothing: the host asks for no proof.
    Anyone,
    /// A key of this host.
    Key(KeyId),
    /// A token of an authorization server that the tenant trusts.
    Subject(Subject),
    /// Nothing any more: a run of a workflow goes on for whoever began it, by the name that they had.
    Run {
        /// As audit events name them.
        by: String,
        /// The key that they had, which is charged.
        key: Option<KeyId>,
    },
}

impl Identity {
    /// What logs and audit events call it by: a key's id, a subject's text, or `anyone`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Anyone => "anyone",
            Self::Key(id) => id.as_str(),
            Self::Subject(subject) => subject.as_str(),
            Self::Run { by, .. } => by,
        }
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    identity: Identity,
    tenant: Option<TenantId>,
    role: Role,
    agents: Option<BTreeSet<AgentName>>,
    quotas: Quotas,
    expires: Option<OffsetDateTime>,
}

impl Principal {
    /// Anybody, on a host without keys: whoever reaches it may do all.
    pub fn anyone() -> Self {
        Self {
            identity: Identity::Anyone,
            tenant: None,
            role: Role::Operator,
            agents: None,
            quotas: Quotas::NONE,
            expires: None,
        }
    }

    /// Somebody of whom nothing is asked and who may do nothing that is asked for.
    pub fn nobody() -> Self {
        Self { agents: Some(BTreeSet::new()), role: Role::Viewer, ..Self::anyone() }
    }

    /// Whoever holds a key.
    pub fn of(key: Key) -> Self {
        // Who speaks for some agents governs none of what is the whole tenant's.
        let role = if key.agents.is_some() { key.role.min(Role::Agent) } else { key.role };
        Self {
            identity: Identity::Key(key.id),
            tenant: key.tenant,
            role,
            agents: key.agents,
            quotas: key.quotas,
            expires: key.expires,
        }
    }

    /// Whoever holds a token for one agent of one tenant: it is never more than that. Each subject may use as
    /// much as its issuer's quotas say.
    pub fn vouched(subject: Subject, tenant: TenantId, agent: AgentName, role: Role, quotas: Quotas) -> Self {
        let agents = Some(BTreeSet::from([agent]));
        Self { identity: Identity::Subject(subject), tenant: Some(tenant), role, agents, quotas, expires: None }
    }

    /// A run of a workflow of one tenant, on behalf of who began it: it speaks for no agent that they did
    /// not speak for. Whether their key still lets anybody in is looked at before each step.
    pub fn run(tenant: TenantId, by: &Asker) -> Self {
        Self {
            identity: Identity::Run { by: by.name.clone(), key: by.key.as_deref().and_then(KeyId::new) },
            tenant: Some(tenant),
            role: Role::Agent,
            agents: by.agents.clone(),
            // They were written by this host.
            quotas: Quotas::read(by.quotas.iter().map(|(key, allowed)| (key, *allowed))).unwrap_or(Quotas::NONE),
            expires: None,
        }
    }

    /// What is kept of it with a run that it begins.
    pub fn asker(&self) -> Asker {
        let quotas = self.quotas.written().into_iter().map(|(name, allowed)| (name.to_owned(), allowed)).collect();
        // A run that a run begins is charged to the same key.
        let key = match &self.identity {
            Identity::Key(key) | Identity::Run { key: Some(key), .. } => Some(key.as_str().to_owned()),
            Identity::Anyone | Identity::Subject(_) | Identity::Run { key: None, .. } => None,
        };
        Asker { name: self.name().to_owned(), agents: self.agents.clone(), key, quotas }
    }

    /// What proved who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key, where there is one.
    pub fn key(&self) -> Option<&KeyId> {
        match &self.identity {
            Identity::Key(id) => Some(id),
            Identity::Anyone | Identity::Subject(_) | Identity::Run { .. } => None,
        }
    }

    /// The one tenant that it belongs to.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The only agents that it speaks for; `None`: all.
    pub fn agents(&self) -> Option<&BTreeSet<AgentName>> {
        self.agents.as_ref()
    }

    /// Until when its key lets anybody in.
    pub fn expires(&self) -> Option<OffsetDateTime> {
        self.expires
    }

    /// How much may be used with its key, or by its subject.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// What logs and audit events call it by: see [`Identity::as_str`].
    pub fn name(&self) -> &str {
        self.identity.as_str()
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Asks for a role. Errors: [`Error::RoleTooLow`].
    pub fn require(&self, needed: Role) -> Result<(), Error> {
        if self.role >= needed { Ok(()) } else { Err(Error::RoleTooLow { needed, has: self.role }) }
    }

    /// Asks to speak for an agent. Errors: [`Error::NotYourAgent`].
    pub fn speak_for(&self, agent: &AgentName) -> Result<(), Error> {
        match &self.agents {
            Some(agents) if !agents.contains(agent) => Err(Error::NotYourAgent(agent.clone())),
            _ => Ok(()),
        }
    }
}

/// Lets a token in: finds its key, compares digests in constant time, and looks at the clock.
///
/// Errors: [`Error::BadKey`], the same for every reason, so that nobody learns which keys there are;
/// [`Error::Journal`].
pub async fn admit(keys: &dyn Keys, presented: &str, now: OffsetDateTime) -> Result<Principal, Error> {
    let token = Token::parse(presented).ok_or(Error::BadKey)?;
    match keys.find(token.id()).await? {
        Some((key, digest)) if token.has(&digest) && key.is_valid(now) => Ok(Principal::of(key)),
        _ => Err(Error::BadKey),
    }
}

#[cfg(test)]
mod tests;
