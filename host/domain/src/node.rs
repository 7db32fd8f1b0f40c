//! Kinds of workflow step that plugins bring: as they describe them, as workflows name them, and as those
//! see them who check workflows.
//!
//! Deliberately absent: the kinds that the engine has of its own, and who may run a step (`Catalogue`).

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::Value;

use crate::{
    AgentName, Error, PluginName, SourceName, TenantId,
    grant::{Denial, Need, Permission, decide},
    plugin::{Computed, Plugin, Plugins},
    schema::{Problem, Schema},
    tenant::{Context, Tenants},
};

/// One kind of step, as its plugin describes it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Unique in the plugin.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: String,
    /// What a step's `config` must meet: the schema of an object. An expression counts as any value until it
    /// is filled in.
    pub config: Schema,
    /// What its output must meet.
    pub output: Option<Schema>,
    /// The ways out of it; empty if there is but one.
    pub branches: Vec<String>,
    /// What a repeated execution does.
    pub repeat: Repeat,
    /// The sources it works with whatever its `config` says.
    pub needs: Vec<Need>,
}

/// What a repeated execution of a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing more.
    Harmless,
    /// The same again.
    Harmful,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// An object that meets the output schema, where there is one.
    pub output: Value,
    /// The way taken: one of the node's branches, where it has any.
    pub branch: Option<String>,
}

/// A kind of step, as workflows name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The plugin.
    pub plugin: PluginName,
    /// Its node.
    pub node: String,
    /// Whether a short type of the language stands for it, such as `database`: only the operator's plugins
    /// provide these.
    pub built_in: bool,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.plugin, self.node)
    }
}

/// What a step with one `config` is to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validated {
    /// The sources it works with.
    pub needs: Vec<Need>,
    /// What a repeated execution does: one kind may read with one `config` and write with another.
    pub repeat: Repeat,
    /// JSON pointers to values that must be plain once they are filled in: what comes in from outside as an
    /// object would be more than a value there, such as a condition.
    pub plain: Vec<String>,
}

/// What a step is, or what is wrong with its `config`.
pub type Answer = Result<Validated, Vec<Problem>>;

/// A kind of step and the version of the plugin that has it.
#[derive(Clone)]
pub struct Found {
    plugin: Arc<dyn Plugin>,
    at: usize,
}

impl Found {
    /// The node of that name, if the plugin has it.
    pub fn of(plugin: Arc<dyn Plugin>, node: &str) -> Option<Self> {
        let at = plugin.description().nodes.iter().position(|it| it.name == node)?;
        Some(Self { plugin, at })
    }

    /// The node.
    #[expect(clippy::indexing_slicing, reason = "`at` was counted over this very list, which never changes")]
    pub fn node(&self) -> &Node {
        &self.plugin.description().nodes[self.at]
    }

    /// The plugin that has it.
    pub fn plugin(&self) -> &Arc<dyn Plugin> {
        &self.plugin
    }

    /// What a step with this `config`, as written, is, the needs of its kind included. Without a context it is
    /// asked on the operator's behalf.
    ///
    /// Errors: as [`Plugin::validate`].
    pub async fn validate(
        &self,
        config: &Value,
        context: Option<&Arc<Context>>,
        computed: &Computed,
    ) -> Result<Answer, Error> {
        let answer = self.plugin.validate(&self.node().name, &config.to_string(), context, computed).await?;
        Ok(answer.map(|said| Validated { needs: united(&self.node().needs, said.needs), ..said }))
    }
}

impl Validated {
    /// Whether it needs to write anywhere.
    pub fn writes(&self) -> bool {
        self.needs.iter().any(|need| need.permission == Permission::Write)
    }

