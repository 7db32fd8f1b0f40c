//! Requests against a real server on loopback: what is sent, and what of an answer is given.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{OriginalUri, State},
    response::IntoResponse as _,
    routing::{any, get, post},
};
use http::HeaderMap;
use remit_domain::{
    SourceName,
    data::http_api::Reader as _,
    source::{Auth, Credentials, Kind, Provider},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::guard::NetworkRules;

struct Fixture {
    service: RemoteApi,
    server: tokio::task::JoinHandle<()>,
    hits: Arc<AtomicU32>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn service(provider: Provider, uri: &str, auth: Auth) -> Result<RemoteApi, Error> {
    guarded(&Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap(), provider, uri, auth)
}

fn guarded(guard: &Guard, provider: Provider, uri: &str, auth: Auth) -> Result<RemoteApi, Error> {
    let credentials = Credentials {
        user: Some("ada".to_owned()),
        password: Some("canary-word".to_owned().into()),
        token: Some("canary-token".to_owned().into()),
        uri: Some(uri.to_owned().into()),
        ..Credentials::default()
    };
    let api = source::Api { provider, address: "api.example".to_owned(), api_version: None, auth, credentials };
    let definition = Definition {
        name: SourceName::new("shop").unwrap(),
        authored_kind: "shopify".to_owned(),
        kind: Kind::Unconnected { kind: "unused".to_owned() },
        revision: "r".to_owned(),
    };
    let settings = Settings { api_timeout: Duration::from_millis(600), ..Settings::default() };
    RemoteApi::new(&definition, &api, guard, &settings)
}

async fn serve(provider: Provider, auth: Auth) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hits = Arc::new(AtomicU32::new(0));
    let app = Router::new()
        .route("/base/echo", any(echo))
        .route("/base/slow", any(std::future::pending::<()>))
        .route("/base/large", any(|| async { vec![b'x'; MAX_RESPONSE_BYTES + 1] }))
        .route("/base/exact", get(|| async { vec![b'x'; MAX_RESPONSE_BYTES] }))
        .route(
            "/base/redirect",
            any(move || async move {
                (StatusCode::TEMPORARY_REDIRECT, [("location", format!("http://{address}/base/echo"))])
            }),
        )
        .route(
            "/base/away",
            any(|| async { (StatusCode::FOUND, [("location", "http://169.254.169.254/latest/meta-data")]) }),
        )
        .route("/base/busy", any(|| async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "2.5")]) }))
        .route("/base/down", any(|| async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "9")], "later") }))
        .route("/base/zipped", any(|| async { ([("content-encoding", "gzip")], "x") }))
        .route("/base/wrong", post(|body: Bytes| async move { (StatusCode::UNPROCESSABLE_ENTITY, body) }))
        .route("/base/admin/api/2024-01/{*rest}", any(echo))
        .route("/base/services/data/v57.0/{*rest}", any(echo))
        .with_state(hits.clone());
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let service = service(provider, &format!("http://{address}/base"), auth).unwrap();
    Fixture { service, server, hits }
}

/// Answers with what came in.
async fn echo(
    State(hits): State<Arc<AtomicU32>>,
    method: http::Method,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    hits.fetch_add(1, Ordering::SeqCst);
    let mut lines = vec![format!("{method} {uri}")];
    let shown = ["authorization", "x-shopify-access-token", "accept-encoding", "idempotency-key", "content-type"];
    for name in shown {
        lines.extend(headers.get(name).map(|value| format!("{name}: {}", value.to_str().unwrap())));
    }
    lines.push(String::from_utf8(body.to_vec()).unwrap());
    ([("set-cookie", "session=canary")], lines.join("\n")).into_response()
}

fn request(method: Method, path: &str) -> Request {
    Request { method, path: path.to_owned(), query: vec![], headers: vec![], body: None, idempotency_key: None }
}

async fn text(fixture: &Fixture, request: &Request) -> String {
    String::from_utf8(fixture.service.run_send(request).await.unwrap().body).unwrap()
}

