//! Checkpoints: where the chain of the audit log stood at a moment, signed by this host.
//!
//! A checkpoint is worth something once it is where nobody who can write the journal can write: then a
//! log that was cut or made anew doesn't fit it. One is a line of JSON:
//! `{"form": 1, "journal", "seq", "count", "head", "at", "signature"}`.
//!
//! Deliberately absent: files and how checkpoints leave the machine.

use remit_domain::signature::{Purpose, SecretKey, Signature};
use serde::{Deserialize, Serialize, Serializer};
use time::OffsetDateTime;

use crate::{
    Error, Journal, Segment, audit,
    chain::{Hash, Head, digest_of, instant},
};

/// A signed statement of where the log ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// How it is signed: 1.
    pub form: u8,
    /// The journal's own id.
    pub journal: String,
    /// The last row's place.
    pub seq: i64,
    /// How many rows were kept then.
    pub count: i64,
    /// The last row's hash.
    pub head: Hash,
    /// When, in RFC 3339.
    pub at: String,
    /// Over all of this.
    #[serde(serialize_with = "text")]
    pub signature: Signature,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authored {
    form: u8,
    journal: String,
    seq: i64,
    count: i64,
    head: String,
    at: String,
    signature: String,
}

impl Checkpoint {
    /// The most bytes of one as text.
    pub const MAX_BYTES: usize = 1024;

    /// Signs where a log stands.
    fn sign(journal: String, head: Head, count: i64, at: OffsetDateTime, key: &SecretKey) -> Self {
        let at = instant(at);
        let signature = key.sign_for(Purpose::Checkpoint, &digest(&journal, head, count, &at));
        Self { form: 1, journal, seq: head.seq, count, head: head.hash, at, signature }
    }

    /// Reads a line. None: it is no checkpoint of a form that this host knows.
    pub fn parse(line: &str) -> Option<Self> {
        if line.len() > Self::MAX_BYTES {
            return None;
        }
        let authored: Authored = serde_json::from_str(line).ok()?;
        let Authored { form, journal, seq, count, head, at, signature } = authored;
        let (head, signature) = (Hash::parse(&head)?, signature.parse().ok()?);
        (form == 1).then_some(Self { form, journal, seq, count, head, at, signature })
    }

    /// Whether the key that its signature names has signed it. Whether that is the right key is another question.
    pub fn is_signed(&self) -> bool {
        let head = Head { seq: self.seq, hash: self.head };
        self.signature.verify_for(Purpose::Checkpoint, &digest(&self.journal, head, self.count, &self.at)).is_ok()
    }

    /// As a line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Journal {
    /// Signs where the audit log stands now. None for a log without rows.
    ///
    /// Errors: [`Error::Read`].
    pub async fn checkpoint(&self, key: &SecretKey, now: OffsetDateTime) -> Result<Option<Checkpoint>, Error> {
        let head = self.head().await?;
        if head.seq == 0 { Ok(None) } else { self.attest(head, key, now).await.map(Some) }
    }

    /// Signs where a segment ends: the one place of it that a checkpoint is held against after its rows
    /// were removed.
    ///
    /// Errors: [`Error::Read`].
    pub async fn checkpoint_of(
        &self,
        segment: &Segment,
        key: &SecretKey,
        now: OffsetDateTime,
    ) -> Result<Checkpoint, Error> {
        self.attest(Head { seq: segment.last, hash: segment.head }, key, now).await
    }

    async fn attest(&self, head: Head, key: &SecretKey, now: OffsetDateTime) -> Result<Checkpoint, Error> {
        let (journal, removed): (String, i64) = sqlx::query_as(
            "SELECT id, (SELECT coalesce(max(last), 0) FROM segments WHERE removed IS NOT NULL) FROM identity",
        )
        .fetch_one(&self.readers)
        .await
        .map_err(Error::Read)?;
        Ok(Checkpoint::sign(journal, head, head.seq - removed, now, key))
    }

    /// Where the audit log ends. Errors: [`Error::Read`].
    pub async fn head(&self) -> Result<Head, Error> {
        let mut snapshot = self.readers.begin().await.map_err(Error::Read)?;
        audit::head(&mut snapshot).await.map_err(Error::Read)
    }
}

fn digest(journal: &str, head: Head, count: i64, at: &str) -> [u8; 32] {
    digest_of(&["1", journal, &head.seq.to_string(), &count.to_string(), &head.hash.to_string(), at])
}

fn text<S: Serializer>(signature: &Signature, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(signature)
}
