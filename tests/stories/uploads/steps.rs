//! An end at each single step of an upload, an activation and a removal, on a real journal and a real
//! folder: what is found afterwards is the old state or the new, never less.

use std::{
    collections::HashMap,
    future::pending,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use remit_artifacts::Folder;
use remit_domain::{
    Error, InUse, PluginName, RequestId, TenantId,
    audit::Actor,
    clock::SystemClock,
    grant::Grants,
    library::{Artifacts, Digest, Switch, Upload, Version, Versions},
    plugin::{Computed, Description, Invocation, Outcome, Plugin, Plugins, ResourceContents, Shelf, Workshop},
    tenant::{Context, State, Tenants},
};
use remit_journal::Journal;
use remit_library::{Arrival, By, Library, Ports, Settings};
use tokio::{runtime::Runtime, sync::Notify};

use crate::host::eventually;

/// Counts the steps of a change. At the last one that it may take, the process is as good as dead: the
/// step is never done, and nothing after it.
struct Fuse {
    left: AtomicUsize,
    /// Told when it blows.
    blown: Notify,
}

impl Fuse {
    fn of(steps: usize) -> Self {
        Self { left: AtomicUsize::new(steps), blown: Notify::new() }
    }

    async fn step(&self) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            self.blown.notify_one();
            pending::<()>().await;
        }
    }
}

/// A port whose every change is a step.
struct Stepped<T>(Arc<T>, Arc<Fuse>);

#[async_trait]
impl Versions for Stepped<Journal> {
    async fn add(&self, upload: &Upload) -> Result<(Version, bool), Error> {
        self.1.step().await;
        let added = self.0.add(upload).await;
        self.1.step().await;
        added
    }

    async fn list(&self, tenant: Option<&TenantId>, plugin: Option<&PluginName>) -> Result<Vec<Version>, Error> {
        self.0.list(tenant, plugin).await
    }

    async fn activate(
        &self,
        tenant: &TenantId,
        plugin: &PluginName,
        number: Option<u32>,
        at: time::OffsetDateTime,
    ) -> Result<Switch, Error> {
        self.1.step().await;
        let switch = self.0.activate(tenant, plugin, number, at).await;
        self.1.step().await;
        switch
    }

    async fn before(&self, tenant: &TenantId, plugin: &PluginName) -> Result<Option<u32>, Error> {
        self.0.before(tenant, plugin).await
    }

    async fn names(&self, digest: &Digest) -> Result<bool, Error> {
        self.0.names(digest).await
    }

    async fn in_use(&self, tenant: &TenantId, plugin: &PluginName, number: u32) -> Result<Option<InUse>, Error> {
        self.0.in_use(tenant, plugin, number).await
    }

    async fn remove(&self, tenant: &TenantId, plugin: &PluginName, number: u32) -> Result<Option<Digest>, Error> {
        self.1.step().await;
        let gone = self.0.remove(tenant, plugin, number).await;
        self.1.step().await;
        gone
    }
}

#[async_trait]
impl Artifacts for Stepped<Folder> {
    async fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        self.1.step().await;
        let put = self.0.put(digest, bytes).await;
        self.1.step().await;
        put
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(digest).await
    }

    async fn remove(&self, digest: &Digest) -> Result<(), Error> {
        self.1.step().await;
        let removed = self.0.remove(digest).await;
        self.1.step().await;
        removed
    }

    async fn all(&self) -> Result<Vec<Digest>, Error> {
        self.0.all().await
    }
}

/// A plugin that is its bytes' digest and nothing else.
struct Named(Description);

#[async_trait]
impl Plugin for Named {
    fn description(&self) -> &Description {
        &self.0
    }

    async fn call(&self, _: &str, _: &str, _: Grants, _: Invocation) -> Result<Outcome, Error> {
        Err(Error::Cancelled)
    }

    async fn read(&self, _: &str, _: Grants, _: Invocation) -> Result<Vec<ResourceContents>, Error> {
        Err(Error::Cancelled)
    }
}

#[derive(Default)]
struct Around(Mutex<HashMap<PluginName, Arc<dyn Plugin>>>);

impl Plugins for Around {
    fn find(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.own(tenant, name)
    }

