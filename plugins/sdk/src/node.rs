//! One kind of workflow step: a function, and what the host must know of it.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Call, Error, Need, Permission, Problem, Result, Written,
    bindings::stepping::exports::remit::plugin::nodes::{self, Outcome, Repeat, Validated},
    schema, tool,
};

/// A kind of step, its function and what it declares. Workflows call it `<plugin>.<name>`.
pub struct Node {
    name: &'static str,
    description: &'static str,
    title: Option<&'static str>,
    needs: Vec<tool::Need>,
    branches: Vec<&'static str>,
    harmless: bool,
    config: fn() -> String,
    output: fn() -> Option<String>,
    validate: Option<Validate>,
    execute: Execute,
}

type Validate = Box<dyn Fn(&Written<'_>) -> Option<Validated>>;
type Execute = Box<dyn Fn(&str, &str, &Call) -> Result<Outcome>>;

/// What a step may come to: anything that serialises to JSON, or that on one of several ways ([`Branched`]).
pub trait Output {
    #[doc(hidden)]
    fn schema() -> Option<String>;

    /// Errors: `refused` if it does not serialise.
    #[doc(hidden)]
    fn into_outcome(self) -> Result<Outcome>;
}

/// What a step came to, and the way that the workflow goes on from it: one of [`Node::branches`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branched<T> {
    /// The way taken.
    pub branch: &'static str,
    /// What the next steps see.
    pub output: T,
}

