//! A host in small, for tests: tenants' workflows over journals in memory, with work and time that a test holds in
//! its hands. It can end and begin again on the same journals.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod again;
pub(crate) mod kept;
mod large;
mod shelved;
mod turns;
mod ways;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use remit_config::File;
use remit_domain::{
    AgentName, Error, TenantId,
    access::Principal,
    audit::{AuditLog, Deed, Event},
    clock::Clock,
    execution::{End, Failure, RunId, Standing},
    tenant::{Agent, Context, State, Tenants},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::kept::Kept;
use crate::{
    Begun, Shelf, Storing, Workflows,
    run::{
        Interpreter, Job, Keeping, Performer, Timer, Uses, Work,
        memory::{Memory, Shelf as Outputs},
    },
    triggers::Triggers,
};

/// A clock that stands until it is set.
pub(crate) struct Time(watch::Sender<OffsetDateTime>);

impl Time {
    pub(crate) fn set(&self, time: OffsetDateTime) {
        self.0.send_replace(time);
    }
}

impl Clock for Time {
    fn now(&self) -> OffsetDateTime {
        *self.0.borrow()
    }
}

#[async_trait]
impl Timer for Time {
    async fn until(&self, time: OffsetDateTime) {
        let _ = self.0.subscribe().wait_for(|now| *now >= time).await;
    }

    fn chance(&self) -> f64 {
        1.0
    }
}

/// Does what a tool's name says: `hold` waits until it is let go, `fail` fails for as long as it is to. A node takes
/// the way that it is named after.
pub(crate) struct Hands {
    pub(crate) done: Mutex<Vec<String>>,
    pub(crate) go: watch::Sender<bool>,
    pub(crate) fails: watch::Sender<bool>,
}

#[async_trait]
impl Performer for Hands {
    async fn harmless(&self, _: &Work<'_>, _: bool) -> bool {
        true
    }

    async fn perform(&self, work: Work<'_>) -> Result<Value, Failure> {
        let tool = match work.job {
            Job::Tool { tool, .. } => tool,
            Job::Node { name, .. } => &name.node,
            Job::Agent { .. } => panic!("no such work"),
        };
        let of = work.run.inputs.get("n").map(Value::to_string).unwrap_or_default();
        self.done.lock().unwrap().push(format!("{of}{}", work.path));
        // Whoever else is at work comes to its turn.
        tokio::task::yield_now().await;
        if tool == "hold" {
            self.go.subscribe().wait_for(|go| *go).await.unwrap();
        }
        let fails = *self.fails.borrow();
        if tool == "fail" && fails {
            let message = "it fails".to_owned();
            return Err(Failure {
                code: "broken".to_owned(),
                message,
                retriable: false,
                retry_after_ms: None,
                path: None,
            });
        }
        let mut output = json!({"success": true, "result": work.config, "agent": work.agent});
        if let (Job::Node { name, .. }, Some(members)) = (work.job, output.as_object_mut()) {
            members.insert("branch".to_owned(), name.node.clone().into());
        }
        Ok(output)
    }

    fn pins(&self, _: &Context, uses: &Uses) -> BTreeSet<String> {
        uses.kinds.iter().map(ToString::to_string).chain(uses.agents.iter().map(ToString::to_string)).collect()
    }
}

/// One tenant, or none while it is away.
pub(crate) struct One {
    context: Arc<Context>,
    pub(crate) away: Mutex<bool>,
}

impl Tenants for One {
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        if *tenant != self.context.tenant {
            return Err(Error::UnknownTenant(tenant.to_string()));
        }
        match *self.away.lock().unwrap() {
            true => Err(Error::TenantUnavailable { tenant: tenant.clone() }),
            false => Ok(self.context.clone()),
        }
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.context.tenant.clone(), State::Current)]
    }
}

pub(crate) const SECRET: &str = "a secret of sixteen bytes";

/// The audit log, of which acts alone are kept.
#[derive(Default)]
pub(crate) struct Deeds(pub(crate) Mutex<Vec<Deed>>);

#[async_trait]
impl AuditLog for Deeds {
    async fn record(&self, _: Event) -> Result<(), Error> {
        Ok(())
    }

    fn record_later(&self, _: Event) {}

    async fn administer(&self, deed: Deed) -> Result<(), Error> {
        self.0.lock().unwrap().push(deed);
        Ok(())
    }
}

