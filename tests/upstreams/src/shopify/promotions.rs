//! `price_rules` and their discount codes.
//!
//! Their dates follow the shop's clock, so that the same ones are active whenever a demo runs.

use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::answer::Refusal;
use super::page::{self, Entry};
use super::store::{Store, moment};
use super::{Answer, Call};

struct Rule {
    id: u64,
    title: &'static str,
    value_type: &'static str,
    value: &'static str,
    /// Days from now; negative in the past.
    starts: i64,
    /// None: without an end.
    ends: Option<i64>,
    /// Addresses of those it is meant for; empty: everyone.
    only: &'static [&'static str],
    codes: &'static [&'static str],
}

const RULES: [Rule; 8] = [
    Rule {
        id: 507_328_175_001,
        title: "Enterprise annual plan",
        value_type: "percentage",
        value: "-15.0",
        starts: -40,
        ends: Some(50),
        only: &[],
        codes: &["ENTERPRISE15", "ANNUAL15"],
    },
    Rule {
        id: 507_328_175_002,
        title: "Pilot credit for manufacturing",
        value_type: "fixed_amount",
        value: "-500.0",
        starts: -12,
        ends: Some(30),
        only: &[],
        codes: &["PILOT500"],
    },
    Rule {
        id: 507_328_175_003,
        title: "Fifty seats or more",
        value_type: "percentage",
        value: "-10.0",
        starts: -120,
        ends: None,
        only: &[],
        codes: &["SEATS50"],
    },
    Rule {
        id: 507_328_175_004,
        title: "Loyal customers",
        value_type: "percentage",
        value: "-20.0",
        starts: -5,
        ends: Some(25),
        only: &["maria.alvarez@northwind-robotics.example", "ingrid.walsh@evergreen-bank.example"],
        codes: &["THANKYOU20"],
    },
    Rule {
        id: 507_328_175_005,
        title: "Free shipping on gateways",
        value_type: "percentage",
        value: "-100.0",
        starts: -2,
        ends: Some(12),
        only: &[],
        codes: &[],
    },
    Rule {
        id: 507_328_175_006,
        title: "Scale up your API",
        value_type: "percentage",
        value: "-12.5",
        starts: -20,
        ends: Some(70),
        only: &["daniel.osei@brightwave-analytics.example"],
        codes: &["SCALE12"],
    },
    Rule {
        id: 507_328_175_007,
        title: "Last season's clearance",
        value_type: "percentage",
        value: "-30.0",
        starts: -90,
        ends: Some(-7),
        only: &[],
        codes: &["CLEAR30"],
    },
    Rule {
        id: 507_328_175_008,
        title: "Early access to the next series",
        value_type: "percentage",
        value: "-5.0",
        starts: 14,
        ends: Some(60),
        only: &[],
        codes: &["EARLY5"],
    },
];

pub(super) fn list(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("price_rules", call, &[], |_filters| {
        Ok(RULES.iter().map(|rule| Entry { id: rule.id, value: render(store, rule) }).collect())
    })
}

pub(super) fn get(store: &Store, id: u64) -> Result<Answer, Refusal> {
    Ok(Answer::ok("price_rule", render(store, find(id)?)))
}

pub(super) fn codes(store: &Store, id: u64, call: &Call<'_>) -> Result<Answer, Refusal> {
    let rule = find(id)?;
    let created_at = moment(day(store, rule.starts));
    page::answer("discount_codes", call, &[], |_filters| {
        let numbered = (0_u64..).zip(rule.codes);
        let codes = numbered.map(|(nth, code)| {
            let id = rule.id * 10 + nth;
            let value = json!({
                "id": id,
                "price_rule_id": rule.id,
                "code": code,
                "usage_count": 0,
                "created_at": created_at,
                "updated_at": created_at,
            });
            Entry { id, value }
        });
        Ok(codes.collect())
    })
}

fn find(id: u64) -> Result<&'static Rule, Refusal> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(Refusal::not_found)
}

/// Midnight so many days from today.
fn day(store: &Store, days: i64) -> OffsetDateTime {
    (store.now)().replace_time(time::Time::MIDNIGHT) + Duration::days(days)
}

fn render(store: &Store, rule: &Rule) -> Value {
    let buyers = store.customers.iter().filter(|(_, customer)| {
        customer.get("email").and_then(Value::as_str).is_some_and(|email| rule.only.contains(&email))
    });
    let starts_at = moment(day(store, rule.starts));
    json!({
        "id": rule.id,
        "admin_graphql_api_id": format!("gid://shopify/PriceRule/{}", rule.id),
        "title": rule.title,
        "value_type": rule.value_type,
        "value": rule.value,
        "customer_selection": if rule.only.is_empty() { "all" } else { "prerequisite" },
        "prerequisite_customer_ids": buyers.map(|(id, _)| *id).collect::<Vec<_>>(),
        "target_type": if rule.codes.is_empty() { "shipping_line" } else { "line_item" },
        "target_selection": "all",
        "allocation_method": if rule.codes.is_empty() { "each" } else { "across" },
        "once_per_customer": false,
        "usage_limit": Value::Null,
        "starts_at": starts_at,
        "ends_at": rule.ends.map(|ends| moment(day(store, ends))),
        "created_at": starts_at,
        "updated_at": starts_at,
    })
}
