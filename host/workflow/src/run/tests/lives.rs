//! The life of a tenant's runs as the host leads it: begun within bounds, removed, tidied up.

use remit_domain::{
    execution::{Filter, Standing},
    history::History,
    limits::{Limit, Limits},
    tenant::{self, Context, Tenants},
};

use super::*;
use crate::{Shelf as Files, Workflows, run::memory::Shelf};

/// One tenant, whose limits may be changed.
struct One(Mutex<Limits>);

impl Tenants for One {
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        let mut context = Context::of(tenant.clone(), "TechStart");
        context.limits = self.0.lock().unwrap().clone();
        Ok(Arc::new(context))
    }

    fn all(&self) -> Vec<(TenantId, tenant::State)> {
        vec![(TenantId::new("techstart").unwrap(), tenant::State::Current)]
    }
}

struct Host {
    workflows: Workflows,
    tenants: Arc<One>,
    journal: Arc<Memory>,
    shelf: Arc<Shelf>,
    _folder: tempfile::TempDir,
}

const TEXT: &str = "name: w
steps: [{id: a, type: set, config: {text: '{{ inputs.text }}'}}, {id: b, type: wait, condition: '{{ inputs.waits }}', config: {duration: 1h}}]
outputs: {ok: true}
";

impl Host {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("examples")).unwrap();
        std::fs::write(folder.path().join("examples/w.yml"), TEXT).unwrap();
        let files = Files::default();
        assert_eq!(files.load(folder.path(), &BTreeSet::new(), &crate::components::tests::around(false)).await, []);
        let (journal, shelf) = (Arc::new(Memory::default()), Arc::new(Shelf::default()));
        let limits = Limits::default().with(Limit::InlineBytes, 1_024);
        let tenants = Arc::new(One(Mutex::new(limits)));
        let keeping = Keeping {
            outputs: Some(shelf.clone()),
            history: Some(journal.clone()),
            tenants: Some(tenants.clone()),
            ..Keeping::default()
        };
        let timer = Arc::new(Jumping { now: AtomicI64::new(1_700_000_000), hurries: false });
        let performer = Arc::new(Doer::default());
        let interpreter = Interpreter { journal: journal.clone(), performer, timer, env: Arc::default(), keeping };
        let workflows = Workflows::new(files, interpreter, CancellationToken::new());
        Self { workflows, tenants, journal, shelf, _folder: folder }
    }

    fn limit(&self, limit: Limit, value: u64) {
        let mut limits = self.tenants.0.lock().unwrap();
        *limits = limits.clone().with(limit, value);
    }

    async fn begin(&self, inputs: Value) -> Result<RunId, Error> {
        let context = self.tenants.get(&TenantId::new("techstart").unwrap()).unwrap();
        let waits = inputs["waits"] == true;
        let mut begun = self.workflows.execute(&Principal::anyone(), &context, "w", inputs, None).await?;
        if !waits {
            begun.end().await.unwrap();
        }
        Ok(begun.id)
    }

    async fn find(&self, run: &RunId) -> Result<Standing, Error> {
        let tenant = TenantId::new("techstart").unwrap();
        self.workflows.find(&Principal::anyone(), &tenant, run.as_str()).await
    }

    async fn left(&self) -> usize {
        let tenant = TenantId::new("techstart").unwrap();
        self.workflows.list(&tenant, &Filter::default(), 100).await.unwrap().len()
    }
}

fn inputs(bytes: usize) -> Value {
    json!({"text": "x".repeat(bytes), "waits": false})
}

#[tokio::test]
async fn a_tenant_whose_runs_keep_too_much_begins_no_other_until_some_are_gone() {
    let host = Host::new().await;
    let first = host.begin(inputs(10)).await.unwrap();
    host.limit(Limit::RunBytes, 20_000);
    let large = host.begin(inputs(8_000)).await.unwrap();
    // Its inputs, and what of them a step left, which lies elsewhere.
    assert_eq!(host.shelf.sizes().len(), 1);
    let refused = host.begin(inputs(8_000)).await.unwrap_err();
    assert!(matches!(refused, Error::HistoryFull { allowed: 20_000, kept } if kept > 8_000), "{refused}");
    assert_eq!(refused.code(), "history_full");
    host.workflows.remove(&host.find(&large).await.unwrap()).await.unwrap();
    assert_eq!(host.find(&large).await.unwrap_err().code(), "execution_missing");
    host.workflows.tidy().await.unwrap();
    assert_eq!(host.shelf.sizes(), [0_usize; 0], "what it left is gone with it");
    host.begin(inputs(8_000)).await.unwrap();
    assert!(host.find(&first).await.is_ok());
    let waiting = host.begin(json!({"text": "", "waits": true})).await.unwrap();
    let refused = host.workflows.remove(&host.find(&waiting).await.unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), "execution_state");
}

#[tokio::test]
async fn runs_beyond_the_newest_are_tidied_up() {
    let host = Host::new().await;
    for _ in 0..5 {
        host.begin(inputs(5_000)).await.unwrap();
    }
    let waiting = host.begin(json!({"text": "", "waits": true})).await.unwrap();
    assert_eq!(host.workflows.tidy().await.unwrap(), 0);
    host.limit(Limit::Runs, 2);
    assert_eq!(host.workflows.tidy().await.unwrap(), 3);
    assert_eq!((host.left().await, host.shelf.sizes().len()), (3, 2));
    assert!(host.find(&waiting).await.is_ok(), "it goes on");
    assert_eq!(host.workflows.tidy().await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_crash_left_that_no_run_names_is_swept() {
    let host = Host::new().await;
    let run = host.begin(inputs(5_000)).await.unwrap();
    Keeping::put(host.shelf.as_ref(), &run, &json!("of a step that was never recorded")).await.unwrap();
    assert_eq!(host.shelf.sizes().len(), 2);
    assert_eq!(host.workflows.sweep().await.unwrap(), 1);
    assert_eq!((host.shelf.sizes().len(), host.workflows.sweep().await.unwrap()), (1, 0));
    let Some(Outcome::Stored(stored)) = host.journal.outcome(&run, "a") else { panic!() };
    let standing = host.find(&run).await.unwrap();
    assert!(host.workflows.artifact(&standing, stored.digest.as_str()).await.is_ok());
    for wrong in ["", "sha256:00", "../../etc/passwd"] {
        assert_eq!(host.workflows.artifact(&standing, wrong).await.unwrap_err().code(), "artifact_missing");
    }
    assert!(host.journal.names(&stored.digest).await.unwrap());
}
