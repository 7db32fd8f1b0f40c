//! Runs: begun, taken up again after a restart, listed, stopped, decided on.

mod deeds;
mod keeping;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use remit_domain::{
    AgentName, Error, TenantId,
    access::Principal,
    execution::{Choice, End, Entry, Filter, Made, Origin, Recorded, Run, RunId, Standing, Status},
    tenant::Context,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Plan, Workflow, approvers,
    gate::{self, Gates, Slot},
    inputs::{problem, taken},
    link,
    plan::hex,
    run::{Interpreter, Live, MAX_DEPTH, Room, Scope, shallow},
    shelf::Shelf,
};

/// The workflows of all tenants, and their runs. Cheap to clone.
#[derive(Clone)]
pub struct Workflows {
    shelf: Shelf,
    pub(crate) interpreter: Interpreter,
    gates: Gates,
    /// The runs at work in this process.
    live: Arc<Mutex<BTreeMap<RunId, Weak<Working>>>>,
    /// What tenants' runs take.
    rooms: Arc<Mutex<BTreeMap<TenantId, Arc<Room>>>>,
    /// Woken when a run ends or is removed.
    ended: Arc<Notify>,
    halted: CancellationToken,
}

/// The most runs of one tenant that are at work at once, those that wait among them: each keeps its steps'
/// outputs in memory.
const MAX_OF_TENANT: usize = 1_000;
/// The most of all tenants.
const MAX_RUNS: usize = 10_000;

/// A run at work.
struct Working {
    tenant: TenantId,
    live: Live,
    end: watch::Sender<Option<End>>,
}

/// A run that was begun, and its end when it comes.
pub struct Begun {
    /// Which.
    pub id: RunId,
    /// Whether it is begun just now, and not by an earlier request with the same key.
    pub is_new: bool,
    end: Option<watch::Receiver<Option<End>>>,
}

/// A definition with all that a run of it needs.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) plan: Arc<Plan>,
    /// As it is pinned.
    pub(crate) document: Value,
    /// The agent of steps that name none.
    pub(crate) agent: Option<AgentName>,
}

/// What a run is begun with.
pub(crate) struct Beginning<'b> {
    pub(crate) principal: &'b Principal,
    pub(crate) context: &'b Context,
    pub(crate) definition: Definition,
    /// As the workflow takes them.
    pub(crate) inputs: Value,
    pub(crate) key: Option<String>,
    pub(crate) origin: Option<Origin>,
    /// What its journal begins with.
    pub(crate) entries: Vec<Entry>,
}

impl Begun {
    /// Its end, once it is there; `None` if this process is not the one that runs it. Cancel: it goes on.
    pub async fn end(&mut self) -> Option<End> {
        let end = self.end.as_mut()?;
        end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone())
    }
}

impl Workflows {
    /// Joins the ports. When `halted` is cancelled, runs stop where they are, for the next host to take up.
    pub fn new(shelf: Shelf, interpreter: Interpreter, halted: CancellationToken) -> Self {
        Self {
            shelf,
            interpreter,
            gates: Gates::default(),
            live: Arc::default(),
            rooms: Arc::default(),
            ended: Arc::default(),
            halted,
        }
    }

    /// Stops all runs where they are.
    pub fn halt(&self) {
        self.halted.cancel();
    }

    /// The workflows there are.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Begins a run. With a key that the tenant has used before, it is the run of then.
    ///
    /// Errors: [`Error::UnknownWorkflow`]; [`Error::InvalidArguments`] for inputs that the workflow does not
    /// take; [`Error::UnknownAgent`], [`Error::NotYourAgent`]; [`Error::Busy`] while too many are at work;
    /// [`Error::HistoryFull`] while too much is kept; [`Error::Journal`].
    pub async fn execute(
        &self,
        principal: &Principal,
        context: &Context,
        name: &str,
        inputs: Value,
        key: Option<String>,
    ) -> Result<Begun, Error> {
        let unknown = || Error::UnknownWorkflow(name.chars().take(128).collect());
        let workflow = self.shelf.find(&context.tenant, name).ok_or_else(unknown)?;
        let inputs = taken(&workflow.plan.authored, inputs)?;
        let definition = self.ready(principal, context, &workflow)?;
        self.begin(Beginning { principal, context, definition, inputs, key, origin: None, entries: Vec::new() }).await
    }

