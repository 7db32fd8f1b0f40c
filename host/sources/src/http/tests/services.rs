//! The stand-ins of the providers, through the connector: pages to their end, and each one's own manners.

use remit_upstreams::{Fault, klaviyo, salesforce, services::Services, sheets, slack, tokens::TokenServer, zendesk};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::*;
use crate::guard::NetworkRules;
use remit_domain::{
    SourceName,
    source::{Auth, Credentials, Kind, Provider},
};

fn anywhere() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn made(provider: Provider, url: String, credentials: Credentials) -> RemoteApi {
    let credentials = Credentials { uri: Some(url.into()), ..credentials };
    let address = "techstart".to_owned();
    let api =
        source::Api { provider, address, api_version: None, auth: Auth::None, graphql: None, rate: None, credentials };
    let definition = Definition {
        name: SourceName::new("s").unwrap(),
        authored_kind: String::new(),
        kind: Kind::Unconnected { kind: String::new() },
        revision: String::new(),
        cache: None,
    };
    let guard = Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap();
    RemoteApi::new(&definition, &api, &guard, &Settings::default()).unwrap()
}

fn token(text: &str) -> Credentials {
    Credentials { token: Some(text.to_owned().into()), ..Credentials::default() }
}

fn zendesk_account() -> Credentials {
    Credentials { user: Some(zendesk::USER.to_owned()), ..token(zendesk::TOKEN) }
}

