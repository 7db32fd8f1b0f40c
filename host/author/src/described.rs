//! What a component says of itself, as the verbs print it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A component, described in the sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// For people.
    pub title: Option<String>,
    /// How large it is.
    pub bytes: u64,
    /// `sha256:<hex>`.
    pub digest: String,
    /// Which tier of uploads it fits: `small`, or `large`, which an operator must allow.
    pub tier: String,
    /// In the plugin's order.
    pub tools: Vec<Tool>,
    /// In the plugin's order.
    pub resources: Vec<Resource>,
    /// Its kinds of workflow step, in the plugin's order.
    pub nodes: Vec<Node>,
    /// The interfaces it uses.
    pub imports: Vec<String>,
}

/// A tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// For the model.
    pub description: String,
    /// MCP's hints.
    pub annotations: Value,
    /// The sources it works with.
    pub needs: Vec<Need>,
    /// Of its arguments.
    pub input_schema: Value,
    /// Of its answer.
    pub output_schema: Option<Value>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its address.
    pub uri: String,
    /// The sources it works with.
    pub needs: Vec<Need>,
}

/// A kind of workflow step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The sources it works with whatever its `config` says.
    pub needs: Vec<Need>,
    /// The ways out of it.
    pub branches: Vec<String>,
    /// Whether the host may repeat it after any failure.
    pub harmless: bool,
    /// Of its `config`.
    pub config_schema: Value,
    /// Of its output.
    pub output_schema: Option<Value>,
}

/// A source that something works with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Its name.
    pub source: String,
    /// `read` or `write`.
    pub permission: String,
    /// Whether it does without.
    pub optional: bool,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, permission, optional } = self;
        write!(f, "{permission}s {source}{}", if *optional { " if granted" } else { "" })
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.name, self.version)?;
        writeln!(f, "  {} bytes ({} tier of uploads), {}", self.bytes, self.tier, self.digest)?;
        for tool in &self.tools {
            writeln!(f, "  tool {}{}", tool.name, listed(&tool.needs))?;
        }
        for resource in &self.resources {
            writeln!(f, "  resource {}{}", resource.uri, listed(&resource.needs))?;
        }
        for node in &self.nodes {
            writeln!(f, "  step {}{}", node.name, listed(&node.needs))?;
            if !node.branches.is_empty() {
                writeln!(f, "    ways out: {}", node.branches.join(", "))?;
            }
        }
        self.imports.iter().try_for_each(|import| writeln!(f, "  imports {import}"))
    }
}

fn listed(needs: &[Need]) -> String {
    let needs: Vec<String> = needs.iter().map(ToString::to_string).collect();
    if needs.is_empty() { String::new() } else { format!(": {}", needs.join(", ")) }
}
