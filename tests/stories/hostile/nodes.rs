//! Kinds of workflow step that attack the host, while they are asked what a step needs and while they run.

use std::fs;

use serde_json::json;

use super::{places_are_free, setup, still_well};
use crate::host::{Host, answer};

/// A host with the attacks of `plugins/hostile/nodes`, each in a workflow of its own, and tight limits.
async fn host() -> Host {
    setup(&[]).hostile("nodes").start().await
}

fn workflow(node: &str) -> String {
    let ways = if node.ends_with("where") || node.ends_with("astray") { ", branches: {here: []}" } else { "" };
    format!("name: {node}\nagentType: marketing\nsteps:\n  - {{id: a, type: hostile-nodes.{node}{ways}}}\n")
}

#[tokio::test]
async fn who_attacks_when_asked_is_a_fault_of_the_workflow() {
    let host = host().await;
    for (node, said) in [
        (
            "asked_for_ever",
            "the plugin can't be asked about this step: the plugin hostile-nodes reached the limit cpuTimeMs",
        ),
        ("asked_and_traps", "the plugin can't be asked about this step: the plugin hostile-nodes failed"),
        ("asked_and_floods", "answered wrongly: it finds fault with a step, and says too much"),
        ("asked_and_finds_too_much", "the plugin can't be asked about this step"),
        ("asked_and_needs_a_thousand", "it has 1000 needs; 64 are allowed"),
        ("asked_and_needs_no_name", "is not a source's name"),
        ("asked_and_blames_elsewhere", "workflow.yml:4:5: a line and an  [31minvented: one"),
        ("asked_for_what_it_may_not", "workflow.yml:4:5: Agent marketing doesn't have"),
    ] {
        let asked = json!({"yaml": workflow(node)}).to_string();
        let (status, body) = answer(host.post("/api/workflows/load", asked)).await;
        assert_eq!((status, body["code"].as_str()), (422, Some("invalid_arguments")), "{node}: {body:#}");
        let problems = body["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 1, "{node}: {body:#}");
        assert!(problems[0]["message"].as_str().unwrap().contains(said), "{node}: {body:#}");
        assert!(body.to_string().len() < 8_192, "{node} says too much");
    }
    places_are_free(&host).await;
    still_well(&host).await;
}

#[tokio::test]
async fn who_attacks_when_it_runs_fails_its_step_alone() {
    const NODES: [(&str, &str); 7] = [
        ("runs_for_ever", "plugin_limit"),
        ("runs_astray", "plugin_bad_answer"),
        ("runs_nowhere", "plugin_bad_answer"),
        ("runs_against_its_schema", "plugin_bad_answer"),
        ("runs_to_a_list", "plugin_bad_answer"),
        ("runs_to_no_json", "plugin_bad_answer"),
        ("runs_to_a_flood", "plugin_limit"),
    ];
    let files = |root: &std::path::Path| {
        for (node, _) in NODES.iter().chain(&[("runs_off_with_a_source", "")]) {
            let folder = root.join("workflows/customers/techstart/support");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(node).with_extension("yml"), workflow(node)).unwrap();
        }
    };
    let mut host = setup(&[]).hostile("nodes").edit(files).start().await;
    for (node, code) in NODES {
        let (status, body) = answer(host.post(&format!("/api/workflows/execute/{node}"), "{}")).await;
        assert_eq!((status, body["status"].as_str()), (200, Some("failed")), "{node}: {body:#}");
        assert!(body.to_string().contains(code), "{node}: {body:#}");
    }
    let (_, body) = answer(host.post("/api/workflows/execute/runs_off_with_a_source", "{}")).await;
    assert_eq!(body["outputs"]["a"]["primary"], "kept", "what nobody declared is not there to be taken: {body:#}");
    places_are_free(&host).await;
    still_well(&host).await;
    assert_eq!(host.stop().0, Some(0));
    let rows = host.audit().await;
    let of = |node: &str| rows.iter().filter(|row| row.name == format!("hostile-nodes.{node}")).count();
    for (node, _) in NODES {
        assert_eq!(of(node), 1, "{node} is on record");
    }
}
