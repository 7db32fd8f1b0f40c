//! Who may do what: the one decision function, and the permits it hands out.
//!
//! Effective grant = operator's ceiling ∩ the agent's mapping ∩ the tool's declared need. Nothing
//! else in the project decides a permission; listings, calls, chat, workflows and health ask here.

use std::{fmt, sync::Arc};

use serde::Serialize;

pub use crate::operation::Touched;
use crate::{
    AgentName, SourceName, TenantId,
    data::{self, Sources},
    operation::Recorder,
    scope::Scope,
    source,
    tenant::{Context, Tenants},
};

/// What may be done with a source. `Write` includes `Read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A source that a tool says it works with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// The source's name in the tenant's context.
    pub source: SourceName,
    /// The most that the tool does with it.
    pub permission: Permission,
    /// Whether the tool is of use without it.
    pub optional: bool,
}

/// What a call may do with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The source.
    pub source: SourceName,
    /// The narrower of what the mapping permits and what the tool needs.
    pub permission: Permission,
}

/// A refusal by the decision function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The agent's mapping does not name the source.
    #[error("Agent {agent} doesn't have access to {wanted}")]
    NotMapped {
        /// Who asked.
        agent: AgentName,
        /// For what.
        wanted: SourceName,
    },
    /// The mapping (or the operator's ceiling) names it with less.
    #[error("Agent {agent} doesn't have {permission} permission for {wanted}")]
    TooMuch {
        /// Who asked.
        agent: AgentName,
        /// For what.
        wanted: SourceName,
        /// To do what.
        permission: Permission,
    },
    /// The mapping names a source that the tenant has not defined.
    #[error("Data source {wanted} not found")]
    NotDefined {
        /// For what.
        wanted: SourceName,
    },
}

impl Denial {
    /// The source that was asked for.
    pub fn wanted(&self) -> &SourceName {
        match self {
            Self::NotMapped { wanted, .. } | Self::TooMuch { wanted, .. } | Self::NotDefined { wanted } => wanted,
        }
    }
}

/// Decides what one need of a tool comes to for an agent: `None` for an optional need that the
/// mapping does not grant at all.
///
/// An optional need is met with whatever the mapping permits; any other fully or not at all.
/// Errors: [`Denial`] for a needed source that is not mapped, not defined, or mapped with less.
pub fn decide(context: &Context, agent: &AgentName, need: &Need) -> Result<Option<Grant>, Denial> {
    match permitted(context, agent, &need.source) {
        Ok(permission) if permission >= need.permission => {
            Ok(Some(Grant { source: need.source.clone(), permission: need.permission }))
        }
        Ok(permission) if need.optional => Ok(Some(Grant { source: need.source.clone(), permission })),
        Ok(_) => {
            Err(Denial::TooMuch { agent: agent.clone(), wanted: need.source.clone(), permission: need.permission })
        }
        Err(_) if need.optional => Ok(None),
        Err(denial) => Err(denial),
    }
}

/// Decides all needs of a tool. Errors: the first [`Denial`].
pub fn decide_all(context: &Context, agent: &AgentName, needs: &[Need]) -> Result<Vec<Grant>, Denial> {
    needs.iter().filter_map(|need| decide(context, agent, need).transpose()).collect()
}

/// The most that an agent may do with a source. Errors: [`Denial`] if nothing.
pub fn permitted(context: &Context, agent: &AgentName, wanted: &SourceName) -> Result<Permission, Denial> {
    let not_mapped = || Denial::NotMapped { agent: agent.clone(), wanted: wanted.clone() };
    let mapping = context.agents.get(agent).and_then(|agent| agent.mapping.as_ref()).ok_or_else(not_mapped)?;
    let mapped = mapping.permissions.get(wanted).copied().ok_or_else(not_mapped)?;
    if !context.sources.contains_key(wanted) {
        return Err(Denial::NotDefined { wanted: wanted.clone() });
    }
    Ok(mapped.min(context.ceilings.get(wanted).copied().unwrap_or(Permission::Write)))
}

/// What of a source an agent may touch: all of it, unless its mapping lists tables, collections or paths.
pub fn scope(context: &Context, agent: &AgentName, source: &SourceName) -> Scope {
    let mapping = context.agents.get(agent).and_then(|agent| agent.mapping.as_ref());
    mapping.and_then(|mapping| mapping.scopes.get(source)).cloned().unwrap_or_default()
}

/// A grant in force for one call: asks the tenant's present context before every operation, so that
/// a revocation stops the next one even while the call runs.
#[derive(Clone)]
pub struct Permit {
    tenants: Arc<dyn Tenants>,
    tenant: TenantId,
    agent: AgentName,
    grant: Grant,
    touched: Arc<Touched>,
    /// Whether the operation that this permit is for was noted when it was started.
    noted: bool,
}

/// Proof that a reading operation was admitted, within a scope.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    scope: Scope,
    permit: &'a Permit,
}

/// Proof that a changing operation was admitted, within a scope.
#[derive(Debug, Clone)]
pub struct Writing<'a> {
    scope: Scope,
    permit: &'a Permit,
}

impl Reading<'_> {
    /// What of the source the operation may touch: the connector's to hold.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Where the operation is recorded.
    pub fn recorder(&self) -> Recorder {
        self.permit.recorder()
    }
}

impl Writing<'_> {
    /// What of the source the operation may touch: the connector's to hold.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// For which agent.
    pub fn agent(&self) -> &AgentName {
        &self.permit.agent
    }

    /// Where the operation is recorded.
    pub fn recorder(&self) -> Recorder {
        self.permit.recorder()
    }
}

