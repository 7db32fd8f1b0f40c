//! TechStart's products: what its Shopify shop sells and what its orders name.
//!
//! Six hundred of them, so that a search by SKU needs three pages of 250. Prices and names follow
//! from families and series; only stock is drawn.

use rust_decimal::Decimal;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::random::Random;

/// The seed value of stock.
const SEED: u64 = 0x5348_4f50;
/// The id of the first product; others follow it by one.
pub const FIRST_PRODUCT_ID: u64 = 7_000_000_000_001;
const FIRST_VARIANT_ID: u64 = 41_000_000_000_001;
const FIRST_INVENTORY_ITEM_ID: u64 = 43_000_000_000_001;

/// The warehouses: id and name.
pub const LOCATIONS: [(u64, &str); 3] = [
    (61_000_000_001, "Austin warehouse"),
    (61_000_000_002, "Newark warehouse"),
    (61_000_000_003, "Rotterdam warehouse"),
];

/// Whether a product can be seen in the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// On sale.
    Active,
    /// Not yet on sale.
    Draft,
    /// No longer on sale.
    Archived,
}

impl Status {
    /// Shopify's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draft => "draft",
            Self::Archived => "archived",
        }
    }
}

/// One product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Shopify's numeric id.
    pub id: u64,
    /// The name.
    pub title: String,
    /// The family, as Shopify's `product_type`.
    pub family: &'static str,
    /// Whether it is on sale.
    pub status: Status,
    /// When it was added, in UTC.
    pub created_at: OffsetDateTime,
    /// At least one.
    pub variants: Vec<Variant>,
}

/// One variant of a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Shopify's numeric id.
    pub id: u64,
    /// What inventory levels refer to.
    pub inventory_item_id: u64,
    /// The stock-keeping unit.
    pub sku: String,
    /// The variant's own name; Shopify's `Default Title` where there is only one.
    pub title: &'static str,
    /// The price of one, in US dollars.
    pub price: Decimal,
    /// Whether it is sold although none is in stock.
    pub sold_without_stock: bool,
    /// How many lie in each of [`LOCATIONS`].
    pub stock: [i64; LOCATIONS.len()],
}

impl Variant {
    /// How many there are in all.
    pub fn available(&self) -> i64 {
        self.stock.iter().sum()
    }
}

impl Product {
    /// How an order's line names a variant.
    pub fn line_name(&self, variant: &Variant) -> String {
        if variant.title == DEFAULT_TITLE { self.title.clone() } else { format!("{} - {}", self.title, variant.title) }
    }
}

/// Shopify's name of an only variant.
pub const DEFAULT_TITLE: &str = "Default Title";

struct Family {
    code: &'static str,
    name: &'static str,
    base_cents: i64,
    variants: &'static [(&'static str, &'static str, i64)],
    digital: bool,
}

/// Suffix of the SKU, name, percent of the base price.
const ONE: &[(&str, &str, i64)] = &[("STD", DEFAULT_TITLE, 100)];
const HARDWARE: &[(&str, &str, i64)] = &[("STD", "Standard", 100), ("PRO", "Pro", 165)];
const PLANS: &[(&str, &str, i64)] = &[("TEAM", "Team", 100), ("BUS", "Business", 240), ("ENT", "Enterprise", 620)];

const fn family(
    code: &'static str,
    name: &'static str,
    base_cents: i64,
    variants: &'static [(&'static str, &'static str, i64)],
    digital: bool,
) -> Family {
    Family { code, name, base_cents, variants, digital }
}

const FAMILIES: [Family; 12] = [
    family("GTW", "Edge Gateway", 89_900, HARDWARE, false),
    family("VIS", "Vision Sensor", 34_900, HARDWARE, false),
    family("VIB", "Vibration Sensor", 18_900, HARDWARE, false),
    family("ACC", "Inference Accelerator", 129_900, HARDWARE, false),
    family("KIT", "Developer Kit", 24_900, ONE, false),
    family("SRV", "Rack Server", 789_900, HARDWARE, false),
    family("API", "API Credit Pack", 9_900, PLANS, true),
    family("SEA", "Platform Seats", 49_900, PLANS, true),
    family("SUP", "Support Plan", 29_900, PLANS, true),
    family("TRN", "Training Course", 14_900, ONE, true),
    family("CON", "Data Connector", 19_900, PLANS, true),
    family("MNT", "Mounting Kit", 2_950, ONE, false),
];

const SERIES: [(&str, &str); 10] = [
    ("ATL", "Atlas"),
    ("BOR", "Borealis"),
    ("CIR", "Cirrus"),
    ("DEL", "Delta"),
    ("EMB", "Ember"),
    ("FAL", "Falcon"),
    ("GLA", "Glacier"),
    ("HOR", "Horizon"),
    ("ION", "Ion"),
    ("JUN", "Juno"),
];

const GENERATIONS: i64 = 5;
const OPENED: OffsetDateTime = datetime!(2021-03-01 09:00 UTC);

/// All products in the order of their ids.
pub fn catalogue() -> Vec<Product> {
    let mut random = Random::new(SEED);
    let mut products = Vec::new();
    let mut variants = 0_u64;
    for generation in 1..=GENERATIONS {
        for (step, (series_code, series)) in (0_i64..).zip(SERIES) {
            for family in &FAMILIES {
                let index = products.len() as u64;
                let status = match random.below(100) {
                    0..=2 => Status::Draft,
                    3..=5 if generation < 3 => Status::Archived,
                    _ => Status::Active,
                };
                let of_product = family
                    .variants
                    .iter()
                    .map(|&(suffix, title, percent)| {
                        let cents = family.base_cents * percent / 100 * (100 + 8 * step + 12 * (generation - 1)) / 100;
                        let variant = Variant {
                            id: FIRST_VARIANT_ID + variants,
                            inventory_item_id: FIRST_INVENTORY_ITEM_ID + variants,
                            sku: format!("{}-{series_code}{generation}-{suffix}", family.code),
                            title,
                            price: Decimal::new(cents, 2),
                            sold_without_stock: family.digital || random.chance(10),
                            stock: if family.digital { [0; 3] } else { stock(&mut random) },
                        };
                        variants += 1;
                        variant
                    })
                    .collect();
                products.push(Product {
                    id: FIRST_PRODUCT_ID + index,
                    title: format!("{series} {} Gen {generation}", family.name),
                    family: family.name,
                    status,
                    created_at: OPENED + Duration::days(360 * (generation - 1)) + Duration::hours(14 * step),
                    variants: of_product,
                });
            }
        }
    }
    products
}

/// A third of the places is empty, so that some variants are sold out.
fn stock(random: &mut Random) -> [i64; LOCATIONS.len()] {
    let mut place = || if random.chance(35) { 0 } else { random.between(1, 120) };
    [place(), place(), place()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::catalogue;

    #[test]
    fn fills_three_pages_with_distinct_skus() {
        let products = catalogue();
        assert_eq!(products.len(), 600);
        let variants: Vec<_> = products.iter().flat_map(|product| &product.variants).collect();
        let skus: BTreeSet<_> = variants.iter().map(|variant| &variant.sku).collect();
        let ids: BTreeSet<_> = variants.iter().map(|variant| variant.id).collect();
        assert_eq!((skus.len(), ids.len()), (variants.len(), variants.len()));
        assert!(variants.iter().any(|variant| variant.available() == 0 && !variant.sold_without_stock));
        assert!(variants.iter().any(|variant| variant.available() > 0));
        assert!(products.iter().all(|product| product.variants.iter().all(|variant| variant.price.scale() == 2)));
    }
}
