//! What becomes of a request on its way: scopes, attempts, turns, tokens and the addresses of further pages.

mod web;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{Json, Router, extract::OriginalUri, routing::any};
use http::HeaderMap;
use remit_domain::{
    AgentName, SourceName, TenantId,
    data::{Handle, Sources},
    grant::{Grant, Grants, Permit},
    limits::{Limits, Tier},
    scope::Scope,
    source::{Auth, Credentials, Kind, OAuth, Provider},
    tenant::{Agent, Company, Context, Mapping, State, Tenants},
};
use remit_upstreams::tokens::{CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TokenServer};
use serde_json::json;

use super::super::*;
use crate::{Pools, guard::NetworkRules};

/// A server whose every answer is made by a function, which counts.
struct Server {
    url: String,
    hits: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<R: axum::response::IntoResponse + 'static>(
        answer: impl Fn(u32, String, HeaderMap) -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hits = Arc::new(AtomicU32::new(0));
        let counted = hits.clone();
        let app = Router::new().fallback(any(async move |OriginalUri(uri): OriginalUri, headers: HeaderMap| {
            answer(counted.fetch_add(1, Ordering::SeqCst), uri.to_string(), headers).into_response()
        }));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, hits, task }
    }

    fn hits(&self) -> u32 {
        self.hits.load(Ordering::SeqCst)
    }
}

fn guard() -> Guard {
    Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap()
}

fn described(provider: Provider, url: &str, auth: Auth) -> source::Api {
    let secret = |text: &str| Some(text.to_owned().into());
    let credentials = Credentials {
        user: Some("ada@acme.example".to_owned()),
        token: secret("canary-token"),
        uri: secret(url),
        client_id: Some(CLIENT_ID.to_owned()),
        client_secret: secret(CLIENT_SECRET),
        refresh_token: secret(REFRESH_TOKEN),
        ..Credentials::default()
    };
    let address = "acme".to_owned();
    source::Api { provider, address, api_version: None, auth, graphql: None, rate: None, credentials }
}

fn definition(api: source::Api) -> Arc<Definition> {
    let name = SourceName::new("shop").unwrap();
    Arc::new(Definition {
        name,
        authored_kind: "rest".to_owned(),
        kind: Kind::Api(api),
        revision: "r".to_owned(),
        cache: None,
    })
}

fn made(api: source::Api) -> RemoteApi {
    let definition = definition(api);
    let Kind::Api(api) = &definition.kind else { unreachable!() };
    let settings = Settings { api_timeout: Duration::from_secs(5), ..Settings::default() };
    RemoteApi::new(&definition, api, &guard(), &settings).unwrap()
}

fn request(method: Method, path: &str) -> Request {
    Request { method, path: path.to_owned(), query: vec![], headers: vec![], body: None, idempotency_key: None }
}

async fn get(api: &RemoteApi, path: &str) -> Result<Response, Error> {
    let request = request(Method::Get, path);
    api.run_send(&request, api.reads(&request)).await
}

/// One tenant with one agent, whose grants are asked of it.
struct One(Arc<Context>);

impl Tenants for One {
    fn get(&self, _tenant: &TenantId) -> Result<Arc<Context>, remit_domain::Error> {
        Ok(self.0.clone())
    }

    fn all(&self) -> Vec<(TenantId, State)> {
        vec![(self.0.tenant.clone(), State::Current)]
    }
}

/// The source as a call gets it: with a permission and a scope.
async fn granted(api: source::Api, permission: Permission, scope: Scope) -> (Permit, Arc<dyn Api>) {
    granted_of(definition(api), permission, scope).await
}

