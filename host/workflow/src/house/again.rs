//! Running again from a step.

use remit_domain::execution::{Origin, Status};

use super::*;
use crate::Which;

const TEXT: &str = "name: w
agentType: sales
inputs: {n: {type: integer}}
steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: '{{ inputs.n }}'}}
  - id: both
    type: parallel
    branches:
      left:
        - {id: l, type: mcp, config: {tool_name: t}}
      right:
        - id: fork
          type: conditional
          condition: '{{ steps.a.output.result > 1 }}'
          if_true:
            - {id: r, type: mcp, config: {tool_name: t, parameters: '{{ steps.a.output.result }}'}}
            - {id: f, type: mcp, config: {tool_name: fail, parameters: '{{ steps.r.output.result + 1 }}'}}
  - {id: z, type: mcp, config: {tool_name: t, parameters: '{{ steps.f.output.result * 10 }}'}}
outputs: {z: '{{ steps.z.output.result }}'}
";

async fn rerun(house: &House, of: &RunId, from: &str, which: Which, key: Option<&str>) -> Result<Begun, Error> {
    let standing = house.standing(of).await;
    let key = key.map(str::to_owned);
    house.workflows.rerun(&Principal::anyone(), &house.context, &standing, (from, which), key).await
}

async fn message(house: &House, of: &RunId, from: &str, which: Which) -> String {
    rerun(house, of, from, which, None).await.err().unwrap().to_string()
}

