//! `products` and `variants`.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::page::{self, Entry, Filters};
use super::store::{Store, moment};
use super::{Answer, Call};
use crate::data::catalogue::{Product, Status, Variant};

const FILTERS: &[&str] = &["ids", "since_id", "title", "status", "product_type"];

pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("products", call, FILTERS, |filters| {
        let found = store.products.values().filter(|product| meets(product, filters));
        Ok(found.map(|product| Entry { id: product.id, value: render(product) }).collect())
    })
}

pub(super) fn count(store: &Store, call: &Call<'_>) -> Answer {
    Answer::ok("count", store.products.values().filter(|product| meets(product, call.query)).count().into())
}

pub(super) fn get(store: &Store, id: u64) -> Result<Answer, Refusal> {
    Ok(Answer::ok("product", render(store.products.get(&id).ok_or_else(Refusal::not_found)?)))
}

/// Title and status can change; the rest of the catalogue is fixed.
pub(super) fn update(store: &mut Store, id: u64, call: &Call<'_>) -> Result<Answer, Refusal> {
    let change = call.object("product")?;
    let product = store.products.get_mut(&id).ok_or_else(Refusal::not_found)?;
    let status = match change.get("status").map(|status| status.as_str().unwrap_or_default()) {
        None => product.status,
        Some("active") => Status::Active,
        Some("draft") => Status::Draft,
        Some("archived") => Status::Archived,
        Some(_) => return Err(Refusal::unprocessable("status", "is not included in the list")),
    };
    if let Some(title) = change.get("title") {
        let title = title.as_str().filter(|title| !title.is_empty());
        product.title = title.ok_or_else(|| Refusal::unprocessable("title", "can't be blank"))?.to_owned();
    }
    product.status = status;
    Ok(Answer::ok("product", render(product)))
}

pub(super) fn variants(store: &Store, id: u64, call: &Call<'_>) -> Result<Answer, Refusal> {
    let product = store.products.get(&id).ok_or_else(Refusal::not_found)?;
    page::answer("variants", call, &[], |_filters| Ok(entries(product)))
}

pub(super) fn variant(store: &Store, id: u64) -> Result<Answer, Refusal> {
    let found = store.products.values().find_map(|product| entries(product).into_iter().find(|entry| entry.id == id));
    Ok(Answer::ok("variant", found.ok_or_else(Refusal::not_found)?.value))
}

fn meets(product: &Product, filters: &Filters) -> bool {
    filters.iter().all(|(name, value)| match name.as_str() {
        "ids" => value.split(',').any(|id| id.trim().parse() == Ok(product.id)),
        "since_id" => value.parse().is_ok_and(|since: u64| product.id > since),
        "title" => product.title == *value,
        "status" => value.split(',').any(|status| status == product.status.word()),
        "product_type" => product.family == value,
        _ => true,
    })
}

fn render(product: &Product) -> Value {
    let handle: String = product.title.to_lowercase().replace(' ', "-");
    let created_at = moment(product.created_at);
    let variants: Vec<Value> = entries(product).into_iter().map(|entry| entry.value).collect();
    json!({
        "id": product.id,
        "admin_graphql_api_id": format!("gid://shopify/Product/{}", product.id),
        "title": product.title,
        "handle": handle,
        "vendor": "TechStart",
        "product_type": product.family,
        "status": product.status.word(),
        "tags": "",
        "created_at": created_at,
        "updated_at": created_at,
        "published_at": (product.status == Status::Active).then_some(&created_at),
        "variants": variants,
    })
}

fn entries(product: &Product) -> Vec<Entry> {
    let numbered = (1_u32..).zip(&product.variants);
    numbered.map(|(position, variant)| Entry { id: variant.id, value: of(product, variant, position) }).collect()
}

fn of(product: &Product, variant: &Variant, position: u32) -> Value {
    json!({
        "id": variant.id,
        "product_id": product.id,
        "title": variant.title,
        "sku": variant.sku,
        "position": position,
        "price": format!("{:.2}", variant.price),
        "inventory_item_id": variant.inventory_item_id,
        "inventory_quantity": variant.available(),
        "inventory_management": "shopify",
        "inventory_policy": if variant.sold_without_stock { "continue" } else { "deny" },
    })
}
