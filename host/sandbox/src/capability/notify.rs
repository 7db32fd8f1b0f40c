//! `remit:notify/notify`: channels to people.

use std::sync::Arc;

use remit_domain::{
    data::{
        Error, Handle,
        notify::{self, MAX_MESSAGES},
    },
    grant::Permit,
};
use wasmtime::component::Resource;

use super::{Bag, common::error, sql::wrong_family};
use crate::{
    bindings::remit::{data::common::Error as WitError, notify::notify as wit},
    state::State,
    traffic::Size,
};

type Answer<T> = wasmtime::Result<Result<T, WitError>>;

/// What stands behind a guest's `channel`.
#[derive(Clone)]
pub struct Channel {
    permit: Permit,
    port: Arc<dyn notify::Channel>,
}

impl State {
    /// The channel for one message more of this call. Errors: `limit` for one too many.
    fn channel(&mut self, channel: &Resource<Channel>) -> wasmtime::Result<Result<Channel, Error>> {
        let channel = self.table.get(channel)?.clone();
        if self.messages >= MAX_MESSAGES {
            return Ok(Err(Error::Limit { name: "max-messages", allowed: MAX_MESSAGES.into() }));
        }
        self.messages += 1;
        Ok(Ok(channel))
    }
}

impl wit::Host for State {}

impl wit::HostChannel for State {
    async fn take(&mut self, grants: Resource<Bag>, name: String) -> Answer<Resource<Channel>> {
        self.enter(&name)?;
        let bag = self.table.get(&grants)?.0.clone();
        Ok(match bag.open(&name).await {
            Ok((permit, Handle::Channel(port))) => Ok(self.table.push(Channel { permit, port })?),
            Ok((_, other)) => Err(wrong_family(&name, other.family())),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn send(&mut self, channel: Resource<Channel>, given: wit::Mail) -> Answer<String> {
        self.enter(&given)?;
        let channel = self.channel(&channel)?;
        let sent = async {
            let Channel { permit, port } = channel?;
            port.send(permit.write()?, &mail(given)).await
        };
        let sent = sent.await;
        self.answer(sent)
    }

    async fn post(&mut self, channel: Resource<Channel>, given: wit::Post) -> Answer<String> {
        self.enter(&given)?;
        let channel = self.channel(&channel)?;
        let posted = async {
            let Channel { permit, port } = channel?;
            port.post(permit.write()?, &post(given)).await
        };
        let posted = posted.await;
        self.answer(posted)
    }

    async fn update(&mut self, channel: Resource<Channel>, id: String, given: wit::Post) -> Answer<()> {
        self.enter(&(&id, &given))?;
        let channel = self.channel(&channel)?;
        let updated = async {
            let Channel { permit, port } = channel?;
            port.update(permit.write()?, &id, &post(given)).await
        };
        let updated = updated.await;
        self.answer(updated)
    }

    async fn drop(&mut self, channel: Resource<Channel>) -> wasmtime::Result<()> {
        self.table.delete(channel)?;
        Ok(())
    }
}

impl Size for wit::Attachment {
    fn size(&self) -> usize {
        (&self.name, &self.media_type, &self.bytes).size()
    }
}

impl Size for wit::Body {
    fn size(&self) -> usize {
        match self {
            Self::Text((text, html)) => (text, html).size(),
            Self::Template((name, data)) => (name, data).size(),
        }
    }
}

impl Size for wit::Mail {
    fn size(&self) -> usize {
        let head = (&self.subject, &self.idempotency_key);
        ((&self.to, &self.cc, &self.bcc), (head, &self.body), &self.attachments).size()
    }
}

impl Size for wit::Post {
    fn size(&self) -> usize {
        ((&self.room, &self.text, &self.blocks), (&self.thread, &self.idempotency_key)).size()
    }
}

fn mail(mail: wit::Mail) -> notify::Mail {
    let attachment =
        |file: wit::Attachment| notify::Attachment { name: file.name, media_type: file.media_type, bytes: file.bytes };
    notify::Mail {
        to: mail.to,
        cc: mail.cc,
        bcc: mail.bcc,
        subject: mail.subject,
        body: match mail.body {
            wit::Body::Text((text, html)) => notify::Body::Text { text, html },
            wit::Body::Template((name, data)) => notify::Body::Template { name, data },
        },
        attachments: mail.attachments.into_iter().map(attachment).collect(),
        idempotency_key: mail.idempotency_key,
    }
}

fn post(post: wit::Post) -> notify::Post {
    notify::Post {
        room: post.room,
        text: post.text,
        blocks: post.blocks,
        thread: post.thread,
        idempotency_key: post.idempotency_key,
    }
}