impl Access<'_> {
    /// What of the source the operation may touch: the connector's to hold.
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Reading(reading) => reading.scope(),
            Self::Writing(writing) => writing.scope(),
        }
    }

    /// Where the operation is recorded.
    pub fn recorder(&self) -> Recorder {
        match self {
            Self::Reading(reading) => reading.recorder(),
            Self::Writing(writing) => writing.recorder(),
        }
    }
}

/// Proof that an operation of either kind was admitted.
#[derive(Debug, Clone)]
pub enum Access<'a> {
    /// It reads.
    Reading(Reading<'a>),
    /// It changes.
    Writing(Writing<'a>),
}

impl Permit {
    /// What was granted.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Admits a reading operation. Errors: `denied` if the grant was revoked.
    pub fn read(&self) -> Result<Reading<'_>, data::Error> {
        self.admit(Permission::Read).map(|scope| Reading { scope, permit: self })
    }

    /// Admits a changing operation. Errors: `denied` on a read grant, or if it was revoked.
    pub fn write(&self) -> Result<Writing<'_>, data::Error> {
        self.admit(Permission::Write).map(|scope| Writing { scope, permit: self })
    }

    /// Admits an operation of the given kind. Errors as [`Self::read`] and [`Self::write`].
    pub fn access(&self, permission: Permission) -> Result<Access<'_>, data::Error> {
        match permission {
            Permission::Read => self.read().map(Access::Reading),
            Permission::Write => self.write().map(Access::Writing),
        }
    }

    /// Notes an operation that is about to be started, and gives the permit that it runs under, which notes
    /// nothing again: so a call's record names the source even if the operation is stopped before it runs.
    /// Errors as [`Self::read`] and [`Self::write`].
    pub fn start(&self, permission: Permission) -> Result<Self, data::Error> {
        self.admit(permission)?;
        Ok(Self { noted: true, ..self.clone() })
    }

    fn recorder(&self) -> Recorder {
        Recorder::new(&self.touched, &self.grant.source)
    }

    fn admit(&self, wanted: Permission) -> Result<Scope, data::Error> {
        let admitted = self.in_force(wanted);
        if admitted.is_err() {
            let name = if wanted == Permission::Read { "read" } else { "write" };
            self.touched.refused(&self.grant.source, name);
        }
        if self.noted {
            return admitted;
        }
        let used = match (&admitted, wanted) {
            (Err(_), _) => Use { denied: 1, ..Use::default() },
            (Ok(_), Permission::Read) => Use { reads: 1, ..Use::default() },
            (Ok(_), Permission::Write) => Use { writes: 1, ..Use::default() },
        };
        self.touched.note(&self.grant.source, used);
        admitted
    }

    /// Whether the grant covers this and has not been revoked since the call began, and its scope now.
    fn in_force(&self, wanted: Permission) -> Result<Scope, data::Error> {
        let source = &self.grant.source;
        if wanted > self.grant.permission {
            return Err(data::Error::Denied(format!("this handle to {source} only reads")));
        }
        let revoked = || data::Error::Denied(format!("the grant of {source} was revoked"));
        let context = self.tenants.get(&self.tenant).map_err(|_| revoked())?;
        match permitted(&context, &self.agent, source) {
            Ok(now) if wanted <= now => Ok(scope(&context, &self.agent, source)),
            _ => Err(revoked()),
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("grant", &self.grant).finish_non_exhaustive()
    }
}

/// How often a call used a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Reading operations admitted.
    pub reads: u32,
    /// Changing operations admitted.
    pub writes: u32,
    /// Operations refused.
    pub denied: u32,
}

/// What one call was granted: permits and the way to the sources behind them. This is what stands
/// behind a guest's `grants`; it opens nothing that is not in it.
#[derive(Clone)]
pub struct Grants {
    context: Arc<Context>,
    sources: Arc<dyn Sources>,
    permits: Vec<Permit>,
    touched: Arc<Touched>,
}

impl Grants {
    /// Binds decided grants to a call.
    pub fn new(
        context: &Arc<Context>,
        agent: &AgentName,
        granted: Vec<Grant>,
        tenants: &Arc<dyn Tenants>,
        sources: &Arc<dyn Sources>,
    ) -> Self {
        let touched = Arc::new(Touched::default());
        let permits = granted
            .into_iter()
            .map(|grant| Permit {
                tenants: tenants.clone(),
                tenant: context.tenant.clone(),
                agent: agent.clone(),
                grant,
                touched: touched.clone(),
                noted: false,
            })
            .collect();
        Self { context: context.clone(), sources: sources.clone(), permits, touched }
    }

    /// The names of the sources granted.
    pub fn names(&self) -> impl Iterator<Item = &SourceName> {
        self.permits.iter().map(|permit| &permit.grant.source)
    }

    /// What the call has touched so far.
    pub fn touched(&self) -> &Arc<Touched> {
        &self.touched
    }

    /// The permit for a source and the connection behind it.
    ///
    /// Errors: `not-found` if this call was granted no source of that name; otherwise as
    /// [`Sources::open`].
    pub async fn open(&self, name: &str) -> Result<(Permit, data::Handle), data::Error> {
        let permit = self.permits.iter().find(|permit| permit.grant.source.as_str() == name);
        let (Some(permit), Some(definition)) = (permit, self.definition(name)) else {
            return Err(data::Error::NotFound(format!("no source named `{name}` was granted")));
        };
        permit.in_force(Permission::Read)?;
        Ok((permit.clone(), self.sources.open(&self.context.tenant, definition).await?))
    }

    fn definition(&self, name: &str) -> Option<&Arc<source::Definition>> {
        self.context.sources.get(name)
    }
}
