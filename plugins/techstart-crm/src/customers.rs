//! `search_customers`.

use remit_sdk::prelude::*;

/// The most customers that one search returns.
const MOST: u32 = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Search query (name, email, or company)
    query: String,
    /// Maximum number of results to return
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    limit: u32,
    /// Include inactive customers in results
    #[serde(default)]
    include_inactive: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Found {
    customers: Vec<Customer>,
    total: usize,
    query: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Customer {
    id: String,
    name: Option<String>,
    email: Option<String>,
    company: Option<String>,
    status: String,
    created_at: Option<Timestamp>,
    last_contact_date: Option<Timestamp>,
}

pub(crate) fn search(args: Search, call: &Call) -> Result<Found> {
    let status = if args.include_inactive { "" } else { "AND status = 'active'" };
    let statement = format!(
        "SELECT id, name, email, company, status, created_at, last_contact_date FROM customers \
         WHERE (name LIKE $1 ESCAPE '!' OR email LIKE $2 ESCAPE '!' OR company LIKE $3 ESCAPE '!') {status} \
         ORDER BY last_contact_date DESC, id LIMIT $4"
    );
    let pattern = containing(&args.query);
    let parameters = params![&pattern, &pattern, &pattern, args.limit.clamp(1, MOST)];
    let customers: Vec<Customer> = call.database("primary")?.rows(&statement, parameters)?;
    Ok(Found { total: customers.len(), customers, query: args.query })
}

fn ten() -> u32 {
    10
}

/// A LIKE pattern for texts that contain another, in which `%` and `_` are themselves. The escape is
/// not a backslash, which MySQL and SQLite read differently in a literal.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        serde_json,
        testing::{self, FakeDatabase, unavailable},
    };

    use crate::tool_set;

    #[test]
    fn finds_active_customers_by_default() -> Result<()> {
        let database = FakeDatabase::sqlite().rows(
            "from customers",
            json!([{
                "id": "cust_123", "name": "John Smith", "email": "john@acmecorp.com", "company": "ACME Corp",
                "status": "active", "created_at": "2025-01-02T03:04:05", "last_contact_date": null,
            }]),
        );
        let call = testing::call().reads("primary", &database).build();
        let found = tool_set().call("search_customers", r#"{"query":"100%_ACME!"}"#, &call)?;
        let found: serde_json::Value = serde_json::from_str(&found.structured.unwrap_or_default()).unwrap_or_default();
        assert_eq!(
            found,
            json!({
                "customers": [{
                    "id": "cust_123", "name": "John Smith", "email": "john@acmecorp.com", "company": "ACME Corp",
                    "status": "active", "created_at": "2025-01-02T03:04:05Z", "last_contact_date": null,
                }],
                "total": 1,
                "query": "100%_ACME!",
            })
        );
        let [asked] = &database.statements()[..] else { panic!("one statement") };
        let pattern = Value::Text("%100!%!_ACME!!%".to_owned());
        assert_eq!(asked.parameters, [pattern.clone(), pattern.clone(), pattern, Value::Integer(10)]);
        assert!(asked.text.contains("AND status = 'active'"), "{}", asked.text);
        Ok(())
    }

    #[test]
    fn inactive_customers_are_found_when_asked_for() -> Result<()> {
        let database = FakeDatabase::mysql().rows("from customers", json!([]));
        let call = testing::call().reads("primary", &database).build();
        let arguments = r#"{"query":"x","include_inactive":true,"limit":1000.0}"#;
        tool_set().call("search_customers", arguments, &call)?;
        let asked = database.statements().remove(0);
        assert!(!asked.text.contains("status ="), "{}", asked.text);
        assert_eq!(asked.parameters.last(), Some(&Value::Integer(1000)));
        Ok(())
    }

    #[test]
    fn failures_name_their_source() {
        let down = FakeDatabase::sqlite().fails("customers", unavailable());
        let odd = FakeDatabase::sqlite().rows("customers", json!([{ "id": 1 }]));
        let ask = |database: &FakeDatabase, arguments: &str| {
            let call = testing::call().reads("primary", database).build();
            tool_set().call("search_customers", arguments, &call)
        };
        let Err(Error::Source(failure)) = ask(&down, r#"{"query":"x"}"#) else { panic!("it is down") };
        assert_eq!((failure.source.as_str(), failure.cause), ("primary", unavailable()));
        assert!(matches!(ask(&odd, r#"{"query":"x"}"#), Err(Error::Refused(_))));
        assert!(matches!(ask(&odd, r#"{"querry":"x"}"#), Err(Error::Invalid(_))));
        let bare = tool_set().call("search_customers", r#"{"query":"x"}"#, &testing::call().build());
        assert_eq!(bare, Err(Error::NotGranted("primary".to_owned())));
    }
}
