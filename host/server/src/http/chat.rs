//! `/api/{agent}/chat`: a message to an agent.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRef, State as FromState},
};
use remit_agent::{Answer, Chat, Details, Request};
use remit_domain::{Catalogue, audit::Door};
use serde::Deserialize;

use super::{
    error::{Body, Failure},
    extract::{JsonBody, Path, Tenant},
};

/// What chat stands on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) chat: Arc<Chat>,
}

impl FromRef<State> for Catalogue {
    fn from_ref(state: &State) -> Self {
        state.catalogue.clone()
    }
}

/// A message, and what it is about.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// What the user says.
    message: String,
    /// The conversation to go on with: a UUID that an earlier answer gave.
    #[serde(rename = "conversationId")]
    conversation_id: Option<String>,
    /// The ticket it is about.
    #[serde(rename = "ticketId")]
    ticket_id: Option<String>,
    /// The customer it is about.
    customer_id: Option<String>,
    /// The machine it is about.
    machine_id: Option<String>,
    /// How urgent it is.
    priority: Option<String>,
}

/// Answers a message with the agent's model and tools.
#[utoipa::path(
    post, path = "/api/{agent}/chat", tag = "chat", request_body = Message,
    params(("agent" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses(
        (status = 200, body = Object, description = "`{success, response, toolCalls, toolCallsMade, agentType, usage, model, conversationId, …}`"),
        (status = 404, body = Body), (status = 409, body = Body), (status = 422, body = Body), (status = 503, body = Body)
    )
)]
pub(crate) async fn reply(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(agent): Path<String>,
    JsonBody(asked): JsonBody<Message>,
) -> Result<Json<Answer>, Failure> {
    let request = Request {
        caller: tenant.caller(&agent, Door::Chat)?,
        message: asked.message,
        conversation: asked.conversation_id,
        details: Details {
            customer_id: asked.customer_id,
            ticket_id: asked.ticket_id,
            priority: asked.priority,
            machine_id: asked.machine_id,
        },
    };
    Ok(Json(state.chat.reply(request).await?))
}
