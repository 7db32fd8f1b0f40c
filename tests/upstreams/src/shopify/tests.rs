//! Shopify over the wire: paging, credentials, writes, refusals and faults.

#![expect(clippy::indexing_slicing, reason = "a missing key of JSON reads as null, and a test may break")]

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Options, TOKEN, start, start_with};
use crate::client::{Answer, send};
use crate::data::catalogue::catalogue;
use crate::{Fault, Running};

const BASE: &str = "/admin/api/2024-01";

async fn shop() -> Result<Running> {
    start(([127, 0, 0, 1], 0).into()).await
}

async fn get(shop: &Running, path: &str) -> Result<Answer> {
    send(shop, "GET", &format!("{BASE}{path}"), &[("X-Shopify-Access-Token", TOKEN)], None).await
}

async fn put(shop: &Running, method: &str, path: &str, body: Value) -> Result<Answer> {
    send(shop, method, &format!("{BASE}{path}"), &[("X-Shopify-Access-Token", TOKEN)], Some(body)).await
}

fn list<'a>(answer: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    answer.get(key).and_then(Value::as_array).with_context(|| format!("no list {key} in {answer}"))
}

/// The path and query of a link, behind the API's base.
fn follow(answer: &Answer, shop: &Running, relation: &str) -> Option<String> {
    let links = answer.header("link")?.split(", ");
    let link = links.into_iter().find(|link| link.ends_with(&format!("rel=\"{relation}\"")))?;
    let address = link.strip_prefix('<')?.split_once('>')?.0;
    address.strip_prefix(&format!("{}{BASE}", shop.url())).map(str::to_owned)
}

#[tokio::test]
async fn pages_through_the_whole_catalogue_and_back() -> Result<()> {
    let shop = shop().await?;
    let mut path = "/products.json?limit=250".to_owned();
    let mut sizes = Vec::new();
    let mut ids = BTreeSet::new();
    let last = loop {
        let answer = get(&shop, &path).await?;
        let body = answer.json()?;
        let products = list(&body, "products")?;
        sizes.push(products.len());
        ids.extend(products.iter().filter_map(|product| product.get("id")?.as_u64()));
        match follow(&answer, &shop, "next") {
            Some(next) => path = next,
            None => break answer,
        }
    };
    assert_eq!((sizes, ids.len()), (vec![250, 250, 100], 600));
    let back = follow(&last, &shop, "previous").context("no way back")?;
    let answer = get(&shop, &back).await?;
    let body = answer.json()?;
    let first = list(&body, "products")?.first().and_then(|product| product.get("id")?.as_u64());
    assert_eq!(first, catalogue().get(250).map(|product| product.id));
    assert!(follow(&answer, &shop, "next").is_some());
    Ok(())
}

