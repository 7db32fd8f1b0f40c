//! Times that begin runs once each, over restarts and clock changes, and requests that prove themselves.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use hmac::{Hmac, KeyInit, Mac};
use remit_domain::execution::{Filter, Standing, Status};
use time::macros::datetime;

use super::*;
use crate::house::{House, NOON, SECRET};

fn daily(more: &str) -> String {
    format!(
        "name: w
triggers:
  schedules:
    daily: {{cron: '30 2 * * *', timezone: Europe/Berlin{more}}}
inputs: {{n: {{type: integer, default: 7}}}}
steps:
  - {{id: a, type: mcp, config: {{tool_name: t}}}}
  - {{id: b, type: mcp, config: {{tool_name: t, agent_type: support}}}}
"
    )
}

async fn runs(house: &House) -> Vec<Standing> {
    let mut runs = house.workflows.list(&house.context.tenant, &Filter::default(), 1_000).await.unwrap();
    runs.reverse();
    runs
}

/// Sets the clock and begins what is due. How many runs there are then.
async fn at(house: &House, time: OffsetDateTime) -> usize {
    house.time.set(time);
    house.triggers.tick().await.unwrap();
    runs(house).await.len()
}

#[tokio::test]
async fn each_time_begins_one_run_also_where_clocks_change() {
    let house = House::new();
    house.time.set(datetime!(2026-03-28 00:00 UTC));
    house.store(&daily("")).await.unwrap();
    assert_eq!(at(&house, datetime!(2026-03-28 00:00:01 UTC)).await, 0);
    assert_eq!(at(&house, datetime!(2026-03-28 01:29:59 UTC)).await, 0);
    assert_eq!(at(&house, datetime!(2026-03-28 01:30:00 UTC)).await, 1);
    assert_eq!(at(&house, datetime!(2026-03-28 01:30:01 UTC)).await, 1, "once");
    // There is no 02:30 on this day: it comes when the gap is over.
    assert_eq!(at(&house, datetime!(2026-03-29 00:59:59 UTC)).await, 1);
    assert_eq!(at(&house, datetime!(2026-03-29 01:00:00 UTC)).await, 2);
    assert_eq!(at(&house, datetime!(2026-03-29 23:00:00 UTC)).await, 2);
    let next = house.triggers.shown(&house.context, &house.workflows.shelf().find(&house.context.tenant, "w").unwrap());
    assert_eq!(next[0]["nextAt"], "2026-03-30T00:30:00Z");
    assert_eq!(next[0]["lastAt"], "2026-03-29T01:00:00Z");
    // And two on this one, of which the first counts.
    assert_eq!(at(&house, datetime!(2026-10-24 23:00 UTC)).await, 3, "what was missed meanwhile, once");
    assert_eq!(at(&house, datetime!(2026-10-25 00:30 UTC)).await, 4);
    assert_eq!(at(&house, datetime!(2026-10-25 01:30 UTC)).await, 4);
    assert_eq!(at(&house, datetime!(2026-10-26 01:30 UTC)).await, 5);
    let deeds = house.deeds.0.lock().unwrap().clone();
    let begun: Vec<(String, Value)> =
        deeds.iter().map(|deed| (deed.action.as_str().to_owned(), deed.details().clone())).collect();
    let by = json!({"workflow": "w", "by": "schedule:w"});
    assert_eq!(begun, vec![("execution.start".to_owned(), by); 5], "each is on record once");
    let first = &runs(&house).await[0].run;
    assert_eq!((first.by.name.as_str(), &first.inputs), ("schedule:w", &json!({"n": 7})));
    let agents = first.by.agents.clone().unwrap();
    assert_eq!(agents.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["sales", "support"], "listed, and named");
}

#[tokio::test]
async fn a_host_that_ends_at_any_write_begins_one_run_a_time() {
    for after in 0..4 {
        let house = House::new();
        house.store(&daily("")).await.unwrap();
        house.triggers.tick().await.unwrap();
        house.kept.breaks(Some(after));
        house.time.set(datetime!(2026-11-24 01:30 UTC));
        let ticked = house.triggers.tick().await;
        assert_eq!(ticked.is_err(), after < 2, "{after}");
        house.kept.breaks(None);
        let house = house.again().await;
        assert_eq!(at(&house, datetime!(2026-11-24 01:31 UTC)).await, 1, "{after}");
        assert_eq!(at(&house, datetime!(2026-11-24 01:32 UTC)).await, 1, "{after}");
        let trigger = house.kept.trigger("daily").unwrap();
        assert_eq!((trigger.due, trigger.run), (None, Some(runs(&house).await[0].run.id.clone())));
    }
}

