//! The one task that writes: takes whatever waits, writes it in one transaction, answers each waiter
//! after the commit.
//!
//! The queue has no bound for those who wait for an answer: there are only as many of them as calls
//! in flight, and a bound would lose the event of a caller that goes away while waiting for room.
//! Events for which nobody waits are bounded by [`MAX_UNATTENDED`]; beyond it, while the disk does not
//! keep up, an event goes to the log instead and `remit_audit_lost_total` counts it. An event whose
//! write fails is kept and tried again, even if its waiter was told of the failure: the record of a
//! call that happened is worth more than the symmetry.
//!
//! Deliberately absent: reading, and any judgement of what is written.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use remit_domain::{conversation::Key, usage::Tally};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error, audit,
    chain::{Entry, Head},
    conversations,
    error::is_of_the_record,
    executions::{self, Progress},
    schema, usage,
};

/// The most orders of one transaction. Larger ones make the first waiter wait for the last.
const MAX_BATCH: usize = 512;
/// The most events without a waiter that are held in memory: some 20 MB of usual ones.
const MAX_UNATTENDED: usize = 16 * 1024;
/// How long until kept events are tried again if nothing else wakes the writer.
const RETRY: Duration = Duration::from_secs(1);

/// How long the task believes that it knows where the audit log ends.
const TRUSTED: Duration = Duration::from_secs(60);

/// What became of an order.
type Answer = Result<(), Arc<Error>>;

/// The way to the writer. Cheap to clone; the writer ends after the last one is gone.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    orders: mpsc::UnboundedSender<Order>,
    /// Events without a waiter: those in the queue and those kept after a failure.
    unattended: Arc<AtomicUsize>,
}

impl Queue {
    /// Writes a row of the audit log. It is on its way as soon as this is first polled, and is written
    /// whether or not anybody waits for the end. With `synced`, it survives a power cut too.
    pub(crate) async fn entry(&self, entry: Entry, synced: bool) -> Result<(), remit_domain::Error> {
        let kept = Kept { entry, synced, since: None };
        self.order(|waiter| Order::Entry(Box::new(kept), Some(waiter))).await
    }

    /// Writes a row for which nobody waits. Never blocks.
    pub(crate) fn entry_later(&self, entry: Entry) {
        if self.unattended.fetch_add(1, Ordering::Relaxed) >= MAX_UNATTENDED {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
            lost(&entry, "too many wait to be written");
            return;
        }
        let kept = Kept { entry, synced: false, since: None };
        if let Err(mpsc::error::SendError(order)) = self.orders.send(Order::Entry(Box::new(kept), None)) {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
            if let Order::Entry(kept, _) = order {
                lost(&kept.entry, "the journal is closed");
            }
        }
    }

    /// Adds messages, each as JSON, to a conversation: all or none. As lasting as [`Self::entry`].
    pub(crate) async fn append(&self, key: Key, messages: Vec<String>) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Append(Box::new(key), messages, waiter)).await
    }

    /// Writes what was used, in place of what was written before: all or none.
    pub(crate) async fn tallies(&self, tallies: Vec<Tally>) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Tallies(tallies, waiter)).await
    }

    /// Writes what a run did, and how it ended if it did: all or none, and so that it survives a power cut.
    pub(crate) async fn progress(&self, progress: Progress) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Progress(Box::new(progress), waiter)).await
    }

    /// Writes the row of probes.
    pub(crate) async fn probe(&self) -> Result<(), remit_domain::Error> {
        self.order(Order::Probe).await
    }

    /// Returns when everything ordered before is written and the file is closed.
    pub(crate) async fn close(&self) {
        let (waiter, closed) = oneshot::channel();
        if self.orders.send(Order::Close(waiter)).is_ok() {
            // An error says that the writer has ended, which is what was wanted.
            let _ = closed.await;
        }
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<Answer>) -> Order) -> Result<(), remit_domain::Error> {
        let (waiter, answer) = oneshot::channel();
        self.orders.send(order(waiter)).map_err(|_| Error::Closed.into_domain())?;
        let answer = answer.await.map_err(|_| Error::Closed.into_domain())?;
        answer.map_err(Error::shared_into_domain)
    }
}

