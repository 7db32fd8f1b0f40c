//! Signatures over components: who built a plugin, said by ed25519 over the digest of its bytes.
//!
//! The digest is signed and not the bytes, so that a signature can be made and checked wherever the
//! digest is known. Deliberately absent: which keys a tenant trusts, files, and where randomness comes
//! from.

use std::{fmt, str::FromStr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use secrecy::SecretString;
use serde::{Serialize, Serializer};

/// The header of an upload that carries a signature.
pub const HEADER: &str = "X-Remit-Signature";

/// What a signature is for. A signature made for one thing fits no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A component, by the SHA-256 of its bytes.
    Component,
    /// A checkpoint of the audit log.
    Checkpoint,
    /// The seal of a segment of the audit log.
    Seal,
    /// The removal of a segment of the audit log.
    Removal,
}

impl Purpose {
    /// What stands before the digest in a signed message.
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Component => b"remit plugin v1\0",
            Self::Checkpoint => b"remit audit checkpoint v1\0",
            Self::Seal => b"remit audit seal v1\0",
            Self::Removal => b"remit audit removal v1\0",
        }
    }
}

const PUBLIC: &str = "ed25519:";
const SECRET: &str = "ed25519-secret:";

/// Why a text is no key or signature, or a signature does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a public key.
    #[error("not a public key: one looks like `ed25519:` and 32 bytes in base64")]
    PublicKey,
    /// Not a secret key.
    #[error("not a secret key: one looks like `ed25519-secret:` and 32 bytes in base64")]
    SecretKey,
    /// Not a signature.
    #[error("not a signature: one looks like `ed25519:<public key>:<signature>`, both in base64")]
    Signature,
    /// The signature was not made with this key over these bytes.
    #[error("the signature does not fit the component")]
    Mismatch,
}

/// Who signs: `ed25519:<base64>`. No key of small order, for which anything is a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", BASE64_STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = text.trim().strip_prefix(PUBLIC).and_then(decoded).ok_or(Error::PublicKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| Error::PublicKey)?;
        if key.is_weak() { Err(Error::PublicKey) } else { Ok(Self(key)) }
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The half that signs. Wiped from memory when it is dropped.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads what [`Self::to_text`] wrote. Errors: [`Error::SecretKey`].
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let seed = text.trim().strip_prefix(SECRET).and_then(decoded).ok_or(Error::SecretKey)?;
        Ok(Self::from_seed(&seed))
    }

    /// As a key file holds it: `ed25519-secret:<base64>`.
    pub fn to_text(&self) -> SecretString {
        format!("{SECRET}{}", BASE64_STANDARD.encode(self.0.as_bytes())).into()
    }

    /// The half that is shown.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a component by the SHA-256 of its bytes.
    pub fn sign(&self, digest: &[u8; 32]) -> Signature {
        self.sign_for(Purpose::Component, digest)
    }

    /// Signs a SHA-256 of something else.
    pub fn sign_for(&self, purpose: Purpose, digest: &[u8; 32]) -> Signature {
        Signature { key: self.public(), signature: self.0.sign(&message(purpose, digest)) }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// A signature with the key it claims to be of: `ed25519:<public key>:<signature>`, as the header and
/// the file beside a component hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    signature: ed25519_dalek::Signature,
}

impl Signature {
    /// Whose it claims to be. Says nothing before [`Self::verify`] has.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Whether the key signed the component of this SHA-256. Whether the key is trusted is another question.
    ///
    /// Errors: [`Error::Mismatch`].
    pub fn verify(&self, digest: &[u8; 32]) -> Result<(), Error> {
        self.verify_for(Purpose::Component, digest)
    }

    /// Whether the key signed this SHA-256 for this purpose. Errors: [`Error::Mismatch`].
    pub fn verify_for(&self, purpose: Purpose, digest: &[u8; 32]) -> Result<(), Error> {
        self.key.0.verify_strict(&message(purpose, digest), &self.signature).map_err(|_| Error::Mismatch)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.key, BASE64_STANDARD.encode(self.signature.to_bytes()))
    }
}

