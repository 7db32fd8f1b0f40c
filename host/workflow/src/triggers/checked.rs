//! What can be wrong with a workflow's triggers and its concurrency, as far as its file alone says.

use std::{collections::BTreeSet, time::Duration};

use remit_config::{Fault, Located, join};
use remit_domain::{AgentName, schema::Problem};
use serde_json::Value;

use super::{WEBHOOK, schedule};
use crate::{
    authored::{Step, Webhook, Workflow},
    duration,
    expression::{Expr, Form},
    inputs,
};

/// How old a delivery may be, without a word.
pub(super) const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// The most that may be said.
const MAX_TOLERANCE: Duration = Duration::from_secs(60 * 60);
/// The most schedules of one workflow.
const MAX_SCHEDULES: usize = 20;

/// How old a webhook's deliveries may be.
pub(super) fn tolerance(webhook: &Webhook) -> Duration {
    webhook.tolerance.as_deref().and_then(duration::read).unwrap_or(TOLERANCE).min(MAX_TOLERANCE)
}

/// All that is wrong.
pub(crate) fn faults(located: &Located, workflow: &Workflow) -> Vec<Fault> {
    let mut faults = Vec::new();
    concurrency(located, workflow, &mut faults);
    let Some(triggers) = &workflow.triggers else { return faults };
    let schedules = "/triggers/schedules";
    if triggers.schedules.len() > MAX_SCHEDULES {
        faults.push(located.at(schedules, format!("more than {MAX_SCHEDULES} schedules")));
    }
    for (name, it) in &triggers.schedules {
        let at = join(schedules, name);
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name == WEBHOOK || name.is_empty() || name.len() > 64 || !name.chars().all(fit) {
            let fault = located.at_key(&at, format!("`{name}` can't be the name of a schedule"));
            faults.push(fault.hint("letters, digits, `-` and `_`, and not `webhook`"));
        }
        if let Err(message) = schedule::expression(&it.cron) {
            let hint = "minute, hour, day of the month, month, day of the week, such as `0 9 * * MON-FRI`";
            faults.push(located.at(&join(&at, "cron"), message).hint(hint));
        }
        if let Some(Err(message)) = it.timezone.as_deref().map(schedule::zone) {
            let fault = located.at(&join(&at, "timezone"), message);
            faults.push(fault.hint("an IANA name, such as `Europe/Berlin`"));
        }
        given(located, workflow, &at, &it.inputs, &mut faults);
    }
    if let Some(webhook) = &triggers.webhook {
        let over = webhook.tolerance.as_deref().and_then(duration::read).is_some_and(|it| it > MAX_TOLERANCE);
        if over {
            faults.push(located.at("/triggers/webhook/tolerance", "more than `1h`"));
        }
    }
    faults
}

/// What a schedule gives must be what the workflow takes: nobody is there to be told.
fn given(
    located: &Located,
    workflow: &Workflow,
    at: &str,
    given: &serde_json::Map<String, Value>,
    faults: &mut Vec<Fault>,
) {
    let place = join(at, "inputs");
    if Value::Object(given.clone()).to_string().contains("{{") {
        let fault = located.at(&place, "a schedule's inputs hold no expressions");
        faults.push(fault.hint("the workflow's own steps may, such as `{{ now }}`"));
        return;
    }
    if let Err(remit_domain::Error::InvalidArguments(problems)) = inputs::taken(workflow, Value::Object(given.clone()))
    {
        for Problem { pointer, message } in problems {
            let place = if located.get(&place).is_some() { &place } else { at };
            let pointer = pointer.trim_start_matches("/inputs");
            let shown = if pointer.is_empty() { message } else { format!("`{pointer}`: {message}") };
            faults.push(located.at(place, shown));
        }
    }
}

/// A key is told from what a run is given, so that it is the same after a restart.
fn concurrency(located: &Located, workflow: &Workflow, faults: &mut Vec<Fault>) {
    let Some(key) = workflow.concurrency.as_ref().and_then(|it| it.key.as_ref()) else { return };
    let at = "/concurrency/key";
    let form = match Form::read(&Value::String(key.clone())) {
        Ok(form) => form,
        Err(message) => return faults.push(located.at(at, message)),
    };
    let mut strange = BTreeSet::new();
    let mut look = |expr: &Expr| {
        for reference in expr.references() {
            match reference.path.first().map(String::as_str) {
                Some("inputs") | None => {
                    let name = reference.path.get(1);
                    let declared = workflow.inputs.as_ref();
                    if let Some(name) = name.filter(|name| declared.is_some_and(|it| !it.contains_key(*name))) {
                        strange.insert(format!("`inputs` declares no `{name}`"));
                    }
                }
                Some(name) => drop(strange.insert(format!("there is no `{name}` here (known: inputs)"))),
            }
        }
    };
    form.visit(&mut look);
    faults.extend(strange.into_iter().map(|message| located.at(at, message)));
}

/// The agents that steps name.
pub(super) fn agents(workflow: &Workflow) -> BTreeSet<AgentName> {
    fn within(steps: &[Step], found: &mut BTreeSet<AgentName>) {
        for step in steps {
            let named = ["agent_type", "agentType"].into_iter().filter_map(|key| step.config.get(key)?.as_str());
            found.extend(named.filter_map(|name| AgentName::new(name).ok()));
            for (_, steps) in crate::steps::within(step) {
                within(steps, found);
            }
        }
    }
    let mut found = BTreeSet::new();
    within(&workflow.steps, &mut found);
    within(&workflow.on_failure, &mut found);
    found
}
