//! Tenants' own plugins through their life: taken in, kept as versions, activated, taken back, removed.
//!
//! The record of versions (`Versions`) says what is; the shelf, where calls find plugins, follows it.
//! Bytes are kept before the record that names them and removed after it, so that a crash at any point
//! leaves a record whole or not at all; bytes without a record are swept at the next start.
//!
//! Deliberately absent: what makes a component fit and how it is compiled (the port `Workshop`), and
//! who may do any of this (the doors ask for the role).

mod offers;

use std::{collections::BTreeSet, sync::Arc};

use remit_domain::{
    Error, PluginName, TenantId,
    clock::Clock,
    library::{Artifacts, Digest, Switch, Upload, Version, Versions},
    plugin::{Plugin, Shelf, Workshop},
    tenant::{Context, Tenants},
};
use tokio::sync::Mutex;

pub use offers::{Change, Offer, Offers, Reach};

/// How many versions of a plugin are kept that do not serve.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Older ones are removed when a newer one comes.
    pub keep: usize,
}

/// The ports that the library stands on.
#[derive(Clone)]
pub struct Ports {
    /// The record.
    pub versions: Arc<dyn Versions>,
    /// The bytes.
    pub artifacts: Arc<dyn Artifacts>,
    /// Makes plugins of bytes.
    pub workshop: Arc<dyn Workshop>,
    /// Where calls find plugins.
    pub shelf: Arc<dyn Shelf>,
    /// Whose.
    pub tenants: Arc<dyn Tenants>,
    /// When.
    pub clock: Arc<dyn Clock>,
}

/// Tenants' own plugins.
pub struct Library {
    ports: Ports,
    settings: Settings,
    /// Held while record and bytes, or record and shelf, change together.
    changing: Mutex<()>,
}

/// What became of an upload.
#[derive(Debug)]
pub struct Stored {
    /// The version that it is.
    pub version: Version,
    /// False if these bytes were there before.
    pub new: bool,
    /// What it offers.
    pub offers: Offers,
    /// What differs from the version that serves, or from the newest before it if none does.
    pub changes: Vec<Change>,
    /// What each agent could do with it.
    pub reach: Vec<Reach>,
    /// What was switched, if it was to be activated.
    pub switched: Option<Switch>,
}

/// What became of an activation.
#[derive(Debug)]
pub struct Activated {
    /// From which version to which.
    pub switch: Switch,
    /// What differs.
    pub changes: Vec<Change>,
}

/// A plugin that could not be put back on the shelf at the start.
#[derive(Debug)]
pub struct Unrestored {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub plugin: PluginName,
    /// Its version.
    pub number: u32,
    /// Why.
    pub error: Error,
}

