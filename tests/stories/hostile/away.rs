//! Guests that send requests away from the service they were handed, and services that send them away.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::net::TcpListener;

use super::{host, refused, setup, still_well};

#[tokio::test]
async fn an_api_path_does_not_leave_its_base() {
    let host = host().await;
    host.shopify.forget();
    for path in [
        "//127.0.0.1/x",
        "///127.0.0.1/x",
        "/etc",
        "..",
        "../admin",
        "a/../../b",
        "a/..",
        "a/.%2e/b",
        "%2e%2e/x",
        "a/%2E%2e/%2e%2e/b",
        "..;/x",
        "http://127.0.0.1/",
        "HTTPS://127.0.0.1/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "\\\\host\\x",
        "a\\b",
        "a%5c..%5cb",
        "%2f%2f127.0.0.1/x",
        "x?y=1",
        "x#y",
        "x y",
        "x\u{0}",
        "x%00",
        "products.json\r\nX-Evil: 1",
        "products.json%0d%0aX-Evil:%201",
    ] {
        let tried = host.result("escape_api", json!({"path": path})).await.to_string();
        assert!(tried.contains("Invalid") && !tried.contains("allowed:"), "{path:?}: {tried}");
    }
    assert!(host.shopify.received().is_empty(), "{:?}", host.shopify.received());
    // What looks like a user part is a folder of the base here.
    host.result("escape_api", json!({"path": "@127.0.0.1/x"})).await;
    let received: Vec<String> = host.shopify.received().into_iter().map(|it| it.path).collect();
    assert_eq!(received, ["/admin/api/2024-01/@127.0.0.1/x"]);
    host.shopify.forget();
    for header in ["Authorization", "X-Shopify-Access-Token", "Host", "Cookie", "Transfer-Encoding"] {
        let tried = host.result("escape_api", json!({"path": "shop.json", "header": [header, "x"]})).await.to_string();
        assert!(!tried.contains("allowed:"), "{header}: {tried}");
    }
    for method in ["post", "put", "patch", "delete"] {
        let write = host.result("escape_api", json!({"path": "products.json", "method": method})).await.to_string();
        assert!(write.contains("Denied"), "{write}");
    }
    for override_by in ["_method", "_HttpMethod"] {
        let query = json!({"path": "products.json", "query": [override_by, "DELETE"]});
        let write = host.result("escape_api", query).await.to_string();
        assert!(!write.contains("allowed:"), "{write}");
    }
    assert!(host.shopify.received().is_empty(), "{:?}", host.shopify.received());
    let fine = host.result("escape_api", json!({"path": "shop.json"})).await.to_string();
    assert!(fine.contains("allowed: 200"), "{fine}");
    assert!(!fine.contains("127.0.0.1"), "no host names: {fine}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let elsewhere = Elsewhere::start("").await;
    for (to, named) in [
        (format!("http://{}/secret", elsewhere.address), None),
        (format!("//{}/secret", elsewhere.address), None),
        ("http://169.254.169.254/latest/meta-data".to_owned(), None),
        ("http://10.0.0.1/admin".to_owned(), None),
        ("http://localhost:1/admin".to_owned(), None),
        ("http://[::1]:1/admin".to_owned(), None),
        ("http://[::ffff:127.0.0.1]:1/admin".to_owned(), None),
        ("http://2130706433/admin".to_owned(), None),
        ("file:///etc/passwd".to_owned(), None),
        ("gopher://127.0.0.1:1/x".to_owned(), None),
        // Where the service stays itself, the guest may know, and ask again.
        ("next.json".to_owned(), Some("next.json")),
    ] {
        let service = Elsewhere::start(&to).await;
        let host = setup(&["hostile-calls"])
            .hostile("calls")
            .env("TECHSTART_SHOPIFY_URI", format!("http://{}", service.address))
            .start()
            .await;
        let told = host.result("escape_api", json!({"path": "shop.json"})).await.to_string();
        assert!(told.contains("allowed: 302"), "{to}: {told}");
        match named {
            Some(place) => assert!(told.contains(place), "{to}: {told}"),
            None => {
                for part in ["location", "169.254", "10.0.0.1", "localhost", "secret", "passwd", "2130706433"] {
                    assert!(!told.contains(part), "{to}: {told}");
                }
            }
        }
        assert_eq!(service.requests().len(), 1, "it is not followed: {:?}", service.requests());
    }
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
}

/// A context names its services itself: that a name or a number leads inside is found when it is used.
#[tokio::test]
async fn a_service_that_lies_inside_is_not_reached() {
    let inside = Elsewhere::start("").await;
    let port = inside.address.port();
    for place in ["localhost", "localhost.", "LOCALHOST", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let host = setup(&["hostile-calls"])
            .hostile("calls")
            .env("TECHSTART_SHOPIFY_URI", format!("http://{place}:{port}"))
            // The demo lets its stand-ins lie on loopback; here nothing does.
            .settings_instead("allow: [127.0.0.0/8]", "allow: []")
            .start()
            .await;
        let (status, body) = host.tool("escape_api", json!({"path": "shop.json"})).await;
        let told = body.to_string();
        // Whether a name with a dot at its end is known depends on the machine; where it is not, nobody is there.
        let refused = told.to_lowercase().contains("denied");
        let unknown = place == "localhost." && told.contains("could not be reached");
        assert!(!told.contains("allowed:") && (refused || unknown), "{place}: {status} {told}");
        assert!(!told.contains(place), "{place}: {told}");
    }
    assert!(inside.requests().is_empty(), "{:?}", inside.requests());
}

#[tokio::test]
async fn a_service_that_never_answers_holds_a_call_no_longer_than_it_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = setup(&["hostile-calls"])
        .hostile("calls")
        .env("TECHSTART_SHOPIFY_URI", format!("http://{}", listener.local_addr().unwrap()))
        .start()
        .await;
    let waiting = refused(&host, "escape_api", json!({"path": "shop.json"}), 504, "deadline", "");
    let (_, accepted) = tokio::join!(waiting, listener.accept());
    accepted.unwrap();
    still_well(&host).await;
}

/// Somebody who notes what it is asked and sends everybody elsewhere.
struct Elsewhere {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Elsewhere {
    async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::default());
        let app = Router::new().fallback(redirect).with_state((to.to_owned(), Arc::clone(&seen)));
        tokio::spawn(axum::serve(listener, app).into_future());
        Self { address, seen }
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

type Seen = (String, Arc<Mutex<Vec<String>>>);

async fn redirect(State((to, seen)): State<Seen>, request: Request) -> Response {
    seen.lock().unwrap().push(request.uri().to_string());
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}