#[tokio::test]
async fn missed_times_begin_one_run_or_none() {
    for (more, expect) in [("", 1), (", catchUp: once", 1), (", catchUp: none", 0)] {
        let house = House::new();
        house.store(&daily(more)).await.unwrap();
        house.triggers.tick().await.unwrap();
        let house = house.again().await;
        assert_eq!(at(&house, datetime!(2026-11-30 09:00 UTC)).await, expect, "{more}");
        assert_eq!(at(&house, datetime!(2026-11-30 09:01 UTC)).await, expect, "{more}");
        assert_eq!(at(&house, datetime!(2026-12-01 01:30:59 UTC)).await, expect + 1, "in time, nearly");
    }
}

#[tokio::test]
async fn a_time_whose_run_was_on_record_is_begun_whatever_the_rule_for_missed_ones() {
    let house = House::new();
    house.store(&daily(", catchUp: none")).await.unwrap();
    house.triggers.tick().await.unwrap();
    // The time is on record, and then the host ends.
    house.kept.breaks(Some(1));
    house.journal.breaks(None);
    house.time.set(datetime!(2026-11-24 01:30 UTC));
    assert!(house.triggers.tick().await.is_err());
    house.kept.breaks(None);
    let house = house.again().await;
    assert_eq!(at(&house, datetime!(2026-11-24 05:00 UTC)).await, 1);
}

#[tokio::test]
async fn a_schedule_begins_nothing_while_it_is_paused_and_nothing_for_times_before_it_was_there() {
    let house = House::new();
    house.store(&daily("")).await.unwrap();
    assert_eq!(at(&house, NOON).await, 0, "02:30 of this day is over");
    let pause = async |house: &House, trigger: &str, paused: bool| {
        house.triggers.pause(&house.context, "w", trigger, paused).await
    };
    assert_eq!(pause(&house, "daily", true).await.unwrap()[0]["paused"], true);
    let house = house.again().await;
    assert_eq!(at(&house, datetime!(2026-11-25 09:00 UTC)).await, 0);
    // A faulty file for a while does not set it going.
    house.storing.remove(&house.context.tenant, "w", None).await.unwrap();
    house.triggers.tick().await.unwrap();
    house.store(&daily("")).await.unwrap();
    assert_eq!(at(&house, datetime!(2026-11-26 09:00 UTC)).await, 0);
    let resumed = pause(&house, "daily", false).await.unwrap();
    assert_eq!((&resumed[0]["paused"], &resumed[0]["nextAt"]), (&json!(false), &json!("2026-11-27T01:30:00Z")));
    assert_eq!(at(&house, datetime!(2026-11-26 09:00:30 UTC)).await, 0);
    assert_eq!(at(&house, datetime!(2026-11-27 01:30 UTC)).await, 1);
    // With other times it begins anew.
    house.store(&daily("").replace("30 2", "30 9")).await.unwrap();
    assert_eq!(at(&house, datetime!(2026-11-27 09:00 UTC)).await, 1);
    assert_eq!(at(&house, datetime!(2026-11-28 08:30 UTC)).await, 2);
    for unknown in ["weekly", WEBHOOK] {
        assert_eq!(pause(&house, unknown, true).await.err().map(|error| error.code()), Some("workflow_missing"));
    }
    // One that is gone is forgotten.
    house.storing.remove(&house.context.tenant, "w", None).await.unwrap();
    house.triggers.tick().await.unwrap();
    assert_eq!(house.kept.trigger("daily"), None);
}

