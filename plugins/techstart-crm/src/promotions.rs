//! `get_current_promotions`: price rules in force, with their discount codes.

use std::ops::ControlFlow;

use remit_sdk::{prelude::*, serde_json, source::phrase};

use crate::shopify::{self, PAGE};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Filter for promotions this customer is eligible for
    #[serde(default)]
    customer_eligible: bool,
    /// Customer ID for eligibility checking
    customer_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Promotions {
    active_promotions: Vec<Promotion>,
    count: usize,
    customer_id: Option<String>,
}

/// A price rule as Shopify has it, and its codes; none if they could not be read.
#[derive(Serialize, JsonSchema)]
struct Promotion {
    #[serde(flatten)]
    rule: Rule,
    discount_codes: Vec<Code>,
}

/// A discount code as Shopify has it.
type Code = serde_json::Map<String, serde_json::Value>;

/// A price rule as Shopify has it.
pub(crate) type Rule = serde_json::Map<String, serde_json::Value>;

pub(crate) fn current(args: Wanted, call: &Call) -> Result<Promotions> {
    let api = call.api("ecommerce")?;
    let mut rules = active(call, &api)?;
    if args.customer_eligible {
        let customer = args.customer_id.as_deref().map(|id| in_shopify(call, &api, id)).transpose()?.flatten();
        rules.retain(|rule| is_for(rule, customer));
    }
    let codes = discount_codes(&api, &rules)?;
    let active_promotions: Vec<Promotion> =
        rules.into_iter().zip(codes).map(|(rule, discount_codes)| Promotion { rule, discount_codes }).collect();
    Ok(Promotions { count: active_promotions.len(), active_promotions, customer_id: args.customer_id })
}

