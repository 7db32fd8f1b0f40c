//! `cargo xtask demo`: the host with the demo profile, and stand-ins for other people's servers.
//!
//! The stand-ins live in this process and end with it. State lies under `var/`, where a second start
//! finds it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use remit_upstreams::demo;
use remit_upstreams::services::Services;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::build_plugin;
use crate::command::{self, cargo, root};

/// How long the host may take to end: longer than it gives its requests (30 s by default).
const DRAIN: Duration = Duration::from_secs(60);
/// Says in a state folder that the demo made it, and that `--fresh` may delete it.
const MARK: &str = ".made-by-demo";

/// How to run it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Where the host listens.
    pub(crate) listen: SocketAddr,
    /// Whether state is deleted first.
    pub(crate) fresh: bool,
    /// Whether the host is built optimised.
    pub(crate) release: bool,
}

/// Builds and runs the demo until it is told to end, or the host ends.
pub(crate) fn run(options: Options) -> Result<ExitCode> {
    eprintln!("Building the plugins …");
    build_plugin::all()?;
    eprintln!("Building the host …");
    let host = build_host(options.release)?;
    tokio::runtime::Runtime::new()?.block_on(serve(options, &host))
}

/// Builds `remit` with the features that the whole workspace has, so that no other command rebuilds
/// what this one built.
pub(crate) fn build_host(release: bool) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--workspace", "--bin", "remit"]);
    if release {
        build.arg("--release");
    }
    command::run(&mut build)?;
    let target = command::workspace(&root().join("Cargo.toml"))?.target_directory;
    Ok(target.join(if release { "release" } else { "debug" }).join("remit"))
}

async fn serve(options: Options, host: &Path) -> Result<ExitCode> {
    let state = root().join("var");
    prepare_state(&state, options.fresh)?;
    demo::prepare(&state, false).await?;
    let services = Services::start().await?;
    let environment = services.environment(&state)?;
    // From here on a signal is for the host: it ends first, then this.
    let mut ends = Ends::new()?;
    let mut child = spawn(host, options.listen, environment)?;
    let lines = child.stdout.take().context("the host has no output")?;
    let relay = tokio::spawn(relay(BufReader::new(lines)));
    let status = tokio::select! {
        status = child.wait() => status?,
        () = ends.next() => {
            let status = end(&mut child, &mut ends).await?;
            relay.await??;
            return Ok(if status.success() { ExitCode::SUCCESS } else { code(status) });
        }
    };
    relay.await??;
    eprintln!("xtask: the host ended by itself ({status})");
    Ok(code(status))
}

/// The host's exit code as this program's own; 1 where a signal ended it.
fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Deletes the state if asked to, but only state that a demo began.
fn prepare_state(state: &Path, fresh: bool) -> Result<()> {
    let mark = state.join(MARK);
    if fresh && state.exists() {
        if !mark.is_file() {
            bail!(
                "{} was not made by the demo (there is no {MARK} in it), so --fresh leaves it alone: \
                 if nothing in it is needed, delete it yourself",
                state.display()
            );
        }
        std::fs::remove_dir_all(state).with_context(|| format!("cannot delete {}", state.display()))?;
    }
    if !state.exists() {
        std::fs::create_dir_all(state).with_context(|| format!("cannot create {}", state.display()))?;
        std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    }
    Ok(())
}

fn spawn(host: &Path, listen: SocketAddr, environment: Vec<(String, String)>) -> Result<Child> {
    Command::new(host)
        .args(["serve", "--config", "configs/host.yaml", "--profile", "demo", "--state", "var", "--listen"])
        .arg(listen.to_string())
        .envs(environment)
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // In a group of its own it does not see the terminal's Ctrl-C, which comes through this program.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", host.display()))
}

/// Passes the host's output on; after the line that says where it listens, says what to try.
async fn relay(lines: impl tokio::io::AsyncBufRead + Unpin) -> Result<()> {
    let mut lines = lines.lines();
    while let Some(line) = lines.next_line().await? {
        println!("{line}");
        if let Some(url) = line.strip_prefix("listening on ") {
            println!("{}", to_try(url.trim()));
        }
    }
    Ok(())
}

