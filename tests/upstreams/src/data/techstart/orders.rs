//! Some thousands of orders whose lines are variants of the catalogue at its prices.

use time::{Duration, OffsetDateTime};

use super::customers::days_before;
use super::{ANCHOR, Customer, GROWING_CUSTOMER, LEAD_EMAIL, LOYAL_CUSTOMER, Order, OrderItem, OrderStatus, seeds};
use crate::data::catalogue::{Product, Status};
use crate::random::Random;

/// After so many days an order is completed or cancelled.
const SETTLED_DAYS: i64 = 45;

pub(super) fn generate(customers: &[Customer], catalogue: &[Product]) -> Vec<Order> {
    let mut random = Random::new(seeds::ORDERS);
    let on_sale: Vec<&Product> = catalogue.iter().filter(|product| product.status == Status::Active).collect();
    let mut orders = Vec::new();
    for customer in customers {
        for turn in 0..how_many(customer, &mut random) {
            let created_at = when(customer, &mut random);
            orders.push(Order {
                id: String::new(),
                number: String::new(),
                customer_id: customer.id.clone(),
                status: status(customer, created_at, turn, &mut random),
                created_at,
                items: items(customer, &on_sale, &mut random),
            });
        }
    }
    orders.sort_by(|one, other| (one.created_at, &one.customer_id).cmp(&(other.created_at, &other.customer_id)));
    for (number, order) in (1_u32..).zip(&mut orders) {
        order.id = format!("ord_{number:05}");
        order.number = format!("TS-{:06}", 100_000 + number);
    }
    orders
}

fn how_many(customer: &Customer, random: &mut Random) -> i64 {
    let drawn = match random.below(100) {
        0..=9 => 0,
        10..=49 => random.between(1, 4),
        50..=89 => random.between(3, 8),
        _ => random.between(9, 18),
    };
    match customer.id.as_str() {
        LOYAL_CUSTOMER => 26,
        GROWING_CUSTOMER => 34,
        _ if customer.email == LEAD_EMAIL => 0,
        _ if !customer.active => drawn.min(3),
        _ => drawn,
    }
}

fn when(customer: &Customer, random: &mut Random) -> OffsetDateTime {
    let age_days = (ANCHOR - customer.created_at).whole_days();
    // The growing customer's orders come ever closer together.
    let back = if customer.id == GROWING_CUSTOMER {
        let drawn = random.between(0, 1_000);
        drawn * drawn * (age_days - 2) / 1_000_000
    } else {
        random.between(0, age_days - 2)
    };
    days_before(ANCHOR, back, random).max(customer.created_at + Duration::hours(1))
}

fn status(customer: &Customer, created_at: OffsetDateTime, turn: i64, random: &mut Random) -> OrderStatus {
    let drawn = random.below(100);
    if customer.id == LOYAL_CUSTOMER && turn < 20 {
        return OrderStatus::Completed;
    }
    let settled = (ANCHOR - created_at).whole_days() > SETTLED_DAYS;
    match drawn {
        0..=7 => OrderStatus::Cancelled,
        8..=39 if !settled => OrderStatus::Pending,
        40..=74 if !settled => OrderStatus::Processing,
        _ => OrderStatus::Completed,
    }
}

fn items(customer: &Customer, on_sale: &[&Product], random: &mut Random) -> Vec<OrderItem> {
    let mut items: Vec<OrderItem> = Vec::new();
    let lines = match random.below(10) {
        0..=4 => 1,
        5..=7 => 2,
        8 => 3,
        _ => random.between(4, 6),
    };
    let credits_only = customer.id == GROWING_CUSTOMER;
    while items.len() < usize::try_from(lines).unwrap_or(1) {
        let Some(product) = on_sale.get(usize::try_from(random.below(on_sale.len() as u64)).unwrap_or_default()) else {
            break;
        };
        let nth = random.below(product.variants.len() as u64);
        let quantity = if random.chance(70) { random.between(1, 3) } else { random.between(4, 25) };
        let Some(variant) = product.variants.get(usize::try_from(nth).unwrap_or_default()) else { continue };
        let wanted = !credits_only || product.family == "API Credit Pack";
        if !wanted || items.iter().any(|item| item.product_id == product.id) {
            continue;
        }
        items.push(OrderItem {
            product_id: product.id,
            variant_id: variant.id,
            sku: variant.sku.clone(),
            product_name: product.line_name(variant),
            quantity: u32::try_from(quantity).unwrap_or(1),
            unit_price: variant.price,
        });
    }
    items
}
