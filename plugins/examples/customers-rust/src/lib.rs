//! The tool that `customers-js` and `customers-python` have too, in Rust: the contract serves each language
//! alike, and gives the same answers.

use remit_sdk::prelude::*;

tool_set![
    Tool::new("find_customers", "Finds customers by part of their name, email address or company.", find)
        .reads("primary")
];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Search {
    /// Part of a name, an email address or a company.
    query: String,
    /// How many customers to return at most.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    limit: u32,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    customers: Vec<Customer>,
    total: usize,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Customer {
    id: String,
    #[schemars(required, extend("type" = ["string", "null"]))]
    name: Option<String>,
    #[schemars(required, extend("type" = ["string", "null"]))]
    email: Option<String>,
    #[schemars(required, extend("type" = ["string", "null"]))]
    company: Option<String>,
}

fn find(args: Search, call: &Call) -> Result<Found> {
    let pattern = containing(&args.query);
    let customers: Vec<Customer> = call.database("primary")?.rows(
        "SELECT id, name, email, company FROM customers \
         WHERE name LIKE $1 ESCAPE '!' OR email LIKE $2 ESCAPE '!' OR company LIKE $3 ESCAPE '!' \
         ORDER BY id LIMIT $4",
        params![&pattern, &pattern, &pattern, args.limit],
    )?;
    Ok(Found { total: customers.len(), customers })
}

fn ten() -> u32 {
    10
}

/// In SQL's LIKE, `%` and `_` mean something; here they mean themselves.
fn containing(text: &str) -> String {
    format!("%{}%", text.replace('!', "!!").replace('%', "!%").replace('_', "!_"))
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        testing::{self, FakeDatabase},
    };

    use super::{containing, tool_set};

    #[test]
    fn finds_customers() -> Result<()> {
        let row = json!({ "id": "c1", "name": "Ada", "email": null, "company": "Engines" });
        let database = FakeDatabase::sqlite().rows("from customers", json!([row]));
        let call = testing::call().reads("primary", &database).build();
        let answer = tool_set().call("find_customers", r#"{"query":"da","limit":2}"#, &call)?;
        let expected = r#"{"customers":[{"id":"c1","name":"Ada","email":null,"company":"Engines"}],"total":1}"#;
        assert_eq!(answer.structured.as_deref(), Some(expected));
        let text = Value::from("%da%");
        assert_eq!(database.statements()[0].parameters, [text.clone(), text.clone(), text, Value::Integer(2)]);
        Ok(())
    }

    #[test]
    fn wildcards_mean_themselves() {
        assert_eq!(containing("50%_!"), "%50!%!_!!%");
    }
}