/// The signals that mean: end.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Asks the host to end and waits for it; a second signal, or a minute, ends it at once.
async fn end(child: &mut Child, ends: &mut Ends) -> Result<ExitStatus> {
    terminate(child).await?;
    tokio::select! {
        status = child.wait() => return Ok(status?),
        () = ends.next() => eprintln!("xtask: a second signal: the host is ended at once"),
        () = tokio::time::sleep(DRAIN) => eprintln!("xtask: the host does not end: it is ended at once"),
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}

/// Sends SIGTERM by the shell's own `kill`: the standard library can only kill.
async fn terminate(child: &Child) -> Result<()> {
    // It is not waited for yet, so that the number cannot mean another process.
    let Some(id) = child.id() else { return Ok(()) };
    let sent = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id.to_string()]).status().await?;
    if !sent.success() {
        eprintln!("xtask: SIGTERM could not be sent to the host");
    }
    Ok(())
}

fn to_try(url: &str) -> String {
    format!(
        r#"
Stand-ins answer for TechStart's Shopify, Salesforce, Zendesk and Google Sheets; its databases and folders are files in var/demo/. To try:

  # which tools the sales agent has
  curl {url}/api/mcp/tools/sales -H "X-Context: techstart"

  # one tool, called directly
  curl -X POST {url}/api/mcp/test -H "X-Context: techstart" \
    -d '{{"agent_type": "sales", "tool_name": "search_customers", "parameters": {{"query": "test", "limit": 1}}}}'

  # the same tools, used by a model
  curl -X POST {url}/api/sales/chat -H "X-Context: techstart" \
    -d '{{"message": "I have a new lead from ACME Corp asking about our enterprise AI platform. Can you help me qualify them?"}}'

  # what would have been mailed and posted
  curl {url}/api/notifications -H "X-Context: techstart"

  # how it is
  curl {url}/api/health/mcp -H "X-Context: techstart"
  curl {url}/api/health/datasources/sales -H "X-Context: techstart"
  curl {url}/api/debug/context -H "X-Context: techstart"

MCP clients: {url}/mcp/techstart/sales
Ctrl-C ends it; state stays under var/, and --fresh begins anew."#
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Stdio;

    use anyhow::{Context, Result};
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::Command;

    use super::{Ends, MARK, end, prepare_state, to_try};

    #[tokio::test]
    async fn the_host_is_asked_to_end_and_waited_for() -> Result<()> {
        // It reads what never comes, so that it ends by the signal alone, and says so in its code.
        let script = "trap 'exit 7' TERM; echo ready; while read -r line; do :; done";
        let mut host = Command::new("sh");
        let host = host.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = host.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        assert_eq!(lines.next_line().await?.as_deref(), Some("ready"));
        let input = child.stdin.take();
        assert_eq!(end(&mut child, &mut Ends::new()?).await?.code(), Some(7));
        drop(input);
        Ok(())
    }

    #[test]
    fn fresh_deletes_only_what_a_demo_made() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join("var");
        prepare_state(&state, false)?;
        fs::write(state.join("journal"), "rows")?;
        prepare_state(&state, false)?;
        assert!(state.join("journal").exists(), "a second start keeps it");
        prepare_state(&state, true)?;
        assert!(!state.join("journal").exists() && state.join(MARK).exists());

        fs::remove_file(state.join(MARK))?;
        fs::write(state.join("journal"), "somebody's")?;
        assert!(prepare_state(&state, true).is_err());
        assert!(state.join("journal").exists());
        Ok(())
    }

    #[test]
    fn hints_hold_the_real_address() {
        let hints = to_try("http://127.0.0.1:4711");
        assert_eq!(hints.matches("http://127.0.0.1:4711/").count(), 8);
        assert!(hints.contains(r#"-d '{"agent_type": "sales""#));
    }
}
