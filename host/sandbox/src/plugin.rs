//! A component that is ready to be called: the sandbox's implementation of `domain::plugin::Plugin`.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    AgentName, Error,
    grant::Grants,
    limits::{Limit, Limits},
    node::{self, Answer},
    plugin::{Computed, Description, Invocation, Outcome, Plugin, ResourceContents},
    tenant::Context,
};
use wasmtime::{
    Store,
    component::{Instance, Resource},
};

use crate::{
    artifact::Artifact,
    bindings::remit::plugin::types::CallError,
    budget::Meter,
    capability::{Bag, invocation},
    convert::{self, Wrong},
    describe::{self, Told},
    end::End,
    engine::Sandbox,
    examine::counted,
    state::{Purpose, State},
    step::Answers,
    turns::Turn,
};

/// A component that is ready to be called.
pub(crate) struct Loaded {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) artifact: Artifact,
    pub(crate) description: Arc<Description>,
    /// What it said of steps' configurations.
    pub(crate) answers: Answers,
}

impl Loaded {
    /// Lets a component describe itself, in a store of its own, under these limits and without any grant.
    ///
    /// Errors: [`crate::Error::Misfit`] where the types of what it exports differ from the contract's;
    /// [`crate::Error::Undescribed`], [`crate::Error::Limit`], [`crate::Error::BadDescription`].
    pub(crate) async fn describe(
        sandbox: Arc<Sandbox>,
        artifact: Artifact,
        limits: &Limits,
        computed: &Computed,
        turn: Option<Turn>,
    ) -> Result<Self, crate::Error> {
        let mut store = sandbox.store(limits);
        let meter = store.data().meter.clone();
        let _charge = Charge { meter: meter.clone(), to: computed.clone() };
        let misfit = |error: wasmtime::Error| crate::Error::Misfit(error.root_cause().to_string());
        let described: Option<wasmtime::Result<Result<Told, crate::Error>>> = meter
            .drive(turn, async {
                let instance = artifact.pre.instantiate_async(&mut store).await?;
                // Linking compares the types of imports; those of exports are compared here.
                let tools = artifact.tools.as_ref().map(|tools| tools.load(&mut store, &instance)).transpose();
                let resources = artifact.resources.as_ref().map(|it| it.load(&mut store, &instance)).transpose();
                let nodes = artifact.nodes.as_ref().map(|nodes| nodes.load(&mut store, &instance)).transpose();
                let (tools, resources, nodes) = match (tools, resources, nodes) {
                    (Ok(tools), Ok(resources), Ok(nodes)) => (tools, resources, nodes),
                    (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Ok(Err(misfit(error))),
                };
                let mut told = Told { tools: None, resources: None, nodes: None };
                if let Some(tools) = tools {
                    told.tools = Some(tools.call_describe(&mut store).await?);
                }
                if let Some(resources) = resources {
                    told.resources = Some(resources.call_describe(&mut store).await?);
                }
                if let Some(nodes) = nodes {
                    told.nodes = Some(nodes.call_describe(&mut store).await?);
                }
                Ok(Ok(told))
            })
            .await;
        let told = match described {
            Some(Ok(described)) => described?,
            Some(Err(error)) => return Err(End::of(Some(error), &store).undescribed(limits)),
            None => return Err(End::Deadline.undescribed(limits)),
        };
        // Its schemas are compiled, as many as it has: not on a thread that serves.
        let digest = artifact.digest.clone();
        let description = Arc::new(counted(computed, move || describe::check(told, &digest)).await?);
        Ok(Self { sandbox, artifact, description, answers: Answers::default() })
    }

    /// Runs a guest for one call: takes a place, makes the store, instantiates, hands over, and drives what
    /// `guest` does under the limits of the tenant.
    pub(crate) async fn run<T>(
        &self,
        grants: Grants,
        invocation: Invocation,
        guest: impl AsyncFnOnce(
            &mut Store<State>,
            &Instance,
            Resource<Bag>,
            Resource<invocation::Invocation>,
        ) -> wasmtime::Result<Result<T, CallError>>,
    ) -> Result<T, Error> {
        let agent = invocation.agent.clone();
        let context = invocation.context.clone();
        let limits = &context.limits;
        let _place = self.sandbox.place(&context.tenant, limits).await?;
        let mut store = self.sandbox.store(limits);
        let meter = store.data().meter.clone();
        // Counted when the call ends, or is dropped in the middle.
        let _charge = Charge { meter: meter.clone(), to: invocation.computed.clone() };
        let turn = self.sandbox.turns.of(&context.tenant);
        let ended = meter.drive(Some(turn), async {
            let instance = self.artifact.pre.instantiate_async(&mut store).await?;
            let (bag, invocation) = store.data_mut().hand_over(Purpose { grants, invocation }, &self.description)?;
            guest(&mut store, &instance, bag, invocation).await
        });
        let ended = ended.await;
        metrics::counter!("remit_sandbox_calls_total").increment(1);
        metrics::histogram!("remit_sandbox_cpu_seconds").record(meter.ran().as_secs_f64());
        match ended {
            Some(Ok(Ok(answer))) => Ok(answer),
            Some(Ok(Err(error))) => Err(self.failed(error, &agent, &store)),
            Some(Err(error)) => Err(self.judge(Some(error), &store)),
            None => Err(self.judge(None, &store)),
        }
    }

    /// Why a call has no answer.
    pub(crate) fn judge(&self, ended: Option<wasmtime::Error>, store: &Store<State>) -> Error {
        let (limits, plugin) = (&store.data().limits, &self.description.name);
        if let Some(error) = &ended {
            let last_words = store.data().last_words();
            tracing::warn!(%plugin, cause = %error.root_cause(), last_words, "a guest trapped");
        }
        match End::of(ended, store) {
            End::Deadline => Error::Deadline { limit: Limit::WallTime.key(), allowed_ms: limits.get(Limit::WallTime) },
            End::Limit(limit) => limits.reached(limit, plugin),
            End::Trapped(error) => Error::Trapped { plugin: plugin.clone(), cause: error.to_string().into() },
        }
    }

    pub(crate) fn wrong(&self, wrong: Wrong, limits: &Limits) -> Error {
        let plugin = &self.description.name;
        match wrong {
            Wrong::TooLarge => limits.reached(Limit::OutputBytes, plugin),
            Wrong::Malformed(reason) => Error::BadAnswer { plugin: plugin.clone(), reason },
        }
    }

    /// Why a guest says that it failed. One that says it was cancelled either ran out of time, or lies:
    /// a call that is cancelled has no guest to say so.
    fn failed(&self, error: CallError, agent: &AgentName, store: &Store<State>) -> Error {
        match convert::call_error(error, &self.description.name, agent) {
            Error::Cancelled if store.data().meter.remaining().is_zero() => self.judge(None, store),
            Error::Cancelled => {
                let lie = Wrong::Malformed("it says that the call was cancelled".to_owned());
                self.wrong(lie, &store.data().limits)
            }
            failed => failed,
        }
    }
}

/// Says how long a guest has computed once it is gone.
pub(crate) struct Charge {
    pub(crate) meter: Arc<Meter>,
    pub(crate) to: Computed,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.to.add(self.meter.ran());
    }
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
        let context = invocation.context.clone();
        let unknown = || Error::UnknownTool { agent: invocation.agent.clone(), tool: tool.chars().take(128).collect() };
        let tools = self.artifact.tools.as_ref().ok_or_else(unknown)?;
        let outcome = self
            .run(grants, invocation, async |store, instance, bag, invocation| {
                let guest = tools.load(&mut *store, instance)?;
                guest.call_call(store, tool, arguments, bag, invocation).await
            })
            .await?;
        let checked = convert::outcome(outcome, context.limits.size(Limit::OutputBytes));
        checked.map_err(|wrong| self.wrong(wrong, &context.limits))
    }

    async fn read(&self, uri: &str, grants: Grants, invocation: Invocation) -> Result<Vec<ResourceContents>, Error> {
        let (agent, context) = (invocation.agent.clone(), invocation.context.clone());
        let unknown = || Error::UnknownResource { agent, resource: uri.chars().take(128).collect() };
        let Some(resources) = &self.artifact.resources else { return Err(unknown()) };
        let read = self
            .run(grants, invocation, async |store, instance, bag, invocation| {
                let guest = resources.load(&mut *store, instance)?;
                Ok(match guest.call_read(store, uri, bag, invocation).await? {
                    // To a tool an unknown name is its own; to a resource it is one that is not there.
                    Err(CallError::Unknown(_)) => Ok(None),
                    answer => answer.map(Some),
                })
            })
            .await?;
        let Some(contents) = read else { return Err(unknown()) };
        let checked = convert::contents(contents, context.limits.size(Limit::OutputBytes));
        checked.map_err(|wrong| self.wrong(wrong, &context.limits))
    }

    async fn validate(
        &self,
        node: &str,
        config: &str,
        context: Option<&Arc<Context>>,
        computed: &Computed,
    ) -> Result<Answer, Error> {
        self.ask(node, config, context, computed).await
    }

    async fn execute(
        &self,
        node: &str,
        config: &str,
        input: &str,
        grants: Grants,
        invocation: Invocation,
    ) -> Result<node::Outcome, Error> {
        self.perform(node, config, input, grants, invocation).await
    }
}
