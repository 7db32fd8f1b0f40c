//! A folder behind the ports, with a permit whose scope a test sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{
        Error, Handle, Refusal, Sources,
        files::{Condition, Entry, Folder, Kind as EntryKind, Page, Path, Reader, Writer},
    },
    grant::{Grant, Grants, Permission, Permit},
    scope::Scope,
    source::{Definition, Kind},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};
use remit_sources::{
    Pools, Settings,
    guard::{Guard, NetworkRules},
};

pub(crate) struct Ground {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) permit: Permit,
    pub(crate) pools: Arc<Pools>,
    pub(crate) definition: Arc<Definition>,
    pub(crate) tenant: TenantId,
    pub(crate) tenants: Arc<One>,
    /// Whether conditions are held by the store itself.
    pub(crate) conditional: bool,
    /// Whether a part of a file can be asked for: rclone answers that with a status that says otherwise.
    pub(crate) ranges: bool,
    /// Whether a folder stays without anything in it.
    pub(crate) real_folders: bool,
}

pub(crate) struct One(Mutex<Arc<Context>>);

impl Tenants for One {
    fn get(&self, _tenant: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.lock().unwrap().tenant.clone(), State::Current)]
    }
}

impl Ground {
    pub(crate) async fn new(kind: Kind) -> Self {
        Self::with(kind, Settings::default()).await
    }

    pub(crate) async fn with(kind: Kind, settings: Settings) -> Self {
        let (tenant, agent) = (TenantId::new("tenant").unwrap(), AgentName::new("agent").unwrap());
        let name = SourceName::new("folder").unwrap();
        let definition = Arc::new(Definition {
            name: name.clone(),
            authored_kind: "files".to_owned(),
            kind,
            revision: "1".to_owned(),
            cache: None,
        });
        let context = context(&tenant, &definition, None);
        let tenants = Arc::new(One(Mutex::new(context.clone())));
        let port: Arc<dyn Tenants> = tenants.clone();
        let pools = Pools::new(settings, Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap());
        let sources: Arc<dyn Sources> = pools.clone();
        let granted = vec![Grant { source: name, permission: Permission::Write }];
        let (permit, handle) = Grants::new(&context, &agent, granted, &port, &sources).open("folder").await.unwrap();
        let Handle::Files(folder) = handle else { panic!("the handle is of another family") };
        Self { folder, permit, pools, definition, tenant, tenants, conditional: true, ranges: true, real_folders: true }
    }

    /// Narrows the mapping from now on.
    pub(crate) fn only(&self, paths: &[&str]) {
        let scope = Scope::only(paths.iter().map(ToString::to_string));
        *self.tenants.0.lock().unwrap() = context(&self.tenant, &self.definition, Some(scope));
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.folder.read(self.permit.read()?, &Path::inside(path)?).await
    }

    pub(crate) async fn open(&self, path: &str, offset: u64) -> Result<Box<dyn Reader>, Error> {
        self.folder.open(self.permit.read()?, &Path::inside(path)?, offset).await
    }

    pub(crate) async fn write(&self, path: &str, bytes: &[u8], when: &Condition) -> Result<Entry, Error> {
        self.folder.write(self.permit.write()?, &Path::inside(path)?, bytes, when).await
    }

    pub(crate) async fn put(&self, path: &str, bytes: &[u8]) -> Entry {
        self.write(path, bytes, &Condition::Always).await.unwrap()
    }

    pub(crate) async fn create(&self, path: &str, when: &Condition) -> Result<Box<dyn Writer>, Error> {
        self.folder.create(self.permit.write()?, &Path::inside(path)?, when).await
    }

    pub(crate) async fn append(&self, writer: &mut Box<dyn Writer>, bytes: &[u8]) -> Result<(), Error> {
        writer.write(self.permit.write()?, bytes).await
    }

    pub(crate) async fn finish(&self, writer: &mut Box<dyn Writer>) -> Result<u64, Error> {
        writer.finish(self.permit.write()?).await
    }

    pub(crate) async fn page(&self, path: &str, after: Option<&str>) -> Result<Page, Error> {
        self.folder.list(self.permit.read()?, &Path::new(path)?, after).await
    }

    /// The paths of a whole listing, a folder's with a slash.
    pub(crate) async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        let (mut paths, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(path, after.as_deref()).await?;
            paths.extend(page.entries.iter().map(|entry| match entry.kind {
                EntryKind::File => entry.path.clone(),
                EntryKind::Folder => format!("{}/", entry.path),
            }));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(paths),
            }
        }
    }

    pub(crate) async fn stat(&self, path: &str) -> Result<Entry, Error> {
        self.folder.stat(self.permit.read()?, &Path::new(path)?).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        self.folder.delete(self.permit.write()?, &Path::inside(path)?).await
    }

    pub(crate) async fn probe(&self) -> Result<(), Error> {
        self.pools.probe(&self.tenant, &self.definition).await.map(drop)
    }
}

/// Everything that a reader gives, in pieces of at most `max`.
pub(crate) async fn drain(mut reader: Box<dyn Reader>, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = reader.read(max).await.unwrap() {
        assert!(!piece.is_empty() && piece.len() <= max);
        bytes.extend(piece);
    }
    bytes
}

/// The case of an error, and of a rejection its reason.
pub(crate) fn case<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Rejected(rejection)) => match rejection.reason {
            Refusal::Conflict => "conflict",
            Refusal::Rule => "rule",
            Refusal::Constraint => "constraint",
        },
        Err(Error::Limit { name, .. }) => name,
        Err(error) => error.case(),
    }
}

fn context(tenant: &TenantId, definition: &Arc<Definition>, scope: Option<Scope>) -> Arc<Context> {
    let name = definition.name.clone();
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), Permission::Write)]),
        scopes: scope.map(|scope| (name.clone(), scope)).into_iter().collect(),
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
        tenant: tenant.clone(),
        company: Company { name: "Test".to_owned(), industry: None, website: None, timezone: "UTC".to_owned() },
        agents: BTreeMap::from([(AgentName::new("agent").unwrap(), agent)]),
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
