//! The chain of the audit log: what a row consists of, and how its hash is made.
//!
//! A row's hash, in form 1, is the SHA-256 of, one after the other: the text `remit audit row 1` and a
//! zero byte; the hash of the row before (of the first row: [`genesis`]); the row's `seq` as 8 bytes,
//! the most significant first; and its fields in the order of [`Entry`]. A text is a byte 1, its length
//! in bytes as 8 bytes, and its UTF-8; a text that is absent is a byte 0; a number is a byte 2 and 8
//! bytes. No two rows have the same bytes.
//!
//! Deliberately absent: keys. Whoever can write the file can make a chain that fits; what such a rewrite
//! can't make is a [`crate::Checkpoint`].

use std::fmt;

use remit_domain::audit::{Deed, Event, Subject};
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, sqlite::SqliteRow};
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use crate::Error;

/// How this host makes hashes.
pub(crate) const FORM: i64 = 1;

/// A SHA-256; hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        Self::of(&bytes?)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a chain ends: its last row, which is 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last row's place.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
}

/// What stands before the first row of a journal.
pub(crate) fn genesis(journal: &str) -> Hash {
    let mut digest = Sha256::new();
    digest.update(b"remit audit genesis 1\0");
    text(&mut digest, journal);
    Hash(digest.finalize().into())
}

/// One row, less its place and hash: what its hash covers, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) at: String,
    pub(crate) request: String,
    pub(crate) call: String,
    pub(crate) tenant: String,
    pub(crate) actor: String,
    pub(crate) agent: String,
    pub(crate) door: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) plugin: Option<String>,
    pub(crate) sources: String,
    pub(crate) arguments: String,
    pub(crate) details: Option<String>,
    pub(crate) duration_us: i64,
    pub(crate) outcome: String,
    pub(crate) code: Option<String>,
}

impl Entry {
    /// A call's row. Errors: [`Error::Record`].
    pub(crate) fn of_event(event: &Event) -> Result<Self, Error> {
        Ok(Self {
            at: instant(event.at),
            request: event.request.to_string(),
            call: event.call.to_string(),
            tenant: event.tenant.to_string(),
            actor: event.actor.clone(),
            agent: event.agent.to_string(),
            door: event.door.as_str().to_owned(),
            action: action(event.subject).to_owned(),
            subject: event.subject.as_str().to_owned(),
            name: event.name.clone(),
            plugin: event.plugin.clone(),
            sources: serde_json::to_string(&event.sources).map_err(Error::Record)?,
            arguments: serde_json::to_string(&event.arguments).map_err(Error::Record)?,
            details: None,
            duration_us: i64::try_from(event.duration.as_micros()).unwrap_or(i64::MAX),
            outcome: event.outcome.as_str().to_owned(),
            code: event.code.map(str::to_owned),
        })
    }

    /// The row of an act of administration.
    pub(crate) fn of_deed(deed: &Deed) -> Self {
        Self {
            at: instant(deed.at),
            request: deed.request.as_ref().map(ToString::to_string).unwrap_or_default(),
            call: deed.id.to_string(),
            tenant: deed.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            actor: deed.actor.as_str().to_owned(),
            agent: String::new(),
            door: String::new(),
            action: deed.action.as_str().to_owned(),
            subject: deed.action.subject().to_owned(),
            name: deed.name().to_owned(),
            plugin: None,
            sources: "{}".to_owned(),
            arguments: "{}".to_owned(),
            details: Some(deed.details().to_string()),
            duration_us: 0,
            outcome: deed.outcome.as_str().to_owned(),
            code: deed.code.map(str::to_owned),
        }
    }

    /// A row as the file has it. Errors: a column that is not what this host writes.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at: row.try_get("at")?,
            request: row.try_get("request")?,
            call: row.try_get("call")?,
            tenant: row.try_get("tenant")?,
            actor: row.try_get("actor")?,
            agent: row.try_get("agent")?,
            door: row.try_get("door")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            name: row.try_get("name")?,
            plugin: row.try_get("plugin")?,
            sources: row.try_get("sources")?,
            arguments: row.try_get("arguments")?,
            details: row.try_get("details")?,
            duration_us: row.try_get("duration_us")?,
            outcome: row.try_get("outcome")?,
            code: row.try_get("code")?,
        })
    }

    /// Its hash in [`FORM`], at a place after a hash.
    pub(crate) fn hash(&self, previous: &Hash, seq: i64) -> Hash {
        let mut digest = Sha256::new();
        digest.update(b"remit audit row 1\0");
        digest.update(previous.0);
        digest.update(seq.to_be_bytes());
        for field in [
            &self.at,
            &self.request,
            &self.call,
            &self.tenant,
            &self.actor,
            &self.agent,
            &self.door,
            &self.action,
            &self.subject,
            &self.name,
        ] {
            text(&mut digest, field);
        }
        optional(&mut digest, self.plugin.as_deref());
        text(&mut digest, &self.sources);
        text(&mut digest, &self.arguments);
        optional(&mut digest, self.details.as_deref());
        digest.update([2]);
        digest.update(self.duration_us.to_be_bytes());
        text(&mut digest, &self.outcome);
        optional(&mut digest, self.code.as_deref());
        Hash(digest.finalize().into())
    }
}

/// The action of a call.
pub(crate) fn action(subject: Subject) -> &'static str {
    match subject {
        Subject::Tool => "tool.call",
        Subject::Resource => "resource.read",
    }
}

/// The SHA-256 of texts, each with its length: what is signed.
pub(crate) fn digest_of(texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in texts {
        text(&mut digest, part);
    }
    digest.finalize().into()
}

fn text(digest: &mut Sha256, text: &str) {
    digest.update([1]);
    digest.update((text.len() as u64).to_be_bytes());
    digest.update(text.as_bytes());
}

fn optional(digest: &mut Sha256, value: Option<&str>) {
    match value {
        Some(value) => text(digest, value),
        None => digest.update([0]),
    }
}

/// An instant as the journal writes it: RFC 3339 in UTC, always with six decimals, so that it sorts as text.
pub(crate) fn instant(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
    at.to_offset(UtcOffset::UTC).format(&form).unwrap_or_else(|_| remit_domain::clock::rfc3339(at))
}
