//! Shopify's Admin API, version 2024-01: products, inventory, price rules, orders, customers, and a little
//! GraphQL.
//!
//! State lives in memory and begins with TechStart's demo data. It lacks scopes and the leaky bucket of
//! requests; statuses outside the cases below are Shopify's own.

mod answer;
mod customers;
mod graphql;
mod inventory;
mod orders;
mod page;
mod products;
mod promotions;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use time::OffsetDateTime;

use self::answer::Refusal;
use self::store::Store;
use crate::data::techstart::{Dataset, dataset};
use crate::running::{Running, lock};

/// The one version that is answered.
pub const VERSION: &str = "2024-01";
/// The access token of the demo's shop.
pub const TOKEN: &str = "shpat_demo_techstart";

/// What a shop begins with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The access token it accepts.
    pub token: String,
    /// Its products, customers and orders.
    pub data: Dataset,
    /// The clock that promotions and changes go by.
    pub now: fn() -> OffsetDateTime,
}

impl Default for Options {
    fn default() -> Self {
        Self { token: TOKEN.to_owned(), data: dataset(), now: OffsetDateTime::now_utc }
    }
}

/// Starts TechStart's shop; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr) -> Result<Running> {
    start_with(addr, Options::default()).await
}

/// Starts a shop of one's own.
///
/// # Errors
/// As [`start`].
pub async fn start_with(addr: SocketAddr, options: Options) -> Result<Running> {
    let store = Store::new(&options.data, options.now);
    let shop = Arc::new(Shop { token: options.token, store: Mutex::new(store) });
    let router = Router::new()
        .route("/admin/api/{version}/{*rest}", any(handle))
        .fallback(async || Refusal::not_found().response())
        .with_state(shop);
    Running::start(addr, router, answer::fault).await
}

struct Shop {
    token: String,
    store: Mutex<Store>,
}

/// One authenticated request, taken apart.
struct Call<'a> {
    query: &'a BTreeMap<String, String>,
    /// `http://HOST/admin/api/VERSION/PATH`, for links to further pages.
    address: String,
    body: &'a [u8],
}

impl Call<'_> {
    /// The object under `key` of the body, as Shopify wraps everything.
    fn object(&self, key: &str) -> Result<serde_json::Map<String, Value>, Refusal> {
        let body: Value = serde_json::from_slice(self.body).map_err(|_error| Refusal::unreadable())?;
        match body.get(key) {
            Some(Value::Object(object)) => Ok(object.clone()),
            _ => Err(Refusal::missing(key)),
        }
    }

    /// The body itself, where it is an object that is not wrapped.
    fn plain(&self) -> Result<serde_json::Map<String, Value>, Refusal> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(Refusal::unreadable()),
        }
    }
}

/// What a handler answers with: a status, a body, and where more of a list lies.
struct Answer {
    status: StatusCode,
    body: Value,
    link: Option<String>,
}

impl Answer {
    fn ok(key: &str, value: Value) -> Self {
        Self { status: StatusCode::OK, body: json!({ key: value }), link: None }
    }

    fn created(key: &str, value: Value) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(key, value) }
    }
}

async fn handle(
    State(shop): State<Arc<Shop>>,
    Path((version, rest)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = headers.get("x-shopify-access-token").map(axum::http::HeaderValue::as_bytes);
    if token != Some(shop.token.as_bytes()) {
        return Refusal::unauthorized().response();
    }
    if version != VERSION {
        return Refusal::not_found().response();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let address = format!("http://{host}/admin/api/{VERSION}/{rest}");
    let call = Call { query: &query, address, body: &body };
    match dispatch(&shop, &method, &rest, &call) {
        Ok(answer) => answer::response(answer),
        Err(refusal) => refusal.response(),
    }
}

fn dispatch(shop: &Shop, method: &Method, rest: &str, call: &Call<'_>) -> Result<Answer, Refusal> {
    let Some(resource) = rest.strip_suffix(".json") else { return Err(Refusal::not_found()) };
    let segments: Vec<&str> = resource.split('/').collect();
    let mut store = lock(&shop.store);
    let get = method == Method::GET || method == Method::HEAD;
    match (segments.as_slice(), method) {
        (["graphql"], &Method::POST) => graphql::answer(&mut store, call),
        (["shop"], _) if get => Ok(Answer::ok("shop", store::shop())),
        (["locations"], _) if get => Ok(Answer::ok("locations", inventory::locations())),
        (["products"], _) if get => products::list(&store, call),
        (["products", "count"], _) if get => Ok(products::count(&store, call)),
        (["products", id], _) if get => products::get(&store, number(id)?),
        (["products", id], &Method::PUT) => products::update(&mut store, number(id)?, call),
        (["products", id, "variants"], _) if get => products::variants(&store, number(id)?, call),
        (["variants", id], _) if get => products::variant(&store, number(id)?),
        (["inventory_levels"], _) if get => inventory::levels(&store, call),
        (["inventory_levels", "adjust"], &Method::POST) => inventory::adjust(&mut store, call),
        (["price_rules"], _) if get => promotions::list(&store, call),
        (["price_rules", id], _) if get => promotions::get(&store, number(id)?),
        (["price_rules", id, "discount_codes"], _) if get => promotions::codes(&store, number(id)?, call),
        (["orders"], _) if get => orders::list(&store, call),
        (["orders"], &Method::POST) => orders::create(&mut store, call),
        (["orders", id], _) if get => orders::get(&store, number(id)?),
        (["orders", id], &Method::PUT) => orders::update(&mut store, number(id)?, call),
        (["orders", id, "cancel"], &Method::POST) => orders::cancel(&mut store, number(id)?),
        (["customers"], _) if get => customers::list(&store, call),
        (["customers"], &Method::POST) => customers::create(&mut store, call),
        (["customers", "search"], _) if get => customers::search(&store, call),
        (["customers", id], _) if get => customers::get(&store, number(id)?),
        (["customers", id], &Method::PUT) => customers::update(&mut store, number(id)?, call),
        _ => Err(Refusal::not_found()),
    }
}

fn number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_error| Refusal::bad_request("id", "expected String to be a id"))
}

#[cfg(test)]
mod tests;
