//! Tenants' own plugins through their life: taken in, kept as versions, activated, taken back, removed.
//!
//! The record of versions (`Versions`) says what is; the shelf, where calls find plugins, follows it.
//! Bytes are kept before the record that names them and removed after it, so that a crash at any point
//! leaves a record whole or not at all; bytes without a record are swept at the next start.
//!
//! Deliberately absent: what makes a component fit and how it is compiled (the port `Workshop`), and
//! who may do any of this (the doors ask for the role).

mod offers;
mod trust;

use std::{collections::BTreeSet, sync::Arc};

use remit_domain::{
    Error, PluginName, RequestId, TenantId,
    audit::{Action, Actor, AuditLog, Deed},
    clock::Clock,
    library::{Artifacts, Digest, Switch, Upload, Version, Versions},
    plugin::{Plugin, Shelf, Workshop},
    signature::PublicKey,
    tenant::{Context, Tenants},
};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tracing::Instrument as _;

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
    /// Where it stands who did what.
    pub audit: Arc<dyn AuditLog>,
}

/// Who asks for a change.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// In which request.
    pub request: RequestId,
}

/// Tenants' own plugins. A clone is the same library.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

/// What changes together: in tasks of its own, so that a client that goes away leaves nothing half done.
struct Inner {
    ports: Ports,
    settings: Settings,
    /// Held while record and bytes, or record and shelf, change together.
    changing: Mutex<()>,
}

