//! The audit log as an operator keeps it: `remit audit`, and what a running host does to it by itself.
//!
//! What the log consists of and how it is verified is in `remit-journal`.

mod key;
mod outlet;
mod upkeep;

use std::{
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use remit_config::Host;
use remit_domain::{
    audit::{Action, Actor, AuditLog, Deed},
    clock::{Clock as _, SystemClock},
    signature::{PublicKey, SecretKey},
};
use remit_journal::{Checkpoint, Expected, Fault, Journal, Pruned, Verified};
use serde_json::json;
use time::{Duration, OffsetDateTime};

pub(crate) use upkeep::Upkeep;

use crate::{keys::Where, state};

/// What is done with the audit log.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Reads the whole log and says the first thing that is not as it was written, if there is one.
    ///
    /// Without checkpoints it finds what does not fit together; with them also an end that was cut off, and
    /// a log that was made anew. Give it the checkpoints from where the host can't write, and the public
    /// key as it was noted when the host was set up.
    Verify {
        /// Checkpoints, a line each; without it those that the settings name, if there are any.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
        /// Whose signatures count, as `remit audit key` shows it; this host's key without it.
        #[arg(long, value_name = "PUBLIC")]
        key: Option<String>,
        /// Answers in JSON.
        #[arg(long)]
        json: bool,
    },
    /// Signs where the log stands now, and prints that.
    Checkpoint,
    /// Prints the public key that checkpoints are signed with.
    Key,
    /// Removes closed segments whose newest row is old. Their seals stay, so that the rest still verifies.
    Prune {
        /// For how many days rows are kept; `audit.keepDays` of the settings without it.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        keep_days: Option<u32>,
    },
}

/// Carries out one verb. False if the log is at fault. Errors: what can't be read or written.
pub async fn run(at: Where, verb: Verb) -> anyhow::Result<bool> {
    let (host, _) = at.host()?;
    let _held = state::share(&host)?;
    match verb {
        Verb::Key => {
            say(&key::keep(&host.state_dir)?.public().to_string())?;
            Ok(true)
        }
        Verb::Verify { checkpoints, key, json } => {
            with_journal(&host, async |journal| verify(journal, &host, checkpoints, key, json).await).await
        }
        Verb::Checkpoint => with_journal(&host, async |journal| checkpoint(journal, &host).await).await,
        Verb::Prune { keep_days } => {
            with_journal(&host, async |journal| prune_for(journal, &host, keep_days).await).await
        }
    }
}

async fn with_journal(host: &Host, work: impl AsyncFnOnce(&Journal) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    ensure!(host.journal.exists(), "there is no journal {}", host.journal.display());
    let journal =
        Journal::open(&host.journal.display().to_string()).await.context("the journal could not be opened")?;
    let done = work(&journal).await;
    journal.close().await;
    done
}

async fn verify(
    journal: &Journal,
    host: &Host,
    checkpoints: Option<PathBuf>,
    key: Option<String>,
    json: bool,
) -> anyhow::Result<bool> {
    let given = checkpoints.is_some();
    let file = checkpoints.or_else(|| host.audit.checkpoint_file.clone());
    let (checkpoints, unreadable) = match file {
        Some(file) if given || file.exists() => read_checkpoints(&file)?,
        _ => (Vec::new(), 0),
    };
    let key: Option<PublicKey> = match key {
        Some(text) => Some(text.parse().context("--key")?),
        None => key::find(&host.state_dir)?.map(|key| key.public()),
    };
    ensure!(key.is_some() || checkpoints.is_empty(), "there is no key to verify checkpoints with: give --key");
    let found = journal.verify(&Expected { key, checkpoints }).await?;
    if json {
        say_json(&found, unreadable)?
    } else {
        tell(&found, unreadable)?
    }
    Ok(found.is_ok())
}

async fn checkpoint(journal: &Journal, host: &Host) -> anyhow::Result<bool> {
    let key = key::keep(&host.state_dir)?;
    let checkpoint = journal.checkpoint(&key, SystemClock.now()).await?.context("there is nothing in the log yet")?;
    say(&checkpoint.to_line())?;
    Ok(true)
}