/// What outlives a host.
#[derive(Clone, Default)]
pub(crate) struct Lasting {
    journal: Arc<Memory>,
    kept: Arc<Kept>,
    outputs: Arc<Outputs>,
    deeds: Arc<Deeds>,
}

/// The host.
pub(crate) struct House {
    lasting: Lasting,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) deeds: Arc<Deeds>,
    pub(crate) journal: Arc<Memory>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) hands: Arc<Hands>,
    pub(crate) time: Arc<Time>,
    pub(crate) tenants: Arc<One>,
    pub(crate) context: Arc<Context>,
    pub(crate) workflows: Workflows,
    pub(crate) storing: Storing,
    pub(crate) triggers: Triggers,
}

pub(crate) const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

impl House {
    pub(crate) fn new() -> Self {
        let agent = |workflows: &[&str]| Agent {
            system_prompt: String::new(),
            temperature: 0.0,
            tools: None,
            mapping: None,
            workflows: workflows.iter().map(|name| (*name).to_owned()).collect(),
        };
        let mut context = Context::of(TenantId::new("a").unwrap(), "A");
        context.agents = BTreeMap::from([
            (AgentName::new("sales").unwrap(), agent(&["w"])),
            (AgentName::new("support").unwrap(), agent(&[])),
        ]);
        context.webhooks = BTreeMap::from([("orders".to_owned(), SecretString::from(SECRET))]);
        let context = Arc::new(context);
        let hands = Hands { done: Mutex::default(), go: watch::Sender::new(false), fails: watch::Sender::new(true) };
        let tenants = Arc::new(One { context: context.clone(), away: Mutex::default() });
        let time = Arc::new(Time(watch::Sender::new(NOON)));
        Self::over(Lasting::default(), (Arc::new(hands), time, tenants), context)
    }

    fn over(
        lasting: Lasting,
        (hands, time, tenants): (Arc<Hands>, Arc<Time>, Arc<One>),
        context: Arc<Context>,
    ) -> Self {
        let Lasting { journal, kept, outputs, deeds } = lasting.clone();
        let keeping = Keeping {
            outputs: Some(outputs.clone()),
            history: Some(journal.clone()),
            audit: Some(deeds.clone()),
            ..Keeping::default()
        };
        let interpreter = Interpreter {
            journal: journal.clone(),
            performer: hands.clone(),
            timer: time.clone(),
            env: Arc::default(),
            keeping,
        };
        let shelf = Shelf::default();
        let workflows = Workflows::new(shelf.clone(), interpreter, CancellationToken::new());
        let changed = Arc::new(Notify::new());
        let storing = Storing::new(shelf, kept.clone(), BTreeSet::new(), time.clone(), changed.clone());
        let triggers = Triggers::new(workflows.clone(), tenants.clone(), kept.clone(), changed);
        Self { lasting, outputs, deeds, journal, kept, hands, time, tenants, context, workflows, storing, triggers }
    }

    /// The host ends, and another begins on the same journals.
    pub(crate) async fn again(self) -> Self {
        self.workflows.halt();
        let before = (self.hands, self.time, self.tenants);
        let house = Self::over(self.lasting, before, self.context);
        assert_eq!(house.storing.restore().await.unwrap(), []);
        house.triggers.restore().await.unwrap();
        house.workflows.resume().await.unwrap();
        house
    }

    /// Takes a workflow of the tenant in.
    pub(crate) async fn store(&self, text: &str) -> Result<(u32, bool), Error> {
        let file = File::new("w.yml", text);
        let plan = crate::plan(&file, &BTreeSet::new()).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let (version, new) = self.storing.store(&self.context.tenant, "ada", file, None, plan).await?;
        Ok((version.number, new))
    }

    pub(crate) async fn begin(&self, inputs: Value) -> Result<Begun, Error> {
        self.workflows.execute(&Principal::anyone(), &self.context, "w", inputs, None).await
    }

    /// A run of `w` to its end.
    pub(crate) async fn run(&self, inputs: Value) -> (RunId, End) {
        let mut begun = self.begin(inputs).await.unwrap();
        let end = begun.end().await.unwrap();
        (begun.id, end)
    }

    pub(crate) async fn standing(&self, run: &RunId) -> Standing {
        self.workflows.find(&Principal::anyone(), &self.context.tenant, run.as_str()).await.unwrap()
    }

    pub(crate) fn done(&self) -> Vec<String> {
        self.hands.done.lock().unwrap().clone()
    }

    /// Lets everybody else come to their turn until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if holds(self) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never: {what}; done {:?}", self.done());
    }
}
