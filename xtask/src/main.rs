//! `cargo xtask`: what is done with this repository, a file a verb.
//!
//! It names no part of the host but the types of its files, whose schemas it writes, so that it is built
//! in moments; what the host itself must do, it builds and runs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]

mod bench;
mod build_plugin;
mod check;
mod command;
mod demo;
mod forge;
mod fuzz;
mod new_plugin;
mod plugin;
mod schema;
mod test;
mod tidy;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and checks Remit from a checkout.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Builds the plugins and the host, starts them with the demo profile, and says what to try.
    Demo {
        /// The address the host listens on; port 0 takes a free one.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
        listen: SocketAddr,
        /// Forgets what earlier demos left under var/ before it starts.
        #[arg(long)]
        fresh: bool,
        /// Builds the host optimised, which takes longer to build and answers faster.
        #[arg(long)]
        release: bool,
    },
    /// Runs every check and test that this machine can run, and names what was skipped.
    Test {
        /// Installs what is missing first, and fails where something is skipped all the same.
        #[arg(long)]
        all: bool,
    },
    /// Builds plugins into plugins/dist/, all of plugins/ without a name, and prints what they are.
    ///
    /// Size, digest, tools with their needs, and imports. Plugins whose toolchain is missing are skipped, and said.
    BuildPlugin(remit_author::Build),
    /// Makes a new plugin in plugins/ from the template.
    NewPlugin {
        /// The name: small letters, digits and hyphens, beginning with a letter.
        name: String,
        /// Steps for workflows instead of tools for agents.
        #[arg(long)]
        node: bool,
    },
    /// Runs one tool of a built plugin in the sandbox, against sources from a small file.
    TestPlugin(remit_author::Test),
    /// Signs a built plugin: a file beside the component holds the signature.
    SignPlugin(remit_author::Sign),
    /// Sends a built plugin to a host.
    UploadPlugin(remit_author::Upload),
    /// Checks the rules of the house: edges between crates, file lengths, names, module documentation.
    Tidy,
    /// Writes the JSON Schemas of configuration files into configs/schema/.
    Schema,
    /// Builds the host and prints every fault of configs/ and workflows/ with its file, line and column.
    ///
    /// Names of tools are checked against the components in plugins/dist/, as far as these are built.
    Check,
    /// Feeds random input to what reads the input of strangers, for a bounded time, and stops at what it finds.
    Fuzz {
        /// What to fuzz: `upload`, `context` or `value`; without it, each in turn.
        target: Option<String>,
        /// For how long each is fuzzed.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Measures calls, cold starts and memory with an optimised build, and prints medians.
    Bench,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo { listen, fresh, release } => demo::run(demo::Options { listen, fresh, release }),
        Verb::Test { all } => test::run(all),
        Verb::BuildPlugin(asked) => build_plugin::run(&asked),
        Verb::NewPlugin { name, node } => new_plugin::run(&name, node),
        Verb::TestPlugin(asked) => plugin::run(remit_author::Verb::Test(asked)),
        Verb::SignPlugin(asked) => plugin::run(remit_author::Verb::Sign(asked)),
        Verb::UploadPlugin(asked) => plugin::run(remit_author::Verb::Upload(asked)),
        Verb::Tidy => tidy::run(),
        Verb::Schema => schema::run(),
        Verb::Check => check::run(),
        Verb::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Verb::Bench => bench::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