    /// A workflow with all that it calls, as a run pins it.
    ///
    /// Errors: [`Error::InvalidArguments`] for one that calls what is not there; [`Error::UnknownAgent`],
    /// [`Error::NotYourAgent`].
    pub(crate) fn ready(
        &self,
        principal: &Principal,
        context: &Context,
        workflow: &Workflow,
    ) -> Result<Definition, Error> {
        let agent = workflow.agent(context);
        let find = |name: &str| {
            let found = self.shelf.find(&context.tenant, name)?;
            Some((found.plan.clone(), found.agent(context)))
        };
        let broken = |broken: link::Broken| problem(&broken.pointer, broken.message);
        let subs = link::link(&workflow.plan, &find).map_err(broken)?;
        for agent in agent.iter().chain(subs.values().filter_map(|sub| sub.agent.as_ref())) {
            context.agent(agent.as_str())?;
            principal.speak_for(agent)?;
        }
        let (plan, document) = link::pin(&workflow.plan, subs).map_err(|message| problem("", message))?;
        Ok(Definition { plan, document, agent })
    }

    /// Begins a run of a definition that is ready. Errors: as [`Self::execute`].
    pub(crate) async fn begin(&self, beginning: Beginning<'_>) -> Result<Begun, Error> {
        let Beginning { principal, context, definition, inputs, key, origin, mut entries } = beginning;
        let Definition { plan, document, agent } = definition;
        self.room(&context.tenant)?;
        // Before its id, which says a time too: none seems to have begun before it was named.
        let began = self.interpreter.timer.now();
        let mut uses = plan.uses();
        uses.agents.extend(agent.clone());
        let run = Run {
            id: RunId::new(),
            tenant: context.tenant.clone(),
            workflow: plan.authored.name.clone(),
            digest: plan.digest.clone(),
            definition: document,
            inputs,
            context: self.surroundings(context, agent.as_ref()),
            began,
            // Nobody takes another's keys away.
            key: key.map(|key| format!("{}/{key}", principal.name())),
            pins: self.interpreter.performer.pins(context, &uses),
            by: principal.asker(),
            origin,
        };
        self.has_room(context, &run, &entries).await?;
        // In the queue before it is on record, so that no more wait than may.
        let slot = self.slot(&run, &plan, true)?;
        let keeping = &self.interpreter.keeping;
        let kept = match &run.origin {
            Some(origin) => keeping.anew(&origin.run, &run.id, &mut entries).await?,
            None => Vec::new(),
        };
        match self.interpreter.journal.make_with(&run, &entries).await? {
            Made::New => Ok(self.go(run, plan, !entries.is_empty(), slot)),
            Made::Before(id) => {
                keeping.forget(&kept).await;
                let before = self.interpreter.journal.find(&context.tenant, &id).await?.map(|standing| standing.run);
                let same = |before: &Run| {
                    (&before.workflow, &before.inputs, &before.origin) == (&run.workflow, &run.inputs, &run.origin)
                };
                if !before.as_ref().is_some_and(same) {
                    return Err(problem("/Idempotency-Key", "it was used for another execution"));
                }
                let end = self.working(&id).map(|working| working.end.subscribe());
                Ok(Begun { id, is_new: false, end })
            }
        }
    }

    /// What a run keeps of what was around its beginning: see [`Run::context`].
    fn surroundings(&self, context: &Context, agent: Option<&AgentName>) -> Value {
        let env = &*self.interpreter.env;
        json!({"company": context.company, "tenant": context.tenant, "agent": agent, "env": env})
    }

    /// A run's place among those of its workflow. `bounded`: it is refused where too many wait.
    ///
    /// Errors: [`Error::InvalidArguments`] for inputs of which the key comes to nothing; [`Error::Busy`].
    fn slot(&self, run: &Run, plan: &Plan, bounded: bool) -> Result<Slot, Error> {
        let Some(limited) = &plan.concurrency else { return Ok(Slot::default()) };
        let scope = Scope::new(BTreeMap::from([("inputs", run.inputs.clone())]));
        let word = limited.key.fill(&scope);
        let word = word.map_err(|unfilled| problem("/inputs", format!("`concurrency.key`: {unfilled}")))?;
        let word = hex(&Sha256::digest(word.to_string().as_bytes()));
        let key = gate::Key { tenant: run.tenant.clone(), workflow: run.workflow.clone(), word };
        let queue = if bounded { limited.queue } else { usize::MAX };
        Slot::queue(&self.gates, key, &run.id, limited.limit, queue).ok_or(Error::Busy {
            limit: "`concurrency.queue` of this workflow",
            allowed: limited.queue as u64,
            unit: "runs that wait",
            retry_after_ms: 5_000,
        })
    }