    fn operators(&self, _: &PluginName) -> Option<Arc<dyn Plugin>> {
        None
    }
}

#[async_trait]
impl Shelf for Around {
    fn place(&self, _: &TenantId, plugin: Arc<dyn Plugin>) {
        self.0.lock().unwrap().insert(plugin.description().name.clone(), plugin);
    }

    fn own(&self, _: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn withhold(&self, _: &TenantId, _: &PluginName) {}

    fn withdraw(&self, _: &TenantId, name: &PluginName) -> bool {
        self.0.lock().unwrap().remove(name).is_some()
    }

    fn generation(&self, _: &TenantId) -> u64 {
        0
    }

    async fn changed(&self, _: &TenantId, _: u64) -> u64 {
        pending().await
    }
}

#[async_trait]
impl Workshop for Around {
    async fn examine(&self, _: &Arc<Context>, wasm: Arc<Vec<u8>>, _: &Computed) -> Result<Arc<dyn Plugin>, Error> {
        Ok(Arc::new(Named(Description {
            name: plugin(),
            version: "1.0.0".to_owned(),
            digest: Digest::of(&wasm).to_string(),
            title: None,
            instructions: None,
            tools: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            nodes: Vec::new(),
        })))
    }
}

impl Tenants for Around {
    fn get(&self, _: &TenantId) -> Result<Arc<Context>, Error> {
        Ok(context())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        Vec::new()
    }
}

fn plugin() -> PluginName {
    PluginName::new("tools").unwrap()
}

fn by() -> By {
    By { actor: Actor::Anyone, request: RequestId::random(), turn: None, computed: Computed::default() }
}

fn context() -> Arc<Context> {
    Arc::new(Context::of(TenantId::new("techstart").unwrap(), "T"))
}

/// A library that lives for so many steps.
struct Alive {
    library: Library,
    shelf: Arc<Around>,
    journal: Arc<Journal>,
    folder: Arc<Folder>,
    fuse: Arc<Fuse>,
}

impl Alive {
    async fn start(place: &Path, steps: usize) -> Self {
        let journal = Arc::new(Journal::open(&place.join("remit.db").display().to_string()).await.unwrap());
        let folder = Arc::new(Folder::open(&place.join("artifacts")).unwrap());
        let (shelf, fuse) = (Arc::new(Around::default()), Arc::new(Fuse::of(steps)));
        let library = Library::new(
            Ports {
                versions: Arc::new(Stepped(journal.clone(), fuse.clone())),
                artifacts: Arc::new(Stepped(folder.clone(), fuse.clone())),
                workshop: shelf.clone(),
                shelf: shelf.clone(),
                tenants: shelf.clone(),
                clock: Arc::new(SystemClock),
                audit: journal.clone(),
            },
            Settings { keep: 0, plugins: 2 },
        );
        Self { library, shelf, journal, folder, fuse }
    }

    async fn upload(&self, bytes: &[u8], activate: bool) {
        let arrival = Arrival { wasm: Arc::new(bytes.to_vec()), signature: None, by: by(), activate };
        self.library.upload(&context(), arrival).await.unwrap();
    }

    async fn activate(&self, number: u32) {
        self.library.activate(&context(), "tools", Some(number), by()).await.unwrap();
    }