#[tokio::test]
async fn the_host_adds_base_and_credential() {
    let shopify = serve(Provider::Shopify, Auth::None).await;
    let orders = Request { query: vec![("a".to_owned(), "b c&d".to_owned())], ..request(Method::Get, "orders.json") };
    assert_eq!(
        text(&shopify, &orders).await,
        "GET /base/admin/api/2024-01/orders.json?a=b+c%26d\nx-shopify-access-token: canary-token\n\
         accept-encoding: identity\n"
    );
    let salesforce = serve(Provider::Salesforce, Auth::None).await;
    let task = Request {
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: Some(b"{}".to_vec()),
        idempotency_key: Some("k-1".to_owned()),
        ..request(Method::Post, "sobjects/Task")
    };
    assert_eq!(
        text(&salesforce, &task).await,
        "POST /base/services/data/v57.0/sobjects/Task\nauthorization: Bearer canary-token\n\
         accept-encoding: identity\nidempotency-key: k-1\ncontent-type: application/json\n{}"
    );
    let basic = serve(Provider::Rest, Auth::Basic).await;
    assert!(text(&basic, &request(Method::Get, "echo")).await.contains("authorization: Basic YWRhOmNhbmFyeS13b3Jk\n"));
    let own = serve(Provider::Rest, Auth::Header("X-Key".to_owned())).await;
    let stolen = Request { headers: vec![("x-key".to_owned(), "mine".to_owned())], ..request(Method::Get, "echo") };
    assert_eq!(own.service.run_send(&stolen).await.unwrap_err().case(), "denied");
    let none = serve(Provider::Rest, Auth::None).await;
    assert!(!text(&none, &request(Method::Get, "echo")).await.contains("canary"));
    let answer = none.service.run_send(&request(Method::Get, "echo")).await.unwrap();
    assert!(!answer.headers.iter().any(|(name, _)| name == "set-cookie"));
}

#[tokio::test]
async fn answers_are_answers_whatever_their_status() {
    let fixture = serve(Provider::Rest, Auth::None).await;
    let missing = fixture.service.run_send(&request(Method::Get, "nothing")).await.unwrap();
    assert_eq!(missing.status, 404);
    let wrong = Request { body: Some(b"why".to_vec()), ..request(Method::Post, "wrong") };
    let wrong = fixture.service.run_send(&wrong).await.unwrap();
    assert_eq!((wrong.status, wrong.body.as_slice()), (422, b"why".as_slice()));
    let down = fixture.service.run_send(&request(Method::Get, "down")).await.unwrap();
    assert_eq!((down.status, down.body.as_slice()), (503, b"later".as_slice()));
    let busy = fixture.service.run_send(&request(Method::Get, "busy")).await.unwrap_err();
    assert!(matches!(busy, Error::Throttled(Wait { retry_after_ms: Some(2_500), .. })), "{busy}");
    let zipped = fixture.service.run_send(&request(Method::Get, "zipped")).await.unwrap_err();
    assert_eq!(zipped.case(), "rejected");
}

