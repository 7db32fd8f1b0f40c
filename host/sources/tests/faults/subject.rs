//! A source under test, by what every family has: a read, a write, a probe, and all of its places at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Condition, Error, Handle, Sources,
        files::Path,
        http_api::{Method, Request},
    },
    grant::{Grant, Grants, Permission, Permit},
    source::{Api, Auth, Credentials, DatabaseServer, Definition, Kind, Provider},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};
use remit_sources::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
};

pub(crate) struct Subject {
    pools: Arc<Pools>,
    definition: Arc<Definition>,
    tenant: TenantId,
}

impl Subject {
    pub(crate) fn mysql(settings: Settings, at: SocketAddr, user: &str, password: &str, database: &str) -> Self {
        Self::new(settings, Kind::Mysql(server(at, user, password, database)))
    }

    pub(crate) fn postgres(settings: Settings, at: SocketAddr, user: &str, password: &str, database: &str) -> Self {
        Self::new(settings, Kind::Postgres(server(at, user, password, database)))
    }

    pub(crate) fn shopify(settings: Settings, at: SocketAddr, token: &str) -> Self {
        let credentials = Credentials { token: Some(token.to_owned().into()), ..Credentials::default() };
        // As `rest`, which has no limit of requests of its own.
        let auth = Auth::Header("X-Shopify-Access-Token".to_owned());
        let address = format!("http://{at}/admin/api/2024-01");
        let api =
            Api { provider: Provider::Rest, address, api_version: None, auth, graphql: None, rate: None, credentials };
        Self::new(settings, Kind::Api(api))
    }

    fn new(settings: Settings, kind: Kind) -> Self {
        let definition = Definition {
            name: SourceName::new("primary").unwrap(),
            authored_kind: "test".to_owned(),
            kind,
            revision: "1".to_owned(),
            cache: None,
        };
        let guard = Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap();
        let tenant = TenantId::new("one").unwrap();
        Self { pools: Pools::new(settings, guard), definition: Arc::new(definition), tenant }
    }

    pub(crate) fn of_another_tenant(&self) -> Self {
        let (pools, definition) = (self.pools.clone(), self.definition.clone());
        Self { pools, definition, tenant: TenantId::new("two").unwrap() }
    }

    async fn open(&self) -> Result<(Permit, Handle), Error> {
        let agent = AgentName::new("sales").unwrap();
        let context = context(&self.tenant, &agent, &self.definition);
        let tenants: Arc<dyn Tenants> = Arc::new(One(context.clone()));
        let sources: Arc<dyn Sources> = self.pools.clone();
        let granted = vec![Grant { source: self.definition.name.clone(), permission: Permission::Write }];
        Grants::new(&context, &agent, granted, &tenants, &sources).open("primary").await
    }

    pub(crate) async fn read(&self) -> Result<(), Error> {
        let (permit, handle) = self.open().await?;
        match handle {
            Handle::Sql(database) => database.query(permit.read()?, "SELECT 1", &[]).await.map(drop),
            Handle::Documents(store) => store.count(permit.read()?, "any", "{}").await.map(drop),
            Handle::Api(api) => {
                let request = request(Method::Get, "products.json");
                api.send(permit.access(api.permission(&request))?, &request).await.map(drop)
            }
            Handle::Files(folder) => folder.list(permit.read()?, &Path::new("")?, None).await.map(drop),
            Handle::Channel(_) => Err(Error::Invalid("nothing is read from a channel".to_owned())),
        }
    }

    pub(crate) async fn write(&self) -> Result<(), Error> {
        let (permit, handle) = self.open().await?;
        match handle {
            Handle::Sql(database) => database.begin(permit.write()?).await?.commit(permit.write()?).await,
            Handle::Documents(store) => store.delete(permit.write()?, "any", r#"{"a":1}"#).await.map(drop),
            Handle::Api(api) => {
                let request = request(Method::Post, "nothing.json");
                api.send(permit.access(api.permission(&request))?, &request).await.map(drop)
            }
            Handle::Files(folder) => folder.delete(permit.write()?, &Path::inside("any")?).await,
            Handle::Channel(_) => Err(Error::Invalid("a channel's faults have tests of their own".to_owned())),
        }
    }

    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.pools.probe(&self.tenant, &self.definition).await.map(drop)
    }

    /// Uses so many connections at once; none is left if one was lost.
    pub(crate) async fn all_places(&self, count: usize) -> Result<(), Error> {
        let (permit, handle) = self.open().await?;
        let Handle::Sql(database) = handle else {
            let reads = (0..count).map(|_| self.read());
            return futures::future::try_join_all(reads).await.map(drop);
        };
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(database.begin(permit.write()?).await?);
        }
        for transaction in open {
            transaction.rollback().await?;
        }
        let reads = (0..count).map(|_| self.read());
        futures::future::try_join_all(reads).await.map(drop)
    }

    pub(crate) fn condition(&self) -> Condition {
        self.pools.condition(&self.tenant, &self.definition).unwrap()
    }
}

fn server(at: SocketAddr, user: &str, password: &str, database: &str) -> DatabaseServer {
    DatabaseServer {
        host: at.ip().to_string(),
        port: Some(at.port()),
        database: database.to_owned(),
        credentials: Credentials {
            user: Some(user.to_owned()),
            password: Some(password.to_owned().into()),
            ..Credentials::default()
        },
    }
}

fn request(method: Method, path: &str) -> Request {
    let path = path.to_owned();
    Request { method, path, query: Vec::new(), headers: Vec::new(), body: None, idempotency_key: None }
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

fn context(tenant: &TenantId, agent: &AgentName, definition: &Arc<Definition>) -> Arc<Context> {
    let name = definition.name.clone();
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), Permission::Write)]),
        scopes: BTreeMap::new(),
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
        authored: serde_json::Value::Null,
    })
}
