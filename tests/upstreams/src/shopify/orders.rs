//! `orders`: list, read, create, update, cancel.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::page::{self, Entry, Filters};
use super::store::{Store, object};
use super::{Answer, Call};

const FILTERS: &[&str] =
    &["ids", "since_id", "name", "status", "financial_status", "customer_id", "created_at_min", "created_at_max"];
/// What a PUT may change.
const CHANGEABLE: [&str; 5] = ["note", "tags", "email", "note_attributes", "phone"];

pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("orders", call, FILTERS, |filters| {
        let mut filters = filters.clone();
        // Shopify lists open orders unless it is told otherwise.
        filters.entry("status".to_owned()).or_insert_with(|| "open".to_owned());
        let found = store.orders.iter().filter(|(id, order)| meets(**id, order, &filters));
        Ok(found.map(|(id, order)| Entry { id: *id, value: Value::Object(order.clone()) }).collect())
    })
}

pub(super) fn get(store: &Store, id: u64) -> Result<Answer, Refusal> {
    let order = store.orders.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(Answer::ok("order", Value::Object(order.clone())))
}

pub(super) fn create(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    let wanted = call.object("order")?;
    let lines = wanted.get("line_items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if lines.is_empty() {
        return Err(Refusal::unprocessable("line_items", "must have at least one line item"));
    }
    let mut total = Decimal::ZERO;
    let mut placed = Vec::new();
    for line in lines {
        let (line, amount) = place(store, line)?;
        total += amount;
        placed.push(line);
    }
    let id = store.new_id();
    let now = store.now_text();
    let total = format!("{total:.2}");
    let mut order = object(json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "name": format!("#{id}"),
        "email": Value::Null,
        "financial_status": "pending",
        "fulfillment_status": Value::Null,
        "currency": "USD",
        "subtotal_price": total,
        "total_price": total,
        "note": Value::Null,
        "tags": "",
        "created_at": now,
        "updated_at": now,
        "closed_at": Value::Null,
        "cancelled_at": Value::Null,
        "customer": Value::Null,
        "line_items": placed,
    }));
    change(&mut order, &wanted);
    store.orders.insert(id, order.clone());
    Ok(Answer::created("order", Value::Object(order)))
}

pub(super) fn update(store: &mut Store, id: u64, call: &Call<'_>) -> Result<Answer, Refusal> {
    let wanted = call.object("order")?;
    let now = store.now_text();
    let order = store.orders.get_mut(&id).ok_or_else(Refusal::not_found)?;
    change(order, &wanted);
    order.insert("updated_at".to_owned(), now.into());
    Ok(Answer::ok("order", Value::Object(order.clone())))
}

pub(super) fn cancel(store: &mut Store, id: u64) -> Result<Answer, Refusal> {
    let now = store.now_text();
    let order = store.orders.get_mut(&id).ok_or_else(Refusal::not_found)?;
    if order.get("fulfillment_status").is_some_and(|status| !status.is_null()) {
        return Err(Refusal::unprocessable("base", "Cannot cancel a paid and fulfilled order"));
    }
    order.insert("cancelled_at".to_owned(), now.clone().into());
    order.insert("updated_at".to_owned(), now.into());
    Ok(Answer::ok("order", Value::Object(order.clone())))
}

/// A line of a new order: a variant of the catalogue, or a title with a price.
fn place(store: &mut Store, line: &Value) -> Result<(Value, Decimal), Refusal> {
    let quantity = line.get("quantity").map_or(Some(1), Value::as_u64).filter(|count| (1..=1_000_000).contains(count));
    let quantity = quantity.ok_or_else(|| Refusal::unprocessable("line_items", "Quantity must be greater than 0"))?;
    let id = store.new_id();
    let line = match line.get("variant_id").and_then(Value::as_u64) {
        Some(wanted) => {
            let mut all =
                store.products.values().flat_map(|product| product.variants.iter().map(move |one| (product, one)));
            let (product, variant) = all
                .find(|(_, variant)| variant.id == wanted)
                .ok_or_else(|| Refusal::unprocessable("line_items", "Variant does not exist"))?;
            let value = json!({
                "id": id,
                "product_id": product.id,
                "variant_id": variant.id,
                "sku": variant.sku,
                "name": product.line_name(variant),
                "quantity": quantity,
                "price": format!("{:.2}", variant.price),
            });
            (value, variant.price)
        }
        None => {
            let title = line.get("title").and_then(Value::as_str).filter(|title| !title.is_empty());
            let title = title.ok_or_else(|| Refusal::unprocessable("line_items", "Title can't be blank"))?;
            let price = line.get("price").map(|price| price.as_str().map_or_else(|| price.to_string(), str::to_owned));
            let price: Option<Decimal> =
                price.and_then(|price| price.parse().ok()).filter(|price| *price >= Decimal::ZERO);
            let price = price.ok_or_else(|| Refusal::unprocessable("line_items", "Price is not a number"))?;
            (json!({ "id": id, "name": title, "quantity": quantity, "price": format!("{price:.2}") }), price)
        }
    };
    let amount = line.1.checked_mul(Decimal::from(quantity));
    Ok((line.0, amount.ok_or_else(|| Refusal::unprocessable("line_items", "Price is too large"))?))
}

fn change(order: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for name in CHANGEABLE {
        if let Some(value) = wanted.get(name) {
            order.insert(name.to_owned(), value.clone());
        }
    }
}

fn meets(id: u64, order: &Map<String, Value>, filters: &Filters) -> bool {
    let text = |name: &str| order.get(name).and_then(Value::as_str);
    let buyer = order.get("customer").and_then(|customer| customer.get("id")).and_then(Value::as_u64);
    filters.iter().all(|(name, value)| match name.as_str() {
        "ids" => value.split(',').any(|wanted| wanted.trim().parse() == Ok(id)),
        "since_id" => value.parse().is_ok_and(|since: u64| id > since),
        "name" => text("name").is_some_and(|name| name.trim_start_matches('#') == value.trim_start_matches('#')),
        "financial_status" => value == "any" || text("financial_status") == Some(value),
        "customer_id" => value.parse().ok() == buyer,
        // All dates here are written alike and in UTC, so text compares as time does.
        "created_at_min" => text("created_at").is_some_and(|at| at >= value.as_str()),
        "created_at_max" => text("created_at").is_some_and(|at| at <= value.as_str()),
        "status" => match value.as_str() {
            "open" => text("closed_at").is_none() && text("cancelled_at").is_none(),
            "closed" => text("closed_at").is_some(),
            "cancelled" => text("cancelled_at").is_some(),
            _ => true,
        },
        _ => true,
    })
}
