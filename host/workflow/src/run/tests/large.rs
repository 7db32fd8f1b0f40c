//! Large outputs, many items, and tenants that keep too much.

use super::*;
use crate::run::{
    line::{MAX_COLLECTED, MAX_OUTPUT_BYTES},
    memory::Shelf,
};

/// A bench whose outputs of more than 1,000 bytes are large.
fn bench(text: &str, inputs: Value) -> (Bench, Arc<Shelf>) {
    let mut bench = Bench::new(text, inputs);
    let shelf = Arc::new(Shelf::default());
    bench.keeping.outputs = Some(shelf.clone());
    bench.live = Live::within(Arc::default(), Bounds { step: 100_000, inline: 1_000, all: 1 << 30 });
    (bench, shelf)
}

const LARGE: &str = "steps:
  - {id: a, type: mcp, config: {tool_name: large, parameters: 50000}}
  - {id: small, type: mcp, config: {tool_name: large, parameters: 10}}
  - id: fork
    type: conditional
    condition: '{{ (steps.a.output.text | length) == 50000 }}'
    if_true: [{id: b, type: set, config: {n: '{{ steps.a.output.text.length + steps.small.output.text.length }}'}}]
  - id: each
    type: foreach
    config: {items: [20000, 5], concurrency: 2}
    steps: [{id: c, type: mcp, config: {tool_name: large, parameters: '{{ item + (steps.a.output.text | length) * 0 }}'}}]
outputs:
  n: '{{ steps.b.output.n }}'
  whole: '{{ steps.a.output.text }}'
  first: '{{ steps.each.output.results[0].bytes }}'
  second: '{{ steps.each.output.results[1].text }}'
";

#[tokio::test]
async fn a_large_output_lies_beside_the_journal_and_is_read_where_it_is_named() {
    let (bench, shelf) = bench(LARGE, json!({}));
    let end = bench.go(false).await.unwrap();
    let outputs = end.outputs.unwrap();
    assert_eq!((&outputs["n"], &outputs["second"]), (&json!(50_010), &json!("xxxxx")));
    assert_eq!(outputs["whole"]["bytes"].as_u64().unwrap() / 1_000, 50, "{outputs}");
    assert_eq!(outputs["first"].as_u64().unwrap() / 1_000, 20);
    let mut sizes = shelf.sizes();
    sizes.sort_unstable();
    assert_eq!(sizes.iter().map(|size| size / 1_000).collect::<Vec<_>>(), [20, 50, 50]);
    let entries = bench.journal.entries(&bench.run.id);
    for entry in &entries {
        assert!(serde_json::to_string(entry).unwrap().len() < 2_000, "{entry:?}");
    }
    let Some(Outcome::Stored(stored)) = bench.journal.outcome(&bench.run.id, "a") else { panic!() };
    let text = bench.keeping.get(&bench.run.id, &stored.digest).await.unwrap().unwrap();
    let kept: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(kept["text"].as_str().unwrap().len(), 50_000);
    // Another run's is not found, whoever knows its digest.
    assert_eq!(bench.keeping.get(&RunId::new(), &stored.digest).await.unwrap(), None);
}

#[tokio::test]
async fn a_host_that_ends_at_any_entry_finds_large_outputs_again() {
    let (straight, _) = bench(LARGE, json!({}));
    let expect = straight.go(false).await.unwrap().outputs.unwrap();
    for at in 0.. {
        let (mut bench, shelf) = bench(LARGE, json!({}));
        bench.run.id = straight.run.id.clone();
        bench.journal.breaks(Some(Break { at, written: at % 2 == 0 }));
        if bench.go(false).await.is_ok() {
            assert!(at > 5, "{at}");
            break;
        }
        bench.journal.breaks(None);
        assert_eq!(bench.go(true).await.unwrap().outputs.unwrap(), expect, "broken at {at}");
        assert_eq!(shelf.sizes().len(), 3, "what was kept before is the same");
    }
}

