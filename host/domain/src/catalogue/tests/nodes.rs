//! Steps of workflows: granted by what their configuration says as it was written, and recorded.

use super::*;
use crate::{
    catalogue::Step,
    node::{self, Answer, Name, Node, Repeat, Validated},
    schema::Problem,
    usage::{Meter, Owner, Window},
};

/// The only kind: works with the source that `config` names, and goes the way that it names.
pub(super) fn node() -> Node {
    let config = json!({
        "type": "object", "required": ["source"],
        "properties": { "source": { "type": "string" }, "limit": { "type": "integer" }, "way": { "type": "string" } }
    });
    let output = json!({ "type": "object", "properties": { "granted": { "type": "array" } } });
    Node {
        name: "keep".to_owned(),
        title: None,
        description: "Keeps.".to_owned(),
        config: Schema::new(config).unwrap(),
        output: Some(Schema::new(output).unwrap()),
        branches: vec!["up".to_owned(), "down".to_owned()],
        repeat: Repeat::Harmless,
        needs: Vec::new(),
    }
}

pub(super) fn validate(config: &str) -> Answer {
    let config: Value = serde_json::from_str(config).unwrap();
    match SourceName::new(config["source"].as_str().unwrap_or_default()) {
        Ok(source) => Ok(Validated {
            needs: vec![Need { source, permission: Write, optional: false }],
            repeat: Repeat::Harmful,
            plain: vec!["/more".to_owned()],
        }),
        Err(error) => Err(vec![Problem { pointer: "/source".to_owned(), message: error.to_string() }]),
    }
}

pub(super) fn execute(behaviour: Behaviour, config: &str, grants: &Grants, attempt: u32) -> node::Outcome {
    let config: Value = serde_json::from_str(config).unwrap();
    let granted: Vec<String> = grants.names().map(ToString::to_string).collect();
    let output = match behaviour {
        Behaviour::AnswersWrongly => json!({ "granted": 7 }),
        _ => json!({ "granted": granted, "attempt": attempt }),
    };
    node::Outcome { output, branch: config["way"].as_str().map(str::to_owned) }
}

const MAPPED: &[(&str, Permission)] = &[("primary", Write), ("crm", Write)];

fn kind(node: &str) -> Name {
    Name { plugin: PluginName::new("crm").unwrap(), node: node.to_owned(), built_in: false }
}

impl Story {
    async fn step(&self, node: &str, written: Value, config: Value) -> Result<node::Outcome, Error> {
        let caller = Caller { attempt: 3, ..self.caller() };
        let step = Step { kind: &kind(node), written: &written, config: &config, input: &Value::Null };
        self.catalogue.step(&caller, step).await
    }

    async fn code(&self, node: &str, written: Value, config: Value) -> &'static str {
        self.step(node, written, config).await.map_or_else(|error| error.code(), |_| "ok")
    }
}

#[tokio::test]
async fn a_step_is_granted_what_is_written_and_never_what_was_filled_in() {
    let story = story(MAPPED, Vec::new(), Behaviour::Answers);
    let written = json!({ "source": "primary", "limit": "{{ inputs.n }}", "way": "up" });
    // Whatever stands in the filled one, the written one decides.
    let filled = json!({ "source": "crm", "limit": 5, "way": "up" });
    let outcome = story.step("keep", written, filled).await.unwrap();
    assert_eq!(outcome.output, json!({ "granted": ["primary"], "attempt": 3 }));
    assert_eq!(outcome.branch.as_deref(), Some("up"));
    let event = story.only_event();
    assert_eq!((event.subject, event.name.as_str(), event.outcome), (Subject::Node, "crm.keep", Became::Ok));
    assert_eq!(event.plugin.as_deref(), Some("crm@sha256:00"));
    assert_eq!(event.arguments.get("source"), Some(&5), "sizes, not values");
}

#[tokio::test]
async fn each_refusal_of_a_step_is_told_and_recorded() {
    let config = |source: &str| json!({ "source": source, "way": "up" });
    let told = async |node: &str, written: Value, filled: Value, behaviour: Behaviour| {
        let story = story(MAPPED, Vec::new(), behaviour);
        let code = story.code(node, written, filled).await;
        assert_eq!(story.only_event().code, Some(code));
        code
    };
    let good = || config("primary");
    assert_eq!(told("lose", good(), good(), Behaviour::Answers).await, "node_missing");
    assert_eq!(told("keep", good(), json!({ "limit": 1 }), Behaviour::Answers).await, "invalid_arguments");
    assert_eq!(told("keep", config("{{ inputs.s }}"), good(), Behaviour::Answers).await, "invalid_arguments");
    // The operator's ceiling of `crm` is reading.
    assert_eq!(told("keep", config("crm"), config("crm"), Behaviour::Answers).await, "permission_denied");
    assert_eq!(told("keep", config("nobodys"), good(), Behaviour::Answers).await, "permission_denied");
    let with = |more: Value| json!({ "source": "primary", "way": "up", "more": more });
    let unfilled = || with(json!("{{ inputs.more }}"));
    assert_eq!(told("keep", unfilled(), with(json!({ "gt": 0 })), Behaviour::Answers).await, "invalid_arguments");
    assert_eq!(told("keep", unfilled(), with(Value::Null), Behaviour::Answers).await, "invalid_arguments");
    assert_eq!(told("keep", good(), good(), Behaviour::AnswersWrongly).await, "plugin_bad_answer");
    let astray = json!({ "source": "primary", "way": "sideways" });
    assert_eq!(told("keep", good(), astray, Behaviour::Answers).await, "plugin_bad_answer");
    let nowhere = json!({ "source": "primary" });
    assert_eq!(told("keep", good(), nowhere, Behaviour::Answers).await, "plugin_bad_answer");
}

#[tokio::test]
async fn a_run_keeps_to_the_version_it_began_with_as_long_as_that_is_there() {
    let story = story(MAPPED, Vec::new(), Behaviour::Answers);
    let context = story.tenants.now();
    let sales = AgentName::new("sales").unwrap();
    let pins = story.catalogue.pins(&context, [&kind("keep")], [&sales]);
    assert_eq!(pins, BTreeSet::from(["crm@sha256:00".to_owned()]));
    assert!(story.catalogue.pinned(&story.caller(), &pins).await.unwrap().is_empty(), "it is what serves");
    let older = BTreeSet::from(["crm@sha256:0a".to_owned(), "crm@sha256:0b".to_owned(), "no pin".to_owned()]);
    let kept = story.catalogue.pinned(&story.caller(), &older).await.unwrap();
    assert_eq!(kept.iter().map(|plugin| plugin.description().pin()).collect::<Vec<_>>(), ["crm@sha256:0a"]);
    let figures = story.catalogue.usage().figures(&Owner::Tenant(context.tenant.clone()), &context.limits.quotas);
    let computed = figures.iter().find(|it| (it.meter, it.window) == (Meter::CpuMs, Window::Day)).unwrap();
    assert_eq!(computed.used, 4, "whoever began the run pays for both, though one was not there to be had");
    let caller = Caller { pinned: kept, ..story.caller() };
    let found = story.catalogue.node(&caller, &kind("keep")).unwrap();
    assert_eq!(found.plugin().description().digest, "sha256:0a");
    let short = Name { built_in: true, ..kind("keep") };
    let found = story.catalogue.node(&caller, &short).unwrap();
    assert_eq!(found.plugin().description().digest, "sha256:00", "a short type is the operator's");
    let tool = story.catalogue.tools(&caller);
    assert_eq!(tool.iter().map(|tool| tool.tool().name.as_str()).collect::<Vec<_>>(), ["look"]);
}
