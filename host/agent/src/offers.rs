//! What the model is offered: the tools that the agent may call and its context lists, and the
//! host's own tool for reading the agent's resources.

use remit_domain::{
    Catalogue,
    catalogue::{Caller, OfferedTool},
    model::ToolOffer,
    plugin::Resource,
};
use serde_json::json;

/// The host's own tool. A plugin's tool of this name is not offered in chat.
pub(crate) const READ_RESOURCE: &str = "read_resource";

/// What an agent has to offer to its model.
pub(crate) struct Offers {
    /// The agent's tools: granted by its mapping and listed in its context.
    pub(crate) tools: Vec<OfferedTool>,
    /// What it can read; of two with one name, the first, as the `Catalogue` finds them.
    pub(crate) resources: Vec<Resource>,
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
        Self { tools, resources }
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
        self.tool(name).is_none_or(|offered| offered.tool().annotations.read_only)
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
        own.chain(self.read_resource()).collect()
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
