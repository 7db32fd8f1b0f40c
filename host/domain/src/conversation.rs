//! Port: conversations, kept so that a client can go on with one.

use async_trait::async_trait;

use crate::{AgentName, Error, TenantId, model::Message};

/// Whose conversation, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentName,
    /// The conversation's id: a UUID.
    pub id: String,
}

/// Port: the store of conversations.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// The newest messages, `most` of them at most, oldest first and without the system prompt;
    /// empty for a conversation that is not there (or is another tenant's or agent's). The cut goes
    /// by number alone: what comes first may be a result whose call is left out.
    ///
    /// Errors: [`Error::Journal`].
    async fn load(&self, key: &Key, most: usize) -> Result<Vec<Message>, Error>;

    /// Adds messages to the end; makes the conversation if it is new. Lasting once this returns.
    ///
    /// Errors: [`Error::Journal`].
    async fn append(&self, key: &Key, messages: &[Message]) -> Result<(), Error>;
}
