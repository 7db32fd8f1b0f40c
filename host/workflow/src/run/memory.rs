//! A journal in memory that can break at any entry, as a host can end at any moment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use remit_domain::{
    Error, TenantId,
    execution::{End, Entry, Executions, Filter, Made, Outcome, Recorded, Run, RunId, Standing, Status},
};
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: BTreeMap<RunId, (Run, Vec<Entry>, Option<End>)>,
    breaks: Option<Break>,
    writes: usize,
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
            let own = inner.runs.values().rev().filter(|(run, ..)| run.tenant == *tenant);
            let own = own.filter(|(run, ..)| filter.origin.is_none() || taken(run));
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
