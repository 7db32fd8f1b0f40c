//! Channels to people: mail and chat rooms.

use super::{Attachment, Body, Mail, Post};
use crate::{Cause, Error, Result, handles};

/// A channel that the call was handed. Holding it is the permission to send.
pub struct Channel {
    name: String,
    handle: handles::Channel,
}

impl Channel {
    pub(crate) fn take(grants: &handles::Grants, name: &str) -> Result<Self> {
        let handle = handles::Channel::take(grants, name).map_err(|cause| Error::of_taking(name, cause))?;
        Ok(Self { name: name.to_owned(), handle })
    }

    /// Hands a mail over for delivery, to all of its recipients or to none, and returns its id.
    pub fn send(&self, mail: &Mail) -> Result<String> {
        self.handle.send(mail).map_err(|cause| self.failed(cause))
    }

    /// Posts to a room and returns the post's id.
    pub fn post(&self, post: &Post) -> Result<String> {
        self.handle.post(post).map_err(|cause| self.failed(cause))
    }

    /// Replaces a post of this channel, where it stands. A webhook can't.
    pub fn update(&self, id: &str, post: &Post) -> Result<()> {
        self.handle.update(id, post).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: Cause) -> Error {
        Error::of_source(&self.name, cause)
    }
}

impl Mail {
    /// A mail of plain text to the given addresses, or to the channel's own if there are none.
    pub fn text(to: Vec<String>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(to, subject, Body::Text((text.into(), None)))
    }

    /// A mail made of one of the tenant's templates, filled with a JSON object. With an empty subject it has
    /// the template's own.
    pub fn template(
        to: Vec<String>,
        subject: impl Into<String>,
        template: impl Into<String>,
        data: &serde_json::Value,
    ) -> Self {
        Self::new(to, subject, Body::Template((template.into(), data.to_string())))
    }

    fn new(to: Vec<String>, subject: impl Into<String>, body: Body) -> Self {
        let (cc, bcc, attachments) = (Vec::new(), Vec::new(), Vec::new());
        Self { to, cc, bcc, subject: subject.into(), body, attachments, idempotency_key: None }
    }

    /// The same with the text as HTML, too. A template has its own.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        if let Body::Text((_, own)) = &mut self.body {
            *own = Some(html.into());
        }
        self
    }

    /// The same with a file.
    #[must_use]
    pub fn attach(mut self, name: impl Into<String>, media_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        self.attachments.push(Attachment { name: name.into(), media_type: media_type.into(), bytes });
        self
    }

    /// The same, sent once however often it is asked for with this key within 24 hours.
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

impl Post {
    /// A post of text to a room such as `#order-review`, or to the agent's own.
    pub fn text(room: Option<&str>, text: impl Into<String>) -> Self {
        let room = room.map(str::to_owned);
        Self { room, text: text.into(), blocks: None, thread: None, idempotency_key: None }
    }

    /// The same with blocks, a JSON array, for rooms that show them.
    #[must_use]
    pub fn blocks(mut self, blocks: &serde_json::Value) -> Self {
        self.blocks = Some(blocks.to_string());
        self
    }

    /// The same in answer to an earlier post, by its id.
    #[must_use]
    pub fn answer_to(mut self, post: impl Into<String>) -> Self {
        self.thread = Some(post.into());
        self
    }

    /// As [`Mail::once`].
    #[must_use]
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}
