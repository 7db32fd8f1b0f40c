//! Changes of what is kept and of what serves, each under the locks that it needs.
//!
//! Deliberately absent: that a change goes on when its client has gone, which the library sees to.

use std::{collections::BTreeSet, sync::Arc};

use remit_domain::{
    Error, PluginName, TenantId,
    audit::{Action, Deed},
    library::{Digest, Switch, Upload, Version},
    plugin::{Computed, Plugin},
    signature::PublicKey,
    tenant::Context,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    Activated, Arrival, By, Change, Offers, Ports, Settings, Stored, kept::Kept, locks::Locks, missing, offers, trust,
};

/// What changes together: in tasks of its own, so that a client that goes away leaves nothing half done.
pub(crate) struct Inner {
    pub(crate) ports: Ports,
    settings: Settings,
    /// Held while a tenant's record and shelf change together.
    pub(crate) changing: Locks<TenantId>,
    /// Held while bytes are put and recorded, or found unrecorded and removed: tenants may have the same.
    bytes: Locks<Digest>,
    /// Held while what serves is put back: once at a time.
    pub(crate) restoring: Mutex<()>,
    /// Versions that do not serve and are still used.
    pub(crate) kept: Kept,
}

impl Inner {
    pub(crate) fn new(ports: Ports, settings: Settings) -> Self {
        let (changing, bytes, restoring) = (Locks::default(), Locks::default(), Mutex::default());
        Self { ports, settings, changing, bytes, restoring, kept: Kept::default() }
    }

    pub(crate) async fn restore(&self, version: &Version) -> Result<(), Error> {
        let Upload { tenant, plugin, digest, .. } = &version.upload;
        // A tenant that is not served has no calls that could find it.
        let Ok(context) = self.ports.tenants.get(tenant) else { return Ok(()) };
        if let Err(untrusted) = trust::trusted(&context, version.upload.signer.as_deref()) {
            self.ports.shelf.withdraw(tenant, plugin);
            self.ports.shelf.withhold(tenant, plugin);
            return Err(untrusted);
        }
        let there = self.ports.shelf.own(tenant, plugin);
        if there.is_some_and(|there| there.description().digest == digest.as_str()) {
            return Ok(());
        }
        // At the start of the host, which no tenant asked for.
        let made = self.make(&context, version, &Computed::default()).await?;
        let _changing = self.changing.lock(tenant).await;
        // Somebody may have switched meanwhile, and has put that on the shelf.
        let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
        if versions.iter().any(|now| now.active && now.number == version.number) {
            self.ports.shelf.place(tenant, made);
        }
        Ok(())
    }

    /// Keeps what was examined. Where this comes to nothing, its bytes are still to be forgotten.
    pub(crate) async fn keep(
        &self,
        context: &Context,
        arrival: Arrival,
        digest: Digest,
        signer: Option<PublicKey>,
        made: Arc<dyn Plugin>,
    ) -> Result<Stored, Error> {
        let description = made.description();
        let offers = Offers::of(description);
        let reach = offers::reach(context, description);
        let upload = Upload {
            tenant: context.tenant.clone(),
            plugin: description.name.clone(),
            bytes: u64::try_from(arrival.wasm.len()).unwrap_or(u64::MAX),
            says: description.version.clone(),
            at: self.ports.clock.now(),
            by: arrival.by.actor.as_str().to_owned(),
            signer: signer.map(|signer| signer.to_string()),
            offers: serde_json::to_value(&offers).map_err(|error| Error::Internal(error.into()))?,
            digest,
        };
        // Before the tenant's own lock: a store that is slow holds up nobody else.
        let bytes = self.bytes.lock(&upload.digest).await;
        self.ports.artifacts.put(&upload.digest, &arrival.wasm).await?;
        let changing = self.changing.lock(&upload.tenant).await;
        let earlier = self.ports.versions.list(Some(&upload.tenant), Some(&upload.plugin)).await?;
        if earlier.is_empty() {
            self.one_more(&upload.tenant).await?;
        }
        // What the tenant's agents had under this name: its own, or else the operator's.
        let operators = self.ports.shelf.operators(&upload.plugin).map(|plugin| Offers::of(plugin.description()));
        let compared = earlier.iter().find(|version| version.active).or(earlier.first()).map(offered);
        let compared = compared.or_else(|| operators.clone());
        let changes = compared.map(|compared| offers.changes_since(&compared)).unwrap_or_default();
        let (mut version, new) = self.ports.versions.add(&upload).await?;
        drop(bytes);
        let details = json!({
            "version": version.upload.says, "number": version.number, "digest": version.upload.digest.as_str(),
            "bytes": version.upload.bytes, "signer": version.upload.signer, "new": new, "changes": offers::abridged(&changes),
        });
        self.record(&arrival.by, Action::PluginUpload, &upload.tenant, &upload.plugin, details).await?;
        let mut switched = None;
        if arrival.activate {
            let switch = self.put_up(&version, made).await?;
            self.record_switch(&arrival.by, Action::PluginActivate, &version, switch, &changes).await?;
            switched = Some(switch);
            version.active = true;
        }
        let retired = self.retire(&upload.tenant, &upload.plugin, version.number).await;
        drop(changing);
        self.forget(retired).await;
        Ok(Stored { version, new, offers, changes, reach, switched, shadows: operators.is_some() })
    }

