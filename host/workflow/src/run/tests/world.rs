//! A world in which time passes when nothing else happens, and a host ends at any write: with the same seed
//! everything takes the same course.
//!
//! Deliberately absent: threads and a runtime. One future is polled until nothing more can come of it.

use std::{
    future::poll_fn,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize},
    task::{Context, Poll, Wake, Waker},
};

use remit_domain::execution::{Filter, Standing};

use super::*;

/// What became of a life of a host.
#[derive(Debug)]
pub(super) enum Course<T> {
    /// It came to the end of what it did.
    Done(T),
    /// It was killed.
    Killed,
    /// Nothing will ever happen again.
    Stuck,
}

/// The clock of a world, and who waits for it.
pub(super) struct Timeline(Mutex<Times>);

struct Times {
    now: OffsetDateTime,
    waiting: BTreeMap<(OffsetDateTime, u64), Waker>,
    numbers: u64,
}

/// One who waits; who goes away no longer does.
struct Waiting<'t> {
    timeline: &'t Timeline,
    key: (OffsetDateTime, u64),
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.timeline.0.lock().unwrap().waiting.remove(&self.key);
    }
}

impl Timeline {
    pub(super) fn new() -> Self {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        Self(Mutex::new(Times { now, waiting: BTreeMap::new(), numbers: 0 }))
    }

    /// Goes to the next moment that somebody waits for. False if nobody does.
    fn advance(&self) -> bool {
        let mut times = self.0.lock().unwrap();
        let Some(((next, _), waker)) = times.waiting.pop_first() else { return false };
        times.now = times.now.max(next);
        drop(times);
        waker.wake();
        true
    }
}

impl Clock for Timeline {
    fn now(&self) -> OffsetDateTime {
        self.0.lock().unwrap().now
    }
}

