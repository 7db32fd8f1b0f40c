//! The program `remit`.

mod check;
mod plugin;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use remit_sandbox::Bounds;
use remit_server::{
    audit, backup, keys,
    observe::LogFormat,
    serve::{self, Options},
    tenant,
};

/// A host for WebAssembly plugins: tenants' agents get sandboxed tools over the data they may use.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Makes, lists and revokes the keys that let people and programs in.
    ///
    /// A host without any key is open to whoever reaches it, and listens on loopback alone. With the
    /// first key every request needs one.
    Keys {
        #[command(flatten)]
        at: keys::Where,
        #[command(subcommand)]
        verb: keys::Verb,
    },
    /// Verifies the audit log, signs where it stands, and removes what is old.
    Audit {
        #[command(flatten)]
        at: keys::Where,
        #[command(subcommand)]
        verb: audit::Verb,
    },
    /// Keeps the journal, tenants' plugins and the host's keys in a new folder, while the host runs or not.
    ///
    /// It holds secrets: whoever has it can read conversations and sign as the host. Settings, contexts, the
    /// environment and data sources are not in it.
    Backup {
        #[command(flatten)]
        at: keys::Where,
        /// The folder, which must not be there, or be empty.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Puts a backup in the place of the state. The host must be stopped.
    Restore {
        #[command(flatten)]
        at: keys::Where,
        /// The backup's folder.
        #[arg(long, value_name = "FOLDER")]
        from: PathBuf,
        /// Puts aside what is there.
        #[arg(long)]
        force: bool,
    },
    /// Gives out or removes all that the host has of a tenant.
    Tenant {
        #[command(flatten)]
        at: keys::Where,
        #[command(subcommand)]
        verb: tenant::Verb,
    },
    /// Serves chat, MCP and tools until SIGINT or SIGTERM.
    Serve {
        /// The operator's settings.
        #[arg(long, value_name = "FILE", default_value = "configs/host.yaml")]
        config: PathBuf,
        /// Patches settings and contexts with the files of profiles/NAME beside the settings.
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// Listens here instead of where the settings say; port 0 takes a free one.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Keeps state here instead of where the settings say.
        #[arg(long, value_name = "FOLDER")]
        state: Option<PathBuf>,
        /// How log lines on standard error look.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
    },
    /// Checks settings, contexts, workflows and components, and says every fault with file, line and column.
    ///
    /// It reads configs/host.yaml without a profile and with each, and what these settings name. It writes nothing.
    Check {
        /// The folder that holds configs/, where relative paths begin.
        #[arg(default_value = ".", value_name = "FOLDER")]
        root: PathBuf,
    },
    /// Begins, builds, tries, signs and uploads plugins.
    Plugin(remit_author::Arguments),
    /// Compiles a component from standard input to standard output, within limits: the host starts it.
    #[command(name = remit_sandbox::VERB, hide = true)]
    Compile {
        /// Seconds of computing.
        cpu_seconds: u64,
        /// Bytes of address space.
        memory_bytes: u64,
        /// Bytes that are read.
        component_bytes: u64,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Serve { config, profile, listen, state, log_format } => {
            run(Options { config, profile, listen, state, log_format }).map(|()| true)
        }
        Verb::Audit { at, verb } => on_audit(at, verb),
        Verb::Keys { at, verb } => alone(keys::run(&at, verb)).map(|()| true),
        Verb::Backup { at, to } => alone(backup::backup(&at, &to)).map(|()| true),
        Verb::Restore { at, from, force } => alone(backup::restore(&at, &from, force)).map(|()| true),
        Verb::Tenant { at, verb } => alone(tenant::run(&at, verb)).map(|()| true),
        Verb::Check { root } => check::run(&root),
        Verb::Plugin(arguments) => plugin::run(arguments),
        Verb::Compile { cpu_seconds, memory_bytes, component_bytes } => {
            return remit_sandbox::compile_as_child(Bounds { cpu_seconds, memory_bytes, component_bytes });
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Carries out a verb that serves nobody.
#[tokio::main(flavor = "current_thread")]
async fn alone(verb: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    verb.await
}

#[tokio::main(flavor = "current_thread")]
async fn on_audit(at: keys::Where, verb: audit::Verb) -> anyhow::Result<bool> {
    audit::run(at, verb).await
}

#[tokio::main]
async fn run(options: Options) -> anyhow::Result<()> {
    serve::serve(options).await
}

#[expect(clippy::print_stderr, reason = "the program's last word, where logging may not have begun")]
fn complain(error: &anyhow::Error) {
    eprintln!("remit: {error:#}");
}
