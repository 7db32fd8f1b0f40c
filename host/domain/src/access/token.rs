//! The text that lets its holder in: `remit_<id>_<secret><checksum>`.
//!
//! The prefix lets scanners of repositories and logs find one that leaked; the checksum tells a
//! mistyped token from a wrong one without asking anybody. The secret has more than 250 bits, so that
//! its SHA-256 is kept and no slow hash is needed. Deliberately absent: any way from a digest back.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::KeyId;

const PREFIX: &str = "remit_";
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What is kept of a token: the SHA-256 of its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// As it was kept.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is to be kept.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// A key in somebody's hand.
#[derive(Debug)]
pub struct Token {
    id: KeyId,
    secret: SecretString,
}

impl Token {
    /// A new one. Errors: the machine has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let (id, secret) = (letters(KeyId::LENGTH)?, letters(SECRET)?);
        // Letters and digits of the right number are an id.
        let id = KeyId::new(&id).ok_or(getrandom::Error::UNEXPECTED)?;
        Ok(Self { id, secret: secret.into() })
    }

    /// Whether a text means to be a token of this host, mistyped or not.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads a token; `None` for what is none, a mistyped one among them.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = KeyId::new(id)?;
        let (secret, sum) = rest.split_at_checked(SECRET)?;
        let fit = secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) && sum == checksum(&id, secret);
        fit.then(|| Self { id, secret: secret.to_owned().into() })
    }

    /// Which key it is.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole text, to be shown once.
    pub fn reveal(&self) -> String {
        let secret = self.secret.expose_secret();
        format!("{PREFIX}{}_{secret}{}", self.id, checksum(&self.id, secret))
    }

    /// What to keep of it.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.secret.expose_secret()).into())
    }

    /// Whether this is the token whose digest was kept; takes the same time whatever the answer.
    pub fn has(&self, kept: &Digest) -> bool {
        self.digest().0.ct_eq(&kept.0).into()
    }
}

fn letters(count: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(count);
    let mut bytes = [0_u8; 64];
    while text.len() < count {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 in a byte: above it some letters would come more often.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let taken = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62))).map(|letter| char::from(*letter));
        text.extend(taken.take(count - text.len()));
    }
    Ok(text)
}

fn checksum(id: &KeyId, secret: &str) -> String {
    let mut sum = crc32fast::Hasher::new();
    sum.update(id.as_str().as_bytes());
    sum.update(secret.as_bytes());
    let mut left = sum.finalize();
    let mut text = [b'0'; CHECKSUM];
    for place in text.iter_mut().rev() {
        let letter = ALPHABET.get((left % 62) as usize);
        *place = letter.copied().unwrap_or(b'0');
        left /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}
