//! A plugin: its tools, resources and prompts, and the way from a name to a function.

use crate::{
    Call, Error, Prompt, Resource, Result, Tool,
    bindings::{
        exports::remit::plugin::tools::{Description, Outcome},
        prompting::exports::remit::plugin::prompts::{self, Filled},
        readable::exports::remit::plugin::resources,
        remit::plugin::types::{Completion, ResourceContents},
    },
};

/// What a plugin offers. [`tool_set!`](crate::tool_set) makes one, as the function `tool_set()` of the
/// plugin's crate, by which native tests call tools as the host does.
pub struct ToolSet {
    name: &'static str,
    version: &'static str,
    title: Option<&'static str>,
    instructions: Option<&'static str>,
    tools: Vec<Tool>,
    resources: Vec<Resource>,
    prompts: Vec<Prompt>,
}

impl ToolSet {
    /// A plugin of this name and semantic version.
    pub fn new(name: &'static str, version: &'static str, tools: Vec<Tool>) -> Self {
        Self { name, version, title: None, instructions: None, tools, resources: Vec::new(), prompts: Vec::new() }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// How the tools play together; the model reads this.
    #[must_use]
    pub fn instructions(mut self, instructions: &'static str) -> Self {
        self.instructions = Some(instructions);
        self
    }

    /// What can be read from it.
    #[must_use]
    pub fn resources(mut self, resources: Vec<Resource>) -> Self {
        self.resources = resources;
        self
    }

    /// Conversations it can open.
    #[must_use]
    pub fn prompts(mut self, prompts: Vec<Prompt>) -> Self {
        self.prompts = prompts;
        self
    }

    /// The plugin and its tools, described as to the host.
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            title: self.title.map(str::to_owned),
            instructions: self.instructions.map(str::to_owned),
            tools: self.tools.iter().map(Tool::describe).collect(),
        }
    }

    /// Runs a tool as the host does, with its arguments in JSON.
    pub fn call(&self, tool: &str, arguments: &str, call: &Call) -> Result<Outcome> {
        let found = self.tools.iter().find(|it| it.name() == tool);
        found.ok_or_else(|| Error::Unknown(tool.to_owned()))?.run(arguments, call)
    }

    /// The resources, described as to the host.
    pub fn describe_resources(&self) -> resources::Description {
        resources::Description {
            resources: self.resources.iter().map(|it| it.describe(self.name)).collect(),
            templates: Vec::new(),
            listing: None,
        }
    }

    /// Reads a resource as the host does.
    pub fn read(&self, uri: &str, call: &Call) -> Result<Vec<ResourceContents>> {
        let found = self.resources.iter().find(|it| it.uri(self.name) == uri);
        Ok(vec![found.ok_or_else(|| Error::Unknown(uri.to_owned()))?.contents(uri, call)?])
    }

    /// The prompts, described as to the host.
    pub fn describe_prompts(&self) -> Vec<prompts::Prompt> {
        self.prompts.iter().map(Prompt::describe).collect()
    }

    /// Fills a prompt in as the host does.
    pub fn fill(&self, prompt: &str, arguments: Vec<(String, String)>, call: &Call) -> Result<Filled> {
        let found = self.prompts.iter().find(|it| it.name() == prompt);
        found.ok_or_else(|| Error::Unknown(prompt.to_owned()))?.fill(arguments, call)
    }

    /// No proposals.
    #[doc(hidden)]
    pub fn no_completion() -> Completion {
        Completion { values: Vec::new(), total: Some(0), has_more: false }
    }
}
