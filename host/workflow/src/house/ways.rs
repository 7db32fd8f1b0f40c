//! Steps of plugins in what tenants hand in: the ways out of them when a run is taken over, what a run pins of
//! them, and what is said of those that no longer fit.

use super::*;
use crate::{Which, components};

const TEXT: &str = "name: w
agentType: sales
steps:
  - id: n
    type: acme.up
    branches:
      up:
        - {id: u, type: mcp, config: {tool_name: t, parameters: 2}}
        - {id: f, type: mcp, config: {tool_name: fail, parameters: '{{ steps.u.output.result + 1 }}'}}
      down:
        - {id: d, type: mcp, config: {tool_name: t}}
  - {id: z, type: mcp, config: {tool_name: t, parameters: '{{ steps.f.output.result }}'}}
outputs: {z: '{{ steps.z.output.result }}'}
";

async fn rerun(house: &House, of: &RunId, from: &str) -> Result<Begun, Error> {
    let standing = house.standing(of).await;
    house.workflows.rerun(&Principal::anyone(), &house.context, &standing, (from, Which::Same), None).await
}

async fn refused(house: &House, of: &RunId, from: &str) -> String {
    rerun(house, of, from).await.err().unwrap().to_string()
}

async fn outputs(house: &House, of: &RunId, from: &str) -> (RunId, Option<Value>, Vec<String>) {
    let before = house.done().len();
    let mut begun = rerun(house, of, from).await.unwrap();
    let end = begun.end().await.unwrap();
    (begun.id, end.outputs, house.done().split_off(before))
}

#[tokio::test]
async fn a_step_on_a_way_is_run_again_and_the_way_is_taken_over() {
    let house = House::new();
    house.store(TEXT).await.unwrap();
    let (first, end) = house.run(json!({})).await;
    assert_eq!(end.failure.and_then(|failure| failure.path).as_deref(), Some("f"));
    assert_eq!(
        refused(&house, &first, "z").await,
        "invalid arguments: /from: `f` stands before it and failed in that execution: run again from there"
    );
    assert_eq!(
        refused(&house, &first, "d").await,
        "invalid arguments: /from: `n` did not take the way `down` in that execution"
    );
    house.hands.fails.send_replace(false);
    let (second, said, done) = outputs(&house, &first, "f").await;
    assert_eq!((said, done), (Some(json!({"z": 3})), vec!["f".to_owned(), "z".to_owned()]));
    let (_, said, done) = outputs(&house, &second, "z").await;
    assert_eq!((said, done), (Some(json!({"z": 3})), vec!["z".to_owned()]), "with all of the way");
    let (_, _, done) = outputs(&house, &second, "n").await;
    assert_eq!(done, ["n", "u", "f", "z"]);
}

#[tokio::test]
async fn what_failed_on_a_way_beside_the_step_is_done_again() {
    let house = House::new();
    let text = "name: w
agentType: sales
steps:
  - id: both
    type: parallel
    branches:
      a:
        - id: n
          type: acme.up
          branches:
            up: [{id: u, type: mcp, config: {tool_name: t}}, {id: f, type: mcp, config: {tool_name: fail}}]
        - {id: x, type: mcp, config: {tool_name: t}}
      b: [{id: y, type: mcp, config: {tool_name: t}}]
";
    house.store(text).await.unwrap();
    let (first, _) = house.run(json!({})).await;
    house.hands.fails.send_replace(false);
    let (_, said, mut done) = outputs(&house, &first, "y").await;
    done.sort();
    assert_eq!(done, ["f", "x", "y"]);
    assert!(said.is_some());
}

#[tokio::test]
async fn a_run_pins_what_the_workflows_within_it_use() {
    let house = House::new();
    let sub = "name: sub
agentType: support
steps: [{id: n, type: acme.up, branches: {up: [{id: m, type: beta.run}]}}]
";
    house.store(sub).await.unwrap();
    let caller = "name: w
agentType: sales
steps:
  - {id: o, type: gamma.go, branches: {go: [{id: c, type: workflow, config: {name: sub}}]}}
";
    house.store(caller).await.unwrap();
    let (run, end) = house.run(json!({})).await;
    assert_eq!(house.done(), ["o", "c/n", "c/m"], "{end:?}");
    let pins: Vec<String> = house.standing(&run).await.run.pins.into_iter().collect();
    assert_eq!(pins, ["acme.up", "beta.run", "gamma.go", "sales", "support"]);
    // A rerun pins what serves by then.
    let (again, ..) = outputs(&house, &run, "c/m").await;
    let pins: Vec<String> = house.standing(&again).await.run.pins.into_iter().collect();
    assert_eq!(pins, ["acme.up", "beta.run", "gamma.go", "sales", "support"]);
}

#[tokio::test]
async fn what_no_longer_fits_is_told_and_stays_in_force() {
    let house = House::new();
    house.store("name: w\nagentType: sales\nsteps: [{id: n, type: gone.run}]\n").await.unwrap();
    house.store("name: v\nagentType: sales\nsteps: [{id: c, type: workflow, config: {name: w}}]\n").await.unwrap();
    let house = house.again().await;
    let said = |faults: Vec<remit_config::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let faults = house.storing.look(&components::tests::around(false)).await.unwrap();
    assert_eq!(
        said(faults),
        [
            "a/w@1:3:23: there is no plugin `gone` for steps of type gone.run (upload it and activate it, or mend the name)"
        ]
    );
    assert!(house.workflows.shelf().find(&house.context.tenant, "w").is_some());
    house.storing.remove(&house.context.tenant, "w", None).await.unwrap();
    let faults = house.storing.look(&components::tests::around(false)).await.unwrap();
    assert_eq!(said(faults), ["a/v@1:3:48: there is no workflow `w`"]);
}
