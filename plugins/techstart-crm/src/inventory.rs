//! `check_inventory`: a product's variants and how many of each there are, by id or by SKU.

use std::collections::HashMap;
use std::ops::ControlFlow;

use remit_sdk::prelude::*;

use crate::shopify::{self, PAGE};

/// What is asked for of each product: without it, a page of descriptions can be megabytes.
const FIELDS: &str = "id,title,status,variants";
/// How many items Shopify takes in one question for levels.
const ITEMS_AT_ONCE: usize = 50;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    /// Shopify product ID or SKU
    #[schemars(length(min = 1))]
    product_id: String,
    /// Specific location ID (optional)
    location_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Inventory {
    product_id: u64,
    product_title: Option<String>,
    product_status: Option<String>,
    variants: Vec<Stock>,
    total_inventory: i64,
    /// The location that the quantities are of; null if of all.
    location_id: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Stock {
    variant_id: u64,
    sku: Option<String>,
    title: Option<String>,
    price: Option<Money>,
    inventory_quantity: i64,
    inventory_policy: Option<String>,
    available: bool,
}

#[derive(Deserialize)]
struct Product {
    id: u64,
    title: Option<String>,
    status: Option<String>,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Variant {
    id: u64,
    sku: Option<String>,
    title: Option<String>,
    price: Option<Money>,
    inventory_item_id: Option<u64>,
    inventory_quantity: Option<i64>,
    inventory_policy: Option<String>,
}

pub(crate) fn check(args: Check, call: &Call) -> Result<Inventory> {
    let location = args.location_id.as_deref().map(|text| {
        shopify::id(text, "Location").ok_or_else(|| Error::invalid("/location_id", "is not a Shopify location ID"))
    });
    let location = location.transpose()?;
    let api = call.api("ecommerce")?;
    let product = find(call, &api, &args.product_id)?;
    let product = product.ok_or_else(|| Error::refused(format!("Product not found: {}", args.product_id)))?;
    let levels = location.map(|location| levels_at(&api, location, &product)).transpose()?;

    let variants: Vec<Stock> = product
        .variants
        .into_iter()
        .map(|variant| {
            let inventory_quantity = match &levels {
                Some(levels) => variant.inventory_item_id.and_then(|item| levels.get(&item).copied()),
                None => variant.inventory_quantity,
            };
            let inventory_quantity = inventory_quantity.unwrap_or(0);
            Stock {
                variant_id: variant.id,
                sku: variant.sku,
                title: variant.title,
                price: variant.price,
                inventory_quantity,
                available: inventory_quantity > 0 || variant.inventory_policy.as_deref() == Some("continue"),
                inventory_policy: variant.inventory_policy,
            }
        })
        .collect();
    Ok(Inventory {
        product_id: product.id,
        product_title: product.title,
        product_status: product.status,
        total_inventory: variants.iter().fold(0, |sum, variant| sum.saturating_add(variant.inventory_quantity)),
        variants,
        location_id: location,
    })
}

fn find(call: &Call, api: &Api, wanted: &str) -> Result<Option<Product>> {
    match shopify::id(wanted, "Product") {
        Some(id) => by_id(api, id),
        None if wanted.starts_with("gid://") => Ok(None),
        None => by_sku(call, api, wanted),
    }
}

fn by_id(api: &Api, id: u64) -> Result<Option<Product>> {
    #[derive(Deserialize)]
    struct Answer {
        product: Product,
    }
    let response = api.fetch(&Request::get(format!("products/{id}.json")).query("fields", FIELDS));
    match response {
        Ok(response) => Ok(Some(api.json_of::<Answer>(&response)?.product)),
        Err(error) if matches!(error.cause(), Some(Cause::NotFound(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shopify has no search by SKU here: the catalogue is read until one is found.
fn by_sku(call: &Call, api: &Api, sku: &str) -> Result<Option<Product>> {
    #[derive(Deserialize)]
    struct Page {
        products: Vec<Product>,
    }
    let mut found = None;
    let first = Request::get("products.json").query("limit", PAGE).query("fields", FIELDS);
    shopify::pages(call, api, first, |page| {
        let page: Page = api.json_of(page)?;
        let has_sku = |product: &Product| product.variants.iter().any(|variant| variant.sku.as_deref() == Some(sku));
        found = page.products.into_iter().find(has_sku);
        Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(found)
}

/// How many of each inventory item there are at a location. Errors: `refused` if it has none of them.
fn levels_at(api: &Api, location: u64, product: &Product) -> Result<HashMap<u64, i64>> {
    #[derive(Deserialize)]
    struct Answer {
        inventory_levels: Vec<Level>,
    }
    #[derive(Deserialize)]
    struct Level {
        inventory_item_id: u64,
        available: Option<i64>,
    }
    let items: Vec<String> =
        product.variants.iter().filter_map(|variant| variant.inventory_item_id).map(|id| id.to_string()).collect();
    let requests = items.chunks(ITEMS_AT_ONCE).map(|items| {
        Request::get("inventory_levels.json")
            .query("inventory_item_ids", items.join(","))
            .query("location_ids", location)
            .query("limit", PAGE)
    });
    let mut levels = HashMap::new();
    for answer in api.fetch_all(requests) {
        let answer: Answer = api.json_of(&answer?)?;
        levels.extend(answer.inventory_levels.into_iter().map(|it| (it.inventory_item_id, it.available.unwrap_or(0))));
    }
    if levels.is_empty() {
        return Err(Error::refused(format!("Product {} is not stocked at location {location}", product.id)));
    }
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        serde_json,
        source::{Method, Response},
        testing::{self, FakeApi, FakeCall, unavailable},
    };

    use crate::tool_set;

    fn product(id: u64, skus: &[&str]) -> serde_json::Value {
        let variants = skus.iter().zip(1u64..).map(|(sku, number)| {
            json!({
                "id": id * 10 + number, "sku": sku, "title": "Default", "price": "199.00",
                "inventory_item_id": id * 100 + number, "inventory_quantity": number, "inventory_policy": "deny",
            })
        });
        json!({ "id": id, "title": "Gateway", "status": "active", "variants": variants.collect::<Vec<_>>() })
    }

    fn check(api: &FakeApi, arguments: &serde_json::Value) -> Result<serde_json::Value> {
        check_in(testing::call(), api, arguments)
    }

    fn check_in(call: FakeCall, api: &FakeApi, arguments: &serde_json::Value) -> Result<serde_json::Value> {
        let call = call.reads("ecommerce", api).build();
        let answer = tool_set().call("check_inventory", &arguments.to_string(), &call)?;
        Ok(serde_json::from_str(&answer.structured.unwrap_or_default()).unwrap_or_default())
    }

    #[test]
    fn by_either_form_of_id() -> Result<()> {
        let api = FakeApi::new().json("products/7.json", json!({ "product": product(7, &["A", "B"]) }));
        let expected = json!({
            "product_id": 7, "product_title": "Gateway", "product_status": "active",
            "variants": [
                {
                    "variant_id": 71, "sku": "A", "title": "Default", "price": 199.0,
                    "inventory_quantity": 1, "inventory_policy": "deny", "available": true,
                },
                {
                    "variant_id": 72, "sku": "B", "title": "Default", "price": 199.0,
                    "inventory_quantity": 2, "inventory_policy": "deny", "available": true,
                },
            ],
            "total_inventory": 3,
            "location_id": null,
        });
        for id in ["7", "gid://shopify/Product/7"] {
            assert_eq!(check(&api, &json!({ "product_id": id }))?, expected);
        }
        Ok(())
    }

    /// Three pages, the first of 250; the SKU is on the last.
    fn catalogue() -> FakeApi {
        FakeApi::new().answer(Method::Get, "products.json", |request| {
            let page = request.query.iter().find(|(name, _)| name == "page_info").map(|(_, value)| value.as_str());
            let (products, next) = match page {
                None => ((0..250).map(|id| product(id, &["X"])).collect::<Vec<_>>(), Some("two%3D")),
                Some("two=") => (vec![product(300, &["Y"])], Some("three")),
                Some(_) => (vec![product(400, &["Y", "MFG-001"])], None),
            };
            let mut response = Response::of_json(200, &json!({ "products": products }));
            let link = next.map(|next| {
                format!("<https://shop.example/admin/products.json?limit=250&page_info={next}>; rel=\"next\"")
            });
            response.headers.extend(link.map(|link| ("link".to_owned(), link)));
            Ok(response)
        })
    }

    #[test]
    fn a_sku_is_sought_through_the_whole_catalogue() -> Result<()> {
        let api = catalogue();
        assert_eq!(check(&api, &json!({ "product_id": "MFG-001" }))?["product_id"], 400);
        let narrow = api
            .requests()
            .into_iter()
            .filter(|request| request.query.contains(&("fields".to_owned(), super::FIELDS.to_owned())));
        assert_eq!(narrow.count(), 3, "no page holds whole products");
        let api = catalogue();
        let missing = check(&api, &json!({ "product_id": "MFG-002" }));
        assert_eq!(missing, Err(Error::refused("Product not found: MFG-002")));
        assert_eq!(api.requests().len(), 3);
        Ok(())
    }

    #[test]
    fn the_search_ends_with_the_call() {
        let sku = json!({ "product_id": "MFG-001" });
        let late = check_in(testing::call().remaining_ms(100), &catalogue(), &sku);
        assert!(matches!(late, Err(Error::Refused(_))), "{late:?}");
        assert_eq!(check_in(testing::call().cancelled(), &catalogue(), &sku), Err(Error::Cancelled));
    }

    #[test]
    fn a_location_has_its_own_quantities() -> Result<()> {
        let level =
            |item: u64, available: i64| json!({ "inventory_item_id": item, "location_id": 5, "available": available });
        let api = FakeApi::new()
            .json("products/7.json", json!({ "product": product(7, &["A", "B"]) }))
            .json("inventory_levels.json", json!({ "inventory_levels": [level(701, 40)] }));
        let answer = check(&api, &json!({ "product_id": "7", "location_id": "gid://shopify/Location/5" }))?;
        let quantities = [0, 1].map(|place| answer["variants"][place]["inventory_quantity"].clone());
        assert_eq!(quantities, [json!(40), json!(0)]);
        assert_eq!((&answer["total_inventory"], &answer["location_id"]), (&json!(40), &json!(5)));
        assert_eq!(answer["variants"][1]["available"], json!(false));
        let asked = api.requests().remove(1).query;
        assert_eq!(asked[0], ("inventory_item_ids".to_owned(), "701,702".to_owned()));
        Ok(())
    }

    #[test]
    fn bad_input_and_failures() {
        let api = FakeApi::new()
            .json("products/7.json", json!({ "product": product(7, &["A"]) }))
            .json("inventory_levels.json", json!({ "inventory_levels": [] }))
            .json("products/8.json", json!("no product"))
            .fails(Method::Get, "products/9.json", unavailable())
            .status(Method::Get, "products/10.json", 429);
        let not_found = |id: &str| Err(Error::refused(format!("Product not found: {id}")));
        assert_eq!(check(&api, &json!({ "product_id": "6" })), not_found("6"));
        let variant = "gid://shopify/ProductVariant/7";
        assert_eq!(check(&api, &json!({ "product_id": variant })), not_found(variant));
        let nowhere = check(&api, &json!({ "product_id": "7", "location_id": "5" }));
        assert_eq!(nowhere, Err(Error::refused("Product 7 is not stocked at location 5")));
        let odd = check(&api, &json!({ "product_id": "7", "location_id": "here" }));
        assert!(matches!(odd, Err(Error::Invalid(_))), "{odd:?}");
        let cause = |id: &str| check(&api, &json!({ "product_id": id })).err().and_then(|it| it.cause().cloned());
        assert!(matches!(cause("8"), Some(Cause::Rejected(_))));
        assert_eq!(cause("9"), Some(unavailable()));
        assert!(matches!(cause("10"), Some(Cause::Throttled(_))));
    }
}
