//! One resource: something to read at a fixed address. Families of addresses (templates) and listings
//! have no builder yet.

use serde::Serialize;

use crate::{
    Call, Error, Permission, Result,
    bindings::{
        readable::exports::remit::plugin::resources,
        remit::plugin::types::{ResourceBody, ResourceContents},
    },
    tool::Need,
};

/// A resource, and the function that reads it. Its address is `remit://<plugin>/<name>`.
pub struct Resource {
    name: &'static str,
    description: &'static str,
    mime_type: &'static str,
    title: Option<&'static str>,
    needs: Vec<Need>,
    read: Read,
}

type Read = Box<dyn Fn(&Call) -> Result<ResourceBody>>;

impl Resource {
    /// A JSON document that a function makes.
    pub fn json<T: Serialize>(
        name: &'static str,
        description: &'static str,
        read: impl Fn(&Call) -> Result<T> + 'static,
    ) -> Self {
        Self::new(name, description, "application/json", move |call| {
            let json = serde_json::to_string(&read(call)?)
                .map_err(|error| Error::refused(format!("the resource does not serialise: {error}")))?;
            Ok(ResourceBody::Text(json))
        })
    }

    /// A text of some type, such as `text/plain`, that a function makes.
    pub fn text(
        name: &'static str,
        description: &'static str,
        mime_type: &'static str,
        read: impl Fn(&Call) -> Result<String> + 'static,
    ) -> Self {
        Self::new(name, description, mime_type, move |call| read(call).map(ResourceBody::Text))
    }

    /// Bytes of some type, such as `image/png`, that a function makes.
    pub fn blob(
        name: &'static str,
        description: &'static str,
        mime_type: &'static str,
        read: impl Fn(&Call) -> Result<Vec<u8>> + 'static,
    ) -> Self {
        Self::new(name, description, mime_type, move |call| read(call).map(ResourceBody::Blob))
    }

    /// A text that is always the same, such as a file given by `include_str!`.
    pub fn fixed(name: &'static str, description: &'static str, mime_type: &'static str, text: &'static str) -> Self {
        Self::new(name, description, mime_type, move |_| Ok(ResourceBody::Text(text.to_owned())))
    }

    /// A name for people.
    #[must_use]
    pub fn title(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    /// Needs to read a source: agents that may not are not offered the resource.
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

    pub(crate) fn uri(&self, plugin: &str) -> String {
        format!("remit://{plugin}/{}", self.name)
    }

    pub(crate) fn describe(&self, plugin: &str) -> resources::Resource {
        resources::Resource {
            uri: self.uri(plugin),
            name: self.name.to_owned(),
            title: self.title.map(str::to_owned),
            description: Some(self.description.to_owned()),
            mime_type: Some(self.mime_type.to_owned()),
            needs: self.needs.iter().map(Need::describe).collect(),
        }
    }

    pub(crate) fn contents(&self, uri: &str, call: &Call) -> Result<ResourceContents> {
        let body = (self.read)(call)?;
        Ok(ResourceContents { uri: uri.to_owned(), mime_type: Some(self.mime_type.to_owned()), body })
    }

    fn new(
        name: &'static str,
        description: &'static str,
        mime_type: &'static str,
        read: impl Fn(&Call) -> Result<ResourceBody> + 'static,
    ) -> Self {
        Self { name, description, mime_type, title: None, needs: Vec::new(), read: Box::new(read) }
    }
}
