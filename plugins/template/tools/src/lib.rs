//! The plugin `plugin-name`: say here what it is for, and what it deliberately lacks.

use remit_sdk::prelude::*;

tool_set![Tool::new("find_customers", "Finds customers by part of their name.", find_customers).reads("primary")];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Part of the customer's name.
    name: String,
    /// How many customers to return at most.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Customer {
    id: String,
    name: String,
}

fn find_customers(args: Search, call: &Call) -> Result<Vec<Customer>> {
    call.database("primary")?.rows(
        "SELECT id, name FROM customers WHERE name LIKE $1 ORDER BY name LIMIT $2",
        params![format!("%{}%", args.name), args.limit],
    )
}

fn ten() -> u32 {
    10
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        testing::{self, FakeDatabase},
    };

    use super::tool_set;

    #[test]
    fn finds_customers_by_name() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from customers", json!([{ "id": "c1", "name": "Ada" }]));
        let call = testing::call().reads("primary", &database).build();
        let answer = tool_set().call("find_customers", r#"{"name":"da"}"#, &call)?;
        assert_eq!(answer.structured.as_deref(), Some(r#"{"items":[{"id":"c1","name":"Ada"}]}"#));
        assert_eq!(database.statements()[0].parameters, [Value::from("%da%"), Value::Integer(10)]);
        Ok(())
    }
}
