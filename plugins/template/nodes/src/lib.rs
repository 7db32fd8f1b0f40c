//! The steps of the plugin `plugin-name`: say here what they are for, and what they deliberately lack.

use remit_sdk::{prelude::*, serde_json::Value as Json};

node_set![
    Node::new("count_orders", "Counts the orders that a customer has placed.", count_orders)
        .reads("primary")
        .branches(&["known", "new"])
        .harmless_to_repeat(),
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountOrders {
    /// The customer's id.
    customer_id: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Count {
    orders: i64,
}

fn count_orders(config: CountOrders, _input: Json, call: &Call) -> Result<Branched<Count>> {
    let row: Option<Count> = call
        .database("primary")?
        .row("SELECT COUNT(*) AS orders FROM orders WHERE customer_id = $1", params![config.customer_id])?;
    let count = row.unwrap_or(Count { orders: 0 });
    Ok(Branched { branch: if count.orders > 0 { "known" } else { "new" }, output: count })
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        testing::{self, FakeDatabase},
    };

    use super::node_set;

    #[test]
    fn a_customer_with_orders_is_known() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from orders", json!([{ "orders": 3 }]));
        let call = testing::call().reads("primary", &database).build();
        let outcome = node_set().execute("count_orders", r#"{"customer_id":"c1"}"#, "{}", &call)?;
        assert_eq!((outcome.output.as_str(), outcome.branch.as_deref()), (r#"{"orders":3}"#, Some("known")));
        Ok(())
    }
}
