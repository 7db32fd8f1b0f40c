//! `remit tenant`: all that this host has of one tenant, given out or removed.
//!
//! Giving out may be done while the host runs. Removing needs it stopped: a running host would go on with what
//! it remembers, and write it again. Deliberately absent: what is the operator's own (the context, rules,
//! credentials) and the tenant's own elsewhere (its databases); the verbs name them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::PathBuf,
};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use remit_config::Host;
use remit_domain::{
    TenantId,
    access::Keys as _,
    audit::{Action, Actor, AuditLog as _, Deed},
    clock::{Clock as _, SystemClock},
    library::Digest,
};
use remit_journal::Journal;
use remit_sandbox::CodeCache;
use serde_json::json;

use crate::{
    archive::Making,
    keys::{Where, note},
    state,
};

const FORMAT: &str = "remit-tenant";

/// What is done with a tenant.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Writes all that the host has of a tenant into a new folder. The host may run meanwhile.
    Export {
        /// Whose.
        tenant: String,
        /// The folder, which must not be there, or be empty.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Removes all that the host has of a tenant but its audit events. The host must be stopped.
    Delete {
        /// Whose.
        tenant: String,
        /// Does it; without this the verb only says what it would remove.
        #[arg(long)]
        yes: bool,
    },
}

/// Carries out one verb. Errors: what can't be read or written; a tenant of whom there is nothing; a host that
/// runs while one is to be deleted.
pub async fn run(at: &Where, verb: Verb) -> anyhow::Result<()> {
    let (host, _) = at.host()?;
    ensure!(host.journal.exists(), "there is no journal at {}", host.journal.display());
    match verb {
        Verb::Export { tenant, to } => {
            let _held = state::share(&host)?;
            let journal = open(&host).await?;
            let done = export(&host, &journal, &TenantId::new(&tenant)?, to).await;
            journal.close().await;
            done
        }
        Verb::Delete { tenant, yes } => {
            let _held = state::own(&host)?;
            let journal = open(&host).await?;
            let done = delete(&host, &journal, &TenantId::new(&tenant)?, yes).await;
            journal.close().await;
            done
        }
    }
}

async fn open(host: &Host) -> anyhow::Result<Journal> {
    Journal::open(&host.journal.display().to_string()).await.context("the journal could not be opened")
}

async fn export(host: &Host, journal: &Journal, tenant: &TenantId, to: PathBuf) -> anyhow::Result<()> {
    let mut making = Making::begin(&to)?;
    let name = |part: &str| format!("{part}.jsonl");
    let mut files = BTreeMap::new();
    for part in Journal::parts() {
        files.insert(part, std::io::BufWriter::new(making.create(&name(part))?));
    }
    let (mut records, mut components, mut outputs) = (0_u64, BTreeSet::new(), BTreeSet::new());
    journal
        .export(tenant, |part, line| -> anyhow::Result<()> {
            records += 1;
            if part == "plugins" {
                components.extend(digest(line));
            }
            if part == "outputs" {
                outputs.extend(digest(line));
            }
            let file = files.get_mut(part).context("a part without a file")?;
            Ok(writeln!(file, "{line}")?)
        })
        .await?;
    ensure!(records > 0, "this host has nothing of {tenant}");
    for (part, mut file) in files {
        file.flush()?;
        drop(file);
        making.seal(&name(part))?;
    }
    let kept = state::artifacts(host)?;
    for digest in components {
        // One that was removed since the record was read.
        let Some(bytes) = kept.get(&digest).await? else {
            note(&format!("the component {digest} is not there"));
            continue;
        };
        making.write(&format!("components/{}.wasm", digest.hex()), &bytes)?;
    }
    let kept = state::outputs(host)?;
    for digest in outputs {
        let Some(bytes) = kept.get(&digest).await? else {
            note(&format!("the output {digest} is not there"));
            continue;
        };
        // A line with the run's id, and then what it is.
        making.write(&format!("outputs/{}.json", digest.hex()), &bytes)?;
    }
    making.finish(FORMAT, Some(tenant.as_str()))?;
    record(journal, Action::TenantExport, tenant, json!({ "records": records })).await?;
    note(&format!("{records} records of {tenant} are in {}", to.display()));
    remains(host, tenant);
    Ok(())
}

