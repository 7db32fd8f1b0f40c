//! `cargo xtask fuzz`: random input, guided by the code that it reaches, for a bounded time.
//!
//! libFuzzer on the stable compiler: the coverage that it wants is an option of LLVM's, and no sanitizer is
//! asked for, as the code that is fuzzed has next to no `unsafe` of its own. It is no part of
//! `cargo xtask test`; what it finds becomes a test there.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::command::{self, cargo, root};

/// The targets, a binary each of `tests/fuzz`, and the longest input that each is given.
const TARGETS: [(&str, u32); 3] = [("upload", 65_536), ("context", 32_768), ("value", 4_096)];

/// What libFuzzer wants of each block of code. Optimised, as it is run a million times; with checks of
/// arithmetic, as they find faults.
const FLAGS: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Runs one target, or each in turn, for so many seconds each.
pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result<ExitCode> {
    let chosen: Vec<_> = TARGETS.iter().filter(|(name, _)| target.is_none_or(|target| target == *name)).collect();
    if chosen.is_empty() {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        bail!("there is no target {}: there are {names}", target.unwrap_or_default());
    }
    let folder = root().join("tests/fuzz");
    let target = folder.join("target");
    let mut build = cargo(&["build", "--release", "--bins", "--manifest-path"]);
    build.arg(folder.join("Cargo.toml")).args(["--target", &machine()?]).arg("--target-dir").arg(&target);
    command::run(build.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}")))?;
    let built = target.join(machine()?).join("release");
    for (name, longest) in chosen {
        // What was found to reach something new is kept, so that the next run begins there.
        let found = root().join("var/fuzz").join(name);
        std::fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
        let mut fuzz = Command::new(built.join(name));
        fuzz.current_dir(root())
            .arg(&found)
            .arg(folder.join("seeds").join(name))
            .arg(format!("-artifact_prefix={}/", root().join("var/fuzz").display()))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={longest}"))
            .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]);
        command::run(&mut fuzz)
            .with_context(|| format!("{name} found something: the input lies in var/fuzz, and repeats it"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The target triple of this machine: with it, build scripts and macros are not instrumented.
fn machine() -> Result<String> {
    let told = command::output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what machine this is")?.to_owned())
}
