//! Shelves, and the examination of what is none, without a guest.

use futures::FutureExt;
use remit_domain::{
    Error as Failure,
    grant::Grants,
    limits::{Limit, Limits, Upload},
    plugin::{Computed, Invocation, Outcome as Answer, ResourceContents, Workshop},
    tenant::Context,
};

use super::*;
use crate::{Compiler, artifact::digest, compile::compile};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// A plugin that is only described.
struct Described(Description);

#[async_trait]
impl Plugin for Described {
    fn description(&self) -> &Description {
        &self.0
    }

    async fn call(&self, _: &str, _: &str, _: Grants, _: Invocation) -> Result<Answer, Failure> {
        Err(Failure::Cancelled)
    }

    async fn read(&self, _: &str, _: Grants, _: Invocation) -> Result<Vec<ResourceContents>, Failure> {
        Err(Failure::Cancelled)
    }
}

fn plugin(name: &str, digest: &str) -> Result<Arc<dyn Plugin>, remit_domain::InvalidName> {
    Ok(Arc::new(Described(Description {
        name: PluginName::new(name)?,
        version: "1.0.0".to_owned(),
        digest: digest.to_owned(),
        title: None,
        instructions: None,
        tools: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        nodes: Vec::new(),
    })))
}

fn registry(folder: &Path) -> Result<Registry, Error> {
    let limits = Limits::default().with(Limit::ConcurrentCalls, 1);
    let compiler = Compiler::at("/nonexistent/remit");
    let sandbox = Sandbox::new(limits, compiler, &folder.join("cache"), &folder.join("secrets"))?;
    Ok(Registry::new(Arc::new(sandbox)))
}

fn context(limits: Limits) -> Result<Arc<Context>, remit_domain::InvalidName> {
    Ok(Arc::new(Context { limits, ..Context::of(TenantId::new("a")?, "A") }))
}

#[tokio::test]
async fn a_tenants_own_plugin_stands_before_the_operators_for_that_tenant_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let registry = registry(folder.path())?;
    let (a, b, crm) = (TenantId::new("a")?, TenantId::new("b")?, PluginName::new("crm")?);
    let operators = plugin("crm", "operator")?;
    registry.change(|shelves| shelves.operators.plugins.insert(crm.clone(), operators));
    let found = |tenant| registry.find(tenant, &crm).map(|plugin| plugin.description().digest.clone());
    assert_eq!((found(&a).as_deref(), found(&b).as_deref()), (Some("operator"), Some("operator")));
    let before = (registry.generation(&a), registry.generation(&b));
    registry.place(&a, plugin("crm", "first")?);
    let held = registry.find(&a, &crm).ok_or("gone")?;
    registry.place(&a, plugin("crm", "second")?);
    assert_eq!((found(&a).as_deref(), found(&b).as_deref()), (Some("second"), Some("operator")));
    assert_eq!(held.description().digest, "first", "a call in flight keeps its version");
    assert_eq!((registry.generation(&a), registry.generation(&b)), (before.0 + 2, before.1));
    assert!(registry.withdraw(&a, &crm) && !registry.withdraw(&a, &crm) && !registry.withdraw(&b, &crm));
    assert_eq!(found(&a).as_deref(), Some("operator"));
    assert_eq!((registry.generation(&a), registry.generation(&b)), (before.0 + 3, before.1));
    assert_eq!(registry.all().len(), 1, "the operator's alone");
    Ok(())
}