/// The component that a record of a version names, or the output that one of those names.
fn digest(line: &str) -> Option<Digest> {
    let record: serde_json::Value = serde_json::from_str(line).ok()?;
    Digest::new(record.get("digest")?.as_str()?)
}

async fn delete(host: &Host, journal: &Journal, tenant: &TenantId, yes: bool) -> anyhow::Result<()> {
    let keys = journal.list(None).await?;
    let (own, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.tenant.as_ref() == Some(tenant));
    ensure!(
        own.is_empty() || !others.is_empty(),
        "its keys are the only ones: without any the host would be open; `remit keys create --role operator` first"
    );
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    journal
        .export(tenant, |part, _| -> anyhow::Result<()> {
            *counts.entry(part).or_default() += 1;
            Ok(())
        })
        .await?;
    let audit = counts.remove("audit").unwrap_or_default();
    let listed = counts.iter().map(|(part, count)| format!("{count} {part}")).collect::<Vec<_>>().join(", ");
    if !yes {
        note(&format!("of {tenant} this would remove: {}", if listed.is_empty() { "nothing" } else { &listed }));
        stays(host, tenant, audit);
        anyhow::bail!("nothing was removed: `--yes` does it");
    }
    ensure!(!listed.is_empty(), "this host has nothing of {tenant} that could be removed");
    // The record first: what a crash leaves of the rest, nothing names, and the next start sweeps away.
    let forgotten = journal.forget(tenant).await?;
    record(journal, Action::TenantDelete, tenant, json!({ "removed": counts })).await?;
    let components = state::artifacts(host)?;
    for digest in &forgotten.components {
        components.remove(digest).await?;
        CodeCache::forget(&state::cache(host), digest.hex())?;
    }
    let outputs = state::outputs(host)?;
    for digest in &forgotten.outputs {
        outputs.remove(digest).await?;
    }
    note(&format!("of {tenant} are removed: {listed}, and {} components", forgotten.components.len()));
    stays(host, tenant, forgotten.audit);
    Ok(())
}

/// Puts on record what was done at the command line.
async fn record(
    journal: &Journal,
    action: Action,
    tenant: &TenantId,
    details: serde_json::Value,
) -> anyhow::Result<()> {
    let deed = Deed::new(SystemClock.now(), Actor::Console, action, tenant.as_str()).of(tenant).with(details);
    Ok(journal.administer(deed).await?)
}

fn stays(host: &Host, tenant: &TenantId, audit: u64) {
    note(&format!(
        "{audit} audit events stay until their time is over: they are chained, and hold names and sizes, no values"
    ));
    remains(host, tenant);
}

/// Names what is not the host's own.
fn remains(host: &Host, tenant: &TenantId) {
    let context = host.contexts_dir.join(format!("{tenant}.json"));
    let mut theirs = vec![context.display().to_string()];
    theirs.extend(host.profile.iter().map(|profile| profile.join(format!("{tenant}.json")).display().to_string()));
    theirs.retain(|file| PathBuf::from(file).exists());
    theirs.extend(host.tenants.contains_key(tenant).then(|| format!("tenants.{tenant} in host.yaml")));
    let prefixes = host.rules(tenant).credential_prefixes;
    let prefixes = prefixes.unwrap_or_else(|| vec![format!("{}_", tenant.as_str().to_uppercase().replace('-', "_"))]);
    theirs.extend(prefixes.iter().map(|prefix| format!("{prefix}* in the environment")));
    note(&format!("not the host's, and as they were: {}; its data sources; logs and backups", theirs.join(", ")));
}
