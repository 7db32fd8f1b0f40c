//! A database with the contract's tables, and a granted handle to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Error, Handle, Sources,
        sql::{Change, Database, Dialect, RowSet, Value},
    },
    grant::{Grant, Grants, Permission, Permit},
    scope::Scope,
    source::{Credentials, DatabaseServer, Definition, Kind},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};
use remit_sources::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
};
use remit_upstreams::mariadb::Mariadb;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, SqliteConnection};

pub(crate) struct Ground {
    pub(crate) database: Arc<dyn Database>,
    pub(crate) permit: Permit,
    pub(crate) pools: Arc<Pools>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) tenant: TenantId,
    _folder: tempfile::TempDir,
}

const TABLES: [&str; 7] = [
    "CREATE TABLE typed (id INTEGER PRIMARY KEY {auto}, flag BOOLEAN, whole BIGINT, part DOUBLE PRECISION, \
     money DECIMAL(12, 2), name VARCHAR(200), bytes {blob}, day DATE, clock TIME{micros}, instant DATETIME{micros}, doc JSON)",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE, age INTEGER CHECK (age >= 0))",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL, \
     FOREIGN KEY (parent_id) REFERENCES parent (id))",
    "CREATE TABLE numbers (n INTEGER PRIMARY KEY)",
    "CREATE TABLE texts (id INTEGER PRIMARY KEY, body TEXT)",
    "INSERT INTO parent (id, name, age) VALUES (1, 'Ada', 36), (2, 'Bob', 40), (3, 'Cyd', NULL)",
    "INSERT INTO texts (id, body) VALUES (1, '{kilobyte}')",
];

fn tables(dialect: Dialect) -> Vec<String> {
    let mysql = dialect == Dialect::Mysql;
    let fill = |text: &str| {
        text.replace("{auto}", if mysql { "AUTO_INCREMENT" } else { "" })
            .replace("{blob}", if mysql { "VARBINARY(200)" } else { "BLOB" })
            .replace("{micros}", if mysql { "(6)" } else { "" })
            .replace("{kilobyte}", &"x".repeat(1_000))
    };
    let numbers: Vec<_> = (0..200).map(|n| format!("({n})")).collect();
    TABLES
        .iter()
        .map(|text| fill(text))
        .chain([format!("INSERT INTO numbers (n) VALUES {}", numbers.join(", "))])
        .collect()
}

impl Ground {
    pub(crate) async fn sqlite(settings: Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("canary-path.sqlite");
        let mut owner = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await?;
        for statement in tables(Dialect::Sqlite) {
            owner.execute(AssertSqlSafe(statement)).await?;
        }
        owner.close().await?;
        Self::new(settings, Kind::Sqlite { path }, Scope::ALL, folder).await
    }

    pub(crate) async fn mariadb(settings: Settings, server: &Mariadb) -> Result<Self> {
        let mut owner = MySqlConnection::connect(&server.url()).await?;
        for statement in tables(Dialect::Mysql) {
            owner.execute(AssertSqlSafe(statement)).await?;
        }
        owner.close().await?;
        let kind = Kind::Mysql(DatabaseServer {
            host: "127.0.0.1".to_owned(),
            port: Some(server.port()),
            database: Mariadb::DATABASE.to_owned(),
            credentials: Credentials {
                user: Some(Mariadb::USER.to_owned()),
                password: Some(Mariadb::PASSWORD.to_owned().into()),
                ..Credentials::default()
            },
        });
        Self::new(settings, kind, Scope::ALL, tempfile::tempdir()?).await
    }

    /// A source that somebody has set up, whose agent may touch what is in scope.
    pub(crate) async fn of(settings: Settings, kind: Kind, scope: Scope) -> Result<Self> {
        Self::new(settings, kind, scope, tempfile::tempdir()?).await
    }

    async fn new(settings: Settings, kind: Kind, scope: Scope, folder: tempfile::TempDir) -> Result<Self> {
        let (tenant, agent) = (TenantId::new("tenant")?, AgentName::new("agent")?);
        let name = SourceName::new("primary")?;
        let definition = Arc::new(Definition {
            name: name.clone(),
            authored_kind: "mysql".to_owned(),
            kind,
            revision: "1".to_owned(),
        });
        let context = context(&tenant, &agent, &definition, scope);
        let tenants: Arc<dyn Tenants> = Arc::new(One(context.clone()));
        let pools = Pools::new(settings, Guard::new(NetworkRules::new(["127.0.0.1"])?)?);
        let sources: Arc<dyn Sources> = pools.clone();
        let granted = vec![Grant { source: name, permission: Permission::Write }];
        let (permit, handle) = Grants::new(&context, &agent, granted, &tenants, &sources).open("primary").await?;
        let Handle::Sql(database) = handle else { bail!("the handle is of another family") };
        Ok(Self { database, permit, pools, definition, tenant, _folder: folder })
    }

    pub(crate) fn is_mysql(&self) -> bool {
        self.database.dialect() == Dialect::Mysql
    }

    pub(crate) async fn query(&self, statement: &str, parameters: &[Value]) -> Result<RowSet, Error> {
        self.database.query(self.permit.read()?, statement, parameters).await
    }

    pub(crate) async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Change, Error> {
        self.database.execute(self.permit.write()?, statement, parameters).await
    }

    /// The one value of an answer.
    pub(crate) async fn one(&self, statement: &str, parameters: &[Value]) -> Result<Value> {
        let mut answer = self.query(statement, parameters).await?;
        answer.rows.pop().and_then(|mut row| row.pop()).context("no row")
    }

    /// The one whole number of an answer.
    pub(crate) async fn number(&self, statement: &str) -> i64 {
        match self.one(statement, &[]).await {
            Ok(Value::Integer(number)) => number,
            other => panic!("{statement}: {other:?}"),
        }
    }
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

fn context(tenant: &TenantId, agent: &AgentName, definition: &Arc<Definition>, scope: Scope) -> Arc<Context> {
    let name = definition.name.clone();
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), Permission::Write)]),
        scopes: BTreeMap::from([(name.clone(), scope)]),
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
        model: None,
        authored: serde_json::Value::Null,
    })
}