#[tokio::test]
async fn a_start_that_is_refused_is_told_and_one_that_passes_is_tried_again() {
    let house = House::new();
    let held = daily("")
        .replace("tool_name: t}", "tool_name: hold}")
        .replace("inputs:", "concurrency: {limit: 1, queue: 0}\ninputs:");
    house.store(&held).await.unwrap();
    house.triggers.tick().await.unwrap();
    assert_eq!(at(&house, datetime!(2026-11-24 01:30 UTC)).await, 1);
    assert_eq!(at(&house, datetime!(2026-11-25 01:30 UTC)).await, 1, "the first is still at work");
    let trigger = house.kept.trigger("daily").unwrap();
    assert_eq!(trigger.due, Some(datetime!(2026-11-25 01:30 UTC)));
    assert!(trigger.problem.unwrap().contains("concurrency.queue"));
    house.hands.go.send_replace(true);
    let ended = |standing: &Standing| standing.end.as_ref().is_some_and(|end| end.status == Status::Completed);
    let all = async || {
        while !runs(&house).await.iter().all(ended) {
            tokio::task::yield_now().await;
        }
    };
    all().await;
    assert_eq!(at(&house, datetime!(2026-11-25 01:31 UTC)).await, 2);
    all().await;
    // Whose tenant is away is neither begun nor forgotten.
    *house.tenants.away.lock().unwrap() = true;
    assert_eq!(at(&house, datetime!(2026-11-26 01:31 UTC)).await, 2);
    *house.tenants.away.lock().unwrap() = false;
    assert_eq!(at(&house, datetime!(2026-11-26 01:40 UTC)).await, 3);
}

const HOOKED: &str = "name: w
agentType: sales
triggers: {webhook: {secret: orders, tolerance: 5m}}
inputs: {n: {type: integer}}
steps: [{id: a, type: mcp, config: {tool_name: t}}]
";

/// A request, signed at a time.
fn signed(secret: &str, sent: OffsetDateTime, body: &str) -> (String, String) {
    let timestamp = sent.unix_timestamp().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let signature = format!("sha256={}", crate::plan::hex(&mac.finalize().into_bytes()));
    (timestamp, signature)
}

/// What comes of it: the run and whether it was there before, or why not.
async fn deliver(
    house: &House,
    (name, word, body): (&str, &str, &str),
    (timestamp, signature): &(String, String),
) -> Result<(String, bool), String> {
    let request = Request { timestamp, signature, word, body: body.as_bytes() };
    let why = |refusal: Refusal| match refusal {
        Refusal::Other(error) => error.code().to_owned(),
        other => format!("{other:?}"),
    };
    let proven = house.triggers.prove("a", name, request).map_err(why)?;
    let begun = house.triggers.deliver(proven, serde_json::from_str(body).unwrap()).await.map_err(why)?;
    Ok((begun.id.to_string(), !begun.is_new))
}

fn refusal(refusal: &str) -> Result<(String, bool), String> {
    Err(refusal.to_owned())
}

#[tokio::test]
async fn a_delivery_that_proves_itself_begins_one_run() {
    let house = House::new();
    house.store(HOOKED).await.unwrap();
    let body = r#"{"n": 1}"#;
    let proof = signed(SECRET, NOON, body);
    let (run, repeated) = deliver(&house, ("w", "d-1", body), &proof).await.unwrap();
    assert!(!repeated);
    assert_eq!(runs(&house).await[0].run.by.name, "hook:w");
    // The sender repeats it: the same bytes, or signed anew.
    assert_eq!(deliver(&house, ("w", "d-1", body), &proof).await, Ok((run.clone(), true)));
    let later = signed(SECRET, NOON + time::Duration::seconds(60), body);
    assert_eq!(deliver(&house, ("w", "d-1", body), &later).await, Ok((run, true)));
    // Somebody else repeats what they saw, under another name or none.
    for word in ["d-2", ""] {
        assert_eq!(deliver(&house, ("w", word, body), &proof).await, refusal("Replayed"));
    }
    let house = house.again().await;
    assert_eq!(deliver(&house, ("w", "d-3", body), &proof).await, refusal("Replayed"), "over a restart too");
    let unnamed = signed(SECRET, NOON + time::Duration::seconds(1), body);
    assert!(deliver(&house, ("w", "", body), &unnamed).await.is_ok_and(|(_, repeated)| !repeated));
    assert_eq!(deliver(&house, ("w", "", body), &unnamed).await, refusal("Replayed"));
    assert_eq!(runs(&house).await.len(), 2);
    let odd = signed(SECRET, NOON, "{}");
    assert_eq!(deliver(&house, ("w", "d-4", "{}"), &odd).await, refusal("invalid_arguments"));
}

