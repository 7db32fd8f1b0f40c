//! A token server, as far as programs talk to one: a service account's assertion, client credentials
//! and refresh tokens in, access tokens out.
//!
//! Other stand-ins ask its [`Issued`] whether a token is good. It lacks scopes, consent and people.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::issuer::{rsa_claims, rsa_pem};
use crate::running::{Running, lock};

/// Where tokens are given out.
pub const PATH: &str = "/token";
/// The service account that it knows.
pub const EMAIL: &str = "remit@stand-in.iam.gserviceaccount.example";
/// The client that it knows.
pub const CLIENT_ID: &str = "stand-in client";
/// That client's secret, with characters that encodings differ about.
pub const CLIENT_SECRET: &str = "stand-in:secret/+%";
/// The refresh token that it knows from the start.
pub const REFRESH_TOKEN: &str = "stand-in-refresh-0";

/// A token server that runs.
#[derive(Debug)]
pub struct TokenServer {
    /// Its server, with what was asked of it and with faults to come.
    pub running: Running,
    /// What it gave out.
    pub issued: Issued,
}

/// The access tokens that are good: shared by the server and those who accept its tokens.
#[derive(Debug, Clone, Default)]
pub struct Issued(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    /// Where the server is, as assertions name it.
    audience: String,
    count: usize,
    good: Vec<String>,
    lifetime_s: Value,
    refresh: String,
    rotates: bool,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            audience: String::new(),
            count: 0,
            good: Vec::new(),
            lifetime_s: 3600.into(),
            refresh: REFRESH_TOKEN.to_owned(),
            rotates: false,
        }
    }
}

impl Issued {
    /// How many tokens were given out.
    pub fn count(&self) -> usize {
        lock(&self.0).count
    }

    /// Whether an `Authorization` header carries a token that is good.
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| lock(&self.0).good.iter().any(|good| good == token))
    }

    /// Takes back all tokens that were given out.
    pub fn revoke_all(&self) {
        lock(&self.0).good.clear();
    }

    /// What `expires_in` says from now on; null leaves it out.
    pub fn set_lifetime(&self, seconds: Value) {
        lock(&self.0).lifetime_s = seconds;
    }

    /// Gives out another refresh token with each answer, and takes back the one before.
    pub fn rotate(&self) {
        lock(&self.0).rotates = true;
    }
}

impl TokenServer {
    /// Starts one; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be bound or is not loopback.
    pub async fn start(addr: SocketAddr) -> Result<Self> {
        let issued = Issued::default();
        let router = Router::new().route(PATH, post(token)).with_state(issued.clone());
        let refusal = |status: StatusCode| (status, Json(json!({"error": "server_error"}))).into_response();
        let running = Running::start(addr, router, refusal).await?;
        lock(&issued.0).audience = format!("{}{PATH}", running.url());
        Ok(Self { running, issued })
    }

    /// Where tokens are given out.
    pub fn url(&self) -> String {
        format!("{}{PATH}", self.running.url())
    }

    /// A service account's key file, as Google gives them out, for this server.
    pub fn key_file(&self) -> String {
        key_file(&self.url())
    }
}

/// A service account's key file for a token server at this URL. The key in it is no secret.
pub fn key_file(token_uri: &str) -> String {
    json!({
        "type": "service_account",
        "project_id": "stand-in",
        "private_key_id": "stand-in-key-1",
        "private_key": rsa_pem(),
        "client_email": EMAIL,
        "client_id": "100000000000000000001",
        "token_uri": token_uri,
    })
    .to_string()
}

async fn token(State(issued): State<Issued>, headers: HeaderMap, body: Bytes) -> Response {
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let refuse = |status: StatusCode, error: &str| {
        // A server that repeats what it was sent: nothing of that may be shown.
        let description = format!("{error}: {}", String::from_utf8_lossy(&body));
        (status, Json(json!({"error": error, "error_description": description}))).into_response()
    };
    let mut book = lock(&issued.0);
    match field("grant_type") {
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let claims = field("assertion").and_then(rsa_claims);
            if !claims.is_some_and(|claims| good(&claims, &book.audience)) {
                return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
            }
        }
        Some("client_credentials") if !knows(&headers, &field) => {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        Some("client_credentials") => {}
        Some("refresh_token") if field("refresh_token") != Some(&book.refresh) => {
            return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
        }
        Some("refresh_token") => {}
        _ => return refuse(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
    }
    book.count += 1;
    let token = format!("stand-in-access-{}", book.count);
    book.good.push(token.clone());
    let refresh = (book.rotates && field("grant_type") == Some("refresh_token")).then(|| {
        book.refresh = format!("stand-in-refresh-{}", book.count);
        book.refresh.clone()
    });
    let answer = json!({
        "access_token": token, "token_type": "Bearer", "expires_in": book.lifetime_s, "refresh_token": refresh,
    });
    Json(answer).into_response()
}

fn good(claims: &Value, audience: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = |name: &str| claims[name].as_u64().unwrap_or_default();
    let scoped = claims["scope"].as_str().is_some_and(|scope| !scope.is_empty());
    claims["iss"] == EMAIL
        && claims["aud"] == audience
        && scoped
        && time("iat") <= now + 60
        && time("exp") > now
        && time("exp") <= time("iat") + 3600
}

fn knows<'a>(headers: &HeaderMap, field: &impl Fn(&str) -> Option<&'a str>) -> bool {
    if field("client_id") == Some(CLIENT_ID) && field("client_secret") == Some(CLIENT_SECRET) {
        return true;
    }
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let pair = value.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok());
    let Some((id, secret)) =
        pair.as_deref().and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| pair.split_once(':'))
    else {
        return false;
    };
    let decoded = |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    decoded(id).as_deref() == Some(CLIENT_ID) && decoded(secret).as_deref() == Some(CLIENT_SECRET)
}
