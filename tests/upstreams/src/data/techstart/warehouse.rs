//! What TechStart's warehouse knows: sales by month, and how campaigns did. Both are counted from the
//! orders, so that the figures agree with those of the shop's own database.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::{datetime, format_description};

use super::{Dataset, Order, OrderStatus, seeds};
use crate::data::table::{Column, Kind, Table, Value};
use crate::random::Random;

/// How many of a hundred orders that are placed while a campaign runs are put down to it.
const EMAIL_SHARE: u64 = 18;
const SOCIAL_SHARE: u64 = 7;

/// A campaign, and when it ran.
struct Campaign {
    id: &'static str,
    name: &'static str,
    channel: &'static str,
    from: OffsetDateTime,
    until: OffsetDateTime,
    mailings: i64,
    spend: i64,
}

const CAMPAIGNS: [Campaign; 5] = [
    email("camp_2025_q4", "Q4 2025: Year-end upgrades", datetime!(2025-11-03 00:00 UTC), 6, 9_400),
    email("camp_2026_q1", "Q1 2026: New-year workspace", datetime!(2026-01-19 00:00 UTC), 4, 6_100),
    email("camp_2026_q2", "Q2 2026: Spring audio", datetime!(2026-04-20 00:00 UTC), 4, 6_800),
    email("camp_2026_q3", "Q3 2026: Back to the office", datetime!(2026-08-10 00:00 UTC), 5, 7_900),
    Campaign {
        channel: "social",
        ..email("camp_2026_q3_social", "Q3 2026: Back to the office, social", datetime!(2026-08-10 00:00 UTC), 5, 4_200)
    },
];

/// Six weeks by mail.
const fn email(id: &'static str, name: &'static str, from: OffsetDateTime, mailings: i64, spend: i64) -> Campaign {
    let until = match from.checked_add(time::Duration::days(42)) {
        Some(until) => until,
        None => from,
    };
    Campaign { id, name, channel: "email", from, until, mailings, spend }
}

/// The warehouse's tables, in the order in which they can be created.
pub fn warehouse_tables(data: &Dataset) -> Vec<Table> {
    vec![monthly_sales(data), campaign_performance(data)]
}

fn monthly_sales(data: &Dataset) -> Table {
    #[derive(Default)]
    struct Month {
        orders: i64,
        cancelled: i64,
        items: i64,
        revenue: Decimal,
    }
    let mut months: BTreeMap<String, Month> = BTreeMap::new();
    for order in &data.orders {
        let month = months.entry(date(order.created_at).chars().take(7).collect()).or_default();
        if order.status == OrderStatus::Cancelled {
            month.cancelled += 1;
            continue;
        }
        month.orders += 1;
        month.items += order.items.iter().map(|item| i64::from(item.quantity)).sum::<i64>();
        month.revenue += order.total();
    }
    let rows = months.into_iter().map(|(name, month)| {
        let counts = [month.orders, month.cancelled, month.items].map(Value::Integer);
        [Value::Text(name)].into_iter().chain(counts).chain([Value::Money(month.revenue)]).collect()
    });
    Table {
        name: "monthly_sales",
        columns: vec![
            Column::new("month", Kind::Key),
            Column::new("orders", Kind::Count),
            Column::new("cancelled_orders", Kind::Count),
            Column::new("items", Kind::Count),
            Column::new("revenue", Kind::Money),
        ],
        indexes: Vec::new(),
        rows: rows.collect(),
    }
}

fn campaign_performance(data: &Dataset) -> Table {
    let mut random = Random::new(seeds::CAMPAIGNS);
    let rows = CAMPAIGNS.iter().map(|campaign| {
        let share = if campaign.channel == "email" { EMAIL_SHARE } else { SOCIAL_SHARE };
        let ran = |order: &&Order| campaign.from <= order.created_at && order.created_at < campaign.until;
        let placed = data.orders.iter().filter(ran).filter(|order| order.status != OrderStatus::Cancelled);
        let (mut conversions, mut revenue) = (0, Decimal::ZERO);
        for order in placed.filter(|_| random.chance(share)) {
            conversions += 1;
            revenue += order.total();
        }
        let reached = data.customers.iter().filter(|one| one.active && one.created_at < campaign.from).count();
        let sent = i64::try_from(reached).unwrap_or_default() * campaign.mailings;
        let opened = sent * random.between(31, 44) / 100;
        let clicked = (opened * random.between(11, 19) / 100).max(conversions);
        vec![
            Value::from(campaign.id),
            Value::from(campaign.name),
            Value::from(campaign.channel),
            Value::Text(date(campaign.from)),
            Value::Text(date(campaign.until)),
            Value::Integer(sent),
            Value::Integer(opened),
            Value::Integer(clicked),
            Value::Integer(conversions),
            Value::Money(revenue),
            Value::Money(Decimal::from(campaign.spend)),
        ]
    });
    Table {
        name: "campaign_performance",
        columns: vec![
            Column::new("id", Kind::Key),
            Column::new("name", Kind::Name),
            Column::new("channel", Kind::Word),
            Column::new("started_on", Kind::Word),
            Column::new("ended_on", Kind::Word),
            Column::new("sent", Kind::Count),
            Column::new("opened", Kind::Count),
            Column::new("clicked", Kind::Count),
            Column::new("conversions", Kind::Count),
            Column::new("revenue", Kind::Money),
            Column::new("spend", Kind::Money),
        ],
        indexes: vec![&["started_on"]],
        rows: rows.collect(),
    }
}

fn date(at: OffsetDateTime) -> String {
    // Formatting to a string fails only for components that a date has.
    at.format(&format_description!("[year]-[month]-[day]")).unwrap_or_default()
}
