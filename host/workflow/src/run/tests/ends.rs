//! Runs that must not go on, and what a host that comes back makes of what it finds.

use remit_domain::{
    AgentName,
    access::{Key, Role, Token},
    usage::Quotas,
};

use super::*;
use crate::run::memory::Ring;

#[tokio::test]
async fn variables_are_those_of_the_beginning() {
    let file = File::new(
        "w.yml",
        "name: w\nsteps: [{id: a, type: set, config: {url: '{{ env.ADMIN_URL }}'}}]\noutputs: {url: '{{ steps.a.output.url }}', there: '{{ context.env is defined }}'}\n",
    );
    let mut bench = Bench::new("steps: [{id: a, type: set, config: {x: 1}}]", json!({}));
    bench.plan = crate::plan(&file, &BTreeSet::from(["ADMIN_URL".to_owned()])).unwrap();
    bench.run.context = json!({"company": {"name": "TechStart"}, "env": {"ADMIN_URL": "https://then"}});
    let mut interpreter = bench.interpreter();
    interpreter.env = Arc::new(Map::from_iter([("ADMIN_URL".to_owned(), "https://now".into())]));
    bench.journal.make(&bench.run).await.unwrap();
    let end = interpreter.run(&bench.run, &bench.plan, false, &bench.live).await.unwrap();
    assert_eq!(shown(&end), r#"{"there":false,"url":"https://then"}"#);
}

#[tokio::test]
async fn a_host_that_ends_in_a_pause_goes_on_with_what_is_left_of_it() {
    let text = "steps:
  - {id: a, type: mcp, retry: {attempts: 3, delay: 10s}, config: {tool_name: flaky, parameters: {n: 7}}}
outputs: {n: '{{ steps.a.output.result.n }}'}
";
    // Doing it twice would do harm: that nothing was under way is on record too.
    let bench = Bench::new(text, json!({})).harmful();
    bench.journal.breaks(Some(Break { at: 2, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    assert_eq!(bench.done(), ["a#1"]);
    let waits = bench.journal.recorded(&bench.run.id, "a").await.unwrap();
    let until = OffsetDateTime::from_unix_timestamp(1_700_000_010).unwrap();
    assert_eq!(waits, Recorded::Began { attempt: 2, until: Some(until), resolved: None });
    bench.timer.now.store(1_700_000_004, Ordering::Relaxed);
    assert_eq!(shown(&bench.go(true).await.unwrap()), r#"{"n":7}"#);
    assert_eq!(bench.done(), ["a#1", "a#2", "a#3"]);
    // What was left of 10 seconds, and then 20.
    assert_eq!(bench.timer.now().unix_timestamp(), 1_700_000_030);
    // A try that had begun after the pause is in doubt as any other.
    let bench = Bench::new(text, json!({})).harmful();
    bench.journal.breaks(Some(Break { at: 3, written: false }));
    assert!(bench.go(false).await.is_err());
    bench.journal.breaks(None);
    assert_eq!(shown(&bench.go(true).await.unwrap()), "interrupted: interrupted at a");
}

/// What steps leave that ran beside one that failed, by each way that forks.
const FORKS: [&str; 3] = [
    "type: parallel
    branches:
      left: [{id: a, type: mcp, config: {tool_name: t, parameters: 1}}, {id: f, type: mcp, config: {tool_name: fail}}, {id: n, type: mcp, config: {tool_name: t}}]
      right: [{id: b, type: mcp, on_error: continue, config: {tool_name: fail}}]",
    "type: conditional
    condition: '{{ inputs.yes }}'
    if_true: [{id: a, type: mcp, config: {tool_name: t, parameters: 1}}, {id: b, type: mcp, on_error: continue, config: {tool_name: fail}}, {id: f, type: mcp, config: {tool_name: fail}}, {id: n, type: mcp, config: {tool_name: t}}]",
    "type: switch
    config: {value: '{{ inputs.yes }}'}
    cases: {'true': [{id: a, type: mcp, config: {tool_name: t, parameters: 1}}, {id: b, type: mcp, on_error: continue, config: {tool_name: fail}}, {id: f, type: mcp, config: {tool_name: fail}}, {id: n, type: mcp, config: {tool_name: t}}]}",
];

#[tokio::test]
async fn what_ran_beside_a_failure_is_seen_alike_by_a_run_that_is_taken_up() {
    let expect = r#"{"a":1,"b":"broken","f":"none","n":"none"}"#;
    for fork in FORKS {
        let text = format!(
            "steps:
  - id: fork
    on_error: continue
    {fork}
  - {{id: z, type: mcp, config: {{tool_name: t}}}}
outputs:
  a: \"{{{{ steps.a.output.result ?? 'none' }}}}\"
  b: \"{{{{ steps.b.output.code ?? 'none' }}}}\"
  f: \"{{{{ steps.f.output.code ?? 'none' }}}}\"
  n: \"{{{{ steps.n.output.result ?? 'none' }}}}\"
"
        );
        check(&text, json!({"yes": true}), expect).await;
        for at in 0.. {
            let bench = Bench::new(&text, json!({"yes": true}));
            bench.journal.breaks(Some(Break { at, written: false }));
            if bench.go(false).await.is_ok() {
                assert!(at > 4, "{at}");
                break;
            }
            bench.journal.breaks(None);
            assert_eq!(shown(&bench.go(true).await.unwrap()), expect, "{fork}, broken at {at}");
            assert!(!bench.done().iter().any(|done| done.starts_with("n#")), "{:?}", bench.done());
        }
    }
}

fn key(role: Role, agents: Option<&str>) -> Key {
    let agents = agents.map(|name| BTreeSet::from([AgentName::new(name).unwrap()]));
    Key {
        id: Token::random().unwrap().id().clone(),
        tenant: Some(TenantId::new("techstart").unwrap()),
        role,
        agents,
        label: None,
        created: OffsetDateTime::UNIX_EPOCH,
        expires: None,
        revoked: None,
        quotas: Quotas::NONE,
    }
}

#[tokio::test]
async fn a_key_that_is_gone_ends_what_its_runs_may_do() {
    let text = "steps:
  - {id: a, type: mcp, on_error: continue, config: {tool_name: t}}
  - {id: w, type: wait, config: {duration: 1h}}
  - id: each
    type: foreach
    on_error: continue
    config: {items: [1, 2, 3]}
    steps: [{id: b, type: mcp, on_error: continue, config: {tool_name: t}}]
onFailure: [{id: tell, type: mcp, config: {tool_name: t}}]
";
    let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let valid = key(Role::Agent, Some("sales"));
    let with = |given: Option<Key>| {
        let mut bench = Bench::new(text, json!({}));
        bench.run.by.key = Some(valid.id.as_str().to_owned());
        let ring = Arc::new(Ring::default());
        *ring.0.lock().unwrap() = given.map(|given| Key { id: valid.id.clone(), ..given });
        bench.keeping.keys = Some(ring.clone());
        (bench, ring)
    };
    let (bench, _) = with(Some(valid.clone()));
    assert_eq!(bench.go(false).await.unwrap().status, Status::Completed);
    for (given, code) in [
        (None, "key_revoked"),
        (Some(Key { revoked: Some(now), ..valid.clone() }), "key_revoked"),
        (Some(Key { expires: Some(now), ..valid.clone() }), "key_revoked"),
        (Some(Key { tenant: Some(TenantId::new("other").unwrap()), ..valid.clone() }), "key_revoked"),
        (Some(key(Role::Viewer, None)), "key_revoked"),
        (Some(key(Role::Agent, Some("support"))), "agent_not_allowed"),
    ] {
        let (bench, _) = with(given);
        // Neither `continue` nor steps for failures go on in its name.
        assert_eq!(shown(&bench.go(false).await.unwrap()), format!("failed: {code} at a"));
        assert_eq!(bench.done(), [""; 0]);
    }
    // In the middle of it: from the next step on, and no item goes on either.
    let (mut bench, ring) = with(Some(valid.clone()));
    bench.timer = Arc::new(Jumping { now: AtomicI64::new(1_700_000_000), hurries: true });
    ring.0.lock().unwrap().as_mut().unwrap().expires = Some(now + time::Duration::minutes(30));
    assert_eq!(shown(&bench.go(false).await.unwrap()), "failed: key_revoked at each[0].b");
    assert_eq!(bench.done(), ["a#1"]);
}

#[tokio::test]
async fn an_approval_that_nobody_gives_has_an_outcome_of_its_own() {
    let text = "steps:
  - {id: ok, type: approval, timeout: 1h, on_error: continue, config: {message: 'May I?', approvers: [admin]}}
outputs: {code: '{{ steps.ok.output.code }}', approved: '{{ steps.ok.output.approved }}'}
";
    check(text, json!({}), r#"{"approved":false,"code":"approval_timeout"}"#).await;
}
