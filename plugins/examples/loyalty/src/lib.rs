//! A kind of workflow step that a tenant brings: tells regular customers from new ones, and sends a workflow
//! two ways. Deliberately absent: everything that its one purpose does not need.

use remit_sdk::{prelude::*, serde_json::Value as Json};

node_set![
    Node::new("level", "Tells how loyal a customer is by its orders.", level)
        .title("Loyalty")
        .branches(&["regular", "new"])
        .validates(needs)
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Config {
    /// The source with the customers, written out.
    source: String,
    /// Whose loyalty is asked for.
    customer: String,
    /// From how many orders on a customer is a regular one; 3 without it.
    #[serde(default = "threshold")]
    threshold: i64,
}

fn threshold() -> i64 {
    3
}

#[derive(Serialize, JsonSchema)]
struct Level {
    customer: String,
    orders: i64,
}

#[derive(Deserialize)]
struct Count {
    orders: i64,
}

/// Which source it reads stands in `source`: the grant is decided when a workflow is loaded.
fn needs(config: &Written<'_>) -> Option<Validated> {
    Some(Validated::harmless(vec![Need::reads(config.literal("source")?)]).plain(vec!["/customer".to_owned()]))
}

fn level(config: Config, _input: Json, call: &Call) -> Result<Branched<Level>> {
    let row: Option<Count> = call
        .database(&config.source)?
        .row("SELECT COUNT(*) AS orders FROM orders WHERE customer_id = $1", params![config.customer.as_str()])?;
    let orders = row.map_or(0, |row| row.orders);
    let branch = if orders >= config.threshold { "regular" } else { "new" };
    Ok(Branched { branch, output: Level { customer: config.customer, orders } })
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        testing::{self, FakeDatabase},
    };

    use super::node_set;

    #[test]
    fn who_has_ordered_enough_is_a_regular_customer() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from orders", json!([{ "orders": 5 }]));
        let call = testing::call().reads("primary", &database).build();
        let way = |threshold: u32| {
            let config = json!({"source": "primary", "customer": "c1", "threshold": threshold}).to_string();
            node_set().execute("level", &config, "null", &call).map(|outcome| outcome.branch)
        };
        assert_eq!(way(5)?.as_deref(), Some("regular"));
        assert_eq!(way(6)?.as_deref(), Some("new"));
        let said = node_set().validate("level", r#"{"source": "primary", "customer": "{{ inputs.id }}"}"#);
        assert_eq!(said.map(|said| said.needs), Ok(vec![Need::reads("primary")]));
        assert!(node_set().validate("level", r#"{"source": "{{ inputs.source }}", "customer": "c1"}"#).is_err());
        Ok(())
    }
}
