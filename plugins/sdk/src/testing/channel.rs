//! A channel that keeps what was sent, within the contract's limits.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use super::handles::Handle;
use crate::{
    Cause,
    bindings::remit::data::common::LimitReached,
    source::{Body, Mail, Post},
};

/// The contract's limits.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const MAX_RECIPIENTS: usize = 50;
const MAX_MESSAGES: usize = 20;
const MAX_ATTACHMENTS: usize = 10;
const MAX_ATTACHMENT_BYTES: usize = 4 * 1024 * 1024;

/// Keeps mails and posts instead of delivering them: with the same idempotency key once, and within the
/// contract's limits. What a tenant permits (recipients, rooms, templates) it does not know. Clones are the
/// same channel.
#[derive(Debug, Clone, Default)]
pub struct FakeChannel(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    sent: Vec<Sent>,
    /// How many were asked for.
    asked: usize,
    /// By key, the id.
    keys: BTreeMap<String, String>,
    failing: Option<Cause>,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// A mail.
    Mail(Mail),
    /// A post.
    Post(Post),
    /// A post in place of the one with this id.
    Update(String, Post),
}

impl Sent {
    fn key(&self) -> Option<String> {
        let (kind, key) = match self {
            Self::Mail(mail) => ("send", &mail.idempotency_key),
            Self::Post(post) => ("post", &post.idempotency_key),
            Self::Update(_, post) => ("update", &post.idempotency_key),
        };
        key.as_ref().map(|key| format!("{kind} {key}"))
    }
}

impl FakeChannel {
    /// One that takes everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails whatever is sent.
    #[must_use]
    pub fn fails(self, cause: Cause) -> Self {
        self.0.borrow_mut().failing = Some(cause);
        self
    }

    /// What was sent so far, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.0.borrow().sent.clone()
    }

    fn keep(&self, message: Sent) -> Result<String, Cause> {
        let mut inner = self.0.borrow_mut();
        inner.asked += 1;
        within("max-messages", inner.asked, MAX_MESSAGES)?;
        if let Some(cause) = &inner.failing {
            return Err(cause.clone());
        }
        match &message {
            Sent::Mail(mail) => check_mail(mail)?,
            Sent::Post(post) | Sent::Update(_, post) => check_post(post)?,
        }
        let key = message.key();
        if let Some(id) = key.as_ref().and_then(|key| inner.keys.get(key)) {
            return Ok(id.clone());
        }
        let is_post = |id: &String| {
            (1..).zip(&inner.sent).any(|(at, it)| matches!(it, Sent::Post(_)) && *id == format!("message-{at}"))
        };
        let id = match &message {
            Sent::Update(id, _) if !is_post(id) => return Err(Cause::NotFound(id.clone())),
            Sent::Update(id, _) => id.clone(),
            Sent::Mail(_) | Sent::Post(_) => format!("message-{}", inner.sent.len() + 1),
        };
        inner.sent.push(message);
        if let Some(key) = key {
            inner.keys.insert(key, id.clone());
        }
        Ok(id)
    }
}

fn within(name: &str, value: usize, most: usize) -> Result<(), Cause> {
    if value <= most {
        return Ok(());
    }
    let allowed = u64::try_from(most).unwrap_or(u64::MAX);
    Err(Cause::Limit(LimitReached { name: name.to_owned(), allowed }))
}

fn check_mail(mail: &Mail) -> Result<(), Cause> {
    let words = match &mail.body {
        Body::Text((text, html)) => text.len() + html.as_ref().map_or(0, String::len),
        Body::Template((name, data)) => name.len() + data.len(),
    };
    within("max-message-bytes", mail.subject.len() + words, MAX_MESSAGE_BYTES)?;
    within("max-recipients", mail.to.len() + mail.cc.len() + mail.bcc.len(), MAX_RECIPIENTS)?;
    within("max-attachments", mail.attachments.len(), MAX_ATTACHMENTS)?;
    let files = mail.attachments.iter().map(|file| file.bytes.len()).sum();
    within("max-attachment-bytes", files, MAX_ATTACHMENT_BYTES)?;
    if mail.subject.chars().any(char::is_control) {
        return Err(Cause::Invalid("a subject is one line".to_owned()));
    }
    Ok(())
}

fn check_post(post: &Post) -> Result<(), Cause> {
    within("max-message-bytes", post.text.len() + post.blocks.as_ref().map_or(0, String::len), MAX_MESSAGE_BYTES)?;
    let blocks = post.blocks.as_deref().map(serde_json::from_str::<Vec<serde_json::Value>>);
    match blocks {
        Some(Err(_)) => Err(Cause::Invalid("blocks are a JSON array".to_owned())),
        None if post.text.trim().is_empty() => Err(Cause::Invalid("the post says nothing".to_owned())),
        _ => Ok(()),
    }
}

impl Handle<FakeChannel> {
    pub(crate) fn send(&self, mail: &Mail) -> Result<String, Cause> {
        self.for_writing()?.keep(Sent::Mail(mail.clone()))
    }

    pub(crate) fn post(&self, post: &Post) -> Result<String, Cause> {
        self.for_writing()?.keep(Sent::Post(post.clone()))
    }

    pub(crate) fn update(&self, id: &str, post: &Post) -> Result<(), Cause> {
        self.for_writing()?.keep(Sent::Update(id.to_owned(), post.clone())).map(drop)
    }
}
