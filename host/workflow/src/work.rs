//! What steps do: tools and plugins' nodes through the `Catalogue`, agents through their port.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use remit_domain::{
    Catalogue, Error, RequestId,
    access::Principal,
    agents::{Agents, Question},
    audit::Door,
    catalogue::{Caller, Step},
    execution::Failure,
    node::Name,
    tenant::Context,
};
use serde_json::{Map, Value, json};

use crate::run::{Job, Performer, Uses, Work};

/// Does the work of steps with the same tools and agents as all doors, under the same decisions and records.
pub struct Worker {
    catalogue: Catalogue,
    agents: Arc<dyn Agents>,
}

impl Worker {
    /// Joins the ports.
    pub fn new(catalogue: Catalogue, agents: Arc<dyn Agents>) -> Self {
        Self { catalogue, agents }
    }

    /// Who does a step's work: the agent, on behalf of whoever began the run, in the tenant's present context.
    /// It keeps to the versions of plugins that the run began with.
    async fn caller(&self, work: &Work<'_>) -> Result<Caller, Error> {
        let context = self.catalogue.context(&work.run.tenant)?;
        let principal = Principal::run(work.run.tenant.clone(), &work.run.by);
        // One word for all that a run does, in every record.
        let request = RequestId::from_client(work.run.id.as_str()).unwrap_or_else(RequestId::random);
        let caller = Caller::new(principal, context, work.agent.as_str(), Door::Workflow, request)?;
        let pinned = self.catalogue.pinned(&caller, &work.run.pins).await?;
        Ok(Caller { idempotency_key: Some(work.key.to_owned()), attempt: work.attempt, pinned, ..caller })
    }

    async fn tool(&self, work: &Work<'_>, tool: &str) -> Result<Value, Error> {
        let caller = self.caller(work).await?;
        let outcome = self.catalogue.call(&caller, tool, work.config.clone()).await?;
        Ok(json!({"success": true, "result": outcome.as_json(), "tool_name": tool, "agent_type": work.agent}))
    }

    async fn node(&self, work: &Work<'_>, kind: &Name, written: &Value) -> Result<Value, Error> {
        let caller = self.caller(work).await?;
        let step = Step { kind, written, config: work.config, input: work.input };
        let outcome = self.catalogue.step(&caller, step).await?;
        let mut output = match outcome.output {
            Value::Object(output) => output,
            other => Map::from_iter([("result".to_owned(), other)]),
        };
        output.entry("success").or_insert(Value::Bool(true));
        // By this the run knows the way on, whenever it is taken up.
        output.extend(outcome.branch.map(|branch| ("branch".to_owned(), branch.into())));
        Ok(output.into())
    }

    async fn agent(&self, work: &Work<'_>, schema: Option<&Value>) -> Result<Value, Error> {
        let caller = self.caller(work).await?;
        let text = |key: &str| {
            work.config.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        };
        #[expect(clippy::cast_possible_truncation, reason = "a temperature")]
        let temperature = work.config.get("temperature").and_then(Value::as_f64).map(|it| it as f32);
        let question = Question { prompt: text("prompt").unwrap_or_default(), temperature, schema: schema.cloned() };
        let reply = self.agents.ask(&caller, &question).await?;
        let mut output = Map::from_iter([
            ("success".to_owned(), true.into()),
            ("agent_type".to_owned(), work.agent.as_str().into()),
            ("response".to_owned(), reply.text.into()),
            ("toolCallsMade".to_owned(), reply.tool_calls.into()),
            ("model".to_owned(), reply.model.into()),
        ]);
        // The fields that later steps read, whatever they are called.
        output.extend(reply.fields.unwrap_or_default());
        Ok(output.into())
    }
}

#[async_trait]
impl Performer for Worker {
    async fn harmless(&self, work: &Work<'_>, keyed: bool) -> bool {
        match work.job {
            Job::Tool { .. } | Job::Node { .. } if keyed => true,
            Job::Tool { tool, .. } => {
                let Ok(caller) = self.caller(work).await else { return false };
                let tools = self.catalogue.tools(&caller);
                let found = tools.iter().map(|offered| offered.tool()).find(|offered| offered.name == *tool);
                found.is_some_and(|tool| tool.annotations.read_only || tool.annotations.idempotent)
            }
            Job::Node { name, written } => {
                let Ok(caller) = self.caller(work).await else { return false };
                self.catalogue.repeatable(&caller, name, written).await.unwrap_or(false)
            }
            // Its tools may have changed something, each call under a key of its own.
            Job::Agent { .. } => false,
        }
    }

    fn pins(&self, context: &Context, uses: &Uses) -> BTreeSet<String> {
        self.catalogue.pins(context, &uses.kinds, &uses.agents)
    }

    async fn perform(&self, work: Work<'_>) -> Result<Value, Failure> {
        let done = match work.job {
            Job::Tool { tool, .. } => self.tool(&work, tool).await,
            Job::Agent { schema, .. } => self.agent(&work, schema.as_ref()).await,
            Job::Node { name, written } => self.node(&work, name, written).await,
        };
        done.map_err(|error| {
            if let Some(cause) = std::error::Error::source(&error) {
                tracing::warn!(run = %work.run.id, step = work.path, error = %error, cause, "a step failed");
            }
            Failure {
                code: error.code().to_owned(),
                message: error.to_string(),
                retriable: error.retriable(),
                retry_after_ms: error.retry_after_ms(),
                path: None,
            }
        })
    }
}
