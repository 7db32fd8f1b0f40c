//! From a component's bytes to a plugin: of the operator, whose word is taken, and of a tenant, whose is
//! not.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use remit_domain::{
    limits::Limit,
    plugin::{Computed, Plugin, Workshop},
    tenant::Context,
};
use tokio::task::spawn_blocking;
use wasmtime::component::Component;

use crate::{
    Error, Registry,
    artifact::{Artifact, digest},
    compile::compile,
    engine::Sandbox,
    plugin::Loaded,
    scan::scan,
};

/// How long a tenant's component may take to describe itself, waiting included: it has nothing to wait for, and
/// a start of the host waits for all of them.
const DESCRIBING_MS: u64 = 5_000;

impl Loaded {
    /// Makes a plugin of a component of the operator's, compiling it in this process.
    ///
    /// Errors: [`Error`] at whatever the component is not.
    pub(crate) async fn of_operator(sandbox: Arc<Sandbox>, wasm: Vec<u8>) -> Result<Self, Error> {
        let preparing = sandbox.clone();
        let artifact = blocking(move || {
            let digest = digest(&wasm);
            let component = match preparing.cache.find(&preparing.engine, &digest) {
                Some(component) => component,
                None => {
                    let code = compile(&preparing.engine, &wasm)?;
                    preparing.cache.adopt(&preparing.engine, &digest, &code)?
                }
            };
            Artifact::link(&preparing, &digest, &component)
        });
        let artifact = artifact.await?;
        let limits = sandbox.limits.clone();
        let describing = sandbox.clone();
        let _alone = describing.describing.lock().await;
        Self::describe(sandbox, artifact, &limits, &Computed::default(), None).await
    }

    /// Makes a plugin of what a tenant uploaded. It runs in one of the tenant's own places, and all that is
    /// computed for it is said.
    ///
    /// Errors: [`Error`] at whatever the component is not; [`Error::Busy`]. Cancel: nothing is left running.
    async fn of_tenant(
        sandbox: Arc<Sandbox>,
        context: &Context,
        wasm: Arc<Vec<u8>>,
        computed: &Computed,
    ) -> Result<Self, Error> {
        let tier = *context.limits.uploads.of(context.uploads);
        let (scanning, scanned, limits) = (sandbox.clone(), wasm.clone(), context.limits.clone());
        let (digest, known) = counted(computed, move || {
            // First: what a smaller tier forbids is not let in by another tenant's having uploaded it.
            scan(&scanned, &tier, &limits)?;
            let digest = digest(&scanned);
            let known = scanning.cache.find(&scanning.engine, &digest);
            Ok((digest, known))
        })
        .await?;
        let code = match known {
            Some(component) => Compiled::Known(component),
            None => Compiled::New(sandbox.compiler.compile(&context.tenant, &tier, wasm, computed).await?),
        };
        let linking = sandbox.clone();
        let artifact = counted(computed, move || {
            let component = match code {
                Compiled::Known(component) => component,
                Compiled::New(code) => linking.cache.adopt(&linking.engine, &digest, &code)?,
            };
            Artifact::link(&linking, &digest, &component)
        });
        let artifact = artifact.await?;
        let _place = sandbox.place(&context.tenant, &context.limits).await.map_err(Error::Busy)?;
        let most = context.limits.get(Limit::WallTime).min(DESCRIBING_MS);
        let limits = context.limits.clone().with(Limit::WallTime, most);
        let turn = sandbox.turns.of(&context.tenant);
        Self::describe(sandbox.clone(), artifact, &limits, computed, Some(turn)).await
    }
}

enum Compiled {
    Known(Component),
    New(Vec<u8>),
}

/// What takes its time, off the threads that serve. A parser that panics breaks nothing but this.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => {
            tracing::error!(%broken, "a component broke what reads it");
            Err(Error::NotAComponent("it can't be read".to_owned()))
        }
    }
}

/// The same, counted.
pub(crate) async fn counted<T: Send + 'static>(
    to: &Computed,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let to = to.clone();
    blocking(move || {
        let began = Instant::now();
        let done = work();
        to.add(began.elapsed());
        done
    })
    .await
}

#[async_trait]
impl Workshop for Registry {
    async fn examine(
        &self,
        context: &Arc<Context>,
        wasm: Arc<Vec<u8>>,
        computed: &Computed,
    ) -> Result<Arc<dyn Plugin>, remit_domain::Error> {
        Ok(Arc::new(Loaded::of_tenant(self.sandbox().clone(), context, wasm, computed).await?))
    }
}
