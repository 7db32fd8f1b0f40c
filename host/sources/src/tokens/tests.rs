//! Tokens against a stand-in server: each grant, each failure, and how often it is asked.
#![expect(clippy::unwrap_used, reason = "tests")]

use axum::http::StatusCode;
use remit_upstreams::{
    Fault,
    tokens::{CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, TokenServer, key_file},
};

use super::*;
use crate::guard::NetworkRules;

const SCOPE: &str = "https://www.googleapis.com/auth/spreadsheets";
const TIMEOUT: Duration = Duration::from_secs(5);

fn guard() -> Guard {
    Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap()
}

async fn server() -> TokenServer {
    TokenServer::start("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

fn account(server: &TokenServer, timeout: Duration) -> Arc<Tokens> {
    Tokens::service_account(&server.key_file().into(), SCOPE, &guard(), timeout).unwrap()
}

fn client(auth: ClientAuth, secret: &str) -> Client {
    Client { id: CLIENT_ID.to_owned(), secret: Some(secret.to_owned().into()), auth }
}

#[tokio::test]
async fn each_grant_gets_a_token_and_keeps_it() {
    let server = server().await;
    let url: Url = server.url().parse().unwrap();
    let of_client = |auth| {
        let client = client(auth, CLIENT_SECRET);
        Tokens::client_credentials(&url, client, Some("a b"), &guard(), TIMEOUT).unwrap()
    };
    let refreshing = Tokens::refresh(&url, None, REFRESH_TOKEN.to_owned().into(), &guard(), TIMEOUT).unwrap();
    let all = [account(&server, TIMEOUT), of_client(ClientAuth::Basic), of_client(ClientAuth::Body), refreshing];
    for (at, tokens) in all.iter().enumerate() {
        let value = tokens.bearer().await.unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Bearer stand-in-access-{}", at + 1));
        assert!(value.is_sensitive());
        assert_eq!(tokens.bearer().await.unwrap(), value);
    }
    assert_eq!(server.issued.count(), all.len());
    let scoped = String::from_utf8(server.running.received().get(1).unwrap().body.clone()).unwrap();
    assert_eq!(scoped, "grant_type=client_credentials&scope=a+b");
}

#[tokio::test]
async fn ten_callers_ask_once_and_one_that_leaves_stops_nobody() {
    let server = server().await;
    server.running.faults().once(Fault::Delay(Duration::from_millis(300)));
    let tokens = account(&server, TIMEOUT);
    // The first one begins to ask and goes away.
    let gone = tokio::time::timeout(Duration::from_millis(5), tokens.bearer()).await;
    assert!(gone.is_err());
    let answers = futures::future::join_all((0..10).map(|_| tokens.bearer())).await;
    for answer in answers {
        assert_eq!(answer.unwrap().to_str().unwrap(), "Bearer stand-in-access-1");
    }
    assert_eq!(server.running.received().len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_shortly_before_its_end() {
    let server = server().await;
    let tokens = account(&server, TIMEOUT);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let first = tokens.bearer_at(start).await.unwrap();
    assert_eq!(tokens.bearer_at(at(3500)).await.unwrap(), first);
    assert_ne!(tokens.bearer_at(at(3541)).await.unwrap(), first);
    for (said, kept, renewed) in [
        (serde_json::json!("100"), 89, 91),
        (serde_json::json!(0), 0, 2),
        (serde_json::Value::Null, 1700, 1800),
        (serde_json::json!(1e12), 80_000, 86_400),
    ] {
        server.issued.set_lifetime(said.clone());
        let tokens = account(&server, TIMEOUT);
        let first = tokens.bearer_at(start).await.unwrap();
        assert_eq!(tokens.bearer_at(at(kept)).await.unwrap(), first, "{said}");
        assert_ne!(tokens.bearer_at(at(renewed)).await.unwrap(), first, "{said}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let server = server().await;
    let tokens = account(&server, TIMEOUT);
    let start = Instant::now();
    let first = tokens.bearer_at(start).await.unwrap();
    // All that were refused with it say so.
    tokens.spoiled_at(&first, start);
    let second = tokens.bearer_at(start).await.unwrap();
    tokens.spoiled_at(&first, start);
    assert_eq!(tokens.bearer_at(start).await.unwrap(), second);
    // A source that refuses whatever it gets.
    tokens.spoiled_at(&second, start + Duration::from_secs(1));
    assert_eq!(tokens.bearer_at(start + Duration::from_secs(1)).await.unwrap(), second);
    tokens.spoiled_at(&second, start + SPOILED_EVERY);
    assert_ne!(tokens.bearer_at(start + SPOILED_EVERY).await.unwrap(), second);
    assert_eq!(server.issued.count(), 3);
}

#[tokio::test]
async fn another_refresh_token_is_used_from_then_on() {
    let server = server().await;
    server.issued.rotate();
    let url: Url = server.url().parse().unwrap();
    let public = Client { id: CLIENT_ID.to_owned(), secret: None, auth: ClientAuth::Basic };
    let tokens = Tokens::refresh(&url, Some(public), REFRESH_TOKEN.to_owned().into(), &guard(), TIMEOUT).unwrap();
    let first = tokens.bearer().await.unwrap();
    tokens.spoiled(&first);
    assert_ne!(tokens.bearer().await.unwrap(), first);
    let bodies: Vec<_> =
        server.running.received().into_iter().map(|one| String::from_utf8(one.body).unwrap()).collect();
    assert_eq!(
        bodies,
        [
            "grant_type=refresh_token&refresh_token=stand-in-refresh-0&client_id=stand-in+client",
            "grant_type=refresh_token&refresh_token=stand-in-refresh-1&client_id=stand-in+client",
        ]
    );
}

#[tokio::test]
async fn refusals_are_remembered_and_repeat_nothing() {
    let server = server().await;
    let url: Url = server.url().parse().unwrap();
    let wrong = client(ClientAuth::Body, "canary-secret");
    let tokens = Tokens::client_credentials(&url, wrong, None, &guard(), TIMEOUT).unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        let error = tokens.bearer_at(start).await.unwrap_err();
        assert!(matches!(&error, Error::Rejected(why) if why.code.as_deref() == Some("invalid_client")), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    assert_eq!(server.running.received().len(), 1);
    assert!(tokens.bearer_at(start + REFUSED_FOR).await.is_err());
    assert_eq!(server.running.received().len(), 2);
    // The key of another account, or of another server.
    let elsewhere = key_file(&server.url().replace("/token", "/token?x"));
    let tokens = Tokens::service_account(&elsewhere.into(), SCOPE, &guard(), TIMEOUT).unwrap();
    let error = tokens.bearer().await.unwrap_err();
    assert!(matches!(&error, Error::Rejected(why) if why.code.as_deref() == Some("invalid_grant")), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_badly_is_unavailable_for_a_while() {
    let server = server().await;
    let json =
        |body: &str| Fault::Answer { status: StatusCode::OK, content_type: "application/json", body: body.to_owned() };
    for fault in [
        Fault::status(500),
        Fault::status(302),
        Fault::Close,
        json("<html>"),
        json("{}"),
        json(r#"{"access_token":""}"#),
        json(r#"{"access_token":"a b"}"#),
        json("{\"access_token\":\"a\\r\\nb\"}"),
        json(r#"{"access_token":"a","token_type":"mac"}"#),
        json(&"x".repeat(70_000)),
    ] {
        server.running.faults().once(fault.clone());
        let tokens = account(&server, TIMEOUT);
        let start = Instant::now();
        let error = tokens.bearer_at(start).await.unwrap_err();
        assert_eq!(error.case(), "unavailable", "{fault:?}: {error}");
        let again = tokens.bearer_at(start).await.unwrap_err();
        assert!(matches!(&again, Error::Unavailable(wait) if wait.retry_after_ms == Some(5_000)), "{again:?}");
        tokens.bearer_at(start + FAILED_FOR).await.unwrap();
    }
    server.running.faults().once(Fault::Status { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(7) });
    let throttled = account(&server, TIMEOUT).bearer().await.unwrap_err();
    assert!(matches!(&throttled, Error::Throttled(wait) if wait.retry_after_ms == Some(7_000)), "{throttled:?}");
}

#[tokio::test]
async fn a_slow_server_is_given_up() {
    let server = server().await;
    server.running.faults().once(Fault::Delay(Duration::from_secs(600)));
    let error = account(&server, Duration::from_millis(50)).bearer().await.unwrap_err();
    assert_eq!(error.case(), "unavailable", "{error}");
}

#[test]
fn key_files_that_are_none_are_invalid_and_not_shown() {
    let good: serde_json::Value = serde_json::from_str(&key_file("http://127.0.0.1:9/token")).unwrap();
    let with = |name: &str, value: serde_json::Value| {
        let mut file = good.clone();
        file.as_object_mut().unwrap().insert(name.to_owned(), value);
        file.to_string()
    };
    let other = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    for bad in [
        String::new(),
        "canary".to_owned(),
        r#"{"type":"service_account","private_key":["canary"]}"#.to_owned(),
        with("type", "authorized_user".into()),
        with("private_key", "canary".into()),
        with("private_key", other.into()),
        with("token_uri", "canary".into()),
        with("client_email", "".into()),
    ] {
        let error = Tokens::service_account(&bad.clone().into(), SCOPE, &guard(), TIMEOUT).unwrap_err();
        assert_eq!(error.case(), "invalid", "{bad}");
        assert!(!error.to_string().contains("canary") && !error.to_string().contains("Y2Fu"), "{error}");
    }
}

#[tokio::test]
async fn token_servers_are_reached_through_the_guard() {
    let closed = Guard::new(NetworkRules::default()).unwrap();
    for uri in ["http://169.254.169.254/token", "http://127.0.0.1/token", "file:///etc/passwd"] {
        let error = Tokens::service_account(&key_file(uri).into(), SCOPE, &closed, TIMEOUT).unwrap_err();
        assert_eq!(error.case(), "denied", "{uri}");
    }
    // A name is refused when it is resolved.
    let tokens = Tokens::service_account(&key_file("http://localhost:9/t").into(), SCOPE, &closed, TIMEOUT).unwrap();
    assert_eq!(tokens.bearer().await.unwrap_err().case(), "denied");
    let url = "http://user:word@127.0.0.1/".parse().unwrap();
    let refused = Tokens::refresh(&url, None, String::new().into(), &guard(), TIMEOUT).unwrap_err();
    assert_eq!(refused.case(), "invalid");
}