async fn prune_for(journal: &Journal, host: &Host, keep_days: Option<u32>) -> anyhow::Result<bool> {
    let days = keep_days.map(|days| Duration::days(days.into()));
    let settings = || host.audit.keep.and_then(|keep| Duration::try_from(keep).ok());
    let Some(keep) = days.or_else(settings) else {
        bail!("nothing says for how long rows are kept: give --keep-days, or set `audit.keepDays` in host.yaml")
    };
    let key = key::keep(&host.state_dir)?;
    let pruned = prune(journal, journal, keep, &key, Actor::Console, SystemClock.now()).await?;
    say(&format!("{} segments with {} rows were removed", pruned.segments, pruned.events))?;
    Ok(true)
}

/// Removes what is old, and puts that on record.
async fn prune(
    journal: &Journal,
    log: &dyn AuditLog,
    keep: Duration,
    key: &SecretKey,
    actor: Actor,
    now: OffsetDateTime,
) -> anyhow::Result<Pruned> {
    let before = now.checked_sub(keep).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let pruned = journal.prune(before, key, now).await?;
    if pruned.segments > 0 {
        let details = json!({"segments": pruned.segments, "events": pruned.events, "through": pruned.through});
        log.administer(Deed::new(now, actor, Action::AuditPrune, "audit").with(details)).await?;
    }
    Ok(pruned)
}

type Checkpoints = (Vec<(usize, Checkpoint)>, usize);

/// Checkpoints with their lines, and how many lines are none: one that was cut off where a machine lost
/// power says no more than one that is missing.
fn read_checkpoints(file: &Path) -> anyhow::Result<Checkpoints> {
    let failed = || format!("the checkpoints in {} can't be read", file.display());
    let mut reader = BufReader::new(std::fs::File::open(file).with_context(failed)?);
    let (mut found, mut unreadable, mut line, mut begins) = (Vec::new(), 0, 0, true);
    loop {
        let mut text = Vec::new();
        let most = u64::try_from(Checkpoint::MAX_BYTES).unwrap_or(u64::MAX) + 1;
        if reader.by_ref().take(most).read_until(b'\n', &mut text).with_context(failed)? == 0 {
            return Ok((found, unreadable));
        }
        line += usize::from(begins);
        let ended = text.ends_with(b"\n");
        let checkpoint =
            std::str::from_utf8(&text).ok().filter(|_| begins).and_then(|text| Checkpoint::parse(text.trim()));
        match checkpoint {
            Some(checkpoint) => found.push((line, checkpoint)),
            // What is left of a line that is too long was counted with its beginning.
            None if begins && !text.trim_ascii().is_empty() => unreadable += 1,
            None => {}
        }
        begins = ended;
    }
}

fn tell(found: &Result<Verified, Fault>, unreadable: usize) -> std::io::Result<()> {
    match found {
        Ok(log) => {
            say("the audit log is as it was written")?;
            say(&format!("rows: {} to {}, {} in all; {}", log.first, log.last, log.events, log.head))?;
            say(&format!(
                "segments: {}, of which {} were removed; signed seals speak for all rows up to {}",
                log.segments, log.removed_segments, log.sealed
            ))?;
            say(&format!(
                "checkpoints: {}, and {} of removed rows; they speak for all rows up to {}",
                log.checkpoints, log.checkpoints_of_removed, log.attested
            ))?;
        }
        Err(fault) => say(&format!("{}: {fault}", fault.code()))?,
    }
    if unreadable > 0 {
        say(&format!("{unreadable} lines of the checkpoints could not be read"))?;
    }
    Ok(())
}

fn say_json(found: &Result<Verified, Fault>, unreadable: usize) -> anyhow::Result<()> {
    let text = match found {
        Ok(log) => json!({"ok": true, "log": log, "unreadableCheckpoints": unreadable}),
        Err(fault) => json!({
            "ok": false,
            "fault": {"code": fault.code(), "seq": fault.seq(), "message": fault.to_string()},
            "unreadableCheckpoints": unreadable,
        }),
    };
    Ok(say(&text.to_string())?)
}

fn say(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn lines_that_are_no_checkpoints_are_counted_and_do_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let signature = SecretKey::from_seed(&[1; 32]).sign(&[0; 32]).to_string();
        let good = json!({
            "form": 1, "journal": "j", "seq": 3, "count": 3, "head": "00".repeat(32), "at": "2026", "signature": signature
        });
        let long = "x".repeat(5_000);
        std::fs::write(&file, format!("{good}\n\n{long}\n{{\"form\": 1, \"jou\n{good}\n{good}")).unwrap();
        let (found, unreadable) = read_checkpoints(&file).unwrap();
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 5, 6]);
        assert_eq!(unreadable, 2);
        assert!(read_checkpoints(&folder.path().join("none")).is_err());
    }
}
