//! The data holds together, and is the same on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use super::{
    ANCHOR, CHURNLESS_CUSTOMER, GROWING_CUSTOMER, LEAD_EMAIL, LOYAL_CUSTOMER, OrderStatus, UNMEASURED_CUSTOMER,
    dataset, tables,
};

/// Changes only with the generator, and is then to be changed on purpose.
const ROWS: &str = "00fb10afafae00c6afd3f0cf132e007833ebeadf9bb0087ac5e8f11b5d6be189";

#[test]
fn is_the_same_on_every_machine() {
    let data = dataset();
    let mut digest = Sha256::new();
    for table in tables(&data) {
        digest.update(format!("{table:?}"));
    }
    for document in &data.analytics {
        digest.update(document.to_string());
    }
    for product in &data.catalogue {
        for variant in &product.variants {
            let (stock, policy) = (variant.stock, variant.sold_without_stock);
            digest.update(format!("{} {} {} {stock:?} {policy}", product.id, variant.sku, variant.price));
        }
    }
    let digest = digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    });
    assert_eq!(digest, ROWS);
}

#[test]
fn has_some_hundreds_of_customers_and_thousands_of_orders() {
    let data = dataset();
    let counts = (data.customers.len(), data.orders.len(), data.interactions.len(), data.analytics.len());
    assert_eq!(counts, (800, 3511, 1763, 738));
    for status in [OrderStatus::Pending, OrderStatus::Processing, OrderStatus::Completed, OrderStatus::Cancelled] {
        assert!(data.orders.iter().filter(|order| order.status == status).count() > 20, "{status:?}");
    }
}

#[test]
fn holds_whom_the_seed_names() -> Result<()> {
    let data = dataset();
    let find = |id: &str| data.customers.iter().find(|customer| customer.id == id).context("no such customer");
    assert!(find(LOYAL_CUSTOMER)?.active && find(GROWING_CUSTOMER)?.active);
    let lead = data.customers.iter().find(|customer| customer.email == LEAD_EMAIL).context("no lead")?;
    assert_eq!((lead.company.as_str(), lead.active), ("ACME Corp", true));
    assert!(data.orders.iter().all(|order| order.customer_id != lead.id));
    let at_acme = data.customers.iter().filter(|customer| customer.company == "ACME Corp");
    assert_eq!(at_acme.map(|customer| customer.active).collect::<Vec<_>>(), [true, true, true, false]);
    let tests = data.customers.iter().filter(|customer| {
        customer.active
            && [customer.name(), customer.email.clone()].iter().any(|text| text.to_lowercase().contains("test"))
    });
    assert!(tests.count() >= 2);
    let churn = |id: &str| {
        data.analytics.iter().find(|one| one["customer_id"] == id).map(|one| one["churn_probability"].clone())
    };
    assert_eq!(churn(CHURNLESS_CUSTOMER), Some(serde_json::json!(0.0)));
    assert_eq!(churn(UNMEASURED_CUSTOMER), None);
    assert!(data.analytics.len() < data.customers.len() && data.analytics.len() > data.customers.len() * 8 / 10);
    Ok(())
}

#[test]
fn totals_are_sums_of_lines_at_catalogue_prices() -> Result<()> {
    let data = dataset();
    let variants: BTreeMap<_, _> = data
        .catalogue
        .iter()
        .flat_map(|product| product.variants.iter().map(move |variant| (variant.sku.as_str(), (product, variant))))
        .collect();
    for order in &data.orders {
        let mut cents = 0_i64;
        assert!(!order.items.is_empty());
        for item in &order.items {
            let (product, variant) = variants.get(item.sku.as_str()).context("an unknown SKU")?;
            assert_eq!((item.unit_price, &item.product_name), (variant.price, &product.line_name(variant)));
            cents += i64::try_from(item.unit_price.mantissa())? * i64::from(item.quantity);
        }
        assert_eq!(order.total(), Decimal::new(cents, 2), "{}", order.id);
        assert!(order.total() > Decimal::ZERO);
    }
    Ok(())
}

#[test]
fn dates_and_references_are_consistent() -> Result<()> {
    let data = dataset();
    let customers: BTreeMap<_, _> = data.customers.iter().map(|customer| (customer.id.as_str(), customer)).collect();
    let emails: BTreeSet<_> = data.customers.iter().map(|customer| &customer.email).collect();
    assert_eq!((customers.len(), emails.len()), (800, 800));
    for customer in &data.customers {
        assert!(customer.created_at <= customer.updated_at && customer.updated_at < ANCHOR, "{}", customer.id);
        assert!(customer.last_contact_date.is_none_or(|contact| contact <= customer.updated_at), "{}", customer.id);
    }
    for order in &data.orders {
        let customer = customers.get(order.customer_id.as_str()).context("an order of nobody")?;
        assert!(customer.created_at < order.created_at && order.created_at < ANCHOR, "{}", order.id);
    }
    assert!(
        data.orders
            .windows(2)
            .all(|pair| matches!(pair, [one, next] if one.created_at <= next.created_at && one.id < next.id))
    );
    for interaction in &data.interactions {
        let customer = customers.get(interaction.customer_id.as_str()).context("a talk to nobody")?;
        assert!(customer.last_contact_date.is_some_and(|last| interaction.created_at <= last));
    }
    Ok(())
}
