//! Steps run against fakes, as the host runs them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::{Method, Response},
    testing::{self, FakeApi},
};

use super::node_set;

fn execute(api: &FakeApi, config: Json) -> Result<Json> {
    let call = testing::call().writes("crm", api).writes("web", api).build();
    let outcome = node_set().execute("run", &config.to_string(), "null", &call)?;
    Ok(serde_json::from_str(&outcome.output).unwrap())
}

fn answering(method: Method, path: &str, status: u16, kind: &str, body: &str) -> FakeApi {
    let headers = vec![
        ("content-type".to_owned(), kind.to_owned()),
        ("x-a".to_owned(), "1".to_owned()),
        ("x-a".to_owned(), "2".to_owned()),
    ];
    let body = body.as_bytes().to_vec();
    FakeApi::new().answer(method, path, move |_| Ok(Response { status, headers: headers.clone(), body: body.clone() }))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_source_is_asked_and_its_answer_read() {
    let api = answering(Method::Get, "customers/a%2Fb", 200, "application/json; charset=utf-8", r#"{"id": 1}"#);
    let config = json!({
        "source": "crm", "path": "customers/{id}?fields=id", "params": {"id": "a/b"},
        "query": {"tag": ["x", 2], "all": true}, "headers": {"X-Trace": 7},
    });
    let output = execute(&api, config).unwrap();
    let headers = json!({"content-type": "application/json; charset=utf-8", "x-a": "1, 2"});
    assert_eq!(output, json!({"success": true, "status": 200, "headers": headers, "data": {"id": 1}}));
    let [asked] = &api.requests()[..] else { panic!("one") };
    assert_eq!(asked.query, [pair("fields", "id"), pair("tag", "x"), pair("tag", "2"), pair("all", "true")]);
    assert_eq!((&asked.headers[..], &asked.idempotency_key), (&[pair("X-Trace", "7")][..], &None));
}

#[test]
fn any_address_is_asked_through_the_web() {
    let api = answering(Method::Get, "https://api.example/v1/rates", 200, "text/plain", "1.5");
    let output = execute(&api, json!({"url": "https://api.example/v1/rates?base=EUR"})).unwrap();
    assert_eq!(output["data"], "1.5");
    assert_eq!(api.requests()[0].query, [pair("base", "EUR")]);
}

#[test]
fn bodies_are_sent_as_what_they_are() {
    for (body, kind, sent) in [
        (json!({"a": [1, null]}), "application/json", r#"{"a":[1,null]}"#),
        (json!(["x"]), "application/json", r#"["x"]"#),
        (json!("a=1"), "text/plain; charset=utf-8", "a=1"),
    ] {
        let api = answering(Method::Post, "x", 201, "application/json", "");
        let config = json!({"source": "crm", "path": "x", "method": "POST", "body": body, "idempotent": true});
        assert_eq!(execute(&api, config).unwrap()["data"], Json::Null);
        let [asked] = &api.requests()[..] else { panic!("one") };
        assert_eq!(asked.headers, [pair("content-type", kind)]);
        assert_eq!(asked.body.as_deref(), Some(sent.as_bytes()));
        assert_eq!(asked.idempotency_key.as_deref(), Some("key-1"));
    }
    let api = answering(Method::Put, "x", 200, "text/plain", "ok");
    let form = json!({"source": "crm", "path": "x", "method": "PUT", "body": "a=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}});
    execute(&api, form).unwrap();
    let [asked] = &api.requests()[..] else { panic!("one") };
    assert_eq!(asked.headers, [pair("Content-Type", "application/x-www-form-urlencoded")]);
    assert_eq!(asked.idempotency_key, None);
}

#[test]
fn a_status_that_is_not_expected_fails_by_what_it_says() {
    let failed = |method: Method, status: u16, body: &str| {
        let api = answering(method, "x", status, "application/json", body);
        let method = if method == Method::Get { "GET" } else { "POST" };
        execute(&api, json!({"source": "crm", "path": "x", "method": method})).unwrap_err()
    };
    assert!(matches!(failed(Method::Get, 404, "").cause(), Some(Cause::NotFound(_))));
    assert!(matches!(failed(Method::Get, 429, "").cause(), Some(Cause::Throttled(_))));
    assert!(failed(Method::Get, 500, "").may_be_repeated());
    assert!(failed(Method::Post, 503, "").may_be_repeated());
    assert!(matches!(failed(Method::Post, 500, "").cause(), Some(Cause::Uncertain(_))));
    let refused = failed(Method::Post, 422, "{\"error\":\n \"no such plan\"}");
    let Some(Cause::Rejected(rejection)) = refused.cause() else { panic!("{refused:?}") };
    assert_eq!(rejection.code.as_deref(), Some("422"));
    assert_eq!(rejection.message, "the service answered 422: {\"error\": \"no such plan\"}");
    // A page for people tells nothing.
    let page = failed(Method::Get, 302, "<html>moved</html>");
    assert!(matches!(page.cause(), Some(Cause::Rejected(it)) if it.message == "the service answered 302"));
    for (expect, fits) in [(json!(404), true), (json!([200, 404]), true), (json!([200]), false)] {
        let api = answering(Method::Get, "x", 404, "text/plain", "none");
        let config = json!({"source": "crm", "path": "x", "expect": expect});
        assert_eq!(execute(&api, config).is_ok(), fits, "{expect}");
    }
}

#[test]
fn an_answer_that_is_not_what_it_says_fails() {
    let api = answering(Method::Get, "x", 200, "application/problem+json", "{");
    let config = json!({"source": "crm", "path": "x"});
    assert!(matches!(execute(&api, config.clone()).unwrap_err().cause(), Some(Cause::Rejected(_))));
    let bytes = FakeApi::new()
        .answer(Method::Get, "x", |_| Ok(Response { status: 200, headers: Vec::new(), body: vec![0xff, 0xfe] }));
    assert!(matches!(execute(&bytes, config.clone()).unwrap_err().cause(), Some(Cause::Rejected(_))));
    let down = FakeApi::new().fails(Method::Get, "x", testing::unavailable());
    assert!(execute(&down, config).unwrap_err().may_be_repeated());
}

#[test]
fn what_is_no_request_is_not_sent() {
    let api = FakeApi::new();
    for (config, pointer) in [
        (json!({"source": "crm"}), ""),
        (json!({"url": "file:///etc/passwd"}), "/url"),
        (json!({"source": "crm", "path": "a", "url": "https://a.example"}), ""),
        (json!({"source": "crm", "path": "a/{id}"}), "/path"),
        (json!({"source": "crm", "path": "a", "query": {"x": null}}), "/query/x"),
        (json!({"source": "crm", "path": "a", "query": {"x": [{}]}}), "/query/x"),
        (json!({"source": "crm", "path": "a", "headers": {"x": ["a"]}}), "/headers/x"),
        (json!({"source": "crm", "path": "a", "body": {"a": 1}}), "/body"),
        (json!({"source": "crm", "path": "a", "method": "TRACE"}), ""),
        (json!({"source": "crm", "path": "a", "metod": "POST"}), ""),
    ] {
        match execute(&api, config.clone()) {
            Err(Error::Invalid(problems)) => assert_eq!(problems[0].pointer, pointer, "{config}"),
            other => panic!("{config}: {other:?}"),
        }
    }
    assert_eq!(api.requests(), []);
    let unread = testing::call().reads("crm", &api).build();
    let post = json!({"source": "crm", "path": "a", "method": "POST"}).to_string();
    let denied = node_set().execute("run", &post, "null", &unread).unwrap_err();
    assert!(matches!(denied.cause(), Some(Cause::Denied(_))));
}

#[test]
fn what_a_config_needs_stands_in_its_source_and_method() {
    let of = |config: Json| {
        let found = node_set().validate("run", &config.to_string());
        found.map_err(|problems| problems.into_iter().map(|it| it.pointer).collect::<Vec<_>>())
    };
    let get = json!({"source": "crm", "path": "{{ steps.last.output.next }}"});
    assert_eq!(of(get), Ok(Validated::harmless(vec![Need::reads("crm")])));
    let post = json!({"url": "https://{{ env.HOST }}/x", "method": "POST", "body": "{{ inputs }}"});
    assert_eq!(of(post), Ok(Validated::harmful(vec![Need::writes("web")])));
    let keyed = json!({"url": "{{ env.URL }}", "method": "PATCH", "idempotent": true});
    assert_eq!(of(keyed), Ok(Validated::harmless(vec![Need::writes("web")])));
    for (config, places) in [
        (json!({}), vec![""]),
        (json!({"source": "crm"}), vec![""]),
        (json!({"source": "{{ s }}", "path": "a"}), vec!["/source"]),
        (json!({"source": "crm", "path": "a/{{ inputs.id }}"}), vec!["/path"]),
        (json!({"source": "crm", "path": "{{ a }}/{{ b }}"}), vec!["/path"]),
        (json!({"url": "https://a.example/{{ inputs.id }}?x"}), vec!["/url"]),
        (json!({"source": "crm", "path": "a", "url": "https://a.example"}), vec!["/url"]),
        (json!({"url": "a.example", "path": "x"}), vec!["/path", "/url"]),
        (json!({"source": "crm", "path": "a", "method": "{{ m }}"}), vec!["/method"]),
        (json!({"source": "crm", "path": "a", "method": "FETCH"}), vec!["/method"]),
        (json!({"source": "crm", "path": "a", "body": "x"}), vec!["/body"]),
        (json!({"source": "crm", "path": "a", "method": "POST", "idempotent": "{{ x }}"}), vec!["/idempotent"]),
    ] {
        assert_eq!(of(config.clone()), Err(places.into_iter().map(str::to_owned).collect()), "{config}");
    }
}
