//! One request as most stand-ins look at it, and a server of one function that answers it.
//!
//! It lacks routes: a stand-in matches the parts of the path.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::running::{Running, lock};

/// A request, taken apart.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The path as it was sent.
    pub(crate) path: String,
    query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter as a number.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The parts of the path below a root, decoded.
    pub(crate) fn parts(&self, root: &str) -> Option<Vec<String>> {
        let rest = self.path.strip_prefix(root)?.trim_matches('/');
        // A plus is a plus in a path.
        let decoded = |part: &str| {
            let form = part.replace('+', "%2B");
            form_urlencoded::parse(form.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
        };
        Some(rest.split('/').map(decoded).collect())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body's object, or the one that it holds under a name.
    pub(crate) fn object(&self, under: Option<&str>) -> Option<Map<String, Value>> {
        let body = self.json()?;
        let found = match under {
            Some(name) => body.get(name)?.clone(),
            None => body,
        };
        found.as_object().cloned()
    }

    /// The body as a form.
    pub(crate) fn form(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(&self.body).into_owned()
    }

    /// The path's address with another query.
    pub(crate) fn address(&self, query: &[(&str, String)]) -> String {
        let host = self.header(header::HOST.as_str()).unwrap_or("localhost");
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(query);
        format!("http://{host}{}?{}", self.path, form.finish())
    }
}

/// Starts a stand-in whose every answer is made by one function; port 0 takes a free one.
pub(crate) async fn serve<S: Send + 'static>(
    addr: SocketAddr,
    state: S,
    answer: fn(&mut S, &Asked) -> Response,
    refusal: fn(StatusCode) -> Response,
) -> Result<Running> {
    let state = Arc::new(Mutex::new(state));
    let handle = async move |State(state): State<Arc<Mutex<S>>>,
                             OriginalUri(uri): OriginalUri,
                             method: Method,
                             headers: HeaderMap,
                             body: Bytes| {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let asked = Asked { method, path: uri.path().to_owned(), query, headers, body };
        answer(&mut lock(&state), &asked).into_response()
    };
    let router = Router::new().fallback(any(handle)).with_state(state);
    Running::start(addr, router, refusal).await
}
