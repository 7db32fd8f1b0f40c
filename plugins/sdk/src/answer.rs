//! What a tool may answer with: anything that serialises to JSON, or a [`Reply`] of text, pictures and
//! links.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    Content, Error, Result,
    bindings::{
        exports::remit::plugin::tools::Outcome,
        remit::plugin::types::{MediaContent, ResourceLink, TextContent},
    },
    schema,
};

/// An answer that a tool may give.
///
/// Structured answers are JSON objects: a list becomes `{"items": […]}`, a scalar `{"result": …}`.
pub trait Answer {
    /// The JSON Schema of the structured part, if it has one.
    #[doc(hidden)]
    fn schema() -> Option<String>;

    /// The answer in the contract's form. Errors: `refused` if it does not serialise.
    #[doc(hidden)]
    fn into_outcome(self) -> Result<Outcome>;
}

impl<T: Serialize + JsonSchema> Answer for T {
    fn schema() -> Option<String> {
        schema::of_answer::<T>().and_then(|schema| serde_json::to_string(&schema).ok())
    }

    fn into_outcome(self) -> Result<Outcome> {
        Ok(Outcome { content: Vec::new(), structured: Some(structured(&self)?) })
    }
}

/// An answer of content: text, pictures, links, in the order they are added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    content: Vec<Content>,
    structured: Option<String>,
}

impl Reply {
    /// Begins with a piece of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().and_text(text)
    }

    /// Adds a piece of text.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.and(Content::Text(TextContent { text: text.into(), annotations: None }))
    }

    /// Adds a picture, such as of `image/png`.
    #[must_use]
    pub fn and_image(self, mime_type: impl Into<String>, data: Vec<u8>) -> Self {
        self.and(Content::Image(MediaContent { data, mime_type: mime_type.into(), annotations: None }))
    }

    /// Adds a reference to a resource.
    #[must_use]
    pub fn and_link(self, uri: impl Into<String>, name: impl Into<String>) -> Self {
        self.and(Content::ResourceLink(ResourceLink {
            uri: uri.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
            size: None,
            annotations: None,
        }))
    }

    /// Adds any content of the contract.
    #[must_use]
    pub fn and(mut self, content: Content) -> Self {
        self.content.push(content);
        self
    }

    /// Sets the structured part. Errors: `refused` if it does not serialise.
    pub fn with_structured(mut self, value: &impl Serialize) -> Result<Self> {
        self.structured = Some(structured(value)?);
        Ok(self)
    }
}

impl Answer for Reply {
    fn schema() -> Option<String> {
        None
    }

    fn into_outcome(self) -> Result<Outcome> {
        Ok(Outcome { content: self.content, structured: self.structured })
    }
}

fn structured(value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value)
        .map_err(|error| Error::refused(format!("the answer does not serialise: {error}")))?;
    Ok(match json.as_bytes().first() {
        Some(b'{') => json,
        Some(b'[') => format!("{{\"{}\":{json}}}", schema::ITEMS),
        _ => format!("{{\"{}\":{json}}}", schema::RESULT),
    })
}
