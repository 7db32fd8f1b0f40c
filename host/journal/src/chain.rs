//! The chain of the audit log: what a row consists of, and how its hash is made.
//!
//! A row's hash, in form 2, is the SHA-256 of, one after the other: the text `remit audit row 2` and a
//! zero byte; the hash of the row before (of the first row: [`genesis`]); the row's `seq` as 8 bytes,
//! the most significant first; and its fields in the order of [`Entry`]. A text is a byte 1, its length
//! in bytes as 8 bytes, and its UTF-8; a text that is absent is a byte 0; a number is a byte 2 and 8
//! bytes. No two rows have the same bytes. In form 1, that of rows from before operations were recorded, the
//! text says 1, and the last field is not there.
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
const FORM: i64 = 2;
/// How hashes were made before operations were recorded.
const WITHOUT_OPERATIONS: i64 = 1;

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
    /// How its hash is made.
    pub(crate) form: i64,
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
    pub(crate) operations: Option<String>,
}

impl Entry {
    /// A call's row. Errors: [`Error::Record`].
    pub(crate) fn of_event(event: &Event) -> Result<Self, Error> {
        Ok(Self {
            form: FORM,
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
            operations: Some(serde_json::to_string(&event.operations).map_err(Error::Record)?),
        })
    }

    /// The row of an act of administration.
    pub(crate) fn of_deed(deed: &Deed) -> Self {
        Self {
            form: FORM,
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
            operations: None,
        }
    }

    /// A row as the file has it. Errors: a column that is not what this host writes.
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            form: row.try_get("form")?,
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
            operations: row.try_get("operations")?,
        })
    }

    /// Whether this host can make its hash.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.form, WITHOUT_OPERATIONS | FORM)
    }

    /// Its hash in its form, at a place after a hash.
    pub(crate) fn hash(&self, previous: &Hash, seq: i64) -> Hash {
        let older = self.form == WITHOUT_OPERATIONS;
        let mut digest = Sha256::new();
        digest.update(if older { b"remit audit row 1\0" } else { b"remit audit row 2\0" });
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
        // An older row has none: one that was given some afterwards has another hash.
        if !older || self.operations.is_some() {
            optional(&mut digest, self.operations.as_deref());
        }
        Hash(digest.finalize().into())
    }
}

/// The action of a call.
pub(crate) fn action(subject: Subject) -> &'static str {
    match subject {
        Subject::Tool => "tool.call",
        Subject::Resource => "resource.read",
        Subject::Node => "node.execute",
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(form: i64, operations: Option<&str>) -> Entry {
        let text = str::to_owned;
        Entry {
            form,
            at: text("2026-11-23T12:00:00.000000Z"),
            request: text("r"),
            call: text("c"),
            tenant: text("techstart"),
            actor: text("anyone"),
            agent: text("sales"),
            door: text("chat"),
            action: text("tool.call"),
            subject: text("tool"),
            name: text("n"),
            plugin: None,
            sources: text("{}"),
            arguments: text(r#"{"query":6}"#),
            details: None,
            duration_us: 5,
            outcome: text("ok"),
            code: None,
            operations: operations.map(text),
        }
    }

    /// The hashes are those that another program makes by the description at the top.
    #[test]
    fn a_rows_hash_is_what_its_form_says() {
        let older = entry(1, None).hash(&genesis("j"), 1);
        assert_eq!(older.to_string(), "00d1124ef30546a8c335af918a31bc56ab689d1fce6416ceec08257a58eedf85");
        let newer = entry(2, Some("[]")).hash(&older, 2);
        assert_eq!(newer.to_string(), "78ab7cdc18af83b49947bffb0b7ba7c88b3202c5a432ba050e3ebb081cec9142");
        assert_ne!(entry(1, Some("[]")).hash(&genesis("j"), 1), older);
        assert_ne!(entry(2, None).hash(&genesis("j"), 1), older);
    }
}
