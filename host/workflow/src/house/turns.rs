//! How many runs of a workflow are at work at once, over waits and restarts.

use futures::future::join_all;
use remit_domain::execution::Status;

use super::*;

const ONE: &str = "name: w
agentType: sales
concurrency: {limit: 1, queue: 2}
inputs: {n: {type: integer}}
steps:
  - {id: a, type: mcp, config: {tool_name: hold}}
  - {id: b, type: mcp, config: {tool_name: t}}
";

#[tokio::test]
async fn runs_beyond_the_limit_wait_in_order_and_no_more_than_may() {
    let house = House::new();
    house.store(ONE).await.unwrap();
    let mut runs = Vec::new();
    for n in 0..3 {
        runs.push(house.begin(json!({"n": n})).await.unwrap());
        house.until("it is at work or waits", |it| it.done() == ["0a"]).await;
    }
    assert!(!house.workflows.is_queued(&runs[0].id) && house.workflows.is_queued(&runs[2].id));
    let refused = house.begin(json!({"n": 3})).await.err().unwrap();
    assert_eq!((refused.code(), refused.retriable()), ("busy", true));
    // It waits for nothing but its turn, and leaves the queue at once.
    let second = house.standing(&runs[1].id).await;
    house.workflows.cancel(&second, &Principal::anyone()).await.unwrap();
    assert_eq!(runs[1].end().await.unwrap().status, Status::Cancelled);
    let fourth = house.begin(json!({"n": 4})).await.unwrap();
    runs.push(fourth);
    house.hands.go.send_replace(true);
    for (at, run) in runs.iter_mut().enumerate().filter(|(at, _)| *at != 1) {
        assert_eq!(run.end().await.unwrap().status, Status::Completed, "{at}");
    }
    assert_eq!(house.done(), ["0a", "0b", "2a", "2b", "4a", "4b"]);
}

#[tokio::test]
async fn runs_of_different_keys_are_counted_apart() {
    let house = House::new();
    house.store(&ONE.replace("queue: 2", "key: '{{ inputs.n % 2 }}'")).await.unwrap();
    let mut runs = Vec::new();
    for n in 0..4 {
        runs.push(house.begin(json!({"n": n})).await.unwrap());
    }
    house.until("one of each key", |it| it.done().len() == 2).await;
    assert_eq!(house.done().iter().collect::<BTreeSet<_>>(), BTreeSet::from([&"0a".to_owned(), &"1a".to_owned()]));
    house.hands.go.send_replace(true);
    join_all(runs.iter_mut().map(Begun::end)).await;
    assert_eq!(house.done().len(), 8);
}

#[tokio::test]
async fn a_run_that_waits_for_a_person_holds_no_slot() {
    let house = House::new();
    let text = ONE.replace("{id: a, type: mcp, config: {tool_name: hold}}", "{id: a, type: approval}");
    house.store(&text).await.unwrap();
    let mut first = house.begin(json!({"n": 1})).await.unwrap();
    let mut second = house.begin(json!({"n": 2})).await.unwrap();
    let asks = |run: &RunId| house.journal.entries(run).len() == 1;
    house.until("both ask", |_| asks(&first.id) && asks(&second.id)).await;
    let yes = json!({"approved": true});
    let standing = house.standing(&second.id).await;
    house.workflows.signal(&standing, "a", yes.clone(), &Principal::anyone()).await.unwrap();
    assert_eq!(second.end().await.unwrap().status, Status::Completed);
    let standing = house.standing(&first.id).await;
    house.workflows.signal(&standing, "a", yes, &Principal::anyone()).await.unwrap();
    assert_eq!(first.end().await.unwrap().status, Status::Completed);
    assert_eq!(house.done(), ["2b", "1b"]);
}

#[tokio::test]
async fn a_run_whose_branches_are_at_work_keeps_its_slot() {
    let house = House::new();
    let text = "name: w
agentType: sales
concurrency: {limit: 1}
inputs: {n: {type: integer}}
steps:
  - id: p
    type: parallel
    branches:
      one: [{id: wait, type: wait, config: {duration: 1h}}]
      two: [{id: a, type: mcp, config: {tool_name: hold}}]
  - {id: b, type: mcp, config: {tool_name: t}}
";
    house.store(text).await.unwrap();
    let mut first = house.begin(json!({"n": 1})).await.unwrap();
    house.until("the first is at work", |it| it.done() == ["1a"]).await;
    let mut second = house.begin(json!({"n": 2})).await.unwrap();
    house.until("the second has come to its queue", |it| it.workflows.is_queued(&second.id)).await;
    assert_eq!(house.done(), ["1a"], "one branch waits, the other is at work");
    house.hands.go.send_replace(true);
    house.until("the second's turn, while the first only waits", |it| it.done() == ["1a", "2a"]).await;
    house.time.set(NOON + time::Duration::hours(2));
    assert_eq!(first.end().await.unwrap().status, Status::Completed);
    assert_eq!(second.end().await.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn turns_survive_a_restart() {
    let house = House::new();
    house.store(ONE).await.unwrap();
    for n in 0..3 {
        house.begin(json!({"n": n})).await.unwrap();
    }
    house.until("the first is at work", |it| it.done() == ["0a"]).await;
    let house = house.again().await;
    house.until("the first is at work again", |it| it.done() == ["0a", "0a"]).await;
    house.hands.go.send_replace(true);
    house.until("all are over", |it| it.done().len() == 7).await;
    assert_eq!(house.done(), ["0a", "0a", "0b", "1a", "1b", "2a", "2b"]);
}
