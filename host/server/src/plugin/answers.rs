//! HTTP APIs that give an author's fixed answers, on a port of this machine: the connector that reaches
//! them is the real one.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::{Query, Request},
    http::{HeaderName, HeaderValue, Response, StatusCode},
    response::IntoResponse as _,
};

use super::authored::Answer;

/// Stands in every address as the version or the path of the API: what comes after it is the plugin's own.
pub(super) const MARK: &str = "remit-test";

/// Serves the answers of each source until the runtime ends. Where it listens; a source's address is
/// its name below that.
pub(super) async fn serve(apis: BTreeMap<String, Vec<Answer>>) -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free for the APIs")?;
    let address = listener.local_addr()?;
    let apis = Arc::new(apis);
    let router = Router::new().fallback(move |request| answer(apis.clone(), request));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn answer(apis: Arc<BTreeMap<String, Vec<Answer>>>, request: Request) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let source = path.split('/').next().unwrap_or_default();
    let own = path.split_once(&format!("/{MARK}/")).map_or("", |(_, own)| own);
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
    let fits = |answer: &&Answer| {
        answer.method.as_deref().unwrap_or("GET").eq_ignore_ascii_case(request.method().as_str())
            && answer.path.trim_start_matches('/') == own
            && answer.query.iter().all(|(name, value)| query.iter().any(|asked| (&asked.0, &asked.1) == (name, value)))
    };
    match apis.get(source).into_iter().flatten().find(fits) {
        Some(answer) => write(answer),
        None => {
            eprintln!("{source}: no answer is given for {} {own}", request.method());
            StatusCode::NOT_FOUND.into_response()
        }
    }
}

fn write(answer: &Answer) -> Response<Body> {
    let (kind, body) = match (&answer.json, &answer.text) {
        (Some(json), _) => (Some("application/json"), json.to_string()),
        (None, Some(text)) => (Some("text/plain; charset=utf-8"), text.clone()),
        (None, None) => (None, String::new()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status.unwrap_or(200)).unwrap_or_default();
    let own = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in kind.map(|kind| ("content-type", kind)).into_iter().chain(own) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
            _ => eprintln!("`{name}: {value}` is no header, and left out"),
        }
    }
    response
}
