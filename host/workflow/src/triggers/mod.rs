//! What begins workflows by itself: times, and requests of others.
//!
//! A time is on record before its run is begun, and the run is begun by a key that the time is part of: whatever
//! ends the host in between, there is one run a time. Runs that nobody asked for are the workflow's own
//! (`schedule:<name>`, `hook:<name>`), and speak for the agents alone that the definition names. Deliberately
//! absent: HTTP, and triggers of `examples/`, which are nobody's.

mod checked;
mod proof;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use remit_domain::{
    Error, TenantId,
    access::Principal,
    clock::rfc3339,
    execution::Asker,
    tenant::{Context, Tenants},
    workflows::{Definitions, Delivery, Trigger, TriggerKey},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::Notify;

pub(crate) use self::checked::faults;
pub use self::proof::Request;
use self::{
    checked::{TOLERANCE, tolerance},
    proof::Shown,
    schedule::Rule,
};
use crate::{Begun, Workflow, Workflows, authored, authored::CatchUp, link};

/// The name of a workflow's webhook among its triggers.
pub const WEBHOOK: &str = "webhook";
/// A time whose run is begun later than this was missed.
const LATE: time::Duration = time::Duration::seconds(60);
/// How often it is looked at least, for clocks that are set and starts that were refused.
const LOOK: time::Duration = time::Duration::seconds(30);
/// How long deliveries are remembered: longer than any request is taken.
const REMEMBER: time::Duration = time::Duration::hours(3);
/// The most bytes of a delivery's name.
const MAX_WORD_BYTES: usize = 128;

/// Begins workflows. Cheap to clone.
#[derive(Clone)]
pub struct Triggers {
    workflows: Workflows,
    tenants: Arc<dyn Tenants>,
    definitions: Arc<dyn Definitions>,
    states: Arc<Mutex<BTreeMap<TriggerKey, Trigger>>>,
    /// One change after another.
    acting: Arc<tokio::sync::Mutex<()>>,
    changed: Arc<Notify>,
}

/// Why a delivery begins nothing.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing shows that the sender may know whether there is anything.
    Unknown,
    /// It was signed too long ago, or in a time to come.
    Stale,
    /// It came before, under another name or none.
    Replayed,
    /// The trigger is paused.
    Paused,
    /// Whatever else.
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A delivery that proved where it comes from.
pub struct Proven {
    /// The tenant's context.
    pub context: Arc<Context>,
    /// As which it is charged.
    pub principal: Principal,
    workflow: Workflow,
    proof: String,
    word: String,
}

impl Triggers {
    /// Joins the ports. `changed`: told when there may be other workflows.
    pub fn new(
        workflows: Workflows,
        tenants: Arc<dyn Tenants>,
        definitions: Arc<dyn Definitions>,
        changed: Arc<Notify>,
    ) -> Self {
        Self { workflows, tenants, definitions, states: Arc::default(), acting: Arc::default(), changed }
    }

    /// Looks again soon: there may be other workflows.
    pub fn stir(&self) {
        self.changed.notify_one();
    }

    /// Reads how the triggers stand. To be called first. Errors: [`Error::Journal`].
    pub async fn restore(&self) -> Result<(), Error> {
        let kept = self.definitions.triggers().await?;
        *self.states() = kept.into_iter().map(|trigger| (trigger.key.clone(), trigger)).collect();
        Ok(())
    }

