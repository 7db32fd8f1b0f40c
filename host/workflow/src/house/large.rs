//! Large outputs of runs that others take over, and approvals within workflows within.

use remit_domain::{execution::Filter, execution::Outcome, library::Artifacts as _};

use super::*;
use crate::Which;

const TEXT: &str = "name: w
agentType: sales
inputs: {text: {type: string}}
steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: '{{ inputs.text }}'}}
  - id: each
    type: foreach
    config: {items: [1, 2]}
    steps:
      - {id: x, type: mcp, config: {tool_name: t, parameters: {n: '{{ item }}', text: '{{ inputs.text }}'}}}
  - {id: call, type: workflow, config: {name: sub, inputs: {text: '{{ inputs.text }}'}}}
  - id: n
    type: acme.up
    config: {text: '{{ inputs.text }}'}
    branches:
      up: [{id: f, type: mcp, config: {tool_name: fail, parameters: 1}}]
  - id: z
    type: set
    config:
      same: \"{{ steps.a.output.result == inputs.text }}\"
      called: \"{{ steps.call.output.b == inputs.text }}\"
      each: '{{ steps.each.output.results }}'
outputs: {z: '{{ steps.z.output }}'}
";

const SUB: &str = "name: sub
agentType: sales
inputs: {text: {type: string}}
steps: [{id: b, type: mcp, config: {tool_name: t, parameters: '{{ inputs.text }}'}}]
outputs: {b: '{{ steps.b.output.result }}'}
";

fn stored(house: &House, run: &RunId) -> BTreeSet<String> {
    let entries = house.journal.entries(run).into_iter();
    let stored = entries.filter_map(|entry| match entry {
        remit_domain::execution::Entry::Ended { outcome: Outcome::Stored(stored), .. } => {
            Some(stored.digest.to_string())
        }
        _ => None,
    });
    stored.collect()
}

async fn rerun(house: &House, of: &RunId, from: &str, key: Option<&str>) -> Result<Begun, Error> {
    let standing = house.standing(of).await;
    let key = key.map(str::to_owned);
    house.workflows.rerun(&Principal::anyone(), &house.context, &standing, (from, Which::Same), key).await
}

#[tokio::test]
async fn a_large_output_that_is_taken_over_is_kept_anew() {
    let house = House::new();
    house.store(SUB).await.unwrap();
    house.store(TEXT).await.unwrap();
    let (first, end) = house.run(json!({"text": "x".repeat(100_000)})).await;
    assert_eq!(end.failure.and_then(|failure| failure.path).as_deref(), Some("f"));
    let old = stored(&house, &first);
    assert_eq!(old.len(), 5, "a and call/b are one; two items, what the call answers and the node's");
    house.hands.fails.send_replace(false);
    let before = house.done().len();
    let mut again = rerun(&house, &first, "f", Some("once")).await.unwrap();
    let said = again.end().await.unwrap().outputs.unwrap();
    assert_eq!(house.done().split_off(before), ["f"], "the way is known by what was kept");
    assert_eq!((&said["z"]["same"], &said["z"]["called"]), (&json!(true), &json!(true)));
    let new = stored(&house, &again.id);
    assert_eq!(new.len(), old.len());
    assert!(new.is_disjoint(&old));
    let standing = house.standing(&again.id).await;
    for digest in &new {
        assert!(house.workflows.artifact(&standing, digest).await.is_ok());
    }
    for digest in &old {
        assert_eq!(house.workflows.artifact(&standing, digest).await.err().unwrap().code(), "artifact_missing");
        let entries = format!("{:?}", house.journal.entries(&again.id));
        assert!(!entries.contains(digest.as_str()), "nothing names what was the first's");
    }
    for result in said["z"]["each"].as_array().unwrap() {
        assert!(new.contains(result["artifact"].as_str().unwrap()), "{result}");
    }
    // The same request again leaves nothing behind.
    let kept = house.outputs.sizes().len();
    assert_eq!(rerun(&house, &first, "f", Some("once")).await.unwrap().id, again.id);
    assert_eq!(house.outputs.sizes().len(), kept);

    // The first one goes, with what it left.
    house.workflows.remove(&house.standing(&first).await).await.unwrap();
    for digest in old {
        house.outputs.remove(&remit_domain::library::Digest::new(&digest).unwrap()).await.unwrap();
    }
    let standing = house.standing(&again.id).await;
    assert_eq!(standing.run.origin.map(|origin| origin.run), Some(first.clone()), "the link stays");
    let of_first = Filter { origin: Some(first.clone()), ..Filter::default() };
    assert_eq!(house.workflows.list(&house.context.tenant, &of_first, 9).await.unwrap().len(), 1);
    let mut third = rerun(&house, &again.id, "z", None).await.unwrap();
    assert_eq!(third.end().await.unwrap().outputs.unwrap()["z"]["same"], json!(true));

    // What is lost can't be taken over, and what was kept until then goes.
    let node = house.journal.outcome(&third.id, "n");
    let Some(Outcome::Stored(node)) = node else { panic!("{node:?}") };
    let call = house.journal.outcome(&third.id, "call");
    let Some(Outcome::Stored(call)) = call else { panic!("{call:?}") };
    house.outputs.remove(&call.digest).await.unwrap();
    let kept = house.outputs.sizes().len();
    assert_eq!(rerun(&house, &third.id, "z", None).await.err().unwrap().code(), "artifact_missing");
    assert_eq!(house.outputs.sizes().len(), kept);
    house.outputs.remove(&node.digest).await.unwrap();
    assert_eq!(rerun(&house, &third.id, "f", None).await.err().unwrap().code(), "artifact_missing");
}

#[tokio::test]
async fn an_approval_within_a_workflow_within_is_given_by_its_own_approvers() {
    let house = House::new();
    let sub = "name: sub
steps: [{id: ok, type: approval, config: {approvers: ['key:4kd93hdks83hdk2x']}}, {id: free, type: approval, config: {}}]
";
    house.store(sub).await.unwrap();
    let text = "name: w
steps:
  - id: both
    type: parallel
    branches:
      here: [{id: ok, type: approval, config: {}}, {id: free, type: approval, config: {approvers: [admin]}}]
      there: [{id: call, type: workflow, config: {name: sub}}]
";
    house.store(text).await.unwrap();
    let begun = house.begin(json!({})).await.unwrap();
    house.until("it waits", |it| it.journal.entries(&begun.id).iter().any(|entry| entry.place() == "call/ok")).await;
    let standing = house.standing(&begun.id).await;
    let signal = |name: &'static str| {
        let (house, standing) = (&house, &standing);
        let by = Principal::anyone();
        async move { house.workflows.signal(standing, name, json!({"approved": true}), &by).await }
    };
    assert_eq!(signal("call/ok").await.err().unwrap().code(), "not_an_approver");
    assert!(signal("ok").await.is_ok());
    assert_eq!(signal("call").await.err().unwrap().code(), "execution_state");
    assert_eq!(signal("call/none").await.err().unwrap().code(), "execution_state");
}