/// What was done since, in any order.
fn since(house: &House, before: usize) -> BTreeSet<String> {
    house.done().into_iter().skip(before).collect()
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[tokio::test]
async fn what_lies_before_the_step_is_taken_over_and_the_rest_done() {
    let house = House::new();
    house.store(TEXT).await.unwrap();
    let (first, end) = house.run(json!({"n": 4})).await;
    assert_eq!(end.status, Status::Failed);
    let entries = house.journal.entries(&first);
    let before = house.done().len();
    house.hands.fails.send_replace(false);
    let mut again = rerun(&house, &first, "f", Which::Same, Some("once")).await.unwrap();
    assert_eq!(again.end().await.unwrap().outputs, Some(json!({"z": 50})));
    assert_eq!(since(&house, before), set(&["4f", "4z"]));
    let standing = house.standing(&again.id).await;
    assert_eq!(standing.run.origin, Some(Origin { run: first.clone(), from: "f".to_owned() }));
    assert_eq!(house.journal.entries(&first), entries, "the first stays as it is");
    let same = rerun(&house, &first, "f", Which::Same, Some("once")).await.unwrap();
    assert!(!same.is_new && same.id == again.id);
    // From within what completed, and of one that took over itself.
    let before = house.done().len();
    let mut third = rerun(&house, &again.id, "r", Which::Same, None).await.unwrap();
    assert_eq!(third.end().await.unwrap().outputs, Some(json!({"z": 50})));
    assert_eq!(since(&house, before), set(&["4r", "4f", "4z"]));
    let before = house.done().len();
    let mut fourth = rerun(&house, &again.id, "both", Which::Same, None).await.unwrap();
    fourth.end().await.unwrap();
    assert_eq!(since(&house, before), set(&["4l", "4r", "4f", "4z"]));
}

#[tokio::test]
async fn a_mended_definition_is_followed_if_it_still_has_what_came_before() {
    let house = House::new();
    house.store(TEXT).await.unwrap();
    let (first, _) = house.run(json!({"n": 4})).await;
    let mended = TEXT.replace("tool_name: fail", "tool_name: t");
    house.store(&mended).await.unwrap();
    let before = house.done().len();
    let mut again = rerun(&house, &first, "f", Which::Current, None).await.unwrap();
    assert_eq!(again.end().await.unwrap().outputs, Some(json!({"z": 50})));
    assert_eq!(since(&house, before), set(&["4f", "4z"]));
    assert_eq!(
        message(&house, &first, "q", Which::Same).await,
        "invalid arguments: /from: the definition has no step `q` of its own steps"
    );
    assert_eq!(
        message(&house, &first, "z", Which::Same).await,
        "invalid arguments: /from: `both` stands before it and failed in that execution: run again from there"
    );
    house
        .store(&mended.replace("  - id: both", "  - {id: new, type: set, config: {x: 1}}\n  - id: both"))
        .await
        .unwrap();
    assert_eq!(
        message(&house, &first, "f", Which::Current).await,
        "invalid arguments: /from: `new` stands before it and has not come to its end in that execution"
    );
    house
        .store(&mended.replace(
            "type: mcp, config: {tool_name: t, parameters: '{{ inputs.n }}'}",
            "type: set, config: {result: 4}",
        ))
        .await
        .unwrap();
    assert_eq!(
        message(&house, &first, "f", Which::Current).await,
        "invalid arguments: /from: `a` stands before it and is a step of another kind now: run again from there"
    );
    house
        .store(&mended.replace("n: {type: integer}", "m: {type: integer}").replace("inputs.n", "inputs.m"))
        .await
        .unwrap();
    assert!(message(&house, &first, "f", Which::Current).await.contains("/inputs"));
    assert!(rerun(&house, &first, "a", Which::Same, None).await.is_ok(), "the pinned one is as it was");
}

#[tokio::test]
async fn one_that_goes_on_is_not_run_again() {
    let house = House::new();
    house.store(&TEXT.replace("tool_name: fail", "tool_name: hold")).await.unwrap();
    let begun = house.begin(json!({"n": 4})).await.unwrap();
    let refused = rerun(&house, &begun.id, "f", Which::Same, None).await.err().unwrap();
    assert_eq!(refused.code(), "execution_state");
}

const EACH: &str = "name: w
agentType: sales
steps:
  - id: each
    type: foreach
    config: {items: [t, t, fail, t], concurrency: 1}
    steps:
      - {id: x, type: mcp, config: {tool_name: t, parameters: '{{ index }}'}}
      - id: pick
        type: conditional
        condition: \"{{ item == 'fail' }}\"
        if_true: [{id: f, type: mcp, config: {tool_name: fail, parameters: '{{ index * 10 }}'}}]
        if_false: [{id: g, type: mcp, config: {tool_name: t, parameters: '{{ index * 10 }}'}}]
      - {id: y, type: set, config: {n: '{{ (steps.f.output ?? steps.g.output).result }}'}}
outputs: {all: \"{{ steps.each.output.results | pluck('n') }}\"}
";

#[tokio::test]
async fn a_step_of_one_item_is_run_again() {
    for (concurrency, late) in [(1, set(&["each[3].x", "each[3].g"])), (4, set(&[]))] {
        let house = House::new();
        house.store(&EACH.replace("concurrency: 1", &format!("concurrency: {concurrency}"))).await.unwrap();
        let (first, end) = house.run(json!({})).await;
        assert_eq!(end.failure.and_then(|failure| failure.path).as_deref(), Some("each[2].f"));
        house.hands.fails.send_replace(false);
        let before = house.done().len();
        let mut again = rerun(&house, &first, "each[2].f", Which::Same, None).await.unwrap();
        assert_eq!(again.end().await.unwrap().outputs, Some(json!({"all": [0, 10, 20, 30]})));
        let mut expect = late;
        expect.insert("each[2].f".to_owned());
        assert_eq!(since(&house, before), expect, "{concurrency}");
        // Of a whole that is over, one item alone.
        let before = house.done().len();
        let mut third = rerun(&house, &again.id, "each[1].x", Which::Same, None).await.unwrap();
        third.end().await.unwrap();
        let done = since(&house, before);
        assert!(done.contains("each[1].g") && !done.contains("each[0].x"), "{done:?}");
        assert_eq!(done.contains("each[2].x"), concurrency == 1);
    }
}

#[tokio::test]
async fn a_step_of_a_workflow_within_is_run_again() {
    let house = House::new();
    let sub = "name: sub
agentType: support
steps:
  - {id: one, type: mcp, config: {tool_name: t}}
  - {id: two, type: mcp, config: {tool_name: fail, parameters: 7}}
outputs: {who: '{{ steps.two.output.agent }}', n: '{{ steps.two.output.result }}'}
";
    house.store(sub).await.unwrap();
    let caller = "name: w
agentType: sales
steps:
  - {id: a, type: mcp, config: {tool_name: t}}
  - {id: call, type: workflow, config: {name: sub}}
outputs: {call: '{{ steps.call.output }}', who: '{{ steps.a.output.agent }}'}
";
    house.store(caller).await.unwrap();
    let (first, end) = house.run(json!({})).await;
    assert_eq!(end.failure.and_then(|failure| failure.path).as_deref(), Some("call/two"));
    // What is pinned stays, whatever becomes of the definitions.
    house.storing.remove(&house.context.tenant, "sub", None).await.unwrap();
    house.hands.fails.send_replace(false);
    let before = house.done().len();
    let mut again = rerun(&house, &first, "call/two", Which::Same, None).await.unwrap();
    let outputs = again.end().await.unwrap().outputs;
    assert_eq!(outputs, Some(json!({"call": {"who": "support", "n": 7}, "who": "sales"})));
    assert_eq!(since(&house, before), set(&["call/two"]));
    let gone = message(&house, &first, "call/two", Which::Current).await;
    assert!(gone.contains("there is no workflow `sub`"), "{gone}");
}

#[tokio::test]
async fn a_host_that_ends_meanwhile_finds_what_was_taken_over() {
    let house = House::new();
    house
        .store(&TEXT.replace("tool_name: t, parameters: '{{ steps.f", "tool_name: hold, parameters: '{{ steps.f"))
        .await
        .unwrap();
    let (first, _) = house.run(json!({"n": 4})).await;
    house.hands.fails.send_replace(false);
    let before = house.done().len();
    let again = rerun(&house, &first, "f", Which::Same, None).await.unwrap().id;
    house.until("it is at the last step", |it| it.done().last().is_some_and(|done| done == "4z")).await;
    let house = house.again().await;
    house.hands.go.send_replace(true);
    house.until("it is over", |it| it.done().iter().filter(|done| *done == "4z").count() == 2).await;
    assert_eq!(since(&house, before), set(&["4f", "4z"]));
    while house.standing(&again).await.end.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.standing(&again).await.end.unwrap().outputs, Some(json!({"z": 50})));
}
