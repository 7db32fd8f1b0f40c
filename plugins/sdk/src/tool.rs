//! One tool: a function, and what the host must know of it.

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Answer, Call, Error, Permission, Result,
    bindings::{
        exports::remit::plugin::tools::{self, Outcome},
        remit::plugin::types,
    },
    schema,
};

/// A tool, its function and what it declares. Building one is cheap: schemas are made by `describe` alone.
pub struct Tool {
    name: &'static str,
    description: &'static str,
    title: Option<&'static str>,
    needs: Vec<Need>,
    additive: bool,
    idempotent: bool,
    open_world: bool,
    input: fn() -> String,
    output: fn() -> Option<String>,
    run: Run,
}

type Run = Box<dyn Fn(&str, &Call) -> Result<Outcome>>;

/// For tools that take nothing.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
pub struct NoArguments {}

impl Tool {
    /// A tool of this name, which the model picks by its description and which the function carries out.
    pub fn new<A, R, F>(name: &'static str, description: &'static str, run: F) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        R: Answer,
        F: Fn(A, &Call) -> Result<R> + 'static,
    {
        Self {
            name,
            description,
            title: None,
            needs: Vec::new(),
            additive: false,
            idempotent: false,
            open_world: false,
            input: || serde_json::to_string(&schema::of_arguments::<A>()).unwrap_or_default(),
            output: R::schema,
            run: Box::new(move |arguments, call| run(parsed(arguments)?, call)?.into_outcome()),
        }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Needs to read a source: agents that may not are not offered the tool.
    #[must_use]
    pub fn reads(self, source: &'static str) -> Self {
        self.needs(source, Permission::Read, false)
    }

    /// Needs to read and write a source. The tool is no longer read-only, and counts as destructive
    /// unless it is [`additive`](Self::additive).
    #[must_use]
    pub fn writes(self, source: &'static str) -> Self {
        self.needs(source, Permission::Write, false)
    }

    /// Reads a source where the agent may, and does without it otherwise.
    #[must_use]
    pub fn reads_if_granted(self, source: &'static str) -> Self {
        self.needs(source, Permission::Read, true)
    }

    /// Writes to a source where the agent may; where it may only read, the handle only reads.
    #[must_use]
    pub fn writes_if_granted(self, source: &'static str) -> Self {
        self.needs(source, Permission::Write, true)
    }

    /// Only ever adds: overwrites and deletes nothing.
    #[must_use]
    pub fn additive(mut self) -> Self {
        self.additive = true;
        self
    }

    /// A second call with the same arguments changes nothing more.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Reaches people or systems that the tenant does not control.
    #[must_use]
    pub fn open_world(mut self) -> Self {
        self.open_world = true;
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn describe(&self) -> tools::Tool {
        let read_only = self.needs.iter().all(|need| need.permission == Permission::Read);
        tools::Tool {
            name: self.name.to_owned(),
            title: self.title.map(str::to_owned),
            description: self.description.to_owned(),
            input_schema: (self.input)(),
            output_schema: (self.output)(),
            annotations: tools::ToolAnnotations {
                read_only,
                destructive: !read_only && !self.additive,
                idempotent: read_only || self.idempotent,
                open_world: self.open_world,
            },
            needs: self.needs.iter().map(Need::describe).collect(),
        }
    }

    pub(crate) fn run(&self, arguments: &str, call: &Call) -> Result<Outcome> {
        (self.run)(arguments, call)
    }

    fn needs(mut self, source: &'static str, permission: Permission, optional: bool) -> Self {
        self.needs.push(Need { source, permission, optional });
        self
    }
}

/// A need as it is declared, without an allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    pub(crate) source: &'static str,
    pub(crate) permission: Permission,
    pub(crate) optional: bool,
}

impl Need {
    pub(crate) fn describe(&self) -> types::Need {
        types::Need { source: self.source.to_owned(), permission: self.permission, optional: self.optional }
    }
}

/// The host has checked arguments against the schema; what is left is what a schema lets through and
/// the type does not, such as `10.0` for an integer.
pub(crate) fn parsed<A: DeserializeOwned>(arguments: &str) -> Result<A> {
    serde_json::from_str(arguments).or_else(|error| {
        let mut value = serde_json::from_str(arguments).map_err(|_| Error::invalid("", error.to_string()))?;
        whole_numbers(&mut value);
        serde_json::from_value(value).map_err(|_| Error::invalid("", error.to_string()))
    })
}

/// Writes `10.0` as `10`, which JSON Schema holds to be the same integer.
fn whole_numbers(value: &mut serde_json::Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        serde_json::Value::Number(number) if number.is_f64() => {
            if let Some(whole) = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() <= EXACT) {
                let whole = whole as i64;
                *number = whole.into();
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
