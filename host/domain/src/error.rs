//! Why a request fails, in the domain's words. Display is for the client; what only the operator may
//! see is the source of the error, which is logged and never sent.
//!
//! Deliberately absent: HTTP statuses and JSON-RPC codes (`remit-server` maps them in one file).

use crate::{
    AgentName, PluginName, SourceName, TenantId,
    access::Role,
    data,
    grant::Denial,
    schema::Problem,
    usage::{Meter, Quotas, Window},
};

/// The operator's part of an error: logged with its chain, never sent.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No tenant of that name.
    #[error("unknown tenant `{0}`")]
    UnknownTenant(String),
    /// The tenant's files are faulty, and there is no last good version.
    #[error("tenant {tenant} is not available: its configuration is faulty")]
    TenantUnavailable {
        /// Which.
        tenant: TenantId,
    },
    /// The tenant has no agent of that name.
    #[error("unknown agent `{agent}` of tenant {tenant}")]
    UnknownAgent {
        /// Which tenant.
        tenant: TenantId,
        /// What was asked for.
        agent: String,
    },
    /// A set that the agent's mapping names is not there.
    #[error("MCP server class not found: {0}")]
    NoSet(PluginName),
    /// None of the agent's sets has such a tool.
    #[error("agent {agent} has no tool `{tool}`")]
    UnknownTool {
        /// Whose.
        agent: AgentName,
        /// What was asked for.
        tool: String,
    },
    /// No plugin has such a kind of step.
    #[error("there is no kind of step `{0}`")]
    UnknownNode(String),
    /// None of the agent's sets has such a resource.
    #[error("agent {agent} has no resource `{resource}`")]
    UnknownResource {
        /// Whose.
        agent: AgentName,
        /// What was asked for.
        resource: String,
    },
    /// The decision function said no.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The arguments break the tool's schema or rules.
    #[error("invalid arguments: {}", first(.0))]
    InvalidArguments(Vec<Problem>),
    /// The tool's own rules say no; the text is for the model and the user.
    #[error("{0}")]
    Refused(String),
    /// A source failed, and the plugin had no better answer.
    #[error("source {source_name}: {cause}")]
    Source {
        /// Which.
        source_name: SourceName,
        /// Why.
        cause: data::Error,
    },
    /// The guest trapped: a bug of the plugin.
    #[error("the plugin {plugin} failed")]
    Trapped {
        /// Which.
        plugin: PluginName,
        /// The trap, for the operator.
        #[source]
        cause: Cause,
    },
    /// The guest answered something that the contract or its own output schema forbids.
    #[error("the plugin {plugin} answered wrongly: {reason}")]
    BadAnswer {
        /// Which.
        plugin: PluginName,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The guest ran into a limit of the sandbox.
    #[error("the plugin {plugin} reached the limit {limit} ({allowed} {unit})")]
    Limit {
        /// Which plugin.
        plugin: PluginName,
        /// Which limit, as `host.yaml` names it.
        limit: &'static str,
        /// Its value.
        allowed: u64,
        /// The unit of the value.
        unit: &'static str,
    },
    /// The call took longer than it may.
    #[error("the call took longer than {limit} allows ({allowed_ms} ms)")]
    Deadline {
        /// Which limit, as the settings name it.
        limit: &'static str,
        /// How long it may take.
        allowed_ms: u64,
    },
    /// An uploaded component is none that this host takes.
    #[error("the component is not fit: {reason}")]
    Unfit {
        /// What is wrong with it, the limit that it met included.
        reason: String,
        /// The limit, as `host.yaml` names it, with its value and unit, if it is one that it met.
        limit: Option<(&'static str, u64, &'static str)>,
    },
    /// Too much at once.
    #[error("too much at once: {limit} allows {allowed} {unit}")]
    Busy {
        /// Which limit, as the settings name it.
        limit: &'static str,
        /// Its value.
        allowed: u64,
        /// The unit of the value.
        unit: &'static str,
        /// When to come back.
        retry_after_ms: u32,
    },
    /// A tenant or a key has used up what it may use in a minute or a day.
    #[error("this {of} has used up its {} ({allowed})", quota(*.meter, *.window))]
    Quota {
        /// Whose it is: `tenant` or `key`.
        of: &'static str,
        /// Of what.
        meter: Meter,
        /// How much may be used.
        allowed: u64,
        /// In which time.
        window: Window,
        /// When the count begins anew; `None` for what is more than the whole quota.
        retry_after_ms: Option<u32>,
    },
    /// Another request is at work on the same conversation.
    #[error("conversation {0} is busy with another request")]
    ConversationBusy(String),
    /// Neither the tenant nor the host has a language model.
    #[error("no language model is configured")]
    NoModel,
    /// The language model answered badly.
    #[error("the language model answered badly: {reason}")]
    Model {
        /// What was wrong, without the model's own words.
        reason: String,
        /// For the operator.
        #[source]
        cause: Option<Cause>,
    },
    /// The language model cannot be reached, is too busy, or refuses the key.
    #[error("the language model is not available")]
    ModelUnavailable {
        /// When to come back, if known.
        retry_after_ms: Option<u32>,
        /// For the operator.
        #[source]
        cause: Cause,
    },
    /// The journal did not take a record: the host does not answer what it can't vouch for.
    #[error("the journal is not available")]
    Journal(#[source] Cause),
    /// The call was cancelled.
    #[error("the call was cancelled")]
    Cancelled,
    /// No key, or none that lets anybody in.
    #[error("this needs a key that is valid")]
    BadKey,
    /// The key may not do this.
    #[error("this needs a key of the role {}, and this one has {}", .needed.as_str(), .has.as_str())]
    RoleTooLow {
        /// The least role that may.
        needed: Role,
        /// The key's.
        has: Role,
    },
    /// The key speaks for other agents.
    #[error("this key does not speak for the agent {0}")]
    NotYourAgent(AgentName),
    /// The key is another tenant's than the request names.
    #[error("this key is of another tenant than X-Context names")]
    NotYourTenant,
    /// The tenant has no plugin of that name, or no such version of it.
    #[error("this tenant has no {}", version_of(.plugin, *.number))]
    UnknownVersion {
        /// The plugin, as asked for.
        plugin: String,
        /// The version, if one was asked for.
        number: Option<u32>,
    },
    /// The version serves, or a run depends on it.
    #[error("version {number} of {plugin} is {}", .by.as_str())]
    VersionInUse {
        /// Of which plugin.
        plugin: PluginName,
        /// Which.
        number: u32,
        /// By what.
        by: InUse,
    },
    /// The tenant has as many plugins as it may.
    #[error("this tenant has {allowed} plugins, which is as many as it may have")]
    LibraryFull {
        /// How many it may have.
        allowed: u64,
    },
    /// No version served before the present one, or it is no longer kept.
    #[error("no version of {0} served before this one")]
    NothingBefore(PluginName),
    /// The upload carries no signature that the tenant trusts.
    #[error("the upload is refused: {0}")]
    Untrusted(String),
    /// The tenant has no workflow of that name.
    #[error("there is no workflow `{0}`")]
    UnknownWorkflow(String),
    /// The tenant has no such run.
    #[error("there is no execution `{0}`")]
    UnknownExecution(String),
    /// What is asked of a run does not fit how it stands.
    #[error("the execution is {is}: {reason}")]
    ExecutionState {
        /// How it stands.
        is: &'static str,
        /// Why that does not fit.
        reason: &'static str,
    },
    /// A bug of the host.
    #[error("internal error")]
    Internal(#[source] Cause),
}

/// What keeps a version from being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InUse {
    /// It serves.
    Active,
    /// A run of a workflow goes on with it.
    Pinned,
}

impl InUse {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pinned => "pinned by a run",
        }
    }
}