#[async_trait]
impl Timer for Timeline {
    async fn until(&self, time: OffsetDateTime) {
        let number = {
            let mut times = self.0.lock().unwrap();
            times.numbers += 1;
            times.numbers
        };
        let waiting = Waiting { timeline: self, key: (time, number) };
        poll_fn(|cx| {
            let mut times = self.0.lock().unwrap();
            if times.now >= time {
                return Poll::Ready(());
            }
            times.waiting.insert(waiting.key, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn chance(&self) -> f64 {
        1.0
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes a future to its end, or to the end of the host.
pub(super) fn drive<T>(timeline: &Timeline, killed: &AtomicBool, future: impl Future<Output = T>) -> Course<T> {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        woken.0.store(false, Ordering::Relaxed);
        let polled = future.as_mut().poll(&mut cx);
        if killed.load(Ordering::Relaxed) {
            return Course::Killed;
        }
        match polled {
            Poll::Ready(done) => return Course::Done(done),
            Poll::Pending if woken.0.load(Ordering::Relaxed) || timeline.advance() => {}
            Poll::Pending => return Course::Stuck,
        }
    }
}

/// A number below a bound, the same for the same seed and words.
pub(super) fn drawn(seed: u64, words: impl std::hash::Hash, bound: u64) -> u64 {
    // Without pauses, for a course to compare others with.
    if seed == 0 {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (seed, words).hash(&mut hasher);
    hasher.finish() % bound
}

/// Lets others come to their turn, so many times.
async fn step_aside(times: u64) {
    for _ in 0..times {
        let mut once = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut once, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// The journal of one life of a host: what it holds outlasts it.
pub(super) struct Life {
    kept: Arc<Memory>,
    seed: u64,
    ends: Option<Break>,
    pub(super) writes: AtomicUsize,
    reads: AtomicUsize,
    pub(super) killed: AtomicBool,
}

impl Life {
    pub(super) fn new(kept: Arc<Memory>, seed: u64, ends: Option<Break>) -> Self {
        let (writes, reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { kept, seed, ends, writes, reads, killed: AtomicBool::new(false) }
    }

    /// A write's place in the course of things; the host may end before it or after it.
    async fn write<T>(&self, what: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let at = self.writes.fetch_add(1, Ordering::Relaxed);
        step_aside(drawn(self.seed, ("write", at), 3)).await;
        let ends = self.ends.filter(|ends| ends.at == at);
        // Of a host that has ended nothing more is written, whatever was at its turn.
        if self.killed.load(Ordering::Relaxed) || ends.is_some_and(|ends| !ends.written) {
            self.killed.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        let written = what.await?;
        if ends.is_some() {
            self.killed.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        Ok(written)
    }

    async fn read(&self) {
        let at = self.reads.fetch_add(1, Ordering::Relaxed);
        step_aside(drawn(self.seed, ("read", at), 3)).await;
    }
}

#[async_trait]
impl Executions for Life {
    async fn make(&self, run: &Run) -> Result<Made, Error> {
        self.kept.make(run).await
    }

    async fn make_with(&self, run: &Run, entries: &[Entry]) -> Result<Made, Error> {
        self.kept.make_with(run, entries).await
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error> {
        self.write(self.kept.append(run, entries)).await
    }

    async fn recorded(&self, run: &RunId, path: &str) -> Result<Recorded, Error> {
        self.read().await;
        self.kept.recorded(run, path).await
    }

    /// Approvals whose name says so are given.
    async fn signal(&self, _run: &RunId, name: &str) -> Result<Option<(Value, Option<String>)>, Error> {
        self.read().await;
        let given = name.rsplit('.').next().is_some_and(|id| id.starts_with("given"));
        Ok(given.then(|| (json!({"approved": true}), Some("ada".to_owned()))))
    }

    async fn cancelled(&self, run: &RunId) -> Result<bool, Error> {
        self.kept.cancelled(run).await
    }

    async fn end(&self, run: &RunId, entries: &[Entry], end: &End) -> Result<(), Error> {
        self.write(self.kept.end(run, entries, end)).await
    }

    async fn reopen(&self, run: &RunId, entries: &[Entry]) -> Result<(), Error> {
        self.kept.reopen(run, entries).await
    }

    async fn find(&self, tenant: &TenantId, run: &RunId) -> Result<Option<Standing>, Error> {
        self.kept.find(tenant, run).await
    }

    async fn list(&self, tenant: &TenantId, filter: &Filter, most: usize) -> Result<Vec<Standing>, Error> {
        self.kept.list(tenant, filter, most).await
    }

    async fn entries(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, Error> {
        Executions::entries(&*self.kept, run, after, most).await
    }

    async fn unfinished(&self) -> Result<Vec<Run>, Error> {
        self.kept.unfinished().await
    }
}

/// Does what a tool's name says, in a time that its seed says.
pub(super) struct Scripted {
    pub(super) kept: Arc<Memory>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) seed: u64,
    /// Whether doing things twice does harm.
    pub(super) harmful: bool,
    /// What was done, and how often.
    pub(super) done: Arc<Mutex<BTreeMap<String, u32>>>,
    /// What was done although it was on record.
    pub(super) repeated: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Performer for Scripted {
    async fn harmless(&self, _work: &Work<'_>, keyed: bool) -> bool {
        keyed || !self.harmful
    }

    async fn perform(&self, work: Work<'_>) -> Result<Value, Failure> {
        if self.kept.outcome(&work.run.id, work.path).is_some() {
            self.repeated.lock().unwrap().push(work.path.to_owned());
        }
        *self.done.lock().unwrap().entry(work.path.to_owned()).or_default() += 1;
        let Job::Tool { tool, .. } = work.job else { return Err(line::failure("unknown", "no such work", None)) };
        let takes = drawn(self.seed, (work.path, work.attempt), 900);
        let takes = time::Duration::milliseconds(i64::try_from(takes).unwrap());
        self.timeline.until(self.timeline.now() + takes).await;
        step_aside(drawn(self.seed, (work.path, "after"), 3)).await;
        let failed =
            |code: &str, retriable| Err(Failure { retriable, ..line::failure(code, format!("{tool} fails"), None) });
        let value = work.config["v"].as_i64().unwrap_or(0);
        match tool.as_str() {
            "fail" => failed("broken", false),
            "picky" if value % 2 == 1 => failed("odd", false),
            "flaky" if work.attempt < 3 => failed("source_unavailable", true),
            "hang" => std::future::pending().await,
            _ => Ok(json!({"success": true, "v": (value + 1) % 1000, "key": work.key})),
        }
    }
}