    /// Whether a run waits until fewer of its workflow are at work.
    pub fn is_queued(&self, run: &RunId) -> bool {
        self.working(run).is_some_and(|working| working.live.slot.waits())
    }

    /// Takes up the runs that have not ended. Says how many; a run whose definition can't be read ends as
    /// failed. Errors: [`Error::Journal`].
    pub async fn resume(&self) -> Result<usize, Error> {
        let runs = self.interpreter.journal.unfinished().await?;
        let count = runs.len();
        for run in runs {
            self.take_up(run).await?;
        }
        Ok(count)
    }

    async fn take_up(&self, run: Run) -> Result<(), Error> {
        match link::pinned(&run.definition) {
            Ok(plan) => {
                let slot = self.slot(&run, &plan, false)?;
                drop(self.go(run, Arc::new(plan), true, slot));
            }
            Err(fault) => {
                tracing::error!(run = %run.id, fault, "the definition of a run can't be read");
                let failure = remit_domain::execution::Failure {
                    code: "definition".to_owned(),
                    message: "the definition that this run pins can't be read by this host".to_owned(),
                    retriable: false,
                    retry_after_ms: None,
                    path: None,
                };
                let at = self.interpreter.timer.now();
                let end = End { status: Status::Failed, at, outputs: None, failure: Some(failure) };
                self.interpreter.journal.end(&run.id, &[], &end).await?;
            }
        }
        Ok(())
    }

    fn go(&self, run: Run, plan: Arc<Plan>, again: bool, slot: Slot) -> Begun {
        let working = Arc::new(Working {
            tenant: run.tenant.clone(),
            live: self.alive(&run.tenant).in_turn(slot),
            end: watch::Sender::new(None),
        });
        let (id, end) = (run.id.clone(), working.end.subscribe());
        self.lock().insert(id.clone(), Arc::downgrade(&working));
        let this = self.clone();
        tokio::spawn(async move {
            working.live.weighs(this.weight(&run, again).await);
            let running = async {
                working.live.slot.enter(&working.live.cancel).await;
                this.interpreter.run(&run, &plan, again, &working.live).await
            };
            let ended = tokio::select! {
                // First: what one run gives up when the host ends begins no other.
                biased;
                () = this.halted.cancelled() => return,
                ended = running => ended,
            };
            working.live.slot.leave();
            this.lock().remove(&run.id);
            this.ended.notify_one();
            match ended {
                Ok(end) => {
                    metrics::counter!("remit_workflow_runs_total", "status" => end.status.as_str()).increment(1);
                    tracing::info!(
                        run = %run.id, tenant = %run.tenant, workflow = run.workflow, status = end.status.as_str(),
                        "a run of a workflow ended"
                    );
                    working.end.send_replace(Some(end));
                }
                Err(error) => tracing::error!(
                    run = %run.id, cause = ?std::error::Error::source(&error), "a run stands still: {error}"
                ),
            }
        });
        Begun { id, is_new: true, end: Some(end) }
    }

    /// Whether one more run may be at work. Errors: [`Error::Busy`].
    fn room(&self, tenant: &TenantId) -> Result<(), Error> {
        let live = self.lock();
        let own = live.values().filter_map(Weak::upgrade).filter(|working| working.tenant == *tenant).count();
        let (limit, allowed) = match (own < MAX_OF_TENANT, live.len() < MAX_RUNS) {
            (true, true) => return Ok(()),
            (false, _) => ("runs of one tenant's workflows", MAX_OF_TENANT),
            (true, false) => ("runs of workflows", MAX_RUNS),
        };
        Err(Error::Busy { limit, allowed: allowed as u64, unit: "runs", retry_after_ms: 5_000 })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunId, Weak<Working>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self, run: &RunId) -> Option<Arc<Working>> {
        self.lock().get(run).and_then(Weak::upgrade)
    }

    /// A tenant's run. Errors: [`Error::UnknownExecution`], also for another tenant's; [`Error::Journal`].
    pub async fn find(&self, principal: &Principal, tenant: &TenantId, id: &str) -> Result<Standing, Error> {
        let unknown = || Error::UnknownExecution(id.chars().take(64).collect());
        let run = RunId::parse(id).ok_or_else(unknown)?;
        let found = self.interpreter.journal.find(tenant, &run).await?;
        found.filter(|standing| concerns(principal, &standing.run)).ok_or_else(unknown)
    }

    /// A tenant's runs, newest first. Errors: [`Error::Journal`].
    pub async fn list(&self, tenant: &TenantId, filter: &Filter, most: usize) -> Result<Vec<Standing>, Error> {
        self.interpreter.journal.list(tenant, filter, most).await
    }