/// A component as it comes.
#[derive(Debug)]
pub struct Arrival {
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// The signature that came with it, as [`remit_domain::signature`] writes it.
    pub signature: Option<String>,
    /// Who brings it.
    pub by: By,
    /// Whether it is to serve at once.
    pub activate: bool,
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
    /// What differs from the version that serves; if none does, from the newest before it, or else from
    /// the operator's plugin of that name.
    pub changes: Vec<Change>,
    /// What each agent could do with it.
    pub reach: Vec<Reach>,
    /// What was switched, if it was to be activated.
    pub switched: Option<Switch>,
    /// Whether the operator has a plugin of that name, in whose place it serves this tenant.
    pub shadows: bool,
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
        Self(Arc::new(Inner { ports, settings, changing: Mutex::default() }))
    }

    /// Puts each active version on the shelf that is not there. To be called at the start, and whenever a
    /// tenant may have come back that could not be served.
    ///
    /// Errors: [`Error::Journal`]. What can't be restored is returned, and stops nobody else.
    pub async fn restore(&self) -> Result<Vec<Unrestored>, Error> {
        let mut failed = Vec::new();
        let versions = self.0.ports.versions.list(None, None).await?;
        for version in versions.into_iter().filter(|version| version.active) {
            if let Err(error) = self.0.restore(&version).await {
                let Upload { tenant, plugin, .. } = version.upload;
                failed.push(Unrestored { tenant, plugin, number: version.number, error });
            }
        }
        Ok(failed)
    }

    /// Removes bytes that no record names: what a crash left. Says how many components that were.
    ///
    /// Errors: [`Error::Journal`], [`Error::Internal`].
    pub async fn sweep(&self) -> Result<usize, Error> {
        let _changing = self.0.changing.lock().await;
        let ports = &self.0.ports;
        let named: BTreeSet<Digest> =
            ports.versions.list(None, None).await?.into_iter().map(|version| version.upload.digest).collect();
        let mut swept = 0;
        for digest in ports.artifacts.all().await?.into_iter().filter(|digest| !named.contains(digest)) {
            ports.artifacts.remove(&digest).await?;
            swept += 1;
        }
        Ok(swept)
    }

    /// Takes in a component: looks at its signature, examines it, keeps it as the plugin's next version,
    /// and activates it if asked.
    ///
    /// Errors: [`Error::Untrusted`]; as [`Workshop::examine`]; [`Error::Journal`], [`Error::Internal`].
    /// Cancel: while it is examined, nothing is kept; later, it goes on to its end.
    pub async fn upload(&self, context: &Arc<Context>, arrival: Arrival) -> Result<Stored, Error> {
        let digest = Digest::of(&arrival.wasm);
        let examined = async {
            let signer = trust::signer(context, &digest, arrival.signature.as_deref())?;
            Ok::<_, Error>((signer, self.0.ports.workshop.examine(context, arrival.wasm.clone()).await?))
        };
        let (signer, made) = match examined.await {
            Ok(examined) => examined,
            Err(error) => {
                let details =
                    json!({ "digest": digest.as_str(), "bytes": arrival.wasm.len(), "error": error.to_string() });
                let refused = self.0.deed(&arrival.by, Action::PluginUpload, &context.tenant, "", details);
                self.0.ports.audit.administer(refused.failed(&error)).await?;
                return Err(error);
            }
        };
        let (inner, context) = (self.0.clone(), context.clone());
        to_its_end(async move { inner.keep(&context, arrival, digest, signer, made).await }).await
    }

    /// A tenant's versions, the newest of each plugin first. Errors: [`Error::UnknownVersion`] if a plugin
    /// is named that it has not; [`Error::Journal`].
    pub async fn list(&self, tenant: &TenantId, plugin: Option<&str>) -> Result<Vec<Version>, Error> {
        match plugin {
            Some(plugin) => self.0.versions(tenant, plugin).await,
            None => self.0.ports.versions.list(Some(tenant), None).await,
        }
    }

    /// Makes a version serve; the newest, if none is named. Calls in flight end with the one before.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::Untrusted`] and as [`Workshop::examine`] if it is no
    /// longer fit; [`Error::Journal`].
    pub async fn activate(
        &self,
        context: &Arc<Context>,
        plugin: &str,
        number: Option<u32>,
        by: By,
    ) -> Result<Activated, Error> {
        self.turn_to(context, plugin, number, by, Action::PluginActivate).await
    }

    async fn turn_to(
        &self,
        context: &Arc<Context>,
        plugin: &str,
        number: Option<u32>,
        by: By,
        action: Action,
    ) -> Result<Activated, Error> {
        let mut versions = self.0.versions(&context.tenant, plugin).await?;
        let at = versions.iter().position(|version| number.is_none_or(|number| number == version.number));
        let wanted = versions.swap_remove(at.ok_or_else(|| missing(plugin, number))?);
        trust::trusted(context, wanted.upload.signer.as_deref())?;
        let made = self.0.make(context, &wanted).await?;
        let inner = self.0.clone();
        to_its_end(async move { inner.switch(&wanted, made, &by, action).await }).await
    }

    /// Makes the version serve that served before. Errors: [`Error::Refused`] if there is none that is
    /// still kept; as [`Self::activate`].
    pub async fn roll_back(&self, context: &Arc<Context>, plugin: &str, by: By) -> Result<Activated, Error> {
        let name = PluginName::new(plugin).map_err(|_| missing(plugin, None))?;
        self.0.versions(&context.tenant, plugin).await?;
        let before = self.0.ports.versions.before(&context.tenant, &name).await?;
        let before = before.ok_or_else(|| Error::NothingBefore(name))?;
        self.turn_to(context, plugin, Some(before), by, Action::PluginRollback).await
    }

    /// Takes a plugin off the shelf: the operator's of that name, if there is one, is found again.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::Journal`].
    pub async fn deactivate(&self, tenant: &TenantId, plugin: &str, by: By) -> Result<Switch, Error> {
        let name = PluginName::new(plugin).map_err(|_| missing(plugin, None))?;
        let (inner, tenant) = (self.0.clone(), tenant.clone());
        to_its_end(async move {
            let _changing = inner.changing.lock().await;
            let switch = inner.ports.versions.activate(&tenant, &name, None, inner.ports.clock.now()).await?;
            inner.ports.shelf.withdraw(&tenant, &name);
            let details = json!({ "from": switch.from });
            inner.record(&by, Action::PluginDeactivate, &tenant, &name, details).await?;
            Ok(switch)
        })
        .await
    }

    /// Removes a version, or all of a plugin's if none is named; none is removed if one of them serves.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::VersionInUse`]; [`Error::Journal`], [`Error::Internal`].
    pub async fn remove(
        &self,
        tenant: &TenantId,
        plugin: &str,
        number: Option<u32>,
        by: By,
    ) -> Result<Vec<u32>, Error> {
        let (inner, tenant, plugin) = (self.0.clone(), tenant.clone(), plugin.to_owned());
        to_its_end(async move { inner.remove(&tenant, &plugin, number, &by).await }).await
    }
}

