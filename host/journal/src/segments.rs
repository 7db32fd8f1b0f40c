//! Segments of the audit log: closed stretches, of which the oldest may be removed whole.
//!
//! A seal says where a segment begins and ends and between which hashes it lies, with the host's signature.
//! It stays when the rows are removed, with a signature over that too: without it, rows that are gone are a
//! fault to `verify`. The host signs nothing that it has not read: neither on a seal that it has not signed,
//! nor over rows that do not fit it. Deliberately absent: when to seal and what is old, which the caller
//! decides.

use futures::TryStreamExt as _;
use remit_domain::signature::{PublicKey, Purpose, SecretKey, Signature};
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};
use time::OffsetDateTime;

use crate::{
    Error, Journal, audit,
    chain::{Entry, Hash, Head, digest_of, genesis, instant},
};

/// When a segment is full.
#[derive(Debug, Clone, Copy)]
pub struct Fullness {
    /// With this many rows.
    pub rows: u32,
    /// When its first row is this old, however few there are.
    pub age: time::Duration,
}

/// A closed stretch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// From 1.
    pub number: i64,
    /// Its first row's place.
    pub first: i64,
    /// Its last row's place.
    pub last: i64,
    /// The hash before its first row.
    pub previous: Hash,
    /// The hash of its last row.
    pub head: Hash,
    /// The oldest instant in it, in RFC 3339.
    pub since: String,
    /// The newest.
    pub until: String,
    /// When it was closed.
    pub sealed: String,
    /// The host's signature over all of this. None: it has none, or what stands there is no signature.
    pub seal: Option<Signature>,
    /// When its rows were removed, with the host's signature over that.
    pub removed: Option<(String, String)>,
}

impl Segment {
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let removed: Option<String> = row.try_get("removed")?;
        let signature: Option<String> = row.try_get("signature")?;
        let seal: Option<String> = row.try_get("seal")?;
        Ok(Self {
            number: row.try_get("number")?,
            first: row.try_get("first")?,
            last: row.try_get("last")?,
            previous: audit::hash(row, "previous")?,
            head: audit::hash(row, "head")?,
            since: row.try_get("since")?,
            until: row.try_get("until")?,
            sealed: row.try_get("sealed")?,
            seal: seal.and_then(|text| text.parse().ok()),
            removed: removed.zip(Some(signature.unwrap_or_default())),
        })
    }

    /// The same with this key's signature.
    pub(crate) fn signed(self, journal: &str, key: &SecretKey) -> Self {
        let seal = Some(key.sign_for(Purpose::Seal, &self.digest(journal, None)));
        Self { seal, ..self }
    }

    /// Whether this key has signed the seal, in this journal.
    pub(crate) fn is_sealed(&self, journal: &str, key: PublicKey) -> bool {
        self.seal.is_some_and(|seal| {
            seal.key() == key && seal.verify_for(Purpose::Seal, &self.digest(journal, None)).is_ok()
        })
    }

    /// Whether this key has signed the removal of the rows, in this journal.
    pub(crate) fn is_removed_by(&self, journal: &str, key: PublicKey) -> bool {
        let Some((removed, signature)) = &self.removed else { return false };
        signature.parse().is_ok_and(|signature: Signature| {
            let digest = self.digest(journal, Some(removed));
            signature.key() == key && signature.verify_for(Purpose::Removal, &digest).is_ok()
        })
    }

    /// What the host signs when it closes a segment, or when it removes its rows.
    fn digest(&self, journal: &str, removed: Option<&str>) -> [u8; 32] {
        let (number, first, last) = (self.number.to_string(), self.first.to_string(), self.last.to_string());
        let (previous, head) = (self.previous.to_string(), self.head.to_string());
        let (since, until, sealed) = (&self.since, &self.until, &self.sealed);
        let seal = ["1", journal, &number, &first, &last, &previous, &head, since, until, sealed];
        digest_of(&[&seal, removed.as_slice()].concat())
    }
}

/// What a removal took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many segments.
    pub segments: usize,
    /// How many rows.
    pub events: i64,
    /// The last place that was removed; the log begins after it.
    pub through: i64,
}