impl Node {
    /// A kind of step of this name, which the function carries out: it is given the step's `config`,
    /// filled in, and what the steps before left.
    pub fn new<C, R, F>(name: &'static str, description: &'static str, execute: F) -> Self
    where
        C: DeserializeOwned + JsonSchema,
        R: Output,
        F: Fn(C, Value, &Call) -> Result<R> + 'static,
    {
        Self {
            name,
            description,
            title: None,
            needs: Vec::new(),
            branches: Vec::new(),
            harmless: false,
            config: || serde_json::to_string(&schema::of_arguments::<C>()).unwrap_or_default(),
            output: R::schema,
            validate: None,
            execute: Box::new(move |config, input, call| {
                let input = serde_json::from_str(input).map_err(|error| Error::invalid("", error.to_string()))?;
                execute(tool::parsed(config)?, input, call)?.into_outcome()
            }),
        }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Needs to read a source, whatever `config` says.
    #[must_use]
    pub fn reads(self, source: &'static str) -> Self {
        self.needs(source, Permission::Read)
    }

    /// Needs to read and write a source, whatever `config` says.
    #[must_use]
    pub fn writes(self, source: &'static str) -> Self {
        self.needs(source, Permission::Write)
    }

    /// Is to the host what a function reads from `config`, which notes as it goes what it finds wrong with
    /// it beyond its schema ([`Written`]). None for nothing beyond what the kind of step always is.
    ///
    /// It runs when a workflow is loaded: expressions stand as they are written, so the config need not have
    /// the types of [`Self::new`], and what decides a need must be written out.
    #[must_use]
    pub fn validates(mut self, validate: impl Fn(&Written<'_>) -> Option<Validated> + 'static) -> Self {
        self.validate = Some(Box::new(validate));
        self
    }

    /// The ways that a workflow can go on from it; the function answers with [`Branched`].
    #[must_use]
    pub fn branches(mut self, branches: &[&'static str]) -> Self {
        self.branches = branches.to_vec();
        self
    }

    /// A repeated execution changes nothing more: the host repeats it after any failure. What
    /// [`Self::validates`] says of a config goes before.
    #[must_use]
    pub fn harmless_to_repeat(mut self) -> Self {
        self.harmless = true;
        self
    }

    fn needs(mut self, source: &'static str, permission: Permission) -> Self {
        self.needs.push(tool::Need { source, permission, optional: false });
        self
    }

    fn describe(&self) -> nodes::Node {
        nodes::Node {
            name: self.name.to_owned(),
            title: self.title.map(str::to_owned),
            description: self.description.to_owned(),
            config_schema: (self.config)(),
            output_schema: (self.output)(),
            branches: self.branches.iter().map(|&branch| branch.to_owned()).collect(),
            repeat: self.repeat(),
            needs: self.needs.iter().map(tool::Need::describe).collect(),
        }
    }

    fn repeat(&self) -> Repeat {
        if self.harmless { Repeat::Harmless } else { Repeat::Harmful }
    }

    fn validate(&self, config: &Value) -> Result<Validated, Vec<Problem>> {
        let written = Written::of(config);
        let found = self.validate.as_ref().and_then(|validate| validate(&written));
        written.done(found.unwrap_or_else(|| Validated::new(Vec::new(), self.repeat())))
    }

    fn execute(&self, config: &str, input: &str, call: &Call) -> Result<Outcome> {
        let outcome = (self.execute)(config, input, call)?;
        let known = match &outcome.branch {
            Some(branch) => self.branches.contains(&branch.as_str()),
            None => self.branches.is_empty(),
        };
        if known { Ok(outcome) } else { Err(Error::refused("the step took no way that it declares")) }
    }
}

impl Need {
    /// To read a source.
    pub fn reads(source: impl Into<String>) -> Self {
        Self { source: source.into(), permission: Permission::Read, optional: false }
    }

    /// To read and write a source.
    pub fn writes(source: impl Into<String>) -> Self {
        Self { source: source.into(), permission: Permission::Write, optional: false }
    }
}

impl Validated {
    /// A step with these needs, which may be executed again after any failure: it only reads, or changes
    /// nothing more.
    pub fn harmless(needs: Vec<Need>) -> Self {
        Self::new(needs, Repeat::Harmless)
    }

    /// A step with these needs, of which a second execution would do the same again.
    pub fn harmful(needs: Vec<Need>) -> Self {
        Self::new(needs, Repeat::Harmful)
    }

    /// With values that must be plain once they are filled in, by JSON pointers: no object then takes the
    /// place of a value.
    #[must_use]
    pub fn plain(mut self, pointers: Vec<String>) -> Self {
        self.plain = pointers;
        self
    }

    fn new(needs: Vec<Need>, repeat: Repeat) -> Self {
        Self { needs, repeat, plain: Vec::new() }
    }
}

impl Problem {
    /// What is wrong with a value of `config`; `pointer` is a JSON pointer to it.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl<T: Serialize + JsonSchema> Output for T {
    fn schema() -> Option<String> {
        serde_json::to_string(&schema::of_output::<T>()).ok()
    }

    fn into_outcome(self) -> Result<Outcome> {
        outcome(&self, None)
    }
}

impl<T: Serialize + JsonSchema> Output for Branched<T> {
    fn schema() -> Option<String> {
        serde_json::to_string(&schema::of_output::<T>()).ok()
    }

    fn into_outcome(self) -> Result<Outcome> {
        outcome(&self.output, Some(self.branch.to_owned()))
    }
}

fn outcome(output: &impl Serialize, branch: Option<String>) -> Result<Outcome> {
    let output = serde_json::to_string(output)
        .map_err(|error| Error::refused(format!("the output does not serialise: {error}")))?;
    Ok(Outcome { output, branch })
}

/// The steps that a plugin has. [`node_set!`](crate::node_set) makes one, as the function `node_set()` of
/// the plugin's crate, by which native tests run steps as the host does.
pub struct NodeSet {
    name: &'static str,
    version: &'static str,
    nodes: Vec<Node>,
}

impl NodeSet {
    /// A plugin of this name and semantic version.
    pub fn new(name: &'static str, version: &'static str, nodes: Vec<Node>) -> Self {
        Self { name, version, nodes }
    }

    /// The plugin and its steps, described as to the host.
    pub fn describe(&self) -> nodes::Description {
        nodes::Description {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            nodes: self.nodes.iter().map(Node::describe).collect(),
        }
    }

    /// What a step with this `config`, in JSON, is to the host, which asks when a workflow is loaded; its
    /// needs are beside those that the kind of step always has.
    pub fn validate(&self, node: &str, config: &str) -> Result<Validated, Vec<Problem>> {
        let wrong = |message: String| vec![Problem::at("", message)];
        let found = self.nodes.iter().find(|it| it.name == node);
        let found = found.ok_or_else(|| wrong(format!("there is no step `{node}`")))?;
        let config = serde_json::from_str(config).map_err(|error| wrong(error.to_string()))?;
        found.validate(&config)
    }

    /// Runs a step as the host does; `config` and `input` are JSON.
    pub fn execute(&self, node: &str, config: &str, input: &str, call: &Call) -> Result<Outcome> {
        let found = self.nodes.iter().find(|it| it.name == node);
        found.ok_or_else(|| Error::Unknown(node.to_owned()))?.execute(config, input, call)
    }
}
