//! Plugins' steps with several ways out.

use super::*;

const TEXT: &str = "steps:
  - {id: first, type: mcp, config: {tool_name: t, parameters: {n: 1}}}
  - id: fork
    type: p.n
    config: {way: '{{ inputs.way }}'}
    branches:
      up:
        - {id: high, type: p.n, config: {way: none}}
        - {id: higher, type: mcp, config: {tool_name: t, parameters: {from: '{{ steps.fork.output.branch }}'}}}
      down:
        - {id: low, type: mcp, config: {tool_name: t}}
  - {id: last, type: mcp, config: {tool_name: t, parameters: {a: '{{ steps.fork.output.branch }}'}}}
";

#[tokio::test]
async fn the_way_that_a_step_took_is_gone_and_no_other() {
    let bench = Bench::new(TEXT, json!({"way": "up"}));
    let end = bench.go(false).await.unwrap();
    assert_eq!(end.status, Status::Completed, "{end:?}");
    assert_eq!(bench.done(), ["first#1", "fork#1", "high#1", "higher#1", "last#1"]);
    let input = |path: &str| bench.doer.inputs.lock().unwrap().get(path).cloned();
    assert_eq!(input("fork").unwrap()["result"], json!({"n": 1}), "what the step before left");
    assert_eq!(input("high").unwrap()["branch"], "up");
    let bench = Bench::new(TEXT, json!({"way": "elsewhere"}));
    assert_eq!(bench.go(false).await.unwrap().status, Status::Completed);
    assert_eq!(bench.done(), ["first#1", "fork#1", "last#1"], "a way without steps goes on");
}

#[tokio::test]
async fn a_crash_anywhere_changes_no_way() {
    let straight = Bench::new(TEXT, json!({"way": "up"}));
    let expected = straight.go(false).await.unwrap();
    for at in 0..20 {
        for written in [false, true] {
            let bench = Bench::new(TEXT, json!({"way": "up"}));
            bench.journal.breaks(Some(Break { at, written }));
            let first = bench.go(false).await;
            bench.journal.breaks(None);
            let end = match first {
                Ok(end) => end,
                Err(_) => bench.go(true).await.unwrap(),
            };
            let key = |outputs: &Option<Value>| {
                outputs.as_ref().map(|outputs| outputs.to_string().replace(bench.run.id.as_str(), ""))
            };
            let straight = expected.outputs.as_ref().map(|it| it.to_string().replace(straight.run.id.as_str(), ""));
            assert_eq!((end.status, key(&end.outputs)), (Status::Completed, straight), "at {at}, {written}");
        }
    }
}

#[tokio::test]
async fn what_fails_on_a_way_is_the_runs_failure_and_not_the_steps() {
    let text = "steps:
  - id: fork
    type: p.n
    on_error: continue
    config: {way: up, operation: orders.get}
    branches: {up: [{id: high, type: mcp, config: {tool_name: fail}}]}
onFailure:
  - {id: told, type: set, config: {of: '{{ steps.fork.output.branch }}', step: '{{ error.step }}'}}
";
    let bench = Bench::new(text, json!({}));
    let end = bench.go(false).await.unwrap();
    assert_eq!((end.status, end.failure.unwrap().path.as_deref()), (Status::Failed, Some("high")));
    assert_eq!(
        bench.journal.outcome(&bench.run.id, "onFailure.told"),
        Some(Outcome::Done(json!({"of": "up", "step": "high"})))
    );
    let broken = text.replace("way: up", "way: break");
    let bench = Bench::new(&broken, json!({}));
    assert_eq!(bench.go(false).await.unwrap().status, Status::Completed, "the step's own failure is caught");
    let Some(Outcome::Failed { output, .. }) = bench.journal.outcome(&bench.run.id, "fork") else {
        panic!("no failure")
    };
    assert_eq!((&output["success"], &output["operation"]), (&json!(false), &json!("orders.get")));
}
