//! What a host made of an upload, in words.
//!
//! Every field may be missing and others may be there: a host is newer or older than this program.
//! Nothing of what it says steers the terminal.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

use crate::Need;

/// A host's answer to an upload that it took.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Accepted {
    plugin: String,
    /// The semantic version that the component says it has.
    version: String,
    /// Which of the tenant's uploads of this plugin it is.
    number: u64,
    digest: String,
    bytes: u64,
    /// False where the same bytes were there.
    created: bool,
    active: bool,
    tools: Vec<Tool>,
    /// Kinds of workflow step.
    nodes: Vec<Tool>,
    agents: Vec<Agent>,
    changes: Vec<Change>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tool {
    name: String,
    needs: Vec<Value>,
}

/// What an agent's mapping makes of the tools.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Agent {
    agent: String,
    /// Whether its `mcpServer` names the plugin.
    mapped: bool,
    granted: Vec<String>,
    /// Why it does not get a tool.
    missing: BTreeMap<String, String>,
}

/// What is otherwise than in the version that serves.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Change {
    change: String,
    name: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl Accepted {
    /// Reads an answer, as much of it as is understood.
    pub(super) fn of(answer: &Value) -> Self {
        fn part<T: serde::de::DeserializeOwned + Default>(answer: &Value, name: &str) -> T {
            answer.get(name).and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
        }
        Self {
            plugin: part(answer, "plugin"),
            version: part(answer, "version"),
            number: part(answer, "number"),
            digest: part(answer, "digest"),
            bytes: part(answer, "bytes"),
            created: part(answer, "created"),
            active: part(answer, "active"),
            tools: part(answer, "tools"),
            nodes: part(answer, "nodes"),
            agents: part(answer, "agents"),
            changes: part(answer, "changes"),
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, bytes, .. } = self;
        let plugin = plain(&self.plugin);
        let state = if self.active { "active" } else { "not active" };
        writeln!(f, "{plugin} {} is upload {number}, {state}", plain(&self.version))?;
        let known = if self.created { "" } else { "; these bytes were there already" };
        writeln!(f, "  {} ({bytes} bytes{known})", plain(&self.digest))?;
        for (kind, tool) in self.tools.iter().map(|it| ("tool", it)).chain(self.nodes.iter().map(|it| ("step", it))) {
            let needs = tool.needs.iter().map(words).collect::<Vec<_>>().join("; ");
            let needs = if needs.is_empty() { needs } else { format!(" ({needs})") };
            writeln!(f, "  {kind} {}{needs}", plain(&tool.name))?;
        }
        for change in &self.changes {
            writeln!(f, "  changed: {} {}", plain(&change.change), plain(&change.name))?;
            for (title, value) in [("before", &change.before), ("after", &change.after)] {
                if let Some(value) = value {
                    writeln!(f, "    {title}: {}", words(value))?;
                }
            }
        }
        let (mapped, others): (Vec<&Agent>, Vec<&Agent>) = self.agents.iter().partition(|agent| agent.mapped);
        mapped.iter().try_for_each(|agent| write!(f, "{agent}"))?;
        // Steps are a workflow's to name.
        if mapped.is_empty() && (self.nodes.is_empty() || !self.tools.is_empty()) {
            writeln!(f, "  no agent names it: add {plugin:?} to an agent's mcpServer")?;
            others.iter().filter(|agent| !agent.granted.is_empty()).try_for_each(|agent| write!(f, "{agent}"))?;
        }
        if !self.active {
            writeln!(f, "It serves once it is active: upload again with --activate")?;
        }
        Ok(())
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted: Vec<String> = self.granted.iter().map(|tool| plain(tool)).collect();
        let granted = if granted.is_empty() { "no tool".to_owned() } else { granted.join(", ") };
        let would = if self.mapped { "gets" } else { "would get" };
        writeln!(f, "  agent {} {would} {granted}", plain(&self.agent))?;
        self.missing.iter().try_for_each(|(tool, why)| writeln!(f, "    not {}: {}", plain(tool), plain(why)))
    }
}

/// A value as a person reads it: a need in words, a list item by item.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => plain(text),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
        Value::Object(_) => match Need::deserialize(value) {
            Ok(need) => plain(&need.to_string()),
            Err(_) => plain(&value.to_string()),
        },
        other => plain(&other.to_string()),
    }
}

/// Without what steers a terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
