//! What the shop holds, and how it begins.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::data::catalogue::Product;
use crate::data::techstart::{Customer, Dataset, Order, OrderStatus};

/// The id of `cust_001`; others follow by number.
const FIRST_CUSTOMER_ID: u64 = 6_000_000_000_001;
const FIRST_ORDER_ID: u64 = 5_000_000_000_001;
const FIRST_LINE_ITEM_ID: u64 = 12_000_000_000_001;
/// The newest orders stand in the shop; older ones only in TechStart's own database.
const ORDERS: usize = 600;

/// The shop's state.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) products: BTreeMap<u64, Product>,
    pub(super) customers: BTreeMap<u64, Map<String, Value>>,
    pub(super) orders: BTreeMap<u64, Map<String, Value>>,
    pub(super) now: fn() -> OffsetDateTime,
    next_id: u64,
}

impl Store {
    pub(super) fn new(data: &Dataset, now: fn() -> OffsetDateTime) -> Self {
        let customers: BTreeMap<_, _> =
            (FIRST_CUSTOMER_ID..).zip(&data.customers).map(|(id, person)| (id, customer(id, person))).collect();
        let by_own_id: BTreeMap<&str, u64> =
            (FIRST_CUSTOMER_ID..).zip(&data.customers).map(|(id, person)| (person.id.as_str(), id)).collect();
        let mut next_line = FIRST_LINE_ITEM_ID;
        let skipped = data.orders.len().saturating_sub(ORDERS);
        let orders = (FIRST_ORDER_ID..).zip(&data.orders).skip(skipped).map(|(id, placed)| {
            let buyer = by_own_id.get(placed.customer_id.as_str()).and_then(|id| customers.get(id));
            let value = order(id, placed, buyer, next_line);
            next_line += placed.items.len() as u64;
            (id, value)
        });
        let orders = orders.collect();
        let products = data.catalogue.iter().map(|product| (product.id, product.clone())).collect();
        Self { products, customers, orders, now, next_id: 9_000_000_000_001 }
    }

    /// An id that nothing has yet.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The present, as the shop writes it.
    pub(super) fn now_text(&self) -> String {
        moment((self.now)())
    }
}

/// `shop.json`.
pub(super) fn shop() -> Value {
    json!({
        "id": 690_933_842_u64,
        "name": "TechStart Inc",
        "email": "store@techstart.com",
        "domain": "techstart.com",
        "myshopify_domain": "techstart.myshopify.com",
        "currency": "USD",
        "iana_timezone": "America/New_York",
        "plan_name": "basic",
    })
}

/// A date as Shopify writes it, always in UTC here.
pub(super) fn moment(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00");
    // Formatting to a string fails only for components that a date with a time has.
    at.to_offset(time::UtcOffset::UTC).format(&format).unwrap_or_default()
}

fn customer(id: u64, person: &Customer) -> Map<String, Value> {
    object(json!({
        "id": id,
        "email": person.email,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "state": if person.active { "enabled" } else { "disabled" },
        "note": person.notes,
        "tags": person.company,
        "verified_email": true,
        "created_at": moment(person.created_at),
        "updated_at": moment(person.updated_at),
    }))
}

fn order(id: u64, placed: &Order, buyer: Option<&Map<String, Value>>, first_line: u64) -> Map<String, Value> {
    let (financial, fulfilment) = match placed.status {
        OrderStatus::Pending => ("pending", Value::Null),
        OrderStatus::Processing => ("paid", Value::Null),
        OrderStatus::Completed => ("paid", "fulfilled".into()),
        OrderStatus::Cancelled => ("refunded", Value::Null),
    };
    let placed_at = moment(placed.created_at);
    let total = format!("{:.2}", placed.total());
    let lines = (first_line..).zip(&placed.items).map(|(line, item)| {
        json!({
            "id": line,
            "product_id": item.product_id,
            "variant_id": item.variant_id,
            "sku": item.sku,
            "name": item.product_name,
            "quantity": item.quantity,
            "price": format!("{:.2}", item.unit_price),
        })
    });
    object(json!({
        "id": id,
        "admin_graphql_api_id": format!("gid://shopify/Order/{id}"),
        "name": format!("#{}", placed.number),
        "email": buyer.and_then(|buyer| buyer.get("email")),
        "financial_status": financial,
        "fulfillment_status": fulfilment,
        "currency": "USD",
        "subtotal_price": total,
        "total_price": total,
        "note": Value::Null,
        "tags": "",
        "created_at": placed_at,
        "updated_at": placed_at,
        "closed_at": (placed.status == OrderStatus::Completed).then_some(&placed_at),
        "cancelled_at": (placed.status == OrderStatus::Cancelled).then_some(&placed_at),
        "customer": buyer,
        "line_items": lines.collect::<Vec<_>>(),
    }))
}

/// The map of a value that is written as an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
