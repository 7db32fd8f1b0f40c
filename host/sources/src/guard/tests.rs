//! Which addresses are refused, however they are written.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::net::TcpListener;

use super::*;

const SHORT: Timeouts = Timeouts { connect: Duration::from_secs(2), read: Duration::from_secs(2) };

/// Answers from a table; the second time from another, as a host that rebinds its name does.
#[derive(Default)]
struct Table {
    first: HashMap<&'static str, Vec<IpAddr>>,
    later: HashMap<&'static str, Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Resolver for Table {
    fn resolve(&self, name: String) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>> {
        let table = if self.asked.fetch_add(1, Ordering::SeqCst) == 0 { &self.first } else { &self.later };
        let found = table.get(name.trim_end_matches('.')).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

fn guard(rules: &[&str], names: &[(&'static str, &str)]) -> Guard {
    let first: HashMap<_, _> = names.iter().map(|(name, ip)| (*name, vec![ip.parse().unwrap()])).collect();
    let table = Table { later: first.clone(), first, asked: AtomicUsize::new(0) };
    Guard::with_resolver(NetworkRules::new(rules).unwrap(), Arc::new(table)).unwrap()
}

async fn refusal(guard: &Guard, url: &str) -> Option<Refused> {
    let error = guard.client(SHORT).unwrap().get(url).send().await.err()?;
    Refused::of(&error).copied()
}

#[test]
fn special_addresses_are_not_public() {
    for text in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "100::1",
    ] {
        assert!(!address::public(text.parse().unwrap()), "{text}");
    }
    for text in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "2a00::1"] {
        assert!(address::public(text.parse().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn every_way_to_write_a_local_address_is_refused_before_a_socket_opens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let guard = guard(&[], &[("localhost", "127.0.0.1"), ("private.example", "10.0.0.1"), ("six.example", "fc00::1")]);
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::127.0.0.1]",
        "169.254.169.254",
        "100.64.0.1",
        "[fc00::1]",
        "１２７.０.０.１",
        "a@127.0.0.1",
        "user:word@127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "private.example",
        "six.example",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            assert_eq!(refusal(&guard, &url).await, Some(Refused::Address), "{url}");
        }
    }
    let nobody = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(nobody.is_err(), "a connection was opened");
}

#[tokio::test]
async fn other_schemes_are_not_http() {
    let guard = guard(&[], &[]);
    for url in ["file:///etc/passwd", "ftp://example.com/", "gopher://example.com/"] {
        assert_eq!(guard.check(&url.parse().unwrap()), Err(Refused::Scheme), "{url}");
        assert!(guard.client(SHORT).unwrap().get(url).send().await.is_err());
    }
}

#[tokio::test]
async fn the_address_checked_is_the_address_connected() {
    // The name is public when it is asked for first and this machine afterwards. A guard that
    // resolved once to check and again to connect would let the second request through.
    let table = Table {
        first: HashMap::from([(
            "rebinding.example",
            vec!["2001:4860::1".parse().unwrap(), "127.0.0.1".parse().unwrap()],
        )]),
        later: HashMap::from([("rebinding.example", vec!["127.0.0.1".parse().unwrap()])]),
        asked: AtomicUsize::new(0),
    };
    let guard = Guard::with_resolver(NetworkRules::default(), Arc::new(table)).unwrap();
    let first = guard.clone().addresses("rebinding.example".to_owned()).await.unwrap();
    assert_eq!(first, ["[2001:4860::1]:0".parse().unwrap()]);
    assert_eq!(refusal(&guard, "http://rebinding.example/").await, Some(Refused::Address));
}

#[tokio::test]
async fn a_name_that_rebinds_is_connected_to_where_it_may_be_and_nowhere_else() {
    let [mine, other] = ["127.0.0.2", "127.0.0.3"].map(|text| text.parse::<IpAddr>().unwrap());
    let listener = TcpListener::bind((mine, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let forbidden = TcpListener::bind((other, port)).await.unwrap();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let table = Table {
        first: HashMap::from([("rebinding.example", vec![other, mine])]),
        later: HashMap::from([("rebinding.example", vec![other])]),
        asked: AtomicUsize::new(0),
    };
    let rules = NetworkRules::new(["127.0.0.2"]).unwrap();
    let guard = Guard::with_resolver(rules, Arc::new(table)).unwrap();
    let url = format!("http://rebinding.example:{port}/");
    let answer = guard.client(SHORT).unwrap().get(&url).send().await.unwrap();
    assert_eq!(answer.remote_addr().unwrap().ip(), mine);
    assert_eq!(answer.text().await.unwrap(), "hello");
    // A client of its own has no connection left from before.
    assert_eq!(refusal(&guard, &url).await, Some(Refused::Address));
    assert_eq!(refusal(&guard, &format!("http://{other}:{port}/")).await, Some(Refused::Address));
    // Whoever had connected would wait in the listener's queue.
    let visitor = tokio::time::timeout(Duration::from_millis(10), forbidden.accept()).await;
    assert!(visitor.is_err(), "{visitor:?}");
    server.abort();
}

#[tokio::test]
async fn the_operators_rules_open_what_they_name_and_no_more() {
    let names = [
        ("crm.internal", "127.0.0.1"),
        ("a.corp.example", "127.0.0.1"),
        ("corp.example", "127.0.0.1"),
        ("evil.example", "127.0.0.1"),
        ("notcorp.example", "127.0.0.1"),
        ("metadata.corp.example", "169.254.169.254"),
    ];
    let guard = guard(&["CRM.internal.", "*.corp.example", "10.1.0.0/16", "::1"], &names);
    let admits = async |name: &str| guard.clone().addresses(name.to_owned()).await.is_ok();
    assert!(admits("crm.internal").await);
    assert!(admits("a.corp.example").await);
    assert!(!admits("corp.example").await);
    assert!(!admits("evil.example").await);
    assert!(!admits("notcorp.example").await);
    assert!(!admits("metadata.corp.example").await);
    let check = |url: &str| guard.check(&url.parse().unwrap());
    assert_eq!(check("http://10.1.2.3/"), Ok(()));
    assert_eq!(check("http://[::ffff:10.1.2.3]/"), Ok(()));
    assert_eq!(check("http://[::1]/"), Ok(()));
    assert_eq!(check("http://10.2.0.1/"), Err(Refused::Address));
    assert_eq!(check("http://127.0.0.1/"), Err(Refused::Address));
}

#[tokio::test]
async fn an_allowed_name_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let guard = guard(&["crm.internal"], &[("crm.internal", "127.0.0.1")]);
    let answer = guard.client(SHORT).unwrap().get(format!("http://crm.internal:{port}/")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    server.abort();
}

#[test]
fn rules_that_mean_nothing_are_refused() {
    for entry in ["", "*.", "http://x", "10.0.0.0/40", "*.10.0.0.1", "a b", "x/y"] {
        assert!(NetworkRules::new([entry]).is_err(), "{entry:?}");
    }
}

/// Says to this test's own copy in another process what to ask for.
const ASKED_BY: &str = "REMIT_TEST_ASKS_BEHIND_PROXY";

#[tokio::test]
async fn a_proxy_of_the_environment_sees_nothing() {
    if let Ok(url) = std::env::var(ASKED_BY) {
        // Here the variables are set, as they are from the start of a host that has them.
        let guard = guard(&["127.0.0.1"], &[]);
        let answer = guard.client(SHORT).unwrap().get(url).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "direct");
        assert_eq!(refusal(&guard, "http://10.0.0.1/").await, Some(Refused::Address));
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(|| async { "direct" });
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("http://{}", proxy.local_addr().unwrap());
    let name = "guard::tests::a_proxy_of_the_environment_sees_nothing";
    let mut asking = tokio::process::Command::new(std::env::current_exe().unwrap());
    asking.args(["--exact", name, "--nocapture"]).env(ASKED_BY, url).env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        asking.env(variable, &through);
    }
    let output = asking.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    let nobody = tokio::time::timeout(Duration::ZERO, proxy.accept()).await;
    assert!(nobody.is_err(), "the proxy was asked");
    server.abort();
}