    /// Checks a `config` that is filled in: values that must be plain are, and no expression that came to
    /// nothing reaches a step that writes.
    ///
    /// Errors: what is wrong.
    pub fn check(&self, written: &Value, config: &Value) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        for pointer in &self.plain {
            if config.pointer(pointer).is_some_and(|value| !is_plain(value)) {
                let message = "a text, a number, a boolean or a list of such is needed here".to_owned();
                problems.push(Problem { pointer: pointer.clone(), message });
            }
        }
        if self.writes() {
            nulls(written, config, "", &mut problems);
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_array() && !item.is_object()),
        other => !other.is_object(),
    }
}

/// The places where an expression is written and null came of it.
fn nulls(written: &Value, config: &Value, pointer: &str, problems: &mut Vec<Problem>) {
    match (written, config) {
        (Value::String(_), Value::Null) => {
            let message = "the expression came to null, and the step writes".to_owned();
            problems.push(Problem { pointer: pointer.to_owned(), message });
        }
        (Value::Array(written), Value::Array(config)) => {
            for (at, (written, config)) in written.iter().zip(config).enumerate() {
                nulls(written, config, &format!("{pointer}/{at}"), problems);
            }
        }
        (Value::Object(written), Value::Object(config)) => {
            for (key, written) in written {
                if let Some(config) = config.get(key) {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    nulls(written, config, &format!("{pointer}/{key}"), problems);
                }
            }
        }
        _ => {}
    }
}

/// The needs of a kind and of a step of it, each source once and with the larger of both.
fn united(own: &[Need], more: Vec<Need>) -> Vec<Need> {
    let mut all: BTreeMap<SourceName, Need> = BTreeMap::new();
    for need in own.iter().cloned().chain(more) {
        match all.get_mut(&need.source) {
            Some(known) => {
                known.permission = known.permission.max(need.permission);
                known.optional &= need.optional;
            }
            None => drop(all.insert(need.source.clone(), need)),
        }
    }
    all.into_values().collect()
}

/// The kinds of step that there are, for those who check workflows. Cheap to clone.
#[derive(Clone)]
pub struct Nodes {
    plugins: Arc<dyn Plugins>,
    tenants: Arc<dyn Tenants>,
}

/// Why a step names no kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// There is no such plugin.
    Plugin,
    /// The plugin has no such node; those that it has.
    Node(Vec<String>),
}

/// What is wrong with a step of a kind that there is.
#[derive(Debug)]
pub enum Wrong {
    /// Its `config`.
    Config(Vec<Problem>),
    /// It works with sources that its agent's mapping does not grant.
    Denied(Vec<Denial>),
    /// Nobody could be asked.
    Unasked(Error),
}

impl Nodes {
    /// Joins the ports.
    pub fn new(plugins: Arc<dyn Plugins>, tenants: Arc<dyn Tenants>) -> Self {
        Self { plugins, tenants }
    }

    /// A tenant's context, if it is served.
    pub fn context(&self, tenant: &TenantId) -> Option<Arc<Context>> {
        self.tenants.get(tenant).ok()
    }

    /// The kind that a tenant means by a name; that of the operator's plugins, without one.
    ///
    /// Errors: [`Missing`].
    pub fn find(&self, tenant: Option<&TenantId>, name: &Name) -> Result<Found, Missing> {
        let plugin = match tenant {
            Some(tenant) if !name.built_in => self.plugins.find(tenant, &name.plugin),
            _ => self.plugins.operators(&name.plugin),
        };
        let plugin = plugin.ok_or(Missing::Plugin)?;
        let known = || plugin.description().nodes.iter().map(|node| node.name.clone()).collect();
        Found::of(plugin.clone(), &name.node).ok_or_else(|| Missing::Node(known()))
    }

