//! Stories of the catalogue and the decision function, with every port faked.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod nodes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::{
    SourceName,
    audit::{Deed, Event, Outcome as Became, Subject},
    clock::SystemClock,
    data::{self, Handle},
    grant::{Grants, Need, Permission},
    node::Answer,
    plugin::{Annotations, Computed, Description, Invocation, Outcome, ResourceContents},
    schema::Schema,
    source::{Definition, Kind},
    tenant::{Agent, State},
};

/// What the fake tool does when it is called.
#[derive(Clone, Copy)]
enum Behaviour {
    Answers,
    AnswersWrongly,
    /// Takes its permit for `primary` and tries to write, having read first.
    Writes,
    /// As `Writes`, with the tenant's mapping gone in between.
    WritesAfterRevocation,
    Waits,
}

#[derive(Clone)]
struct FakePlugin {
    description: Description,
    behaviour: Behaviour,
    tenants: Arc<FakeTenants>,
}

#[async_trait]
impl Plugin for FakePlugin {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn call(&self, _: &str, _: &str, grants: Grants, invocation: Invocation) -> Result<Outcome, Error> {
        invocation.computed.add(Duration::from_micros(1_001));
        let failed = |cause| Error::Source { source_name: name("primary"), cause };
        let structured = match self.behaviour {
            Behaviour::Answers => json!({ "granted": grants.names().map(ToString::to_string).collect::<Vec<_>>() }),
            Behaviour::AnswersWrongly => json!({ "granted": 7 }),
            Behaviour::Writes | Behaviour::WritesAfterRevocation => {
                let (permit, _) = grants.open("primary").await.map_err(failed)?;
                permit.read().map_err(failed)?;
                if matches!(self.behaviour, Behaviour::WritesAfterRevocation) {
                    self.tenants.replace(context(&[]));
                }
                permit.write().map_err(failed)?;
                json!({ "granted": [] })
            }
            Behaviour::Waits => std::future::pending().await,
        };
        Ok(Outcome { content: Vec::new(), structured: Some(structured) })
    }

    async fn read(&self, uri: &str, _: Grants, invocation: Invocation) -> Result<Vec<ResourceContents>, Error> {
        Err(Error::UnknownResource { agent: invocation.agent, resource: uri.to_owned() })
    }

    async fn validate(&self, _: &str, config: &str, _: Option<&Arc<Context>>, _: &Computed) -> Result<Answer, Error> {
        Ok(nodes::validate(config))
    }

    async fn execute(
        &self,
        _: &str,
        config: &str,
        _: &str,
        grants: Grants,
        invocation: Invocation,
    ) -> Result<crate::node::Outcome, Error> {
        Ok(nodes::execute(self.behaviour, config, &grants, invocation.attempt))
    }
}

struct FakePlugins(Arc<FakePlugin>);

#[async_trait]
impl Plugins for FakePlugins {
    fn find(&self, _: &TenantId, wanted: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.operators(wanted)
    }

    fn operators(&self, wanted: &PluginName) -> Option<Arc<dyn Plugin>> {
        (*wanted == self.0.description.name).then(|| self.0.clone() as Arc<dyn Plugin>)
    }

    /// One older version is kept.
    async fn version(
        &self,
        _: &Arc<Context>,
        wanted: &PluginName,
        digest: &str,
        computed: &Computed,
    ) -> Result<Option<Arc<dyn Plugin>>, Error> {
        assert_eq!(*wanted, self.0.description.name);
        computed.add(Duration::from_micros(1_001));
        let mut kept = FakePlugin::clone(&self.0);
        kept.description.digest = "sha256:0a".to_owned();
        Ok((digest == kept.description.digest).then(|| Arc::new(kept) as Arc<dyn Plugin>))
    }
}

struct FakeTenants(Mutex<Arc<Context>>);

impl FakeTenants {
    fn now(&self) -> Arc<Context> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, context: Context) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(context);
    }
}

impl Tenants for FakeTenants {
    fn get(&self, _: &TenantId) -> Result<Arc<Context>, Error> {
        Ok(self.now())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.now().tenant.clone(), State::Current)]
    }
}

struct NoDatabase;

#[async_trait]
impl data::sql::Database for NoDatabase {
    fn dialect(&self) -> data::sql::Dialect {
        data::sql::Dialect::Sqlite
    }

