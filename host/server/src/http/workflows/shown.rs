//! What of a run is shown, and to whom: a viewer sees how it stands and when, and nothing of what it was given,
//! made or said.
//!
//! Deliberately absent: who may know of a run at all, which is asked where it is found.

use remit_domain::{
    access::{Principal, Role},
    clock::rfc3339,
    execution::{Entry, Outcome, RunId, Standing, Status},
};
use serde_json::{Map, Value, json};

/// What somebody may see of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// How they stand, and when what happened.
    Outline,
    /// All but secrets.
    Whole,
}

impl Sight {
    /// That of somebody.
    pub(crate) fn of(principal: &Principal) -> Self {
        if principal.role() >= Role::Agent { Self::Whole } else { Self::Outline }
    }

    pub(super) fn is_whole(self) -> bool {
        self == Self::Whole
    }
}

/// Where a run is found.
pub(super) fn href(run: &RunId) -> String {
    format!("/api/workflows/executions/{run}")
}

/// How a run stands, in brief.
pub(crate) fn summary(standing: &Standing, sight: Sight) -> Value {
    let run = &standing.run;
    let status = standing.end.as_ref().map_or(Status::Running, |end| end.status);
    let mut shown = json!({
        "success": !matches!(status, Status::Failed | Status::Cancelled | Status::Interrupted),
        "executionId": run.id,
        "workflow": run.workflow,
        "agent": run.context.get("agent"),
        "status": status,
        "startedAt": rfc3339(run.began),
        "startedBy": run.by.name,
        "href": href(&run.id),
    });
    if let (Some(origin), Value::Object(members)) = (&run.origin, &mut shown) {
        members.insert("rerunOf".to_owned(), json!({"executionId": origin.run, "from": origin.from}));
    }
    if let (Some(end), Value::Object(members)) = (&standing.end, &mut shown) {
        members.insert("endedAt".to_owned(), rfc3339(end.at).into());
        if let Some(failure) = &end.failure {
            members.insert("code".to_owned(), failure.code.clone().into());
            members.insert("step".to_owned(), failure.path.clone().into());
        }
        if sight.is_whole() {
            members.extend(end.outputs.iter().map(|outputs| ("outputs".to_owned(), outputs.clone())));
            let message = end.failure.as_ref().map(|failure| failure.message.clone());
            members.extend(message.map(|message| ("error".to_owned(), message.into())));
        }
    }
    shown
}

/// Hides from who looks at a run what the answer to who began it holds.
pub(super) fn hide(summary: &mut Value) {
    if let Some(outputs) = summary.get_mut("outputs") {
        *outputs = redacted(outputs);
    }
}

/// Each step with its times, tries and what it was given and came to, in the order in which they began.
pub(super) fn steps<'e>(run: &RunId, entries: impl IntoIterator<Item = &'e Entry>, sight: Sight) -> Value {
    let mut order: Vec<String> = Vec::new();
    let mut steps: Map<String, Value> = Map::new();
    for entry in entries {
        let place = entry.place();
        if place.starts_with('!') || place.starts_with(OUTPUTS) {
            continue;
        }
        if !steps.contains_key(&place) {
            order.push(place.clone());
            steps.insert(place.clone(), json!({"path": place, "status": "running"}));
        }
        let Some(Value::Object(step)) = steps.get_mut(&place) else { continue };
        match entry {
            Entry::Began { attempt, at, input, until, .. } => {
                step.entry("startedAt").or_insert_with(|| rfc3339(*at).into());
                step.insert("attempts".to_owned(), (*attempt).into());
                // What waits to be tried again was given the same as before.
                if sight.is_whole() && !input.is_null() {
                    step.insert("input".to_owned(), redacted(input));
                }
                match until {
                    Some(until) => drop(step.insert("waitsUntil".to_owned(), rfc3339(*until).into())),
                    None => drop(step.remove("waitsUntil")),
                }
            }
            Entry::Ended { at, outcome, .. } => {
                step.insert("endedAt".to_owned(), rfc3339(*at).into());
                step.extend(ended(run, outcome, sight));
            }
            Entry::Resolved { choice, by, .. } => {
                step.insert("decided".to_owned(), json!({"choice": choice, "by": by}));
            }
            Entry::Signalled { .. } | Entry::Cancelled { .. } => {}
        }
    }
    order.into_iter().filter_map(|place| steps.remove(&place)).collect()
}

/// Where a run's own large outputs stand, which are of no step.
const OUTPUTS: &str = "outputs.";

/// What a step came to.
fn ended(run: &RunId, outcome: &Outcome, sight: Sight) -> Map<String, Value> {
    let mut shown = Map::new();
    let (status, output) = match outcome {
        Outcome::Done(output) => ("completed", Some(redacted(output))),
        Outcome::Skipped => ("skipped", None),
        Outcome::Failed { output, failure } => {
            shown.insert("code".to_owned(), failure.code.clone().into());
            ("failed", Some(redacted(output)))
        }
        Outcome::Stored(stored) => {
            let link = format!("{}/artifacts/{}", href(run), stored.digest);
            let output = json!({"artifact": stored.digest, "bytes": stored.bytes, "href": link});
            ("completed", Some(output))
        }
    };
    shown.insert("status".to_owned(), status.into());
    shown.extend(output.filter(|_| sight.is_whole()).map(|output| ("output".to_owned(), output)));
    shown
}

