//! Segments of the audit log: closed stretches, of which the oldest may be removed whole.
//!
//! A seal says where a segment begins and ends and between which hashes it lies. It stays when the rows
//! are removed, with the host's signature over the removal: without one, rows that are gone are a fault
//! to `verify`. Deliberately absent: when to seal and what is old, which the caller decides.

use futures::TryStreamExt as _;
use remit_domain::signature::{Purpose, SecretKey};
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
    /// When its rows were removed, with the host's signature over that.
    pub removed: Option<(String, String)>,
}

impl Segment {
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let removed: Option<String> = row.try_get("removed")?;
        let signature: Option<String> = row.try_get("signature")?;
        Ok(Self {
            number: row.try_get("number")?,
            first: row.try_get("first")?,
            last: row.try_get("last")?,
            previous: audit::hash(row, "previous")?,
            head: audit::hash(row, "head")?,
            since: row.try_get("since")?,
            until: row.try_get("until")?,
            sealed: row.try_get("sealed")?,
            removed: removed.zip(Some(signature.unwrap_or_default())),
        })
    }

    /// What the host signs when it removes the rows.
    pub(crate) fn removal(&self, journal: &str, removed: &str) -> [u8; 32] {
        let (number, first, last) = (self.number.to_string(), self.first.to_string(), self.last.to_string());
        let (previous, head) = (self.previous.to_string(), self.head.to_string());
        let (since, until, sealed) = (&self.since, &self.until, &self.sealed);
        digest_of(&["1", journal, &number, &first, &last, &previous, &head, since, until, sealed, removed])
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
    /// Errors: [`Error::Write`].
    pub async fn seal(&self, full: Fullness, now: OffsetDateTime) -> Result<Vec<Segment>, Error> {
        let mut sealed = Vec::new();
        while let Some(segment) = self.seal_one(full, now).await.map_err(Error::Write)? {
            sealed.push(segment);
        }
        Ok(sealed)
    }

    async fn seal_one(&self, full: Fullness, now: OffsetDateTime) -> Result<Option<Segment>, sqlx::Error> {
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await?;
        let before = sqlx::query("SELECT number, last, head FROM segments ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *change)
            .await?;
        let (number, before) = match before {
            Some(row) => (row.try_get("number")?, Head { seq: row.try_get("last")?, hash: audit::hash(&row, "head")? }),
            None => (0_i64, Head { seq: 0, hash: genesis(&audit::identity(&mut change).await?) }),
        };
        let end = audit::head(&mut change).await?;
        let rows = i64::from(full.rows.max(1));
        let first = before.seq + 1;
        let last = if end.seq - before.seq >= rows {
            before.seq + rows
        } else if end.seq > before.seq && is_old(&mut change, first, &instant(now - full.age)).await? {
            end.seq
        } else {
            return Ok(None);
        };
        // Nothing is inserted for a stretch whose last row is not there: `verify` says what is wrong.
        let sealed = sqlx::query(
            "INSERT INTO segments (number, first, last, previous, head, since, until, sealed)
             SELECT ?1, ?2, ?3, ?4, (SELECT hash FROM audit WHERE seq = ?3), min(at), max(at), ?5
             FROM audit WHERE seq BETWEEN ?2 AND ?3
             HAVING EXISTS (SELECT 1 FROM audit WHERE seq = ?3) RETURNING *",
        )
        .bind(number + 1)
        .bind(first)
        .bind(last)
        .bind(before.hash.as_bytes().as_slice())
        .bind(instant(now))
        .fetch_optional(&mut *change)
        .await?;
        change.commit().await?;
        sealed.as_ref().map(Segment::read).transpose()
    }

    /// Removes the rows of the oldest segments, those whose newest row is from before an instant. The seals
    /// stay, signed. What an earlier removal did not get to the end of is finished.
    ///
    /// Errors: [`Error::Altered`] for a segment that is not as it was sealed, which stays;
    /// [`Error::Read`]; [`Error::Write`].
    pub async fn prune(&self, before: OffsetDateTime, key: &SecretKey, now: OffsetDateTime) -> Result<Pruned, Error> {
        let (before, now) = (instant(before), instant(now));
        let mut pruned = Pruned { segments: 0, events: 0, through: 0 };
        while let Some(segment) = self.oldest().await.map_err(Error::Read)? {
            if segment.until >= before {
                break;
            }
            // What this host signs away, it has seen: neither dates nor hashes are taken from the seal alone.
            if !self.is_intact(&segment).await.map_err(Error::Read)? {
                return Err(Error::Altered { segment: segment.number });
            }
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

    /// Whether the rows of a segment are those that were sealed.
    async fn is_intact(&self, segment: &Segment) -> Result<bool, sqlx::Error> {
        let mut rows = sqlx::query("SELECT * FROM audit WHERE seq BETWEEN ? AND ? ORDER BY seq")
            .bind(segment.first)
            .bind(segment.last)
            .fetch(&self.readers);
        let (mut end, mut until) = (Head { seq: segment.first - 1, hash: segment.previous }, String::new());
        while let Some(row) = rows.try_next().await? {
            let (seq, entry): (i64, Entry) = (row.try_get("seq")?, Entry::read(&row)?);
            let hash = entry.hash(&end.hash, seq);
            if seq != end.seq + 1 || hash != audit::hash(&row, "hash")? {
                return Ok(false);
            }
            end = Head { seq, hash };
            until = until.max(entry.at);
        }
        Ok(end == Head { seq: segment.last, hash: segment.head } && until == segment.until)
    }

    /// Marks a segment as removed, unless another process has.
    async fn mark_removed(&self, segment: &Segment, key: &SecretKey, now: &str) -> Result<(), sqlx::Error> {
        let mut change = self.lasting.begin_with("BEGIN IMMEDIATE").await?;
        let journal = audit::identity(&mut change).await?;
        let signature = key.sign_for(Purpose::Removal, &segment.removal(&journal, now));
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

/// Whether a row is from before an instant.
async fn is_old(connection: &mut SqliteConnection, seq: i64, before: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM audit WHERE seq = ? AND at <= ?)")
        .bind(seq)
        .bind(before)
        .fetch_one(connection)
        .await
}
