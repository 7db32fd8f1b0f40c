//! A host that ends at any moment, and what is taken up afterwards.

use super::*;

#[tokio::test]
async fn a_run_that_was_stopped_stays_stopped_when_it_is_taken_up() {
    let text = "steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: 7}}
  - {id: b, type: wait, config: {duration: 1h}}
  - {id: c, type: mcp, config: {tool_name: t}}
onFailure: [{id: tell, type: mcp, config: {tool_name: t, parameters: '{{ steps.a.output.result }}'}}]
";
    let bench = Bench::new(text, json!({}));
    // The host ends while the wait is on; before that somebody had stopped the run.
    bench.journal.breaks(Some(Break { at: 2, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    let stopped = Entry::Cancelled { at: bench.timer.now(), by: "ada".to_owned() };
    bench.journal.append(&bench.run.id, &[stopped]).await.unwrap();
    assert_eq!(shown(&bench.go(true).await.unwrap()), "cancelled");
    assert_eq!(bench.done(), ["a#1", "onFailure.tell#1"]);
    let Some(Outcome::Done(told)) = bench.journal.outcome(&bench.run.id, "onFailure.tell") else { panic!() };
    assert_eq!(told["result"], 7);
}

#[tokio::test]
async fn a_step_for_failures_that_is_in_doubt_waits_for_a_person_too() {
    let text = "steps: [{id: a, type: mcp, config: {tool_name: fail}}]
onFailure:
  - {id: undo, type: mcp, config: {tool_name: t}}
  - {id: tell, type: mcp, config: {tool_name: t}}
";
    let bench = Bench::new(text, json!({})).harmful();
    // It was begun, done, and the host ended before it could say so.
    bench.journal.breaks(Some(Break { at: 2, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    assert_eq!(shown(&bench.go(true).await.unwrap()), "interrupted: interrupted at onFailure.undo");
    let path = "onFailure.undo".to_owned();
    let decided = Entry::Resolved { path, at: bench.timer.now(), choice: Choice::Skip, by: "ada".to_owned() };
    bench.journal.reopen(&bench.run.id, &[decided]).await.unwrap();
    assert_eq!(shown(&bench.go(true).await.unwrap()), "failed: broken at a");
    assert_eq!(bench.done(), ["a#1", "onFailure.undo#1", "onFailure.tell#1"]);
}

const VARIED: &str = "steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: {n: '{{ inputs.n }}'}}}
  - id: fork
    type: conditional
    condition: '{{ steps.a.output.result.n > 1 }}'
    if_true:
      - {id: b, type: mcp, on_error: continue, config: {tool_name: fail}}
      - {id: c, type: set, condition: '{{ not steps.b.output.success }}', config: {n: '{{ steps.a.output.result.n + 1 }}'}}
  - id: both
    type: parallel
    branches:
      left:
        - {id: d, type: mcp, retry: {attempts: 3, delay: 1s}, config: {tool_name: flaky, parameters: '{{ steps.c.output.n }}'}}
        - {id: w, type: wait, config: {duration: 1m}}
      right:
        - id: each
          type: foreach
          config: {items: [1, 2, 3, 4], concurrency: 3}
          steps:
            - {id: e, type: mcp, config: {tool_name: t, parameters: '{{ item }}'}}
            - {id: f, type: switch, config: {value: '{{ item }}'}, cases: {'2': [{id: g, type: mcp, config: {tool_name: t}}]}, default: [{id: h, type: set, config: {x: '{{ index }}'}}]}
            - {id: i, type: set, config: {n: '{{ steps.e.output.result * 2 }}'}}
  - {id: z, type: mcp, config: {tool_name: t, parameters: \"{{ steps.each.output.results | sum('n') }}\"}}
outputs: {z: '{{ steps.z.output.result }}', d: '{{ steps.d.output.result }}', c: '{{ steps.c.output.n }}'}
";

#[tokio::test]
async fn a_host_that_ends_at_any_entry_repeats_nothing_that_is_recorded() {
    let expect = r#"{"c":3,"d":3,"z":20}"#;
    let straight = check(VARIED, json!({"n": 2}), expect).await;
    let all: BTreeSet<String> = straight.done().into_iter().collect();
    for written in [false, true] {
        let mut ended_early = 0;
        for at in 0.. {
            let bench = Bench::new(VARIED, json!({"n": 2}));
            bench.journal.breaks(Some(Break { at, written }));
            let first = bench.go(false).await;
            if first.is_ok() {
                break;
            }
            ended_early += 1;
            // It breaks once more on the way, a little further on, and then no more.
            bench.journal.breaks(Some(Break { at: 2, written: !written }));
            let second = bench.go(true).await;
            bench.journal.breaks(None);
            let end = match second {
                Ok(end) => end,
                Err(_) => bench.go(true).await.unwrap(),
            };
            assert_eq!(shown(&end), expect, "broken at {at}");
            let done: BTreeSet<String> = bench.done().into_iter().collect();
            assert_eq!(done, all, "broken at {at}");
        }
        assert!(ended_early > 15, "{ended_early}");
    }
}

#[tokio::test]
async fn a_step_that_may_have_taken_effect_waits_for_a_person() {
    for (choice, expect, times) in
        [(Choice::Rerun, r#"{"b":{"n":false}}"#, 2), (Choice::Skip, r#"{"b":{"n":true}}"#, 1)]
    {
        let text = "steps:
  - {id: a, type: mcp, config: {tool_name: t}}
  - {id: b, type: set, config: {n: '{{ steps.a.output.skipped is defined }}'}}
outputs: {b: '{{ steps.b.output }}'}
";
        let bench = Bench::new(text, json!({})).harmful();
        // It was begun, done, and the host ended before it could say so.
        bench.journal.breaks(Some(Break { at: 1, written: false }));
        assert!(bench.go(false).await.is_err());
        bench.journal.breaks(None);
        let end = bench.go(true).await.unwrap();
        assert_eq!(shown(&end), "interrupted: interrupted at a");
        assert_eq!(bench.done(), ["a#1"]);
        let decided = Entry::Resolved { path: "a".to_owned(), at: bench.timer.now(), choice, by: "ada".to_owned() };
        bench.journal.reopen(&bench.run.id, &[decided]).await.unwrap();
        let end = bench.go(true).await.unwrap();
        assert_eq!(shown(&end), expect);
        assert_eq!(bench.done().len(), times);
    }
    // With a key of its own it is tried again by itself.
    let keyed = "steps: [{id: a, type: mcp, idempotencyKey: 'order-{{ inputs.id }}', config: {tool_name: t}}]";
    let bench = Bench::new(keyed, json!({"id": 7})).harmful();
    bench.journal.breaks(Some(Break { at: 1, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    let end = bench.go(true).await.unwrap();
    assert_eq!(end.outputs.unwrap()["a"]["key"], "order-7");
    assert_eq!(bench.done().len(), 2);
}

#[tokio::test]
async fn what_a_failed_way_left_is_the_same_after_a_restart() {
    let ways = [
        "type: conditional, condition: '{{ true }}', if_true: [WITHIN]",
        "type: switch, config: {value: 1}, cases: {'1': [WITHIN]}",
        "type: parallel, branches: {one: [WITHIN], other: [{id: beside, type: set, config: {n: 4}}]}",
    ];
    let within = "{id: before, type: mcp, config: {tool_name: t}}, {id: fails, type: mcp, config: {tool_name: fail}}";
    for way in ways {
        let text = format!(
            "steps:
  - {{id: way, on_error: continue, {}}}
  - {{id: z, type: mcp, config: {{tool_name: t}}}}
outputs: {{before: '{{{{ steps.before.output is defined }}}}', fails: '{{{{ steps.fails.output is defined }}}}'}}
",
            way.replace("WITHIN", within)
        );
        let expect = r#"{"before":true,"fails":false}"#;
        let straight = check(&text, json!({}), expect).await;
        for at in 0..straight.journal.entries(&straight.run.id).len() {
            let bench = Bench::new(&text, json!({}));
            bench.journal.breaks(Some(Break { at, written: true }));
            let end = match bench.go(false).await {
                Ok(end) => end,
                Err(_) => {
                    bench.journal.breaks(None);
                    bench.go(true).await.unwrap()
                }
            };
            assert_eq!(shown(&end), expect, "broken at {at}: {text}");
        }
    }
}

#[tokio::test]
async fn what_is_under_way_when_an_item_fails_comes_to_its_end_after_a_restart_too() {
    let text = "steps:
  - id: each
    type: foreach
    config: {items: [fail, slow, late], concurrency: 2}
    steps:
      - id: pick
        type: conditional
        condition: \"{{ item == 'fail' }}\"
        if_true: [{id: f, type: mcp, config: {tool_name: fail}}]
        if_false: [{id: s, type: mcp, retry: {attempts: 3, delay: 1s}, config: {tool_name: flaky}}]
";
    let bench = Bench::new(text, json!({}));
    // Both are begun, the first one's failure is on record, and the host ends.
    bench.journal.breaks(Some(Break { at: 3, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    assert_eq!(shown(&bench.go(true).await.unwrap()), "failed: broken at each[0].f");
    assert!(matches!(bench.journal.outcome(&bench.run.id, "each[1].s"), Some(Outcome::Done(_))));
    assert!(!bench.done().iter().any(|done| done.starts_with("each[2]")), "{:?}", bench.done());
}