async fn granted_of(definition: Arc<Definition>, permission: Permission, scope: Scope) -> (Permit, Arc<dyn Api>) {
    let (tenant, agent, name) =
        (TenantId::new("t").unwrap(), AgentName::new("a").unwrap(), SourceName::new("shop").unwrap());
    let mapping = Mapping {
        order: vec![name.clone()],
        permissions: BTreeMap::from([(name.clone(), permission)]),
        scopes: BTreeMap::from([(name.clone(), scope)]),
        sets: Vec::new(),
    };
    let mapped = Agent {
        system_prompt: String::new(),
        temperature: 0.0,
        tools: None,
        mapping: Some(mapping),
        workflows: Vec::new(),
    };
    let context = Arc::new(Context {
        tenant,
        company: Company { name: "T".to_owned(), industry: None, website: None, timezone: "UTC".to_owned() },
        agents: BTreeMap::from([(agent.clone(), mapped)]),
        sources: BTreeMap::from([(name.clone(), definition)]),
        ceilings: BTreeMap::new(),
        settings: BTreeMap::new(),
        limits: Limits::default(),
        uploads: Tier::Small,
        trusted_keys: Vec::new(),
        webhooks: BTreeMap::new(),
        model: None,
        authored: serde_json::Value::Null,
    });
    let tenants: Arc<dyn Tenants> = Arc::new(One(context.clone()));
    let sources: Arc<dyn Sources> = Pools::new(Settings::default(), guard());
    let grants = Grants::new(&context, &agent, vec![Grant { source: name, permission }], &tenants, &sources);
    let (permit, handle) = grants.open("shop").await.unwrap();
    let Handle::Api(api) = handle else { unreachable!("of another family") };
    (permit, api)
}

