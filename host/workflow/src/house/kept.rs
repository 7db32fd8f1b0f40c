//! Definitions and triggers in memory, which can break at any write as a host can end at any moment.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use remit_domain::{
    Error, TenantId,
    workflows::{Bounds, Definition, Definitions, Delivery, Stored, Trigger, TriggerKey, Version},
};
use time::OffsetDateTime;

#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    versions: Vec<Version>,
    last: BTreeMap<String, u32>,
    triggers: BTreeMap<TriggerKey, Trigger>,
    deliveries: BTreeMap<(String, String), Delivery>,
    /// How many writes of triggers still take place.
    left: Option<usize>,
}

impl Kept {
    fn inner<T>(&self, with: impl FnOnce(&mut Inner) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// After so many writes of triggers none takes place any more; `None`: all do.
    pub(crate) fn breaks(&self, after: Option<usize>) {
        self.inner(|inner| inner.left = after);
    }

    pub(crate) fn trigger(&self, name: &str) -> Option<Trigger> {
        self.inner(|inner| inner.triggers.values().find(|it| it.key.trigger == name).cloned())
    }
}

#[async_trait]
impl Definitions for Kept {
    async fn store(&self, definition: &Definition, _: Bounds) -> Result<Stored, Error> {
        Ok(self.inner(|inner| {
            let newest = inner.versions.iter().rev().find(|it| it.definition.name == definition.name);
            if let Some(same) = newest.filter(|it| it.definition.source == definition.source) {
                return Stored::Same(same.clone());
            }
            let last = inner.last.entry(definition.name.clone()).or_default();
            *last += 1;
            let version = Version { number: *last, definition: definition.clone() };
            inner.versions.push(version.clone());
            Stored::New(version)
        }))
    }

    async fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<Version>, Error> {
        let of = |it: &&Version| it.definition.tenant == *tenant && it.definition.name == name;
        Ok(self.inner(|inner| inner.versions.iter().rev().filter(of).cloned().collect()))
    }

    async fn newest(&self, _: Option<&TenantId>) -> Result<Vec<Version>, Error> {
        let by_name = |inner: &mut Inner| {
            let named = inner.versions.iter().map(|it| (it.definition.name.clone(), it.clone()));
            named.collect::<BTreeMap<String, Version>>()
        };
        Ok(self.inner(by_name).into_values().collect())
    }

    async fn remove(&self, tenant: &TenantId, name: &str, number: Option<u32>) -> Result<Vec<u32>, Error> {
        let gone = |it: &Version| {
            it.definition.tenant == *tenant
                && it.definition.name == name
                && number.is_none_or(|number| number == it.number)
        };
        Ok(self.inner(|inner| {
            let (removed, left) = std::mem::take(&mut inner.versions).into_iter().partition::<Vec<_>, _>(gone);
            inner.versions = left;
            removed.into_iter().map(|it| it.number).collect()
        }))
    }

    async fn triggers(&self) -> Result<Vec<Trigger>, Error> {
        Ok(self.inner(|inner| inner.triggers.values().cloned().collect()))
    }

    async fn keep_trigger(&self, trigger: &Trigger) -> Result<(), Error> {
        self.inner(|inner| {
            if inner.left == Some(0) {
                return Err(Error::Journal("the host ended".into()));
            }
            inner.left = inner.left.map(|left| left - 1);
            inner.triggers.insert(trigger.key.clone(), trigger.clone());
            Ok(())
        })
    }

    async fn forget_trigger(&self, key: &TriggerKey) -> Result<(), Error> {
        self.inner(|inner| inner.triggers.remove(key));
        Ok(())
    }

    async fn delivered(&self, delivery: &Delivery, forget: OffsetDateTime) -> Result<Option<String>, Error> {
        Ok(self.inner(|inner| {
            inner.deliveries.retain(|_, it| it.at >= forget);
            let key = (delivery.workflow.clone(), delivery.proof.clone());
            if let Some(before) = inner.deliveries.get(&key) {
                return Some(before.word.clone());
            }
            inner.deliveries.insert(key, delivery.clone());
            None
        }))
    }
}
