//! A component that is ready to be called: the sandbox's implementation of `domain::plugin::Plugin`.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    AgentName, Error,
    grant::Grants,
    plugin::{Description, Invocation, Outcome, Plugin, ResourceContents},
};
use wasmtime::{Store, Trap};

use crate::{
    artifact::Artifact,
    bindings::{exports::remit::plugin::tools as wit_tools, remit::plugin::types::CallError},
    convert::{self, Wrong},
    describe,
    engine::Sandbox,
    state::{Purpose, Refused, State, host_call_bytes},
};

/// A component that is ready to be called.
pub(crate) struct Loaded {
    sandbox: Arc<Sandbox>,
    artifact: Artifact,
    description: Arc<Description>,
}

impl Loaded {
    /// Compiles, links and describes a component. The description is taken in a store of its own,
    /// under the limits of a call and without any grant.
    ///
    /// Errors: [`crate::Error`] at whatever the component is not.
    pub(crate) async fn new(sandbox: Arc<Sandbox>, wasm: Vec<u8>) -> Result<Self, crate::Error> {
        let compiling = sandbox.clone();
        let prepared = tokio::task::spawn_blocking(move || Artifact::prepare(&compiling, &wasm)).await;
        let artifact = prepared.map_err(|error| crate::Error::Misfit(error.to_string()))??;
        let mut store = sandbox.store();
        let meter = store.data().meter.clone();
        let described: Option<wasmtime::Result<_>> = meter
            .drive(async {
                let instance = artifact.pre.instantiate_async(&mut store).await?;
                let tools = artifact.tools.load(&mut store, &instance)?.call_describe(&mut store).await?;
                let resources = match &artifact.resources {
                    Some(resources) => Some(resources.load(&mut store, &instance)?.call_describe(&mut store).await?),
                    None => None,
                };
                wasmtime::Result::Ok((tools, resources))
            })
            .await;
        let (tools, resources) = match described {
            Some(Ok(described)) => described,
            Some(Err(error)) => return Err(crate::Error::Undescribed(error.root_cause().to_string())),
            None => return Err(crate::Error::Undescribed("it took too long".to_owned())),
        };
        let description = Arc::new(describe::check(tools, resources, &artifact.digest)?);
        Ok(Self { sandbox, artifact, description })
    }

    /// Why a call has no answer: a limit if one was met, else the guest's own fault.
    fn judge(&self, ended: Option<wasmtime::Error>, store: &Store<State>) -> Error {
        let limits = &self.sandbox.limits;
        let plugin = self.description.name.clone();
        let limit = |limit, allowed: u128, unit| Error::Limit {
            plugin: plugin.clone(),
            limit,
            allowed: u64::try_from(allowed).unwrap_or(u64::MAX),
            unit,
        };
        let Some(error) = ended else {
            return Error::Deadline { allowed_ms: u64::try_from(limits.wall_time.as_millis()).unwrap_or(u64::MAX) };
        };
        if store.data().meter.exhausted() {
            return limit("cpuTimeMs", limits.cpu_time.as_millis(), "ms");
        }
        let last_words = store.data().last_words();
        tracing::warn!(%plugin, cause = %error.root_cause(), last_words, "a guest trapped");
        match (store.data().memory.refused(), error.downcast_ref::<Trap>()) {
            (Some(Refused::Memory), _) => limit("memoryBytes", limits.memory_bytes as u128, "bytes"),
            (Some(Refused::Table), _) => limit("tableElements", limits.table_elements as u128, "elements"),
            (None, Some(Trap::StackOverflow)) => limit("stackBytes", 512 << 10, "bytes"),
            (None, None) if error.root_cause().to_string().contains(HOSTCALL_FUEL) => {
                limit("hostCallBytes", host_call_bytes(limits) as u128, "bytes")
            }
            (None, _) => Error::Trapped { plugin, cause: error.to_string().into() },
        }
    }

