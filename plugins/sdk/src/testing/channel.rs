//! A channel that keeps what was sent.

use std::{cell::RefCell, rc::Rc};

use super::handles::Handle;
use crate::{
    Cause,
    source::{Mail, Post},
};

/// Keeps mails and posts instead of delivering them. Clones are the same channel.
#[derive(Debug, Clone, Default)]
pub struct FakeChannel(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    sent: Vec<Sent>,
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
        if let Some(cause) = &inner.failing {
            return Err(cause.clone());
        }
        inner.sent.push(message);
        Ok(format!("message-{}", inner.sent.len()))
    }
}

impl Handle<FakeChannel> {
    pub(crate) fn send(&self, mail: &Mail) -> Result<String, Cause> {
        self.fake.keep(Sent::Mail(mail.clone()))
    }

    pub(crate) fn post(&self, post: &Post) -> Result<String, Cause> {
        self.fake.keep(Sent::Post(post.clone()))
    }

    pub(crate) fn update(&self, id: &str, post: &Post) -> Result<(), Cause> {
        self.fake.keep(Sent::Update(id.to_owned(), post.clone())).map(drop)
    }
}
