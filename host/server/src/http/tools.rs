//! `/api/mcp/tools` and `/api/mcp/test`: an agent's tools, seen and called without a model.

use std::time::Instant;

use axum::{Json, extract::State};
use remit_domain::{Catalogue, audit::Door, plugin::Annotations};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    error::{Body, Failure},
    extract::{JsonBody, Path, Tenant},
};

/// An agent's tools.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Tools {
    success: bool,
    agent_type: String,
    count: usize,
    tools: Vec<Tool>,
}

/// One tool.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Tool {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    /// A JSON Schema of the arguments.
    #[schema(value_type = Object)]
    parameters: Value,
    /// A JSON Schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    output_schema: Option<Value>,
    #[schema(value_type = Object)]
    annotations: Annotations,
    /// The set that has it.
    server: String,
}

/// Lists the tools that the agent's mapping lets it call.
#[utoipa::path(
    get, path = "/api/mcp/tools/{agent}", tag = "mcp",
    params(("agent" = String, Path), ("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Tools), (status = 404, body = Body), (status = 503, body = Body))
)]
pub(crate) async fn list(
    State(catalogue): State<Catalogue>,
    tenant: Tenant,
    Path(agent): Path<String>,
) -> Result<Json<Tools>, Failure> {
    let caller = tenant.caller(&agent, Door::Console)?;
    let tools: Vec<Tool> = catalogue
        .tools(&caller)
        .iter()
        .map(|offered| {
            let tool = offered.tool();
            Tool {
                name: tool.name.clone(),
                title: tool.title.clone(),
                description: tool.description.clone(),
                parameters: tool.input.authored().clone(),
                output_schema: tool.output.as_ref().map(|schema| schema.authored().clone()),
                annotations: tool.annotations,
                server: offered.plugin().to_string(),
            }
        })
        .collect();
    Ok(Json(Tools { success: true, agent_type: agent, count: tools.len(), tools }))
}

/// A tool to call.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// Whose tool.
    agent_type: String,
    /// Which.
    tool_name: String,
    /// Its arguments.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Value,
}

/// What it answered.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Tested {
    success: bool,
    agent_type: String,
    tool_name: String,
    #[schema(value_type = Object)]
    result: Value,
    #[serde(rename = "durationMs")]
    duration_ms: f64,
}

/// Calls one tool, with all of an agent's checks and no model.
#[utoipa::path(
    post, path = "/api/mcp/test", tag = "mcp", request_body = Test,
    params(("X-Context" = String, Header, description = "the tenant")),
    responses((status = 200, body = Tested), (status = 403, body = Body), (status = 404, body = Body), (status = 422, body = Body))
)]
pub(crate) async fn test(
    State(catalogue): State<Catalogue>,
    tenant: Tenant,
    JsonBody(asked): JsonBody<Test>,
) -> Result<Json<Tested>, Failure> {
    let caller = tenant.caller(&asked.agent_type, Door::Console)?;
    let began = Instant::now();
    let outcome = catalogue.call(&caller, &asked.tool_name, asked.parameters).await?;
    Ok(Json(Tested {
        success: true,
        agent_type: asked.agent_type,
        tool_name: asked.tool_name,
        result: outcome.as_json(),
        duration_ms: (began.elapsed().as_secs_f64() * 1e6).round() / 1e3,
    }))
}
