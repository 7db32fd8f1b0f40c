//! Runs: begun, taken up again after a restart, listed, stopped, decided on.

mod keeping;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use remit_config::{Fault, Spot};
use remit_domain::{
    AgentName, Error, TenantId,
    access::Principal,
    execution::{Choice, End, Entry, Filter, Made, Recorded, Run, RunId, Standing, Status},
    schema::{Problem, Schema},
    tenant::Context,
};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Plan, approvers,
    authored::{self, Input},
    run::{Interpreter, Live, MAX_DEPTH, Room, shallow},
    shelf::Shelf,
};

/// The workflows of all tenants, and their runs. Cheap to clone.
#[derive(Clone)]
pub struct Workflows {
    shelf: Shelf,
    interpreter: Interpreter,
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
        Self { shelf, interpreter, live: Arc::default(), rooms: Arc::default(), ended: Arc::default(), halted }
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
        let agent = workflow.agent(context);
        if let Some(agent) = &agent {
            context.agent(agent.as_str())?;
            principal.speak_for(agent)?;
        }
        self.room(&context.tenant)?;
        // Before its id, which says a time too: none seems to have begun before it was named.
        let began = self.interpreter.timer.now();
        let mut uses = workflow.plan.uses();
        uses.agents.extend(agent.clone());
        let run = Run {
            id: RunId::new(),
            tenant: context.tenant.clone(),
            workflow: workflow.plan.authored.name.clone(),
            digest: workflow.plan.digest.clone(),
            definition: serde_json::to_value(&workflow.plan.authored).map_err(|cause| Error::Internal(cause.into()))?,
            inputs,
            context: self.surroundings(context, agent.as_ref()),
            began,
            // Nobody takes another's keys away.
            key: key.map(|key| format!("{}/{key}", principal.name())),
            pins: self.interpreter.performer.pins(context, &uses),
            by: principal.asker(),
        };
        self.has_room(context, &run).await?;
        match self.interpreter.journal.make(&run).await? {
            Made::New => Ok(self.go(run, workflow.plan, false)),
            Made::Before(id) => {
                let before = self.interpreter.journal.find(&context.tenant, &id).await?.map(|standing| standing.run);
                if before.is_none_or(|before| before.workflow != run.workflow || before.inputs != run.inputs) {
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
        match pinned(&run) {
            Ok(plan) => drop(self.go(run, Arc::new(plan), true)),
            Err(fault) => {
                tracing::error!(run = %run.id, %fault, "the definition of a run can't be read");
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

    fn go(&self, run: Run, plan: Arc<Plan>, again: bool) -> Begun {
        let working = Arc::new(Working {
            tenant: run.tenant.clone(),
            live: self.alive(&run.tenant),
            end: watch::Sender::new(None),
        });
        let (id, end) = (run.id.clone(), working.end.subscribe());
        self.lock().insert(id.clone(), Arc::downgrade(&working));
        let this = self.clone();
        tokio::spawn(async move {
            working.live.weighs(this.weight(&run, again).await);
            let ended = tokio::select! {
                () = this.halted.cancelled() => return,
                ended = this.interpreter.run(&run, &plan, again, &working.live) => ended,
            };
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
        let plan = pinned(&standing.run).map_err(|fault| Error::Internal(fault.to_string().into()))?;
        approvers::admit(&plan.authored, name, by, self.interpreter.keeping.keys.as_deref()).await?;
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
        let plan = pinned(&standing.run).map_err(|fault| Error::Internal(fault.to_string().into()))?;
        let by = by.name().to_owned();
        let decided = Entry::Resolved { path, at: self.interpreter.timer.now(), choice, by };
        self.interpreter.journal.reopen(&standing.run.id, &[decided]).await?;
        Ok(self.go(standing.run.clone(), Arc::new(plan), true))
    }
}

fn problem(pointer: &str, message: &str) -> Error {
    Error::InvalidArguments(vec![Problem { pointer: pointer.to_owned(), message: message.to_owned() }])
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

/// The plan of the definition that a run pins.
fn pinned(run: &Run) -> Result<Plan, Fault> {
    let wrong = |message: String| Fault::new(run.workflow.clone(), Spot::START, message);
    let authored: authored::Workflow =
        serde_json::from_value(run.definition.clone()).map_err(|error| wrong(error.to_string()))?;
    Plan::new(authored).map_err(wrong)
}

/// Inputs as a workflow takes them, defaults filled in.
fn taken(workflow: &authored::Workflow, inputs: Value) -> Result<Value, Error> {
    let mut given = match inputs {
        Value::Null => Map::new(),
        Value::Object(members) => members,
        _ => return Err(problem("/inputs", "not an object")),
    };
    if !given.values().all(|value| shallow(value, MAX_DEPTH)) {
        return Err(problem("/inputs", "nested too deep"));
    }
    let Some(declared) = &workflow.inputs else { return Ok(given.into()) };
    for (name, input) in declared {
        if let Some(default) = input.default.clone().filter(|_| !given.contains_key(name)) {
            given.insert(name.clone(), default);
        }
    }
    let given = Value::Object(given);
    let schema = Schema::new(schema(declared)).map_err(|error| Error::Internal(error.to_string().into()))?;
    let under = |problem: Problem| Problem { pointer: format!("/inputs{}", problem.pointer), ..problem };
    let checked = schema.check(&given);
    checked.map_err(|problems| Error::InvalidArguments(problems.into_iter().map(under).collect()))?;
    Ok(given)
}

/// The JSON Schema of declared inputs.
fn schema(declared: &BTreeMap<String, Input>) -> Value {
    let property = |input: &Input| {
        let mut property = Map::new();
        property.insert("type".to_owned(), serde_json::to_value(input.kind).unwrap_or_default());
        if let Some(description) = &input.description {
            property.insert("description".to_owned(), description.clone().into());
        }
        if let Some(default) = &input.default {
            property.insert("default".to_owned(), default.clone());
        }
        if let Some(options) = &input.options {
            property.insert("enum".to_owned(), options.clone().into());
        }
        Value::Object(property)
    };
    let required = declared.iter().filter(|(_, input)| input.required.unwrap_or(input.default.is_none()));
    json!({
        "type": "object",
        "properties": declared.iter().map(|(name, input)| (name.clone(), property(input))).collect::<Map<_, _>>(),
        "required": required.map(|(name, _)| name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}
