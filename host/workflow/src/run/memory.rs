//! A journal in memory that can break at any entry, as a host can end at any moment; a store of large outputs and
//! keys beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use remit_domain::{
    Error, TenantId,
    access::{self, Key, KeyId, Keys},
    execution::{End, Entry, Executions, Filter, Made, Outcome, Recorded, Run, RunId, Standing, Status},
    history::History,
    library::{Artifacts, Digest},
};
use serde_json::Value;
use time::OffsetDateTime;

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: BTreeMap<RunId, (Run, Vec<Entry>, Option<End>)>,
    breaks: Option<Break>,
    writes: usize,
    gone: BTreeSet<RunId>,
    /// The most entries that were written at once.
    largest: usize,
}

/// When a journal breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Break {
    /// At which write, from 0.
    pub(crate) at: usize,
    /// Whether that write still took place: the host ended after it, not before.
    pub(crate) written: bool,
}

impl Memory {
    fn inner<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Breaks at a write from now on counted, or never.
    pub(crate) fn breaks(&self, breaks: Option<Break>) {
        self.inner(|inner| (inner.breaks, inner.writes) = (breaks, 0));
    }

    pub(crate) fn entries(&self, run: &RunId) -> Vec<Entry> {
        self.inner(|inner| inner.runs.get(run).map(|(_, entries, _)| entries.clone()).unwrap_or_default())
    }

    /// The most entries that were written at once.
    pub(super) fn largest(&self) -> usize {
        self.inner(|inner| inner.largest)
    }

    pub(crate) fn outcome(&self, run: &RunId, path: &str) -> Option<Outcome> {
        match find(&self.entries(run), path) {
            Recorded::Ended(outcome) => Some(outcome),
            _ => None,
        }
    }

    fn write(&self, run: &RunId, entries: &[Entry], end: Option<Option<&End>>) -> Result<(), Error> {
        self.inner(|inner| {
            let breaks = inner.breaks.filter(|breaks| breaks.at <= inner.writes);
            inner.writes += 1;
            inner.largest = inner.largest.max(entries.len());
            // Once it is broken nothing more is written.
            let takes = breaks.is_none_or(|breaks| breaks.written && breaks.at + 1 == inner.writes);
            if let Some((_, journal, ended)) = inner.runs.get_mut(run).filter(|_| takes) {
                journal.extend(entries.iter().cloned());
                match end {
                    Some(None) => *ended = None,
                    Some(Some(end)) if ended.is_none() => *ended = Some(end.clone()),
                    _ => {}
                }
            }
            match breaks {
                Some(_) => Err(Error::Journal("the host ended".into())),
                None => Ok(()),
            }
        })
    }
}

fn find(entries: &[Entry], wanted: &str) -> Recorded {
    Recorded::of(entries.iter().filter(|entry| entry.place() == wanted))
}

#[async_trait]
impl Executions for Memory {
    async fn make(&self, run: &Run) -> Result<Made, Error> {
        self.make_with(run, &[]).await
    }

