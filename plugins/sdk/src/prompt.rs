//! One prompt: a conversation that a plugin opens. Proposals for arguments being typed have no builder yet.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    Call, Content, Error, Message, Permission, Result, Role,
    bindings::{
        prompting::exports::remit::plugin::prompts::{self, Filled},
        remit::plugin::types::TextContent,
    },
    schema,
    tool::Need,
};

/// A prompt, and the function that fills it in. The fields of its arguments' type are its arguments;
/// they arrive as text, so each is a `String` or an `Option<String>`.
pub struct Prompt {
    name: &'static str,
    description: &'static str,
    title: Option<&'static str>,
    needs: Vec<Need>,
    arguments: fn() -> Map<String, Value>,
    fill: Fill,
}

type Fill = Box<dyn Fn(Map<String, Value>, &Call) -> Result<Vec<Message>>>;

impl Prompt {
    /// A prompt of this name, which the function fills in.
    pub fn new<A>(
        name: &'static str,
        description: &'static str,
        fill: impl Fn(A, &Call) -> Result<Vec<Message>> + 'static,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema,
    {
        Self {
            name,
            description,
            title: None,
            needs: Vec::new(),
            arguments: schema::of_arguments::<A>,
            fill: Box::new(move |arguments, call| {
                let arguments = serde_json::from_value(Value::Object(arguments))
                    .map_err(|error| Error::invalid("", error.to_string()))?;
                fill(arguments, call)
            }),
        }
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Needs to read a source: agents that may not are not offered the prompt.
    #[must_use]
    pub fn reads(mut self, source: &'static str) -> Self {
        self.needs.push(Need { source, permission: Permission::Read, optional: false });
        self
    }

    /// Reads a source where the agent may, and does without it otherwise.
    #[must_use]
    pub fn reads_if_granted(mut self, source: &'static str) -> Self {
        self.needs.push(Need { source, permission: Permission::Read, optional: true });
        self
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn describe(&self) -> prompts::Prompt {
        let schema = (self.arguments)();
        let required = schema.get("required").and_then(Value::as_array);
        let argument = |(name, about): (&String, &Value)| prompts::Argument {
            name: name.clone(),
            description: about.get("description").and_then(Value::as_str).map(str::to_owned),
            required: required.is_some_and(|names| names.iter().any(|it| it.as_str() == Some(name))),
        };
        prompts::Prompt {
            name: self.name.to_owned(),
            title: self.title.map(str::to_owned),
            description: Some(self.description.to_owned()),
            arguments: schema
                .get("properties")
                .and_then(Value::as_object)
                .map(|properties| properties.iter().map(argument).collect())
                .unwrap_or_default(),
            needs: self.needs.iter().map(Need::describe).collect(),
        }
    }

    pub(crate) fn fill(&self, arguments: Vec<(String, String)>, call: &Call) -> Result<Filled> {
        let arguments = arguments.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let messages = (self.fill)(arguments, call)?;
        Ok(Filled { description: Some(self.description.to_owned()), messages })
    }
}

impl Message {
    /// A turn of the user's, in text.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of(Role::User, text)
    }

    /// A turn of the assistant's, in text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::of(Role::Assistant, text)
    }

    fn of(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Content::Text(TextContent { text: text.into(), annotations: None }) }
    }
}
