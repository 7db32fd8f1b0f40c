//! Is the audit log as it was written? The whole chain is made again from the rows, and held against
//! seals, removals and checkpoints.
//!
//! What each finds: the chain, a row that was changed, moved or taken out of the middle; seals, which are
//! signed, a row that was made anew or cut before one; removals' signatures, rows that somebody else than this
//! host removed; checkpoints, everything else: a log that lost its end, with the seals that are in it, or had
//! it made anew. A seal without a signature is a fault, whatever wrote it: a host from before seals were signed
//! can't be told from a forger.
//! Deliberately absent: repair.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use remit_domain::signature::PublicKey;
use serde::Serialize;
use sqlx::{Row as _, SqliteConnection};

use crate::{
    Checkpoint, Error, Journal, audit,
    chain::{Entry, Hash, Head, genesis},
    segments::Segment,
};

/// What a log is held against.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Whose signatures count.
    pub key: Option<PublicKey>,
    /// Each with its line in its file, in the order in which they were made.
    pub checkpoints: Vec<(usize, Checkpoint)>,
}

/// A log without a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The journal's own id.
    pub journal: String,
    /// How many rows were read.
    pub events: i64,
    /// The place of the first row that is kept.
    pub first: i64,
    /// The place of the last row.
    pub last: i64,
    /// Its hash.
    pub head: Hash,
    /// How many seals there are.
    pub segments: usize,
    /// The last place that a seal speaks for; 0 without one.
    pub sealed: i64,
    /// Of these, whose rows were removed by this host.
    pub removed_segments: usize,
    /// How many checkpoints a row was held against.
    pub checkpoints: usize,
    /// How many are of rows that were removed since.
    pub checkpoints_of_removed: usize,
    /// The newest place that a checkpoint speaks for. Rows after it could be cut without a trace.
    pub attested: i64,
}

/// What is wrong with a log: the first thing that is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A row is not what was written, or not where it was written.
    #[error("row {seq} was changed: its hash does not fit what it holds and the row before it")]
    Changed {
        /// Its place.
        seq: i64,
    },
    /// A row stands in another's place.
    #[error("rows were reordered: what was written as row {seq} stands in row {now}")]
    Reordered {
        /// Where it was written.
        seq: i64,
        /// Where it is.
        now: i64,
    },
    /// A row in the middle is gone.
    #[error("row {seq} was removed: the next one there is row {next}")]
    Removed {
        /// Its place.
        seq: i64,
        /// The one after it.
        next: i64,
    },
    /// The end is gone.
    #[error("the log was cut: it ends with row {last}, and {by} knows row {seq}")]
    Cut {
        /// The last place that was there.
        seq: i64,
        /// The last that is.
        last: i64,
        /// What knows of it.
        by: String,
    },
    /// The chain fits, and is not the one that was signed.
    #[error("the log was rewritten: row {seq} has another hash than {by} says")]
    Rewritten {
        /// Where it shows.
        seq: i64,
        /// What knows the right one.
        by: String,
    },
    /// A seal does not follow on the one before it.
    #[error("the seal of segment {number} does not follow on the one before it")]
    Seal {
        /// Which.
        number: i64,
    },
    /// A seal is not this host's.
    #[error(
        "the seal of segment {number} is not signed with this host's key: it was changed or made by somebody else, or \
         is from before seals were signed, which can't be told apart"
    )]
    Unsealed {
        /// Which.
        number: i64,
    },
    /// Rows were removed, and not by this host.
    #[error("the rows up to {seq} were removed, and this host has not signed the removal of segment {number}")]
    Unsigned {
        /// Which segment.
        number: i64,
        /// Its last place.
        seq: i64,
    },
    /// There are seals and no key to check them with.
    #[error("there are seals, and no key to verify them with: give --key")]
    NoKey,
    /// A checkpoint is not this host's.
    #[error("the checkpoint in line {line} is not signed by this host's key")]
    Forged {
        /// Which.
        line: usize,
    },
    /// A checkpoint is of another journal, or this journal is another.
    #[error("the checkpoint in line {line} is of the journal {named}, and this one is {journal}")]
    Foreign {
        /// Which.
        line: usize,
        /// The journal that it names.
        named: String,
        /// This one.
        journal: String,
    },
    /// A row in a form that this host does not know.
    #[error("row {seq} is of form {form}, which this host does not know")]
    Unknown {
        /// Its place.
        seq: i64,
        /// Its form.
        form: i64,
    },
}

