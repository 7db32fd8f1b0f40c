//! Steps of workflows in the sandbox: a component is asked what a step's configuration needs, without any
//! handle, and runs it as it runs a tool.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use remit_domain::{
    Error,
    grant::Grants,
    library::Digest,
    limits::{Limit, Limits},
    node::{Answer, Outcome},
    plugin::{Computed, Invocation},
    tenant::Context,
};

use crate::{
    bindings::{exports::remit::plugin::nodes, remit::plugin::types as wit},
    convert::{self, Wrong},
    describe,
    plugin::{Charge, Loaded},
    turns::Turn,
};

/// How long a component may look at one configuration, waiting included: it has nothing to wait for.
const VALIDATING_MS: u64 = 2_000;

/// How many answers of a component are kept. It always says the same of the same configuration, and a step
/// that runs again and again is asked about once.
const KEPT: usize = 256;

/// What a component said of configurations, by node and configuration.
#[derive(Default)]
pub(crate) struct Answers(Mutex<HashMap<Digest, Answer>>);

impl Answers {
    fn get(&self, key: &Digest) -> Option<Answer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: Digest, answer: &Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, answer.clone());
    }
}

impl Loaded {
    /// Asks what a step with this configuration works with. On the operator's behalf one is asked at a time.
    pub(crate) async fn ask(
        &self,
        node: &str,
        config: &str,
        context: Option<&Arc<Context>>,
        computed: &Computed,
    ) -> Result<Answer, Error> {
        let Some(nodes) = &self.artifact.nodes else { return Err(self.without(node)) };
        // No name has a line's end.
        let key = Digest::of(format!("{node}\n{config}").as_bytes());
        if let Some(answer) = self.answers.get(&key) {
            return Ok(answer);
        }
        let limits = context.map_or(&self.sandbox.limits, |context| &context.limits);
        let (_place, _alone) = match context {
            Some(context) => (Some(self.sandbox.place(&context.tenant, limits).await?), None),
            None => (None, Some(self.sandbox.describing.lock().await)),
        };
        let limits = limits.clone().with(Limit::WallTime, limits.get(Limit::WallTime).min(VALIDATING_MS));
        let turn = context.map(|context| self.sandbox.turns.of(&context.tenant));
        let answer = self.validated(nodes, node, config, &limits, computed, turn).await?;
        self.answers.keep(key, &answer);
        Ok(answer)
    }

    async fn validated(
        &self,
        nodes: &nodes::GuestIndices,
        node: &str,
        config: &str,
        limits: &Limits,
        computed: &Computed,
        turn: Option<Turn>,
    ) -> Result<Answer, Error> {
        let mut store = self.sandbox.store(limits);
        let meter = store.data().meter.clone();
        let _charge = Charge { meter: meter.clone(), to: computed.clone() };
        let said = meter.drive(turn, async {
            let instance = self.artifact.pre.instantiate_async(&mut store).await?;
            let guest = nodes.load(&mut store, &instance)?;
            guest.call_validate(&mut store, node, config).await
        });
        let said: Option<wasmtime::Result<Result<nodes::Validated, Vec<wit::Problem>>>> = said.await;
        let wrong = |reason: String| self.wrong(Wrong::Malformed(reason), limits);
        match said {
            Some(Ok(Ok(said))) => {
                let said = describe::validated(node, said);
                said.map(Ok).map_err(|error| wrong(format!("of what a step is: {error}")))
            }
            Some(Ok(Err(problems))) => {
                let problems = convert::problems(problems);
                problems.map(Err).ok_or_else(|| wrong("it finds fault with a step, and says too much".to_owned()))
            }
            Some(Err(error)) => Err(self.judge(Some(error), &store)),
            None => Err(self.judge(None, &store)),
        }
    }

    /// Runs a step.
    pub(crate) async fn perform(
        &self,
        node: &str,
        config: &str,
        input: &str,
        grants: Grants,
        invocation: Invocation,
    ) -> Result<Outcome, Error> {
        let Some(nodes) = &self.artifact.nodes else { return Err(self.without(node)) };
        let context = invocation.context.clone();
        let outcome = self
            .run(grants, invocation, async |store, instance, bag, invocation| {
                let guest = nodes.load(&mut *store, instance)?;
                guest.call_execute(store, node, config, input, bag, invocation).await
            })
            .await?;
        let checked = convert::step(outcome, context.limits.size(Limit::OutputBytes));
        checked.map_err(|wrong| self.wrong(wrong, &context.limits))
    }

    fn without(&self, node: &str) -> Error {
        Error::UnknownNode(format!("{}.{node}", self.description.name))
    }
}
