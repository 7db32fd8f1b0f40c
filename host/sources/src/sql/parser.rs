//! The threads on which statements are parsed, and the watch over them.
//!
//! A parsed tree is walked and dropped recursively and a guest chooses how deep it is, while host
//! functions run on fibers with little stack: so parsing has a thread of its own, one at a time. A
//! thread can't be ended from outside. One that a statement keeps for too long is left to itself and
//! another takes its place, up to a number; [`super::metered`] sees to it that none is kept forever.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use remit_domain::data::{Error, Wait, sql::Dialect};
use tokio::sync::oneshot;

/// Enough for a tree of as many levels as [`super::scan`] lets tokens through, in a debug build. Only
/// what is touched takes memory.
const STACK_BYTES: usize = 256 * 1024 * 1024;
/// How many statements may wait. Each takes under a millisecond as a rule.
const MAX_WAITING: usize = 256;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For a statement to be begun.
    pub(super) turn: Duration,
    /// For it to be read, once begun.
    pub(super) reading: Duration,
    /// How many threads may be left to themselves before no more are started.
    pub(super) lost: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { turn: Duration::from_secs(5), reading: Duration::from_secs(1), lost: 4 }
    }
}

/// Reads statements into a `T`, one at a time.
pub(super) struct Parser<T> {
    queue: SyncSender<Job<T>>,
    shared: Arc<Shared<T>>,
}

type Read<T> = Box<dyn Fn(Dialect, &str) -> Result<T, Error> + Send + Sync>;

struct Shared<T> {
    jobs: Mutex<Receiver<Job<T>>>,
    threads: Mutex<Threads>,
    read: Read<T>,
    patience: Patience,
}

#[derive(Debug, Default)]
struct Threads {
    working: usize,
    lost: usize,
}

struct Job<T> {
    dialect: Dialect,
    statement: String,
    begun: oneshot::Sender<()>,
    answer: oneshot::Sender<Result<T, Error>>,
    /// Set by whichever comes first: the thread that is done, or the watch that gives it up.
    decided: Arc<AtomicBool>,
}

impl<T: Send + 'static> Parser<T> {
    pub(super) fn new(patience: Patience, read: Read<T>) -> Self {
        let (queue, jobs) = sync_channel(MAX_WAITING);
        let shared = Shared { jobs: Mutex::new(jobs), threads: Mutex::default(), read, patience };
        Self { queue, shared: Arc::new(shared) }
    }

    /// Reads a statement. Must be called within a tokio runtime.
    ///
    /// Errors: those of reading; `invalid` if it takes too long; `throttled` if too many wait.
    /// Cancel: it is watched to its end all the same.
    pub(super) async fn parse(&self, dialect: Dialect, statement: String) -> Result<T, Error> {
        self.shared.staff()?;
        let (begun, beginning) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let decided = Arc::new(AtomicBool::new(false));
        let job = Job { dialect, statement, begun, answer, decided: decided.clone() };
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => busy(),
            TrySendError::Disconnected(_) => unavailable(),
        })?;
        // By a task of its own: a guest that gives up must not leave a lost thread unnoticed.
        let watch = tokio::spawn(watch(self.shared.clone(), beginning, answered, decided));
        watch.await.unwrap_or_else(|_| Err(unavailable()))
    }
}

async fn watch<T: Send + 'static>(
    shared: Arc<Shared<T>>,
    beginning: oneshot::Receiver<()>,
    mut answered: oneshot::Receiver<Result<T, Error>>,
    decided: Arc<AtomicBool>,
) -> Result<T, Error> {
    match tokio::time::timeout(shared.patience.turn, beginning).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(unavailable()),
        Err(_) => return Err(busy()),
    }
    if let Ok(answer) = tokio::time::timeout(shared.patience.reading, &mut answered).await {
        return answer.unwrap_or_else(|_| Err(unavailable()));
    }
    if decided.swap(true, Ordering::AcqRel) {
        return answered.await.unwrap_or_else(|_| Err(unavailable()));
    }
    shared.lose();
    Err(Error::Invalid("the statement takes too long to read: write it with less nesting".to_owned()))
}