    async fn make_with(&self, run: &Run, entries: &[Entry]) -> Result<Made, Error> {
        Ok(self.inner(|inner| {
            let same = |other: &&Run| run.key.is_some() && other.tenant == run.tenant && other.key == run.key;
            if let Some(before) = inner.runs.values().map(|(run, ..)| run).find(same) {
                return Made::Before(before.id.clone());
            }
            inner.runs.insert(run.id.clone(), (run.clone(), entries.to_vec(), None));
            Made::New
        }))
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error> {
        self.write(run, entries, None)
    }

    async fn recorded(&self, run: &RunId, path: &str) -> Result<Recorded, Error> {
        Ok(find(&self.entries(run), path))
    }

    async fn signal(&self, run: &RunId, wanted: &str) -> Result<Option<(Value, Option<String>)>, Error> {
        Ok(self.entries(run).into_iter().find_map(|entry| match entry {
            Entry::Signalled { name, payload, by, .. } if name == wanted => Some((payload, by)),
            _ => None,
        }))
    }

    async fn cancelled(&self, run: &RunId) -> Result<bool, Error> {
        Ok(self.entries(run).iter().any(|entry| matches!(entry, Entry::Cancelled { .. })))
    }

    async fn end(&self, run: &RunId, entries: &[Entry], end: &End) -> Result<(), Error> {
        self.write(run, entries, Some(Some(end)))
    }

    async fn reopen(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error> {
        self.write(run, entries, Some(None))
    }

    async fn find(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Standing>, Error> {
        Ok(self
            .list(tenant, &Filter::default(), usize::MAX)
            .await?
            .into_iter()
            .find(|standing| standing.run.id == *run))
    }

    async fn list(&self, tenant: &TenantId, filter: &Filter, most: usize) -> Result<Vec<Standing>, Error> {
        let standing = |(run, _, end): &(Run, Vec<Entry>, Option<End>)| Standing { run: run.clone(), end: end.clone() };
        Ok(self.inner(|inner| {
            let taken = |run: &Run| run.origin.as_ref().map(|origin| &origin.run) == filter.origin.as_ref();
            let own =
                inner.runs.values().rev().filter(|(run, ..)| run.tenant == *tenant && !inner.gone.contains(&run.id));
            let own = own.filter(|(run, _, end)| {
                let status = end.as_ref().map_or(Status::Running, |end| end.status);
                filter.workflow.as_ref().is_none_or(|name| run.workflow == *name)
                    && (filter.origin.is_none() || taken(run))
                    && filter.status.is_none_or(|wanted| wanted == status)
                    && filter.before.as_ref().is_none_or(|before| run.id < *before)
                    && filter.since.as_ref().is_none_or(|since| run.id >= *since)
                    && filter
                        .agent
                        .as_ref()
                        .is_none_or(|agent| run.context.get("agent") == Some(&agent.as_str().into()))
            });
            own.take(most).map(standing).collect()
        }))
    }

    async fn entries(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, Error> {
        let all = (1..).zip(self.entries(run)).filter(|(at, _)| *at > after);
        Ok(all.take(most).collect())
    }

    async fn unfinished(&self) -> Result<Vec<Run>, Error> {
        let open = |(run, _, end): &(Run, Vec<Entry>, Option<End>)| {
            end.as_ref().is_none_or(|end| end.status == Status::Running).then(|| run.clone())
        };
        Ok(self.inner(|inner| inner.runs.values().filter_map(open).collect()))
    }
}

/// What a run takes.
fn size((run, entries, _): &(Run, Vec<Entry>, Option<End>)) -> u64 {
    let of = |entry: &Entry| match entry {
        Entry::Ended { outcome: Outcome::Stored(stored), .. } => stored.bytes,
        entry => super::keeping::weight(entry),
    };
    super::weight_of(run) + entries.iter().map(of).sum::<u64>()
}

#[async_trait]
impl History for Memory {
    async fn kept(&self, tenant: &TenantId) -> Result<u64, Error> {
        Ok(self.inner(|inner| {
            let ended = inner.runs.values().filter(|(run, _, end)| run.tenant == *tenant && end.is_some());
            ended.filter(|(run, ..)| !inner.gone.contains(&run.id)).map(size).sum()
        }))
    }

    async fn weight(&self, run: &RunId) -> Result<u64, Error> {
        Ok(self.inner(|inner| inner.runs.get(run).map_or(0, size)))
    }

    async fn discard(&self, tenant: &TenantId, run: &RunId) -> Result<bool, Error> {
        Ok(self.inner(|inner| {
            let own = inner.runs.get(run).is_some_and(|(run, _, end)| run.tenant == *tenant && end.is_some());
            own && inner.gone.insert(run.clone())
        }))
    }

    async fn expire(&self, tenant: &TenantId, _: OffsetDateTime, keep: u64, most: usize) -> Result<usize, Error> {
        Ok(self.inner(|inner| {
            let ended = |(id, (run, _, end)): &(&RunId, &(Run, Vec<Entry>, Option<End>))| {
                run.tenant == *tenant && end.is_some() && !inner.gone.contains(*id)
            };
            let ended: Vec<RunId> = inner.runs.iter().filter(ended).map(|(id, _)| id.clone()).collect();
            let beyond = ended.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX)).min(most);
            inner.gone.extend(ended.into_iter().take(beyond));
            beyond
        }))
    }

    async fn doomed(&self, most: usize) -> Result<Vec<Digest>, Error> {
        Ok(self.inner(|inner| {
            let gone = inner.gone.iter().filter_map(|id| inner.runs.get(id));
            let stored = gone.flat_map(|(_, entries, _)| entries).filter_map(|entry| match entry {
                Entry::Ended { outcome: Outcome::Stored(stored), .. } => Some(stored.digest.clone()),
                _ => None,
            });
            stored.take(most).collect()
        }))
    }

    async fn sweep(&self, done: &[Digest], most: usize) -> Result<bool, Error> {
        Ok(self.inner(|inner| {
            let Some(id) = inner.gone.first().cloned() else { return false };
            if let Some((_, entries, _)) = inner.runs.get_mut(&id) {
                let named = |entry: &Entry| match entry {
                    Entry::Ended { outcome: Outcome::Stored(stored), .. } => done.contains(&stored.digest),
                    _ => true,
                };
                let mut left = most;
                entries.retain(|entry| {
                    let goes = left > 0 && named(entry);
                    left -= usize::from(goes);
                    !goes
                });
            }
            if inner.runs.get(&id).is_none_or(|(_, entries, _)| entries.is_empty()) {
                inner.runs.remove(&id);
                inner.gone.remove(&id);
            }
            true
        }))
    }

    async fn names(&self, output: &Digest) -> Result<bool, Error> {
        Ok(self.inner(|inner| {
            inner.runs.values().flat_map(|(_, entries, _)| entries).any(|entry| {
                matches!(entry, Entry::Ended { outcome: Outcome::Stored(stored), .. } if stored.digest == *output)
            })
        }))
    }
}

/// Large outputs in memory, and how much was asked of them.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl Shelf {
    fn inner<T>(&self, with: impl FnOnce(&mut BTreeMap<Digest, Vec<u8>>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.inner(|kept| kept.values().map(Vec::len).collect())
    }
}

#[async_trait]
impl Artifacts for Shelf {
    async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.inner(|kept| drop(kept.insert(digest.clone(), bytes.to_vec())));
        Ok(())
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner(|kept| kept.get(digest).cloned()))
    }

