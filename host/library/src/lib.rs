//! Tenants' own plugins through their life: taken in, kept as versions, activated, taken back, removed.
//!
//! The record of versions (`Versions`) says what is; the shelf, where calls find plugins, follows it.
//! Bytes are kept before the record that names them and removed after it, so that a crash at any point
//! leaves a record whole or not at all; bytes without a record are swept at the next start.
//!
//! Deliberately absent: what makes a component fit and how it is compiled (the port `Workshop`), and
//! who may do any of this (the doors ask for the role).

mod changes;
mod kept;
mod locks;
mod offers;
mod trust;

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use remit_domain::{
    Error, PluginName, RequestId, TenantId,
    audit::{Action, Actor, AuditLog},
    clock::Clock,
    library::{Artifacts, Digest, Switch, Upload, Version, Versions},
    plugin::{Computed, Plugin, Shelf, Workshop},
    tenant::{Context, Tenants},
};
use serde_json::json;
use tracing::Instrument as _;

use self::changes::Inner;
pub use self::offers::{Change, Offer, Offers, Reach};

/// How much is kept of each tenant.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The versions of a plugin that do not serve: older ones are removed when a newer one comes.
    pub keep: usize,
    /// The plugins, each with its versions.
    pub plugins: usize,
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
pub struct By {
    /// Who.
    pub actor: Actor,
    /// In which request.
    pub request: RequestId,
    /// What the change holds for as long as it lasts, though whoever asked may have gone: a turn.
    pub turn: Option<Box<dyn Send + Sync>>,
    /// Is told what examining a component computes.
    pub computed: Computed,
}

/// Tenants' own plugins. A clone is the same library.
#[derive(Clone)]
pub struct Library(Arc<Inner>);

/// A component as it comes.
pub struct Arrival {
    /// Its bytes.
    pub wasm: Arc<Vec<u8>>,
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
    /// What the version that serves now offers.
    pub offers: Offers,
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
        Self(Arc::new(Inner::new(ports, settings)))
    }

    /// Puts each active version on the shelf that is not there, and takes away what a tenant no longer trusts.
    /// To be called at the start, and whenever a tenant may have come back that could not be served. Until a
    /// plugin is there again, its name finds nothing: never the operator's in its place.
    ///
    /// Errors: [`Error::Journal`]. What can't be restored is returned, and stops nobody else.
    pub async fn restore(&self) -> Result<Vec<Unrestored>, Error> {
        /// Each may compile, and compute while it describes itself.
        const AT_ONCE: usize = 4;
        let _restoring = self.0.restoring.lock().await;
        let mut versions = self.0.ports.versions.list(None, None).await?;
        versions.retain(|version| version.active);
        for Version { upload: Upload { tenant, plugin, .. }, .. } in &versions {
            if self.0.ports.shelf.own(tenant, plugin).is_none() {
                self.0.ports.shelf.withhold(tenant, plugin);
            }
        }
        let restored = stream::iter(versions).map(async |version| {
            let error = self.0.restore(&version).await.err()?;
            let Upload { tenant, plugin, .. } = version.upload;
            Some(Unrestored { tenant, plugin, number: version.number, error })
        });
        Ok(restored.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await)
    }

    /// Removes bytes that no record names: what a crash left. Says how many components that were. Only for who
    /// has the record and the bytes alone.
    ///
    /// Errors: [`Error::Journal`], [`Error::Internal`].
    pub async fn sweep(&self) -> Result<usize, Error> {
        let mut swept = 0;
        for digest in self.0.ports.artifacts.all().await? {
            swept += usize::from(self.0.remove_unnamed(&digest).await?);
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
            let (workshop, computed) = (&self.0.ports.workshop, &arrival.by.computed);
            Ok::<_, Error>((signer, workshop.examine(context, arrival.wasm.clone(), computed).await?))
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
        to_its_end(async move {
            let kept = inner.keep(&context, arrival, digest.clone(), signer, made).await;
            // What comes to nothing leaves no bytes.
            if kept.is_err() {
                inner.forget(vec![digest]).await;
            }
            kept
        })
        .await
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
        match self.examine_kept(context, plugin, number, &by.computed).await {
            Ok((wanted, made)) => {
                let inner = self.0.clone();
                to_its_end(async move { inner.switch(&wanted, made, &by, action).await }).await
            }
            Err(error) => {
                let details = json!({ "number": number, "error": error.to_string() });
                let refused = self.0.deed(&by, action, &context.tenant, plugin, details);
                self.0.ports.audit.administer(refused.failed(&error)).await?;
                Err(error)
            }
        }
    }

    async fn examine_kept(
        &self,
        context: &Arc<Context>,
        plugin: &str,
        number: Option<u32>,
        computed: &Computed,
    ) -> Result<(Version, Arc<dyn Plugin>), Error> {
        let mut versions = self.0.versions(&context.tenant, plugin).await?;
        let at = versions.iter().position(|version| number.is_none_or(|number| number == version.number));
        let wanted = versions.swap_remove(at.ok_or_else(|| missing(plugin, number))?);
        trust::trusted(context, wanted.upload.signer.as_deref())?;
        let made = self.0.make(context, &wanted, computed).await?;
        Ok((wanted, made))
    }

    /// Makes the version serve that served before. Errors: [`Error::NothingBefore`] if there is none that is
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
            let _changing = inner.changing.lock(&tenant).await;
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

/// Runs a change in a task of its own: whoever waits for it may go away, and it ends all the same.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(change.in_current_span()).await.map_err(|broken| Error::Internal(broken.into()))?
}

pub(crate) fn missing(plugin: &str, number: Option<u32>) -> Error {
    Error::UnknownVersion { plugin: plugin.chars().take(128).collect(), number }
}
