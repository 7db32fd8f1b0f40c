//! Tenants' own plugins through their life: versions that are kept, one of which serves. The ports that
//! the job `remit-library` stands on.
//!
//! Deliberately absent: what makes a component fit ([`crate::plugin`]), and where its bytes lie.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::{Error, InUse, PluginName, TenantId};

/// The SHA-256 of a component's bytes: its identity, whoever has it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

impl Digest {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}").into())
    }

    /// Checks a text: `sha256:` and 64 small hexadecimal digits.
    pub fn new(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let fit = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fit.then(|| Self(text.into()))
    }

    /// `sha256:<hex>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal digits alone, fit for a file's name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or_default()
    }

    /// The digest itself.
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let digits = self.hex().as_bytes().as_chunks::<2>().0;
        for (byte, [high, low]) in bytes.iter_mut().zip(digits) {
            let value = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok()).unwrap_or(0);
            *byte = value(*high) << 4 | value(*low);
        }
        bytes
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("no digest"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What is recorded of an upload.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Whose.
    pub tenant: TenantId,
    /// What the component calls itself.
    pub plugin: PluginName,
    /// Its bytes' identity.
    pub digest: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// The semantic version that it says it has.
    pub says: String,
    /// When.
    pub at: OffsetDateTime,
    /// By which key, or `anyone`.
    pub by: String,
    /// The public key whose signature it came with, as `ed25519:<base64>`.
    pub signer: Option<String>,
    /// What it offers, in the shape of the upload's answer: kept, so that versions can be compared
    /// without running them.
    pub offers: Value,
}

/// One version of a tenant's plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// From 1, without gaps when made. Never given twice.
    pub number: u32,
    /// Whether it serves.
    pub active: bool,
    /// How it came.
    pub upload: Upload,
}

/// Which version was, and is, active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// The one before.
    pub from: Option<u32>,
    /// The one now; `None` if the operator's plugin of that name is found again.
    pub to: Option<u32>,
}

/// Port: the record of versions. Each change is atomic, and lasting against a power cut once it returns.
#[async_trait]
pub trait Versions: Send + Sync {
    /// Records an upload as the plugin's next version. The same bytes again are the version that they
    /// were, with the signature that comes with them, if one does; false says so.
    ///
    /// Errors: [`Error::Journal`].
    async fn add(&self, upload: &Upload) -> Result<(Version, bool), Error>;

    /// A plugin's versions, the newest first; of all of a tenant's plugins, in order of name, without one;
    /// of all tenants without either. Errors: [`Error::Journal`].
    async fn list(&self, tenant: Option<&TenantId>, plugin: Option<&PluginName>) -> Result<Vec<Version>, Error>;

    /// Makes a version the active one, or none. Changes nothing if it is already.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::Journal`].
    async fn activate(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        number: Option<u32>,
        at: OffsetDateTime,
    ) -> Result<Switch, Error>;

    /// The version that was active before the present one and is still there. Errors: [`Error::Journal`].
    async fn before(&self, tenant: &TenantId, plugin: &PluginName) -> Result<Option<u32>, Error>;

    /// Whether any tenant has a version of these bytes. Errors: [`Error::Journal`].
    async fn names(&self, digest: &Digest) -> Result<bool, Error>;

    /// What keeps a version from being removed, if something does.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::Journal`].
    async fn in_use(&self, tenant: &TenantId, plugin: &PluginName, number: u32) -> Result<Option<InUse>, Error>;

    /// Removes a version's record. Says which digest no record holds any longer.
    ///
    /// Errors: [`Error::UnknownVersion`]; [`Error::VersionInUse`]; [`Error::Journal`].
    async fn remove(&self, tenant: &TenantId, plugin: &PluginName, number: u32) -> Result<Option<Digest>, Error>;
}

/// Port: bytes by digest, of components or of runs' large outputs. What is there is whole and is what its name says.
#[async_trait]
pub trait Artifacts: Send + Sync {
    /// Keeps bytes under their digest; lasting once this returns. Errors: [`Error::Internal`].
    async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error>;

    /// The bytes of a digest; `None` if they are not there or are no longer what their name says.
    /// Errors: [`Error::Internal`].
    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error>;

    /// Removes bytes; those that are not there are no error. Errors: [`Error::Internal`].
    async fn remove(&self, digest: &Digest) -> Result<(), Error>;

    /// All that is there. Errors: [`Error::Internal`].
    async fn all(&self) -> Result<Vec<Digest>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_one_form() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.as_str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Digest::new(digest.as_str()), Some(digest.clone()));
        assert_eq!(digest.to_bytes(), <[u8; 32]>::from(Sha256::digest(b"abc")));
        for bad in ["", "sha256:", "ba78", "sha256:../../etc/passwd", &digest.as_str().to_uppercase()] {
            assert_eq!(Digest::new(bad), None, "{bad}");
        }
    }
}