/// A row of the audit log on its way.
#[derive(Debug)]
struct Kept {
    entry: Entry,
    /// Whether it has to survive a power cut.
    synced: bool,
    /// Where the log ended before this was first tried: from there on it may be there already, if what
    /// was reported as failed was written all the same.
    since: Option<i64>,
}

/// One thing to write, and who waits for it.
#[derive(Debug)]
enum Order {
    Entry(Box<Kept>, Option<oneshot::Sender<Answer>>),
    Append(Box<Key>, Vec<String>, oneshot::Sender<Answer>),
    Tallies(Vec<Tally>, oneshot::Sender<Answer>),
    Progress(Box<Progress>, oneshot::Sender<Answer>),
    Probe(oneshot::Sender<Answer>),
    Close(oneshot::Sender<()>),
}

impl Order {
    fn row(&self) -> Option<&Kept> {
        match self {
            Self::Entry(kept, _) => Some(kept),
            _ => None,
        }
    }

    /// What a run did, if that is all it is.
    fn steps(&self) -> Option<&Progress> {
        match self {
            Self::Progress(progress, _) if progress.is_plain() => Some(progress),
            _ => None,
        }
    }

    /// Whether it has to survive a power cut.
    fn synced(&self) -> bool {
        match self {
            Self::Entry(kept, _) => kept.synced,
            Self::Progress(..) => true,
            Self::Append(..) | Self::Tallies(..) | Self::Probe(_) | Self::Close(_) => false,
        }
    }

    /// Writes what is no row of the audit log.
    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::Append(key, messages, _) => conversations::insert(connection, key, messages).await,
            Self::Tallies(tallies, _) => usage::upsert(connection, tallies).await,
            Self::Progress(progress, _) => executions::write(connection, progress).await,
            Self::Probe(_) => {
                let statement = "INSERT INTO probe (only, at) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET at = ?1";
                let now = audit::instant(time::OffsetDateTime::now_utc());
                sqlx::query(statement).bind(now).execute(connection).await.map(drop)
            }
            Self::Entry(..) | Self::Close(_) => Ok(()),
        }
    }
}

/// How to connect to the file, at the start and again after a failure.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    pub(crate) path: PathBuf,
    pub(crate) options: SqliteConnectOptions,
}

impl Opener {
    /// Errors: as [`schema::opening`].
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, Error> {
        SqliteConnection::connect_with(&self.options).await.map_err(|cause| schema::opening(&self.path, cause))
    }
}

/// Where the audit log ended when this task last wrote.
#[derive(Debug, Clone, Copy)]
struct Seen {
    head: Head,
    when: Instant,
}

impl Seen {
    fn now(head: Head) -> Self {
        Self { head, when: Instant::now() }
    }

    /// The head, while nobody can have appended after it and removed that again: retention leaves rows
    /// alone for a day, and a place that was removed would not be refused.
    fn trusted(self) -> Option<Head> {
        (self.when.elapsed() < TRUSTED).then_some(self.head)
    }
}

/// The task's own state.
pub(crate) struct Writer {
    orders: mpsc::UnboundedReceiver<Order>,
    unattended: Arc<AtomicUsize>,
    opener: Opener,
    /// None after a failure that may lie in the connection.
    connection: Option<SqliteConnection>,
    /// Where the audit log ended when this task last wrote; another process may have appended since.
    head: Option<Seen>,
    /// Rows whose write failed, to be tried again.
    kept: Vec<Kept>,
}

