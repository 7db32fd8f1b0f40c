//! Which source is whose, and when it is closed.
#![expect(clippy::unwrap_used, reason = "tests")]

use remit_domain::source::{Api, Auth, Credentials, DatabaseServer, Provider};

use super::*;
use crate::guard::NetworkRules;

fn pools() -> Arc<Pools> {
    Pools::new(Settings::default(), Guard::new(NetworkRules::default()).unwrap())
}

fn definition(name: &str, revision: &str, kind: Kind) -> Arc<Definition> {
    Arc::new(Definition {
        name: SourceName::new(name).unwrap(),
        authored_kind: "test".to_owned(),
        kind,
        revision: revision.to_owned(),
        cache: None,
    })
}

fn sqlite(name: &str, revision: &str) -> Arc<Definition> {
    definition(name, revision, Kind::Sqlite { path: "/nonexistent/data.sqlite".into() })
}

fn same(a: &Open, b: &Open) -> bool {
    match (&a.connector, &b.connector) {
        (Connector::Sqlite(a), Connector::Sqlite(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

#[tokio::test]
async fn a_source_is_its_tenants_its_names_and_its_revisions_own() {
    let pools = pools();
    let (one, two) = (TenantId::new("one").unwrap(), TenantId::new("two").unwrap());
    let first = pools.source(&one, &sqlite("primary", "r1")).unwrap();
    assert!(same(&first, &pools.source(&one, &sqlite("primary", "r1")).unwrap()));
    assert!(!same(&first, &pools.source(&two, &sqlite("primary", "r1")).unwrap()));
    assert!(!same(&first, &pools.source(&one, &sqlite("other", "r1")).unwrap()));
    let newer = pools.source(&one, &sqlite("primary", "r2")).unwrap();
    assert!(!same(&first, &newer));
    assert_eq!(pools.open.lock().unwrap().len(), 3, "the newer definition takes the older one's place");
    // Names that would be the same run together are not.
    let dashed = TenantId::new("one-a").unwrap();
    assert!(!same(
        &pools.source(&dashed, &sqlite("b", "r")).unwrap(),
        &pools.source(&one, &sqlite("a-b", "r")).unwrap()
    ));
}

#[tokio::test]
async fn what_is_unused_for_long_is_closed() {
    let pools = pools();
    let tenant = TenantId::new("one").unwrap();
    let kept = pools.source(&tenant, &sqlite("primary", "r1")).unwrap();
    let now = Instant::now();
    pools.close_unused(now + Duration::from_secs(29 * 60));
    assert!(same(&kept, &pools.source(&tenant, &sqlite("primary", "r1")).unwrap()));
    pools.close_unused(Instant::now() + Duration::from_secs(30 * 60));
    assert!(pools.open.lock().unwrap().is_empty());
    // Who still holds it goes on; who asks anew gets a new one.
    assert!(!same(&kept, &pools.source(&tenant, &sqlite("primary", "r1")).unwrap()));
}

#[tokio::test]
async fn a_definition_that_cannot_work_says_what_is_missing_and_no_value() {
    let pools = pools();
    let tenant = TenantId::new("one").unwrap();
    let server = |credentials| {
        Kind::Mysql(DatabaseServer {
            host: "db.internal".to_owned(),
            port: None,
            database: "shop".to_owned(),
            credentials,
        })
    };
    let api = |provider, address: &str, credentials| {
        let address = address.to_owned();
        Kind::Api(Api {
            provider,
            address,
            api_version: None,
            auth: Auth::Bearer,
            graphql: None,
            rate: None,
            credentials,
        })
    };
    let secret = |text: &str| Some(text.to_owned().into());
    let none = Credentials::default;
    for (kind, expected) in [
        (server(none()), "invalid: the `_USER` credential of source `s` is missing"),
        (
            server(Credentials { user: Some("u".to_owned()), ..none() }),
            "invalid: the `_PASS` credential of source `s` is missing",
        ),
        (
            server(Credentials { uri: secret("postgres://u:canary@h/d"), ..none() }),
            "invalid: the `_URI` credential of source `s` is not a mysql:// URL",
        ),
        (server(Credentials { uri: secret("mysql://u:canary@h"), ..none() }), "invalid: source `s` names no database"),
        (api(Provider::Zendesk, "acme", none()), "invalid: the `_TOKEN` credential of source `s` is missing"),
        (api(Provider::Shopify, "shop.example", none()), "invalid: the `_TOKEN` credential of source `s` is missing"),
        (
            api(Provider::Rest, "file:///etc/canary", Credentials { token: secret("t"), ..none() }),
            "invalid: the address of source `s` is not an http(s) URL without query and fragment",
        ),
        (
            api(Provider::Rest, "http://169.254.169.254/canary", Credentials { token: secret("t"), ..none() }),
            "denied: the address of source `s` is not on the public internet and the operator's network rules do not \
             allow it",
        ),
        (Kind::Unconnected { kind: "s3".to_owned() }, "not found: no connector for `s3` in this build (source `s`)"),
    ] {
        let error = pools.open(&tenant, &definition("s", "r", kind)).await.err().unwrap();
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn a_dead_source_is_unavailable_at_once() {
    let pools = pools();
    let tenant = TenantId::new("one").unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let uri = format!("mysql://canary-user:canary-word@127.0.0.1:{port}/shop");
    let dead = Kind::Mysql(DatabaseServer {
        host: String::new(),
        port: None,
        database: String::new(),
        credentials: Credentials { uri: Some(uri.into()), ..Credentials::default() },
    });
    let began = Instant::now();
    let error = pools.probe(&tenant, &definition("dead", "r", dead)).await.unwrap_err();
    assert_eq!(error, Error::unavailable("the database could not be reached"));
    assert!(began.elapsed() < Settings::default().probe_timeout);
    let error = pools.probe(&tenant, &sqlite("absent", "r")).await.unwrap_err();
    assert_eq!(error, Error::unavailable("the database's file does not exist"));
}
