//! A guest whose kinds of workflow step attack the host: while they are asked what a step needs, or while
//! they run. Each is named for what it does.
//!
//! It fills the contract by hand: the SDK would not let it.

use remit_sdk::{
    Permission,
    bindings::{
        remit::plugin::types::{CallError, Need, Problem},
        stepping::exports::remit::plugin::nodes::{Description, Node, Outcome, Repeat, Validated},
    },
};

const MIB: usize = 1 << 20;

/// All kinds: those that attack when they are asked, and those that attack when they run.
const KINDS: [&str; 16] = [
    "asked_for_ever",
    "asked_and_traps",
    "asked_and_floods",
    "asked_and_finds_too_much",
    "asked_and_needs_a_thousand",
    "asked_and_needs_no_name",
    "asked_and_blames_elsewhere",
    "asked_for_what_it_may_not",
    "runs_for_ever",
    "runs_astray",
    "runs_nowhere",
    "runs_against_its_schema",
    "runs_to_a_list",
    "runs_to_no_json",
    "runs_to_a_flood",
    "runs_off_with_a_source",
];

/// What it says of itself, which is true.
pub fn description() -> Description {
    let node = |name: &&str| Node {
        name: (*name).to_owned(),
        title: None,
        description: "Attacks the host.".to_owned(),
        config_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: Some(r#"{"type":"object","properties":{"fine":{"type":"boolean"}}}"#.to_owned()),
        branches: if name.ends_with("where") || name.ends_with("astray") {
            vec!["here".to_owned()]
        } else {
            Vec::new()
        },
        repeat: Repeat::Harmless,
        needs: Vec::new(),
    };
    Description {
        name: "hostile-nodes".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        nodes: KINDS.iter().map(node).collect(),
    }
}

/// What it says of a step's configuration.
pub fn validate(node: &str) -> Result<Validated, Vec<Problem>> {
    let problem = |pointer: &str, message: String| Problem { pointer: pointer.to_owned(), message };
    match node {
        "asked_for_ever" => spin(),
        "asked_and_traps" => trap(),
        "asked_and_floods" => Err(vec![problem("", "x".repeat(MIB))]),
        "asked_and_finds_too_much" => Err((0..100_000).map(|at| problem("/a", format!("{at}"))).collect()),
        "asked_and_needs_a_thousand" => {
            needing((0..1_000).map(|at| need(&format!("source{at}"), Permission::Read)).collect())
        }
        "asked_and_needs_no_name" => needing(vec![need("../primary", Permission::Read)]),
        "asked_and_blames_elsewhere" => {
            Err(vec![problem("/../../../inputs", "a line\nand an \u{1b}[31minvented: one".to_owned())])
        }
        "asked_for_what_it_may_not" => needing(vec![need("primary", Permission::Write)]),
        _ => needing(Vec::new()),
    }
}

/// What it does when it runs.
pub fn execute(node: &str) -> Result<Outcome, CallError> {
    let outcome = |output: &str, branch: Option<&str>| {
        Ok(Outcome { output: output.to_owned(), branch: branch.map(str::to_owned) })
    };
    match node {
        "runs_for_ever" => spin(),
        "runs_astray" => outcome("{}", Some("there")),
        "runs_nowhere" => outcome("{}", None),
        "runs_against_its_schema" => outcome(r#"{"fine":"not at all"}"#, None),
        "runs_to_a_list" => outcome("[]", None),
        "runs_to_no_json" => outcome("{", None),
        "runs_to_a_flood" => outcome(&format!(r#"{{"text":"{}"}}"#, "x".repeat(6 * MIB)), None),
        _ => outcome("{}", None),
    }
}

fn need(source: &str, permission: Permission) -> Need {
    Need { source: source.to_owned(), permission, optional: false }
}

#[expect(clippy::unnecessary_wraps, reason = "an arm beside others")]
fn needing(needs: Vec<Need>) -> Result<Validated, Vec<Problem>> {
    Ok(Validated { needs, repeat: Repeat::Harmless, plain: Vec::new() })
}

#[expect(clippy::empty_loop, reason = "the attack")]
fn spin() -> ! {
    loop {}
}

#[expect(clippy::panic, reason = "the attack")]
fn trap() -> ! {
    panic!("a panic on purpose")
}

#[cfg(target_arch = "wasm32")]
mod component {
    //! The exports.

    use remit_sdk::bindings::{
        remit::{
            data::common::Grants,
            data::sql::Database,
            plugin::{
                invocation::Invocation,
                types::{CallError, Problem},
            },
        },
        stepping::{
            export_nodes,
            exports::remit::plugin::nodes::{Description, Guest, Outcome, Validated},
        },
    };

    struct Component;

    impl Guest for Component {
        fn describe() -> Description {
            super::description()
        }

        fn validate(node: String, _: String) -> Result<Validated, Vec<Problem>> {
            super::validate(&node)
        }

        fn execute(node: String, _: String, _: String, grants: Grants, _: Invocation) -> Result<Outcome, CallError> {
            if node == "runs_off_with_a_source" {
                let taken = Database::take(&grants, "primary");
                let found = if taken.is_ok() { "taken" } else { "kept" };
                return Ok(Outcome { output: format!(r#"{{"primary":"{found}"}}"#), branch: None });
            }
            super::execute(&node)
        }
    }

    export_nodes!(Component with_types_in remit_sdk::bindings::stepping);
}

#[cfg(test)]
mod tests {
    use super::{description, execute, validate};

    #[test]
    fn what_can_be_told_without_a_host_is_told() {
        assert_eq!(description().nodes.len(), 16);
        assert!(validate("asked_and_floods").is_err_and(|problems| problems[0].message.len() > 1_000_000));
        assert!(execute("runs_astray").is_ok_and(|outcome| outcome.branch.as_deref() == Some("there")));
    }
}
