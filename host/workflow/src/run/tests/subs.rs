//! Workflows within workflows, and a host that ends at any moment of them.

use super::*;
use crate::plan::Sub;

const CALLER: &str = "steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: 4}}
  - {id: call, type: workflow, config: {name: sub, inputs: {n: '{{ steps.a.output.result }}'}}}
  - id: each
    type: foreach
    config: {items: [1, 2, 3], concurrency: 2}
    steps:
      - {id: c, type: workflow, config: {name: sub, inputs: {n: '{{ item }}', factor: 2}}}
  - {id: z, type: mcp, config: {tool_name: t, parameters: \"{{ steps.each.output.results | sum('n') }}\"}}
outputs: {first: '{{ steps.call.output.n }}', sum: '{{ steps.z.output.result }}', who: '{{ steps.call.output.who }}'}
";

const SUB: &str = "name: sub
inputs: {n: {type: integer}, factor: {type: integer, default: 10}}
steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: '{{ inputs.n * inputs.factor }}'}}
  - {id: w, type: wait, config: {duration: 1m}}
  - {id: deeper, type: workflow, config: {name: leaf, inputs: '{{ steps.a.output }}'}}
outputs: {n: '{{ steps.deeper.output.twice }}', who: '{{ context.agent }}'}
";

const LEAF: &str = "name: leaf
steps: [{id: a, type: mcp, retry: {attempts: 3, delay: 1s}, config: {tool_name: flaky, parameters: '{{ inputs.result * 2 }}'}}]
outputs: {twice: '{{ steps.a.output.result }}'}
";

fn bench(text: &str, subs: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::new(text, json!({}));
    for (name, text) in subs {
        let plan = crate::plan(&File::new("s.yml", *text), &BTreeSet::new());
        let plan = Arc::new(plan.unwrap_or_else(|faults| panic!("{faults}")));
        let agent = (*name == "sub").then(|| AgentName::new("support").unwrap());
        bench.plan.subs.insert((*name).to_owned(), Sub { plan, agent });
    }
    bench
}

#[tokio::test]
async fn a_workflow_within_another_is_recorded_below_its_step() {
    let bench = bench(CALLER, &[("sub", SUB), ("leaf", LEAF)]);
    let end = bench.go(false).await.unwrap();
    assert_eq!(shown(&end), r#"{"first":80,"sum":24,"who":"support"}"#);
    assert_eq!(bench.done()[..4], ["a#1", "call/a#1", "call/deeper/a#1", "call/deeper/a#2"]);
    assert!(bench.done().contains(&"each[2].c/deeper/a#3".to_owned()), "{:?}", bench.done());
    let began = bench.journal.entries(&bench.run.id).into_iter().find_map(|entry| match entry {
        Entry::Began { path, input, .. } if path == "call" => Some(input),
        _ => None,
    });
    assert_eq!(began, Some(json!({"n": 4, "factor": 10})), "with what it was given");
}

#[tokio::test]
async fn a_host_that_ends_within_one_repeats_nothing_that_is_recorded() {
    let subs = [("sub", SUB), ("leaf", LEAF)];
    let straight = bench(CALLER, &subs);
    straight.go(false).await.unwrap();
    let all: BTreeSet<String> = straight.done().into_iter().collect();
    for written in [false, true] {
        let mut ended_early = 0;
        for at in 0.. {
            let bench = bench(CALLER, &subs);
            bench.journal.breaks(Some(Break { at, written }));
            if bench.go(false).await.is_ok() {
                break;
            }
            ended_early += 1;
            bench.journal.breaks(None);
            let end = bench.go(true).await.unwrap();
            assert_eq!(shown(&end), r#"{"first":80,"sum":24,"who":"support"}"#, "broken at {at}");
            let done: BTreeSet<String> = bench.done().into_iter().collect();
            assert_eq!(done, all, "broken at {at}");
        }
        assert!(ended_early > 15, "{ended_early}");
    }
}

#[tokio::test]
async fn what_fails_within_is_the_steps_failure_and_cleans_up_after_itself() {
    let sub = "name: sub
steps: [{id: f, type: mcp, config: {tool_name: fail}}]
onFailure: [{id: undo, type: mcp, config: {tool_name: t, parameters: '{{ error.step }}'}}]
";
    let caller = "steps:
  - {id: call, type: workflow, on_error: continue, config: {name: sub}}
  - {id: b, type: set, config: {why: '{{ steps.call.output.code }}'}}
outputs: {why: '{{ steps.b.output.why }}'}
";
    let goes_on = bench(caller, &[("sub", sub)]);
    assert_eq!(shown(&goes_on.go(false).await.unwrap()), r#"{"why":"broken"}"#);
    assert_eq!(goes_on.done(), ["call/f#1", "call/onFailure.undo#1"]);
    let Some(Outcome::Done(undone)) = goes_on.journal.outcome(&goes_on.run.id, "call/onFailure.undo") else { panic!() };
    assert_eq!(undone["result"], "call/f");
    let stops = bench(&caller.replace(", on_error: continue", ""), &[("sub", sub)]);
    assert_eq!(shown(&stops.go(false).await.unwrap()), "failed: broken at call/f");
    let wants = "name: sub\ninputs: {n: {type: integer}}\nsteps: [{id: f, type: set, config: {x: 1}}]\n";
    let lacks =
        bench("steps: [{id: call, type: workflow, config: {name: sub, inputs: {n: '{{ now }}'}}}]", &[("sub", wants)]);
    assert_eq!(shown(&lacks.go(false).await.unwrap()), "failed: invalid_arguments at call");
    let missing = bench("steps: [{id: call, type: workflow, config: {name: gone}}]", &[]);
    assert_eq!(shown(&missing.go(false).await.unwrap()), "failed: workflow_missing at call");
}

#[tokio::test]
async fn cancelling_reaches_what_is_at_work_within() {
    let sub = "name: sub
steps: [{id: h, type: mcp, config: {tool_name: hang}}]
onFailure: [{id: undo, type: mcp, config: {tool_name: t, parameters: '{{ error.status }}'}}]
";
    let bench = bench("steps: [{id: call, type: workflow, config: {name: sub}}]", &[("sub", sub)]);
    let cancelled = async {
        while bench.done().is_empty() {
            tokio::task::yield_now().await;
        }
        bench.live.cancel.cancel();
    };
    let (end, ()) = tokio::join!(bench.go(false), cancelled);
    assert_eq!(shown(&end.unwrap()), "cancelled");
    assert_eq!(bench.done(), ["call/h#1", "call/onFailure.undo#1"]);
}
