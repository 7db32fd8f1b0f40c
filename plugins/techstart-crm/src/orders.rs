//! `get_customer_orders`: whole orders with their items, so that `limit` counts orders, not items.

use std::collections::HashMap;

use remit_sdk::{Pending, prelude::*};

/// The most orders that one call returns.
const MOST: u32 = 1000;
/// How many orders' items one query reads: far below the limits on parameters and rows.
const BATCH: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Of {
    customer_id: String,
    /// Filter by order status
    #[serde(default)]
    status: Status,
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
}

#[derive(Deserialize, Serialize, JsonSchema, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Status {
    Pending,
    Processing,
    Completed,
    Cancelled,
    #[default]
    Any,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Orders {
    orders: Vec<Order>,
    customer_id: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Order {
    id: String,
    order_number: Option<String>,
    status: String,
    total_amount: Money,
    created_at: Option<Timestamp>,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Item {
    product_name: Option<String>,
    quantity: i64,
    unit_price: Money,
}

#[derive(Deserialize)]
struct ItemRow {
    order_id: String,
    product_name: Option<String>,
    quantity: i64,
    unit_price: Money,
}

pub(crate) fn of_customer(args: Of, call: &Call) -> Result<Orders> {
    const COLUMNS: &str = "SELECT id, order_number, status, total_amount, created_at FROM orders";
    let database = call.database("primary")?;
    let limit = args.limit.clamp(1, MOST);
    let mut orders: Vec<Order> = match args.status.word() {
        None => database.rows(
            &format!("{COLUMNS} WHERE customer_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"),
            params![&args.customer_id, limit],
        )?,
        Some(status) => database.rows(
            &format!("{COLUMNS} WHERE customer_id = $1 AND status = $2 ORDER BY created_at DESC, id DESC LIMIT $3"),
            params![&args.customer_id, status, limit],
        )?,
    };
    let mut items = items_of(&database, &orders)?;
    for order in &mut orders {
        order.items = items.remove(&order.id).unwrap_or_default();
    }
    Ok(Orders { orders, customer_id: args.customer_id })
}

fn twenty() -> u32 {
    20
}

impl Status {
    /// As the column has it; none for any.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Pending => Some("pending"),
            Self::Processing => Some("processing"),
            Self::Completed => Some("completed"),
            Self::Cancelled => Some("cancelled"),
            Self::Any => None,
        }
    }
}

/// The items of all these orders, by order.
fn items_of(database: &Database, orders: &[Order]) -> Result<HashMap<String, Vec<Item>>> {
    let batches: Vec<Pending<Vec<ItemRow>>> = orders
        .chunks(BATCH)
        .map(|batch| {
            let places: Vec<String> = (1..=batch.len()).map(|place| format!("${place}")).collect();
            let statement = format!(
                "SELECT order_id, product_name, quantity, unit_price FROM order_items \
                 WHERE order_id IN ({}) ORDER BY order_id, id",
                places.join(", ")
            );
            let ids: Vec<Value> = batch.iter().map(|order| Value::from(&order.id)).collect();
            database.start_rows(&statement, &ids)
        })
        .collect();
    let mut items: HashMap<String, Vec<Item>> = HashMap::new();
    for row in join(batches)?.into_iter().flatten() {
        let ItemRow { order_id, product_name, quantity, unit_price } = row;
        items.entry(order_id).or_default().push(Item { product_name, quantity, unit_price });
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        testing::{self, FakeDatabase, unavailable},
    };

    use crate::tool_set;

    fn order(number: usize) -> remit_sdk::serde_json::Value {
        json!({
            "id": format!("order_{number}"), "order_number": format!("TS-{number}"), "status": "pending",
            "total_amount": "1234.50", "created_at": "2026-01-02T03:04:05",
        })
    }

    #[test]
    fn items_are_grouped_by_order_and_money_is_exact() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from orders", json!([order(2), order(1)])).rows(
            "from order_items",
            json!([
                { "order_id": "order_2", "product_name": "Gateway", "quantity": 2, "unit_price": "617.25" },
                { "order_id": "order_2", "product_name": "Cable", "quantity": 1, "unit_price": "0.10" },
            ]),
        );
        let call = testing::call().reads("primary", &database).build();
        let answer = tool_set().call("get_customer_orders", r#"{"customer_id":"cust_123"}"#, &call)?;
        let written = concat!(
            r#"{"orders":[{"id":"order_2","order_number":"TS-2","status":"pending","total_amount":1234.50,"#,
            r#""created_at":"2026-01-02T03:04:05Z","items":[{"product_name":"Gateway","quantity":2,"unit_price":617.25},"#,
            r#"{"product_name":"Cable","quantity":1,"unit_price":0.10}]},"#,
            r#"{"id":"order_1","order_number":"TS-1","status":"pending","total_amount":1234.50,"#,
            r#""created_at":"2026-01-02T03:04:05Z","items":[]}],"customer_id":"cust_123"}"#,
        );
        assert_eq!(answer.structured.as_deref(), Some(written));
        let asked = database.statements();
        assert_eq!(asked[0].parameters, [Value::from("cust_123"), Value::Integer(20)]);
        assert_eq!(asked[1].parameters, [Value::from("order_2"), Value::from("order_1")]);
        Ok(())
    }

    #[test]
    fn a_status_is_a_parameter() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from orders", json!([]));
        let call = testing::call().reads("primary", &database).build();
        tool_set().call("get_customer_orders", r#"{"customer_id":"c","status":"completed","limit":1}"#, &call)?;
        let asked = database.statements();
        assert_eq!(asked.len(), 1, "no orders, no items to read");
        assert_eq!(asked[0].parameters, [Value::from("c"), Value::from("completed"), Value::Integer(1)]);
        let arguments = r#"{"customer_id":"c","status":"lost"}"#;
        assert!(matches!(tool_set().call("get_customer_orders", arguments, &call), Err(Error::Invalid(_))));
        Ok(())
    }

    #[test]
    fn many_orders_are_read_in_batches() -> Result<()> {
        let orders: Vec<_> = (0..250).map(order).collect();
        let database = FakeDatabase::sqlite().rows("from orders", json!(orders)).rows("from order_items", json!([]));
        let call = testing::call().reads("primary", &database).build();
        tool_set().call("get_customer_orders", r#"{"customer_id":"c","limit":1000}"#, &call)?;
        let sizes: Vec<_> = database.statements().iter().skip(1).map(|it| it.parameters.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
        Ok(())
    }

    #[test]
    fn items_that_cannot_be_read_fail_the_call() {
        let database =
            FakeDatabase::sqlite().rows("from orders", json!([order(1)])).fails("order_items", unavailable());
        let call = testing::call().reads("primary", &database).build();
        let answer = tool_set().call("get_customer_orders", r#"{"customer_id":"c"}"#, &call);
        assert_eq!(answer.map_err(|error| error.may_be_repeated()), Err(true));
    }
}
