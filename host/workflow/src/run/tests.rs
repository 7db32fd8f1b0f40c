//! Runs: what comes of them, and that a host may end at any moment.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod any_plan;
mod crashes;
mod ends;
mod generated;
mod large;
mod lives;
mod subs;
mod ways;
mod world;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use remit_config::File;
use remit_domain::{
    TenantId,
    access::Principal,
    execution::{Choice, Made, Outcome, RunId},
};

use super::{
    memory::{Break, Memory},
    *,
};

/// Does what a tool's name says, and notes it.
#[derive(Default)]
struct Doer {
    journal: Mutex<Option<Arc<Memory>>>,
    done: Mutex<Vec<String>>,
    /// What plugins' nodes were given of the step before.
    inputs: Mutex<BTreeMap<String, Value>>,
    /// Whether doing things twice does harm.
    harmful: bool,
    /// How much is done at once, now and at most.
    now: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Performer for Doer {
    async fn harmless(&self, _work: &Work<'_>, keyed: bool) -> bool {
        keyed || !self.harmful
    }

    async fn perform(&self, work: Work<'_>) -> Result<Value, Failure> {
        if let Some(journal) = &*self.journal.lock().unwrap() {
            assert_eq!(journal.outcome(&work.run.id, work.path), None, "{} is recorded and repeated", work.path);
        }
        self.done.lock().unwrap().push(format!("{}#{}", work.path, work.attempt));
        self.most.fetch_max(self.now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        // Whoever else is at work comes to its turn.
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        if let Job::Node { .. } = work.job {
            self.inputs.lock().unwrap().insert(work.path.to_owned(), work.input.clone());
            let way = &work.config["way"];
            if way == "break" {
                return Err(line::failure("broken", "it breaks", None));
            }
            return Ok(json!({"success": true, "branch": way}));
        }
        let Job::Tool { tool, .. } = work.job else { return Err(line::failure("unknown", "no such work", None)) };
        let failure =
            |code: &str, retriable| Failure { retriable, ..line::failure(code, format!("{tool} fails"), None) };
        match tool.as_str() {
            "fail" => Err(failure("broken", false)),
            "flaky" if work.attempt < 3 => Err(failure("source_unavailable", true)),
            "hang" => std::future::pending().await,
            "large" => Ok(
                json!({"success": true, "text": "x".repeat(usize::try_from(work.config.as_u64().unwrap_or(0)).unwrap_or(0))}),
            ),
            _ => Ok(json!({"success": true, "result": work.config, "key": work.key})),
        }
    }
}

/// A clock that jumps to whatever is waited for.
struct Jumping {
    now: AtomicI64,
    hurries: bool,
}

impl Clock for Jumping {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.now.load(Ordering::Relaxed)).unwrap()
    }
}

#[async_trait]
impl Timer for Jumping {
    async fn until(&self, time: OffsetDateTime) {
        if !self.hurries {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        self.now.fetch_max(time.unix_timestamp(), Ordering::Relaxed);
    }

    fn chance(&self) -> f64 {
        1.0
    }
}

struct Bench {
    journal: Arc<Memory>,
    doer: Arc<Doer>,
    timer: Arc<Jumping>,
    plan: Plan,
    run: Run,
    live: Live,
    keeping: Keeping,
}

impl Bench {
    fn new(text: &str, inputs: Value) -> Self {
        let file = File::new("w.yml", format!("name: w\nagentType: sales\n{text}"));
        let plan = crate::plan(&file, &BTreeSet::new()).unwrap_or_else(|faults| panic!("{faults}\n{text}"));
        let run = Run {
            id: RunId::new(),
            tenant: TenantId::new("techstart").unwrap(),
            workflow: "w".to_owned(),
            digest: plan.digest.clone(),
            definition: Value::Null,
            inputs,
            context: json!({"company": {"name": "TechStart"}}),
            began: OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap(),
            key: None,
            pins: BTreeSet::new(),
            by: Principal::anyone().asker(),
            origin: None,
        };
        let journal = Arc::new(Memory::default());
        let doer = Arc::new(Doer { journal: Mutex::new(Some(journal.clone())), ..Doer::default() });
        let timer = Arc::new(Jumping { now: AtomicI64::new(1_700_000_000), hurries: true });
        Self { journal, doer, timer, plan, run, live: Live::new(), keeping: Keeping::default() }
    }

