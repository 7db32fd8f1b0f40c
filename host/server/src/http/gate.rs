//! What every request passes first: its id, its span, and whether the browser behind it may ask.
//!
//! A host without keys listens on loopback alone; what protects it there from web pages is this gate
//! (Host against DNS rebinding, Origin against cross-site requests). Deliberately absent: which route
//! takes which key ([`super::access`]).

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use remit_domain::{Catalogue, RequestId, access::Principal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    access::{Doorkeeper, Standing},
    error::Failure,
    strangers::{self, Strangers},
    usage, workflows,
};
use crate::mcp;

/// The header that carries a request's id, both ways.
pub(crate) const REQUEST_ID_HEADER: &str = "x-request-id";

/// Which browsers may ask, and until when anyone.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    /// Host names (without port) by which this host is known, beside loopback's.
    pub(crate) hosts: Vec<String>,
    /// Reads keys. Without one nobody is let in.
    pub(crate) doorkeeper: Option<Arc<Doorkeeper>>,
    /// Counts requests, with whose they are.
    pub(crate) catalogue: Option<Catalogue>,
    /// Who presented wrong keys.
    pub(crate) strangers: Arc<Strangers>,
    /// Whose word on where a request comes from is taken.
    pub(crate) proxies: Vec<IpNet>,
    /// Origins of web pages that may ask, beside the host's own.
    pub(crate) origins: Vec<String>,
    /// Cancelled when requests under way must end, whatever they are at.
    pub(crate) ends: CancellationToken,
    /// The requests under way, to be waited for.
    pub(crate) under_way: TaskTracker,
}

impl Gate {
    /// `authority` is where HTTP/2 says what `Host` says in HTTP/1.
    fn admit(&self, headers: &HeaderMap, authority: Option<&str>) -> Result<(), Failure> {
        let host = headers
            .get(header::HOST)
            .map(|host| host.to_str().unwrap_or("unreadable"))
            .or(authority)
            .unwrap_or_default();
        if !host.is_empty() && !self.knows(name_of(host)) {
            let refused = Failure::new(StatusCode::FORBIDDEN, "host_refused", "this host is not known by that name");
            return Err(refused.hint("list the name under `allowedHosts` in host.yaml"));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let own = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        if own || self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) {
            return Ok(());
        }
        let refused = Failure::new(StatusCode::FORBIDDEN, "origin_refused", "web pages of that origin may not ask");
        Err(refused.hint("list the origin under `cors.origins` in host.yaml"))
    }

    /// Who asks, once the request is counted. Errors: as [`Self::admit`], [`Doorkeeper::admit`],
    /// [`Strangers::answer`] and [`usage::count`].
    async fn let_in(&self, request: Asked<'_>) -> Result<Option<Principal>, Failure> {
        let Asked { headers, uri, method, route, from } = request;
        self.admit(headers, uri.authority().map(Authority::as_str))?;
        // What is no route is answered so, whoever asks.
        let Some(route) = route else { return Ok(None) };
        let doorkeeper = self.doorkeeper.as_ref().ok_or(remit_domain::Error::BadKey)?;
        let admitted = doorkeeper.admit(method, route, uri.path(), headers).await;
        let principal = admitted.map_err(|refused| self.strangers.answer(from, headers, refused))?;
        if let Some(catalogue) = &self.catalogue {
            usage::count(catalogue, &principal, headers, uri)?;
        }
        Ok(Some(principal))
    }

    fn knows(&self, name: &str) -> bool {
        let loopback = name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        loopback || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// What the gate looks at.
struct Asked<'a> {
    headers: &'a HeaderMap,
    uri: &'a Uri,
    method: &'a Method,
    route: Option<&'a str>,
    from: Option<IpAddr>,
}

/// A `Host` without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Names the request, opens its span, admits it, counts it.
pub(crate) async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok());
    let id = given.and_then(RequestId::from_client).unwrap_or_else(RequestId::random);
    request.extensions_mut().insert(id.clone());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method, route);
    let began = Instant::now();
    let _under_way = gate.under_way.token();
    let known_route = matched.as_ref().map(MatchedPath::as_str);
    let from = strangers::address(request.extensions(), request.headers(), &gate.proxies);
    let asked = Asked { headers: request.headers(), uri: request.uri(), method: &method, route: known_route, from };
    // What streams asks again while it does.
    let streams = [mcp::ROUTE, workflows::events::ROUTE].into_iter().find(|streams| *streams == route);
    let standing = gate.doorkeeper.clone().zip(streams).map(|(doorkeeper, route)| {
        Standing::of(doorkeeper, method.clone(), route, request.uri().path(), request.headers())
    });
    let large = is_large(request.headers());
    let mut response = match gate.let_in(asked).instrument(span.clone()).await {
        Ok(principal) => tokio::select! {
            response = next.run(known_as(request, principal, standing)).instrument(span.clone()) => response,
            // Dropped where it is: its guest stops, and its call is recorded as cancelled.
            () = gate.ends.cancelled() => ending().into_response(),
        },
        Err(refused) if refused.status() == StatusCode::TOO_MANY_REQUESTS && route == mcp::ROUTE => {
            mcp::refused(&refused)
        }
        Err(refused) => refused.into_response(),
    };
    let status = response.status();
    if large && status.is_client_error() {
        // What was refused may not have been read; then the connection ends, and whoever is not told sends the
        // next request into it.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    let elapsed = began.elapsed();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), duration_us = elapsed.as_micros(), "answered"));
    let labels = [("method", known(&method).to_owned()), ("route", route), ("status", status.as_str().to_owned())];
    metrics::counter!("remit_http_requests_total", &labels).increment(1);
    metrics::histogram!("remit_http_request_seconds", "route" => labels[1].1.clone()).record(elapsed.as_secs_f64());
    response
}

/// Whether a request's body is more than is read of one that was refused.
fn is_large(headers: &HeaderMap) -> bool {
    const LARGE: u64 = 16 << 10;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0_u64);
    length > LARGE || headers.contains_key(header::TRANSFER_ENCODING)
}

fn known_as(mut request: Request, principal: Option<Principal>, standing: Option<Standing>) -> Request {
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    if let Some(standing) = standing {
        request.extensions_mut().insert(standing);
    }
    request
}

fn ending() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ending", "the host is ending, and the request took too long")
        .hint("the request may have taken effect: look before sending it again")
}

/// A method as a label: a client may make up any number of them.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(host: &str, origin: Option<&str>) -> bool {
        let gate = Gate {
            hosts: vec!["remit.example".to_owned()],
            origins: vec!["https://app.example".to_owned()],
            ..Gate::default()
        };
        let mut headers = HeaderMap::new();
        let mut put = |name, value: &str| HeaderValue::from_str(value).map(|value| headers.insert(name, value)).is_ok();
        assert!(put(header::HOST, host) && origin.is_none_or(|origin| put(header::ORIGIN, origin)));
        gate.admit(&headers, None).is_ok()
    }

    #[test]
    fn only_known_hosts_and_origins_are_admitted() {
        for host in ["127.0.0.1:3000", "localhost", "LOCALHOST:1", "[::1]:3000", "remit.example:443"] {
            assert!(admitted(host, None), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:3000", "10.0.0.1", "localhost.evil.example"] {
            assert!(!admitted(host, None), "{host}");
        }
        for (origin, ok) in [
            ("http://127.0.0.1:3000", true),
            ("https://app.example", true),
            ("http://127.0.0.1:4000", false),
            ("https://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(admitted("127.0.0.1:3000", Some(origin)), ok, "{origin}");
        }
    }
}
