//! A store of documents, and granted handles to it: one that may do everything, one that reads, and one
//! whose agent sees a few collections alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Result, bail};
use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Error, Handle, Sources,
        documents::{Selection, Store, UpdateCount},
    },
    grant::{Grant, Grants, Permission, Permit},
    scope::Scope,
    source::{Credentials, Definition, DocumentServer, Kind},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};
use remit_sources::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
};
use serde_json::Value;

/// A store as one agent has it.
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) permit: Permit,
    pub(crate) pools: Arc<Pools>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) tenant: TenantId,
}

/// What an agent may do.
pub(crate) struct Allowed {
    pub(crate) permission: Permission,
    pub(crate) scope: Scope,
}

impl Allowed {
    pub(crate) const ALL: Self = Self { permission: Permission::Write, scope: Scope::ALL };

    /// These collections, in any way.
    pub(crate) fn only(collections: &[&str]) -> Self {
        Self { permission: Permission::Write, scope: Scope::only(collections.iter().map(ToString::to_string)) }
    }

    /// All collections, to read.
    pub(crate) const READ: Self = Self { permission: Permission::Read, scope: Scope::ALL };
}

/// A MongoDB at an address.
pub(crate) fn mongo(uri: &str, user: Option<&str>, password: Option<&str>) -> Kind {
    Kind::Mongo(DocumentServer {
        uri: Some(uri.to_owned().into()),
        database: None,
        credentials: Credentials {
            user: user.map(str::to_owned),
            password: password.map(|word| word.to_owned().into()),
            ..Credentials::default()
        },
    })
}

impl Ground {
    pub(crate) async fn new(kind: Kind, settings: Settings, allowed: Allowed) -> Result<Self> {
        let (tenant, agent) = (TenantId::new("tenant")?, AgentName::new("agent")?);
        let name = SourceName::new("analytics")?;
        let definition = Arc::new(Definition {
            name: name.clone(),
            authored_kind: "mongodb".to_owned(),
            kind,
            revision: "1".to_owned(),
            cache: None,
        });
        let granted = vec![Grant { source: name, permission: allowed.permission }];
        let context = context(&tenant, &agent, &definition, allowed);
        let tenants: Arc<dyn Tenants> = Arc::new(One(context.clone()));
        let pools = Pools::new(settings, Guard::new(NetworkRules::default())?);
        let sources: Arc<dyn Sources> = pools.clone();
        let (permit, handle) = Grants::new(&context, &agent, granted, &tenants, &sources).open("analytics").await?;
        let Handle::Documents(store) = handle else { bail!("the handle is of another family") };
        Ok(Self { store, permit, pools, definition, tenant })
    }

    pub(crate) async fn find_of(&self, collection: &str, selection: &Selection) -> Result<Vec<Value>, Error> {
        let found = self.store.find(self.permit.read()?, collection, selection).await?;
        Ok(found.iter().map(|text| serde_json::from_str(text).unwrap()).collect())
    }

    pub(crate) async fn find(&self, collection: &str, filter: &Value) -> Result<Vec<Value>, Error> {
        self.find_of(collection, &all(filter)).await
    }

    pub(crate) async fn count(&self, collection: &str, filter: &Value) -> Result<u64, Error> {
        self.store.count(self.permit.read()?, collection, &filter.to_string()).await
    }

    pub(crate) async fn aggregate(&self, collection: &str, pipeline: &Value) -> Result<Vec<Value>, Error> {
        let found = self.store.aggregate(self.permit.read()?, collection, &pipeline.to_string()).await?;
        Ok(found.iter().map(|text| serde_json::from_str(text).unwrap()).collect())
    }

    pub(crate) async fn insert(&self, collection: &str, documents: &[Value]) -> Result<Vec<String>, Error> {
        let documents: Vec<_> = documents.iter().map(Value::to_string).collect();
        self.store.insert(self.permit.write()?, collection, &documents).await
    }

    pub(crate) async fn update(
        &self,
        collection: &str,
        filter: &Value,
        update: &Value,
        upsert: bool,
    ) -> Result<UpdateCount, Error> {
        let (filter, update) = (filter.to_string(), update.to_string());
        self.store.update(self.permit.write()?, collection, &filter, &update, upsert).await
    }

    pub(crate) async fn delete(&self, collection: &str, filter: &Value) -> Result<u64, Error> {
        self.store.delete(self.permit.write()?, collection, &filter.to_string()).await
    }
}

pub(crate) fn all(filter: &Value) -> Selection {
    Selection { filter: filter.to_string(), projection: None, sort: None, skip: 0, limit: 0 }
}

struct One(Arc<Context>);

impl Tenants for One {
    fn get(&self, _tenant: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}

fn context(tenant: &TenantId, agent: &AgentName, definition: &Arc<Definition>, allowed: Allowed) -> Arc<Context> {
    let name = definition.name.clone();
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), allowed.permission)]),
        scopes: BTreeMap::from([(name.clone(), allowed.scope)]),
        sets: Vec::new(),
    };
    let agent_of = Agent {
        system_prompt: String::new(),
        temperature: 0.0,
        tools: Some(BTreeSet::new()),
        mapping: Some(mapping),
        workflows: Vec::new(),
    };
    Arc::new(Context {
        tenant: tenant.clone(),
        company: Company { name: "Test".to_owned(), industry: None, website: None, timezone: "UTC".to_owned() },
        agents: BTreeMap::from([(agent.clone(), agent_of)]),
        sources: BTreeMap::from([(name, definition.clone())]),
        ceilings: BTreeMap::new(),
        settings: BTreeMap::new(),
        limits: remit_domain::limits::Limits::default(),
        uploads: remit_domain::limits::Tier::Small,
        trusted_keys: Vec::new(),
        webhooks: BTreeMap::new(),
        model: None,
        authored: Value::Null,
    })
}