    async fn query(
        &self,
        _: crate::grant::Reading<'_>,
        _: &str,
        _: &[data::sql::Value],
    ) -> Result<data::sql::RowSet, data::Error> {
        Ok(data::sql::RowSet::default())
    }

    async fn execute(
        &self,
        _: crate::grant::Writing<'_>,
        _: &str,
        _: &[data::sql::Value],
    ) -> Result<data::sql::Change, data::Error> {
        Ok(data::sql::Change { rows_affected: 1, last_insert_id: None })
    }

    async fn begin(&self, _: crate::grant::Writing<'_>) -> Result<Box<dyn data::sql::Transaction>, data::Error> {
        Err(data::Error::unavailable("no transactions"))
    }
}

struct FakeSources;

#[async_trait]
impl Sources for FakeSources {
    async fn open(&self, _: &TenantId, _: &Arc<Definition>) -> Result<Handle, data::Error> {
        Ok(Handle::Sql(Arc::new(NoDatabase)))
    }

    async fn probe(&self, _: &TenantId, _: &Arc<Definition>) -> Result<Duration, data::Error> {
        Ok(Duration::ZERO)
    }
}

#[derive(Default)]
struct FakeAudit {
    events: Mutex<Vec<Event>>,
    broken: bool,
}

impl FakeAudit {
    fn put(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

#[async_trait]
impl AuditLog for FakeAudit {
    async fn record(&self, event: Event) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Journal("full".into()));
        }
        self.put(event);
        Ok(())
    }

    fn record_later(&self, event: Event) {
        self.put(event);
    }

    async fn administer(&self, _: Deed) -> Result<(), Error> {
        Err(Error::Internal("a catalogue administers nothing".into()))
    }
}

fn name(source: &str) -> SourceName {
    SourceName::new(source).unwrap()
}

fn need(source: &str, permission: Permission, optional: bool) -> Need {
    Need { source: name(source), permission, optional }
}

fn context(mapped: &[(&str, Permission)]) -> Context {
    let source = |source: &str| {
        let definition = Definition {
            name: name(source),
            authored_kind: "mysql".to_owned(),
            kind: Kind::Unconnected { kind: "mysql".to_owned() },
            revision: String::new(),
            cache: None,
        };
        (name(source), Arc::new(definition))
    };
    let mapping = Mapping {
        order: mapped.iter().map(|(source, _)| name(source)).collect(),
        permissions: mapped.iter().map(|(source, permission)| (name(source), *permission)).collect(),
        scopes: BTreeMap::new(),
        sets: vec![PluginName::new("crm").unwrap()],
    };
    let agent = Agent {
        system_prompt: String::new(),
        temperature: 0.7,
        tools: None,
        mapping: Some(mapping),
        workflows: Vec::new(),
    };
    Context {
        agents: BTreeMap::from([(AgentName::new("sales").unwrap(), agent)]),
        sources: ["primary", "crm"].into_iter().map(source).collect(),
        ceilings: BTreeMap::from([(name("crm"), Read)]),
        ..Context::of(TenantId::new("techstart").unwrap(), "TechStart Inc")
    }
}

struct Story {
    catalogue: Catalogue,
    tenants: Arc<FakeTenants>,
    audit: Arc<FakeAudit>,
}

fn story(mapped: &[(&str, Permission)], needs: Vec<Need>, behaviour: Behaviour) -> Story {
    story_with(mapped, needs, behaviour, false, false)
}

