//! `cargo xtask`: what is done with this repository, a file a verb.
//!
//! It names no part of the host but the types of its files, whose schemas it writes, so that it is built
//! in moments; what the host itself must do, it builds and runs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]

mod bench;
mod build_plugin;
mod check;
mod command;
mod component;
mod demo;
mod new_plugin;
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
    /// Builds plugins into plugins/dist/ and prints their size, digest and imports.
    BuildPlugin {
        /// The plugins' names, or paths of folders that hold one; without any, all of plugins/.
        #[arg(value_name = "NAME|PATH")]
        plugins: Vec<String>,
        /// Builds all of plugins/, as without a name.
        #[arg(long, conflicts_with = "plugins")]
        all: bool,
    },
    /// Makes a new plugin in plugins/ from the template.
    NewPlugin {
        /// The name: small letters, digits and hyphens, beginning with a letter.
        name: String,
    },
    /// Checks the rules of the house: edges between crates, file lengths, names, module documentation.
    Tidy,
    /// Writes the JSON Schemas of configuration files into configs/schema/.
    Schema,
    /// Builds the host and prints every fault of configs/ and workflows/ with its file, line and column.
    ///
    /// Names of tools are checked against the components in plugins/dist/, as far as these are built.
    Check,
    /// Measures calls, cold starts and memory with an optimised build, and prints medians.
    Bench,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo { listen, fresh, release } => demo::run(demo::Options { listen, fresh, release }),
        Verb::Test { all } => test::run(all),
        Verb::BuildPlugin { plugins, all: _ } => build_plugin::run(&plugins),
        Verb::NewPlugin { name } => new_plugin::run(&name),
        Verb::Tidy => tidy::run(),
        Verb::Schema => schema::run(),
        Verb::Check => check::run(),
        Verb::Bench => bench::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
