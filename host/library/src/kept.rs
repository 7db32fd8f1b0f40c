//! Versions that do not serve and are still used: those that a run began with. They are made again from
//! their bytes when a call of such a run comes, and a few of them stay at hand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use remit_domain::{
    Error, PluginName, TenantId,
    plugin::{Computed, Plugin, Plugins},
    tenant::Context,
};

use crate::{Library, trust};

/// How many are at hand, of all tenants and of one.
const MOST: usize = 32;
const MOST_OF_TENANT: usize = 4;

/// The versions at hand, the one that was asked for last at the end.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<(TenantId, Arc<dyn Plugin>)>>);

impl Kept {
    fn get(&self, tenant: &TenantId, name: &PluginName, digest: &str) -> Option<Arc<dyn Plugin>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, plugin)| {
            let description = plugin.description();
            of == tenant && description.name == *name && description.digest == digest
        })?;
        let found = kept.remove(at)?;
        let plugin = found.1.clone();
        kept.push_back(found);
        Some(plugin)
    }

    fn put(&self, tenant: &TenantId, plugin: Arc<dyn Plugin>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().filter(|(of, _)| of == tenant).count() >= MOST_OF_TENANT
            && let Some(oldest) = kept.iter().position(|(of, _)| of == tenant)
        {
            kept.remove(oldest);
        }
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back((tenant.clone(), plugin));
    }
}

#[async_trait]
impl Plugins for Library {
    fn find(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.0.ports.shelf.find(tenant, name)
    }

    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.0.ports.shelf.operators(name)
    }

    async fn version(
        &self,
        context: &Arc<Context>,
        name: &PluginName,
        digest: &str,
        computed: &Computed,
    ) -> Result<Option<Arc<dyn Plugin>>, Error> {
        let versions = self.0.ports.versions.list(Some(&context.tenant), Some(name)).await?;
        let Some(version) = versions.into_iter().find(|version| version.upload.digest.as_str() == digest) else {
            return Ok(None);
        };
        // What the tenant no longer trusts runs for nobody, whenever it was begun with.
        trust::trusted(context, version.upload.signer.as_deref())?;
        if let Some(plugin) = self.0.kept.get(&context.tenant, name, digest) {
            return Ok(Some(plugin));
        }
        let made = self.0.make(context, &version, computed).await?;
        self.0.kept.put(&context.tenant, made.clone());
        Ok(Some(made))
    }
}