    /// Whether a tenant may have one more plugin. Errors: [`Error::LibraryFull`].
    async fn one_more(&self, tenant: &TenantId) -> Result<(), Error> {
        let versions = self.ports.versions.list(Some(tenant), None).await?;
        let names: BTreeSet<&PluginName> = versions.iter().map(|version| &version.upload.plugin).collect();
        if names.len() < self.settings.plugins {
            return Ok(());
        }
        Err(Error::LibraryFull { allowed: u64::try_from(self.settings.plugins).unwrap_or(u64::MAX) })
    }

    pub(crate) async fn versions(&self, tenant: &TenantId, plugin: &str) -> Result<Vec<Version>, Error> {
        let versions = match PluginName::new(plugin) {
            Ok(name) => self.ports.versions.list(Some(tenant), Some(&name)).await?,
            Err(_) => Vec::new(),
        };
        if versions.is_empty() { Err(missing(plugin, None)) } else { Ok(versions) }
    }

    /// A kept version as a plugin that can be called.
    pub(crate) async fn make(
        &self,
        context: &Arc<Context>,
        version: &Version,
        computed: &Computed,
    ) -> Result<Arc<dyn Plugin>, Error> {
        let wasm = self.ports.artifacts.get(&version.upload.digest).await?;
        let lost = || Error::Internal(format!("the bytes of {} are not there", version.upload.digest).into());
        self.ports.workshop.examine(context, Arc::new(wasm.ok_or_else(lost)?), computed).await
    }

    pub(crate) async fn switch(
        &self,
        wanted: &Version,
        made: Arc<dyn Plugin>,
        by: &By,
        action: Action,
    ) -> Result<Activated, Error> {
        let Upload { tenant, plugin, .. } = &wanted.upload;
        let _changing = self.changing.lock(tenant).await;
        let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
        let operators = || self.ports.shelf.operators(plugin).map(|plugin| Offers::of(plugin.description()));
        let serving = versions.iter().find(|version| version.active).map(offered).or_else(operators);
        let changes = serving.map(|serving| offered(wanted).changes_since(&serving)).unwrap_or_default();
        let switch = self.put_up(wanted, made).await?;
        self.record_switch(by, action, wanted, switch, &changes).await?;
        Ok(Activated { switch, changes, offers: offered(wanted) })
    }

    /// Record first, then the shelf: a crash between the two is mended by the next start. The caller holds
    /// `changing`.
    async fn put_up(&self, version: &Version, made: Arc<dyn Plugin>) -> Result<Switch, Error> {
        let Upload { tenant, plugin, .. } = &version.upload;
        let now = self.ports.clock.now();
        let switch = self.ports.versions.activate(tenant, plugin, Some(version.number), now).await?;
        self.ports.shelf.place(tenant, made);
        Ok(switch)
    }

