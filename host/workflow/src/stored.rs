//! Workflows that tenants hand in: checked, kept as versions of their name, and found before the files of
//! that name.
//!
//! Deliberately absent: who may hand in, and the runs of a version that is removed: these have pinned it.

use std::{collections::BTreeSet, sync::Arc};

use remit_config::{Fault, File};
use remit_domain::{
    Error, TenantId,
    clock::Clock,
    plugin::Computed,
    schema::Problem,
    workflows::{Bounds, Definition, Definitions, Stored, Version},
};
use tokio::sync::Notify;

use crate::{Around, Plan, Shelf, Workflow, check, components::Spent, inputs::problem, shelf::Owner};

/// The most bytes of a workflow that is handed in.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;
/// How many a tenant may have handed in, and how many versions of each are kept.
const BOUNDS: Bounds = Bounds { names: 200, versions: 20 };
/// Names that are routes below `/api/workflows/`.
const ROUTES: [&str; 3] = ["execute", "executions", "load"];
/// The most faults that are told at once.
const MAX_FAULTS: usize = 100;

/// Takes workflows in. Cheap to clone.
#[derive(Clone)]
pub struct Storing {
    shelf: Shelf,
    definitions: Arc<dyn Definitions>,
    env: Arc<BTreeSet<String>>,
    clock: Arc<dyn Clock>,
    /// One change after another, so that what is found is what is kept.
    changing: Arc<tokio::sync::Mutex<()>>,
    changed: Arc<Notify>,
}

/// What was removed, and what serves now.
#[derive(Debug, Clone, PartialEq)]
pub struct Removed {
    /// The versions that there were.
    pub numbers: Vec<u32>,
    /// What is found by the name now.
    pub serves: Option<Workflow>,
}

impl Storing {
    /// Joins the ports. `env` are the variables that workflows may name; `changed` is told when there is
    /// something new to find.
    pub fn new(
        shelf: Shelf,
        definitions: Arc<dyn Definitions>,
        env: BTreeSet<String>,
        clock: Arc<dyn Clock>,
        changed: Arc<Notify>,
    ) -> Self {
        Self { shelf, definitions, env: Arc::new(env), clock, changing: Arc::default(), changed }
    }