    async fn remove(&self, digest: &Digest) -> Result<(), Error> {
        self.inner(|kept| drop(kept.remove(digest)));
        Ok(())
    }

    async fn all(&self) -> Result<Vec<Digest>, Error> {
        Ok(self.inner(|kept| kept.keys().cloned().collect()))
    }
}

/// One key, which may be changed.
#[derive(Debug, Default)]
pub(super) struct Ring(pub(super) Mutex<Option<Key>>);

#[async_trait]
impl Keys for Ring {
    async fn add(&self, key: &Key, _: &access::Digest) -> Result<(), Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.clone());
        Ok(())
    }

    async fn find(&self, id: &KeyId) -> Result<Option<(Key, access::Digest)>, Error> {
        let token = access::Token::random().map_err(|error| Error::Internal(error.to_string().into()))?;
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(key.filter(|key| key.id == *id).map(|key| (key, token.digest())))
    }

    async fn list(&self, _: Option<&TenantId>) -> Result<Vec<Key>, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter().collect())
    }

    async fn revoke(&self, _: Option<&TenantId>, id: &KeyId, at: OffsetDateTime) -> Result<bool, Error> {
        let mut key = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = key.as_mut().filter(|key| key.id == *id && key.revoked.is_none());
        Ok(own.map(|key| key.revoked = Some(at)).is_some())
    }

    async fn any(&self) -> Result<bool, Error> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some())
    }
}