    fn wrong(&self, wrong: Wrong) -> Error {
        let plugin = self.description.name.clone();
        match wrong {
            Wrong::TooLarge => {
                let allowed = u64::try_from(self.sandbox.limits.output_bytes).unwrap_or(u64::MAX);
                Error::Limit { plugin, limit: "outputBytes", allowed, unit: "bytes" }
            }
            Wrong::Malformed(reason) => Error::BadAnswer { plugin, reason },
        }
    }

    /// Why a guest says that it failed. One that says it was cancelled either ran out of time, or lies:
    /// a call that is cancelled has no guest to say so.
    fn failed(&self, error: CallError, agent: &AgentName, store: &Store<State>) -> Error {
        match convert::call_error(error, &self.description.name, agent) {
            Error::Cancelled if store.data().meter.remaining().is_zero() => self.judge(None, store),
            Error::Cancelled => self.wrong(Wrong::Malformed("it says that the call was cancelled".to_owned())),
            failed => failed,
        }
    }
}

/// What wasmtime says when a guest makes the host copy too much at once. Its error has no public type;
/// the version is pinned, and a story fails should the words change.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls";

/// Counts a finished call.
fn observe(store: &Store<State>) {
    metrics::counter!("remit_sandbox_calls_total").increment(1);
    metrics::histogram!("remit_sandbox_cpu_seconds").record(store.data().meter.ran().as_secs_f64());
}

#[async_trait]
impl Plugin for Loaded {
    fn description(&self) -> &Description {
        &self.description
    }

    async fn call(
        &self,
        tool: &str,
        arguments: &str,
        grants: Grants,
        invocation: Invocation,
    ) -> Result<Outcome, Error> {
        let agent = invocation.agent.clone();
        let _place = self.sandbox.places.take(&invocation.context.tenant).await?;
        let mut store = self.sandbox.store();
        let meter = store.data().meter.clone();
        let ended = meter.drive(async {
            let instance = self.artifact.pre.instantiate_async(&mut store).await?;
            let guest = self.artifact.tools.load(&mut store, &instance)?;
            let (bag, invocation) = store.data_mut().hand_over(Purpose { grants, invocation }, &self.description)?;
            guest.call_call(&mut store, tool, arguments, bag, invocation).await
        });
        let ended: Option<wasmtime::Result<Result<wit_tools::Outcome, _>>> = ended.await;
        observe(&store);
        match ended {
            Some(Ok(Ok(outcome))) => {
                convert::outcome(outcome, self.sandbox.limits.output_bytes).map_err(|wrong| self.wrong(wrong))
            }
            Some(Ok(Err(error))) => Err(self.failed(error, &agent, &store)),
            Some(Err(error)) => Err(self.judge(Some(error), &store)),
            None => Err(self.judge(None, &store)),
        }
    }

    async fn read(&self, uri: &str, grants: Grants, invocation: Invocation) -> Result<Vec<ResourceContents>, Error> {
        let agent = invocation.agent.clone();
        let Some(resources) = &self.artifact.resources else {
            return Err(Error::UnknownResource { agent, resource: uri.chars().take(128).collect() });
        };
        let _place = self.sandbox.places.take(&invocation.context.tenant).await?;
        let mut store = self.sandbox.store();
        let meter = store.data().meter.clone();
        let ended = meter.drive(async {
            let instance = self.artifact.pre.instantiate_async(&mut store).await?;
            let guest = resources.load(&mut store, &instance)?;
            let (bag, invocation) = store.data_mut().hand_over(Purpose { grants, invocation }, &self.description)?;
            guest.call_read(&mut store, uri, bag, invocation).await
        });
        let ended = ended.await;
        observe(&store);
        match ended {
            Some(Ok(Ok(contents))) => {
                convert::contents(contents, self.sandbox.limits.output_bytes).map_err(|wrong| self.wrong(wrong))
            }
            // To a tool an unknown name is its own; to a resource it is one that is not there.
            Some(Ok(Err(CallError::Unknown(_)))) => {
                Err(Error::UnknownResource { agent, resource: uri.chars().take(128).collect() })
            }
            Some(Ok(Err(error))) => Err(self.failed(error, &agent, &store)),
            Some(Err(error)) => Err(self.judge(Some(error), &store)),
            None => Err(self.judge(None, &store)),
        }
    }
}
