//! The way to a store of documents: what is recorded, and what is given again to whom.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Sources,
        documents::{self, Selection},
    },
    grant::{Grant, Grants, Permission, Permit},
    limits::{Limits, Tier},
    source::{Definition, Kind},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};

use super::*;
use crate::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
};

struct One(Arc<Context>);

impl Tenants for One {
    fn get(&self, _tenant: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}

/// A context in which an agent may touch so much of the one source.
fn context(definition: &Arc<Definition>, scope: Scope) -> Arc<Context> {
    let name = definition.name.clone();
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), Permission::Write)]),
        scopes: BTreeMap::from([(name.clone(), scope)]),
        sets: Vec::new(),
    };
    let agent = Agent {
        system_prompt: String::new(),
        temperature: 0.0,
        tools: Some(BTreeSet::new()),
        mapping: Some(mapping),
        workflows: Vec::new(),
    };
    Arc::new(Context {
        tenant: TenantId::new("one").unwrap(),
        company: Company { name: "Test".to_owned(), industry: None, website: None, timezone: "UTC".to_owned() },
        agents: BTreeMap::from([(AgentName::new("sales").unwrap(), agent)]),
        sources: BTreeMap::from([(name, definition.clone())]),
        ceilings: BTreeMap::new(),
        settings: BTreeMap::new(),
        limits: Limits::default(),
        uploads: Tier::Small,
        trusted_keys: Vec::new(),
        webhooks: BTreeMap::new(),
        model: None,
        authored: serde_json::Value::Null,
    })
}

/// A call that was granted the source.
async fn call(
    pools: &Arc<Pools>,
    definition: &Arc<Definition>,
    scope: Scope,
) -> (Grants, Permit, Arc<dyn documents::Store>) {
    let context = context(definition, scope);
    let (tenants, sources): (Arc<dyn Tenants>, Arc<dyn Sources>) = (Arc::new(One(context.clone())), pools.clone());
    let granted = vec![Grant { source: definition.name.clone(), permission: Permission::Write }];
    let grants = Grants::new(&context, &AgentName::new("sales").unwrap(), granted, &tenants, &sources);
    let (permit, handle) = grants.open("notes").await.unwrap();
    let Handle::Documents(store) = handle else { panic!("of another family") };
    (grants, permit, store)
}

#[tokio::test]
async fn documents_are_given_again_to_who_may_touch_the_same_until_something_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let definition = Arc::new(Definition {
        name: SourceName::new("notes").unwrap(),
        authored_kind: "documents".to_owned(),
        kind: Kind::DocumentFile { path: folder.path().join("notes.db") },
        revision: "1".to_owned(),
        cache: Some(Duration::from_secs(3_600)),
    });
    let pools = Pools::new(Settings::default(), Guard::new(NetworkRules::default()).unwrap());
    let (grants, permit, store) = call(&pools, &definition, Scope::ALL).await;
    let (read, write) = (|| permit.read().unwrap(), || permit.write().unwrap());
    let document = [r#"{"_id": 1, "to": "ada@example.com"}"#.to_owned()];
    store.insert(write(), "letters", &document).await.unwrap();
    let all = Selection { filter: "{}".to_owned(), projection: None, sort: None, skip: 0, limit: 0 };
    for _ in 0..3 {
        assert_eq!(store.find(read(), "letters", &all).await.unwrap().len(), 1);
        assert_eq!(store.count(read(), "letters", r#"{"to": "ada@example.com"}"#).await.unwrap(), 1);
    }
    assert_eq!(store.count(read(), "letters", r#"{"to": "bob@example.com"}"#).await.unwrap(), 0);
    assert_eq!(store.delete(write(), "letters", r#"{"_id": 1}"#).await.unwrap(), 1);
    assert_eq!(store.count(read(), "letters", r#"{"to": "ada@example.com"}"#).await.unwrap(), 0, "seen at once");
    assert!(store.delete(write(), "letters", "{}").await.is_err());
    let record = grants.touched().close();
    let told: Vec<_> = record
        .operations
        .iter()
        .map(|it| (it.name, it.outcome.unwrap_or_default(), it.count, it.cached, it.rows))
        .collect();
    // Filters of one shape are one entry: the addresses in them are in no digest.
    assert_eq!(
        told,
        [
            ("insert", "ok", 1, 0, 1),
            ("find", "ok", 3, 2, 3),
            ("count", "ok", 5, 2, 0),
            ("delete", "ok", 1, 0, 1),
            ("delete", "denied", 1, 0, 0)
        ]
    );

    let cached = async |scope: Scope| {
        let (grants, permit, store) = call(&pools, &definition, scope).await;
        store.count(permit.read().unwrap(), "letters", "{}").await.unwrap();
        grants.touched().close().operations.iter().map(|it| it.cached).sum::<u32>()
    };
    let narrow = || Scope::only(["letters".to_owned()]);
    assert_eq!((cached(Scope::ALL).await, cached(Scope::ALL).await), (0, 1));
    assert_eq!((cached(narrow()).await, cached(narrow()).await), (0, 1), "kept apart by what may be touched");
}