impl<T: Send + 'static> Shared<T> {
    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that a thread works. Errors: `throttled` if too many are lost.
    fn staff(self: &Arc<Self>) -> Result<(), Error> {
        let mut threads = self.threads();
        if threads.working > 0 {
            return Ok(());
        }
        if threads.lost >= self.patience.lost {
            return Err(busy());
        }
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("remit-sql-parser".to_owned()).stack_size(STACK_BYTES);
        match thread.spawn(move || shared.work()) {
            Ok(_) => {
                threads.working += 1;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a thread of the SQL parser could not be started");
                Err(unavailable())
            }
        }
    }

    /// Leaves the thread that works to itself, and has another work on what waits.
    fn lose(self: &Arc<Self>) {
        let lost = {
            let mut threads = self.threads();
            threads.working = threads.working.saturating_sub(1);
            threads.lost += 1;
            threads.lost
        };
        tracing::warn!(lost, "a statement keeps the SQL parser for too long");
        // Without one, what waits is told to come back.
        let _staffed = self.staff();
    }

    fn work(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if job.answer.is_closed() {
                continue;
            }
            let _watched = job.begun.send(());
            let read = catch_unwind(AssertUnwindSafe(|| (self.read)(job.dialect, &job.statement)));
            let read = read.unwrap_or_else(|_| Err(Error::Invalid("the statement can't be read".to_owned())));
            if !job.decided.swap(true, Ordering::AcqRel) {
                // A caller that gave up no longer listens.
                let _gone = job.answer.send(read);
                continue;
            }
            // Given up meanwhile: back to work only if nobody took the place.
            let mut threads = self.threads();
            threads.lost = threads.lost.saturating_sub(1);
            if threads.working > 0 {
                return;
            }
            threads.working += 1;
        }
    }
}

fn unavailable() -> Error {
    Error::unavailable("statements can't be parsed now")
}

fn busy() -> Error {
    Error::Throttled(Wait {
        message: "too many new statements wait to be parsed".to_owned(),
        retry_after_ms: Some(100),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::mpsc::Sender;

    use super::*;

    /// A parser that answers with the statement's length, panics at `panic`, and is kept by `keep`
    /// until something is sent.
    fn parser() -> (Parser<usize>, Sender<()>) {
        let (release, kept) = std::sync::mpsc::channel::<()>();
        let kept = Mutex::new(kept);
        let read = move |_, statement: &str| match statement {
            "panic" => panic!("as asked"),
            "keep" => {
                let _released = kept.lock().unwrap().recv();
                Ok(0)
            }
            _ => Ok(statement.len()),
        };
        // Long enough for what is read at once, on a machine that is busy and prints a panic's trace.
        let patience = Patience { turn: Duration::from_secs(3), reading: Duration::from_secs(1), lost: 2 };
        (Parser::new(patience, Box::new(read)), release)
    }

    async fn parse(parser: &Parser<usize>, statement: &str) -> Result<usize, &'static str> {
        parser.parse(Dialect::Sqlite, statement.to_owned()).await.map_err(|error| error.case())
    }

    #[tokio::test]
    async fn a_statement_that_keeps_its_thread_keeps_nobody_else() {
        let (parser, release) = parser();
        assert_eq!(parse(&parser, "four").await, Ok(4));
        assert_eq!(parse(&parser, "panic").await, Err("invalid"));
        assert_eq!(parse(&parser, "four").await, Ok(4));
        assert_eq!(parse(&parser, "keep").await, Err("invalid"));
        assert_eq!(parse(&parser, "four").await, Ok(4), "by another thread");
        // What waits behind one is read by the next.
        let (kept, waiting) = tokio::join!(parse(&parser, "keep"), parse(&parser, "five!"));
        assert_eq!((kept, waiting), (Err("invalid"), Err("throttled")), "no more threads than that");
        assert_eq!(parse(&parser, "four").await, Err("throttled"));
        // A thread that comes back takes the place.
        release.send(()).unwrap();
        while parse(&parser, "four").await != Ok(4) {
            tokio::task::yield_now().await;
        }
        assert_eq!(parser.shared.threads().lost, 1);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_hide_a_lost_thread() {
        let (parser, _release) = parser();
        let given_up = tokio::time::timeout(Duration::from_millis(1), parse(&parser, "keep")).await;
        assert!(given_up.is_err());
        assert_eq!(parse(&parser, "four").await, Ok(4));
        assert_eq!(parser.shared.threads().lost, 1);
    }
}