impl Fault {
    /// In a word, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Reordered { .. } => "reordered",
            Self::Removed { .. } => "removed",
            Self::Cut { .. } => "cut",
            Self::Rewritten { .. } => "rewritten",
            Self::Seal { .. } => "seal",
            Self::Unsealed { .. } => "seal_unsigned",
            Self::Unsigned { .. } => "removal_unsigned",
            Self::NoKey => "no_key",
            Self::Forged { .. } => "checkpoint_forged",
            Self::Foreign { .. } => "checkpoint_foreign",
            Self::Unknown { .. } => "form_unknown",
        }
    }

    /// The first row that it is about.
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Changed { seq }
            | Self::Reordered { seq, .. }
            | Self::Removed { seq, .. }
            | Self::Cut { seq, .. }
            | Self::Rewritten { seq, .. }
            | Self::Unsigned { seq, .. }
            | Self::Unknown { seq, .. } => Some(*seq),
            Self::Seal { .. } | Self::Unsealed { .. } | Self::NoKey | Self::Forged { .. } | Self::Foreign { .. } => {
                None
            }
        }
    }
}

/// How far behind a row that does not fit the one is looked for that does.
const SEARCHED_ROWS: i64 = 100_000;

impl Journal {
    /// Reads the whole log, some rows at a time, as it is at this moment; others may write meanwhile.
    ///
    /// Errors: [`Error::Read`] if it can't be read. `Err` within: the first fault.
    pub async fn verify(&self, expected: &Expected) -> Result<Result<Verified, Fault>, Error> {
        let mut snapshot = self.readers.begin().await.map_err(Error::Read)?;
        match verify(&mut snapshot, expected).await {
            Ok(verified) => Ok(Ok(verified)),
            Err(Stop::Fault(fault)) => Ok(Err(fault)),
            Err(Stop::Read(cause)) => Err(Error::Read(cause)),
        }
    }
}

/// Why reading ends early.
enum Stop {
    Fault(Fault),
    Read(sqlx::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(cause: sqlx::Error) -> Self {
        Self::Read(cause)
    }
}

/// What is known of a row's hash from elsewhere.
struct Known {
    hash: Hash,
    by: String,
    checkpoint: bool,
}

async fn verify(connection: &mut SqliteConnection, expected: &Expected) -> Result<Verified, Stop> {
    let journal = audit::identity(connection).await?;
    let mut known = checkpoints(&journal, expected)?;
    let segments = seals(connection, &journal, expected.key).await?;
    let removed = segments.iter().rev().find(|segment| segment.removed.is_some());
    let mut end = match removed {
        Some(segment) => Head { seq: segment.last, hash: segment.head },
        None => Head { seq: 0, hash: genesis(&journal) },
    };
    for segment in &segments {
        let seal =
            Known { hash: segment.head, by: format!("the seal of segment {}", segment.number), checkpoint: false };
        known.entry(segment.last).or_default().push(seal);
    }
    let mut verified = Verified {
        journal,
        events: 0,
        first: end.seq + 1,
        last: end.seq,
        head: end.hash,
        segments: segments.len(),
        sealed: segments.last().map_or(0, |segment| segment.last),
        removed_segments: segments.iter().filter(|segment| segment.removed.is_some()).count(),
        checkpoints: 0,
        checkpoints_of_removed: 0,
        attested: expected.checkpoints.iter().map(|(_, checkpoint)| checkpoint.seq).max().unwrap_or(0),
    };
    before(&mut known, &segments, end.seq, &mut verified)?;
    read_rows(connection, &mut end, &mut known, &mut verified).await?;
    if let Some((seq, by)) = known.into_iter().find_map(|(seq, known)| known.into_iter().next().map(|it| (seq, it.by)))
    {
        return Err(Fault::Cut { seq, last: end.seq, by }.into());
    }
    (verified.last, verified.head) = (end.seq, end.hash);
    Ok(verified)
}

/// Reads the kept rows, each held against the one before and against what is known of it.
async fn read_rows(
    connection: &mut SqliteConnection,
    end: &mut Head,
    known: &mut BTreeMap<i64, Vec<Known>>,
    verified: &mut Verified,
) -> Result<(), Stop> {
    let mut broken = None;
    {
        let mut rows =
            sqlx::query("SELECT * FROM audit WHERE seq > ? ORDER BY seq").bind(end.seq).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let seq: i64 = row.try_get("seq")?;
            if seq != end.seq + 1 {
                return Err(Fault::Removed { seq: end.seq + 1, next: seq }.into());
            }
            // What can't be read in these types was not written by a host.
            let changed = |_| Stop::from(Fault::Changed { seq });
            let (entry, stored) = (Entry::read(&row).map_err(changed)?, audit::hash(&row, "hash").map_err(changed)?);
            if !entry.is_known() {
                return Err(Fault::Unknown { seq, form: entry.form }.into());
            }
            if entry.hash(&end.hash, seq) != stored {
                broken = Some((seq, stored));
                break;
            }
            *end = Head { seq, hash: stored };
            verified.events += 1;
            for known in known.remove(&seq).into_iter().flatten() {
                if known.hash != stored {
                    return Err(Fault::Rewritten { seq, by: known.by }.into());
                }
                verified.checkpoints += usize::from(known.checkpoint);
            }
        }
    }
    match broken {
        Some((seq, stored)) => Err(why(connection, *end, seq, stored).await?.into()),
        None => Ok(()),
    }
}

