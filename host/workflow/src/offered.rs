//! Workflows as something that an agent's chat can begin: those that the agent's context lists.

use std::time::Duration;

use async_trait::async_trait;
use remit_domain::{
    Error,
    catalogue::Caller,
    execution::Status,
    workflows::{Offer, Offered},
};
use serde_json::{Value, json};

use crate::{Workflow, Workflows, inputs};

/// How long a chat waits for a run's end: the model has to answer as well.
const WAIT: Duration = Duration::from_secs(25);

impl Workflows {
    /// The workflows that an agent's context lists, as far as they are there.
    fn listed(&self, caller: &Caller) -> Vec<Workflow> {
        let listed = caller.context.agents.get(&caller.agent).map(|agent| agent.workflows.as_slice());
        let mut found: Vec<Workflow> = Vec::new();
        for name in listed.unwrap_or_default() {
            let Some(workflow) = self.shelf().find(&caller.context.tenant, name) else { continue };
            if !found.iter().any(|other| other.plan.authored.name == workflow.plan.authored.name) {
                found.push(workflow);
            }
        }
        found
    }
}

#[async_trait]
impl Offered for Workflows {
    fn offers(&self, caller: &Caller) -> Vec<Offer> {
        let offer = |workflow: Workflow| {
            let authored = &workflow.plan.authored;
            let declared = authored.inputs.as_ref();
            Offer {
                name: authored.name.clone(),
                description: authored.description.clone(),
                inputs: declared.map_or_else(|| json!({"type": "object"}), inputs::schema),
            }
        };
        self.listed(caller).into_iter().map(offer).collect()
    }

    async fn begin(&self, caller: &Caller, name: &str, inputs: Value) -> Result<Value, Error> {
        if !self.listed(caller).iter().any(|workflow| workflow.plan.authored.name == name) {
            return Err(Error::UnknownWorkflow(name.chars().take(128).collect()));
        }
        let mut begun = self.execute(&caller.principal, &caller.context, name, inputs, None).await?;
        self.record((&caller.context.tenant, &caller.principal), name, &begun, Some(&caller.request)).await;
        let end = tokio::time::timeout(WAIT, begun.end()).await.ok().flatten();
        let status = end.as_ref().map_or(Status::Running, |end| end.status);
        let mut shown = json!({"executionId": begun.id, "workflow": name, "status": status});
        if let (Some(end), Value::Object(members)) = (end, &mut shown) {
            members.extend(end.outputs.map(|outputs| ("outputs".to_owned(), outputs)));
            members.extend(end.failure.map(|failure| {
                let failure = json!({"error": failure.message, "code": failure.code, "step": failure.path});
                ("failure".to_owned(), failure)
            }));
        }
        Ok(shown)
    }
}