    /// Begins what is due, for as long as it is let.
    pub async fn run(self) {
        let timer = self.workflows.interpreter.timer.clone();
        loop {
            let changed = self.changed.notified();
            let next = match self.tick().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(cause = ?std::error::Error::source(&error), "schedules stand still: {error}");
                    timer.now().saturating_add(LOOK)
                }
            };
            tokio::select! {
                () = timer.until(next) => {}
                () = changed => {}
            }
        }
    }

    /// Begins what is due now. Says when to look again. Errors: [`Error::Journal`].
    pub async fn tick(&self) -> Result<OffsetDateTime, Error> {
        let _alone = self.acting.lock().await;
        let now = self.workflows.interpreter.timer.now();
        let mut again = now.saturating_add(LOOK);
        let mut seen: BTreeSet<TriggerKey> = BTreeSet::new();
        let mut away: BTreeSet<TenantId> = BTreeSet::new();
        for (tenant, _) in self.tenants.all() {
            let Ok(context) = self.tenants.get(&tenant) else {
                away.insert(tenant);
                continue;
            };
            for workflow in self.workflows.shelf().list(&tenant) {
                let Some(triggers) = own(&workflow) else { continue };
                for (name, schedule) in &triggers.schedules {
                    let key = key(&workflow, &tenant, name);
                    seen.insert(key.clone());
                    if let Some(next) = self.look(&context, &workflow, key, schedule, now).await? {
                        again = again.min(next);
                    }
                }
                if triggers.webhook.is_some() {
                    seen.insert(key(&workflow, &tenant, WEBHOOK));
                }
            }
        }
        self.forget(&seen, &away).await?;
        Ok(again)
    }

    /// Deals with one schedule. Its next time.
    async fn look(
        &self,
        context: &Context,
        workflow: &Workflow,
        key: TriggerKey,
        schedule: &authored::Schedule,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, Error> {
        let zone = schedule.timezone.as_deref().unwrap_or(&context.company.timezone);
        let text = format!("{} {zone}", schedule.cron);
        let known = self.states().get(&key).cloned();
        let mut state = match known {
            Some(state) if state.rule == text => state,
            // What is new, or has other times now, begins nothing for times that are over.
            known => {
                let paused = known.as_ref().is_some_and(|known| known.paused);
                let (last, run) = known.map(|known| (known.last, known.run)).unwrap_or_default();
                let state = Trigger { key, rule: text, paused, handled: now, due: None, last, run, problem: None };
                self.keep(&state).await?;
                state
            }
        };
        let rule = match Rule::read(&schedule.cron, zone) {
            Ok(rule) => rule,
            Err(problem) => {
                if state.problem.as_ref() != Some(&problem) {
                    tracing::warn!(tenant = %state.key.tenant, workflow = state.key.workflow, problem, "a schedule has no times");
                    state.problem = Some(problem);
                    self.keep(&state).await?;
                }
                return Ok(None);
            }
        };
        if state.paused {
            return Ok(None);
        }
        if state.due.is_none()
            && let Some(time) = rule.latest(state.handled, now)
        {
            if now - time > LATE && schedule.catch_up == Some(CatchUp::None) {
                tracing::info!(tenant = %state.key.tenant, workflow = state.key.workflow, time = rfc3339(time), "a time was missed");
                state.handled = time;
            } else {
                state.due = Some(time);
            }
            self.keep(&state).await?;
        }
        if let Some(due) = state.due {
            self.start(context, workflow, schedule, state, due).await?;
        }
        Ok(rule.next(now))
    }

    /// Begins the run of a time that is on record.
    async fn start(
        &self,
        context: &Context,
        workflow: &Workflow,
        schedule: &authored::Schedule,
        mut state: Trigger,
        due: OffsetDateTime,
    ) -> Result<(), Error> {
        let (tenant, name) = (state.key.tenant.clone(), state.key.workflow.clone());
        let word = format!("{}@{}", state.key.trigger, rfc3339(due));
        let inputs = Value::Object(schedule.inputs.clone());
        let principal = self.principal(context, workflow, "schedule");
        match self.workflows.execute(&principal, context, &name, inputs, Some(word)).await {
            Ok(begun) => {
                self.workflows.record((&tenant, &principal), &name, &begun, None).await;
                tracing::info!(%tenant, workflow = name, run = %begun.id, time = rfc3339(due), "a schedule began a run");
                (state.handled, state.due) = (due, None);
                (state.last, state.run, state.problem) = (Some(due), Some(begun.id), None);
            }
            Err(error @ Error::Journal(_)) => return Err(error),
            Err(error) => {
                tracing::warn!(%tenant, workflow = name, time = rfc3339(due), %error, "a schedule could not begin a run");
                state.problem = Some(error.to_string());
                // What passes is tried again; the time stays on record.
                if !error.retriable() {
                    (state.handled, state.due) = (due, None);
                }
            }
        }
        self.keep(&state).await
    }

    /// Looks at a delivery: whose it is, and whether it is what it says.
    ///
    /// Errors: [`Refusal::Unknown`] for whatever shows no knowledge of the secret, and after the same work;
    /// [`Refusal::Stale`], [`Refusal::Paused`].
    pub fn prove(&self, tenant: &str, name: &str, request: Request<'_>) -> Result<Proven, Refusal> {
        let now = self.workflows.interpreter.timer.now();
        let found = self.hook(tenant, name);
        let nobodys = SecretString::from("");
        let (secret, tolerance) =
            found.as_ref().map_or((&nobodys, TOLERANCE), |(_, _, secret, tolerance)| (secret, *tolerance));
        match (proof::look(secret, request, tolerance, now), found) {
            (Shown::Nothing, _) | (_, None) => Err(Refusal::Unknown),
            (Shown::Stale, Some(_)) => Err(Refusal::Stale),
            (Shown::Proof(proof), Some((context, workflow, ..))) => {
                let key = key(&workflow, &context.tenant, WEBHOOK);
                if self.states().get(&key).is_some_and(|state| state.paused) {
                    return Err(Refusal::Paused);
                }
                let principal = self.principal(&context, &workflow, "hook");
                let word = request.word.chars().filter(char::is_ascii_graphic).take(MAX_WORD_BYTES).collect();
                Ok(Proven { context, principal, workflow, proof, word })
            }
        }
    }

    /// A tenant's own workflow with a webhook, and what signs its requests.
    fn hook(&self, tenant: &str, name: &str) -> Option<(Arc<Context>, Workflow, SecretString, Duration)> {
        let context = self.tenants.get(&TenantId::new(tenant).ok()?).ok()?;
        let workflow = self.workflows.shelf().find(&context.tenant, name)?;
        let webhook = own(&workflow)?.webhook.as_ref()?;
        let secret = context.webhooks.get(&webhook.secret)?.clone();
        let tolerance = tolerance(webhook);
        Some((context, workflow, secret, tolerance))
    }

    /// Begins the run of a delivery, with its body as what it is given. The same delivery again is the same run.
    ///
    /// Errors: [`Refusal::Replayed`]; [`Refusal::Other`] as [`Workflows::execute`].
    pub async fn deliver(&self, proven: Proven, inputs: Value) -> Result<Begun, Refusal> {
        let Proven { context, principal, workflow, proof, word } = proven;
        let at = self.workflows.interpreter.timer.now();
        let name = workflow.plan.authored.name.clone();
        let delivery = Delivery {
            tenant: context.tenant.clone(),
            workflow: name.clone(),
            proof: proof.clone(),
            word: word.clone(),
            at,
        };
        // A name is no part of what is signed: who repeats a request that they saw can't make it another.
        let before = self.definitions.delivered(&delivery, at.saturating_sub(REMEMBER)).await?;
        if before.is_some_and(|before| before != word) {
            return Err(Refusal::Replayed);
        }
        let unnamed = word.is_empty();
        let key = if unnamed { format!("proof:{proof}") } else { format!("delivery:{word}") };
        let begun = self.workflows.execute(&principal, &context, &name, inputs, Some(key)).await?;
        if unnamed && !begun.is_new {
            return Err(Refusal::Replayed);
        }
        self.workflows.record((&context.tenant, &principal), &name, &begun, None).await;
        Ok(begun)
    }

    /// Tells a trigger to begin nothing, or to begin runs again: times that passed meanwhile stay over.
    ///
    /// Errors: [`Error::UnknownWorkflow`] for a workflow, or a trigger of it, that the tenant does not have;
    /// [`Error::Journal`].
    pub async fn pause(&self, context: &Context, name: &str, trigger: &str, paused: bool) -> Result<Value, Error> {
        let _alone = self.acting.lock().await;
        let tenant = &context.tenant;
        let unknown = || Error::UnknownWorkflow(format!("{name}/{trigger}").chars().take(128).collect());
        let workflow = self.workflows.shelf().find(tenant, name).ok_or_else(unknown)?;
        let triggers = own(&workflow).ok_or_else(unknown)?;
        let rule = match (triggers.schedules.get(trigger), &triggers.webhook) {
            (Some(schedule), _) => {
                format!("{} {}", schedule.cron, schedule.timezone.as_deref().unwrap_or(&context.company.timezone))
            }
            (None, Some(_)) if trigger == WEBHOOK => WEBHOOK.to_owned(),
            _ => return Err(unknown()),
        };
        let key = key(&workflow, tenant, trigger);
        let now = self.workflows.interpreter.timer.now();
        let known = self.states().get(&key).cloned();
        let mut state = known.unwrap_or(Trigger {
            key,
            rule,
            paused: false,
            handled: now,
            due: None,
            last: None,
            run: None,
            problem: None,
        });
        if state.paused != paused {
            (state.paused, state.due) = (paused, None);
            state.handled = now;
            self.keep(&state).await?;
            self.changed.notify_one();
        }
        Ok(self.shown(context, &workflow))
    }

    /// How a workflow's triggers stand, as JSON: of each its name, its rule, and its last and its next time.
    pub fn shown(&self, context: &Context, workflow: &Workflow) -> Value {
        let Some(triggers) = own(workflow) else { return json!([]) };
        let now = self.workflows.interpreter.timer.now();
        let states = self.states();
        let state = |name: &str| states.get(&key(workflow, &context.tenant, name));
        let mut shown: Vec<Value> = Vec::new();
        for (name, schedule) in &triggers.schedules {
            let zone = schedule.timezone.as_deref().unwrap_or(&context.company.timezone);
            let state = state(name);
            let paused = state.is_some_and(|state| state.paused);
            let next = Rule::read(&schedule.cron, zone).ok().filter(|_| !paused).and_then(|rule| rule.next(now));
            shown.push(json!({
                "name": name, "type": "schedule", "cron": schedule.cron, "timezone": zone, "paused": paused,
                "catchUp": schedule.catch_up.unwrap_or(CatchUp::Once),
                "lastAt": state.and_then(|state| state.last).map(rfc3339),
                "lastExecutionId": state.and_then(|state| state.run.as_ref()),
                "nextAt": next.map(rfc3339),
                "problem": state.and_then(|state| state.problem.as_ref()),
            }));
        }
        if let Some(webhook) = &triggers.webhook {
            shown.push(json!({
                "name": WEBHOOK, "type": "webhook", "paused": state(WEBHOOK).is_some_and(|state| state.paused),
                "href": format!("/api/hooks/{}/{}", context.tenant, workflow.plan.authored.name),
                "toleranceSeconds": tolerance(webhook).as_secs(),
                "problem": (!context.webhooks.contains_key(&webhook.secret))
                    .then(|| format!("the context has no webhook `{}` with a secret", webhook.secret)),
            }));
        }
        shown.into()
    }

    /// Who a run is that nobody asked for: the workflow itself, which speaks for the agents that it names.
    fn principal(&self, context: &Context, workflow: &Workflow, door: &str) -> Principal {
        let find = |name: &str| {
            let found = self.workflows.shelf().find(&context.tenant, name)?;
            Some((found.plan.clone(), found.agent(context)))
        };
        // One that calls what is not there is refused when it is begun.
        let subs = link::link(&workflow.plan, &find).unwrap_or_default();
        let mut agents: BTreeSet<_> = workflow.agent(context).into_iter().collect();
        agents.extend(checked::agents(&workflow.plan.authored));
        for sub in subs.into_values() {
            agents.extend(sub.agent);
            agents.extend(checked::agents(&sub.plan.authored));
        }
        let name = format!("{door}:{}", workflow.plan.authored.name);
        let by = Asker { name, agents: Some(agents), key: None, quotas: BTreeMap::new() };
        Principal::run(context.tenant.clone(), &by)
    }

    async fn keep(&self, state: &Trigger) -> Result<(), Error> {
        self.definitions.keep_trigger(state).await?;
        self.states().insert(state.key.clone(), state.clone());
        Ok(())
    }

    /// Forgets triggers that are gone, but those that are paused: a file that is faulty for a while must not
    /// set them going.
    async fn forget(&self, seen: &BTreeSet<TriggerKey>, away: &BTreeSet<TenantId>) -> Result<(), Error> {
        let gone: Vec<TriggerKey> = {
            let states = self.states();
            let gone = states
                .values()
                .filter(|state| !state.paused && !seen.contains(&state.key) && !away.contains(&state.key.tenant));
            gone.map(|state| state.key.clone()).collect()
        };
        for key in gone {
            self.definitions.forget_trigger(&key).await?;
            self.states().remove(&key);
        }
        Ok(())
    }

    fn states(&self) -> MutexGuard<'_, BTreeMap<TriggerKey, Trigger>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The triggers of a workflow that is a tenant's own.
fn own(workflow: &Workflow) -> Option<&authored::Triggers> {
    workflow.owner.tenant.as_ref()?;
    workflow.plan.authored.triggers.as_ref()
}

fn key(workflow: &Workflow, tenant: &TenantId, trigger: &str) -> TriggerKey {
    let workflow = workflow.plan.authored.name.clone();
    TriggerKey { tenant: tenant.clone(), workflow, trigger: trigger.to_owned() }
}