/// The price rules in force when the call began.
pub(crate) fn active(call: &Call, api: &Api) -> Result<Vec<Rule>> {
    #[derive(Deserialize)]
    struct Page {
        price_rules: Vec<Rule>,
    }
    let now = call.started()?;
    let mut active = Vec::new();
    shopify::pages(call, api, Request::get("price_rules.json").query("limit", PAGE), |page| {
        let page: Page = api.json_of(page)?;
        active.extend(page.price_rules.into_iter().filter(|rule| in_force(rule, now)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(active)
}

/// A rule without a beginning has always been in force, one without an end stays so; one whose dates
/// cannot be read is not.
fn in_force(rule: &Rule, now: Timestamp) -> bool {
    let date = |name: &str| match rule.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(value) => value.as_str().ok_or(()).and_then(|text| text.parse::<Timestamp>().map(Some).map_err(drop)),
    };
    match (date("starts_at"), date("ends_at")) {
        (Ok(starts), Ok(ends)) => starts.is_none_or(|starts| starts <= now) && ends.is_none_or(|ends| ends >= now),
        _ => false,
    }
}

/// Whether a rule is for everyone, or names the customer. A rule for a segment of customers names
/// nobody, and so is for none that could be told here.
fn is_for(rule: &Rule, customer: Option<u64>) -> bool {
    match rule.get("customer_selection").and_then(serde_json::Value::as_str) {
        None | Some("all") => true,
        Some(_) => {
            let named = rule.get("prerequisite_customer_ids").and_then(serde_json::Value::as_array);
            let mut named = named.into_iter().flatten().filter_map(serde_json::Value::as_u64);
            customer.is_some_and(|customer| named.any(|id| id == customer))
        }
    }
}

/// The customer's id in Shopify: given as such, or found by the address that `primary` has for the
/// customer. None if Shopify does not know them.
fn in_shopify(call: &Call, api: &Api, customer: &str) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Address {
        email: Option<String>,
    }
    #[derive(Deserialize)]
    struct Answer {
        customers: Vec<Buyer>,
    }
    #[derive(Deserialize)]
    struct Buyer {
        id: u64,
        email: Option<String>,
    }
    if let Some(id) = shopify::id(customer, "Customer") {
        return Ok(Some(id));
    }
    if !call.has("primary") {
        return Err(Error::invalid("/customer_id", "must be a Shopify customer ID: this agent may not read customers"));
    }
    let row: Option<Address> =
        call.database("primary")?.row("SELECT email FROM customers WHERE id = $1", params![customer])?;
    let row = row.ok_or_else(|| Error::refused(format!("Customer not found: {customer}")))?;
    // The search has its own grammar, without an escape: an address that could leave the quotes is not sought.
    let Some((sought, email)) = row.email.and_then(|email| Some((phrase(&email)?, email))) else {
        return Ok(None);
    };
    let search = Request::get("customers/search.json").query("query", format!("email:{sought}"));
    let found: Answer = api.fetch_json(&search.query("fields", "id,email").query("limit", 10))?;
    let same = |buyer: &Buyer| buyer.email.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(&email));
    Ok(found.customers.into_iter().find(same).map(|buyer| buyer.id))
}

/// The codes of each rule, in order, fetched together. A rule whose codes can't be read has none.
fn discount_codes(api: &Api, rules: &[Rule]) -> Result<Vec<Vec<Code>>> {
    #[derive(Deserialize)]
    struct Answer {
        discount_codes: Vec<Code>,
    }
    let id = |rule: &Rule| rule.get("id").and_then(serde_json::Value::as_u64);
    let requests = rules
        .iter()
        .filter_map(id)
        .map(|id| Request::get(format!("price_rules/{id}/discount_codes.json")).query("limit", PAGE));
    let mut answers = api.fetch_all(requests).into_iter();
    rules
        .iter()
        .map(|rule| {
            let answer = id(rule).and_then(|_| answers.next());
            match answer.map(|answer| answer.and_then(|answer| api.json_of::<Answer>(&answer))) {
                Some(Ok(answer)) => Ok(answer.discount_codes),
                Some(Err(Error::Cancelled)) => Err(Error::Cancelled),
                Some(Err(_)) | None => Ok(Vec::new()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        serde_json,
        source::Method,
        testing::{self, FakeApi, FakeCall, FakeDatabase, unavailable},
    };

    use crate::tool_set;

    fn rule(id: u64, starts: Option<&str>, ends: Option<&str>) -> serde_json::Value {
        json!({
            "id": id, "title": format!("Rule {id}"), "starts_at": starts, "ends_at": ends,
            "customer_selection": "all", "prerequisite_customer_ids": [],
        })
    }

    fn rule_for(id: u64, customers: &[u64]) -> serde_json::Value {
        json!({ "id": id, "customer_selection": "prerequisite", "prerequisite_customer_ids": customers })
    }

    fn shop(rules: &[serde_json::Value]) -> FakeApi {
        FakeApi::new().json("price_rules.json", json!({ "price_rules": rules }))
    }

    fn current(call: FakeCall, arguments: &str) -> Result<serde_json::Value> {
        let answer = tool_set().call("get_current_promotions", arguments, &call.build())?;
        Ok(serde_json::from_str(&answer.structured.unwrap_or_default()).unwrap_or_default())
    }

    fn ids(promotions: &serde_json::Value) -> Vec<u64> {
        let promotions = promotions["active_promotions"].as_array().into_iter().flatten();
        promotions.filter_map(|promotion| promotion["id"].as_u64()).collect()
    }

    #[test]
    fn those_in_force_are_given_with_their_codes() -> Result<()> {
        let api = shop(&[
            rule(1, Some("2026-11-01T00:00:00-05:00"), Some("2026-11-23T12:00:00Z")),
            rule(2, Some("2026-11-23T08:00:01-04:00"), None),
            rule(3, Some("2026-01-01T00:00:00Z"), Some("2026-11-23T11:59:59Z")),
            rule(4, None, None),
            rule(5, Some("soon"), None),
        ])
        .json("price_rules/1/discount_codes.json", json!({ "discount_codes": [{ "code": "SAVE10" }] }))
        .status(Method::Get, "price_rules/4/discount_codes.json", 500);
        let answer = current(testing::call().reads("ecommerce", &api), "{}")?;
        assert_eq!(ids(&answer), [1, 4]);
        assert_eq!(answer["count"], 2);
        assert_eq!(answer["customer_id"], json!(null));
        assert_eq!(answer["active_promotions"][0]["title"], "Rule 1");
        assert_eq!(answer["active_promotions"][0]["discount_codes"], json!([{ "code": "SAVE10" }]));
        assert_eq!(answer["active_promotions"][1]["discount_codes"], json!([]), "a failed lookup gives none");
        Ok(())
    }

    #[test]
    fn many_lookups_keep_their_order() -> Result<()> {
        let rules: Vec<_> = (1..=40).map(|id| rule(id, None, None)).collect();
        let api = (1..=40u64).fold(shop(&rules), |api, id| {
            let path = format!("price_rules/{id}/discount_codes.json");
            api.json(&path, json!({ "discount_codes": [{ "code": id }] }))
        });
        let answer = current(testing::call().reads("ecommerce", &api), "{}")?;
        assert_eq!(answer["active_promotions"][39]["discount_codes"], json!([{ "code": 40 }]));
        Ok(())
    }

    #[test]
    fn eligibility_is_by_shopifys_customer() -> Result<()> {
        let rules = [rule(1, None, None), rule_for(2, &[77]), rule_for(3, &[78])];
        let api = shop(&rules).json(
            "customers/search.json",
            json!({ "customers": [{ "id": 78, "email": "other@x.example" }, { "id": 77, "email": "Jo@x.example" }] }),
        );
        let database = FakeDatabase::sqlite().rows_by("select email from customers", |parameters| {
            Ok(if parameters == [Value::from("cust_123")] { json!([{ "email": "jo@x.example" }]) } else { json!([]) })
        });
        let eligible = |arguments: &str| {
            let call = testing::call().reads("ecommerce", &api).reads("primary", &database);
            current(call, arguments)
        };
        assert_eq!(ids(&eligible(r#"{"customer_eligible":true}"#)?), [1]);
        assert_eq!(ids(&eligible(r#"{"customer_eligible":true,"customer_id":"78"}"#)?), [1, 3]);
        let ours = eligible(r#"{"customer_eligible":true,"customer_id":"cust_123"}"#)?;
        assert_eq!((ids(&ours), &ours["customer_id"]), (vec![1, 2], &json!("cust_123")));
        assert_eq!(ids(&eligible(r#"{"customer_id":"cust_123"}"#)?), [1, 2, 3]);
        let unknown = eligible(r#"{"customer_eligible":true,"customer_id":"cust_9"}"#);
        assert_eq!(unknown, Err(Error::refused("Customer not found: cust_9")));
        Ok(())
    }

    #[test]
    fn without_customers_only_shopify_ids_will_do() -> Result<()> {
        let api = shop(&[rule_for(2, &[77])]);
        let ask = |arguments: &str| current(testing::call().reads("ecommerce", &api), arguments);
        let ours = ask(r#"{"customer_eligible":true,"customer_id":"cust_123"}"#);
        assert!(matches!(ours, Err(Error::Invalid(_))), "{ours:?}");
        assert_eq!(ids(&ask(r#"{"customer_eligible":true,"customer_id":"gid://shopify/Customer/77"}"#)?), [2]);
        Ok(())
    }

    #[test]
    fn rules_that_cannot_be_read_fail_the_call() {
        let api = FakeApi::new().fails(Method::Get, "price_rules.json", unavailable());
        let answer = current(testing::call().reads("ecommerce", &api), "{}");
        assert_eq!(answer.map_err(|error| error.may_be_repeated()), Err(true));
    }
}