#[tokio::test]
async fn who_waits_is_told_of_the_tenants_own_changes_and_of_the_operators() -> Outcome {
    let folder = tempfile::tempdir()?;
    let registry = registry(folder.path())?;
    let (a, b) = (TenantId::new("a")?, TenantId::new("b")?);
    let now = registry.generation(&a);
    assert_eq!(registry.changed(&a, now + 1).now_or_never(), Some(now), "it differs already");
    let mut waiting = registry.changed(&a, now);
    assert_eq!((&mut waiting).now_or_never(), None);
    registry.place(&b, plugin("crm", "1")?);
    assert_eq!((&mut waiting).now_or_never(), None, "that is another tenant's");
    registry.place(&a, plugin("crm", "1")?);
    assert_eq!((&mut waiting).now_or_never(), Some(now + 1));
    let dist = folder.path().join("dist");
    fs::create_dir(&dist)?;
    registry.load(&dist).await?;
    assert_eq!(registry.generation(&a), now + 1, "nothing is other than before");
    let operators = plugin("b", "1")?;
    registry.change(|shelves| shelves.operators.plugins.insert(PluginName::new("b").ok()?, operators));
    let mut waiting = registry.changed(&a, now + 1);
    assert_eq!((&mut waiting).now_or_never(), None);
    registry.load(&dist).await?;
    assert_eq!((&mut waiting).now_or_never(), Some(now + 2), "the folder no longer has it");
    Ok(())
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_with_the_reason() -> Outcome {
    let folder = tempfile::tempdir()?;
    let registry = registry(folder.path())?;
    let sandbox = registry.sandbox();
    // As if it had been uploaded before, so that no compiler is needed.
    let code = compile(&sandbox.engine, EMPTY)?;
    sandbox.cache.adopt(&sandbox.engine, &digest(EMPTY), &code)?;
    let context = context(Limits::default())?;
    for (wasm, said) in [
        (EMPTY.to_vec(), "it exports neither `remit:plugin/tools@0.1.0`"),
        (b"\0asm\x01\0\0\0".to_vec(), "a core module"),
        (b"\0asm\x0d\0\x01\0broken".to_vec(), "not a component"),
        (vec![0; (8 << 20) + 1], "componentBytes allows 8388608 bytes, and it has 8388609 or more"),
        (Vec::new(), "not a component"),
    ] {
        let refused = registry
            .examine(&context, Arc::new(wasm), &Computed::default())
            .await
            .map(|plugin| plugin.description().clone());
        let text = refused.as_ref().map_err(ToString::to_string);
        assert!(matches!(refused, Err(Failure::Unfit { .. })), "{said}: {text:?}");
        assert!(text.is_err_and(|text| text.contains(said)), "{said}");
    }
    // One that is sound so far goes to the compiler, which is not there: nothing of that is the uploader's.
    let unknown = [EMPTY, &[0, 1, 0]].concat();
    let refused = registry
        .examine(&context, Arc::new(unknown), &Computed::default())
        .await
        .map(|plugin| plugin.description().clone());
    assert!(matches!(&refused, Err(Failure::Internal(_))), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_known_component_is_still_held_to_the_tenants_own_tier() -> Outcome {
    let folder = tempfile::tempdir()?;
    let registry = registry(folder.path())?;
    let sandbox = registry.sandbox();
    sandbox.cache.adopt(&sandbox.engine, &digest(EMPTY), &compile(&sandbox.engine, EMPTY)?)?;
    let mut limits = Limits::default();
    limits.uploads.small = Upload { component_bytes: 7, ..Upload::SMALL };
    let refused = registry.examine(&context(limits)?, Arc::new(EMPTY.to_vec()), &Computed::default()).await.map(|_| ());
    assert!(matches!(refused, Err(Failure::Unfit { limit: Some(("componentBytes", 7, "bytes")), .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_whose_places_are_taken_is_told_which_limit_it_met() -> Outcome {
    let folder = tempfile::tempdir()?;
    let registry = registry(folder.path())?;
    let limits = Limits::default().with(Limit::QueuedCalls, 0);
    let a = TenantId::new("a")?;
    let held = registry.sandbox().place(&a, &limits).await?;
    let refused = registry.sandbox().place(&a, &limits).await.map(drop);
    let text = refused.as_ref().map_err(ToString::to_string);
    assert_eq!(text, Err("too much at once: queuedCalls allows 0 calls".to_owned()));
    let late = Limits::default().with(Limit::QueueTime, 1);
    let refused = registry.sandbox().place(&a, &late).await.map(drop).map_err(|error| error.to_string());
    assert_eq!(refused, Err("too much at once: queueTimeMs allows 1 ms".to_owned()));
    drop(held);
    assert_eq!(registry.sandbox().occupancy(), (0, 1));
    Ok(())
}
