//! Running a plan: one interpreter for a run that begins and for one that is taken up again.
//!
//! Between two entries of the journal everything is a pure function of what is recorded, so that a run that
//! is taken up comes to the same places: there it finds what is recorded and repeats nothing.
//!
//! Deliberately absent: where the journal is kept, and what a step's work does: ports.

mod anew;
mod keeping;
mod line;
#[cfg(test)]
pub(crate) mod memory;
mod reads;
mod scope;
mod sub;
#[cfg(test)]
mod tests;
mod tries;
mod waits;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use remit_domain::{
    AgentName, Error,
    clock::Clock,
    execution::{End, Entry, Executions, Failure, Outcome, Recorded, Run, Status},
    tenant::Context,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::scope::Scope;
pub(crate) use self::{
    anew::weight_of_entries,
    keeping::weight_of,
    line::{MAX_DEPTH, shallow},
};
use self::{
    keeping::Part,
    line::{Halt, Line},
    reads::bounded,
};
pub use self::{
    keeping::{Bounds, Keeping, Room},
    line::MAX_OUTPUT_BYTES,
};
pub use crate::plan::{Job, Uses};
use crate::{gate::Slot, plan::Plan};

/// Where a run's own outputs stand that are large.
const OUTPUTS: &str = "outputs";

/// One try of a step's work.
pub struct Work<'w> {
    /// Whose.
    pub run: &'w Run,
    /// Where in the run.
    pub path: &'w str,
    /// Which work.
    pub job: &'w Job,
    /// The agent that it is done as.
    pub agent: &'w AgentName,
    /// Its configuration, expressions filled in.
    pub config: &'w Value,
    /// What the step before it left: of a plugin's node alone.
    pub input: &'w Value,
    /// The same for all tries of this step of this run.
    pub key: &'w str,
    /// From 1.
    pub attempt: u32,
}

/// Port: does the work of steps.
#[async_trait]
pub trait Performer: Send + Sync {
    /// Whether doing it twice does no more than doing it once, as far as the host can know: it only reads, or
    /// who does it keeps to the key. `keyed`: the step has a key of its author's own.
    async fn harmless(&self, work: &Work<'_>, keyed: bool) -> bool;

    /// The versions of plugins that a run which uses these begins with, and keeps to.
    fn pins(&self, _context: &Context, _uses: &Uses) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Does it. Errors: whatever is wrong, as a step's failure. Cancel: it stops where it is.
    async fn perform(&self, work: Work<'_>) -> Result<Value, Failure>;
}

/// Port: lets time pass.
#[async_trait]
pub trait Timer: Clock {
    /// Returns at that time or later. Cancel: nothing is lost.
    async fn until(&self, time: OffsetDateTime);

    /// A number from 0 to 1, for waits that differ by chance.
    fn chance(&self) -> f64;
}

/// The machine's own time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

impl Clock for SystemTimer {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

#[async_trait]
impl Timer for SystemTimer {
    async fn until(&self, time: OffsetDateTime) {
        /// Nothing sleeps longer in one piece, so that a clock that is set has its effect.
        const PIECE: Duration = Duration::from_secs(60);
        while let Ok(left) = Duration::try_from(time - self.now())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(PIECE)).await;
        }
    }

    fn chance(&self) -> f64 {
        getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
    }
}

/// What runs are run with.
#[derive(Clone)]
pub struct Interpreter {
    /// The journal.
    pub journal: Arc<dyn Executions>,
    /// Who does the work.
    pub performer: Arc<dyn Performer>,
    /// Time.
    pub timer: Arc<dyn Timer>,
    /// The variables that the operator lists, as they are now: a run keeps those of its beginning.
    pub env: Arc<Map<String, Value>>,
    /// What bounds what runs leave and do.
    pub keeping: Keeping,
}

/// A run that is at work in this process.
pub struct Live {
    /// Stops it.
    pub cancel: CancellationToken,
    /// Woken when a signal comes.
    pub signalled: tokio::sync::Notify,
    /// Its place among the runs of its workflow that may be at work at once.
    pub(crate) slot: Slot,
    /// How often something was written to its journal, for those who watch it.
    pub written: watch::Sender<u64>,
    bounds: Bounds,
    part: Part,
}

impl Live {
    /// One that nobody has stopped.
    pub fn new() -> Self {
        Self::within(Arc::default(), Bounds::default())
    }

    /// One within its tenant's room.
    pub fn within(room: Arc<Room>, bounds: Bounds) -> Self {
        Self {
            cancel: CancellationToken::new(),
            signalled: tokio::sync::Notify::new(),
            slot: Slot::default(),
            written: watch::Sender::new(0),
            bounds,
            part: Part::of(room),
        }
    }

    /// The same, which has to wait for its turn.
    pub(crate) fn in_turn(self, slot: Slot) -> Self {
        Self { slot, ..self }
    }

    /// Counts what it left before this process took it up, or begins with.
    pub fn weighs(&self, bytes: u64) {
        self.part.take(bytes);
    }

