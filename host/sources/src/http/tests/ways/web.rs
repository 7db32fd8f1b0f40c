//! The web: whole URLs of the hosts that a tenant lists, as a call gets at them.

use remit_domain::source::WebHost;

use super::*;

/// The source of a tenant that lists this machine at one port.
async fn web(port: u16, permission: Permission, scope: Scope) -> (Permit, Arc<dyn Api>) {
    let host = WebHost { name: "127.0.0.1".to_owned(), below: false, port: Some(port) };
    let metadata = WebHost { name: "169.254.169.254".to_owned(), below: false, port: None };
    let definition = Definition {
        name: SourceName::new("shop").unwrap(),
        authored_kind: "web".to_owned(),
        kind: Kind::Web { hosts: vec![host, metadata] },
        revision: "r".to_owned(),
        cache: None,
    };
    granted_of(Arc::new(definition), permission, scope).await
}

fn port(server: &Server) -> u16 {
    server.url.parse::<Url>().unwrap().port().unwrap()
}

#[tokio::test]
async fn a_listed_host_is_asked_and_no_other() {
    let server = Server::start(|_, _, _| "{}").await;
    let port = port(&server);
    let (permit, api) = web(port, Permission::Write, Scope::ALL).await;
    let at = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    assert_eq!(send(&permit, &api, &request(Method::Get, &at("a"))).await, Ok(200));
    let posted = Request { body: Some(b"{}".to_vec()), ..request(Method::Post, &at("a")) };
    assert_eq!(send(&permit, &api, &posted).await, Ok(200));
    let before = server.hits();
    // What decides whether a request reads is not hidden in its URL.
    let hidden = send(&permit, &api, &request(Method::Get, &at("a?_method=DELETE"))).await;
    assert_eq!(hidden.map_err(|error| error.case()), Err("invalid"));
    let other = format!("http://localhost:{port}/");
    let metadata = "http://169.254.169.254/latest/meta-data";
    for (url, case) in [
        (other.as_str(), "denied"),
        ("http://127.0.0.1/", "denied"),
        // It is listed, and the operator's rules do not open it.
        (metadata, "denied"),
        ("a", "invalid"),
        ("", "invalid"),
    ] {
        let refused = send(&permit, &api, &request(Method::Get, url)).await;
        assert_eq!(refused.map_err(|error| error.case()), Err(case), "{url}");
    }
    for header in ["authorization", "cookie", "host", "x-forwarded-for"] {
        let carried = Request { headers: vec![(header.to_owned(), "x".to_owned())], ..request(Method::Get, &at("a")) };
        let refused = send(&permit, &api, &carried).await;
        assert_eq!(refused.map_err(|error| error.case()), Err("denied"), "{header}");
    }
    assert_eq!(server.hits(), before, "something was asked");
}

#[tokio::test]
async fn a_mapping_narrows_the_web_to_reading_and_to_paths() {
    let server = Server::start(|_, _, _| "{}").await;
    let port = port(&server);
    let at = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    let (permit, api) = web(port, Permission::Read, Scope::ALL).await;
    assert_eq!(send(&permit, &api, &request(Method::Get, &at("a"))).await, Ok(200));
    let posted = send(&permit, &api, &request(Method::Post, &at("a"))).await;
    assert_eq!(posted.map_err(|error| error.case()), Err("denied"));
    let (permit, api) = web(port, Permission::Write, Scope::only([format!("127.0.0.1:{port}/v1")])).await;
    assert_eq!(send(&permit, &api, &request(Method::Get, &at("v1/rates"))).await, Ok(200));
    assert_eq!(send(&permit, &api, &request(Method::Get, &at("v2/../v1/rates"))).await, Ok(200));
    let (elsewhere, other) = web(port, Permission::Write, Scope::only(["127.0.0.1/v1".to_owned()])).await;
    let refused = send(&elsewhere, &other, &request(Method::Get, &at("v1/rates"))).await;
    assert_eq!(refused.map_err(|error| error.case()), Err("denied"), "another port of the same host");
    for path in ["", "v2", "v11", "v1/../v2", "v1/%2e%2e/v2", "v1/..%2fv2", "v1/%252e%252e/v2"] {
        let refused = send(&permit, &api, &request(Method::Get, &at(path))).await.unwrap_err();
        assert!(matches!(refused, Error::Denied(_) | Error::Invalid(_)), "{path}: {refused}");
    }
}