impl FromStr for Signature {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (key, signature) = text.trim().rsplit_once(':').ok_or(Error::Signature)?;
        let key = key.parse().map_err(|_| Error::Signature)?;
        let bytes: [u8; 64] = decoded(signature).ok_or(Error::Signature)?;
        Ok(Self { key, signature: ed25519_dalek::Signature::from_bytes(&bytes) })
    }
}

fn message(purpose: Purpose, digest: &[u8; 32]) -> Vec<u8> {
    [purpose.domain(), digest].concat()
}

/// Bytes of exactly this number.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    // Nothing longer is decoded: the text may be anybody's.
    if text.len() > N.div_ceil(3) * 4 {
        return None;
    }
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::{Error, PublicKey, Purpose, SecretKey, Signature};

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_seed(&[seed; 32])
    }

    #[test]
    fn a_signature_fits_its_component_and_its_key_alone() {
        let signature = key(1).sign(&[7; 32]);
        assert_eq!(signature.verify(&[7; 32]), Ok(()));
        assert_eq!(signature.verify(&[8; 32]), Err(Error::Mismatch));
        assert_eq!(signature.key(), key(1).public());
        assert_eq!(signature.verify_for(Purpose::Checkpoint, &[7; 32]), Err(Error::Mismatch), "for one purpose");
        assert_eq!(key(1).sign_for(Purpose::Removal, &[7; 32]).verify(&[7; 32]), Err(Error::Mismatch));
        let seal = key(1).sign_for(Purpose::Seal, &[7; 32]);
        assert_eq!(seal.verify_for(Purpose::Seal, &[7; 32]), Ok(()));
        assert_eq!(seal.verify_for(Purpose::Removal, &[7; 32]), Err(Error::Mismatch));
        let foreign = Signature { key: key(2).public(), ..signature };
        assert_eq!(foreign.verify(&[7; 32]), Err(Error::Mismatch));
        // A signature over the digest alone, such as another program's, is none of ours.
        let bare = ed25519_dalek::Signer::sign(&key(1).0, &[7; 32]);
        assert_eq!(Signature { signature: bare, ..signature }.verify(&[7; 32]), Err(Error::Mismatch));
    }

    #[test]
    fn texts_go_there_and_back() {
        let signature = key(1).sign(&[7; 32]);
        assert_eq!(signature.to_string().parse(), Ok(signature));
        assert_eq!(format!(" {signature}\n").parse(), Ok(signature));
        let public = key(1).public();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(public.to_string(), "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=");
        assert!(signature.to_string().starts_with(&format!("{public}:")));
        let secret = key(1).to_text();
        assert_eq!(secret.expose_secret(), "ed25519-secret:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        assert_eq!(SecretKey::from_text(secret.expose_secret()).map(|key| key.public()), Ok(public));
        assert!(!format!("{:?}", key(1)).contains("AQEB"), "a secret is not shown by accident");
    }

    #[test]
    fn other_texts_are_refused() {
        let signature = key(1).sign(&[7; 32]).to_string();
        for text in ["", ":", "ed25519:", "ed25519:AAAA", &signature[1..], &signature[..signature.len() - 4]] {
            assert_eq!(text.parse::<Signature>(), Err(Error::Signature), "{text}");
        }
        let long = format!("{signature}AAAA");
        assert_eq!(long.parse::<Signature>(), Err(Error::Signature));
        for text in ["", "rsa:AAAA", "ed25519:AAAA", "ed25519:not base64", &"ed25519:A".repeat(100)] {
            assert_eq!(text.parse::<PublicKey>(), Err(Error::PublicKey), "{text}");
            assert_eq!(SecretKey::from_text(text).map(drop), Err(Error::SecretKey), "{text}");
        }
        // The neutral element: for this key, one signature fits whole families of messages.
        let weak = "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(weak.parse::<PublicKey>(), Err(Error::PublicKey));
    }
}
