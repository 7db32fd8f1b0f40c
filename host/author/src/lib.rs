//! What an author of plugins does at the command line: begin one, build it, try it in the sandbox,
//! sign it, upload it. `remit plugin …` and `cargo xtask …-plugin` are these verbs.
//!
//! The program holds the SDK, the contract and the template, so that an author needs no checkout.
//! Deliberately absent: the sandbox. What only it can say comes through the port [`Sandbox`], so that
//! `cargo xtask` is built without it; and what a host does with an upload.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to people")]

mod build;
pub mod command;
pub mod component;
mod described;
mod embedded;
mod home;
mod interpreted;
mod javascript;
mod new;
mod project;
mod python;
mod rust;
mod sign;
#[cfg(test)]
mod tests;
mod upload;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};

pub use build::{Built, build, report};
pub use described::{Described, Need, Node, Resource, Tool};
pub use home::Home;
pub use new::{member, standalone};
pub use remit_domain::library::Digest;

/// `remit plugin`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

impl Arguments {
    /// What to do.
    pub fn verb(self) -> Verb {
        self.verb
    }
}

/// What an author does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Makes a new plugin: a Cargo project that holds all it needs, and builds anywhere.
    New(New),
    /// Compiles plugins and prints size, digest, tools with their needs, and imports.
    Build(Build),
    /// Runs one tool of a built component in the sandbox, against sources from a small file.
    Test(Test),
    /// Prints what a component says of itself.
    Describe(Describe),
    /// Makes a pair of keys to sign components with, and prints the public one.
    Key(Key),
    /// Signs a component: a file beside it holds the signature.
    Sign(Sign),
    /// Sends a component to a host, with the signature beside it if there is one.
    Upload(Upload),
}

/// `new`.
#[derive(Debug, Args)]
pub struct New {
    /// The name: small letters, digits and hyphens, beginning with a letter.
    pub name: String,
    /// Steps for workflows instead of tools for agents.
    #[arg(long)]
    pub node: bool,
    /// The folder to make; NAME in this one without it.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

/// `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// The plugins' names, or paths of folders that hold one; the one of this folder without any.
    #[arg(value_name = "NAME|PATH")]
    pub plugins: Vec<String>,
    /// Builds every plugin below this folder; one whose toolchain is missing is skipped, and said.
    #[arg(long, conflicts_with = "plugins")]
    pub all: bool,
}

/// `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The plugin's name, the path of its folder, or a component.
    #[arg(value_name = "NAME|PATH")]
    pub plugin: String,
    /// The tool to call.
    #[arg(long, value_name = "T")]
    pub tool: String,
    /// Its arguments: a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub arguments: String,
    /// The sources that the call finds, and who makes it; `sources.yaml` of the plugin's folder without it.
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
}

/// `describe`.
#[derive(Debug, Args)]
pub struct Describe {
    /// A component, or the name or folder of a built plugin.
    #[arg(value_name = "FILE")]
    pub component: String,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `key`.
#[derive(Debug, Args)]
pub struct Key {
    /// Where the secret key is written, for this user alone; nothing is overwritten.
    #[arg(value_name = "KEYFILE", default_value = "plugin.key")]
    pub file: PathBuf,
}

/// `sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// A component, or the name or folder of a built plugin.
    #[arg(value_name = "FILE")]
    pub component: String,
    /// The secret key, as `plugin key` wrote it.
    #[arg(long, value_name = "KEYFILE", default_value = "plugin.key")]
    pub key: PathBuf,
}

/// `upload`.
#[derive(Debug, Args)]
pub struct Upload {
    /// A component, or the name or folder of a built plugin.
    #[arg(value_name = "FILE|NAME")]
    pub component: String,
    /// Whose plugin it becomes.
    #[arg(long, value_name = "T")]
    pub tenant: String,
    /// Where the host is.
    #[arg(long, default_value = "http://127.0.0.1:3000")]
    pub url: url::Url,
    /// A file that holds the bearer key; the variable REMIT_KEY without it. A host on this machine may need none.
    #[arg(long, value_name = "F")]
    pub key_file: Option<PathBuf>,
    /// Makes the version the one that serves.
    #[arg(long)]
    pub activate: bool,
    /// Sends the key over http to another machine, where it can be read on the way.
    #[arg(long)]
    pub allow_plain_http: bool,
}

/// Port: what only a sandbox can say of a component. The program `remit` has one in itself;
/// `cargo xtask`, which must be built in moments, asks `remit`.
pub trait Sandbox {
    /// What a component says of itself. Errors: it is no plugin.
    fn describe(&self, component: &Path) -> Result<Described>;

    /// Runs a tool and prints what it did and answered. Whether it answered. Errors: there was no run.
    fn test(&self, component: &Path, sources: Option<&Path>, test: &Test) -> Result<bool>;
}

/// Does what was asked. False, with nothing more to say, if a tool that was tried failed.
pub fn run(verb: Verb, home: &Home, sandbox: &dyn Sandbox) -> Result<bool> {
    match verb {
        Verb::New(new) => {
            let folder = new.path.unwrap_or_else(|| PathBuf::from(&new.name));
            standalone(&folder, &new.name, new.node)?;
            new::say(&folder, &new.name, new.node);
        }
        Verb::Build(asked) => {
            let built = build(home, &asked)?;
            report(&built, sandbox)?;
        }
        Verb::Test(test) => {
            let (component, folder) = home.component(&test.plugin)?;
            let own = folder.map(|folder| folder.join("sources.yaml")).filter(|file| file.is_file());
            let sources = test.sources.clone().or(own);
            return sandbox.test(&component, sources.as_deref(), &test);
        }
        Verb::Describe(asked) => {
            let described = sandbox.describe(&home.component(&asked.component)?.0)?;
            if asked.json {
                println!("{}", serde_json::to_string_pretty(&described)?);
            } else {
                print!("{described}");
            }
        }
        Verb::Key(key) => sign::make_key(&key.file)?,
        Verb::Sign(asked) => sign::sign(&home.component(&asked.component)?.0, &asked.key)?,
        Verb::Upload(asked) => upload::upload(&home.component(&asked.component)?.0, &asked)?,
    }
    Ok(true)
}