impl Writer {
    /// Starts the task on the current runtime.
    pub(crate) fn start(connection: SqliteConnection, opener: Opener) -> Queue {
        let (sender, orders) = mpsc::unbounded_channel();
        let unattended = Arc::new(AtomicUsize::new(0));
        let counted = unattended.clone();
        let connection = Some(connection);
        let writer = Self { orders, unattended: counted, opener, connection, head: None, kept: Vec::new() };
        tokio::spawn(writer.run());
        Queue { orders: sender, unattended }
    }

    async fn run(mut self) {
        let mut closing = Vec::new();
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            batch.extend(self.kept.drain(..).map(|kept| Order::Entry(Box::new(kept), None)));
            let kept = batch.len();
            let received = self.orders.recv_many(&mut batch, MAX_BATCH);
            let ended = match kept {
                0 => received.await == 0,
                // Time out: try again what is kept.
                _ => tokio::time::timeout(RETRY, received).await == Ok(0),
            };
            self.commit(&mut batch, &mut closing).await;
            if ended {
                break;
            }
            if !closing.is_empty() {
                // What was ordered before the close is still received.
                self.orders.close();
            }
        }
        for kept in self.kept.drain(..) {
            lost(&kept.entry, "the journal closed before it could be written");
        }
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the journal did not close cleanly");
        }
        for waiter in closing {
            let _ = waiter.send(());
        }
    }

    /// Writes a batch and answers its waiters; leaves it empty.
    async fn commit(&mut self, batch: &mut Vec<Order>, closing: &mut Vec<oneshot::Sender<()>>) {
        if batch.is_empty() {
            return;
        }
        let result = self.write(batch).await;
        metrics::histogram!("remit_journal_batch_size").record(batch.len() as f64);
        match result {
            Ok(()) => {
                for order in batch.drain(..) {
                    self.answer(order, Ok(()), closing);
                }
            }
            // One of them can't be written, and must not take the others with it.
            Err(Error::Write(cause)) if is_of_the_record(&cause) && batch.len() > 1 => {
                for mut order in std::mem::take(batch) {
                    let result = self.write(std::slice::from_mut(&mut order)).await.map_err(Arc::new);
                    self.answer(order, result, closing);
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for order in batch.drain(..) {
                    self.answer(order, Err(error.clone()), closing);
                }
            }
        }
    }

    /// Writes all or none.
    async fn write(&mut self, batch: &mut [Order]) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.opener.connect().await?,
        };
        let synced = batch.iter().any(Order::synced);
        let written = if synced {
            write_synced(&mut connection, &mut self.head, batch).await
        } else {
            write_with(&mut connection, &mut self.head, batch).await
        };
        match written {
            Ok(()) => self.connection = Some(connection),
            Err(cause) => {
                tracing::error!(
                    error = &cause as &dyn std::error::Error,
                    orders = batch.len(),
                    "the journal can't be written"
                );
                self.head = None;
                if is_of_the_record(&cause) {
                    self.connection = Some(connection);
                }
                return Err(Error::Write(cause));
            }
        }
        Ok(())
    }

    fn answer(&mut self, order: Order, answer: Answer, closing: &mut Vec<oneshot::Sender<()>>) {
        // A waiter that went away loses nothing: the write has happened.
        match order {
            Order::Entry(kept, waiter) => {
                let attended = waiter.is_some();
                let error = answer.as_ref().err().cloned();
                if let Some(waiter) = waiter {
                    let _ = waiter.send(answer);
                }
                self.settle(kept, attended, error.as_deref());
            }
            Order::Append(_, _, waiter)
            | Order::Tallies(_, waiter)
            | Order::Progress(_, waiter)
            | Order::Probe(waiter) => {
                let _ = waiter.send(answer);
            }
            Order::Close(waiter) => closing.push(waiter),
        }
    }

    /// Keeps a row that could not be written now, unless it never can be or too many are kept.
    fn settle(&mut self, kept: Box<Kept>, attended: bool, error: Option<&Error>) {
        let hopeless = match error {
            None => {
                self.release(attended);
                return;
            }
            Some(Error::Write(cause)) => is_of_the_record(cause),
            Some(_) => false,
        };
        if hopeless {
            self.release(attended);
            lost(&kept.entry, "the database refuses it");
        } else if attended && self.unattended.fetch_add(1, Ordering::Relaxed) >= MAX_UNATTENDED {
            self.release(false);
            lost(&kept.entry, "too many wait to be written");
        } else {
            self.kept.push(*kept);
        }
    }

    fn release(&self, attended: bool) {
        if !attended {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// As [`write_with`], for what has to survive a power cut.
async fn write_synced(
    connection: &mut SqliteConnection,
    head: &mut Option<Seen>,
    batch: &mut [Order],
) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    let written = write_with(connection, head, batch).await;
    let restored = sqlx::query("PRAGMA synchronous = NORMAL").execute(connection).await;
    written.and(restored.map(drop))
}

/// Writes all or none. One statement is a transaction by itself, and the cheapest: rows of the audit log
/// are chained to the head that this task knows, and the database refuses them if another process has
/// appended since.
async fn write_with(
    connection: &mut SqliteConnection,
    head: &mut Option<Seen>,
    batch: &mut [Order],
) -> Result<(), sqlx::Error> {
    if let [order @ Order::Probe(_)] = batch {
        return order.write(connection).await;
    }
    let steps: Option<Vec<&Progress>> = batch.iter().map(Order::steps).collect();
    if let Some(steps) = steps.filter(|steps| executions::fit(steps)) {
        return executions::append(connection, &steps).await;
    }
    let plain = batch.len() <= audit::MAX_ROWS
        && batch.iter().all(|order| order.row().is_some_and(|kept| kept.since.is_none()));
    if let (true, Some(end)) = (plain, head.and_then(Seen::trusted)) {
        let entries: Vec<&Entry> = batch.iter().filter_map(Order::row).map(|kept| &kept.entry).collect();
        match audit::append(connection, end, &entries).await {
            Err(error) if audit::is_taken(&error) => {}
            Err(error) => {
                mark(batch, end);
                return Err(error);
            }
            Ok(end) => {
                *head = Some(Seen::now(end));
                return Ok(());
            }
        }
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut end = None;
    if batch.iter().any(|order| order.row().is_some()) {
        let before = audit::head(&mut transaction).await?;
        mark(batch, before);
        end = Some(append_all(&mut transaction, before, batch).await?);
    }
    for order in &*batch {
        order.write(&mut transaction).await?;
    }
    transaction.commit().await?;
    *head = end.map(Seen::now).or(*head);
    Ok(())
}

/// Appends the rows of a batch but for those that are there. Within a transaction.
async fn append_all(connection: &mut SqliteConnection, before: Head, batch: &[Order]) -> Result<Head, sqlx::Error> {
    let mut entries = Vec::new();
    for kept in batch.iter().filter_map(Order::row) {
        // What is tried for the first time can't be there.
        let again = kept.since.filter(|since| *since < before.seq);
        let there = match again {
            Some(since) => audit::is_there(connection, &kept.entry.call, since).await?,
            None => false,
        };
        if !there {
            entries.push(&kept.entry);
        }
    }
    let mut end = before;
    for rows in entries.chunks(audit::MAX_ROWS) {
        end = audit::append(connection, end, rows).await?;
    }
    Ok(end)
}

/// Notes where the log ended before rows are first tried.
fn mark(batch: &mut [Order], before: Head) {
    for order in batch {
        if let Order::Entry(kept, _) = order {
            kept.since.get_or_insert(before.seq);
        }
    }
}

/// Says of a row that the journal won't have it, with the row itself, so that the log does.
fn lost(entry: &Entry, reason: &str) {
    metrics::counter!("remit_audit_lost_total").increment(1);
    let event = serde_json::to_string(entry).unwrap_or_default();
    tracing::error!(target: "remit::audit", %event, reason, "an audit event is lost to the journal");
}