#[tokio::test]
async fn a_cursor_keeps_its_filters_and_takes_no_others() -> Result<()> {
    let shop = shop().await?;
    let answer = get(&shop, "/products.json?product_type=Rack%20Server&limit=20&fields=id,product_type").await?;
    let next = follow(&answer, &shop, "next").context("no next page")?;
    let body = get(&shop, &next).await?.json()?;
    assert!(list(&body, "products")?.iter().all(|product| product["product_type"] == "Rack Server"));
    assert!(list(&body, "products")?.iter().all(|product| product["variants"].is_array()), "fields do not last");
    let body = get(&shop, &format!("{next}&fields=id")).await?.json()?;
    let id_alone = |product: &Value| product.as_object().is_some_and(|it| it.keys().eq(["id"]));
    assert!(list(&body, "products")?.iter().all(id_alone));
    assert_eq!(get(&shop, &format!("{next}&status=active")).await?.status, 400);
    assert_eq!(get(&shop, "/products.json?page_info=zz").await?.status, 400);
    assert_eq!(get(&shop, "/products.json?limit=251").await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn asks_for_its_token_on_every_path() -> Result<()> {
    let shop = shop().await?;
    for headers in [&[][..], &[("X-Shopify-Access-Token", "wrong")], &[("Authorization", TOKEN)]] {
        let answer = send(&shop, "GET", &format!("{BASE}/shop.json"), headers, None).await?;
        let errors = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        assert_eq!((answer.status, answer.json()?), (401, json!({ "errors": errors })));
    }
    let other =
        start_with(([127, 0, 0, 1], 0).into(), Options { token: "other".to_owned(), ..Options::default() }).await?;
    assert_eq!(get(&other, "/shop.json").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn gives_products_variants_and_levels_that_agree() -> Result<()> {
    let shop = shop().await?;
    let products = catalogue();
    let product = products.iter().find(|product| product.family == "Rack Server").context("no server")?;
    let variant = product.variants.first().context("no variant")?;
    let body = get(&shop, &format!("/products/{}.json", product.id)).await?.json()?;
    assert_eq!(body["product"]["variants"][0]["sku"], json!(variant.sku));
    assert_eq!(body["product"]["variants"][0]["price"], json!(variant.price.to_string()));
    assert_eq!(get(&shop, &format!("/variants/{}.json", variant.id)).await?.json()?["variant"]["id"], variant.id);
    let item = variant.inventory_item_id;
    let body = get(&shop, &format!("/inventory_levels.json?inventory_item_ids={item}")).await?.json()?;
    let sum: i64 = list(&body, "inventory_levels")?.iter().filter_map(|level| level["available"].as_i64()).sum();
    assert_eq!(sum, variant.available());
    assert_eq!(get(&shop, "/inventory_levels.json").await?.status, 422);

    let adjust = json!({ "inventory_item_id": item, "location_id": 61_000_000_001_u64, "available_adjustment": 5 });
    assert_eq!(put(&shop, "POST", "/inventory_levels/adjust.json", adjust).await?.status, 200);
    let body = get(&shop, &format!("/variants/{}.json", variant.id)).await?.json()?;
    assert_eq!(body["variant"]["inventory_quantity"], variant.available() + 5);
    Ok(())
}

#[tokio::test]
async fn promotions_are_active_today() -> Result<()> {
    let shop = shop().await?;
    let body = get(&shop, "/price_rules.json").await?.json()?;
    let now = super::store::moment(time::OffsetDateTime::now_utc());
    let active = list(&body, "price_rules")?.iter().filter(|rule| {
        let text = |field: &str| rule[field].as_str().map(str::to_owned);
        text("starts_at").is_some_and(|starts| starts <= now) && text("ends_at").is_none_or(|ends| ends >= now)
    });
    let active: Vec<u64> = active.filter_map(|rule| rule["id"].as_u64()).collect();
    assert_eq!(active.len(), 6);
    for (id, codes) in active.iter().zip([2, 1, 1, 1, 0, 1]) {
        let body = get(&shop, &format!("/price_rules/{id}/discount_codes.json")).await?.json()?;
        assert_eq!(list(&body, "discount_codes")?.len(), codes, "{id}");
    }
    assert_eq!(get(&shop, "/price_rules/1/discount_codes.json").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn orders_are_made_changed_and_cancelled() -> Result<()> {
    let shop = shop().await?;
    let variant = catalogue().into_iter().flat_map(|product| product.variants).next().context("no variant")?;
    let wanted =
        json!({ "order": { "email": "a@b.example", "line_items": [{ "variant_id": variant.id, "quantity": 3 }] } });
    let made = put(&shop, "POST", "/orders.json", wanted).await?;
    let body = made.json()?;
    let total = (variant.price * rust_decimal::Decimal::from(3)).to_string();
    assert_eq!((made.status, &body["order"]["total_price"]), (201, &json!(total)));
    let id = body["order"]["id"].as_u64().context("no id")?;
    let change = json!({ "order": { "note": "checked", "tags": "fraud-review", "total_price": "0.01" } });
    assert_eq!(put(&shop, "PUT", &format!("/orders/{id}.json"), change).await?.status, 200);
    let body = get(&shop, &format!("/orders/{id}.json")).await?.json()?;
    assert_eq!(body["order"]["tags"], "fraud-review");
    assert_eq!(body["order"]["total_price"], total, "a total cannot be written");
    assert_eq!(put(&shop, "POST", &format!("/orders/{id}/cancel.json"), json!({})).await?.status, 200);
    let body = get(&shop, &format!("/orders.json?ids={id}&status=cancelled")).await?.json()?;
    assert_eq!(list(&body, "orders")?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn refuses_in_the_real_shapes() -> Result<()> {
    let shop = shop().await?;
    for (method, path, body, status, errors) in [
        ("GET", "/products/1.json", json!({}), 404, json!("Not Found")),
        ("GET", "/nothing.json", json!({}), 404, json!("Not Found")),
        ("GET", "/products", json!({}), 404, json!("Not Found")),
        ("DELETE", "/orders/5.json", json!({}), 404, json!("Not Found")),
        ("GET", "/products/x.json", json!({}), 400, json!({ "id": "expected String to be a id" })),
        ("POST", "/orders.json", json!({}), 400, json!({ "order": "Required parameter missing or invalid" })),
        (
            "POST",
            "/orders.json",
            json!({ "order": {} }),
            422,
            json!({ "line_items": ["must have at least one line item"] }),
        ),
        (
            "POST",
            "/orders.json",
            json!({ "order": { "line_items": [{ "variant_id": 1, "quantity": 1 }] } }),
            422,
            json!({ "line_items": ["Variant does not exist"] }),
        ),
        (
            "POST",
            "/customers.json",
            json!({ "customer": { "email": "john@acmecorp.com" } }),
            422,
            json!({ "email": ["has already been taken"] }),
        ),
    ] {
        let answer = put(&shop, method, path, body).await?;
        assert_eq!((answer.status, answer.json()?), (status, json!({ "errors": errors })), "{method} {path}");
    }
    let answer = send(&shop, "GET", "/admin/api/2023-01/shop.json", &[("X-Shopify-Access-Token", TOKEN)], None).await?;
    assert_eq!(answer.status, 404);
    Ok(())
}

#[tokio::test]
async fn finds_customers_by_address() -> Result<()> {
    let shop = shop().await?;
    let body = get(&shop, "/customers/search.json?query=email:john@acmecorp.com").await?.json()?;
    assert_eq!(list(&body, "customers")?.len(), 1);
    assert_eq!(body["customers"][0]["first_name"], "John");
    let body = get(&shop, "/customers/search.json?query=acme").await?.json()?;
    assert!(list(&body, "customers")?.len() >= 4);
    Ok(())
}

#[tokio::test]
async fn logs_what_came_in_with_all_headers() -> Result<()> {
    let shop = shop().await?;
    put(&shop, "PUT", "/orders/1.json?a=b%20c", json!({ "order": { "note": "x" } })).await?;
    let received = shop.received();
    let [request] = received.as_slice() else { anyhow::bail!("{} requests", received.len()) };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/admin/api/2024-01/orders/1.json"));
    assert_eq!(request.query.as_deref(), Some("a=b%20c"));
    assert_eq!(request.header("x-shopify-access-token"), Some(TOKEN));
    assert_eq!(request.json()?, json!({ "order": { "note": "x" } }));
    shop.forget();
    assert!(shop.received().is_empty());
    Ok(())
}

#[tokio::test]
async fn faults_come_once_for_a_path_or_for_good() -> Result<()> {
    let shop = shop().await?;
    shop.faults().once(Fault::Status { status: StatusCode::TOO_MANY_REQUESTS, retry_after_s: Some(2) });
    let answer = get(&shop, "/shop.json").await?;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")));
    assert!(answer.json()?["errors"].as_str().is_some_and(|text| text.starts_with("Exceeded 2 calls per second")));
    assert_eq!(get(&shop, "/shop.json").await?.status, 200);

    shop.faults().once(Fault::Close);
    assert!(get(&shop, "/shop.json").await.is_err());
    assert_eq!(get(&shop, "/shop.json").await?.status, 200);

    let page = "<html>bad gateway</html>".to_owned();
    shop.faults().once(Fault::Answer {
        status: StatusCode::BAD_GATEWAY,
        content_type: "text/html",
        body: page.clone(),
    });
    assert_eq!(get(&shop, "/shop.json").await?.text(), page);

    shop.faults().on(format!("{BASE}/locations.json"), Fault::status(500));
    assert_eq!(get(&shop, "/locations.json").await?.json()?, json!({ "errors": "Internal Server Error" }));
    assert_eq!(get(&shop, "/shop.json").await?.status, 200);
    shop.faults().always(Fault::status(503));
    assert_eq!(get(&shop, "/shop.json").await?.status, 503);
    assert_eq!(get(&shop, "/shop.json").await?.status, 503);
    shop.faults().clear();
    assert_eq!(get(&shop, "/locations.json").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_delayed_answer_shows_who_asks_at_once() -> Result<()> {
    let shop = shop().await?;
    assert_eq!(get(&shop, "/shop.json").await?.status, 200);
    assert_eq!(shop.most_at_once(), 1);
    shop.faults().always(Fault::Delay(Duration::from_millis(200)));
    let (one, other) = tokio::join!(get(&shop, "/shop.json"), get(&shop, "/locations.json"));
    assert_eq!((one?.status, other?.status), (200, 200));
    assert_eq!(shop.most_at_once(), 2);
    Ok(())
}

#[tokio::test]
async fn stopping_refuses_new_connections() -> Result<()> {
    let shop = shop().await?;
    let addr = shop.addr();
    shop.stop().await?;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    assert!(start(([0, 0, 0, 0], 0).into()).await.is_err(), "a stand-in stays on loopback");
    Ok(())
}

#[tokio::test]
async fn graphql_reads_pages_and_changes_a_product() -> Result<()> {
    let shop = shop().await?;
    let ask = async |query: &str, variables: Value| -> Result<Value> {
        let body = json!({"query": query, "variables": variables});
        put(&shop, "POST", "/graphql.json", body).await?.json()
    };
    let named = ask("{ shop { name } }", json!({})).await?;
    assert_eq!(named, json!({"data": {"shop": {"name": "TechStart Inc"}}}));
    let pages = "query P($n: Int!, $after: String) { products(first: $n, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut seen, mut after) = (BTreeSet::new(), Value::Null);
    loop {
        let page = &ask(pages, json!({"n": 100, "after": after})).await?["data"]["products"];
        seen.extend(list(page, "nodes")?.iter().map(|node| node["id"].to_string()));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] != true {
            break;
        }
    }
    assert_eq!(seen.len(), catalogue().len());
    let id = seen.first().context("no product")?.trim_matches('"').to_owned();
    let change = "mutation M($input: ProductInput!) { productUpdate(input: $input) { product { title } userErrors { message } } }";
    let changed = ask(change, json!({"input": {"id": id, "title": "New"}})).await?;
    assert_eq!(changed["data"]["productUpdate"], json!({"product": {"title": "New"}, "userErrors": []}));
    let read = ask("query($id: ID!) { product(id: $id) { title } }", json!({"id": id})).await?;
    assert_eq!(read["data"]["product"]["title"], "New");
    for bad in ["{ nothing }", "{ shop { nothing } }", "{ shop }", "{ shop { name }", "mutation { shop { name } }"] {
        assert!(ask(bad, json!({})).await?["errors"][0]["message"].is_string(), "{bad}");
    }
    Ok(())
}