/// An entry of a run's journal as an event: its name and what it says.
pub(super) fn event(run: &RunId, entry: &Entry, sight: Sight) -> (&'static str, Value) {
    let mut said = Map::new();
    let whole = sight.is_whole();
    let (name, at, place) = match entry {
        Entry::Began { path, attempt, at, input, until } => {
            said.insert("attempt".to_owned(), (*attempt).into());
            said.extend(until.map(|until| ("waitsUntil".to_owned(), rfc3339(until).into())));
            said.extend((whole && !input.is_null()).then(|| ("input".to_owned(), redacted(input))));
            (if until.is_some() { "waiting" } else { "began" }, at, Some(("path", path)))
        }
        Entry::Ended { path, at, outcome } => {
            said.extend(ended(run, outcome, sight));
            ("ended", at, Some(("path", path)))
        }
        Entry::Signalled { name, at, payload, by } => {
            said.extend(whole.then(|| ("payload".to_owned(), redacted(payload))));
            said.insert("by".to_owned(), by.clone().into());
            ("signalled", at, Some(("name", name)))
        }
        Entry::Resolved { path, at, choice, by } => {
            said.extend([("choice".to_owned(), json!(choice)), ("by".to_owned(), by.clone().into())]);
            ("resolved", at, Some(("path", path)))
        }
        Entry::Cancelled { at, by } => {
            said.insert("by".to_owned(), by.clone().into());
            ("cancelled", at, None)
        }
    };
    said.extend(place.map(|(key, place)| (key.to_owned(), place.clone().into())));
    said.insert("at".to_owned(), rfc3339(*at).into());
    (name, said.into())
}

/// A value without what its members' names say is secret. Credentials of sources are never here: this is for
/// those that somebody gave as an input, or that a tool was so unwise to answer.
pub(super) fn redacted(value: &Value) -> Value {
    /// How names end that hold secrets, in small letters and without what stands between words.
    const SECRET: [&str; 9] =
        ["password", "passwd", "passphrase", "secret", "token", "apikey", "authorization", "credentials", "privatekey"];
    match value {
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(members) => {
            let member = |(name, member): (&String, &Value)| {
                let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
                let secret = SECRET.iter().any(|ending| plain.ends_with(ending));
                let plain = member.is_null() || member.is_boolean() || member.is_number();
                (name.clone(), if secret && !plain { "[redacted]".into() } else { redacted(member) })
            };
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use remit_domain::{
        execution::{Failure, Stored},
        library::Digest,
    };
    use time::macros::datetime;

    use super::*;

    #[test]
    fn what_is_called_a_secret_is_not_shown() {
        let given = json!({
            "apiKey": "k", "API_KEY": "k", "user": {"passWord": ["x"], "name": "ada"}, "tokens": 7, "token": null,
            "list": [{"client-secret": "s"}], "secretary": "bob",
        });
        let shown = json!({
            "apiKey": "[redacted]", "API_KEY": "[redacted]", "user": {"passWord": "[redacted]", "name": "ada"},
            "tokens": 7, "token": null, "list": [{"client-secret": "[redacted]"}], "secretary": "bob",
        });
        assert_eq!(redacted(&given), shown);
    }

    #[test]
    fn a_step_is_shown_with_its_last_try_and_an_outline_without_what_it_says() {
        let run = RunId::new();
        let at = datetime!(2026-11-23 10:00 UTC);
        let path = || "a".to_owned();
        let failure = Failure {
            code: "broken".to_owned(),
            message: "canary".to_owned(),
            retriable: false,
            retry_after_ms: None,
            path: None,
        };
        let failed = Outcome::Failed { failure, output: json!({"error": "canary"}) };
        let stored = Outcome::Stored(Stored { digest: Digest::of(b"canary"), bytes: 9 });
        let entries = [
            Entry::Began { path: path(), attempt: 1, at, input: json!({"n": "canary"}), until: None },
            Entry::Began { path: path(), attempt: 2, at, input: Value::Null, until: Some(at) },
            Entry::Began { path: path(), attempt: 2, at, input: json!({"n": "canary"}), until: None },
            Entry::Ended { path: path(), at, outcome: failed },
            Entry::Signalled { name: "s".to_owned(), at, payload: json!("canary"), by: None },
            Entry::Ended { path: "b".to_owned(), at, outcome: stored.clone() },
            Entry::Ended { path: "outputs.x".to_owned(), at, outcome: stored },
        ];
        let time = "2026-11-23T10:00:00Z";
        let outline = json!([
            {"path": "a", "status": "failed", "startedAt": time, "attempts": 2, "endedAt": time, "code": "broken"},
            {"path": "b", "status": "completed", "endedAt": time},
        ]);
        assert_eq!(steps(&run, &entries, Sight::Outline), outline);
        let whole = steps(&run, &entries, Sight::Whole);
        assert_eq!(whole.pointer("/0/input"), Some(&json!({"n": "canary"})));
        let link = format!("/api/workflows/executions/{run}/artifacts/{}", Digest::of(b"canary"));
        assert_eq!(whole.pointer("/1/output/href"), Some(&json!(link)));
        for entry in &entries {
            let (_, said) = event(&run, entry, Sight::Outline);
            assert!(!said.to_string().contains("canary"), "{said}");
        }
        let [_, waiting, ..] = &entries;
        let (name, said) = event(&run, waiting, Sight::Whole);
        assert_eq!((name, said), ("waiting", json!({"attempt": 2, "waitsUntil": time, "path": "a", "at": time})));
    }
}
