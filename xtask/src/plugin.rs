//! `cargo xtask test-plugin`, `sign-plugin` and `upload-plugin`: the same as `remit plugin …`, with names
//! looked up in `plugins/`.
//!
//! What takes a sandbox, the host is built for and asked: this program has none.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use remit_author::{Described, Sandbox, Test, Verb};

use crate::build_plugin::home;
use crate::command;
use crate::demo;

/// Does what an author asks for.
pub(crate) fn run(verb: Verb) -> Result<ExitCode> {
    let done = remit_author::run(verb, &home()?, &Remit::default())?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The program `remit`, built when it is first asked.
#[derive(Default)]
pub(crate) struct Remit(OnceCell<PathBuf>);

impl Remit {
    fn verb(&self, name: &str) -> Result<Command> {
        let program = match self.0.get() {
            Some(program) => program,
            None => {
                let built = demo::build_host(false)?;
                self.0.get_or_init(|| built)
            }
        };
        let mut command = Command::new(program);
        command.args(["plugin", name]);
        Ok(command)
    }
}

impl Sandbox for Remit {
    fn describe(&self, component: &Path) -> Result<Described> {
        let text = command::output(self.verb("describe")?.arg("--json").arg(component))?;
        serde_json::from_str(&text).context("remit plugin describe said something unexpected")
    }

    fn test(&self, component: &Path, sources: Option<&Path>, test: &Test) -> Result<bool> {
        let mut command = self.verb("test")?;
        command.args(["--tool", &test.tool, "--arguments", &test.arguments]);
        if let Some(sources) = sources {
            command.arg("--sources").arg(sources);
        }
        let status = command.arg("--").arg(component).status().context("cannot run remit")?;
        Ok(status.success())
    }
}