    /// Puts what is kept where it is found. Says what is wrong with definitions that this host can't read any
    /// more. Others fitted when they were handed in, and stay in force whatever has become of plugins and
    /// grants since ([`Self::look`]): a run's steps are decided one by one. Errors: [`Error::Journal`].
    pub async fn restore(&self) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        for version in self.definitions.newest(None).await? {
            let (tenant, name) = (version.definition.tenant.clone(), version.definition.name.clone());
            match self.read(&version).await? {
                Ok(workflow) => self.shelf.put(&tenant, &name, Some(workflow)),
                Err(found) => faults.extend(found),
            }
        }
        Ok(faults)
    }

    /// Holds what is found against the plugins and the other workflows that there are now. Says what no longer
    /// fits; it stays in force, as the last good version of a file does. Errors: [`Error::Journal`].
    pub async fn look(&self, around: &Around) -> Result<Vec<Fault>, Error> {
        let (mut faults, mut spent) = (Vec::new(), Spent::default());
        for version in self.definitions.newest(None).await? {
            let (tenant, path) = (&version.definition.tenant, version.definition.file.as_deref());
            let (file, env) = (file(&version), self.env.clone());
            let again = file.clone();
            // A large one takes its time.
            let reading = tokio::task::spawn_blocking(move || check::read(&again, &env));
            let judged = match reading.await.map_err(|error| Error::Internal(error.into()))? {
                Ok(read) => {
                    let owner = Owner::handing_in(tenant, path);
                    check::judged(&read, &owner, around, &mut spent, &Computed::default()).await
                }
                Err(faults) => Err(faults),
            };
            match judged {
                Ok(judged) => faults.extend(self.shelf.broken(tenant, &file, &judged.plan)),
                Err(found) => faults.extend(found.into_vec()),
            }
        }
        Ok(faults)
    }

    /// What is wrong with a tenant's new workflow beside what its file alone says: names that others have, and
    /// workflows that it calls.
    pub fn faults(&self, tenant: &TenantId, file: &File, plan: &Plan) -> Vec<Problem> {
        let plain = |message: String| Problem { pointer: String::new(), message };
        let mut problems: Vec<Problem> = Vec::new();
        let name = &plan.authored.name;
        if ROUTES.contains(&name.as_str()) {
            problems.push(plain(format!("`{name}` can't be the name of a workflow: it is a route")));
        }
        if file.text.len() > MAX_SOURCE_BYTES {
            problems.push(plain(format!("it has more than {MAX_SOURCE_BYTES} bytes")));
        }
        let workflow = Workflow::stored(tenant, plan.clone(), None, 0);
        if let Some(name) = self.shelf.taken(tenant, &workflow) {
            problems.push(plain(format!("another workflow of this tenant is called `{name}`")));
        }
        let broken = self.shelf.broken(tenant, file, plan);
        problems.extend(broken.iter().take(MAX_FAULTS).map(|fault| plain(fault.to_string())));
        problems
    }

    /// Keeps a workflow as the next version of its name, from which on it is the one that is found. `plan` is
    /// what [`crate::judge`] made of the file for [`Owner::handing_in`]; `path`: where it lies below the
    /// workflows' folder. Whether it is new: the same text again is the version of
    /// before.
    ///
    /// Errors: [`Error::InvalidArguments`] for what [`Self::faults`] says, and for one more than a tenant may
    /// have; [`Error::Journal`].
    pub async fn store(
        &self,
        tenant: &TenantId,
        by: &str,
        file: File,
        path: Option<String>,
        plan: Plan,
    ) -> Result<(Version, bool), Error> {
        let _alone = self.changing.lock().await;
        let problems = self.faults(tenant, &file, &plan);
        if !problems.is_empty() {
            return Err(Error::InvalidArguments(problems));
        }
        let definition = Definition {
            tenant: tenant.clone(),
            name: plan.authored.name.clone(),
            digest: plan.digest.clone(),
            source: file.text,
            file: path,
            at: self.clock.now(),
            by: by.to_owned(),
        };
        let (version, new) = match self.definitions.store(&definition, BOUNDS).await? {
            Stored::New(version) => (version, true),
            Stored::Same(version) => (version, false),
            Stored::Full => {
                let message = format!("this tenant has handed in {} workflows, as many as it may", BOUNDS.names);
                return Err(problem("", message));
            }
        };
        let workflow = Workflow::stored(tenant, plan, version.definition.file.as_deref(), version.number);
        self.shelf.put(tenant, &definition.name, Some(workflow));
        self.changed.notify_one();
        Ok((version, new))
    }

    /// The versions of a name, newest first. Errors: [`Error::Journal`].
    pub async fn versions(&self, tenant: &TenantId, name: &str) -> Result<Vec<Version>, Error> {
        self.definitions.versions(tenant, name).await
    }

    /// Removes a version of a name, or all: what was found before it is found again. Runs go on with what they
    /// began with.
    ///
    /// Errors: [`Error::UnknownWorkflow`] if there is nothing of it; [`Error::Journal`].
    pub async fn remove(&self, tenant: &TenantId, name: &str, number: Option<u32>) -> Result<Removed, Error> {
        let _alone = self.changing.lock().await;
        let numbers = self.definitions.remove(tenant, name, number).await?;
        if numbers.is_empty() {
            return Err(Error::UnknownWorkflow(name.chars().take(128).collect()));
        }
        let left = self.definitions.versions(tenant, name).await?;
        let mut serves = None;
        if let Some(newest) = left.first() {
            match self.read(newest).await? {
                Ok(workflow) => serves = Some(workflow),
                Err(faults) => {
                    for fault in faults {
                        tracing::error!(%tenant, name, %fault, "a version of a workflow can't be used");
                    }
                }
            }
        }
        self.shelf.put(tenant, name, serves);
        self.changed.notify_one();
        Ok(Removed { numbers, serves: self.shelf.find(tenant, name) })
    }

    async fn read(&self, version: &Version) -> Result<Result<Workflow, Vec<Fault>>, Error> {
        let (env, version) = (self.env.clone(), version.clone());
        // A large one takes its time.
        let reading = tokio::task::spawn_blocking(move || {
            let definition = &version.definition;
            let plan = check::plan(&file(&version), &env);
            let made = |plan| Workflow::stored(&definition.tenant, plan, definition.file.as_deref(), version.number);
            plan.map(made).map_err(remit_config::Faults::into_vec)
        });
        reading.await.map_err(|error| Error::Internal(error.into()))
    }
}

/// A version as a file, for what is said of it.
fn file(version: &Version) -> File {
    let definition = &version.definition;
    File::new(format!("{}/{}@{}", definition.tenant, definition.name, version.number), definition.source.clone())
}