async fn send(permit: &Permit, api: &Arc<dyn Api>, request: &Request) -> Result<u16, Error> {
    api.send(permit.access(api.permission(request))?, request).await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_mapping_narrows_an_api_to_paths() {
    let server = Server::start(|_, _, _| "{}").await;
    let scope = Scope::only(["orders".to_owned(), "products.json".to_owned(), "graphql.json".to_owned()]);
    let (permit, api) = granted(described(Provider::Shopify, &server.url, Auth::None), Permission::Write, scope).await;
    for (method, path) in [
        (Method::Get, "orders/42.json"),
        (Method::Delete, "orders"),
        (Method::Get, "products.json"),
        (Method::Post, "graphql.json"),
    ] {
        assert_eq!(send(&permit, &api, &request(method, path)).await, Ok(200), "{path}");
    }
    let before = server.hits();
    for path in [
        "",
        "orders.json",
        "orders2/1",
        "customers.json",
        "products.json2",
        "Orders/1",
        "orders%2F1",
        "%6Frders/1",
        "orders;a=b/1",
        "orders%3F/../customers",
        "orders/../customers.json",
        "orders/%2e%2e/customers.json",
        "orders/%252e%252e/customers.json",
        "orders%2f..%2fcustomers.json",
        "orders/..;/customers.json",
        "orders/..%5ccustomers.json",
        "orders/%c0%ae%c0%ae/customers.json",
        "/orders/1",
        "//orders/1",
        "./orders/1",
    ] {
        for method in [Method::Get, Method::Post] {
            let refused = send(&permit, &api, &request(method, path)).await.unwrap_err();
            assert!(matches!(refused, Error::Denied(_) | Error::Invalid(_)), "{path}: {refused}");
        }
    }
    assert_eq!(server.hits(), before, "something was asked");
    let (permit, api) =
        granted(described(Provider::Rest, &server.url, Auth::None), Permission::Write, Scope::only([])).await;
    assert_eq!(send(&permit, &api, &request(Method::Get, "")).await.unwrap_err().case(), "denied");
}

#[tokio::test]
async fn a_read_handle_reads_by_the_providers_rules() {
    let server = Server::start(|_, _, _| "{}").await;
    let query = Request {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(json!({"query": "{ shop { name } }"}).to_string().into_bytes()),
        ..request(Method::Post, "graphql.json")
    };
    let mutation = Request { body: Some(json!({"query": "mutation { x }"}).to_string().into_bytes()), ..query.clone() };
    for (provider, asked, expected) in [
        (Provider::Shopify, &query, true),
        (Provider::Shopify, &mutation, false),
        (Provider::Salesforce, &query, false),
        (Provider::Slack, &request(Method::Get, "conversations.list"), true),
        (Provider::Slack, &request(Method::Get, "chat.postMessage"), false),
    ] {
        let api = described(provider, &server.url, Auth::None);
        let (permit, api) = granted(api, Permission::Read, Scope::ALL).await;
        let before = server.hits();
        let answered = send(&permit, &api, asked).await;
        assert_eq!(answered.is_ok(), expected, "{provider:?} {}: {answered:?}", asked.path);
        assert_eq!(server.hits() - before, u32::from(expected));
        // Nor by a proof for less than it does.
        if !expected {
            let refused = api.send(Access::Reading(permit.read().unwrap()), asked).await.unwrap_err();
            assert_eq!(refused.case(), "denied", "{refused}");
        }
    }
}

#[tokio::test]
async fn reads_are_repeated_after_what_passes_and_changes_are_not() {
    for status in [429, 503] {
        let server = Server::start(move |count, _, _| {
            let status = if count % 3 < 2 { StatusCode::from_u16(status).unwrap() } else { StatusCode::OK };
            (status, [("retry-after", "0")])
        })
        .await;
        let api = made(described(Provider::Rest, &server.url, Auth::None));
        assert_eq!(get(&api, "x").await.unwrap().status, 200);
        assert_eq!(server.hits(), 3);
        let keyed = Request { idempotency_key: Some("k".to_owned()), ..request(Method::Post, "x") };
        assert_eq!(api.run_send(&keyed, false).await.unwrap().status, 200);
        assert_eq!(server.hits(), 6);
        let answered = api.run_send(&request(Method::Post, "x"), false).await;
        let told = match &answered {
            Ok(answer) => answer.status,
            Err(Error::Throttled(wait)) => wait.retry_after_ms.map_or(0, |_| 429),
            Err(error) => unreachable!("{error}"),
        };
        assert_eq!((told, server.hits()), (status, 7));
    }
    // One that asks for more than a call has, and others that do not pass.
    for (status, wait) in [(503, "60"), (500, "0"), (502, "0"), (404, "0")] {
        let server =
            Server::start(move |_, _, _| (StatusCode::from_u16(status).unwrap(), [("retry-after", wait)])).await;
        let api = made(described(Provider::Rest, &server.url, Auth::None));
        assert_eq!((get(&api, "x").await.unwrap().status, server.hits()), (status, 1));
    }
}

#[tokio::test]
async fn a_sources_requests_take_turns() {
    let server = Server::start(|_, _, _| "{}").await;
    let rate = |requests, seconds| {
        Some(source::Rate { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_secs(seconds) })
    };
    let mut described = described(Provider::Rest, &server.url, Auth::None);
    described.rate = rate(2, 3_600);
    let api = made(described);
    for _ in 0..2 {
        assert_eq!(get(&api, "x").await.unwrap().status, 200);
    }
    let refused = get(&api, "x").await.unwrap_err();
    assert!(matches!(&refused, Error::Throttled(wait) if wait.retry_after_ms > Some(60_000)), "{refused:?}");
    let changed = api.run_send(&request(Method::Post, "x"), false).await.unwrap_err();
    assert_eq!((changed.case(), server.hits()), ("throttled", 2));
    // A short wait is waited for; another source has turns of its own.
    let mut quick = self::described(Provider::Rest, &server.url, Auth::None);
    quick.rate = rate(10, 1);
    let quick = made(quick);
    let answers = futures::future::join_all((0..12).map(|_| get(&quick, "x"))).await;
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let tokens = TokenServer::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let issued = tokens.issued.clone();
    let server = Server::start(
        move |_, _, headers| {
            if issued.accepts(&headers) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        },
    )
    .await;
    let oauth = |in_body| OAuth { token_url: Some(tokens.url()), scope: None, in_body };
    for (provider, auth) in [
        (Provider::Rest, Auth::ClientCredentials(oauth(false))),
        (Provider::Salesforce, Auth::RefreshToken(oauth(true))),
    ] {
        let api = made(described(provider, &server.url, auth));
        assert_eq!(get(&api, "limits").await.unwrap().status, 200);
        let before = tokens.issued.count();
        tokens.issued.revoke_all();
        // A change as well: whoever says 401 did nothing.
        let answers = futures::future::join_all(
            (0..5).map(|_| async { api.run_send(&request(Method::Post, "x"), false).await.unwrap().status }),
        )
        .await;
        assert_eq!((answers, tokens.issued.count()), (vec![200; 5], before + 1));
        tokens.issued.revoke_all();
        let hits = server.hits();
        // So soon after another, it is not the token that is wrong.
        assert_eq!(get(&api, "limits").await.unwrap().status, 401);
        assert_eq!((server.hits(), tokens.issued.count()), (hits + 1, before + 1));
    }
    // Salesforce's tokens come from its own host, which here has none.
    let auth = Auth::ClientCredentials(OAuth { token_url: None, scope: None, in_body: false });
    let api = made(described(Provider::Salesforce, &server.url, auth));
    let error = get(&api, "limits").await.unwrap_err();
    assert_eq!(error.case(), "rejected", "{error}");
    assert!(!format!("{error:?}").contains("stand-in:secret"));
}

#[tokio::test]
async fn a_credential_in_the_query_is_the_hosts_alone() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noting = seen.clone();
    let server = Server::start(move |_, uri, _| {
        noting.lock().unwrap().push(uri.clone());
        Json(json!({"next": format!("{uri}&page=2")}))
    })
    .await;
    let api = made(described(Provider::Rest, &server.url, Auth::Query("api_key".to_owned())));
    let asked = Request { query: vec![("q".to_owned(), "a b".to_owned())], ..request(Method::Get, "search") };
    let answer = api.run_send(&asked, true).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["/search?q=a+b&api_key=canary-token"]);
    assert_eq!(String::from_utf8(answer.body).unwrap(), r#"{"next":"search?q=a+b&page=2"}"#);
    let stolen = Request { query: vec![("api_key".to_owned(), "mine".to_owned())], ..asked };
    assert_eq!(api.run_send(&stolen, true).await.unwrap_err().case(), "denied");
}

