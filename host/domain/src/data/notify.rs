//! Port: channels to people, as `remit:notify/notify` states them.
//!
//! What an address, a pattern of addresses and a room are is decided here, once. Deliberately absent: how a
//! message travels, and templates, which a connector fills.

mod names;

use async_trait::async_trait;
use time::OffsetDateTime;

pub use names::{Address, Pattern, Room};

use super::Error;
use crate::{SourceName, TenantId, grant::Writing};

/// The most bytes of a message's own words: subject, texts, blocks, a template's object (`max-message-bytes`).
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The most bytes of a part that a template makes (`max-rendered-bytes`).
pub const MAX_RENDERED_BYTES: usize = 256 * 1024;
/// The most recipients of a mail (`max-recipients`).
pub const MAX_RECIPIENTS: usize = 50;
/// The most messages of one call (`max-messages`).
pub const MAX_MESSAGES: u32 = 20;
/// The most attachments of a mail (`max-attachments`).
pub const MAX_ATTACHMENTS: usize = 10;
/// The most bytes of a mail's attachments together (`max-attachment-bytes`).
pub const MAX_ATTACHMENT_BYTES: usize = 4 * 1024 * 1024;
/// The most blocks of a post, as Slack has it.
pub const MAX_BLOCKS: usize = 50;
/// The most bytes of an idempotency key.
pub const MAX_KEY_BYTES: usize = 256;

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Words.
    Text {
        /// Plain.
        text: String,
        /// The same as HTML.
        html: Option<String>,
    },
    /// One of the tenant's templates.
    Template {
        /// Its name.
        name: String,
        /// The JSON object it is filled with.
        data: String,
    },
}

/// A file that goes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// As the reader sees it.
    pub name: String,
    /// Such as `application/pdf`.
    pub media_type: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A mail, as a guest writes it: nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Addresses; empty for the channel's own recipients.
    pub to: Vec<String>,
    /// Addresses.
    pub cc: Vec<String>,
    /// Addresses that the others don't see.
    pub bcc: Vec<String>,
    /// One line; empty for the template's own.
    pub subject: String,
    /// What it says.
    pub body: Body,
    /// What goes with it.
    pub attachments: Vec<Attachment>,
    /// With the same key a message is sent once.
    pub idempotency_key: Option<String>,
}

/// A post to a room, as a guest writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The room; none for the agent's own.
    pub room: Option<String>,
    /// What is shown where blocks are not.
    pub text: String,
    /// A JSON array.
    pub blocks: Option<String>,
    /// The thread to answer in.
    pub thread: Option<String>,
    /// With the same key a message is sent once.
    pub idempotency_key: Option<String>,
}

/// One channel. Which rooms and templates an agent may use is the scope of the proof.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Hands a mail over for delivery, to all recipients or to none, and returns its id.
    ///
    /// Errors: `denied` for a recipient or template outside of what is permitted, and by a channel that
    /// is not mail; `invalid`; `limit`; `throttled`, `unavailable` (not handed over); `uncertain` (handing
    /// over was not confirmed); `rejected`. Cancel: what was sent may arrive.
    async fn send(&self, access: Writing<'_>, mail: &Mail) -> Result<String, Error>;

    /// Posts to a room and returns the post's id. Errors as [`Self::send`].
    async fn post(&self, access: Writing<'_>, post: &Post) -> Result<String, Error>;

    /// Replaces a post. Errors as [`Self::send`]; `not-found` for an id that is not this channel's own.
    async fn update(&self, access: Writing<'_>, id: &str, post: &Post) -> Result<(), Error>;
}

/// What a message with an idempotency key is found by: a SHA-256 of the key and of who uses it, so that
/// nothing of a guest's is kept in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipted {
    /// Whose message.
    pub tenant: TenantId,
    /// Through which channel.
    pub channel: SourceName,
    /// Of the agent, the operation and the key.
    pub digest: [u8; 32],
}

/// What is known of a message that was asked for before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It was begun, and nobody knows what became of it.
    Begun,
    /// It was handed over, and has this id.
    Handed(String),
}

/// Port: which messages with a key were handed over. A crash at any point leaves no message that is sent
/// twice.
#[async_trait]
pub trait Receipts: Send + Sync {
    /// Notes, lastingly, that a message is about to be handed over; gives what is known if one was noted
    /// since `since`, and notes nothing then. What is older is forgotten.
    ///
    /// Errors: [`crate::Error::Journal`]; nothing is noted, and the message must not be sent.
    async fn begin(
        &self,
        message: &Receipted,
        now: OffsetDateTime,
        since: OffsetDateTime,
    ) -> Result<Option<Receipt>, crate::Error>;

    /// Notes what became of it: its id, or none if it was surely not handed over, which forgets it.
    ///
    /// Errors: [`crate::Error::Journal`]; it stays noted as begun.
    async fn end(&self, message: &Receipted, id: Option<&str>) -> Result<(), crate::Error>;
}