impl Inner {
    async fn restore(&self, version: &Version) -> Result<(), Error> {
        let Upload { tenant, plugin, digest, .. } = &version.upload;
        // A tenant that is not served has no calls that could find it.
        let Ok(context) = self.ports.tenants.get(tenant) else { return Ok(()) };
        let there = self.ports.shelf.own(tenant, plugin);
        if there.is_some_and(|there| there.description().digest == digest.as_str()) {
            return Ok(());
        }
        let made = self.make(&context, version).await?;
        let _changing = self.changing.lock().await;
        // Somebody may have switched meanwhile, and has put that on the shelf.
        let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
        if versions.iter().any(|now| now.active && now.number == version.number) {
            self.ports.shelf.place(tenant, made);
        }
        Ok(())
    }

    async fn keep(
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
        let changing = self.changing.lock().await;
        let earlier = self.ports.versions.list(Some(&upload.tenant), Some(&upload.plugin)).await?;
        // What the tenant's agents had under this name: its own, or else the operator's.
        let operators = self.ports.shelf.operators(&upload.plugin).map(|plugin| Offers::of(plugin.description()));
        let compared = earlier.iter().find(|version| version.active).or(earlier.first()).map(kept);
        let compared = compared.or_else(|| operators.clone());
        let changes = compared.map(|compared| offers.changes_since(&compared)).unwrap_or_default();
        self.ports.artifacts.put(&upload.digest, &arrival.wasm).await?;
        let (mut version, new) = self.ports.versions.add(&upload).await?;
        let details = json!({
            "version": version.upload.says, "number": version.number, "digest": version.upload.digest.as_str(),
            "bytes": version.upload.bytes, "signer": version.upload.signer, "new": new, "changes": changes,
        });
        self.record(&arrival.by, Action::PluginUpload, &upload.tenant, &upload.plugin, details).await?;
        let mut switched = None;
        if arrival.activate {
            let switch = self.put_up(&version, made).await?;
            self.record_switch(&arrival.by, Action::PluginActivate, &version, switch, &changes).await?;
            switched = Some(switch);
            version.active = true;
        }
        self.retire(&upload.tenant, &upload.plugin, version.number).await;
        drop(changing);
        Ok(Stored { version, new, offers, changes, reach, switched, shadows: operators.is_some() })
    }

    async fn versions(&self, tenant: &TenantId, plugin: &str) -> Result<Vec<Version>, Error> {
        let versions = match PluginName::new(plugin) {
            Ok(name) => self.ports.versions.list(Some(tenant), Some(&name)).await?,
            Err(_) => Vec::new(),
        };
        if versions.is_empty() { Err(missing(plugin, None)) } else { Ok(versions) }
    }

    /// A kept version as a plugin that can be called.
    async fn make(&self, context: &Arc<Context>, version: &Version) -> Result<Arc<dyn Plugin>, Error> {
        let wasm = self.ports.artifacts.get(&version.upload.digest).await?;
        let lost = || Error::Internal(format!("the bytes of {} are not there", version.upload.digest).into());
        self.ports.workshop.examine(context, wasm.ok_or_else(lost)?).await
    }

