//! The HTTP API: one file a noun, each router holding what it needs and no more.

mod access;
mod audit;
pub(crate) mod chat;
mod debug;
pub(crate) mod error;
pub(crate) mod extract;
mod gate;
mod health;
mod hooks;
mod keys;
pub(crate) mod notifications;
pub(crate) mod oauth;
mod operations;
mod plugins;
mod resources;
mod strangers;
mod tools;
mod usage;
pub(crate) mod workflows;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
};
use remit_domain::{Catalogue, access::Keys, audit::AuditLog};
use remit_journal::Journal;
use remit_library::Library;
use remit_sources::Inbox;
use tower_http::{catch_panic::CatchPanicLayer, cors::CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) use access::{Doorkeeper, Standing};
pub(crate) use gate::Gate;
pub(crate) use operations::Operations;

use self::error::Failure;
use crate::{mcp, shares::Shares};

/// The most bytes a request's body may have.
pub(crate) const MAX_BODY_BYTES: usize = 1 << 20;

/// What the doors stand on.
pub(crate) struct Parts {
    pub(crate) catalogue: Catalogue,
    pub(crate) chat: Arc<remit_agent::Chat>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) library: Library,
    pub(crate) workflows: workflows::State,
    pub(crate) audit: Arc<dyn AuditLog>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) operations: Operations,
    pub(crate) inbox: Option<Arc<Inbox>>,
    pub(crate) mcp: mcp::Door,
    pub(crate) oauth: oauth::State,
    pub(crate) gate: Gate,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Remit",
        description = "A host for WebAssembly plugins: chat, MCP and workflows over sandboxed tools."
    ),
    components(schemas(error::Body))
)]
struct Description;

/// All routes. The OpenAPI description is made from the same list, so the two can't disagree.
///
/// Errors: a route without a role, or a role without its route.
pub(crate) fn router(parts: Parts) -> anyhow::Result<Router> {
    let text = operations::Description::default();
    let (routes, description) = documented(&parts, text.clone()).split_for_parts();
    access::agree(&description)?;
    text.set(&description);
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(cors(&parts.gate))
        // Within the gate, so that a broken request has its id and is counted like any other.
        .layer(CatchPanicLayer::custom(broken))
        .layer(middleware::from_fn_with_state(Arc::new(parts.gate), gate::pass));
    Ok(routes)
}

fn documented(parts: &Parts, text: operations::Description) -> OpenApiRouter {
    let with_catalogue = OpenApiRouter::new()
        .routes(routes!(tools::list))
        .routes(routes!(tools::test))
        .routes(routes!(resources::list))
        .routes(routes!(resources::read))
        .routes(routes!(health::mcp))
        .routes(routes!(health::data_sources))
        .routes(routes!(debug::context))
        .with_state(parts.catalogue.clone());
    let chat = OpenApiRouter::new()
        .routes(routes!(chat::reply))
        .with_state(chat::State { catalogue: parts.catalogue.clone(), chat: parts.chat.clone() });
    let operations = OpenApiRouter::new()
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .with_state(parts.operations.clone());
    let keys = OpenApiRouter::new().routes(routes!(keys::list, keys::create)).routes(routes!(keys::revoke)).with_state(
        keys::State { catalogue: parts.catalogue.clone(), keys: parts.keys.clone(), audit: parts.audit.clone() },
    );
    let audit = OpenApiRouter::new().routes(routes!(audit::list)).with_state(audit::State {
        catalogue: parts.catalogue.clone(),
        journal: parts.journal.clone(),
        reading: Shares::new(audit::READING),
    });
    let plugins = OpenApiRouter::new()
        .routes(routes!(plugins::list, plugins::upload))
        .routes(routes!(plugins::versions, plugins::remove))
        .routes(routes!(plugins::activate))
        .routes(routes!(plugins::roll_back))
        .routes(routes!(plugins::deactivate))
        // Uploads are bounded by what the tenant may upload, all other bodies by what reads them.
        .layer(DefaultBodyLimit::disable())
        .with_state(plugins::State {
            catalogue: parts.catalogue.clone(),
            library: parts.library.clone(),
            receiving: Shares::new(plugins::arrival::TURNS),
        });
    let workflows = OpenApiRouter::new()
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::load))
        .routes(routes!(workflows::execute))
        .routes(routes!(workflows::stored::show, workflows::stored::remove))
        .routes(routes!(workflows::stored::pause))
        .routes(routes!(workflows::stored::resume))
        .routes(routes!(workflows::executions::list))
        .routes(routes!(workflows::executions::show, workflows::kept::remove))
        .routes(routes!(workflows::events::stream))
        .routes(routes!(workflows::kept::artifact))
        .routes(routes!(workflows::executions::cancel))
        .routes(routes!(workflows::executions::resolve))
        .routes(routes!(workflows::again::rerun))
        .routes(routes!(workflows::executions::signal))
        .with_state(parts.workflows.clone());
    let hooks = OpenApiRouter::new().routes(routes!(hooks::deliver)).with_state(hooks::State {
        catalogue: parts.catalogue.clone(),
        triggers: parts.workflows.triggers.clone(),
        strangers: parts.gate.strangers.clone(),
        proxies: parts.gate.proxies.clone().into(),
    });
    let usage = OpenApiRouter::new()
        .routes(routes!(usage::show))
        .with_state(usage::State { catalogue: parts.catalogue.clone(), keys: parts.keys.clone() });
    let notifications = OpenApiRouter::new()
        .routes(routes!(notifications::list))
        .with_state(notifications::State { catalogue: parts.catalogue.clone(), inbox: parts.inbox.clone() });
    let mcp = OpenApiRouter::new().routes(routes!(mcp::handle, mcp::stream)).with_state(parts.mcp.clone());
    let oauth = OpenApiRouter::new().routes(routes!(oauth::metadata)).with_state(parts.oauth.clone());
    let description = OpenApiRouter::new().routes(routes!(operations::openapi)).with_state(text);
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(with_catalogue)
        .merge(chat)
        .merge(operations)
        .merge(keys)
        .merge(plugins)
        .merge(workflows)
        .merge(hooks)
        .merge(audit)
        .merge(usage)
        .merge(notifications)
        .merge(mcp)
        .merge(oauth)
        .merge(description)
}

/// What browsers are told, for pages of the origins that the operator lists.
fn cors(gate: &Gate) -> CorsLayer {
    let origins = gate.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let request =
        ["accept", "authorization", "content-type", "mcp-protocol-version", "x-context", gate::REQUEST_ID_HEADER];
    CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(request.map(HeaderName::from_static))
        .expose_headers([HeaderName::from_static(gate::REQUEST_ID_HEADER), header::WWW_AUTHENTICATE])
}

/// A panic is a bug of the host: this request ends, the others don't notice, and nothing of it is told.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over what was thrown")]
fn broken(thrown: Box<dyn std::any::Any + Send>) -> Response {
    let said = thrown.downcast_ref::<String>().map(String::as_str).or(thrown.downcast_ref::<&str>().copied());
    tracing::error!(said, "a request broke");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error").into_response()
}

async fn no_route(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(128).collect();
    Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {path}"))
        .hint("GET /openapi.json lists the routes")
}

async fn no_method(method: Method, uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(128).collect();
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("{path} does not take {method}"))
}
