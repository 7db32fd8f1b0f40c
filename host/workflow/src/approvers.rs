//! Who may give an approval, as its step names them: a role (`admin`: whoever has it or a higher one), a key
//! (`key:<id>`), or somebody of an authorization server (`oauth:<issuer>#<name>`).
//!
//! They are written out and no expressions: whoever begins a run does not choose who approves of it. A key is named
//! by its id alone, for whoever may make keys may call one as they like.
//! Deliberately absent: whether somebody may know of the run at all, which is asked first.

use remit_domain::{
    Error,
    access::{Identity, KeyId, Principal, Role},
};
use serde_json::Value;

use crate::{Plan, authored::Step};

/// Somebody who may give an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Approver {
    Role(Role),
    /// By its id.
    Key(KeyId),
    /// As audit events name them.
    Subject(String),
}

impl Approver {
    /// Reads one. `None` if it is of no such form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.contains("{{") {
            return None;
        }
        match text.split_once(':') {
            Some(("key", id)) => KeyId::new(id).map(Self::Key),
            Some(("oauth", rest)) if rest.contains('#') => Some(Self::Subject(text.to_owned())),
            None => Role::of(text).filter(|role| *role > Role::Viewer).map(Self::Role),
            Some(_) => None,
        }
    }

    /// Whether somebody is meant.
    fn is(&self, who: &Principal) -> bool {
        match self {
            Self::Role(role) => who.role() >= *role,
            Self::Key(id) => who.key() == Some(id),
            Self::Subject(name) => matches!(who.identity(), Identity::Subject(subject) if subject.as_str() == name),
        }
    }
}

/// How approvers are written, for hints.
pub(crate) const FORMS: &str = "a role (agent, admin, operator), `key:<id>` or `oauth:<issuer>#<name>`";

/// The approvers that a step's `config` lists; `None` if it lists none. Errors: what is none.
pub(crate) fn listed(step: &Step) -> Option<Result<Vec<Approver>, Vec<usize>>> {
    let listed = match step.config.get("approvers")? {
        Value::Array(listed) if !listed.is_empty() => listed,
        _ => return Some(Err(Vec::new())),
    };
    let read: Vec<Option<Approver>> = listed.iter().map(|it| it.as_str().and_then(Approver::read)).collect();
    let wrong: Vec<usize> = read.iter().enumerate().filter(|(_, it)| it.is_none()).map(|(at, _)| at).collect();
    Some(if wrong.is_empty() { Ok(read.into_iter().flatten().collect()) } else { Err(wrong) })
}

/// Whether somebody may give the approval at a place of a run.
///
/// Errors: [`Error::ExecutionState`] if there is no approval; [`Error::NotApprover`].
pub(crate) fn admit(plan: &Plan, path: &str, who: &Principal) -> Result<(), Error> {
    let Some((id, step)) = at(plan, path).filter(|(_, step)| step.kind == "approval") else {
        return Err(Error::ExecutionState { is: "running", reason: "nothing waits for such a signal" });
    };
    let Some(approvers) = listed(step) else { return Ok(()) };
    // What can't be read names nobody.
    let approvers = approvers.unwrap_or_default();
    if approvers.iter().any(|approver| approver.is(who)) {
        return Ok(());
    }
    let named = step.config.get("approvers").and_then(Value::as_array);
    let named = named.into_iter().flatten().filter_map(Value::as_str);
    Err(Error::NotApprover { step: id, approvers: named.collect::<Vec<_>>().join(", "), by: who.name().to_owned() })
}

/// The step at a place of a run, with its id: of `each[3].call/onFailure.ok` it is the step `ok` of the workflow that
/// `call` calls. Ids are unique in a file.
fn at<'p>(plan: &'p Plan, path: &str) -> Option<(String, &'p Step)> {
    let mut workflow = &plan.authored;
    let mut ids = path.split('/').map(|part| part.rsplit('.').next().unwrap_or(part)).peekable();
    while let Some(id) = ids.next() {
        let step = found(&workflow.steps, id).or_else(|| found(&workflow.on_failure, id))?;
        if ids.peek().is_none() {
            return Some((id.to_owned(), step));
        }
        let called = step.config.get("name").and_then(Value::as_str).filter(|_| step.kind == "workflow")?;
        workflow = &plan.subs.get(called)?.plan.authored;
    }
    None
}

/// A step by its id, wherever it stands.
fn found<'w>(steps: &'w [Step], id: &str) -> Option<&'w Step> {
    steps.iter().find_map(|step| {
        if step.id == id {
            return Some(step);
        }
        let named = step.branches.values().chain(step.cases.values());
        let plain = [&step.if_true, &step.if_false, &step.steps, &step.default];
        plain.into_iter().chain(named).find_map(|steps| found(steps, id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvers_are_roles_keys_and_subjects() {
        let read = Approver::read;
        assert_eq!(read("admin"), Some(Approver::Role(Role::Admin)));
        let key = KeyId::new("4kd93hdks83hdk2x").map(Approver::Key);
        assert!(key.is_some() && read("key:4kd93hdks83hdk2x") == key);
        let subject = "oauth:https://login.example.com/#ada";
        assert_eq!(read(subject), Some(Approver::Subject(subject.to_owned())));
        for none in
            ["", "viewer", "boss", "key:", "key:ops lead", "oauth:ada", "role:admin", "{{ inputs.who }}", "key:{{ x }}"]
        {
            assert_eq!(read(none), None, "{none}");
        }
        let anyone = Principal::anyone();
        assert!(Approver::Role(Role::Operator).is(&anyone));
        assert!(key.is_some_and(|key| !key.is(&anyone)), "nobody proved to be that");
        assert!(!Approver::Role(Role::Agent).is(&Principal::nobody()));
    }
}
