//! Workflows with steps of plugins, and what is said of them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{collections::BTreeMap, path::Path};

use async_trait::async_trait;
use remit_config::File;
use remit_domain::{
    Error, PluginName, SourceName,
    grant::{Grants, Need, Permission},
    node::{Answer, Node, Repeat, Validated},
    plugin::{Description, Invocation, Outcome, Plugin, Plugins, ResourceContents},
    schema::Schema,
    source::{Definition, Kind},
    tenant::{Agent, Mapping, State, Tenants},
};
use serde_json::json;

use super::*;

/// A plugin with one node: works with the source that `operation` begins with, and writes if it ends in
/// `insert`.
struct Fake(Description);

impl Fake {
    fn plugin(plugin: &str, node: &str) -> Arc<dyn Plugin> {
        let config = json!({
            "type": "object", "required": ["operation"], "additionalProperties": false,
            "properties": {"operation": {"type": "string"}, "limit": {"type": "integer"}, "list": {"type": "array"}},
        });
        let node = Node {
            name: node.to_owned(),
            title: None,
            description: String::new(),
            config: Schema::new(config).unwrap(),
            output: None,
            branches: if plugin == "acme" { vec!["up".to_owned(), "down".to_owned()] } else { Vec::new() },
            repeat: Repeat::Harmless,
            needs: Vec::new(),
        };
        Arc::new(Self(Description {
            name: PluginName::new(plugin).unwrap(),
            version: "1.0.0".to_owned(),
            digest: "sha256:00".to_owned(),
            title: None,
            instructions: None,
            tools: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            nodes: vec![node],
        }))
    }
}

#[async_trait]
impl Plugin for Fake {
    fn description(&self) -> &Description {
        &self.0
    }

    async fn call(&self, _: &str, _: &str, _: Grants, _: Invocation) -> Result<Outcome, Error> {
        Err(Error::Cancelled)
    }

    async fn read(&self, _: &str, _: Grants, _: Invocation) -> Result<Vec<ResourceContents>, Error> {
        Err(Error::Cancelled)
    }

    async fn validate(&self, _: &str, config: &str, _: Option<&Arc<Context>>, _: &Computed) -> Result<Answer, Error> {
        let config: Value = serde_json::from_str(config).unwrap();
        let operation = config["operation"].as_str().unwrap();
        let problem = |pointer: &str, message: &str| {
            Ok(Err(vec![Problem { pointer: pointer.to_owned(), message: message.to_owned() }]))
        };
        if operation.contains("{{") {
            return problem("/operation", "must be\nwritten out");
        }
        if operation == "slow" {
            return Err(Error::Deadline { limit: "wallTimeMs", allowed_ms: 2_000 });
        }
        if config["list"].is_array() {
            return problem("/list/1", "the second is wrong");
        }
        let source = SourceName::new(operation.split('.').next().unwrap()).unwrap();
        let permission = if operation.ends_with("insert") { Permission::Write } else { Permission::Read };
        let needs = vec![Need { source, permission, optional: false }];
        Ok(Ok(Validated { needs, repeat: Repeat::Harmless, plain: Vec::new() }))
    }
}

struct Fakes;

impl Plugins for Fakes {
    fn find(&self, tenant: &TenantId, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        let own = tenant.as_str() == "techstart" && name.as_str() == "acme";
        if own { Some(Fake::plugin("acme", "score")) } else { self.operators(name) }
    }

    fn operators(&self, name: &PluginName) -> Option<Arc<dyn Plugin>> {
        matches!(name.as_str(), "database" | "slack").then(|| Fake::plugin(name.as_str(), "run"))
    }
}

impl Tenants for Fakes {
    fn get(&self, tenant: &TenantId) -> Result<Arc<Context>, Error> {
        let name = |text: &str| SourceName::new(text).unwrap();
        let definition = |text: &str| Definition {
            name: name(text),
            authored_kind: "mysql".to_owned(),
            kind: Kind::Unconnected { kind: String::new() },
            revision: String::new(),
            cache: None,
        };
        let mapping = Mapping {
            order: vec![name("primary")],
            permissions: BTreeMap::from([(name("primary"), Permission::Read)]),
            scopes: BTreeMap::new(),
            sets: Vec::new(),
        };
        let agent = Agent {
            system_prompt: String::new(),
            temperature: 0.0,
            tools: None,
            mapping: Some(mapping),
            workflows: vec!["listed".to_owned()],
        };
        Ok(Arc::new(Context {
            agents: BTreeMap::from([(AgentName::new("sales").unwrap(), agent)]),
            sources: ["primary", "crm"].map(|text| (name(text), Arc::new(definition(text)))).into(),
            ..Context::of(tenant.clone(), "TechStart Inc")
        }))
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        Vec::new()
    }
}

pub(crate) fn around(uploads: bool) -> Around {
    Around { nodes: Nodes::new(Arc::new(Fakes), Arc::new(Fakes)), uploads }
}

/// What is said of a file: its faults, or its warnings.
async fn said_of(path: &str, text: &str, uploads: bool) -> String {
    let (file, env) = (File::new("w.yml", text), Default::default());
    let owner = Owner::of(Path::new(path));
    let judged = crate::judge(file, &env, &owner, &around(uploads), &Computed::default()).await;
    match judged {
        Ok(judged) => judged.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect(),
        Err(faults) => format!("{faults}\n"),
    }
}

async fn said(step: &str) -> String {
    said_of("customers/techstart/sales/w.yml", &format!("name: w\nsteps:\n  - {{id: a, {step}}}\n"), false).await
}

