//! Messages that go nowhere: what a host keeps instead of sending, to be looked at. Bounded for each tenant;
//! the oldest goes first.
//!
//! Deliberately absent: files. What an attachment held is not kept, and all of it ends with the process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use remit_domain::{TenantId, clock::rfc3339};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

/// The most messages that are kept of a tenant, and their bytes together.
const MAX_MESSAGES: usize = 200;
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Messages that were not sent, by tenant.
#[derive(Debug, Default)]
pub struct Inbox(Mutex<HashMap<TenantId, Own>>);

#[derive(Debug, Default)]
struct Own {
    /// Oldest first, each with its bytes.
    messages: VecDeque<(usize, Kept)>,
    bytes: usize,
}

/// A message that was not sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// When, in RFC 3339.
    pub at: String,
    /// Through which channel.
    pub channel: String,
    /// Of which agent.
    pub agent: String,
    /// `mail`, `post`, or `update` for a post in place of the one with this id.
    pub kind: &'static str,
    /// As the sender was told.
    pub id: String,
    /// The sender's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// Addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// Addresses that the others would not have seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// A mail's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The template that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Plain text, or a post's.
    pub text: String,
    /// The same as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// What went with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<KeptFile>,
    /// The room of a post.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Its blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<Value>,
    /// The thread that it answers in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
}

/// A file that went with a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptFile {
    /// As the reader would have seen it.
    pub name: String,
    /// Such as `application/pdf`.
    pub media_type: String,
    /// How many it had.
    pub bytes: usize,
}

impl Inbox {
    /// The newest messages of a tenant, newest first.
    pub fn newest(&self, tenant: &TenantId, most: usize) -> Vec<Kept> {
        let boxes = self.boxes();
        let kept = boxes.get(tenant).map(|own| own.messages.iter().rev().take(most));
        kept.into_iter().flatten().map(|(_, message)| message.clone()).collect()
    }

    /// Keeps a message, as of now.
    pub(super) fn keep(&self, tenant: &TenantId, message: Kept) {
        let message = Kept { at: rfc3339(OffsetDateTime::now_utc()), ..message };
        let bytes = size(&message);
        let mut boxes = self.boxes();
        let own = boxes.entry(tenant.clone()).or_default();
        own.bytes = own.bytes.saturating_add(bytes);
        own.messages.push_back((bytes, message));
        while own.messages.len() > MAX_MESSAGES || own.bytes > MAX_BYTES {
            let Some((bytes, _)) = own.messages.pop_front() else { return };
            own.bytes = own.bytes.saturating_sub(bytes);
        }
    }

    /// The room of a post that is kept, by its id.
    pub(super) fn room_of(&self, tenant: &TenantId, id: &str) -> Option<String> {
        let boxes = self.boxes();
        let mut messages = boxes.get(tenant)?.messages.iter().rev();
        messages.find(|(_, message)| message.kind != "mail" && message.id == id)?.1.room.clone()
    }

    fn boxes(&self) -> MutexGuard<'_, HashMap<TenantId, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About what a message takes in memory.
fn size(message: &Kept) -> usize {
    serde_json::to_vec(message).map_or(MAX_BYTES, |json| json.len().saturating_add(size_of::<Kept>()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_newest_are_kept_and_each_tenant_has_its_own() {
        let inbox = Inbox::default();
        let [one, other] = ["one", "other"].map(|name| TenantId::new(name).unwrap());
        let post = |id: usize, text: String| Kept {
            kind: "post",
            id: id.to_string(),
            room: Some("#a".to_owned()),
            text,
            ..Kept::default()
        };
        for id in 0..MAX_MESSAGES + 5 {
            inbox.keep(&one, post(id, String::new()));
        }
        let newest = inbox.newest(&one, usize::MAX);
        assert_eq!((newest.len(), newest.first().unwrap().id.as_str()), (MAX_MESSAGES, "204"));
        assert_eq!(inbox.room_of(&one, "204").as_deref(), Some("#a"));
        assert_eq!((inbox.room_of(&one, "0"), inbox.room_of(&other, "204")), (None, None));
        assert_eq!(inbox.newest(&other, 10), []);
        for id in 0..40 {
            inbox.keep(&other, post(id, "x".repeat(256 * 1024)));
        }
        let kept = inbox.newest(&other, usize::MAX).len();
        assert!((1..=16).contains(&kept), "{kept}");
        assert_eq!(inbox.newest(&one, usize::MAX).len(), MAX_MESSAGES);
    }
}