#[tokio::test]
async fn who_does_not_know_the_secret_learns_nothing() {
    let house = House::new();
    house.store(HOOKED).await.unwrap();
    house.store(&HOOKED.replace("name: w", "name: unset").replace("orders", "other")).await.unwrap();
    house.store("name: plain\nsteps: [{id: a, type: set, config: {x: 1}}]\n").await.unwrap();
    let body = r#"{"n": 1}"#;
    let right = signed(SECRET, NOON, body);
    for (name, proof) in [
        ("w", signed("another secret", NOON, body)),
        ("w", signed("", NOON, body)),
        ("w", (right.0.clone(), String::new())),
        ("w", ("0".to_owned(), right.1.clone())),
        ("unset", right.clone()),
        ("unset", signed("", NOON, body)),
        ("plain", right.clone()),
        ("gone", right.clone()),
        ("gone", signed("", NOON, body)),
    ] {
        assert_eq!(deliver(&house, (name, "", body), &proof).await, refusal("Unknown"), "{name} {proof:?}");
    }
    let old = signed(SECRET, NOON - time::Duration::seconds(301), body);
    assert_eq!(deliver(&house, ("w", "", body), &old).await, refusal("Stale"));
    house.triggers.pause(&house.context, "w", WEBHOOK, true).await.unwrap();
    assert_eq!(deliver(&house, ("w", "", body), &right).await, refusal("Paused"));
    house.triggers.pause(&house.context, "w", WEBHOOK, false).await.unwrap();
    assert!(deliver(&house, ("w", "", body), &right).await.is_ok());
    let nobody = Request { timestamp: &right.0, signature: &right.1, word: "", body: body.as_bytes() };
    assert!(matches!(house.triggers.prove("b", "w", nobody), Err(Refusal::Unknown)));
    assert!(matches!(house.triggers.prove("Not A Tenant", "w", nobody), Err(Refusal::Unknown)));
}

#[test]
fn triggers_are_checked_with_their_file() {
    let faults = |text: &str| {
        let text = format!(
            "name: w\ninputs: {{n: {{type: integer}}}}\n{text}\nsteps: [{{id: a, type: set, config: {{x: 1}}}}]\n"
        );
        let found = crate::parse(&remit_config::File::new("w.yml", text), &BTreeSet::new());
        found.err().map(|faults| faults.to_string()).unwrap_or_default()
    };
    let mut wrong: Vec<String> = Vec::new();
    for (text, expect) in [
        ("triggers: {schedules: {d: {cron: '0 9 * * *', inputs: {n: 1}}}}", ""),
        ("concurrency: {limit: 2, key: 'x-{{ inputs.n }}'}", ""),
        (
            "triggers: {schedules: {d: {cron: '0 9 * *', timezone: Europe/Berlyn, inputs: {n: a}}}}",
            "w.yml:3:34: `0 9 * *` is no schedule",
        ),
        (
            "triggers: {schedules: {d: {cron: '0 9 * * *', timezone: Mars, inputs: {n: 1}}}}",
            "w.yml:3:57: unknown time zone `Mars`",
        ),
        ("triggers: {schedules: {d: {cron: '0 9 * * *'}}}", "w.yml:3:27: \"n\" is a required property"),
        (
            "triggers: {schedules: {d: {cron: '0 9 * * *', inputs: {n: '{{ now }}'}}}}",
            "w.yml:3:55: a schedule's inputs hold no expressions",
        ),
        (
            "triggers: {schedules: {webhook: {cron: '0 9 * * *', inputs: {n: 1}}}}",
            "w.yml:3:24: `webhook` can't be the name of a schedule",
        ),
        ("triggers: {webhook: {secret: s, tolerance: 2h}}", "w.yml:3:44: more than `1h`"),
        ("concurrency: {limit: 0}", "w.yml:3:22: "),
        ("concurrency: {limit: 1, key: '{{ inputs.m ~ now }}'}", "w.yml:3:30: `inputs` declares no `m`"),
    ] {
        let found = faults(text);
        wrong.extend(
            (!found.starts_with(expect) || found.is_empty() != expect.is_empty()).then(|| format!("{text}\n{found}")),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}
