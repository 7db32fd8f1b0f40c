//! Running a plan: one interpreter for a run that begins and for one that is taken up again.
//!
//! Between two entries of the journal everything is a pure function of what is recorded, so that a run that
//! is taken up comes to the same places: there it finds what is recorded and repeats nothing.
//!
//! Deliberately absent: where the journal is kept, and what a step's work does: ports.

mod line;
#[cfg(test)]
pub(crate) mod memory;
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
    execution::{End, Entry, Executions, Failure, Recorded, Run, Status},
    tenant::Context,
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

pub use self::line::MAX_OUTPUT_BYTES;
use self::line::{Halt, Line};
pub(crate) use self::line::{MAX_DEPTH, shallow, way_on};
pub(crate) use self::scope::Scope;
pub use crate::plan::{Job, Uses};
use crate::{gate::Slot, plan::Plan};

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
    /// What expressions call `env`: the variables that the operator lists.
    pub env: Arc<Map<String, Value>>,
}

/// A run that is at work in this process.
pub struct Live {
    /// Stops it.
    pub cancel: CancellationToken,
    /// Woken when a signal comes.
    pub signalled: tokio::sync::Notify,
    /// Its place among the runs of its workflow that may be at work at once.
    pub(crate) slot: Slot,
}

impl Live {
    /// One that nobody has stopped.
    pub fn new() -> Self {
        Self::with(Slot::default())
    }

    /// One that has to wait for its turn.
    pub(crate) fn with(slot: Slot) -> Self {
        Self { cancel: CancellationToken::new(), signalled: tokio::sync::Notify::new(), slot }
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
        let mut scope = Scope::new(self.fixed(run, run.inputs.clone(), run.context.clone()));
        let line = Line { with: self, run, plan, root: plan, context: &run.context, again, live, stoppable: true };
        let mut tail = Vec::new();
        if again && self.journal.cancelled(&run.id).await? {
            live.cancel.cancel();
        }
        let ended = match line.steps(&plan.steps, "", &mut scope, &mut tail).await {
            Ok(()) => self.outputs(plan, &scope),
            Err(halt) => Err(halt),
        };
        let (mut status, outputs, mut failure) = match ended {
            Ok(outputs) => (Status::Completed, Some(outputs), None),
            Err(Halt::Failed(failure)) => (Status::Failed, None, Some(failure)),
            Err(Halt::Cancelled) => (Status::Cancelled, None, None),
            Err(Halt::Interrupted(failure)) => (Status::Interrupted, None, Some(failure)),
            Err(Halt::Journal(error)) => return Err(error),
        };
        if matches!(status, Status::Failed | Status::Cancelled) && !plan.on_failure.is_empty() {
            // In doubt here is in doubt: a person decides, and the run comes back to this very failure.
            if let Some(doubt) = self.after(&line, "", status, failure.as_ref(), &scope, &mut tail).await? {
                (status, failure) = (Status::Interrupted, Some(doubt));
            }
        }
        let end = End { status, at: self.timer.now(), outputs, failure };
        self.journal.end(&run.id, &tail, &end).await?;
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
        BTreeMap::from([
            ("inputs", inputs),
            ("context", context),
            ("env", Value::Object((*self.env).clone())),
            ("now", Value::String(remit_domain::clock::rfc3339(run.began))),
        ])
    }

    fn outputs(&self, plan: &Plan, scope: &Scope<'_>) -> Result<Value, Halt> {
        if plan.outputs.is_empty() {
            let all = plan.steps.iter().filter_map(|step| Some((step.id.clone(), scope.output(&step.id)?.clone())));
            return line::bounded(Value::Object(all.collect()), "outputs");
        }
        let mut outputs = Map::new();
        for (name, form) in &plan.outputs {
            let value = form.fill(scope).map_err(|unfilled| {
                Halt::Failed(line::failure("expression", format!("the output `{name}`: {unfilled}"), None))
            })?;
            outputs.insert(name.clone(), line::bounded(value, "outputs")?);
        }
        line::bounded(Value::Object(outputs), "outputs")
    }

    /// What is recorded at a place: nothing, for a run that is new.
    async fn recorded(&self, run: &Run, path: &str, again: bool) -> Result<Recorded, Halt> {
        if !again {
            return Ok(Recorded::Nothing);
        }
        self.journal.recorded(&run.id, path).await.map_err(Halt::Journal)
    }
}
