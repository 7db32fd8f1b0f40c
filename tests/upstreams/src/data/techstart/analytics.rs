//! What is known of each customer's habits: documents of the collection `customer_analytics`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{ANCHOR, CHURNLESS_CUSTOMER, Customer, LOYAL_CUSTOMER, Order, OrderStatus, UNMEASURED_CUSTOMER, seeds};
use crate::random::Random;

pub(super) fn generate(customers: &[Customer], orders: &[Order]) -> Vec<Value> {
    let mut random = Random::new(seeds::ANALYTICS);
    let mut placed: BTreeMap<&str, i64> = BTreeMap::new();
    for order in orders.iter().filter(|order| order.status != OrderStatus::Cancelled) {
        *placed.entry(order.customer_id.as_str()).or_default() += 1;
    }
    let mut documents = Vec::new();
    for (number, customer) in (1_u32..).zip(customers) {
        let orders = placed.get(customer.id.as_str()).copied().unwrap_or_default();
        let months = ((ANCHOR - customer.created_at).whole_days() / 30).max(1);
        let churn_percent = match customer.id.as_str() {
            CHURNLESS_CUSTOMER => 0,
            LOYAL_CUSTOMER => 4,
            _ if !customer.active => random.between(60, 95),
            _ => random.between(2, 45),
        };
        let engagement = random.between(5, 100);
        let sessions = random.between(0, 60);
        let skipped = random.chance(6) || customer.id == UNMEASURED_CUSTOMER;
        if skipped && customer.id != CHURNLESS_CUSTOMER && customer.id != LOYAL_CUSTOMER {
            continue;
        }
        documents.push(json!({
            "_id": format!("analytics_{number:03}"),
            "customer_id": customer.id,
            "avg_orders_per_month": hundredths(orders * 100 / months),
            "churn_probability": hundredths(churn_percent),
            "engagement_score": engagement,
            "sessions_last_30_days": sessions,
            "segment": segment(orders, churn_percent),
            "measured_at": ANCHOR.format(&Rfc3339).unwrap_or_default(),
        }));
    }
    documents
}

/// Division of small whole numbers by a hundred rounds the same on every machine.
#[expect(clippy::cast_precision_loss, reason = "the figures are below a million")]
fn hundredths(count: i64) -> f64 {
    count as f64 / 100.0
}

const fn segment(orders: i64, churn_percent: i64) -> &'static str {
    match (orders, churn_percent) {
        (0, _) => "prospect",
        (_, 50..) => "at_risk",
        (15.., _) => "champion",
        _ => "regular",
    }
}
