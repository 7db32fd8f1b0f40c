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
    time::Duration,
};

use remit_domain::{audit::Event, conversation::Key, usage::Tally};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::{mpsc, oneshot};

use crate::{Error, audit, conversations, error::is_of_the_record, schema, usage};

/// The most orders of one transaction. Larger ones make the first waiter wait for the last.
const MAX_BATCH: usize = 512;
/// The most events without a waiter that are held in memory: some 20 MB of usual ones.
const MAX_UNATTENDED: usize = 16 * 1024;
/// How long until kept events are tried again if nothing else wakes the writer.
const RETRY: Duration = Duration::from_secs(1);

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
    /// Writes an event. It is on its way as soon as this is first polled, and is written whether or
    /// not anybody waits for the end.
    pub(crate) async fn event(&self, event: Event) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Event(Box::new(event), Some(waiter))).await
    }

    /// Writes an event for which nobody waits. Never blocks.
    pub(crate) fn event_later(&self, event: Event) {
        if self.unattended.fetch_add(1, Ordering::Relaxed) >= MAX_UNATTENDED {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
            lost(&event, "too many wait to be written");
        } else if let Err(mpsc::error::SendError(order)) = self.orders.send(Order::Event(Box::new(event), None)) {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
            if let Order::Event(event, _) = order {
                lost(&event, "the journal is closed");
            }
        }
    }

    /// Adds messages, each as JSON, to a conversation: all or none. As lasting as [`Self::event`].
    pub(crate) async fn append(&self, key: Key, messages: Vec<String>) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Append(Box::new(key), messages, waiter)).await
    }

    /// Writes what was used, in place of what was written before: all or none.
    pub(crate) async fn tallies(&self, tallies: Vec<Tally>) -> Result<(), remit_domain::Error> {
        self.order(|waiter| Order::Tallies(tallies, waiter)).await
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

/// One thing to write, and who waits for it.
#[derive(Debug)]
enum Order {
    Event(Box<Event>, Option<oneshot::Sender<Answer>>),
    Append(Box<Key>, Vec<String>, oneshot::Sender<Answer>),
    Tallies(Vec<Tally>, oneshot::Sender<Answer>),
    Probe(oneshot::Sender<Answer>),
    Close(oneshot::Sender<()>),
}

impl Order {
    async fn write(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        match self {
            Self::Event(event, _) => audit::insert(connection, event).await,
            Self::Append(key, messages, _) => conversations::insert(connection, key, messages).await,
            Self::Tallies(tallies, _) => usage::upsert(connection, tallies).await,
            Self::Probe(_) => {
                let statement = "INSERT INTO probe (only, at) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET at = ?1";
                let now = audit::instant(time::OffsetDateTime::now_utc());
                sqlx::query(statement).bind(now).execute(connection).await.map(drop)
            }
            Self::Close(_) => Ok(()),
        }
    }

    /// Whether one statement does it, which is a transaction by itself.
    fn is_one_statement(&self) -> bool {
        !matches!(self, Self::Append(..) | Self::Tallies(..))
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

/// The task's own state.
pub(crate) struct Writer {
    orders: mpsc::UnboundedReceiver<Order>,
    unattended: Arc<AtomicUsize>,
    opener: Opener,
    /// None after a failure that may lie in the connection.
    connection: Option<SqliteConnection>,
    /// Events whose write failed, to be tried again.
    kept: Vec<Event>,
}

impl Writer {
    /// Starts the task on the current runtime.
    pub(crate) fn start(connection: SqliteConnection, opener: Opener) -> Queue {
        let (sender, orders) = mpsc::unbounded_channel();
        let unattended = Arc::new(AtomicUsize::new(0));
        let writer =
            Self { orders, unattended: unattended.clone(), opener, connection: Some(connection), kept: Vec::new() };
        tokio::spawn(writer.run());
        Queue { orders: sender, unattended }
    }

    async fn run(mut self) {
        let mut closing = Vec::new();
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            batch.extend(self.kept.drain(..).map(|event| Order::Event(Box::new(event), None)));
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
        for event in self.kept.drain(..) {
            lost(&event, "the journal closed before it could be written");
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
                for order in std::mem::take(batch) {
                    let result = self.write(std::slice::from_ref(&order)).await.map_err(Arc::new);
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
    async fn write(&mut self, batch: &[Order]) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.opener.connect().await?,
        };
        match write_with(&mut connection, batch).await {
            Ok(()) => self.connection = Some(connection),
            Err(cause) => {
                tracing::error!(
                    error = &cause as &dyn std::error::Error,
                    orders = batch.len(),
                    "the journal can't be written"
                );
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
            Order::Event(event, waiter) => {
                let attended = waiter.is_some();
                let error = answer.as_ref().err().cloned();
                if let Some(waiter) = waiter {
                    let _ = waiter.send(answer);
                }
                self.settle(event, attended, error.as_deref());
            }
            Order::Append(_, _, waiter) | Order::Tallies(_, waiter) | Order::Probe(waiter) => {
                let _ = waiter.send(answer);
            }
            Order::Close(waiter) => closing.push(waiter),
        }
    }

    /// Keeps an event that could not be written now, unless it never can be or too many are kept.
    fn settle(&mut self, event: Box<Event>, attended: bool, error: Option<&Error>) {
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
            lost(&event, "the database refuses it");
        } else if attended && self.unattended.fetch_add(1, Ordering::Relaxed) >= MAX_UNATTENDED {
            self.release(false);
            lost(&event, "too many wait to be written");
        } else {
            self.kept.push(*event);
        }
    }

    fn release(&self, attended: bool) {
        if !attended {
            self.unattended.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

async fn write_with(connection: &mut SqliteConnection, batch: &[Order]) -> Result<(), sqlx::Error> {
    if let [order] = batch
        && order.is_one_statement()
    {
        return order.write(connection).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for order in batch {
        order.write(&mut transaction).await?;
    }
    transaction.commit().await
}

/// Says of an event that the journal won't have it, with the event itself, so that the log does.
fn lost(event: &Event, reason: &str) {
    metrics::counter!("remit_audit_lost_total").increment(1);
    let event = serde_json::to_string(event).unwrap_or_default();
    tracing::error!(target: "remit::audit", %event, reason, "an audit event is lost to the journal");
}