/// How many rows one statement removes: calls have to be recorded between.
const ROWS_AT_ONCE: i64 = 500;

impl Journal {
    /// Closes what is full, oldest first, and gives the segments that makes.
    ///
    /// Errors: [`Error::Unsealed`] if the newest seal is not signed with this key; [`Error::Altered`] for
    /// rows that do not fit the chain; [`Error::Read`]; [`Error::Write`].
    pub async fn seal(&self, full: Fullness, key: &SecretKey, now: OffsetDateTime) -> Result<Vec<Segment>, Error> {
        let mut sealed = Vec::new();
        while let Some(segment) = self.full(full, key, now).await? {
            if !self.insert(&segment).await.map_err(Error::Write)? {
                break;
            }
            sealed.push(segment);
        }
        Ok(sealed)
    }

    /// The next segment, signed, if there is enough for one.
    async fn full(&self, full: Fullness, key: &SecretKey, now: OffsetDateTime) -> Result<Option<Segment>, Error> {
        let mut snapshot = self.readers.begin().await.map_err(Error::Read)?;
        let journal = audit::identity(&mut snapshot).await.map_err(Error::Read)?;
        let newest = sqlx::query("SELECT * FROM segments ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *snapshot)
            .await
            .map_err(Error::Read)?;
        let (number, before) = match newest.as_ref().map(Segment::read).transpose().map_err(Error::Read)? {
            Some(seal) if !seal.is_sealed(&journal, key.public()) => {
                return Err(Error::Unsealed { segment: seal.number });
            }
            Some(seal) => (seal.number + 1, Head { seq: seal.last, hash: seal.head }),
            None => (1, Head { seq: 0, hash: genesis(&journal) }),
        };
        let end = audit::head(&mut snapshot).await.map_err(Error::Read)?;
        let (rows, first) = (i64::from(full.rows.max(1)), before.seq + 1);
        let last = if end.seq - before.seq >= rows {
            before.seq + rows
        } else if end.seq > before.seq
            && is_old(&mut snapshot, first, &instant(now - full.age)).await.map_err(Error::Read)?
        {
            end.seq
        } else {
            return Ok(None);
        };
        let stretch = Stretch::read(&mut snapshot, before, last).await.map_err(Error::Read)?;
        let Stretch { end, since, until } = stretch.ok_or(Error::Altered { segment: number })?;
        let (previous, sealed) = (before.hash, instant(now));
        let (seal, removed) = (None, None);
        let segment = Segment { number, first, last, previous, head: end.hash, since, until, sealed, seal, removed };
        Ok(Some(segment.signed(&journal, key)))
    }

    /// False if another process has closed a segment of that number.
    async fn insert(&self, segment: &Segment) -> Result<bool, sqlx::Error> {
        let inserted = sqlx::query(
            "INSERT INTO segments (number, first, last, previous, head, since, until, sealed, seal)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO NOTHING",
        )
        .bind(segment.number)
        .bind(segment.first)
        .bind(segment.last)
        .bind(segment.previous.as_bytes().as_slice())
        .bind(segment.head.as_bytes().as_slice())
        .bind(segment.since.as_str())
        .bind(segment.until.as_str())
        .bind(segment.sealed.as_str())
        .bind(segment.seal.map(|seal| seal.to_string()))
        .execute(&self.lasting)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Removes the rows of the oldest segments, those whose newest row is from before an instant. The seals
    /// stay, signed. What an earlier removal did not get to the end of is finished.
    ///
    /// Errors: [`Error::Unsealed`] for a segment that was not sealed with this key, and [`Error::Altered`] for
    /// one that is not as it was sealed, which both stay; [`Error::Read`]; [`Error::Write`].
    pub async fn prune(&self, before: OffsetDateTime, key: &SecretKey, now: OffsetDateTime) -> Result<Pruned, Error> {
        let (before, now) = (instant(before), instant(now));
        let mut pruned = Pruned { segments: 0, events: 0, through: 0 };
        while let Some(segment) = self.oldest().await.map_err(Error::Read)? {
            if segment.until >= before {
                break;
            }
            // What this host signs away, it has seen: neither dates nor hashes are taken from the seal alone.
            self.is_intact(&segment, key.public()).await?;
            self.mark_removed(&segment, key, &now).await.map_err(Error::Write)?;
            pruned.segments += 1;
            pruned.events += segment.last - segment.first + 1;
            pruned.through = segment.last;
        }
        self.clear().await.map_err(Error::Write)?;
        Ok(pruned)
    }

    async fn oldest(&self) -> Result<Option<Segment>, sqlx::Error> {
        let row = sqlx::query("SELECT * FROM segments WHERE removed IS NULL ORDER BY number LIMIT 1")
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(Segment::read).transpose()
    }

    /// Errors: [`Error::Unsealed`]; [`Error::Altered`] if the rows are not those that were sealed.
    async fn is_intact(&self, segment: &Segment, key: PublicKey) -> Result<(), Error> {
        let mut snapshot = self.readers.begin().await.map_err(Error::Read)?;
        let journal = audit::identity(&mut snapshot).await.map_err(Error::Read)?;
        if !segment.is_sealed(&journal, key) {
            return Err(Error::Unsealed { segment: segment.number });
        }
        let before = Head { seq: segment.first - 1, hash: segment.previous };
        let found = Stretch::read(&mut snapshot, before, segment.last).await.map_err(Error::Read)?;
        let intact = found.is_some_and(|found| found.end.hash == segment.head && found.until == segment.until);
        if intact { Ok(()) } else { Err(Error::Altered { segment: segment.number }) }
    }

    /// Marks a segment as removed, unless another process has.
    async fn mark_removed(&self, segment: &Segment, key: &SecretKey, now: &str) -> Result<(), sqlx::Error> {
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await?;
        let journal = audit::identity(&mut change).await?;
        let signature = key.sign_for(Purpose::Removal, &segment.digest(&journal, Some(now)));
        sqlx::query("UPDATE segments SET removed = ?, signature = ? WHERE number = ? AND removed IS NULL")
            .bind(now)
            .bind(signature.to_string())
            .bind(segment.number)
            .execute(&mut *change)
            .await?;
        change.commit().await
    }

    /// Deletes the rows of segments that are marked as removed, some at a time.
    async fn clear(&self) -> Result<(), sqlx::Error> {
        loop {
            let deleted = sqlx::query(
                "DELETE FROM audit WHERE seq IN (
                     SELECT seq FROM audit
                     WHERE seq <= (SELECT max(last) FROM segments WHERE removed IS NOT NULL) ORDER BY seq LIMIT ?)",
            )
            .bind(ROWS_AT_ONCE)
            .execute(&self.lasting)
            .await?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

/// Rows that follow one on the other, each with the hash that fits.
struct Stretch {
    end: Head,
    since: String,
    until: String,
}

impl Stretch {
    /// Reads the rows after a head, up to a place. None: one is missing, or does not fit.
    async fn read(connection: &mut SqliteConnection, before: Head, last: i64) -> Result<Option<Self>, sqlx::Error> {
        let mut rows = sqlx::query("SELECT * FROM audit WHERE seq > ? AND seq <= ? ORDER BY seq")
            .bind(before.seq)
            .bind(last)
            .fetch(connection);
        let mut stretch = Self { end: before, since: String::new(), until: String::new() };
        while let Some(row) = rows.try_next().await? {
            let (seq, entry): (i64, Entry) = (row.try_get("seq")?, Entry::read(&row)?);
            let hash = entry.hash(&stretch.end.hash, seq);
            if seq != stretch.end.seq + 1 || hash != audit::hash(&row, "hash")? {
                return Ok(None);
            }
            let since = if stretch.since.is_empty() { entry.at.clone() } else { stretch.since.min(entry.at.clone()) };
            stretch = Self { end: Head { seq, hash }, since, until: stretch.until.max(entry.at) };
        }
        Ok((stretch.end.seq == last).then_some(stretch))
    }
}

/// Whether a row is from before an instant.
async fn is_old(connection: &mut SqliteConnection, seq: i64, before: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit WHERE seq = ? AND at <= ?)")
        .bind(seq)
        .bind(before)
        .fetch_one(connection)
        .await
}
