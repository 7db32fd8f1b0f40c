//! `remit keys`: keys made, listed and revoked on the machine itself, whether or not a host serves.
//!
//! Whoever may write the journal may do so; there is no other proof, and there has to be a first key.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use remit_config::{Contexts, Environment, Host};
use remit_domain::{
    AgentName, Error, TenantId,
    access::{Key, KeyId, Keys as _, Role, Token},
    audit::{Action, Actor, AuditLog as _, Deed},
    clock::{Clock as _, SystemClock, rfc3339},
    tenant::Tenants as _,
    usage::Quotas,
};
use remit_journal::Journal;
use serde_json::json;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::state;

/// Which host's keys.
#[derive(Debug, Args)]
pub struct Where {
    /// The operator's settings.
    #[arg(long, value_name = "FILE", default_value = "configs/host.yaml", global = true)]
    config: PathBuf,
    /// Patches settings and contexts with the files of profiles/NAME beside the settings.
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// Finds state here instead of where the settings say.
    #[arg(long, value_name = "FOLDER", global = true)]
    state: Option<PathBuf>,
}

impl Where {
    /// The settings, with the environment that they were read with. Errors: all faults of the settings.
    pub(crate) fn host(&self) -> anyhow::Result<(Host, Environment)> {
        let env = Environment::from_process(Some(Path::new(".env")))?;
        let mut host = Host::load(Path::new("."), &self.config, self.profile.as_deref(), &env)?;
        if let Some(state) = &self.state {
            host.relocate_state(state);
        }
        Ok((host, env))
    }
}

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Makes a key and prints it on standard output, this once.
    Create {
        /// Whose it is. An operator's key is of no tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// What it may do: viewer, agent, admin or operator, each all that those before it may.
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// The agents that it may speak for, with commas between them; all of the tenant's without it.
        #[arg(long, value_name = "AGENTS", value_delimiter = ',')]
        agents: Vec<String>,
        /// Until when it lets anybody in: days, such as 90d, or an instant in RFC 3339; for ever without it.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// What people call it by.
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// How many requests may be made with it in a minute; as many as its tenant may without it.
        #[arg(long, value_name = "N")]
        requests_per_minute: Option<u64>,
        /// Any quota by its key in the settings, such as tokensPerDay=100000; may be repeated.
        #[arg(long = "quota", value_name = "KEY=N")]
        quotas: Vec<String>,
    },
    /// Lists keys, the newest first, without what lets anybody in.
    List {
        /// Those of one tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
    },
    /// Revokes a key: the next request that presents it is refused.
    Revoke {
        /// The key's id, as `list` shows it.
        id: String,
    },
}

/// Carries out one verb. Errors: what can't be read or written; a tenant, agent or key that is not there.
pub async fn run(at: &Where, verb: Verb) -> anyhow::Result<()> {
    let (host, env) = at.host()?;
    let _held = state::share(&host)?;
    let host = Arc::new(host);
    let journal =
        Journal::open(&host.journal.display().to_string()).await.context("the journal could not be opened")?;
    let done = carry_out(&journal, host, env, verb).await;
    journal.close().await;
    done
}

async fn carry_out(journal: &Journal, host: Arc<Host>, env: Environment, verb: Verb) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match verb {
        Verb::Create { tenant, role, agents, expires, label, requests_per_minute, quotas } => {
            let role = Role::of(&role).with_context(|| format!("no role `{role}`: viewer, agent, admin, operator"))?;
            let (tenant, agents) = whose(host, env, tenant.as_deref(), role, &agents)?;
            let expires = expires.map(|text| until(&text, now)).transpose()?;
            let token = Token::random().map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
            let quotas = bounds(requests_per_minute, &quotas)?;
            let id = token.id().clone();
            let key = Key { id, tenant, role, agents, label, created: now, expires, revoked: None, quotas };
            journal.add(&key, &token.digest()).await?;
            journal.administer(key_made(&key, Actor::Console, now)).await?;
            say(&token.reveal())?;
            note(&format!("key {} of the role {} is made; it is not shown again", key.id, role.as_str()));
        }
        Verb::List { tenant } => {
            let tenant = tenant.as_deref().map(TenantId::new).transpose()?;
            for key in journal.list(tenant.as_ref()).await? {
                say(&line(&key, now))?;
            }
        }
        Verb::Revoke { id } => {
            let key =
                KeyId::new(&id).with_context(|| format!("`{id}` is no key's id: `remit keys list` shows them"))?;
            let (found, _) = journal
                .find(&key)
                .await?
                .with_context(|| format!("there is no key {key}: `remit keys list` shows those there are"))?;
            match journal.revoke(None, &key, now).await? {
                true => {
                    journal.administer(key_revoked(&found, Actor::Console, now)).await?;
                    note(&format!("key {key} is revoked"));
                }
                false => note(&format!("key {key} was revoked before")),
            }
        }
    }
    Ok(())
}

/// For the record: a key was made.
pub(crate) fn key_made(key: &Key, actor: Actor, now: OffsetDateTime) -> Deed {
    on_key(Action::KeyCreate, key, actor, now).with(json!({
        "role": key.role,
        "agents": key.agents,
        "label": key.label,
        "expires": key.expires.map(rfc3339),
        "quotas": key.quotas.written(),
    }))
}

/// For the record: a key was revoked.
pub(crate) fn key_revoked(key: &Key, actor: Actor, now: OffsetDateTime) -> Deed {
    on_key(Action::KeyRevoke, key, actor, now).with(json!({ "role": key.role }))
}