fn version_of(plugin: &str, number: Option<u32>) -> String {
    match number {
        Some(number) => format!("version {number} of a plugin {plugin} of its own"),
        None => format!("plugin {plugin} of its own"),
    }
}

impl Error {
    /// The stable code, which has a page in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownTenant(_) => "unknown_tenant",
            Self::TenantUnavailable { .. } => "tenant_unavailable",
            Self::UnknownAgent { .. } => "unknown_agent",
            Self::NoSet(_) => "plugin_missing",
            Self::UnknownTool { .. } => "tool_missing",
            Self::UnknownNode(_) => "node_missing",
            Self::UnknownResource { .. } => "resource_missing",
            Self::Denied(_) => "permission_denied",
            Self::InvalidArguments(_) => "invalid_arguments",
            Self::Refused(_) => "refused",
            Self::Source { cause, .. } => match cause {
                data::Error::Denied(_) => "source_denied",
                data::Error::Invalid(_) => "source_invalid",
                data::Error::NotFound(_) => "source_not_found",
                data::Error::Limit { .. } => "source_limit",
                data::Error::Throttled(_) => "source_throttled",
                data::Error::Unavailable(_) => "source_unavailable",
                data::Error::Uncertain(_) => "source_uncertain",
                data::Error::Rejected(_) => "source_rejected",
                data::Error::Cancelled => "cancelled",
            },
            Self::Trapped { .. } => "plugin_trapped",
            Self::BadAnswer { .. } => "plugin_bad_answer",
            Self::Limit { .. } => "plugin_limit",
            Self::Deadline { .. } => "deadline",
            Self::Unfit { .. } => "plugin_unfit",
            Self::Busy { .. } => "busy",
            Self::Quota { .. } => "quota_exceeded",
            Self::ConversationBusy(_) => "conversation_busy",
            Self::NoModel => "no_model",
            Self::Model { .. } => "model_bad_answer",
            Self::ModelUnavailable { .. } => "model_unavailable",
            Self::Journal(_) => "journal_unavailable",
            Self::Cancelled => "cancelled",
            Self::BadKey => "unauthorized",
            Self::RoleTooLow { .. } => "role_too_low",
            Self::NotYourAgent(_) => "agent_not_allowed",
            Self::NotYourTenant => "context_mismatch",
            Self::UnknownVersion { .. } => "version_missing",
            Self::VersionInUse { .. } => "version_in_use",
            Self::LibraryFull { .. } => "library_full",
            Self::NothingBefore(_) => "nothing_before",
            Self::Untrusted(_) => "signature_refused",
            Self::UnknownWorkflow(_) => "workflow_missing",
            Self::UnknownExecution(_) => "execution_missing",
            Self::ExecutionState { .. } => "execution_state",
            Self::Internal(_) => "internal",
        }
    }

    /// What the client may do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::UnknownTenant(_) => "X-Context names a file in configs/contexts/ without its .json".to_owned(),
            Self::TenantUnavailable { .. } => "the operator sees the faults with `remit check`".to_owned(),
            Self::UnknownAgent { .. } => {
                "agents stand under prompts.agents and agentMappings of the tenant's context".to_owned()
            }
            Self::NoSet(set) => {
                format!("put a plugin named {set} where the host finds it, or correct agentMappings.<agent>.mcpServer")
            }
            Self::UnknownNode(_) => {
                "a plugin that has it comes with the host, or is uploaded and activated with POST /api/plugins"
                    .to_owned()
            }
            Self::UnknownTool { agent, .. } => format!("GET /api/mcp/tools/{agent} lists the tools it has"),
            Self::UnknownResource { agent, .. } => format!("GET /api/mcp/resources/{agent} lists the resources it has"),
            Self::Denied(denial) => format!(
                "add {} to the agent's dataSources and permissions in the tenant's context, if it is meant to have it",
                denial.wanted()
            ),
            Self::Source { cause, .. } if cause.retriable() => "the same request may be sent again".to_owned(),
            Self::BadKey => {
                "send `Authorization: Bearer <key>`; the operator makes keys with `remit keys create`".to_owned()
            }
            Self::UnknownVersion { .. } => "GET /api/plugins lists the plugins that it has uploaded".to_owned(),
            Self::LibraryFull { .. } => {
                "delete one, or ask the operator, whose settings hold `library.plugins`".to_owned()
            }
            Self::NothingBefore(plugin) => {
                format!("GET /api/plugins/{plugin} lists the versions that can be activated")
            }
            Self::Untrusted(_) => {
                "sign it with `remit plugin sign` and a key that the tenant's context lists under plugins.trustedKeys"
                    .to_owned()
            }
            Self::VersionInUse { plugin, by: InUse::Active, .. } => {
                format!("activate another version, or POST /api/plugins/{plugin}/deactivate")
            }
            Self::VersionInUse { by: InUse::Pinned, .. } => {
                "wait until the executions that began with it have ended, or cancel them".to_owned()
            }
            Self::UnknownWorkflow(_) => "GET /api/workflows lists those that there are".to_owned(),
            Self::UnknownExecution(_) => "GET /api/workflows/executions lists them".to_owned(),
            Self::NoModel => "set OPENAI_API_KEY or OPENAI_BASE_URL, or `model` in the tenant's context".to_owned(),
            Self::Busy { .. } | Self::ConversationBusy(_) | Self::ModelUnavailable { .. } => {
                "the same request may be sent again".to_owned()
            }
            Self::Quota { .. } => {
                "GET /api/usage shows what is used, what may be, and when the count begins anew".to_owned()
            }
            Self::Unfit { limit: Some((limit, ..)), .. } => {
                format!("make it smaller, or ask the operator, whose settings hold `{limit}` under `limits`")
            }
            // A call is recorded once it is over: its effects are there, whatever became of the record.
            Self::Journal(_) => "the request may have taken effect: look before sending it again".to_owned(),
            _ => return None,
        };
        Some(hint)
    }

    /// Whether the same request may be sent again as it is.
    pub fn retriable(&self) -> bool {
        match self {
            Self::Source { cause, .. } => cause.retriable(),
            Self::Quota { retry_after_ms, .. } => retry_after_ms.is_some(),
            Self::Busy { .. }
            | Self::ConversationBusy(_)
            | Self::ModelUnavailable { .. }
            | Self::TenantUnavailable { .. } => true,
            _ => false,
        }
    }

    /// When to come back, if that is known.
    pub fn retry_after_ms(&self) -> Option<u32> {
        match self {
            Self::Source { cause: data::Error::Throttled(wait) | data::Error::Unavailable(wait), .. } => {
                wait.retry_after_ms
            }
            Self::Busy { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::ModelUnavailable { retry_after_ms, .. } | Self::Quota { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        }
    }
}

/// A quota as settings name it.
fn quota(meter: Meter, window: Window) -> &'static str {
    let found = Quotas::KEYS.into_iter().find(|(_, of, over)| (*of, *over) == (meter, window));
    found.map_or("quota", |(key, ..)| key)
}

fn first(problems: &[Problem]) -> String {
    match problems.first() {
        Some(Problem { pointer, message }) if pointer.is_empty() => message.clone(),
        Some(Problem { pointer, message }) => format!("{pointer}: {message}"),
        None => "no reason given".to_owned(),
    }
}
