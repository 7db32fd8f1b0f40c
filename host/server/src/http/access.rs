//! Who may ask for what: the one table of routes and roles, and the reading of keys and tokens.
//!
//! A route that does not stand in the table is not served, and the host does not start if the table
//! and the routes differ: none is open because somebody forgot it. Deliberately absent: what an agent
//! may do with a source, which is decided further in.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use axum::http::{HeaderMap, Method, StatusCode, header};
use remit_domain::{
    Error,
    access::{self, Keys, Principal, Role, Token},
    clock::Clock,
};
use remit_issuers::Issuers;
use utoipa::openapi::OpenApi;

use super::{error::Failure, oauth};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Whoever reaches the host: what proxies, clients and monitors ask before they have a key.
    Open,
    /// Holders of a key with this role or a higher one.
    Role(Role),
}

/// Each route with who may use it.
const ROUTES: &[(Method, &str, Rule)] = &[
    (Method::GET, "/healthz", Rule::Open),
    (Method::GET, "/readyz", Rule::Open),
    (Method::GET, "/openapi.json", Rule::Open),
    // It says how to get in.
    (Method::GET, "/.well-known/oauth-protected-resource/mcp/{tenant}/{agent}", Rule::Open),
    // It names all tenants.
    (Method::GET, "/metrics", Rule::Role(Role::Operator)),
    (Method::GET, "/api/health/mcp", Rule::Role(Role::Viewer)),
    (Method::GET, "/api/health/datasources/{agent}", Rule::Role(Role::Viewer)),
    (Method::GET, "/api/mcp/tools/{agent}", Rule::Role(Role::Viewer)),
    (Method::GET, "/api/mcp/resources/{agent}", Rule::Role(Role::Viewer)),
    // Reading one runs a guest on the tenant's data.
    (Method::GET, "/api/mcp/resources/{agent}/{name}", Rule::Role(Role::Agent)),
    (Method::POST, "/api/mcp/test", Rule::Role(Role::Agent)),
    (Method::POST, "/api/{agent}/chat", Rule::Role(Role::Agent)),
    (Method::GET, "/mcp/{tenant}/{agent}", Rule::Role(Role::Agent)),
    (Method::POST, "/mcp/{tenant}/{agent}", Rule::Role(Role::Agent)),
    // It shows the whole context.
    (Method::GET, "/api/debug/context", Rule::Role(Role::Admin)),
    (Method::GET, "/api/keys", Rule::Role(Role::Admin)),
    (Method::POST, "/api/keys", Rule::Role(Role::Admin)),
    (Method::DELETE, "/api/keys/{id}", Rule::Role(Role::Admin)),
    (Method::GET, "/api/plugins", Rule::Role(Role::Viewer)),
    (Method::POST, "/api/plugins", Rule::Role(Role::Admin)),
    (Method::GET, "/api/plugins/{name}", Rule::Role(Role::Viewer)),
    (Method::DELETE, "/api/plugins/{name}", Rule::Role(Role::Admin)),
    (Method::POST, "/api/plugins/{name}/activate", Rule::Role(Role::Admin)),
    (Method::POST, "/api/plugins/{name}/rollback", Rule::Role(Role::Admin)),
    (Method::POST, "/api/plugins/{name}/deactivate", Rule::Role(Role::Admin)),
    (Method::GET, "/api/workflows", Rule::Role(Role::Viewer)),
    (Method::POST, "/api/workflows/load", Rule::Role(Role::Agent)),
    (Method::POST, "/api/workflows/execute/{name}", Rule::Role(Role::Agent)),
    (Method::GET, "/api/workflows/{name}", Rule::Role(Role::Viewer)),
    (Method::DELETE, "/api/workflows/{name}", Rule::Role(Role::Admin)),
    (Method::POST, "/api/workflows/{name}/triggers/{trigger}/pause", Rule::Role(Role::Admin)),
    (Method::POST, "/api/workflows/{name}/triggers/{trigger}/resume", Rule::Role(Role::Admin)),
    // Who asks proves it by a signature.
    (Method::POST, "/api/hooks/{tenant}/{workflow}", Rule::Open),
    (Method::GET, "/api/workflows/executions", Rule::Role(Role::Viewer)),
    (Method::GET, "/api/workflows/executions/{id}", Rule::Role(Role::Viewer)),
    (Method::DELETE, "/api/workflows/executions/{id}", Rule::Role(Role::Admin)),
    (Method::GET, "/api/workflows/executions/{id}/events", Rule::Role(Role::Viewer)),
    (Method::GET, "/api/workflows/executions/{id}/artifacts/{digest}", Rule::Role(Role::Agent)),
    (Method::POST, "/api/workflows/executions/{id}/cancel", Rule::Role(Role::Agent)),
    (Method::POST, "/api/workflows/executions/{id}/rerun", Rule::Role(Role::Agent)),
    (Method::POST, "/api/workflows/executions/{id}/resolve", Rule::Role(Role::Agent)),
    (Method::POST, "/api/workflows/executions/{id}/signals/{name}", Rule::Role(Role::Agent)),
    (Method::GET, "/api/audit", Rule::Role(Role::Admin)),
    (Method::GET, "/api/usage", Rule::Role(Role::Viewer)),
    // It shows what people would have been told, and who.
    (Method::GET, "/api/notifications", Rule::Role(Role::Admin)),
];

/// Who may use a route; `None` for one that stands in no table.
fn rule(method: &Method, route: &str) -> Option<Rule> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(of, path, _)| of == method && *path == route).map(|(_, _, rule)| *rule)
}