fn story_with(
    mapped: &[(&str, Permission)],
    needs: Vec<Need>,
    behaviour: Behaviour,
    read_only: bool,
    broken_audit: bool,
) -> Story {
    let tenants = Arc::new(FakeTenants(Mutex::new(Arc::new(context(mapped)))));
    let audit = Arc::new(FakeAudit { broken: broken_audit, ..FakeAudit::default() });
    let input = json!({ "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] });
    let output = json!({ "type": "object", "properties": { "granted": { "type": "array" } } });
    let tool = Tool {
        name: "look".to_owned(),
        title: None,
        description: "Looks.".to_owned(),
        input: Schema::new(input).unwrap(),
        output: Some(Schema::new(output).unwrap()),
        annotations: Annotations { read_only, destructive: false, idempotent: false, open_world: false },
        needs,
    };
    let description = Description {
        name: PluginName::new("crm").unwrap(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        title: None,
        instructions: None,
        tools: vec![tool],
        resources: Vec::new(),
        templates: Vec::new(),
        nodes: vec![nodes::node()],
    };
    let plugin = Arc::new(FakePlugin { description, behaviour, tenants: tenants.clone() });
    let catalogue = Catalogue::new(
        tenants.clone(),
        Arc::new(FakePlugins(plugin)),
        Arc::new(FakeSources),
        audit.clone(),
        Arc::new(SystemClock),
    );
    Story { catalogue, tenants, audit }
}

impl Story {
    fn caller(&self) -> Caller {
        Caller::new(Principal::anyone(), self.tenants.now(), "sales", Door::Console, RequestId::random()).unwrap()
    }

    async fn call(&self) -> Result<Value, &'static str> {
        let called = self.catalogue.call(&self.caller(), "look", json!({ "id": "x", "secret": "hunter2" })).await;
        called.map(|outcome| outcome.as_json()).map_err(|error| error.code())
    }

    fn events(&self) -> Vec<Event> {
        self.audit.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn only_event(&self) -> Event {
        let events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.into_iter().next().unwrap()
    }
}

use Permission::{Read, Write};

#[test]
fn the_decision_is_the_narrowest_of_ceiling_mapping_and_need() {
    let agent = AgentName::new("sales").unwrap();
    let granted = |mapped: &[(&str, Permission)], need: Need| {
        let decided = crate::grant::decide(&context(mapped), &agent, &need);
        decided.map(|grant| grant.map(|grant| grant.permission)).map_err(|denial| denial.to_string())
    };
    let both = [("primary", Write), ("crm", Write), ("ghost", Read)];
    for (mapped, need, expected) in [
        (&both[..], need("primary", Read, false), Ok(Some(Read))),
        (&both[..], need("primary", Write, false), Ok(Some(Write))),
        // The operator's ceiling for `crm` is `read`, whatever the mapping says.
        (&both[..], need("crm", Read, false), Ok(Some(Read))),
        (&both[..], need("crm", Write, false), Err("Agent sales doesn't have write permission for crm")),
        (&both[..], need("crm", Write, true), Ok(Some(Read))),
        (&both[..], need("ghost", Read, false), Err("Data source ghost not found")),
        (&both[..], need("support_tickets", Read, false), Err("Agent sales doesn't have access to support_tickets")),
        (&both[..], need("support_tickets", Read, true), Ok(None)),
        (
            &[("primary", Read)],
            need("primary", Write, false),
            Err("Agent sales doesn't have write permission for primary"),
        ),
    ] {
        assert_eq!(granted(mapped, need.clone()), expected.map_err(str::to_owned), "{need:?}");
    }
}

#[tokio::test]
async fn a_call_is_answered_and_recorded_without_its_values() {
    let story =
        story(&[("primary", Write)], vec![need("primary", Read, false), need("crm", Read, true)], Behaviour::Answers);
    assert_eq!(story.call().await, Ok(json!({ "granted": ["primary"] })));
    let event = story.only_event();
    assert_eq!((event.outcome, event.code), (Became::Ok, None));
    assert_eq!(event.plugin.as_deref(), Some("crm@sha256:00"));
    assert_eq!(event.arguments, BTreeMap::from([("id".to_owned(), 3), ("secret".to_owned(), 9)]));
    assert!(!serde_json::to_string(&event).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn a_tool_whose_needs_are_not_granted_is_not_listed_and_is_refused_by_name() {
    let story = story(&[("crm", Read)], vec![need("primary", Read, false)], Behaviour::Answers);
    assert!(story.catalogue.tools(&story.caller()).is_empty());
    assert_eq!(story.call().await, Err("permission_denied"));
    assert_eq!(story.only_event().outcome, Became::Denied);
}

#[tokio::test]
async fn a_tool_that_says_it_only_reads_gets_nothing_to_write_with() {
    let needs = vec![need("primary", Write, false)];
    let story = story_with(&[("primary", Write)], needs, Behaviour::Writes, true, false);
    assert_eq!(story.call().await, Err("source_denied"));
    let event = story.only_event();
    assert_eq!(event.outcome, Became::Denied);
    let used = event.sources.get("primary").unwrap();
    assert_eq!((used.writes, used.denied), (0, 1));
}

#[tokio::test]
async fn a_revocation_stops_the_next_operation_of_a_call_in_flight() {
    let needs = vec![need("primary", Write, false)];
    let granted = story(&[("primary", Write)], needs.clone(), Behaviour::Writes);
    assert_eq!(granted.call().await, Ok(json!({ "granted": [] })));
    let revoked = story(&[("primary", Write)], needs, Behaviour::WritesAfterRevocation);
    assert_eq!(revoked.call().await, Err("source_denied"));
    assert_eq!(revoked.only_event().sources.get("primary").map(|used| (used.writes, used.denied)), Some((0, 1)));
}

#[tokio::test]
async fn bad_arguments_and_bad_answers_are_told_apart() {
    let story = story(&[("primary", Read)], vec![need("primary", Read, false)], Behaviour::AnswersWrongly);
    let missing = story.catalogue.call(&story.caller(), "look", Value::Null).await;
    assert!(
        matches!(&missing, Err(Error::InvalidArguments(problems)) if problems.iter().any(|it| it.message.contains("id"))),
        "{missing:?}"
    );
    assert_eq!(story.call().await, Err("plugin_bad_answer"));
    let unknown = story.catalogue.call(&story.caller(), "no_such", Value::Null).await;
    assert_eq!(unknown.map_err(|error| error.code()).err(), Some("tool_missing"));
    let outcomes: Vec<_> = story.events().iter().map(|event| event.outcome).collect();
    assert_eq!(outcomes, [Became::Failed, Became::Failed, Became::Failed]);
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_is_not_answered() {
    let needs = vec![need("primary", Read, false)];
    let story = story_with(&[("primary", Read)], needs, Behaviour::Answers, false, true);
    assert_eq!(story.call().await, Err("journal_unavailable"));
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_recorded_as_cancelled() {
    let story = story(&[("primary", Read)], vec![need("primary", Read, false)], Behaviour::Waits);
    let waiting = tokio::time::timeout(Duration::from_millis(1), story.call());
    assert!(waiting.await.is_err());
    assert_eq!(story.only_event().outcome, Became::Cancelled);
}

#[tokio::test]
async fn what_a_call_uses_is_counted_however_it_ends_and_nothing_is_called_beyond_a_quota() {
    use crate::usage::{Meter, Owner, Window};
    let needs = || vec![need("primary", Read, false)];
    let used = |story: &Story| {
        let context = story.tenants.now();
        let figures = story.catalogue.usage().figures(&Owner::Tenant(context.tenant.clone()), &context.limits.quotas);
        let day = |meter| figures.iter().find(|it| (it.meter, it.window) == (meter, Window::Day)).unwrap().used;
        (day(Meter::Calls), day(Meter::CpuMs))
    };
    let bounded = |meter, allowed| {
        let mut context = context(&[("primary", Read)]);
        context.limits.quotas = context.limits.quotas.with(meter, Window::Day, allowed);
        context
    };
    let waits = story(&[("primary", Read)], needs(), Behaviour::Waits);
    assert!(tokio::time::timeout(Duration::from_millis(1), waits.call()).await.is_err());
    assert_eq!(used(&waits), (1, 2), "each millisecond begun");

    let answers = story(&[("primary", Read)], needs(), Behaviour::Answers);
    answers.tenants.replace(bounded(Meter::Calls, 1));
    assert!(answers.call().await.is_ok());
    assert_eq!(answers.call().await, Err("quota_exceeded"));
    assert_eq!(used(&answers), (1, 2), "the second did not reach the plugin");
    let codes: Vec<_> = answers.events().iter().map(|event| event.code).collect();
    assert_eq!(codes, [None, Some("quota_exceeded")], "and is on record");

    let computes = story(&[("primary", Read)], needs(), Behaviour::Answers);
    computes.tenants.replace(bounded(Meter::CpuMs, 1));
    assert!(computes.call().await.is_ok(), "what it will need is not known before");
    assert_eq!(computes.call().await, Err("quota_exceeded"));
    let unknown = computes.catalogue.call(&computes.caller(), "no_such", Value::Null).await;
    assert_eq!(unknown.map_err(|error| error.code()).err(), Some("tool_missing"));
    assert_eq!(used(&computes), (1, 2));
}