    async fn switch(
        &self,
        wanted: &Version,
        made: Arc<dyn Plugin>,
        by: &By,
        action: Action,
    ) -> Result<Activated, Error> {
        let _changing = self.changing.lock().await;
        let Upload { tenant, plugin, .. } = &wanted.upload;
        let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
        let operators = || self.ports.shelf.operators(plugin).map(|plugin| Offers::of(plugin.description()));
        let serving = versions.iter().find(|version| version.active).map(kept).or_else(operators);
        let changes = serving.map(|serving| kept(wanted).changes_since(&serving)).unwrap_or_default();
        let switch = self.put_up(wanted, made).await?;
        self.record_switch(by, action, wanted, switch, &changes).await?;
        Ok(Activated { switch, changes })
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

    async fn remove(&self, tenant: &TenantId, plugin: &str, number: Option<u32>, by: &By) -> Result<Vec<u32>, Error> {
        let _changing = self.changing.lock().await;
        let mut versions = self.versions(tenant, plugin).await?;
        versions.retain(|version| number.is_none_or(|number| number == version.number));
        if versions.is_empty() {
            return Err(missing(plugin, number));
        }
        // The one that serves comes first: it refuses, and nothing is removed then.
        versions.sort_by_key(|version| !version.active);
        let mut removed = Vec::new();
        for version in versions {
            let Upload { plugin, digest, .. } = &version.upload;
            self.discard(&version).await?;
            let details = json!({ "number": version.number, "digest": digest.as_str() });
            self.record(by, Action::PluginDelete, tenant, plugin, details).await?;
            removed.push(version.number);
        }
        Ok(removed)
    }

    /// Puts on record what was done. It is done whatever becomes of the record.
    async fn record(
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
        let details = json!({ "from": switch.from, "to": switch.to, "digest": digest.as_str(), "changes": changes });
        self.record(by, action, tenant, plugin, details).await
    }

    fn deed(&self, by: &By, action: Action, tenant: &TenantId, name: &str, details: Value) -> Deed {
        let deed = Deed::new(self.ports.clock.now(), by.actor.clone(), action, name);
        deed.of(tenant).asked_by(&by.request).with(details)
    }

    /// Removes a version's record, and its bytes if nobody else has them.
    async fn discard(&self, version: &Version) -> Result<(), Error> {
        let Upload { tenant, plugin, .. } = &version.upload;
        match self.ports.versions.remove(tenant, plugin, version.number).await? {
            Some(digest) => self.ports.artifacts.remove(&digest).await,
            None => Ok(()),
        }
    }

    /// Removes the oldest versions beyond those that are kept. The one that serves, the one before it and
    /// the one that has just come stay whatever their age. What can't be removed is tried again next time.
    async fn retire(&self, tenant: &TenantId, plugin: &PluginName, new: u32) {
        let retired = async {
            let before = self.ports.versions.before(tenant, plugin).await?;
            let versions = self.ports.versions.list(Some(tenant), Some(plugin)).await?;
            let idle = versions.iter().filter(|it| !it.active && it.number != new && Some(it.number) != before);
            for version in idle.skip(self.settings.keep) {
                match self.discard(version).await {
                    // A run goes on with it.
                    Ok(()) | Err(Error::VersionInUse { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        if let Err(error) = retired.await {
            tracing::warn!(%tenant, %plugin, %error, "old versions were not removed");
        }
    }
}

/// Runs a change in a task of its own: whoever waits for it may go away, and it ends all the same.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(change.in_current_span()).await.map_err(|broken| Error::Internal(broken.into()))?
}

/// What a kept version offers. One that can't be read differs in everything.
fn kept(version: &Version) -> Offers {
    serde_json::from_value(version.upload.offers.clone()).unwrap_or_default()
}

fn missing(plugin: &str, number: Option<u32>) -> Error {
    Error::UnknownVersion { plugin: plugin.chars().take(128).collect(), number }
}
