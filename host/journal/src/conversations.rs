//! Conversations: messages of a tenant's agent, in order.
//!
//! Every statement names tenant, agent and id together: there is no way to a conversation by its id alone.

use async_trait::async_trait;
use remit_domain::{
    conversation::{Conversations, Key},
    model::Message,
};
use sqlx::SqliteConnection;

use crate::{Error, Journal, audit};

#[async_trait]
impl Conversations for Journal {
    async fn load(&self, key: &Key, most: usize) -> Result<Vec<Message>, remit_domain::Error> {
        let bodies: Vec<String> = sqlx::query_scalar(
            "SELECT body FROM messages WHERE tenant = ? AND agent = ? AND conversation = ?
             ORDER BY position DESC LIMIT ?",
        )
        .bind(key.tenant.as_str())
        .bind(key.agent.as_str())
        .bind(key.id.as_str())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await
        .map_err(|cause| Error::Read(cause).into_domain())?;
        let messages = bodies.iter().rev().map(|body| serde_json::from_str(body));
        messages.collect::<Result<_, _>>().map_err(|cause| Error::Record(cause).into_domain())
    }

    async fn append(&self, key: &Key, messages: &[Message]) -> Result<(), remit_domain::Error> {
        let bodies = messages.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let bodies = bodies.map_err(|cause| Error::Record(cause).into_domain())?;
        self.queue.append(key.clone(), bodies).await
    }
}

/// Adds messages to the end of a conversation. To be called within a transaction.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    key: &Key,
    messages: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO conversations (tenant, agent, id, created, updated) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (tenant, agent, id) DO UPDATE SET updated = ?4",
    )
    .bind(key.tenant.as_str())
    .bind(key.agent.as_str())
    .bind(key.id.as_str())
    .bind(audit::instant(time::OffsetDateTime::now_utc()))
    .execute(&mut *connection)
    .await?;
    for body in messages {
        sqlx::query(
            "INSERT INTO messages (tenant, agent, conversation, position, body)
             SELECT ?1, ?2, ?3, coalesce(max(position) + 1, 0), ?4 FROM messages
             WHERE tenant = ?1 AND agent = ?2 AND conversation = ?3",
        )
        .bind(key.tenant.as_str())
        .bind(key.agent.as_str())
        .bind(key.id.as_str())
        .bind(body.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