    /// What serves after a start, once it agrees with what is recorded and kept.
    async fn found(&self) -> Option<Digest> {
        self.library.sweep().await.unwrap();
        assert!(self.library.restore().await.unwrap().is_empty(), "what is recorded can be restored");
        let versions = self.journal.list(None, None).await.unwrap();
        let mut recorded: Vec<Digest> = versions.iter().map(|version| version.upload.digest.clone()).collect();
        let mut kept = self.folder.all().await.unwrap();
        recorded.sort();
        kept.sort();
        assert_eq!(recorded, kept, "each record has its bytes, and no bytes are without one");
        let active = versions.into_iter().find(|version| version.active).map(|version| version.upload.digest);
        let shelf = self.shelf.own(&context().tenant, &plugin());
        let shown = shelf.and_then(|plugin| Digest::new(&plugin.description().digest));
        assert_eq!(shown, active, "what serves is what is recorded");
        active
    }
}

/// Longer than any write takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a change on a library that has `before` serving and `beside` at hand, once it is prepared, with an end
/// after ever more steps, until it comes to its own end. Gives what served after each.
fn ends(prepare: impl AsyncFn(&Alive), change: impl AsyncFn(&Alive)) -> Vec<Option<Digest>> {
    let mut found = Vec::new();
    for steps in 0.. {
        let place = tempfile::tempdir().unwrap();
        let first = Runtime::new().unwrap();
        first.block_on(async {
            let alive = Alive::start(place.path(), usize::MAX).await;
            alive.upload(b"before", true).await;
            alive.upload(b"beside", false).await;
            prepare(&alive).await;
            alive.journal.close().await;
        });
        let dying = Runtime::new().unwrap();
        let done = dying.block_on(async {
            let alive = Alive::start(place.path(), steps).await;
            alive.library.restore().await.unwrap();
            let done = tokio::select! {
                () = change(&alive) => true,
                () = alive.fuse.blown.notified() => false,
            };
            if done {
                alive.journal.close().await;
            }
            done
        });
        // What was begun before the end is written, and nothing more.
        dying.shutdown_timeout(PATIENCE);
        let after = Runtime::new().unwrap();
        found.push(after.block_on(async {
            let alive = Alive::start(place.path(), usize::MAX).await;
            let found = alive.found().await;
            alive.journal.close().await;
            found
        }));
        if done {
            break;
        }
    }
    found
}

/// That the old state is found up to some step, and the new one from there on.
fn old_then_new(found: &[Option<Digest>], old: &[u8], new: Option<&[u8]>) {
    let (old, new) = (Some(Digest::of(old)), new.map(Digest::of));
    let turn = found.iter().position(|it| *it == new).unwrap();
    assert!(found.len() > 2 && turn > 0, "{found:?}");
    assert!(found[..turn].iter().all(|it| *it == old) && found[turn..].iter().all(|it| *it == new), "{found:?}");
}

/// Nothing more than there is anyway.
async fn as_it_is(_: &Alive) {}

/// `beside` has served, and then `before` again.
async fn there_and_back(alive: &Alive) {
    alive.activate(2).await;
    alive.activate(1).await;
}

#[test]
fn an_end_at_any_step_leaves_the_old_or_the_new() {
    let new = ends(as_it_is, async |alive| alive.upload(b"after", true).await);
    old_then_new(&new, b"before", Some(b"after"));
    let again = ends(as_it_is, async |alive| alive.activate(2).await);
    old_then_new(&again, b"before", Some(b"beside"));
    let back = ends(there_and_back, async |alive| {
        alive.library.roll_back(&context(), "tools", by()).await.unwrap();
    });
    old_then_new(&back, b"before", Some(b"beside"));
    let off = ends(as_it_is, async |alive| {
        alive.library.deactivate(&context().tenant, "tools", by()).await.unwrap();
    });
    old_then_new(&off, b"before", None);
    // These change nothing of what serves, whenever they end.
    let still = ends(as_it_is, async |alive| alive.upload(b"after", false).await);
    let removed = ends(as_it_is, async |alive| {
        alive.library.remove(&context().tenant, "tools", Some(2), by()).await.unwrap();
    });
    for found in [still, removed] {
        assert!(found.len() > 2 && found.iter().all(|it| *it == Some(Digest::of(b"before"))), "{found:?}");
    }
}

#[test]
fn who_goes_away_while_it_is_kept_leaves_nothing_half_done() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let place = tempfile::tempdir().unwrap();
        let alive = Alive::start(place.path(), usize::MAX).await;
        let mut upload = Box::pin(alive.upload(b"component", true));
        // Polled once it is examined and being kept; then its client is gone.
        assert!(futures::poll!(&mut upload).is_pending());
        drop(upload);
        // Whoever changes something next waits for it.
        alive.library.sweep().await.unwrap();
        let serves = async || alive.shelf.own(&context().tenant, &plugin()).is_some();
        eventually("it serves though its client is gone", serves).await;
        assert_eq!(alive.found().await, Some(Digest::of(b"component")));
    });
}