/// Sees to it that the table and the routes are the same list.
///
/// Errors: the first route that stands in one of the two alone.
pub(super) fn agree(description: &OpenApi) -> anyhow::Result<()> {
    let mut served = Vec::new();
    for (path, item) in &description.paths.paths {
        for (method, operation) in [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::DELETE, &item.delete),
            (Method::PATCH, &item.patch),
        ] {
            if operation.is_some() {
                ensure!(rule(&method, path).is_some(), "{method} {path} has no role: add it to the table");
                served.push((method, path.as_str()));
            }
        }
    }
    for (method, path, _) in ROUTES {
        ensure!(served.contains(&(method.clone(), *path)), "{method} {path} has a role and is not served");
    }
    Ok(())
}

/// How long until a host without keys sees the first one.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads keys, and knows whether there are any.
pub(crate) struct Doorkeeper {
    keys: Arc<dyn Keys>,
    clock: Arc<dyn Clock>,
    /// Whose tokens are taken at the MCP door.
    issuers: Option<Arc<Issuers>>,
    /// Whether a key is asked for: from the first key on, for good.
    keyed: AtomicBool,
    looked: Mutex<Option<Instant>>,
}

impl Doorkeeper {
    /// `open` lets anybody in for as long as there are no keys; a host that takes tokens is never open.
    pub(crate) fn new(keys: Arc<dyn Keys>, clock: Arc<dyn Clock>, issuers: Option<Arc<Issuers>>, open: bool) -> Self {
        let keyed = AtomicBool::new(!open || issuers.is_some());
        Self { keys, clock, issuers, keyed, looked: Mutex::default() }
    }

    /// Who asks, if they may use the route. `path` is what the request names it by.
    ///
    /// Errors: 401 without a key or token that lets in; 403 for one of a lesser role; 405 and 403 for
    /// what is no route; 503 if the keys can't be read.
    pub(super) async fn admit(
        &self,
        method: &Method,
        route: &str,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Principal, Failure> {
        // What browsers ask before they ask: answered by CORS, and by no handler.
        if *method == Method::OPTIONS {
            return Ok(Principal::nobody());
        }
        match rule(method, route) {
            Some(Rule::Open) => Ok(Principal::nobody()),
            Some(Rule::Role(needed)) => {
                let door = oauth::Door::at(self.issuers.as_ref(), route, path);
                match (bearer(headers), &door) {
                    // What has the form of a key is one, so that no token of somebody else's is looked up here.
                    (Some(token), Some(door)) if !Token::looks_like(token) => door.admit(token, needed).await,
                    (token, _) => self.holder(token, needed).await.map_err(|failure| match &door {
                        Some(door) if failure.status() == StatusCode::UNAUTHORIZED => {
                            door.challenged(failure, token.map(|_| "invalid_token"))
                        }
                        _ => failure,
                    }),
                }
            }
            None if ROUTES.iter().any(|(_, path, _)| *path == route) => {
                let text = format!("{route} does not take {method}");
                Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text))
            }
            None => Err(Failure::new(StatusCode::FORBIDDEN, "role_too_low", "nobody may use this route")),
        }
    }

    /// Who holds a key. Errors: as [`access::admit`] and [`Principal::require`].
    async fn holder(&self, token: Option<&str>, needed: Role) -> Result<Principal, Failure> {
        let principal = match token {
            _ if !self.keyed().await? => Principal::anyone(),
            Some(token) => access::admit(self.keys.as_ref(), token, self.clock.now()).await?,
            None => return Err(Error::BadKey.into()),
        };
        principal.require(needed)?;
        Ok(principal)
    }

    async fn keyed(&self) -> Result<bool, Error> {
        if self.keyed.load(Ordering::Acquire) {
            return Ok(true);
        }
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
                return Ok(false);
            }
            *looked = Some(Instant::now());
        }
        let any = self.keys.any().await?;
        if any {
            tracing::info!("there is a key now: every request needs one");
            self.keyed.store(true, Ordering::Release);
        }
        Ok(any)
    }
}

/// What a request was let in with, to be looked at again while its answer goes on.
#[derive(Clone)]
pub(crate) struct Standing {
    doorkeeper: Arc<Doorkeeper>,
    method: Method,
    route: &'static str,
    path: String,
    shown: HeaderMap,
}

impl Standing {
    /// Of a request that was let in.
    pub(super) fn of(
        doorkeeper: Arc<Doorkeeper>,
        method: Method,
        route: &'static str,
        path: &str,
        headers: &HeaderMap,
    ) -> Self {
        let shown = headers.get_all(header::AUTHORIZATION).iter();
        let shown = shown.map(|value| (header::AUTHORIZATION, value.clone())).collect();
        Self { doorkeeper, method, route, path: path.to_owned(), shown }
    }

    /// Who asks, if they would still be let in. Errors: as [`Doorkeeper::admit`].
    pub(crate) async fn again(&self) -> Result<Principal, Failure> {
        self.doorkeeper.admit(&self.method, self.route, &self.path, &self.shown).await
    }
}

/// The token of `Authorization: Bearer <token>`, if the header is there once; the scheme's name is of any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(one), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_stands_in_no_table_has_no_rule() {
        assert_eq!(rule(&Method::GET, "/healthz"), Some(Rule::Open));
        assert_eq!(rule(&Method::HEAD, "/metrics"), Some(Rule::Role(Role::Operator)));
        for (method, route) in [(Method::POST, "/healthz"), (Method::TRACE, "/api/keys"), (Method::GET, "/other")] {
            assert_eq!(rule(&method, route), None, "{method} {route}");
        }
    }

    #[test]
    fn a_bearer_token_is_what_follows_the_scheme() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
                headers.append(header::AUTHORIZATION, value);
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer x"]).as_deref(), Some("x"));
        assert_eq!(read(&["bearer  x "]).as_deref(), Some("x"));
        for none in [&[""][..], &["x"], &["Basic x"], &["Bearer"], &[], &["Bearer x", "Bearer x"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
