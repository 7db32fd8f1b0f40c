//! `cargo xtask test`: every check and test, one step after another.
//!
//! A step that fails does not keep the others from running. What cannot run is named; with `--all` it is
//! installed first, and a step that is skipped all the same is a failure.

mod install;

use std::fmt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{self, WASM, cargo, program, root};
use crate::{build_plugin, check, demo, new_plugin, schema, tidy};

/// Set for tests: what they would skip fails instead.
const NO_SKIP: &str = "REMIT_TEST_ALL";

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, seconds) = (self.name, self.took.as_secs_f64());
        match &self.outcome {
            Outcome::Passed => write!(f, "passed   {name} ({seconds:.0} s)"),
            Outcome::Failed(why) => write!(f, "FAILED   {name}: {why}"),
            Outcome::Skipped(why) => write!(f, "skipped  {name}: {why}"),
        }
    }
}

/// Runs all steps.
pub(crate) fn run(all: bool) -> Result<ExitCode> {
    let mut steps = Steps { all, steps: Vec::new() };
    if all {
        steps.run("install what is missing", || install::missing().map(|()| Outcome::Passed));
    }
    steps.run("formatting", formatting);
    steps.run("tidy", || house().map(|()| Outcome::Passed));
    steps.run("schemas", || schemas().map(|()| Outcome::Passed));
    steps.run("lints", || lints("Cargo.toml", &["--all-targets"]));
    steps.run("lints of plugins", || lints("plugins/Cargo.toml", &["--all-targets"]));
    steps.run("plugins can be compiled", || command::ensure_wasm_target().map(|()| Outcome::Passed));
    steps.run("lints of plugins as components", || lints("plugins/Cargo.toml", &["--target", WASM]));
    steps.run("unit tests of plugins", plugin_tests);
    steps.run("plugins from the templates", || new_plugin::try_templates().map(|()| Outcome::Passed));
    steps.run("building plugins", || build_plugin::all().map(|_built| Outcome::Passed));
    steps.run("building the host", || demo::build_host(false).map(|_file| Outcome::Passed));
    // By the host itself, and against the components: after both are built.
    steps.run("configs/ and workflows/", || check::step().map(|()| Outcome::Passed));
    steps.run("unit tests and whole-system tests", || workspace_tests(all));
    for tool in install::TOOLS {
        steps.run(tool.name, || Ok(presence(tool)));
    }
    Ok(steps.conclude())
}

struct Steps {
    all: bool,
    steps: Vec<Step>,
}

impl Steps {
    fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<Outcome>) {
        eprintln!("\n== {name}");
        let begun = Instant::now();
        let outcome = step().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        let step = Step { name, outcome, took: begun.elapsed() };
        eprintln!("{step}");
        self.steps.push(step);
    }

    /// Names every step and gives the verdict.
    fn conclude(self) -> ExitCode {
        println!("\nSteps:");
        for step in &self.steps {
            println!("  {step}");
        }
        let count = |wanted: fn(&Outcome) -> bool| self.steps.iter().filter(|step| wanted(&step.outcome)).count();
        let passed = count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        if failed == 0 && (skipped == 0 || !self.all) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn formatting() -> Result<Outcome> {
    if !command::succeeds(&mut cargo(&["fmt", "--version"])) {
        return Ok(Outcome::Skipped("rustfmt is not installed (rustup component add rustfmt)".to_owned()));
    }
    command::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    command::run(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "plugins/Cargo.toml"]))?;
    Ok(Outcome::Passed)
}

fn house() -> Result<()> {
    let faults = tidy::faults(&root())?;
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} faults (cargo xtask tidy)", faults.len()) }
}

fn schemas() -> Result<()> {
    match schema::drifted().as_slice() {
        [] => Ok(()),
        drifted => bail!("{} differ from the types: run `cargo xtask schema`", drifted.join(", ")),
    }
}

fn lints(manifest: &str, which: &[&str]) -> Result<Outcome> {
    if !command::succeeds(&mut cargo(&["clippy", "--version"])) {
        return Ok(Outcome::Skipped("clippy is not installed (rustup component add clippy)".to_owned()));
    }
    let mut clippy = cargo(&["clippy", "--workspace", "--manifest-path", manifest]);
    command::run(clippy.args(which).args(["--", "-D", "warnings"]))?;
    Ok(Outcome::Passed)
}

/// By `cargo test`, which runs the examples of the SDK's documentation too.
fn plugin_tests() -> Result<Outcome> {
    command::run(&mut cargo(&["test", "--workspace", "--manifest-path", "plugins/Cargo.toml"]))?;
    Ok(Outcome::Passed)
}

fn workspace_tests(all: bool) -> Result<Outcome> {
    let nextest = command::succeeds(&mut cargo(&["nextest", "--version"]));
    // Without its test runner, which keeps tests apart in processes, cargo's own does.
    let arguments: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--all-targets", "--no-fail-fast"]
    };
    let mut tests = cargo(arguments);
    if all {
        tests.env(NO_SKIP, "1");
    }
    command::run(&mut tests)?;
    Ok(Outcome::Passed)
}

/// Tests that need something look for it themselves and say when they skip; this says it at the end, too.
fn presence(tool: &install::Tool) -> Outcome {
    if (tool.present)() { Outcome::Passed } else { Outcome::Skipped(tool.without.to_owned()) }
}

/// Runs `apt-get`, as root or through `sudo` where that asks nothing.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let apt = program("apt-get").context("there is no apt-get here: install it by hand")?;
    let own = command::output(Command::new("id").arg("-u"))?;
    let mut command = if own.trim() == "0" {
        Command::new(apt)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive"]).arg(apt);
        sudo
    };
    command::run(command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;
    use std::time::Duration;

    use super::{Outcome, Step, Steps};

    fn steps(all: bool, outcomes: &[Outcome]) -> ExitCode {
        let step = |outcome: &Outcome| Step { name: "x", outcome: outcome.clone(), took: Duration::ZERO };
        Steps { all, steps: outcomes.iter().map(step).collect() }.conclude()
    }

    #[test]
    fn a_skip_fails_only_when_all_must_run() {
        let skipped = Outcome::Skipped("not installed".to_owned());
        let failed = Outcome::Failed("broken".to_owned());
        let success = format!("{:?}", ExitCode::SUCCESS);
        for (all, outcomes, good) in [
            (false, vec![Outcome::Passed, skipped.clone()], true),
            (true, vec![Outcome::Passed, skipped.clone()], false),
            (true, vec![Outcome::Passed], true),
            (false, vec![Outcome::Passed, failed], false),
        ] {
            assert_eq!(format!("{:?}", steps(all, &outcomes)) == success, good, "{outcomes:?}");
        }
    }

    #[test]
    fn a_step_that_breaks_is_a_failure_and_the_next_one_runs() {
        let mut steps = Steps { all: false, steps: Vec::new() };
        steps.run("first", || anyhow::bail!("no disk"));
        steps.run("second", || Ok(Outcome::Passed));
        let lines: Vec<String> = steps.steps.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["FAILED   first: no disk", "passed   second (0 s)"]);
    }
}