    /// Checks a step's `config` as it is written, and decides what it needs for its agent, where one is known.
    ///
    /// Errors: [`Wrong`].
    pub async fn check(
        &self,
        kind: &Found,
        config: &Value,
        context: Option<&Arc<Context>>,
        agent: Option<&AgentName>,
        computed: &Computed,
    ) -> Result<(), Wrong> {
        kind.node().config.check_unfilled(config, &unfilled).map_err(Wrong::Config)?;
        let answer = kind.validate(config, context, computed).await.map_err(Wrong::Unasked)?;
        let needs = answer.map_err(Wrong::Config)?.needs;
        let (Some(context), Some(agent)) = (context, agent) else { return Ok(()) };
        let denied: Vec<Denial> = needs.iter().filter_map(|need| decide(context, agent, need).err()).collect();
        if denied.is_empty() { Ok(()) } else { Err(Wrong::Denied(denied)) }
    }
}

/// Whether a value is an expression, or a text with one in it, which stands for any value.
fn unfilled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn need(source: &str, permission: Permission, optional: bool) -> Need {
        Need { source: SourceName::new(source).unwrap(), permission, optional }
    }

    #[test]
    fn a_source_is_needed_once_and_with_the_larger_of_both() {
        let own = [need("primary", Permission::Read, true), need("crm", Permission::Write, false)];
        let more = vec![need("primary", Permission::Write, false), need("crm", Permission::Read, true)];
        let all = [need("crm", Permission::Write, false), need("primary", Permission::Write, false)];
        assert_eq!(united(&own, more), all);
    }

    #[test]
    fn what_comes_in_is_a_value_and_is_there() {
        let of = |permission| Validated {
            needs: vec![need("primary", permission, false)],
            repeat: Repeat::Harmless,
            plain: vec!["/where/id".to_owned(), "/gone".to_owned()],
        };
        let written = json!({"where": {"id": "{{ inputs.id }}", "a/b": ["{{ inputs.x }}", null]}, "limit": null});
        let wrong = |permission, config: Value| {
            let problems = of(permission).check(&written, &config).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        let filled = |id: Value, x: Value| json!({"where": {"id": id, "a/b": [x, null]}, "limit": null});
        for plain in [json!("a"), json!(1), json!(true), json!(["a", 1, null])] {
            assert_eq!(wrong(Permission::Write, filled(plain, json!(1))), Vec::<String>::new());
        }
        for more in [json!({"gt": ""}), json!([[1]]), json!([{"$ne": 1}])] {
            assert_eq!(wrong(Permission::Read, filled(more, json!(1))), ["/where/id"]);
        }
        assert_eq!(wrong(Permission::Write, filled(Value::Null, Value::Null)), ["/where/id", "/where/a~1b/0"]);
        assert_eq!(wrong(Permission::Read, filled(Value::Null, Value::Null)), Vec::<String>::new());
    }

    #[test]
    fn an_expression_counts_as_any_value_and_hides_no_other_fault() {
        let schema = Schema::new(json!({
            "type": "object", "required": ["limit"], "additionalProperties": false,
            "properties": {
                "limit": {"type": "integer"},
                "order": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["by"], "properties": {"by": {"enum": ["id"]}}}]},
                "fields": {"type": "array", "items": {"type": "integer"}},
            }
        }));
        let schema = schema.unwrap();
        let wrong = |config: Value| {
            let problems = schema.check_unfilled(&config, &unfilled).err().unwrap_or_default();
            problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
        };
        assert_eq!(wrong(json!({"limit": 5})), Vec::<String>::new());
        assert_eq!(wrong(json!({"limit": "{{ inputs.n }}", "order": {"by": "{{ a }}"}})), Vec::<String>::new());
        assert_eq!(wrong(json!({"limit": "five"})), ["/limit"]);
        assert_eq!(wrong(json!({"limit": "{{ a }}", "limmit": 1})), [""]);
        assert_eq!(wrong(json!({"order": "{{ a }}"})), [""], "what is missing is missing");
        assert_eq!(wrong(json!({"limit": 1, "order": {"by": "name"}})), ["/order"]);
        assert_eq!(wrong(json!({"limit": 1, "fields": [1, "{{ a }}", "b"]})), ["/fields/2"]);
        assert_eq!(wrong(json!("{{ a }}")), Vec::<String>::new());
    }
}