impl Library {
    /// Joins the ports. Nothing is on the shelf before [`Self::restore`].
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self { ports, settings, changing: Mutex::default() }
    }

    /// Puts each active version on the shelf that is not there. To be called at the start, and whenever a
    /// tenant comes back that could not be served.
    ///
    /// Errors: [`Error::Journal`]. What can't be restored is returned, and stops nobody else.
    pub async fn restore(&self) -> Result<Vec<Unrestored>, Error> {
        let mut failed = Vec::new();
        let versions = self.ports.versions.list(None, None).await?;
        for version in versions.into_iter().filter(|version| version.active) {
            let Upload { tenant, plugin, digest, .. } = &version.upload;
            // A tenant that is not served has no calls that could find it.
            let Ok(context) = self.ports.tenants.get(tenant) else { continue };
            let there = self.ports.shelf.find(tenant, plugin);
            if there.is_some_and(|there| there.description().digest == digest.as_str()) {
                continue;
            }
            let restored = async {
                let made = self.make(&context, &version).await?;
                let _changing = self.changing.lock().await;
                // Somebody may have switched meanwhile, and has put that on the shelf.
                if self.active(tenant, plugin).await?.is_some_and(|now| now.number == version.number) {
                    self.ports.shelf.place(tenant, made);
                }
                Ok(())
            };
            if let Err(error) = restored.await {
                failed.push(Unrestored {
                    tenant: tenant.clone(),
                    plugin: plugin.clone(),
                    number: version.number,
                    error,
                });
            }
        }
        Ok(failed)
    }

    /// Removes bytes that no record names: what a crash left. To be called at the start.
    ///
    /// Errors: [`Error::Journal`], [`Error::Internal`].
    pub async fn sweep(&self) -> Result<usize, Error> {
        let _changing = self.changing.lock().await;
        let named: BTreeSet<Digest> =
            self.ports.versions.list(None, None).await?.into_iter().map(|version| version.upload.digest).collect();
        let mut swept = 0;
        for digest in self.ports.artifacts.all().await?.into_iter().filter(|digest| !named.contains(digest)) {
            self.ports.artifacts.remove(&digest).await?;
            swept += 1;
        }
        Ok(swept)
    }

    /// Takes in a component: examines it, keeps it as the plugin's next version, and activates it if asked.
    ///
    /// Errors: as [`Workshop::examine`]; [`Error::Journal`], [`Error::Internal`]. Cancel: nothing is kept,
    /// or all of it.
    pub async fn upload(
        &self,
        context: &Arc<Context>,
        wasm: Vec<u8>,
        by: &str,
        signer: Option<String>,
        activate: bool,
    ) -> Result<Stored, Error> {
        let digest = Digest::of(&wasm);
        let made = self.ports.workshop.examine(context, wasm.clone()).await?;
        let description = made.description();
        let offers = Offers::of(description);
        let reach = offers::reach(context, description);
        let upload = Upload {
            tenant: context.tenant.clone(),
            plugin: description.name.clone(),
            digest: digest.clone(),
            bytes: wasm.len() as u64,
            says: description.version.clone(),
            at: self.ports.clock.now(),
            by: by.to_owned(),
            signer,
            offers: serde_json::to_value(&offers).map_err(|error| Error::Internal(error.into()))?,
        };
        let _changing = self.changing.lock().await;
        let earlier = self.ports.versions.list(Some(&upload.tenant), Some(&upload.plugin)).await?;
        let compared = earlier.iter().find(|version| version.active).or(earlier.first());
        let changes = compared.map(|version| offers.changes_since(&kept(version))).unwrap_or_default();
        self.ports.artifacts.put(&digest, &wasm).await?;
        let (mut version, new) = self.ports.versions.add(&upload).await?;
        let mut switched = None;
        if activate {
            switched = Some(self.switch(&upload.tenant, &upload.plugin, &version, made).await?);
            version.active = true;
        }
        self.retire(&upload.tenant, &upload.plugin, version.number).await;
        Ok(Stored { version, new, offers, changes, reach, switched })
    }

    /// A tenant's versions, the newest of each plugin first. Errors: [`Error::UnknownVersion`] if a plugin
    /// is named that it has not; [`Error::Journal`].
    pub async fn list(&self, tenant: &TenantId, plugin: Option<&str>) -> Result<Vec<Version>, Error> {
        let Some(named) = plugin else { return self.ports.versions.list(Some(tenant), None).await };
        let versions = match PluginName::new(named) {
            Ok(name) => self.ports.versions.list(Some(tenant), Some(&name)).await?,
            Err(_) => Vec::new(),
        };
        if versions.is_empty() { Err(missing(named, None)) } else { Ok(versions) }
    }

    /// Makes a version serve; the newest, if none is named. Calls in flight end with the one before.
    ///
    /// Errors: [`Error::UnknownVersion`]; as [`Workshop::examine`] if it is no longer fit;
    /// [`Error::Journal`].
    pub async fn activate(
        &self,
        context: &Arc<Context>,
        plugin: &str,
        number: Option<u32>,
    ) -> Result<Activated, Error> {
        let versions = self.list(&context.tenant, Some(plugin)).await?;
        let wanted = versions.iter().find(|version| number.is_none_or(|number| number == version.number));
        let wanted = wanted.ok_or_else(|| missing(plugin, number))?;
        let changes = versions.iter().find(|version| version.active);
        let changes = changes.map(|now| kept(wanted).changes_since(&kept(now))).unwrap_or_default();
        let made = self.make(context, wanted).await?;
        let _changing = self.changing.lock().await;
        let Upload { tenant, plugin, .. } = &wanted.upload;
        let switch = self.switch(tenant, plugin, wanted, made).await?;
        Ok(Activated { switch, changes })
    }

    /// Makes the version serve that served before. Errors: [`Error::UnknownVersion`] if there is none that
    /// is still kept; as [`Self::activate`].
    pub async fn roll_back(&self, context: &Arc<Context>, plugin: &str) -> Result<Activated, Error> {
        let name = PluginName::new(plugin).map_err(|_| missing(plugin, None))?;
        self.list(&context.tenant, Some(plugin)).await?;
        let before = self.ports.versions.before(&context.tenant, &name).await?;
        let before = before.ok_or_else(|| Error::Refused(format!("no version of {plugin} served before this one")))?;
        self.activate(context, plugin, Some(before)).await
    }

    /// Takes a plugin off the shelf: the operator's of that name, if there is one, is found again.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::Journal`].
    pub async fn deactivate(&self, tenant: &TenantId, plugin: &str) -> Result<Switch, Error> {
        let name = PluginName::new(plugin).map_err(|_| missing(plugin, None))?;
        let _changing = self.changing.lock().await;
        let switch = self.ports.versions.activate(tenant, &name, None, self.ports.clock.now()).await?;
        self.ports.shelf.withdraw(tenant, &name);
        Ok(switch)
    }

    /// Removes a version, or all of a plugin's if none is named; none is removed if one of them serves.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::VersionInUse`]; [`Error::Journal`], [`Error::Internal`].
    pub async fn remove(&self, tenant: &TenantId, plugin: &str, number: Option<u32>) -> Result<Vec<u32>, Error> {
        let _changing = self.changing.lock().await;
        let mut versions = self.list(tenant, Some(plugin)).await?;
        versions.retain(|version| number.is_none_or(|number| number == version.number));
        if versions.is_empty() {
            return Err(missing(plugin, number));
        }
        // Those that serve come first: they refuse, and nothing is removed then.
        versions.sort_by_key(|version| !version.active);
        let mut removed = Vec::new();
        for version in versions {
            let gone = self.ports.versions.remove(tenant, &version.upload.plugin, version.number).await?;
            if let Some(digest) = gone {
                self.ports.artifacts.remove(&digest).await?;
            }
            removed.push(version.number);
        }
        Ok(removed)
    }

    /// A kept version as a plugin that can be called.
    async fn make(&self, context: &Arc<Context>, version: &Version) -> Result<Arc<dyn Plugin>, Error> {
        let wasm = self.ports.artifacts.get(&version.upload.digest).await?;
        let lost = || Error::Internal(format!("the bytes of {} are not there", version.upload.digest).into());
        self.ports.workshop.examine(context, wasm.ok_or_else(lost)?).await
    }

    /// Record first, then the shelf: a crash between the two is mended by the next start.
    async fn switch(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        version: &Version,
        made: Arc<dyn Plugin>,
    ) -> Result<Switch, Error> {
        let now = self.ports.clock.now();
        let switch = self.ports.versions.activate(tenant, plugin, Some(version.number), now).await?;
        self.ports.shelf.place(tenant, made);
        Ok(switch)
    }

    async fn active(&self, tenant: &TenantId, plugin: &PluginName) -> Result<Option<Version>, Error> {
        let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
        Ok(versions.into_iter().find(|version| version.active))
    }

    /// Removes the oldest versions beyond those that are kept. The one that serves, the one before it and
    /// the one that has just come stay whatever their age. What can't be removed is tried again next time.
    async fn retire(&self, tenant: &TenantId, plugin: &PluginName, new: u32) {
        let retired = async {
            let before = self.ports.versions.before(tenant, plugin).await?;
            let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
            let idle = versions.into_iter().filter(|it| !it.active && it.number != new && Some(it.number) != before);
            for version in idle.skip(self.settings.keep) {
                if let Some(digest) = self.ports.versions.remove(tenant, plugin, version.number).await? {
                    self.ports.artifacts.remove(&digest).await?;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = retired.await {
            tracing::warn!(%tenant, %plugin, %error, "old versions were not removed");
        }
    }
}

/// What a kept version offers. One that can't be read differs in everything.
fn kept(version: &Version) -> Offers {
    serde_json::from_value(version.upload.offers.clone()).unwrap_or_default()
}

fn missing(plugin: &str, number: Option<u32>) -> Error {
    Error::UnknownVersion { plugin: plugin.chars().take(128).collect(), number }
}