/// Asks for a relative address, as an answer gives it.
async fn get(api: &RemoteApi, address: &str, headers: &[(&str, &str)]) -> (Value, String) {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let request = Request {
        method: Method::Get,
        path: path.to_owned(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: None,
        idempotency_key: None,
    };
    assert!(api.reads(&request), "{address}");
    let answer = api.run_send(&request, true).await.unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{address}: {text}");
    (serde_json::from_str(&text).unwrap(), text)
}

/// Follows pages to their end, and counts what is on them.
async fn follow(api: &RemoteApi, first: &str, headers: &[(&str, &str)], next: &str, list: &str) -> (usize, usize) {
    let (mut address, mut pages, mut entries) = (first.to_owned(), 0, 0);
    loop {
        let (body, text) = get(api, &address, headers).await;
        assert!(!text.contains("127.0.0.1"), "a host is named: {text}");
        pages += 1;
        entries += body.pointer(list).and_then(Value::as_array).unwrap().len();
        match body.pointer(next).and_then(Value::as_str) {
            Some(next) => address = next.to_owned(),
            None => return (pages, entries),
        }
    }
}

#[tokio::test]
async fn pages_lead_to_their_end_without_a_host() {
    let running = zendesk::start(anywhere()).await.unwrap();
    let api = made(Provider::Zendesk, running.url(), zendesk_account());
    let tickets = "tickets.json?page[size]=5";
    assert_eq!(follow(&api, tickets, &[], "/links/next", "/tickets").await, (3, 12));
    let search = "search.json?query=type:ticket status<solved&per_page=3";
    assert_eq!(follow(&api, search, &[], "/next_page", "/results").await, (3, 7));

    let running = klaviyo::start(anywhere()).await.unwrap();
    let api = made(Provider::Klaviyo, running.url(), token(klaviyo::TOKEN));
    assert_eq!(follow(&api, "profiles?page[size]=20", &[], "/links/next", "/data").await, (3, 45));

    let running = salesforce::start(anywhere()).await.unwrap();
    let api = made(Provider::Salesforce, running.url(), token(salesforce::TOKEN));
    let batch = [("sforce-query-options", "batchSize=300")];
    let contacts = follow(&api, "query?q=SELECT Id FROM Contact", &batch, "/nextRecordsUrl", "/records").await;
    assert!(contacts.0 > 1 && contacts.1 > 300, "{contacts:?}");
}

#[tokio::test]
async fn all_of_the_demos_services_are_healthy() {
    let services = Services::start().await.unwrap();
    let tokens = &services.tokens;
    let key = Credentials { key_file: Some(tokens.key_file().into()), ..Credentials::default() };
    let klaviyo = klaviyo::start(anywhere()).await.unwrap();
    let all = [
        (Provider::Salesforce, services.salesforce.url(), token(salesforce::TOKEN)),
        (Provider::Shopify, services.shopify.url(), token(remit_upstreams::shopify::TOKEN)),
        (Provider::Zendesk, services.zendesk.url(), zendesk_account()),
        (Provider::GoogleSheets, services.sheets.url(), key.clone()),
        (Provider::Slack, services.slack.url(), token(slack::TOKEN)),
        (Provider::Klaviyo, klaviyo.url(), token(klaviyo::TOKEN)),
    ];
    for (provider, url, credentials) in all {
        made(provider, url.clone(), credentials.clone()).probe().await.unwrap();
        // With another's credential none is.
        let wrong = Credentials { token: token("wrong").token, ..credentials };
        let probed = made(provider, url, wrong).probe().await;
        assert_eq!(probed.is_err(), provider != Provider::GoogleSheets, "{provider:?}");
    }
    let api = made(Provider::GoogleSheets, services.sheets.url(), key);
    let range = format!("spreadsheets/{}/values/Daily!A1:C1", sheets::REPORT);
    let (row, _) = get(&api, &range, &[]).await;
    assert_eq!(row.get("values"), Some(&json!([["Date", "Orders", "Revenue"]])));
    tokens.issued.revoke_all();
    get(&api, &range, &[]).await;
}

#[tokio::test]
async fn a_service_in_trouble_is_waited_for_or_told() {
    let running = zendesk::start(anywhere()).await.unwrap();
    let api = made(Provider::Zendesk, running.url(), zendesk_account());
    let busy = |seconds| Fault::Status { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(seconds) };
    running.faults().once(busy(0));
    running.faults().once(Fault::Close);
    get(&api, "tickets/count.json", &[]).await;
    assert_eq!(running.received().len(), 3);
    running.faults().once(busy(90));
    let asked = Request {
        method: Method::Get,
        path: "tickets.json".to_owned(),
        query: vec![],
        headers: vec![],
        body: None,
        idempotency_key: None,
    };
    let told = api.run_send(&asked, true).await.unwrap_err();
    assert!(matches!(&told, Error::Throttled(wait) if wait.retry_after_ms == Some(90_000)), "{told:?}");
    // A change of which nobody knows whether it was made is not made again.
    running.forget();
    running.faults().once(Fault::Close);
    let change = Request { method: Method::Post, body: Some(b"{}".to_vec()), ..asked.clone() };
    let doubtful = api.run_send(&change, false).await.unwrap_err();
    assert_eq!((doubtful.case(), running.received().len()), ("uncertain", 1));
    // An answer that breaks off in its JSON is given as it came: the guest reads it.
    running.faults().once(Fault::Answer {
        status: StatusCode::OK,
        content_type: "application/json",
        body: r#"{"tickets":[{"id":1},{"i"#.to_owned(),
    });
    let cut = api.run_send(&asked, true).await.unwrap();
    assert_eq!(cut.body, br#"{"tickets":[{"id":1},{"i"#);
    let tokens = TokenServer::start(anywhere()).await.unwrap();
    let running = sheets::start(anywhere(), tokens.issued.clone()).await.unwrap();
    let key = Credentials { key_file: Some(tokens.key_file().into()), ..Credentials::default() };
    tokens.running.faults().always(Fault::status(503));
    let api = made(Provider::GoogleSheets, running.url(), key);
    for method in [Method::Get, Method::Post] {
        let request = Request { method, path: format!("spreadsheets/{}", sheets::REPORT), ..asked.clone() };
        let told = api.run_send(&request, method == Method::Get).await.unwrap_err();
        assert_eq!(told.case(), "unavailable", "nothing was sent: {told}");
    }
    assert_eq!((running.received().len(), tokens.running.received().len()), (0, 1));
}

#[tokio::test]
async fn shopifys_graphql_reads_in_pages_by_a_handle_that_only_reads() {
    let running = remit_upstreams::shopify::start(anywhere()).await.unwrap();
    let api = made(Provider::Shopify, running.url(), token(remit_upstreams::shopify::TOKEN));
    let asked = |query: &str, after: &Value| Request {
        method: Method::Post,
        path: "graphql.json".to_owned(),
        query: vec![],
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Some(json!({"query": query, "variables": {"after": after}}).to_string().into_bytes()),
        idempotency_key: None,
    };
    let query = "query($after: String) { products(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut after, mut seen) = (Value::Null, 0);
    loop {
        let request = asked(query, &after);
        assert!(api.reads(&request));
        let body: Value = serde_json::from_slice(&api.run_send(&request, true).await.unwrap().body).unwrap();
        let products = body.pointer("/data/products").unwrap();
        seen += products.pointer("/nodes").and_then(Value::as_array).unwrap().len();
        after = products.pointer("/pageInfo/endCursor").unwrap().clone();
        if products.pointer("/pageInfo/hasNextPage") != Some(&Value::Bool(true)) {
            break;
        }
    }
    assert!(seen > 100, "{seen}");
    let mutation = "mutation { productUpdate(input: {id: \"gid://shopify/Product/1\"}) { userErrors { message } } }";
    assert!(!api.reads(&asked(mutation, &Value::Null)));
}
