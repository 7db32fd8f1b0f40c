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

/// All built-in kinds but `conditional`, which is no step of its own but a fork.
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

/// The fork.
pub(crate) const CONDITIONAL: &str = "conditional";
