//! TechStart's own records: customers, orders, interactions, announcements, analytics, and what its
//! warehouse counts.
//!
//! The people do not exist, and all mail addresses but the seed's lie under `.example`.

mod analytics;
mod announcements;
mod customers;
mod interactions;
mod orders;
mod rows;
mod warehouse;

use rust_decimal::Decimal;
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) use self::customers::{salesforce_id, with_checksum};
pub use self::rows::tables;
pub use self::warehouse::warehouse_tables;
use crate::data::catalogue::{Product, catalogue};

/// All dates count back from here, so that the rows are the same on every day.
pub const ANCHOR: OffsetDateTime = datetime!(2026-10-01 00:00 UTC);
/// How many customers there are: `cust_001` to `cust_800`.
pub const CUSTOMERS: u32 = 800;
/// A customer with a long history.
pub const LOYAL_CUSTOMER: &str = "cust_123";
/// A customer whose use of the API grows.
pub const GROWING_CUSTOMER: &str = "cust_789";
/// A lead at ACME Corp, without an order yet.
pub const LEAD_EMAIL: &str = "john@acmecorp.com";
/// A customer whose churn probability is 0, so that no lifetime can be projected.
pub const CHURNLESS_CUSTOMER: &str = "cust_042";
/// A customer without analytics.
pub const UNMEASURED_CUSTOMER: &str = "cust_077";

/// The seed values of the parts; each part has its own, so that a change of one leaves the others alone.
mod seeds {
    pub(super) const CUSTOMERS: u64 = 0x4355_5354;
    pub(super) const ORDERS: u64 = 0x4f52_4452;
    pub(super) const INTERACTIONS: u64 = 0x494e_5452;
    pub(super) const ANALYTICS: u64 = 0x414e_4c59;
    pub(super) const CAMPAIGNS: u64 = 0x4341_4d50;
}

/// A person who buys, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// `cust_` and three digits.
    pub id: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// Unique.
    pub email: String,
    /// The company.
    pub company: String,
    /// Whether the customer is active.
    pub active: bool,
    /// What was noted so far.
    pub notes: Option<String>,
    /// The contact's id in Salesforce.
    pub salesforce_id: Option<String>,
    /// In UTC, to the second, as all dates here.
    pub created_at: OffsetDateTime,
    /// Not before any other date of the customer.
    pub updated_at: OffsetDateTime,
    /// The last contact, if there was any.
    pub last_contact_date: Option<OffsetDateTime>,
}

impl Customer {
    /// First and last name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderStatus {
    /// Not paid.
    Pending,
    /// Paid, not shipped.
    Processing,
    /// Shipped.
    Completed,
    /// Called off.
    Cancelled,
}

impl OrderStatus {
    /// The word in the column.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// `ord_` and five digits, in the order of `created_at`.
    pub id: String,
    /// `TS-` and six digits.
    pub number: String,
    /// Whose it is.
    pub customer_id: String,
    /// How far it has come.
    pub status: OrderStatus,
    /// When it was placed.
    pub created_at: OffsetDateTime,
    /// At least one, each of another variant.
    pub items: Vec<OrderItem>,
}

impl Order {
    /// The exact sum of the items, in US dollars.
    pub fn total(&self) -> Decimal {
        let sum: Decimal = self.items.iter().map(|item| item.unit_price * Decimal::from(item.quantity)).sum();
        sum.round_dp(2)
    }
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// The product's id in the catalogue.
    pub product_id: u64,
    /// The variant's id in the catalogue.
    pub variant_id: u64,
    /// The variant's SKU.
    pub sku: String,
    /// Product and variant in words.
    pub product_name: String,
    /// How many.
    pub quantity: u32,
    /// The price of one.
    pub unit_price: Decimal,
}

/// One note of a contact with a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interaction {
    /// Whose it is.
    pub customer_id: String,
    /// The agent that noted it.
    pub agent_type: &'static str,
    /// `call`, `email`, `meeting`, `demo`, `quote` or `other`.
    pub kind: &'static str,
    /// What was said.
    pub notes: String,
    /// When.
    pub created_at: OffsetDateTime,
}

/// News for customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The headline.
    pub title: &'static str,
    /// The text.
    pub content: &'static str,
    /// Whether it is shown.
    pub active: bool,
    /// When.
    pub created_at: OffsetDateTime,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What the shop sells.
    pub catalogue: Vec<Product>,
    /// In the order of their ids.
    pub customers: Vec<Customer>,
    /// In the order of their dates.
    pub orders: Vec<Order>,
    /// In the order of their dates.
    pub interactions: Vec<Interaction>,
    /// In the order of their dates.
    pub announcements: Vec<Announcement>,
    /// Documents of the collection `customer_analytics`, each with its `_id`.
    pub analytics: Vec<serde_json::Value>,
}

/// Generates TechStart's data; takes some milliseconds.
pub fn dataset() -> Dataset {
    let catalogue = catalogue();
    let customers = customers::generate();
    let orders = orders::generate(&customers, &catalogue);
    let interactions = interactions::generate(&customers);
    let analytics = analytics::generate(&customers, &orders);
    Dataset { catalogue, customers, orders, interactions, announcements: announcements::all(), analytics }
}

#[cfg(test)]
mod tests;
