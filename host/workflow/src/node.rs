//! The built-in kinds of step: what their `config` must hold, as far as the file alone can say.
//!
//! Deliberately absent: what a step does, and keys that a kind takes but does not need.

/// What a kind's `config` must hold.
pub(crate) struct Kind {
    pub name: &'static str,
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Of each of these at least one must be there.
    pub one_of: &'static [&'static [&'static str]],
    pub operation: Operation,
    /// Keys whose texts name what the step works with, so that its grant is decided at load: no
    /// expressions.
    pub literal: &'static [&'static str],
}

/// What `operation` may say.
pub(crate) enum Operation {
    /// The kind has none.
    None,
    /// One of these.
    Listed(&'static [&'static str]),
    /// One of these, which may be left out.
    Optional(&'static [&'static str]),
    /// `<source>.<kind of database>.<verb>`.
    Database,
}

/// What `database` steps do.
pub(crate) const DATABASE_VERBS: [&str; 9] =
    ["select", "query", "insert", "update", "delete", "execute", "find", "aggregate", "count"];

/// All built-in kinds that do something.
pub(crate) const KINDS: [Kind; 8] = [
    Kind {
        name: "mcp",
        required: &["tool_name"],
        one_of: &[],
        operation: Operation::None,
        literal: &["tool_name", "agent_type"],
    },
    Kind { name: "agent", required: &["prompt"], one_of: &[], operation: Operation::None, literal: &["agentType"] },
    Kind {
        name: "database",
        required: &["operation"],
        one_of: &[],
        operation: Operation::Database,
        literal: &["operation"],
    },
    Kind {
        name: "http_request",
        required: &[],
        one_of: &[&["source", "url"]],
        operation: Operation::None,
        literal: &["source"],
    },
    Kind {
        name: "shopify",
        required: &["operation"],
        one_of: &[],
        operation: Operation::Listed(&[
            "orders.get",
            "orders.list",
            "orders.create",
            "orders.update",
            "orders.cancel",
            "products.get",
            "products.list",
            "products.create",
            "products.update",
            "customers.get",
            "customers.list",
            "customers.create",
            "customers.update",
            "inventory.get",
            "inventory.adjust",
            "price_rules.list",
        ]),
        literal: &["operation", "source"],
    },
    Kind {
        name: "slack",
        required: &["operation"],
        one_of: &[],
        operation: Operation::Listed(&["messages.send", "messages.update", "channels.list", "users.lookup"]),
        literal: &["operation"],
    },
    Kind {
        name: "google_sheets",
        required: &["operation"],
        one_of: &[],
        operation: Operation::Listed(&[
            "values.get",
            "values.append",
            "values.update",
            "values.clear",
            "sheets.create",
        ]),
        literal: &["operation", "source"],
    },
    Kind {
        name: "email",
        required: &["to", "subject"],
        one_of: &[&["body", "template"]],
        operation: Operation::Optional(&["send"]),
        literal: &["operation", "template"],
    },
];

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
