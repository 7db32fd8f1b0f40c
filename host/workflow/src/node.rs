//! The kinds of step that the engine has of its own: what their `config` must hold, as far as the file alone
//! can say. And the short types that stand for plugins' nodes.
//!
//! Deliberately absent: what a step does, keys that a kind takes but does not need, and what plugins' nodes
//! want, which they say themselves (`components`).

use remit_domain::{PluginName, node::Name};

/// What a kind's `config` must hold.
pub(crate) struct Kind {
    pub name: &'static str,
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Keys whose texts name what the step works with, so that its grant is decided at load: no
    /// expressions.
    pub literal: &'static [&'static str],
}

/// All built-in kinds that do something.
pub(crate) const KINDS: [Kind; 2] = [
    Kind { name: "mcp", required: &["tool_name"], literal: &["tool_name", "agent_type"] },
    Kind { name: "agent", required: &["prompt"], literal: &["agentType"] },
];

/// The short types that stand for nodes of the operator's plugins: the type, and the plugin whose node `run`
/// it is.
pub(crate) const SHORT: [(&str, &str); 6] = [
    ("database", "database"),
    ("http_request", "http-request"),
    ("shopify", "shopify"),
    ("slack", "slack"),
    ("google_sheets", "google-sheets"),
    ("email", "email"),
];

/// The plugin's node that a type means: one of [`SHORT`], or `<plugin>.<node>`. `None` for any other.
pub(crate) fn of_plugin(kind: &str) -> Option<Name> {
    if let Some((_, plugin)) = SHORT.iter().find(|(short, _)| *short == kind) {
        return Some(Name { plugin: PluginName::new(plugin).ok()?, node: "run".to_owned(), built_in: true });
    }
    let (plugin, node) = kind.rsplit_once('.')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if node.is_empty() || !node.chars().all(fits) {
        return None;
    }
    Some(Name { plugin: PluginName::new(plugin).ok()?, node: node.to_owned(), built_in: false })
}

/// A kind of step that leads the way, and what it holds.
pub(crate) struct Way {
    pub name: &'static str,
    /// The keys that hold steps: those of no other kind. At least one must hold some.
    pub steps: &'static [&'static str],
    /// Whether `condition` decides the way, and so must be there.
    pub condition: bool,
    /// Keys of `config` that must be there.
    pub required: &'static [&'static str],
    /// All keys of `config`; `None` where they are the author's own.
    pub config: Option<&'static [&'static str]>,
}

/// All of them.
pub(crate) const WAYS: [Way; 8] = [
    Way { name: "conditional", steps: &["if_true", "if_false"], condition: true, required: &[], config: Some(&[]) },
    Way {
        name: "switch",
        steps: &["cases", "default"],
        condition: false,
        required: &["value"],
        config: Some(&["value"]),
    },
    Way {
        name: "foreach",
        steps: &["steps"],
        condition: false,
        required: &["items"],
        config: Some(&["items", "concurrency"]),
    },
    Way { name: "parallel", steps: &["branches"], condition: false, required: &[], config: Some(&[]) },
    Way { name: "set", steps: &[], condition: false, required: &[], config: None },
    Way { name: "wait", steps: &[], condition: false, required: &[], config: Some(&["duration", "until"]) },
    Way { name: "workflow", steps: &[], condition: false, required: &["name"], config: Some(&["name", "inputs"]) },
    Way { name: "approval", steps: &[], condition: false, required: &[], config: Some(&["message", "approvers"]) },
];