    fn harmful(mut self) -> Self {
        let journal = Mutex::new(Some(self.journal.clone()));
        self.doer = Arc::new(Doer { journal, harmful: true, ..Doer::default() });
        self
    }

    fn interpreter(&self) -> Interpreter {
        let (journal, performer) = (self.journal.clone(), self.doer.clone());
        let keeping = self.keeping.clone();
        Interpreter { journal, performer, timer: self.timer.clone(), env: Arc::default(), keeping }
    }

    async fn go(&self, again: bool) -> Result<End, Error> {
        if !again {
            assert_eq!(self.journal.make(&self.run).await.unwrap(), Made::New);
        }
        self.interpreter().run(&self.run, &self.plan, again, &self.live).await
    }

    fn done(&self) -> Vec<String> {
        self.doer.done.lock().unwrap().clone()
    }
}

/// How a run ends: its outputs, or how else.
fn shown(end: &End) -> String {
    match (&end.outputs, &end.failure) {
        (Some(outputs), _) => outputs.to_string(),
        (None, Some(failure)) => {
            format!("{}: {} at {}", end.status.as_str(), failure.code, failure.path.as_deref().unwrap_or("?"))
        }
        (None, None) => end.status.as_str().to_owned(),
    }
}

async fn check(text: &str, inputs: Value, expect: &str) -> Bench {
    let bench = Bench::new(text, inputs);
    assert_eq!(shown(&bench.go(false).await.unwrap()), expect, "{text}");
    bench
}

#[tokio::test]
async fn steps_run_in_order_and_read_of_each_other() {
    let bench = check(
        "steps:
  - {id: a, type: mcp, config: {tool_name: t, parameters: {n: '{{ inputs.n }}', who: '{{ context.company.name }}'}}}
  - {id: b, type: set, config: {twice: '{{ steps.a.output.result.n * 2 }}', at: '{{ now }}'}}
  - {id: c, type: mcp, condition: '{{ steps.b.output.twice > 5 }}', config: {tool_name: t}}
  - {id: d, type: mcp, condition: '{{ steps.b.output.twice > 50 }}', config: {tool_name: t}}
outputs: {n: '{{ steps.b.output.twice }}', at: '{{ steps.b.output.at }}', d: '{{ steps.d.output.skipped }}'}
",
        json!({"n": 4}),
        r#"{"at":"2023-11-14T22:13:20Z","d":true,"n":8}"#,
    )
    .await;
    assert_eq!(bench.done(), ["a#1", "c#1"]);
    let key = |path: &str| match bench.journal.outcome(&bench.run.id, path) {
        Some(Outcome::Done(output)) => output["key"].as_str().map(str::to_owned),
        _ => None,
    };
    assert_eq!(key("c"), Some(format!("{}/c", bench.run.id)));
}

#[tokio::test]
async fn a_failure_stops_the_run_unless_it_may_go_on() {
    let failing = "steps:
  - {id: a, type: mcp, config: {tool_name: fail}}
  - {id: b, type: mcp, config: {tool_name: t}}
";
    let bench = check(failing, json!({}), "failed: broken at a").await;
    assert_eq!(bench.done(), ["a#1"]);
    check(
        "steps:
  - {id: a, type: mcp, on_error: continue, config: {tool_name: fail}}
  - {id: b, type: set, condition: '{{ steps.a.output.success === false }}', config: {why: '{{ steps.a.output.code }}'}}
",
        json!({}),
        r#"{"a":{"success":false,"error":"fail fails","code":"broken","tool_name":"fail"},"b":{"why":"broken"}}"#,
    )
    .await;
    let bench = check(
        "steps:
  - id: fork
    type: conditional
    condition: '{{ inputs.yes }}'
    if_true: [{id: a, type: mcp, config: {tool_name: fail}}]
onFailure:
  - {id: tell, type: mcp, config: {tool_name: t, parameters: {why: '{{ error.code }} at {{ error.step }}'}}}
",
        json!({"yes": true}),
        "failed: broken at a",
    )
    .await;
    assert_eq!(bench.done(), ["a#1", "onFailure.tell#1"]);
    let Some(Outcome::Done(told)) = bench.journal.outcome(&bench.run.id, "onFailure.tell") else { panic!() };
    assert_eq!(told["result"], json!({"why": "broken at a"}));
    check("steps: [{id: a, type: set, config: {x: '{{ inputs.none }}'}}]", json!({}), "failed: expression at a").await;
    check(
        "steps: [{id: a, type: conditional, condition: '{{ inputs.n }}', if_true: [{id: b, type: set, config: {x: 1}}]}]",
        json!({"n": 1}),
        "failed: expression at a",
    )
    .await;
}

#[tokio::test]
async fn a_failed_step_is_tried_again_before_on_error_decides() {
    let bench = check(
        "steps:
  - {id: a, type: mcp, retry: {attempts: 3, delay: 10s}, config: {tool_name: flaky}}
outputs: {ok: '{{ steps.a.output.success }}'}
",
        json!({}),
        r#"{"ok":true}"#,
    )
    .await;
    assert_eq!(bench.done(), ["a#1", "a#2", "a#3"]);
    // 10 seconds, then 20.
    assert_eq!(bench.timer.now().unix_timestamp() - 1_700_000_000, 30);
    let few = "steps: [{id: a, type: mcp, retry: {attempts: 2}, config: {tool_name: flaky}}]";
    assert_eq!(check(few, json!({}), "failed: source_unavailable at a").await.done().len(), 2);
    let other = "steps: [{id: a, type: mcp, retry: {attempts: 5, on: [timeout]}, config: {tool_name: flaky}}]";
    assert_eq!(check(other, json!({}), "failed: source_unavailable at a").await.done().len(), 1);
    let never = "steps: [{id: a, type: mcp, retry: {attempts: 5}, config: {tool_name: fail}}]";
    assert_eq!(check(never, json!({}), "failed: broken at a").await.done().len(), 1);
    let hangs = "steps: [{id: a, type: mcp, retry: {attempts: 2}, timeout: 5s, config: {tool_name: hang}}]";
    assert_eq!(check(hangs, json!({}), "failed: timeout at a").await.done(), ["a#1", "a#2"]);
}

#[tokio::test]
async fn ways_fork_and_join() {
    check(
        "steps:
  - id: s
    type: switch
    config: {value: '{{ inputs.tier }}'}
    cases: {gold: [{id: g, type: set, config: {rate: 3}}], '2': [{id: two, type: set, config: {rate: 2}}]}
    default: [{id: d, type: set, config: {rate: 1}}]
outputs: {rate: '{{ (steps.g.output ?? steps.two.output ?? steps.d.output).rate }}', case: '{{ steps.s.output.case }}'}
",
        json!({"tier": 2}),
        r#"{"case":"2","rate":2}"#,
    )
    .await;
    let bench = check(
        "steps:
  - id: p
    type: parallel
    branches:
      left: [{id: a, type: mcp, config: {tool_name: t, parameters: 1}}, {id: b, type: mcp, config: {tool_name: t, parameters: '{{ steps.a.output.result + 1 }}'}}]
      right: [{id: c, type: mcp, config: {tool_name: t, parameters: 10}}]
outputs: {sum: '{{ steps.b.output.result + steps.c.output.result }}'}
",
        json!({}),
        r#"{"sum":12}"#,
    )
    .await;
    assert_eq!(bench.done(), ["a#1", "c#1", "b#1"]);
    let bench = check(
        "steps:
  - id: each
    type: foreach
    config: {items: '{{ inputs.list }}', concurrency: 2}
    steps:
      - {id: one, type: mcp, config: {tool_name: t, parameters: {n: '{{ item * 10 + index }}'}}}
      - {id: two, type: set, config: {n: '{{ steps.one.output.result.n }}'}}
outputs: {all: \"{{ steps.each.output.results | pluck('n') }}\", count: '{{ steps.each.output.count }}'}
",
        json!({"list": [3, 2, 1]}),
        r#"{"all":[30,21,12],"count":3}"#,
    )
    .await;
    assert_eq!(bench.done(), ["each[0].one#1", "each[1].one#1", "each[2].one#1"]);
    // Those at work come to their end; no further one begins, even while the first are still at it.
    let slow = "{id: s, type: mcp, retry: {attempts: 3, delay: 1s}, config: {tool_name: flaky}}";
    let text = format!(
        "steps:
  - id: each
    type: foreach
    config: {{items: [slow, slow, fail, late, late], concurrency: 3}}
    steps:
      - {{id: pick, type: conditional, condition: \"{{{{ item == 'fail' }}}}\", if_true: [{{id: f, type: mcp, config: {{tool_name: fail}}}}], if_false: [{slow}]}}
"
    );
    let bench = check(&text, json!({}), "failed: broken at each[2].f").await;
    assert!(
        !bench.done().iter().any(|done| done.starts_with("each[3]") || done.starts_with("each[4]")),
        "{:?}",
        bench.done()
    );
    let bench = check(
        "steps:
  - id: each
    type: foreach
    config: {items: [t, fail, t, t, t], concurrency: 2}
    steps:
      - {id: pick, type: conditional, condition: \"{{ item == 'fail' }}\", if_true: [{id: f, type: mcp, config: {tool_name: fail}}], if_false: [{id: t, type: mcp, config: {tool_name: t}}]}
",
        json!({}),
        "failed: broken at each[1].f",
    )
    .await;
    assert!(bench.done().len() <= 3, "{:?}", bench.done());
}

#[tokio::test]
async fn a_wait_lasts_as_long_as_it_was_said_at_first() {
    let text = "steps:
  - {id: w, type: wait, config: {duration: 2h}}
  - {id: u, type: wait, config: {until: '2023-11-16T00:00:00Z'}}
";
    let bench = check(
        text,
        json!({}),
        r#"{"w":{"success":true,"until":"2023-11-15T00:13:20Z"},"u":{"success":true,"until":"2023-11-16T00:00:00Z"}}"#,
    )
    .await;
    assert_eq!(bench.timer.now().unix_timestamp(), 1_700_092_800);
    // The host ends while the first wait is on, and comes back an hour later.
    let bench = Bench::new(text, json!({}));
    bench.journal.breaks(Some(Break { at: 1, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    bench.timer.now.store(1_700_003_600, Ordering::Relaxed);
    let end = bench.go(true).await.unwrap();
    assert_eq!(end.outputs.unwrap()["w"]["until"], "2023-11-15T00:13:20Z");
}

#[tokio::test]
async fn an_approval_waits_for_its_signal() {
    let text = "steps:
  - {id: ok, type: approval, timeout: 1h, config: {message: 'May I?'}}
outputs: {yes: '{{ steps.ok.output.approved }}', by: '{{ steps.ok.output.by }}'}
";
    check(text, json!({}), "failed: approval_timeout at ok").await;
    let mut bench = Bench::new(text, json!({}));
    bench.timer = Arc::new(Jumping { now: AtomicI64::new(1_700_000_000), hurries: false });
    let answered = async {
        while bench.journal.entries(&bench.run.id).is_empty() {
            tokio::task::yield_now().await;
        }
        let entry = Entry::Signalled {
            name: "ok".to_owned(),
            at: bench.timer.now(),
            payload: json!({"approved": true}),
            by: Some("ada".to_owned()),
        };
        bench.journal.append(&bench.run.id, &[entry]).await.unwrap();
        bench.live.signalled.notify_waiters();
    };
    let (end, ()) = tokio::join!(bench.go(false), answered);
    assert_eq!(shown(&end.unwrap()), r#"{"by":"ada","yes":true}"#);
}

#[tokio::test]
async fn a_cancelled_run_stops_where_it_is_and_says_so() {
    let text = "steps:
  - {id: a, type: mcp, config: {tool_name: t}}
  - {id: b, type: mcp, config: {tool_name: hang}}
onFailure: [{id: tell, type: mcp, config: {tool_name: t, parameters: '{{ error.status }}'}}]
";
    let bench = Bench::new(text, json!({}));
    let cancelled = async {
        while bench.done().len() < 2 {
            tokio::task::yield_now().await;
        }
        bench.live.cancel.cancel();
    };
    let (end, ()) = tokio::join!(bench.go(false), cancelled);
    assert_eq!(shown(&end.unwrap()), "cancelled");
    assert_eq!(bench.done(), ["a#1", "b#1", "onFailure.tell#1"]);
}
