//! What the MCP door says to clients that come with tokens: RFC 9728 metadata, and the challenges that
//! lead there (RFC 6750).
//!
//! Deliberately absent: whether a token is good, which `remit-issuers` says.

use std::sync::Arc;

use axum::{Json, extract::State as Extracted, http::StatusCode};
use remit_domain::{
    AgentName, Catalogue, Error, TenantId,
    access::{Principal, Role},
};
use remit_issuers::{Issuers, Refusal};
use serde::Serialize;

use super::{
    error::{Body, Failure},
    extract::Path,
};

/// The door that tokens are for.
const MCP: &str = "/mcp/{tenant}/{agent}";

/// What the metadata is made of.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) issuers: Option<Arc<Issuers>>,
}

/// What a client has to know to get a token.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct Metadata {
    /// The URL of the agent's MCP door: the audience of its tokens.
    resource: String,
    /// Who gives them.
    authorization_servers: Vec<String>,
    /// The scopes that let in; one is enough.
    scopes_supported: Vec<String>,
    /// How a token is sent: `header`.
    bearer_methods_supported: [&'static str; 1],
}

/// Says who gives tokens for an agent's MCP door.
///
/// The answer is the same for a tenant without an authorization server, a tenant that is not there and
/// an agent that it has not.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource/mcp/{tenant}/{agent}", tag = "mcp",
    params(("tenant" = String, Path), ("agent" = String, Path)),
    responses((status = 200, body = Metadata), (status = 404, body = Body))
)]
pub(crate) async fn metadata(
    Extracted(state): Extracted<State>,
    Path((tenant, agent)): Path<(String, String)>,
) -> Result<Json<Metadata>, Failure> {
    state.metadata(&tenant, &agent).map(Json).ok_or_else(|| {
        Failure::new(StatusCode::NOT_FOUND, "no_issuer", "no authorization server gives tokens for this address")
    })
}

impl State {
    fn metadata(&self, tenant: &str, agent: &str) -> Option<Metadata> {
        let (tenant, agent) = (TenantId::new(tenant).ok()?, AgentName::new(agent).ok()?);
        let resource = self.issuers.as_ref()?.resource(&tenant, &agent)?;
        self.catalogue.context(&tenant).ok()?.agent(agent.as_str()).ok()?;
        Some(Metadata {
            resource: resource.identifier,
            authorization_servers: resource.issuers,
            scopes_supported: resource.scopes.into_iter().collect(),
            bearer_methods_supported: ["header"],
        })
    }
}

/// The MCP door of an agent, as a request's path names it.
pub(super) struct Door<'a> {
    issuers: &'a Issuers,
    tenant: TenantId,
    agent: AgentName,
}

impl<'a> Door<'a> {
    /// `None` for another route, and where no issuer speaks for the tenant.
    pub(super) fn at(issuers: Option<&'a Arc<Issuers>>, route: &str, path: &str) -> Option<Self> {
        let (tenant, agent) = path.strip_prefix("/mcp/").filter(|_| route == MCP)?.split_once('/')?;
        let (tenant, agent) = (TenantId::new(tenant).ok()?, AgentName::new(agent).ok()?);
        let issuers = issuers?;
        issuers.resource(&tenant, &agent)?;
        Some(Self { issuers, tenant, agent })
    }

    /// Lets a token in whose scopes give the role that is needed.
    ///
    /// Errors: 401 for a token that is none for here and now; 403 for one without the scope; 503 while
    /// its issuer can't be reached.
    pub(super) async fn admit(&self, token: &str, needed: Role) -> Result<Principal, Failure> {
        let low = || {
            let text = "the token has no scope that lets in here";
            let failure = Failure::new(StatusCode::FORBIDDEN, "insufficient_scope", text);
            failure.hint("ask the authorization server for the scope that WWW-Authenticate names")
        };
        match self.issuers.admit(token, &self.tenant, &self.agent).await {
            Ok(principal) if principal.role() >= needed => Ok(principal),
            Ok(_) | Err(Refusal::Scope) => Err(self.challenged(low(), Some("insufficient_scope"))),
            Err(Refusal::Invalid(_)) => Err(self.challenged(Error::BadKey.into(), Some("invalid_token"))),
            Err(Refusal::Unavailable { retry_after }) => {
                let text = "the authorization server can't be asked for its keys";
                let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "issuer_unavailable", text);
                Err(failure.again_after(retry_after))
            }
        }
    }

    /// A refusal that says where tokens come from.
    pub(super) fn challenged(&self, failure: Failure, error: Option<&str>) -> Failure {
        // Without quotes and backslashes, all of them: names, URLs and scopes as the settings allow them.
        let mut challenge = "Bearer realm=\"remit\"".to_owned();
        let scopes = self.issuers.resource(&self.tenant, &self.agent).map(|resource| resource.scopes);
        let scopes = scopes.unwrap_or_default().into_iter().collect::<Vec<_>>().join(" ");
        let metadata = self.issuers.metadata_url(&self.tenant, &self.agent);
        let parameters = [("error", error.unwrap_or_default()), ("scope", &scopes), ("resource_metadata", &metadata)];
        for (name, value) in parameters.into_iter().filter(|(_, value)| !value.is_empty()) {
            challenge.push_str(&format!(", {name}=\"{value}\""));
        }
        failure.challenge(&challenge)
    }
}