#[tokio::test]
async fn redirects_are_not_followed_and_tell_no_host() {
    let fixture = serve(Provider::Rest, Auth::Bearer).await;
    for method in [Method::Get, Method::Post] {
        let answer = fixture.service.run_send(&request(method, "redirect")).await.unwrap();
        let location = answer.headers.iter().find(|(name, _)| name == "location");
        assert_eq!((answer.status, location.map(|(_, value)| value.as_str())), (307, Some("echo")));
    }
    let answer = fixture.service.run_send(&request(Method::Get, "away")).await.unwrap();
    assert_eq!(answer.status, 302);
    assert!(!answer.headers.iter().any(|(name, value)| name == "location" || value.contains("169.254")));
    assert_eq!(fixture.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn sizes_are_kept_while_streaming() {
    let fixture = serve(Provider::Rest, Auth::None).await;
    let large = request(Method::Get, "large");
    let error = fixture.service.run_send(&large).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-response-bytes", allowed: MAX_RESPONSE_BYTES as u64 });
    assert_eq!(fixture.service.run_send(&request(Method::Get, "exact")).await.unwrap().body.len(), MAX_RESPONSE_BYTES);
    let mut head = fixture.service.run_open(&large).await.unwrap();
    let mut length = 0;
    while let Some(piece) = head.body.read(1_000).await.unwrap() {
        assert!(!piece.is_empty() && piece.len() <= 1_000);
        length += piece.len();
    }
    assert_eq!(length, MAX_RESPONSE_BYTES + 1);
    // What a change did is not undone by an answer that is too large, or can't be read.
    for path in ["large", "zipped"] {
        let error = fixture.service.run_send(&request(Method::Post, path)).await.unwrap_err();
        assert_eq!(error.case(), "uncertain", "{path}: {error}");
    }
    let big = Request { body: Some(vec![0; MAX_REQUEST_BYTES + 1]), ..request(Method::Post, "echo") };
    assert_eq!(fixture.service.run_send(&big).await.unwrap_err().case(), "limit");
    let answer = fixture.service.client.get(fixture.service.base.join("exact").unwrap()).send().await.unwrap();
    let mut capped = Body::new(answer, 10, "max-stream-bytes", true);
    assert_eq!(capped.read(100).await.unwrap_err(), Error::Limit { name: "max-stream-bytes", allowed: 10 });
}

#[tokio::test]
async fn a_read_stays_one() {
    let fixture = serve(Provider::Rest, Auth::None).await;
    let with_body = Request { body: Some(vec![1]), ..request(Method::Get, "echo") };
    assert_eq!(fixture.service.run_send(&with_body).await.unwrap_err().case(), "invalid");
    for name in ["_method", "_HttpMethod"] {
        let overriding =
            Request { query: vec![(name.to_owned(), "DELETE".to_owned())], ..request(Method::Get, "echo") };
        assert_eq!(fixture.service.run_send(&overriding).await.unwrap_err().case(), "denied");
    }
    for (method, permission) in [
        (Method::Get, Permission::Read),
        (Method::Head, Permission::Read),
        (Method::Post, Permission::Write),
        (Method::Put, Permission::Write),
        (Method::Patch, Permission::Write),
        (Method::Delete, Permission::Write),
    ] {
        assert_eq!(fixture.service.permission(&request(method, "x")), permission);
    }
    assert_eq!(fixture.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn no_answer_leaves_a_change_in_doubt_and_a_read_not() {
    let fixture = serve(Provider::Rest, Auth::None).await;
    let read = fixture.service.run_send(&request(Method::Get, "slow")).await.unwrap_err();
    assert_eq!(read, Error::unavailable("the service did not answer"));
    let change = fixture.service.run_send(&request(Method::Post, "slow")).await.unwrap_err();
    assert_eq!(change.case(), "uncertain");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unavailable_and_nameless() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = service(Provider::Rest, &format!("http://127.0.0.1:{port}/"), Auth::Bearer).unwrap();
    for method in [Method::Get, Method::Post] {
        let error = service.run_send(&request(method, "x")).await.unwrap_err();
        assert_eq!(error, Error::unavailable("the service could not be reached"));
    }
    assert_eq!(service.probe().await.unwrap_err().case(), "unavailable");
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicU32::new(0));
    let counting = accepted.clone();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counting.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 1024];
            let _request = stream.read(&mut buffer).await;
            let _half = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        }
    });
    let service = service(Provider::Rest, &format!("http://{address}/"), Auth::None).unwrap();
    assert_eq!(service.run_send(&request(Method::Post, "x")).await.unwrap_err().case(), "uncertain");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    assert_eq!(service.run_send(&request(Method::Get, "x")).await.unwrap_err().case(), "unavailable");
    for (method, case) in [(Method::Patch, "uncertain"), (Method::Get, "unavailable")] {
        let mut head = service.run_open(&request(method, "x")).await.unwrap();
        let broken = loop {
            match head.body.read(100).await {
                Ok(piece) => assert!(piece.is_some(), "it ends as if it were whole"),
                Err(error) => break error,
            }
        };
        assert_eq!(broken.case(), case, "{broken}");
    }
    server.abort();
}

#[tokio::test]
async fn a_private_address_is_refused_by_name() {
    for uri in ["http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/", "http://0x7f.2/"] {
        assert_eq!(service(Provider::Rest, uri, Auth::None).err().unwrap().case(), "denied", "{uri}");
    }
    // A name is refused when it is resolved, before a connection is made.
    let guard = Guard::new(NetworkRules::default()).unwrap();
    let service = guarded(&guard, Provider::Rest, "http://localhost:1/", Auth::None).unwrap();
    let error = service.run_send(&request(Method::Get, "x")).await.unwrap_err();
    assert_eq!(error.case(), "denied", "{error}");
    assert!(!error.to_string().contains("localhost"));
}

#[tokio::test]
async fn probes_ask_the_providers_own_question() {
    let shopify = serve(Provider::Shopify, Auth::None).await;
    shopify.service.probe().await.unwrap();
    assert_eq!(shopify.hits.load(Ordering::SeqCst), 1);
    let salesforce = serve(Provider::Salesforce, Auth::None).await;
    salesforce.service.probe().await.unwrap();
    let rest = serve(Provider::Rest, Auth::None).await;
    rest.service.probe().await.unwrap();
}

#[tokio::test]
async fn a_service_that_has_gone_elsewhere_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(|| async { (StatusCode::FOUND, [("location", "/login")]) });
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    for provider in [Provider::Shopify, Provider::Salesforce, Provider::Rest] {
        let service = service(provider, &format!("http://{address}/"), Auth::None).unwrap();
        let error = service.probe().await.unwrap_err();
        assert!(matches!(&error, Error::Rejected(why) if why.code.as_deref() == Some("302")), "{error}");
    }
    server.abort();
}
