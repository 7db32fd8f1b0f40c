//! What a step can do with a shop, and where in the API that lies.

use remit_sdk::prelude::*;

/// What to do with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Operation {
    #[serde(rename = "orders.get")]
    OrdersGet,
    #[serde(rename = "orders.list")]
    OrdersList,
    #[serde(rename = "orders.create")]
    OrdersCreate,
    #[serde(rename = "orders.update")]
    OrdersUpdate,
    #[serde(rename = "orders.cancel")]
    OrdersCancel,
    #[serde(rename = "products.get")]
    ProductsGet,
    #[serde(rename = "products.list")]
    ProductsList,
    #[serde(rename = "products.create")]
    ProductsCreate,
    #[serde(rename = "products.update")]
    ProductsUpdate,
    #[serde(rename = "customers.get")]
    CustomersGet,
    #[serde(rename = "customers.list")]
    CustomersList,
    #[serde(rename = "customers.create")]
    CustomersCreate,
    #[serde(rename = "customers.update")]
    CustomersUpdate,
    #[serde(rename = "inventory.get")]
    InventoryGet,
    #[serde(rename = "inventory.adjust")]
    InventoryAdjust,
    #[serde(rename = "price_rules.list")]
    PriceRulesList,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    List,
    Create,
    Update,
    Cancel,
    Adjust,
}

impl Operation {
    /// What is done.
    pub(crate) fn verb(self) -> Verb {
        match self {
            Self::OrdersGet | Self::ProductsGet | Self::CustomersGet | Self::InventoryGet => Verb::Get,
            Self::OrdersList | Self::ProductsList | Self::CustomersList | Self::PriceRulesList => Verb::List,
            Self::OrdersCreate | Self::ProductsCreate | Self::CustomersCreate => Verb::Create,
            Self::OrdersUpdate | Self::ProductsUpdate | Self::CustomersUpdate => Verb::Update,
            Self::OrdersCancel => Verb::Cancel,
            Self::InventoryAdjust => Verb::Adjust,
        }
    }

    /// The path, which is also the name of a list.
    pub(crate) fn path(self) -> &'static str {
        match self.kind() {
            "Order" => "orders",
            "Product" => "products",
            "Customer" => "customers",
            "PriceRule" => "price_rules",
            _ => "inventory_levels",
        }
    }

    /// What one entry is wrapped in.
    pub(crate) fn one(self) -> &'static str {
        match self.kind() {
            "Order" => "order",
            "Product" => "product",
            "Customer" => "customer",
            "PriceRule" => "price_rule",
            _ => "inventory_level",
        }
    }

    /// The kind of thing that an id means, as Shopify's ids name it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::OrdersGet | Self::OrdersList | Self::OrdersCreate | Self::OrdersUpdate | Self::OrdersCancel => {
                "Order"
            }
            Self::ProductsGet | Self::ProductsList | Self::ProductsCreate | Self::ProductsUpdate => "Product",
            Self::CustomersGet | Self::CustomersList | Self::CustomersCreate | Self::CustomersUpdate => "Customer",
            Self::InventoryGet | Self::InventoryAdjust => "InventoryItem",
            Self::PriceRulesList => "PriceRule",
        }
    }
}