#[tokio::test]
async fn what_is_too_large_or_gone_fails_its_step() {
    let text = "steps:
  - {id: a, type: mcp, on_error: continue, config: {tool_name: large, parameters: 200000}}
outputs: {code: '{{ steps.a.output.code }}'}
";
    let (one, shelf) = bench(text, json!({}));
    assert_eq!(shown(&one.go(false).await.unwrap()), r#"{"code":"output_too_large"}"#);
    assert_eq!(shelf.sizes(), [0_usize; 0]);
    let three = "steps:
  - {id: a, type: mcp, config: {tool_name: large, parameters: 80000}}
  - {id: b, type: mcp, config: {tool_name: large, parameters: 80000}}
  - {id: c, type: mcp, config: {tool_name: large, parameters: 80000}}
  - {id: d, type: set, config: {n: '{{ steps.a.output.text.length + steps.b.output.text.length + steps.c.output.text.length }}'}}
";
    let (two, _) = bench(three, json!({}));
    assert_eq!(shown(&two.go(false).await.unwrap()), "failed: output_too_large at d", "twice as much at once, no more");
    // The store has lost it.
    let text = "steps:
  - {id: a, type: mcp, config: {tool_name: large, parameters: 5000}}
  - {id: w, type: wait, config: {duration: 1h}}
  - {id: b, type: set, config: {n: '{{ steps.a.output.text.length }}'}}
";
    let (mut lost, _) = bench(text, json!({}));
    lost.journal.breaks(Some(Break { at: 2, written: false }));
    assert!(lost.go(false).await.is_err());
    lost.journal.breaks(None);
    lost.keeping.outputs = Some(Arc::new(Shelf::default()));
    assert_eq!(shown(&lost.go(true).await.unwrap()), "failed: artifact_missing at b");
    // Without a store nothing is large, and nothing may be larger than before.
    let mut none =
        Bench::new("steps: [{id: a, type: mcp, config: {tool_name: large, parameters: 1100000}}]", json!({}));
    none.live = Live::within(Arc::default(), Bounds { step: 2_000_000, inline: 1_000, all: 1 << 30 });
    assert_eq!(shown(&none.go(false).await.unwrap()), "failed: output_too_large at a");
    const { assert!(MAX_OUTPUT_BYTES < 1_100_000) };
}

#[tokio::test]
async fn a_step_that_leaves_much_ten_thousand_times_ends_its_run_and_no_more_than_that_is_kept() {
    const ALL: u64 = 1 << 20;
    let text = "steps:
  - id: each
    type: foreach
    on_error: continue
    config: {items: '{{ inputs.list }}', concurrency: 10}
    steps: [{id: a, type: mcp, on_error: continue, config: {tool_name: large, parameters: '{{ 90000 + index }}'}}]
onFailure: [{id: tell, type: mcp, config: {tool_name: t}}]
";
    let (mut one, shelf) = bench(text, json!({"list": (0..10_000).collect::<Vec<_>>()}));
    let room = Arc::new(Room::default());
    one.live = Live::within(room.clone(), Bounds { step: 100_000, inline: 1_000, all: ALL });
    let end = one.go(false).await.unwrap();
    assert!(shown(&end).starts_with("failed: history_full at each["), "{}", shown(&end));
    let kept: usize = shelf.sizes().iter().sum();
    assert!(kept > 900_000 && kept < 1_100_000 + 10 * 90_000, "{kept}");
    assert!(one.done().len() < 30, "{}", one.done().len());
    assert!(!one.done().iter().any(|done| done.starts_with("onFailure")));
    // It has ended, and what it left still counts.
    assert!(room.taken() > 900_000, "{}", room.taken());
    let (mut two, _) = bench("steps: [{id: a, type: mcp, config: {tool_name: t}}]", json!({}));
    room.count(ALL + 1);
    two.live = Live::within(room, Bounds { step: 100_000, inline: 1_000, all: ALL });
    assert_eq!(shown(&two.go(false).await.unwrap()), "failed: history_full at a");
    assert_eq!(two.done(), [""; 0], "nothing was begun");
}

#[tokio::test]
async fn what_a_step_is_given_that_is_large_is_recorded_by_its_size() {
    let text = "steps: [{id: a, type: mcp, config: {tool_name: t, parameters: {text: '{{ inputs.text }}'}}}]";
    let (one, _) = bench(text, json!({"text": "x".repeat(5_000)}));
    one.go(false).await.unwrap();
    let entries = one.journal.entries(&one.run.id);
    let Some(Entry::Began { input, .. }) = entries.first() else { panic!() };
    assert_eq!(input, &json!({"omittedBytes": 5_012}));
}

#[tokio::test]
async fn a_hundred_thousand_items_are_held_a_few_at_a_time() {
    const ITEMS: usize = 100_000;
    const AT_ONCE: usize = 8;
    let text = "steps:
  - id: each
    type: foreach
    config: {items: '{{ inputs.list }}', concurrency: 8}
    steps: [{id: a, type: mcp, config: {tool_name: t, parameters: '{{ item }}'}}]
outputs: {count: '{{ steps.each.output.count }}', truncated: '{{ steps.each.output.truncated }}'}
";
    let mut one = Bench::new(text, json!({"list": (0..ITEMS).collect::<Vec<_>>()}));
    // It would look through the whole journal for each.
    one.doer = Arc::new(Doer::default());
    let shelf = Arc::new(Shelf::default());
    one.keeping.outputs = Some(shelf.clone());
    assert_eq!(shown(&one.go(false).await.unwrap()), r#"{"count":100000,"truncated":true}"#);
    assert_eq!(one.done().len(), ITEMS);
    let most = one.doer.most.load(Ordering::Relaxed);
    assert!((2..=AT_ONCE).contains(&most), "{most} items at work at once");
    // Of each item: what its step began with, or what it and the item came to.
    assert!(one.journal.largest() <= 2, "{} entries wait to be written", one.journal.largest());
    // What is collected of them is the one value that grows with their number, and it is bounded.
    let Some(Outcome::Stored(stored)) = one.journal.outcome(&one.run.id, "each") else { panic!() };
    assert!(stored.bytes < MAX_COLLECTED as u64 + 1_000, "{}", stored.bytes);
    assert_eq!(shelf.sizes().len(), 1);
    // All that is left of them, none twice.
    let entries = one.journal.entries(&one.run.id);
    assert_eq!(entries.len(), ITEMS * 3 + 1);
}
