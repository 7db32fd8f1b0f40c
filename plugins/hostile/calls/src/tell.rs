//! Attempts to tell people what a tenant does not want told.

use remit_sdk::{
    prelude::*,
    source::{Attachment, Body, Mail, Post},
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Letter {
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    cc: Vec<String>,
    #[serde(default)]
    bcc: Vec<String>,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    html: Option<String>,
    /// A template's name.
    template: Option<String>,
    /// What it is filled with, as JSON.
    data: Option<String>,
    /// Name, type and size of each.
    #[serde(default)]
    attachments: Vec<(String, String, usize)>,
    key: Option<String>,
    /// Repeats the text.
    #[serde(default = "one")]
    times: usize,
    /// Sends it so often.
    #[serde(default = "one")]
    messages: usize,
    /// Through which channel.
    #[serde(default = "email")]
    channel: String,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Message {
    room: Option<String>,
    #[serde(default)]
    text: String,
    /// As JSON.
    blocks: Option<String>,
    thread: Option<String>,
    key: Option<String>,
    /// The post to replace.
    update: Option<String>,
    #[serde(default = "one")]
    times: usize,
    #[serde(default = "slack")]
    channel: String,
}

fn one() -> usize {
    1
}

fn email() -> String {
    "email".to_owned()
}

fn slack() -> String {
    "slack".to_owned()
}

/// Sends a mail, and tells what came of each.
pub(crate) fn mail(args: Letter, call: &Call) -> Result<Vec<String>> {
    let text = args.text.repeat(args.times);
    let attachments = args.attachments.into_iter();
    let mail = Mail {
        to: args.to,
        cc: args.cc,
        bcc: args.bcc,
        subject: args.subject,
        body: match args.template {
            Some(name) => Body::Template((name, args.data.unwrap_or_default())),
            None => Body::Text((text, args.html)),
        },
        attachments: attachments
            .map(|(name, media_type, size)| Attachment { name, media_type, bytes: vec![b'x'; size] })
            .collect(),
        idempotency_key: args.key,
    };
    let channel = call.channel(&args.channel)?;
    Ok((0..args.messages).map(|_| told(channel.send(&mail))).collect())
}

/// Posts to a room, or replaces a post, and tells what came of it.
pub(crate) fn post(args: Message, call: &Call) -> Result<String> {
    let post = Post {
        room: args.room,
        text: args.text.repeat(args.times),
        blocks: args.blocks,
        thread: args.thread,
        idempotency_key: args.key,
    };
    let channel = call.channel(&args.channel)?;
    Ok(match args.update {
        Some(id) => told(channel.update(&id, &post).map(|()| id)),
        None => told(channel.post(&post)),
    })
}

fn told(sent: Result<String>) -> String {
    match sent {
        Ok(id) => format!("sent: {id}"),
        Err(error) => format!("{error:?}"),
    }
}