    /// Whether somebody may know of a run: who speaks for some agents alone, of theirs alone.
    pub fn concerns(&self, principal: &Principal, standing: &Standing) -> bool {
        concerns(principal, &standing.run)
    }

    /// What a run's journal holds. Errors: [`Error::Journal`].
    pub async fn entries(&self, run: &RunId, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, Error> {
        self.interpreter.journal.entries(run, after, most).await
    }

    /// Stops a run: what it waits for is given up, and the steps for failures run. That it is stopped is on
    /// record before this returns.
    ///
    /// Errors: [`Error::ExecutionState`] if it has ended; [`Error::Journal`].
    pub async fn cancel(&self, standing: &Standing, by: &Principal) -> Result<(), Error> {
        open(standing)?;
        let (run, at) = (&standing.run.id, self.interpreter.timer.now());
        let cancelled = Entry::Cancelled { at, by: by.name().to_owned() };
        self.interpreter.journal.append(run, &[cancelled]).await?;
        match self.working(run) {
            Some(working) => working.live.cancel.cancel(),
            None => {
                let end = End { status: Status::Cancelled, at, outputs: None, failure: None };
                self.interpreter.journal.end(run, &[], &end).await?;
            }
        }
        Ok(())
    }

    /// Gives a run a signal: what an approval of that id waits for.
    ///
    /// Errors: [`Error::ExecutionState`] if it has ended, or nothing waits for such a signal;
    /// [`Error::NotApprover`]; [`Error::Journal`].
    pub async fn signal(&self, standing: &Standing, name: &str, payload: Value, by: &Principal) -> Result<(), Error> {
        open(standing)?;
        let run = &standing.run.id;
        let waits = matches!(self.interpreter.journal.recorded(run, name).await?, Recorded::Began { .. });
        let plan = link::pinned(&standing.run.definition).map_err(|fault| Error::Internal(fault.into()))?;
        approvers::admit(&plan, name, by)?;
        // The first one counts, and no other is kept.
        if !waits || self.interpreter.journal.signal(run, name).await?.is_some() {
            return Err(Error::ExecutionState { is: "running", reason: "nothing waits for such a signal" });
        }
        if !shallow(&payload, MAX_DEPTH) {
            return Err(problem("", "nested too deep"));
        }
        let at = self.interpreter.timer.now();
        let entry = Entry::Signalled { name: name.to_owned(), at, payload, by: Some(by.name().to_owned()) };
        self.interpreter.journal.append(run, &[entry]).await?;
        if let Some(working) = self.working(run) {
            working.live.signalled.notify_waiters();
        }
        Ok(())
    }

    /// Decides on the step at which a run was interrupted, and takes it up.
    ///
    /// Errors: [`Error::ExecutionState`] if it was not; [`Error::Journal`].
    pub async fn decide(&self, standing: &Standing, choice: Choice, by: &Principal) -> Result<Begun, Error> {
        let end = standing.end.as_ref().filter(|end| end.status == Status::Interrupted);
        let path = end.and_then(|end| end.failure.as_ref()).and_then(|failure| failure.path.clone());
        let Some(path) = path else {
            let is = standing.end.as_ref().map_or("running", |end| end.status.as_str());
            return Err(Error::ExecutionState { is, reason: "only one that was interrupted waits for a decision" });
        };
        let plan = link::pinned(&standing.run.definition).map_err(|fault| Error::Internal(fault.into()))?;
        let slot = self.slot(&standing.run, &plan, false)?;
        let by = by.name().to_owned();
        let decided = Entry::Resolved { path, at: self.interpreter.timer.now(), choice, by };
        self.interpreter.journal.reopen(&standing.run.id, &[decided]).await?;
        Ok(self.go(standing.run.clone(), Arc::new(plan), true, slot))
    }
}

/// Whether somebody may know of a run, and decide on it: whoever speaks for some agents alone, if it was begun
/// by one who speaks for no others, since its steps may be of any agent that one speaks for.
fn concerns(principal: &Principal, run: &Run) -> bool {
    let begun_by = |agents: &BTreeSet<AgentName>| run.by.agents.as_ref().is_some_and(|theirs| theirs.is_subset(agents));
    principal.agents().is_none_or(begun_by)
}

fn open(standing: &Standing) -> Result<(), Error> {
    match &standing.end {
        None => Ok(()),
        Some(end) => Err(Error::ExecutionState { is: end.status.as_str(), reason: "it has ended" }),
    }
}
