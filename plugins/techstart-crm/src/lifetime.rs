//! `calculate_customer_ltv`: what a customer has spent, and what one may expect of them.

use remit_sdk::{Decimal, prelude::*, serde_json};

/// How many orders one query reads; a customer may have more.
const PAGE: u32 = 5000;
/// Where the analytics do not say how often a customer orders, or how likely they leave in a month.
const USUAL_ORDERS_PER_MONTH: Decimal = Decimal::from_parts(5, 0, 0, false, 1);
const USUAL_CHURN: Decimal = Decimal::from_parts(1, 0, 0, false, 1);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Of {
    customer_id: String,
    /// Include future value projections
    #[serde(default = "yes")]
    include_projections: bool,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Lifetime {
    customer_id: String,
    current_ltv: Money,
    /// Null where nothing can be projected; `projection_note` says why. Without projections, what was
    /// spent so far.
    projected_ltv: Option<Money>,
    projection_note: Option<String>,
    order_count: usize,
    avg_order_value: Money,
    first_order_date: Option<Timestamp>,
    last_order_date: Option<Timestamp>,
    analytics: Analytics,
}

type Analytics = serde_json::Map<String, serde_json::Value>;

#[derive(Deserialize)]
struct Spent {
    total_amount: Money,
    created_at: Option<Timestamp>,
}

pub(crate) fn value(args: Of, call: &Call) -> Result<Lifetime> {
    let analytics = call.has("analytics").then(|| call.documents("analytics")).transpose();
    let measured = analytics.map(|store| {
        store.map(|store| {
            let wanted = Selection::of(&json!({ "customer_id": &args.customer_id })).project(&json!({ "_id": 0 }));
            store.start_find::<Analytics>("customer_analytics", wanted.limit(1))
        })
    });
    let orders = completed_orders(call, &args.customer_id)?;
    let measured = measured.and_then(|pending| pending.map(|pending| pending.get()).transpose());
    let (analytics, missing) = match measured {
        Ok(Some(found)) => match found.into_iter().next() {
            Some(document) => (document, None),
            None => (Analytics::new(), Some("there are no analytics of this customer".to_owned())),
        },
        Ok(None) => (Analytics::new(), Some("this agent may not read the analytics".to_owned())),
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        Err(error) => {
            call.log(Level::Warning, &format!("analytics were not read: {error}"));
            (Analytics::new(), Some("the analytics could not be read".to_owned()))
        }
    };

    let spent: Money = orders.iter().map(|order| order.total_amount).sum();
    let average = spent.0.checked_div(Decimal::from(orders.len())).unwrap_or_default();
    let projected = match missing {
        _ if !args.include_projections => Ok(spent),
        Some(reason) => Err(reason),
        None => projected(average, &analytics),
    };
    let mut dates: Vec<Timestamp> = orders.iter().filter_map(|order| order.created_at).collect();
    dates.sort_unstable();
    Ok(Lifetime {
        customer_id: args.customer_id,
        current_ltv: spent,
        projected_ltv: projected.as_ref().ok().copied(),
        projection_note: projected.err(),
        order_count: orders.len(),
        avg_order_value: Money(average).to_cents(),
        first_order_date: dates.first().copied(),
        last_order_date: dates.last().copied(),
        analytics,
    })
}

fn yes() -> bool {
    true
}

/// All of them, summed up here rather than by the database: SQLite adds in binary floats.
fn completed_orders(call: &Call, customer: &str) -> Result<Vec<Spent>> {
    let database = call.database("primary")?;
    let mut orders: Vec<Spent> = Vec::new();
    loop {
        let page: Vec<Spent> = database.rows(
            "SELECT total_amount, created_at FROM orders WHERE customer_id = $1 AND status = 'completed' \
             ORDER BY created_at, id LIMIT $2 OFFSET $3",
            params![customer, PAGE, i64::try_from(orders.len()).unwrap_or(i64::MAX)],
        )?;
        let last = page.len() < PAGE as usize;
        orders.extend(page);
        if last {
            return Ok(orders);
        }
    }
}

/// What the customer will have spent when they leave, or why nobody can tell. A churn of 0 is not
/// replaced by the usual one: it promises eternity.
fn projected(average: Decimal, analytics: &Analytics) -> Result<Money, String> {
    let orders_per_month = figure(analytics, "avg_orders_per_month")?.unwrap_or(USUAL_ORDERS_PER_MONTH);
    let churn = figure(analytics, "churn_probability")?.unwrap_or(USUAL_CHURN);
    if churn.is_zero() {
        return Err("the churn probability is 0: no end of the customer's lifetime can be projected".to_owned());
    }
    if churn.is_sign_negative() || churn > Decimal::ONE || orders_per_month.is_sign_negative() {
        return Err("the analytics of this customer make no sense".to_owned());
    }
    let value = average.checked_mul(orders_per_month).and_then(|a_month| a_month.checked_div(churn));
    value.map(|value| Money(value).to_cents()).ok_or_else(|| "the projection is too large to state".to_owned())
}

/// A figure of the analytics; none if they do not have it.
fn figure(analytics: &Analytics, name: &str) -> Result<Option<Decimal>, String> {
    match analytics.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone())
            .map(|Money(figure)| Some(figure))
            .map_err(|_| format!("{name} in the analytics is no number")),
    }
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        prelude::*,
        serde_json,
        testing::{self, FakeDatabase, FakeDocuments, unavailable},
    };

    use crate::tool_set;

    fn orders() -> FakeDatabase {
        FakeDatabase::sqlite().rows(
            "from orders",
            json!([
                { "total_amount": "100.10", "created_at": "2025-03-01 10:00:00" },
                { "total_amount": "200.20", "created_at": "2025-01-01 10:00:00" },
                { "total_amount": 0.03, "created_at": "2025-02-01 10:00:00" },
            ]),
        )
    }

    fn analytics(fields: serde_json::Value) -> FakeDocuments {
        let mut document = json!({ "customer_id": "cust_123" });
        if let (Some(document), Some(fields)) = (document.as_object_mut(), fields.as_object()) {
            document.extend(fields.clone());
        }
        FakeDocuments::new().documents("customer_analytics", json!([{ "customer_id": "other" }, document]))
    }

    fn calculate(documents: Option<&FakeDocuments>, arguments: &str) -> Result<serde_json::Value> {
        let call = testing::call().reads("primary", &orders());
        let call = documents.into_iter().fold(call, |call, documents| call.reads("analytics", documents));
        let answer = tool_set().call("calculate_customer_ltv", arguments, &call.build())?;
        Ok(serde_json::from_str(&answer.structured.unwrap_or_default()).unwrap_or_default())
    }

    const CUSTOMER: &str = r#"{"customer_id":"cust_123"}"#;

    #[test]
    fn sums_are_exact_and_dates_are_ordered() -> Result<()> {
        let call = testing::call().reads("primary", &orders()).build();
        let arguments = r#"{"customer_id":"cust_123","include_projections":false}"#;
        let answer = tool_set().call("calculate_customer_ltv", arguments, &call)?.structured;
        let written = concat!(
            r#"{"customer_id":"cust_123","current_ltv":300.33,"projected_ltv":300.33,"projection_note":null,"#,
            r#""order_count":3,"avg_order_value":100.11,"first_order_date":"2025-01-01T10:00:00Z","#,
            r#""last_order_date":"2025-03-01T10:00:00Z","analytics":{}}"#,
        );
        assert_eq!(answer.as_deref(), Some(written));
        Ok(())
    }

    #[test]
    fn projects_from_habits_or_the_usual() -> Result<()> {
        let known = analytics(json!({ "avg_orders_per_month": 2, "churn_probability": 0.25 }));
        assert_eq!(calculate(Some(&known), CUSTOMER)?["projected_ltv"], json!(800.88));
        let unknown = analytics(json!({ "churn_probability": null }));
        assert_eq!(calculate(Some(&unknown), CUSTOMER)?["projected_ltv"], json!(500.55));
        let idle = analytics(json!({ "avg_orders_per_month": 0.0, "churn_probability": 0.5 }));
        assert_eq!(calculate(Some(&idle), CUSTOMER)?["projected_ltv"], json!(0.0));
        Ok(())
    }

    #[test]
    fn without_grounds_there_is_no_projection_but_a_reason() -> Result<()> {
        let cases = [
            (Some(analytics(json!({ "churn_probability": 0 }))), "churn probability is 0"),
            (Some(analytics(json!({ "churn_probability": -1 }))), "make no sense"),
            (Some(analytics(json!({ "churn_probability": "high" }))), "is no number"),
            (Some(analytics(json!({ "churn_probability": 1e-28, "avg_orders_per_month": 1e9 }))), "too large"),
            (Some(FakeDocuments::new()), "no analytics of this customer"),
            (Some(FakeDocuments::new().fails("customer_analytics", unavailable())), "could not be read"),
            (None, "may not read"),
        ];
        for (documents, reason) in cases {
            let answer = calculate(documents.as_ref(), CUSTOMER)?;
            assert_eq!(answer["projected_ltv"], json!(null), "{reason}");
            let note = answer["projection_note"].as_str().unwrap_or_default();
            assert!(note.contains(reason), "{note}");
            assert_eq!(answer["current_ltv"], json!(300.33));
        }
        Ok(())
    }

    #[test]
    fn a_customer_without_orders_is_worth_nothing_yet() -> Result<()> {
        let database = FakeDatabase::sqlite().rows("from orders", json!([]));
        let documents = analytics(json!({}));
        let call = testing::call().reads("primary", &database).reads("analytics", &documents).build();
        let answer = tool_set().call("calculate_customer_ltv", CUSTOMER, &call)?.structured.unwrap_or_default();
        assert!(answer.contains(r#""order_count":0,"avg_order_value":0.00,"first_order_date":null"#), "{answer}");
        Ok(())
    }

    #[test]
    fn orders_beyond_a_page_count_too() -> Result<()> {
        let order = json!({ "total_amount": "1.00", "created_at": null });
        let database = FakeDatabase::sqlite().rows_by("from orders", move |parameters| {
            let rest = if parameters.get(2) == Some(&Value::Integer(0)) { 5000 } else { 2 };
            Ok(json!(vec![order.clone(); rest]))
        });
        let call = testing::call().reads("primary", &database).build();
        let answer = tool_set().call("calculate_customer_ltv", CUSTOMER, &call)?.structured.unwrap_or_default();
        assert!(answer.contains(r#""current_ltv":5002.00"#), "{answer}");
        Ok(())
    }
}