    fn wrote(&self, entries: &[Entry]) {
        self.part.take(entries.iter().map(keeping::weight).sum());
        self.written.send_modify(|times| *times += 1);
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Interpreter {
    /// Takes a run to its end, from its beginning or (`again`) from wherever its journal ends.
    ///
    /// Errors: [`Error::Journal`] if something could not be recorded; the run then stands as it is, to be
    /// taken up again. Cancel: likewise.
    pub async fn run(&self, run: &Run, plan: &Plan, again: bool, live: &Live) -> Result<End, Error> {
        let context = without_env(run.context.clone());
        let mut scope = Scope::new(self.fixed(run, run.inputs.clone(), context.clone()));
        let line = Line {
            with: self,
            run,
            plan,
            root: plan,
            context: &context,
            again,
            live,
            stoppable: true,
            revisits: false,
        };
        let mut tail = Vec::new();
        if again && self.journal.cancelled(&run.id).await? {
            live.cancel.cancel();
        }
        let ended = match line.steps(&plan.steps, "", &mut scope, &mut tail).await {
            Ok(()) => self.outputs(&line, &scope, &mut tail).await,
            Err(halt) => Err(halt),
        };
        // Steps for failures would be done in the same name, or find no more room.
        let over = matches!(ended, Err(Halt::Over(_)));
        let (mut status, outputs, mut failure) = match ended {
            Ok(outputs) => (Status::Completed, Some(outputs), None),
            Err(Halt::Failed(failure) | Halt::Over(failure)) => (Status::Failed, None, Some(failure)),
            Err(Halt::Cancelled) => (Status::Cancelled, None, None),
            Err(Halt::Interrupted(failure)) => (Status::Interrupted, None, Some(failure)),
            Err(Halt::Journal(error)) => return Err(error),
        };
        if matches!(status, Status::Failed | Status::Cancelled) && !over && !plan.on_failure.is_empty() {
            // In doubt here is in doubt: a person decides, and the run comes back to this very failure.
            if let Some(doubt) = self.after(&line, "", status, failure.as_ref(), &scope, &mut tail).await? {
                (status, failure) = (Status::Interrupted, Some(doubt));
            }
        }
        let end = End { status, at: self.timer.now(), outputs, failure };
        self.journal.end(&run.id, &tail, &end).await?;
        live.wrote(&tail);
        live.part.end();
        Ok(end)
    }

    /// Runs the steps that are there for failures. That one of these fails is recorded and changes nothing; one
    /// that was interrupted is given back.
    async fn after(
        &self,
        line: &Line<'_>,
        prefix: &str,
        status: Status,
        failure: Option<&Failure>,
        scope: &Scope<'_>,
        tail: &mut Vec<Entry>,
    ) -> Result<Option<Failure>, Error> {
        let error = json!({
            "status": status.as_str(),
            "code": failure.map(|failure| failure.code.clone()),
            "message": failure.map(|failure| failure.message.clone()),
            "step": failure.and_then(|failure| failure.path.clone()),
        });
        let mut scope = Scope::branch(scope).with("error", error);
        let line = Line { stoppable: false, ..*line };
        let prefix = format!("{prefix}onFailure.");
        match line.steps(&line.plan.on_failure, &prefix, &mut scope, tail).await {
            Err(Halt::Journal(error)) => Err(error),
            Err(Halt::Interrupted(failure)) => Ok(Some(failure)),
            _ => Ok(None),
        }
    }

    /// What expressions of a whole workflow can name from its beginning on.
    fn fixed(&self, run: &Run, inputs: Value, context: Value) -> BTreeMap<&'static str, Value> {
        let pinned = run.context.get("env").cloned();
        BTreeMap::from([
            ("inputs", inputs),
            ("context", context),
            ("env", pinned.unwrap_or_else(|| Value::Object((*self.env).clone()))),
            ("now", Value::String(remit_domain::clock::rfc3339(run.began))),
        ])
    }

    async fn outputs(&self, line: &Line<'_>, scope: &Scope<'_>, tail: &mut Vec<Entry>) -> Result<Value, Halt> {
        let plan = line.plan;
        if plan.outputs.is_empty() {
            let all = plan.steps.iter().filter_map(|step| Some((step.id.clone(), scope.shown(&step.id)?)));
            return bounded(Value::Object(all.collect()), OUTPUTS, MAX_OUTPUT_BYTES);
        }
        let mut outputs = Map::new();
        for (name, form) in &plan.outputs {
            let value = line.output(name, form, OUTPUTS, scope).await?;
            // No step has a path with a full stop but within another's brackets.
            let path = format!("{OUTPUTS}.{name}");
            let outcome = line.kept(value, &path).await?;
            if let Outcome::Stored(_) = outcome {
                tail.push(Entry::Ended { path, at: self.timer.now(), outcome: outcome.clone() });
            }
            outputs.insert(name.clone(), scope::shown(outcome));
        }
        bounded(Value::Object(outputs), OUTPUTS, MAX_OUTPUT_BYTES)
    }

    /// What is recorded at a place: nothing, for a run that is new.
    async fn recorded(&self, run: &Run, path: &str, again: bool) -> Result<Recorded, Halt> {
        if !again {
            return Ok(Recorded::Nothing);
        }
        self.journal.recorded(&run.id, path).await.map_err(Halt::Journal)
    }
}

/// What expressions call `context`: the variables that the run keeps are called `env`.
fn without_env(mut context: Value) -> Value {
    if let Value::Object(members) = &mut context {
        members.remove("env");
    }
    context
}
