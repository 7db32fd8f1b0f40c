//! Workflows that a tenant hands in: found first, kept over a restart, held against each other.

use remit_domain::execution::Status;

use super::*;

fn text(name: &str, more: &str) -> String {
    format!("name: {name}\nagentType: sales\n{more}\nsteps: [{{id: a, type: mcp, config: {{tool_name: t}}}}]\n")
}

fn calls(name: &str, called: &str) -> String {
    format!("name: {name}\nagentType: sales\nsteps: [{{id: c, type: workflow, config: {{name: {called}}}}}]\n")
}

async fn refused(house: &House, text: &str) -> String {
    match house.store(text).await {
        Err(Error::InvalidArguments(problems)) => {
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("\n")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_newest_version_is_found_and_outlasts_the_host() {
    let house = House::new();
    assert_eq!(house.store(&text("w", "description: one")).await.unwrap(), (1, true));
    assert_eq!(house.store(&text("w", "description: one")).await.unwrap(), (1, false), "the same again");
    assert_eq!(house.store(&text("w", "description: two")).await.unwrap(), (2, true));
    let house = house.again().await;
    let tenant = house.context.tenant.clone();
    let found = |house: &House| {
        let found = house.workflows.shelf().find(&house.context.tenant, "w");
        found.map(|it| (it.version, it.plan.authored.description.clone()))
    };
    assert_eq!(found(&house), Some((Some(2), Some("two".to_owned()))));
    let removed = house.storing.remove(&tenant, "w", Some(2)).await.unwrap();
    assert_eq!((removed.numbers, removed.serves.and_then(|it| it.version)), (vec![2], Some(1)));
    assert_eq!(found(&house), Some((Some(1), Some("one".to_owned()))));
    house.storing.remove(&tenant, "w", None).await.unwrap();
    assert_eq!(found(&house), None);
    let gone = house.storing.remove(&tenant, "w", None).await.err().map(|error| error.code());
    assert_eq!(gone, Some("workflow_missing"));
    let other = TenantId::new("b").unwrap();
    assert_eq!(house.workflows.shelf().find(&other, "w"), None);
}

#[tokio::test]
async fn a_run_goes_on_with_the_version_that_it_began_with() {
    let house = House::new();
    let held = "name: w\nagentType: sales\nsteps:\n  - {id: a, type: mcp, config: {tool_name: hold}}\n  - {id: b, type: mcp, config: {tool_name: t}}\n";
    house.store(held).await.unwrap();
    let begun = house.begin(json!({})).await.unwrap();
    house.until("it is at work", |it| it.done() == ["a"]).await;
    house.storing.remove(&house.context.tenant, "w", None).await.unwrap();
    let house = house.again().await;
    house.hands.go.send_replace(true);
    house.until("it went on", |it| it.done().last().is_some_and(|done| done == "b")).await;
    while house.standing(&begun.id).await.end.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.standing(&begun.id).await.end.unwrap().status, Status::Completed);
}

#[tokio::test]
async fn names_and_calls_are_held_against_what_is_there() {
    let house = House::new();
    house.store(&text("w", "aliases: [other]")).await.unwrap();
    assert_eq!(refused(&house, &text("other", "")).await, "another workflow of this tenant is called `other`");
    assert_eq!(
        refused(&house, &text("executions", "")).await,
        "`executions` can't be the name of a workflow: it is a route"
    );
    assert_eq!(refused(&house, &calls("x", "gone")).await, "w.yml:3:48: there is no workflow `gone`");
    assert_eq!(refused(&house, &calls("x", "x")).await, "w.yml:3:48: the workflow calls itself: x -> x");
    house.store(&text("needs", "inputs: {n: {type: integer}, m: {type: string, default: a}}")).await.unwrap();
    assert_eq!(refused(&house, &calls("x", "needs")).await, "w.yml:3:48: `needs` needs the input `n`");
    let given = |inputs: &str| calls("x", &format!("needs, inputs: {inputs}"));
    assert_eq!(
        refused(&house, &given("{n: one, k: 1}")).await,
        "w.yml:3:67: value is not of type \"integer\"\nw.yml:3:72: `needs` takes no `k`"
    );
    for fine in ["{n: 1}", "{n: '{{ inputs.x }}'}", "'{{ inputs }}'"] {
        house.store(&given(fine)).await.unwrap();
    }
    // A circle that closes later is refused where it closes.
    house.store(&calls("y", "x")).await.unwrap();
    assert_eq!(
        refused(&house, &calls("needs", "y")).await,
        "w.yml:3:48: the workflow calls itself: needs -> y -> x -> needs"
    );
    for at in 1..=8 {
        let called = if at == 1 { "w".to_owned() } else { format!("d{}", at - 1) };
        let stored = house.store(&calls(&format!("d{at}"), &called)).await;
        assert_eq!(stored.is_ok(), at < 8, "{at}: {stored:?}");
    }
    // What a stored workflow calls can go away: it is then refused when it is begun.
    house.storing.remove(&house.context.tenant, "needs", None).await.unwrap();
    let begun = house.workflows.execute(&Principal::anyone(), &house.context, "x", json!({}), None).await;
    assert!(begun.err().is_some_and(|error| error.to_string().contains("there is no workflow `needs`")));
}

#[tokio::test]
async fn a_workflow_within_speaks_for_no_agent_that_its_beginner_does_not() {
    let house = House::new();
    house.store(&text("sub", "").replace("sales", "support")).await.unwrap();
    house.store(&calls("w", "sub")).await.unwrap();
    let by = remit_domain::execution::Asker {
        name: "k".to_owned(),
        agents: Some(BTreeSet::from([AgentName::new("sales").unwrap()])),
        key: None,
        quotas: BTreeMap::new(),
    };
    let principal = Principal::run(house.context.tenant.clone(), &by);
    let begun = house.workflows.execute(&principal, &house.context, "w", json!({}), None).await;
    assert_eq!(begun.err().map(|error| error.code()), Some("agent_not_allowed"));
}