/// Checks each checkpoint's signature, and sorts them by row.
fn checkpoints(journal: &str, expected: &Expected) -> Result<BTreeMap<i64, Vec<Known>>, Fault> {
    let mut known: BTreeMap<i64, Vec<Known>> = BTreeMap::new();
    for (line, checkpoint) in &expected.checkpoints {
        let line = *line;
        if !checkpoint.is_signed() || expected.key != Some(checkpoint.signature.key()) {
            return Err(Fault::Forged { line });
        }
        if checkpoint.journal != journal {
            let (named, journal) = (checkpoint.journal.clone(), journal.to_owned());
            return Err(Fault::Foreign { line, named, journal });
        }
        let by = format!("the checkpoint of {} in line {line}", checkpoint.at);
        known.entry(checkpoint.seq).or_default().push(Known { hash: checkpoint.head, by, checkpoint: true });
    }
    Ok(known)
}

/// Reads the seals: each is signed and follows on the one before, and what is removed is at the beginning, and
/// signed too.
async fn seals(connection: &mut SqliteConnection, journal: &str, key: Option<PublicKey>) -> Result<Vec<Segment>, Stop> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut rows = sqlx::query("SELECT * FROM segments ORDER BY number").fetch(connection);
    while let Some(row) = rows.try_next().await? {
        // What can't be read in these types was not written by a host.
        let number: i64 = row.try_get("number")?;
        let segment = Segment::read(&row).map_err(|_| Fault::Unsealed { number })?;
        let (before, last, hash, all_removed) = match segments.last() {
            Some(before) => (before.number, before.last, before.head, before.removed.is_some()),
            None => (0, 0, genesis(journal), true),
        };
        let follows = number == before + 1 && segment.first == last + 1 && segment.previous == hash;
        if !follows || segment.last < segment.first {
            return Err(Fault::Seal { number }.into());
        }
        let key = key.ok_or(Fault::NoKey)?;
        if !segment.is_sealed(journal, key) {
            return Err(Fault::Unsealed { number }.into());
        }
        if segment.removed.is_some() && !(all_removed && segment.is_removed_by(journal, key)) {
            return Err(Fault::Unsigned { number, seq: segment.last }.into());
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// Settles what is known of rows that are removed: a seal's last row can still be held against it.
fn before(
    known: &mut BTreeMap<i64, Vec<Known>>,
    segments: &[Segment],
    removed: i64,
    verified: &mut Verified,
) -> Result<(), Fault> {
    let kept = known.split_off(&(removed + 1));
    for (seq, known) in std::mem::replace(known, kept) {
        let seal = segments.iter().find(|segment| segment.last == seq);
        for known in known {
            if seal.is_some_and(|seal| seal.head != known.hash) {
                return Err(Fault::Rewritten { seq, by: known.by });
            }
            verified.checkpoints_of_removed += usize::from(known.checkpoint);
        }
    }
    Ok(())
}

/// Says of a row that does not fit what happened: another one that follows later may.
async fn why(connection: &mut SqliteConnection, end: Head, seq: i64, stored: Hash) -> Result<Fault, sqlx::Error> {
    let mut later = sqlx::query("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?")
        .bind(seq)
        .bind(SEARCHED_ROWS)
        .fetch(connection);
    while let Some(row) = later.try_next().await? {
        let (Ok(entry), Ok(its)) = (Entry::read(&row), audit::hash(&row, "hash")) else { continue };
        // It fits here with the hash that it has there, or with the one that was left here.
        let here = entry.hash(&end.hash, seq);
        if here == its || here == stored {
            return Ok(Fault::Reordered { seq, now: row.try_get("seq")? });
        }
    }
    Ok(Fault::Changed { seq })
}