fn on_key(action: Action, key: &Key, actor: Actor, now: OffsetDateTime) -> Deed {
    let deed = Deed::new(now, actor, action, key.id.as_str());
    match &key.tenant {
        Some(tenant) => deed.of(tenant),
        None => deed,
    }
}

type Whose = (Option<TenantId>, Option<BTreeSet<AgentName>>);

/// The tenant and the agents that a key is for, which have to be there.
fn whose(
    host: Arc<Host>,
    env: Environment,
    tenant: Option<&str>,
    role: Role,
    agents: &[String],
) -> anyhow::Result<Whose> {
    let Some(tenant) = tenant else {
        ensure!(role == Role::Operator, "a key of the role {} is a tenant's: --tenant", role.as_str());
        ensure!(agents.is_empty(), "an operator's key speaks for all agents");
        return Ok((None, None));
    };
    if role == Role::Operator {
        bail!("an operator's key is of no tenant: leave --tenant out, or take the role admin");
    }
    ensure!(
        role < Role::Admin || agents.is_empty(),
        "an administrator's key is for the whole tenant: leave --agents out"
    );
    let tenant = TenantId::new(tenant)?;
    let (contexts, _) = Contexts::load(host, env)?;
    let agents: BTreeSet<AgentName> = match contexts.get(&tenant) {
        Ok(context) => {
            agents.iter().map(|name| context.agent(name).map(|(agent, _)| agent.clone())).collect::<Result<_, _>>()?
        }
        // Such as where this shell has not the credentials that the host has: a key is no worse for it.
        Err(Error::TenantUnavailable { .. }) => {
            agents.iter().map(|name| AgentName::new(name)).collect::<Result<_, _>>()?
        }
        Err(error) => return Err(error.into()),
    };
    Ok((Some(tenant), (!agents.is_empty()).then_some(agents)))
}

/// Quotas as the command line gives them.
fn bounds(requests_per_minute: Option<u64>, quotas: &[String]) -> anyhow::Result<Quotas> {
    let mut bounds = Vec::new();
    for text in quotas {
        let (key, allowed) = text.split_once('=').unwrap_or((text, ""));
        let allowed = allowed.parse().with_context(|| format!("`{text}` is no quota: such as tokensPerDay=100000"))?;
        bounds.push((key, allowed));
    }
    bounds.extend(requests_per_minute.map(|allowed| ("requestsPerMinute", allowed)));
    let known = Quotas::KEYS.map(|(key, ..)| key).join(", ");
    Quotas::read(bounds).map_err(|key| anyhow::anyhow!("there is no quota `{key}`: {known}"))
}

/// `90d`, or an instant in RFC 3339 that is still to come.
fn until(text: &str, now: OffsetDateTime) -> anyhow::Result<OffsetDateTime> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok());
    let until = match days {
        Some(days) => now + Duration::days(days.into()),
        None => OffsetDateTime::parse(text, &Rfc3339)
            .with_context(|| format!("`{text}` is neither days, such as 90d, nor an instant in RFC 3339"))?,
    };
    ensure!(until > now, "`{text}` is past");
    Ok(until)
}

fn line(key: &Key, now: OffsetDateTime) -> String {
    let tenant = key.tenant.as_ref().map_or("*", TenantId::as_str);
    let agents = key
        .agents
        .as_ref()
        .map_or_else(|| "*".to_owned(), |agents| agents.iter().map(AgentName::as_str).collect::<Vec<_>>().join(","));
    let state = match (key.revoked, key.expires) {
        (Some(at), _) => format!("revoked {}", rfc3339(at)),
        (None, Some(at)) if at <= now => format!("expired {}", rfc3339(at)),
        (None, Some(at)) => format!("until {}", rfc3339(at)),
        (None, None) => "valid".to_owned(),
    };
    let label = key.label.as_deref().unwrap_or_default();
    let quotas = key.quotas.written().iter().map(|(key, allowed)| format!("{key}={allowed}")).collect::<Vec<_>>();
    let quotas = quotas.join(",");
    format!(
        "{}\t{tenant}\t{}\t{agents}\t{}\t{state}\t{label}\t{quotas}",
        key.id,
        key.role.as_str(),
        rfc3339(key.created)
    )
}

fn say(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{line}")
}

/// For people: what programs read is on standard output alone.
#[expect(clippy::print_stderr, reason = "a command line speaks to people")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn quotas_are_given_by_key() {
        let read = |few, texts: &[&str]| bounds(few, &texts.iter().map(ToString::to_string).collect::<Vec<_>>()).ok();
        assert_eq!(read(None, &[]), Some(Quotas::NONE));
        let written = read(Some(5), &["tokensPerDay=9", "requestsPerMinute=7"]).map(|quotas| quotas.written());
        assert_eq!(written, Some([("requestsPerMinute", 5), ("tokensPerDay", 9)].into()));
        for bad in ["", "tokensPerDay", "tokensPerDay=", "tokensPerDay=-1", "tokensPerYear=1"] {
            assert_eq!(read(None, &[bad]), None, "{bad}");
        }
    }

    #[test]
    fn an_end_is_days_or_an_instant_to_come() {
        let now = datetime!(2026-01-01 12:00 UTC);
        assert_eq!(until("90d", now).ok(), Some(datetime!(2026-04-01 12:00 UTC)));
        assert_eq!(until("2026-02-01T00:00:00Z", now).ok(), Some(datetime!(2026-02-01 0:00 UTC)));
        for bad in ["", "0d", "-1d", "90", "2025-01-01T00:00:00Z", "tomorrow"] {
            assert!(until(bad, now).is_err(), "{bad}");
        }
    }
}
