//! What the model is offered: the tools that the agent may call and its context lists, the workflows that the
//! context lists, and the host's own tool for reading the agent's resources.

use std::sync::Arc;

use remit_domain::{
    Catalogue,
    catalogue::{Caller, OfferedTool},
    model::ToolOffer,
    plugin::Resource,
    workflows::{Offer, Offered},
};
use serde_json::json;

/// The host's own tool. A plugin's tool of this name is not offered in chat.
pub(crate) const READ_RESOURCE: &str = "read_resource";

/// What the name of a tool begins with that begins a workflow.
pub(crate) const WORKFLOW: &str = "workflow_";
/// The longest name of a tool that models' servers take.
const MAX_NAME: usize = 64;

/// What an agent has to offer to its model.
pub(crate) struct Offers {
    /// The agent's tools: granted by its mapping and listed in its context.
    pub(crate) tools: Vec<OfferedTool>,
    /// What it can read; of two with one name, the first, as the `Catalogue` finds them.
    pub(crate) resources: Vec<Resource>,
    /// The workflows that the agent's context lists.
    pub(crate) workflows: Vec<Offer>,
    /// Who begins them.
    pub(crate) begins: Option<Arc<dyn Offered>>,
}

impl Offers {
    pub(crate) fn of(catalogue: &Catalogue, caller: &Caller) -> Self {
        let listed = caller.context.agents.get(&caller.agent).and_then(|agent| agent.tools.as_ref());
        let mut tools = catalogue.tools(caller);
        tools.retain(|offered| {
            let name = &offered.tool().name;
            name != READ_RESOURCE && listed.is_none_or(|listed| listed.contains(name))
        });
        let mut resources: Vec<Resource> = Vec::new();
        for resource in catalogue.resources(caller) {
            if !resources.iter().any(|earlier| earlier.name == resource.name) {
                resources.push(resource);
            }
        }
        Self { tools, resources, workflows: Vec::new(), begins: None }
    }

    /// With the workflows that the agent's context lists. A plugin's tool of the same name is not offered.
    pub(crate) fn with_workflows(mut self, begins: Option<&Arc<dyn Offered>>, caller: &Caller) -> Self {
        let offers = begins.map(|begins| begins.offers(caller)).unwrap_or_default();
        self.workflows = offers.into_iter().filter(|it| it.name.len() + WORKFLOW.len() <= MAX_NAME).collect();
        self.begins = begins.cloned();
        let workflows = std::mem::take(&mut self.workflows);
        self.tools.retain(|offered| {
            let name = offered.tool().name.strip_prefix(WORKFLOW);
            !workflows.iter().any(|workflow| Some(workflow.name.as_str()) == name)
        });
        self.workflows = workflows;
        self
    }

    /// The workflow that a tool of this name begins, and who does it.
    pub(crate) fn workflow(&self, name: &str) -> Option<(&Offer, &Arc<dyn Offered>)> {
        let name = name.strip_prefix(WORKFLOW)?;
        Some((self.workflows.iter().find(|workflow| workflow.name == name)?, self.begins.as_ref()?))
    }

    /// How many of the agent's own tools there are.
    pub(crate) fn available(&self) -> usize {
        self.tools.len()
    }

    /// The agent's own tool of a name.
    pub(crate) fn tool(&self, name: &str) -> Option<&OfferedTool> {
        self.tools.iter().find(|offered| offered.tool().name == name)
    }

    /// Whether a name is that of the host's own tool, and that is on offer.
    pub(crate) fn reads_resources(&self, name: &str) -> bool {
        name == READ_RESOURCE && !self.resources.is_empty()
    }

    /// Whether a call changes nothing. One that is not on offer is not made, so it changes nothing.
    pub(crate) fn changes_nothing(&self, name: &str) -> bool {
        self.workflow(name).is_none() && self.tool(name).is_none_or(|offered| offered.tool().annotations.read_only)
    }

    /// All of it, as the model is told.
    pub(crate) fn to_model(&self) -> Vec<ToolOffer> {
        let own = self.tools.iter().map(|offered| {
            let tool = offered.tool();
            ToolOffer {
                name: tool.name.clone(),
                description: tool.description.clone(),
                parameters: tool.input.authored().clone(),
            }
        });
        let workflows = self.workflows.iter().map(|workflow| ToolOffer {
            name: format!("{WORKFLOW}{}", workflow.name),
            description: described(workflow).to_owned(),
            parameters: workflow.inputs.clone(),
        });
        own.chain(workflows).chain(self.read_resource()).collect()
    }

    fn read_resource(&self) -> Option<ToolOffer> {
        let names: Vec<&str> = self.resources.iter().map(|resource| resource.name.as_str()).collect();
        if names.is_empty() {
            return None;
        }
        Some(ToolOffer {
            name: READ_RESOURCE.to_owned(),
            description: "Reads one of the resources listed under RESOURCES AVAILABLE".to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {"name": {"type": "string", "enum": names, "description": "The resource's name"}},
                "required": ["name"],
                "additionalProperties": false,
            }),
        })
    }
}

/// What a workflow is said to do.
pub(crate) fn described(workflow: &Offer) -> &str {
    workflow.description.as_deref().unwrap_or("Runs a workflow")
}
