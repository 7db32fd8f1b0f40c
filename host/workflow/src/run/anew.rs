//! Large outputs that a run takes over from another. A reference opens for its own run alone, so that they are read
//! back and kept anew, and whatever names one names the new one.

use std::collections::BTreeMap;

use remit_domain::{
    Error,
    execution::{Entry, Outcome, RunId, Stored},
    library::Digest,
};
use serde_json::Value;

use super::keeping::{Keeping, reference};

/// By the digest in the other run.
type Copied = BTreeMap<Digest, Stored>;

impl Keeping {
    /// Makes entries of one run entries of another. Says what was kept for that: it has to go if the other run does
    /// not come about.
    ///
    /// Errors: [`Error::UnknownArtifact`] if an output is no longer where it was kept; [`Error::Internal`]. Nothing
    /// was kept then.
    pub(crate) async fn anew(&self, from: &RunId, to: &RunId, entries: &mut [Entry]) -> Result<Vec<Digest>, Error> {
        let mut copied = Copied::new();
        let done = self.copy((from, to), entries, &mut copied).await;
        let kept: Vec<Digest> = copied.into_values().map(|stored| stored.digest).collect();
        match done {
            Ok(()) => Ok(kept),
            Err(error) => {
                self.forget(&kept).await;
                Err(error)
            }
        }
    }

    /// Removes what was kept in vain. What can't be removed now goes when the host begins again.
    pub(crate) async fn forget(&self, kept: &[Digest]) {
        let Some(store) = &self.outputs else { return };
        for digest in kept {
            if let Err(error) = store.remove(digest).await {
                tracing::warn!(%error, %digest, "an output that no run names could not be removed");
            }
        }
    }

    async fn copy(&self, runs: (&RunId, &RunId), entries: &mut [Entry], copied: &mut Copied) -> Result<(), Error> {
        // What names an output is recorded after it.
        for entry in entries {
            match entry {
                Entry::Ended { outcome: Outcome::Stored(stored), .. } => {
                    *stored = self.copy_one(runs, stored, copied).await?;
                }
                Entry::Ended { outcome: Outcome::Done(value) | Outcome::Failed { output: value, .. }, .. }
                | Entry::Began { input: value, .. } => renamed(value, copied),
                _ => {}
            }
        }
        Ok(())
    }

    async fn copy_one(
        &self,
        (from, to): (&RunId, &RunId),
        stored: &Stored,
        copied: &mut Copied,
    ) -> Result<Stored, Error> {
        if let Some(before) = copied.get(&stored.digest) {
            return Ok(before.clone());
        }
        let _room = self.reading(stored.bytes).await;
        let gone = || Error::UnknownArtifact(stored.digest.to_string());
        let store = self.outputs.as_deref().ok_or_else(gone)?;
        let text = self.get(from, &stored.digest).await?.ok_or_else(gone)?;
        let mut output: Value = serde_json::from_slice(&text).map_err(|cause| Error::Internal(cause.into()))?;
        renamed(&mut output, copied);
        let kept = Self::put(store, to, &output).await?;
        copied.insert(stored.digest.clone(), kept.clone());
        Ok(kept)
    }
}

/// Puts new references in the place of old ones.
fn renamed(value: &mut Value, copied: &Copied) {
    if copied.is_empty() {
        return;
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, copied)),
        Value::Object(members) => {
            let named = members.get("artifact").and_then(Value::as_str).and_then(Digest::new);
            match named.and_then(|digest| copied.get(&digest)).filter(|_| members.len() == 2) {
                Some(stored) => *value = reference(stored),
                None => members.values_mut().for_each(|member| renamed(member, copied)),
            }
        }
        _ => {}
    }
}

/// What entries take in the journal and beside it.
pub(crate) fn weight_of_entries(entries: &[Entry]) -> u64 {
    let mut outputs = BTreeMap::new();
    let mut all = 0_u64;
    for entry in entries {
        all = all.saturating_add(super::keeping::weight(entry));
        if let Entry::Ended { outcome: Outcome::Stored(stored), .. } = entry {
            outputs.insert(&stored.digest, stored.bytes);
        }
    }
    outputs.values().fold(all, |all, bytes| all.saturating_add(*bytes))
}
