//! `/api/mcp/resources`: what an agent can read.

use axum::{Json, extract::State};
use base64::Engine as _;
use remit_domain::{Catalogue, audit::Door, plugin::ResourceBody};
use serde::Serialize;

use super::{
    error::{Body, Failure},
    extract::{Path, Tenant},
};

/// What an agent can read.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Resources {
    success: bool,
    agent_type: String,
    count: usize,
    resources: Vec<Resource>,
}

/// One resource.
#[derive(Serialize, utoipa::ToSchema)]
struct Resource {
    name: String,
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
}

/// Lists the resources that the agent's mapping lets it read.
#[utoipa::path(
    get, path = "/api/mcp/resources/{agent}", tag = "mcp",
    params(("agent" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Resources), (status = 404, body = Body))
)]
pub(crate) async fn list(
    State(catalogue): State<Catalogue>,
    tenant: Tenant,
    Path(agent): Path<String>,
) -> Result<Json<Resources>, Failure> {
    let caller = tenant.caller(&agent, Door::Console)?;
    let resource = |it: remit_domain::plugin::Resource| Resource {
        name: it.name,
        uri: it.uri,
        description: it.description,
        mime_type: it.mime_type,
    };
    let resources: Vec<Resource> = catalogue.resources(&caller).into_iter().map(resource).collect();
    Ok(Json(Resources { success: true, agent_type: agent, count: resources.len(), resources }))
}

/// What a resource holds.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Contents {
    success: bool,
    agent_type: String,
    name: String,
    contents: Vec<Part>,
}

/// A part of it: `text`, or `blob` in base64.
#[derive(Serialize, utoipa::ToSchema)]
struct Part {
    uri: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

/// Reads a resource by its name.
#[utoipa::path(
    get, path = "/api/mcp/resources/{agent}/{name}", tag = "mcp",
    params(("agent" = String, Path), ("name" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Contents), (status = 403, body = Body), (status = 404, body = Body))
)]
pub(crate) async fn read(
    State(catalogue): State<Catalogue>,
    tenant: Tenant,
    Path((agent, name)): Path<(String, String)>,
) -> Result<Json<Contents>, Failure> {
    let caller = tenant.caller(&agent, Door::Console)?;
    let contents = catalogue.read(&caller, &name).await?;
    let part = |it: remit_domain::plugin::ResourceContents| {
        let (text, blob) = match it.body {
            ResourceBody::Text(text) => (Some(text), None),
            ResourceBody::Blob(bytes) => (None, Some(base64::engine::general_purpose::STANDARD.encode(bytes))),
        };
        Part { uri: it.uri, mime_type: it.mime_type, text, blob }
    };
    Ok(Json(Contents { success: true, agent_type: agent, name, contents: contents.into_iter().map(part).collect() }))
}
