//! Messages on their way. What is recorded is how many they went to and how long they are, never a word of
//! them and no address.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        notify::{self, Body, Mail, Post},
    },
    grant::Writing,
    operation::{Digest, Extent},
};

use super::{Came, Passage, head, rows};

/// A channel whose messages go the way.
pub(super) struct Channel {
    passage: Arc<Passage>,
    channel: Arc<dyn notify::Channel>,
}

impl Channel {
    pub(super) fn new(passage: Arc<Passage>, channel: Arc<dyn notify::Channel>) -> Self {
        Self { passage, channel }
    }
}

/// What was handed over.
struct Handed<T> {
    what: T,
    extent: Extent,
}

impl<T> Came for Handed<T> {
    fn extent(&self) -> Extent {
        self.extent
    }
}

#[async_trait]
impl notify::Channel for Channel {
    async fn send(&self, access: Writing<'_>, mail: &Mail) -> Result<String, Error> {
        let (recorder, extent) = (access.recorder(), of_mail(mail));
        let run = async { Ok(Handed { what: self.channel.send(access, mail).await?, extent }) };
        Ok(self.passage.run(&recorder, "send", Some(mail_digest(mail)), run).await?.what)
    }

    async fn post(&self, access: Writing<'_>, post: &Post) -> Result<String, Error> {
        let (recorder, extent) = (access.recorder(), of_post(post));
        let run = async { Ok(Handed { what: self.channel.post(access, post).await?, extent }) };
        Ok(self.passage.run(&recorder, "post", Some(post_digest("post", post)), run).await?.what)
    }

    async fn update(&self, access: Writing<'_>, id: &str, post: &Post) -> Result<(), Error> {
        let (recorder, extent) = (access.recorder(), of_post(post));
        let run = async { Ok(Handed { what: self.channel.update(access, id, post).await?, extent }) };
        self.passage.run(&recorder, "update", Some(post_digest("update", post)), run).await.map(drop)
    }
}

/// Of the template, or of the kinds of text.
fn mail_digest(mail: &Mail) -> Digest {
    match &mail.body {
        Body::Text { html: None, .. } => Digest::of(&["mail", "text"]),
        Body::Text { html: Some(_), .. } => Digest::of(&["mail", "html"]),
        Body::Template { name, .. } => Digest::of(&["mail", "template", head(name)]),
    }
}

/// Of the room, and whether there are blocks.
fn post_digest(operation: &str, post: &Post) -> Digest {
    let room = post.room.as_deref().unwrap_or_default();
    Digest::of(&[operation, head(room), if post.blocks.is_some() { "blocks" } else { "text" }])
}

fn of_mail(mail: &Mail) -> Extent {
    let words = match &mail.body {
        Body::Text { text, html } => text.len().saturating_add(html.as_ref().map_or(0, String::len)),
        Body::Template { data, .. } => data.len(),
    };
    let files = mail.attachments.iter().map(|file| file.bytes.len());
    let bytes = files.fold(words.saturating_add(mail.subject.len()), usize::saturating_add);
    let people = mail.to.len().saturating_add(mail.cc.len()).saturating_add(mail.bcc.len());
    // Without a recipient it goes to the channel's own, of whom there is one at least.
    Extent { rows: rows(people.max(1)), bytes: rows(bytes), cached: false }
}

fn of_post(post: &Post) -> Extent {
    let bytes = post.text.len().saturating_add(post.blocks.as_ref().map_or(0, String::len));
    Extent { rows: 1, bytes: rows(bytes), cached: false }
}