#[tokio::test]
async fn a_steps_config_kind_and_ways_are_its_plugins_to_judge() {
    let hint = "the tenant's context says so: `dataSources` and `permissions` of the agent's mapping";
    // What stands at the fault's place, and what is said of it.
    for (step, at, message) in [
        ("type: database, config: {operation: primary.mysql.select, limit: '{{ inputs.n }}'}", "", String::new()),
        (
            "type: acme.score, config: {operation: primary.read}, branches: {up: [{id: b, type: set, config: {x: 1}}]}",
            "",
            String::new(),
        ),
        (
            "type: database, config: {operation: primary.mysql.select, limit: many}",
            "many",
            "value is not of type \"integer\"".to_owned(),
        ),
        ("type: database, config: {limit: 5}", "{limit", "\"operation\" is a required property".to_owned()),
        ("type: database", "{id", "\"operation\" is a required property".to_owned()),
        ("type: database, config: {operation: '{{ inputs.o }}'}", "'{{", "must be written out".to_owned()),
        (
            "type: database, config: {operation: primary.mysql.select, list: [1, 2]}",
            "2]",
            "the second is wrong".to_owned(),
        ),
        (
            "type: database, config: {operation: crm.mysql.select}",
            "crm",
            format!("Agent sales doesn't have access to crm ({hint})"),
        ),
        (
            "type: database, config: {operation: primary.mysql.insert}",
            "primary",
            format!("Agent sales doesn't have write permission for primary ({hint})"),
        ),
        (
            "type: database, config: {operation: primary.mongodb.find}",
            "primary",
            "`primary` is of the kind mysql, not mongodb (write `primary.mysql.find`)".to_owned(),
        ),
        (
            "type: slack, config: {operation: slow}",
            "slack",
            "the plugin can't be asked about this step: the call took longer than wallTimeMs allows (2000 ms)".to_owned(),
        ),
        (
            "type: acme.scor, config: {operation: primary.read}",
            "acme",
            "the plugin acme has no step `scor` (did you mean `score`?)".to_owned(),
        ),
        (
            "type: other.step",
            "other",
            "there is no plugin `other` for steps of type other.step (upload it and activate it, or mend the name)"
                .to_owned(),
        ),
        (
            "type: shopify, config: {}",
            "shopify",
            "there is no plugin `shopify` for steps of type shopify (it comes with the host: build it with `cargo xtask build-plugin`)"
                .to_owned(),
        ),
        (
            "type: acme.score, config: {operation: primary.read}, branches: {upp: []}",
            "upp",
            "a step of type acme.score has no way `upp` (did you mean `up`?)".to_owned(),
        ),
        (
            "type: slack, config: {operation: primary.read}, branches: {up: []}",
            "up:",
            "a step of type slack has only one way out".to_owned(),
        ),
    ] {
        let column = format!("  - {{id: a, {step}}}").find(at).unwrap() + 1;
        let expect = if message.is_empty() { message } else { format!("w.yml:3:{column}: {message}\n") };
        assert_eq!(said(step).await, expect, "{step}");
    }
}

#[tokio::test]
async fn whose_a_file_is_decides_what_it_may_name_and_as_whom() {
    let step = "  - {id: a, type: acme.score, config: {operation: primary.read}}\n";
    let file = |name: &str| format!("name: {name}\nsteps:\n{step}");
    assert_eq!(said_of("customers/techstart/sales/w.yml", &file("w"), false).await, "");
    assert_eq!(said_of("customers/techstart/w.yml", &file("listed"), false).await, "", "one agent lists it");
    let missing =
        "there is no plugin `acme` for steps of type acme.score (upload it and activate it, or mend the name)";
    for path in ["customers/other/sales/w.yml", "examples/w.yml"] {
        assert_eq!(said_of(path, &file("w"), false).await, format!("w.yml:3:19: {missing}\n"), "{path}");
        assert_eq!(said_of(path, &file("w"), true).await, format!("warning: w.yml:3:19: {missing}\n"), "{path}");
    }
    let nobody = "w.yml:3:5: no agent is named for this step (say it with `agentType`, beside the workflow's `name`)\n";
    assert_eq!(said_of("customers/techstart/w.yml", &file("w"), false).await, nobody);
    let shared = "name: w\nsteps:\n  - {id: a, type: database, config: {operation: any.mysql.select}}\n";
    assert_eq!(said_of("examples/w.yml", shared, false).await, "", "who runs it decides what is granted");
    let within = "name: w\nsteps:\n  - id: a\n    type: parallel\n    branches:\n      x: [{id: b, type: other.step, on_error: continue}]\nonFailure:\n  - {id: c, type: slack, config: {}}\n";
    assert_eq!(
        said_of("customers/techstart/sales/w.yml", within, false).await,
        "w.yml:8:34: \"operation\" is a required property\n"
    );
    let caught = within.split("onFailure").next().unwrap();
    assert_eq!(
        said_of("customers/techstart/sales/w.yml", caught, false).await,
        "warning: w.yml:6:25: there is no plugin `other` for steps of type other.step (upload it and activate it, or mend the name)\n"
    );
}

#[test]
fn a_tenant_whose_plugins_look_too_long_is_not_waited_for() {
    let (slow, other) = (TenantId::new("slow").unwrap(), TenantId::new("other").unwrap());
    let mut spent = Spent::default();
    spent.add(Some(&slow), LONGEST / 2);
    assert!(!spent.too_much(Some(&slow)));
    spent.add(Some(&slow), LONGEST / 2);
    assert!(spent.too_much(Some(&slow)) && !spent.too_much(Some(&other)) && !spent.too_much(None));
}