    pub(crate) async fn remove(
        &self,
        tenant: &TenantId,
        plugin: &str,
        number: Option<u32>,
        by: &By,
    ) -> Result<Vec<u32>, Error> {
        let changing = self.changing.lock(tenant).await;
        let mut versions = self.versions(tenant, plugin).await?;
        versions.retain(|version| number.is_none_or(|number| number == version.number));
        if versions.is_empty() {
            return Err(missing(plugin, number));
        }
        // One that is in use refuses, and nothing is removed then.
        for version in &versions {
            let Upload { plugin, .. } = &version.upload;
            if let Some(by) = self.ports.versions.in_use(tenant, plugin, version.number).await? {
                return Err(Error::VersionInUse { plugin: plugin.clone(), number: version.number, by });
            }
        }
        let (mut removed, mut unnamed) = (Vec::new(), Vec::new());
        for version in versions {
            let Upload { plugin, digest, .. } = &version.upload;
            unnamed.extend(self.ports.versions.remove(tenant, plugin, version.number).await?);
            let details = json!({ "number": version.number, "digest": digest.as_str() });
            self.record(by, Action::PluginDelete, tenant, plugin, details).await?;
            removed.push(version.number);
        }
        drop(changing);
        self.forget(unnamed).await;
        Ok(removed)
    }

    /// Removes bytes that may no longer be named. What can't be removed is swept at a later start.
    pub(crate) async fn forget(&self, digests: Vec<Digest>) {
        for digest in digests {
            if let Err(error) = self.remove_unnamed(&digest).await {
                tracing::warn!(%digest, %error, "a component that nobody has any more was not removed");
            }
        }
    }

    /// Removes bytes unless a record names them, now that nobody is about to write one. Whether they were.
    pub(crate) async fn remove_unnamed(&self, digest: &Digest) -> Result<bool, Error> {
        let _bytes = self.bytes.lock(digest).await;
        if self.ports.versions.names(digest).await? {
            return Ok(false);
        }
        self.ports.artifacts.remove(digest).await.map(|()| true)
    }

    /// Puts on record what was done. It is done whatever becomes of the record.
    pub(crate) async fn record(
        &self,
        by: &By,
        action: Action,
        tenant: &TenantId,
        plugin: &PluginName,
        details: Value,
    ) -> Result<(), Error> {
        self.ports.audit.administer(self.deed(by, action, tenant, plugin.as_str(), details)).await
    }

    async fn record_switch(
        &self,
        by: &By,
        action: Action,
        version: &Version,
        switch: Switch,
        changes: &[Change],
    ) -> Result<(), Error> {
        let Upload { tenant, plugin, digest, .. } = &version.upload;
        let details = json!({ "from": switch.from, "to": switch.to, "digest": digest.as_str(), "changes": offers::abridged(changes) });
        self.record(by, action, tenant, plugin, details).await
    }

    pub(crate) fn deed(&self, by: &By, action: Action, tenant: &TenantId, name: &str, details: Value) -> Deed {
        let deed = Deed::new(self.ports.clock.now(), by.actor.clone(), action, name);
        deed.of(tenant).asked_by(&by.request).with(details)
    }

    /// Removes the oldest versions beyond those that are kept, and gives the bytes that may be unnamed now. The
    /// one that serves, the one before it and the one that has just come stay whatever their age. What can't be
    /// removed is tried again next time.
    async fn retire(&self, tenant: &TenantId, plugin: &PluginName, new: u32) -> Vec<Digest> {
        let mut unnamed = Vec::new();
        let retired = async {
            let before = self.ports.versions.before(tenant, plugin).await?;
            let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
            let idle = versions.iter().filter(|it| !it.active && it.number != new && Some(it.number) != before);
            for version in idle.skip(self.settings.keep) {
                match self.ports.versions.remove(tenant, plugin, version.number).await {
                    Ok(digest) => unnamed.extend(digest),
                    // A run goes on with it.
                    Err(Error::VersionInUse { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        if let Err(error) = retired.await {
            tracing::warn!(%tenant, %plugin, %error, "old versions were not removed");
        }
        unnamed
    }
}

/// What a kept version offers. One that can't be read differs in everything.
fn offered(version: &Version) -> Offers {
    serde_json::from_value(version.upload.offers.clone()).unwrap_or_default()
}