#[tokio::test]
async fn providers_get_the_credential_and_headers_that_they_want() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noting = seen.clone();
    let server = Server::start(move |_, uri, headers| {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        noting.lock().unwrap().push((uri, text("authorization"), text("revision")));
        Json(json!({"ok": true}))
    })
    .await;
    for provider in [Provider::Zendesk, Provider::Klaviyo, Provider::Slack] {
        made(described(provider, &server.url, Auth::None)).probe().await.unwrap();
    }
    let zendesk = "Basic YWRhQGFjbWUuZXhhbXBsZS90b2tlbjpjYW5hcnktdG9rZW4=";
    let expected = [
        ("/api/v2/tickets/count.json", zendesk, None),
        ("/api/accounts", "Klaviyo-API-Key canary-token", Some("2024-10-15")),
        ("/api/auth.test", "Bearer canary-token", None),
    ];
    let expected: Vec<_> = expected
        .map(|(uri, value, revision)| (uri.to_owned(), Some(value.to_owned()), revision.map(str::to_owned)))
        .into();
    assert_eq!(*seen.lock().unwrap(), expected);
    let refusing = Server::start(|_, _, _| Json(json!({"ok": false, "error": "invalid_auth"}))).await;
    let error = made(described(Provider::Slack, &refusing.url, Auth::None)).probe().await.unwrap_err();
    assert_eq!(error.case(), "rejected");
    let empty = Server::start(|_, _, _| StatusCode::NOT_FOUND).await;
    made(described(Provider::GoogleSheets, &empty.url, Auth::Bearer)).probe().await.unwrap();
    let error = made(described(Provider::Zendesk, &empty.url, Auth::None)).probe().await.unwrap_err();
    assert_eq!(error.case(), "rejected");
}

#[tokio::test]
async fn a_redirect_takes_a_credential_nowhere() {
    let stranger = Server::start(|_, _, _| "{}").await;
    let target = stranger.url.clone();
    for status in [301, 302, 303, 307, 308] {
        let target = target.clone();
        let server = Server::start(move |_, _, _| {
            (StatusCode::from_u16(status).unwrap(), [("location", format!("{target}/steal"))])
        })
        .await;
        let api = made(described(Provider::Rest, &server.url, Auth::Bearer));
        for method in [Method::Get, Method::Post] {
            let asked = request(method, "x");
            let answer = api.run_send(&asked, api.reads(&asked)).await.unwrap();
            assert_eq!(answer.status, status);
            assert!(!answer.headers.iter().any(|(_, value)| value.contains("127.0.0.1")), "{:?}", answer.headers);
        }
    }
    assert_eq!(stranger.hits(), 0);
}
