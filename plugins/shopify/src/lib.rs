//! Steps of type `shopify`: the node `shopify.run`, Shopify's Admin REST API by operation.
//!
//! Ids are numbers or Shopify's own (`gid://shopify/Order/1`). What sets values in a place named by its id does
//! nothing more the second time; what creates or adds would do it again, since this API knows no idempotency
//! keys. It lacks GraphQL, which `http_request` reaches.

mod id;
mod operation;
mod perform;
mod status;

use remit_sdk::{
    prelude::*,
    serde_json::{Map, Value as Json},
};

use crate::operation::{Operation, Verb};

node_set![
    Node::new("run", "Reads or changes orders, products, customers and stock of a Shopify shop.", run)
        .title("Shopify")
        .validates(validate)
];

/// The source that is asked if a step names none.
const SOURCE: &str = "ecommerce";

/// What to do, and with what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    /// What to do, such as `orders.update`.
    operation: Operation,
    /// The API source; `ecommerce` if none.
    source: Option<String>,
    /// The order, product, customer or inventory item: a number, or `gid://shopify/Order/1`.
    resource_id: Option<Id>,
    /// The values to create or set, as Shopify names them; for `inventory.adjust` `location_id` and
    /// `available_adjustment`.
    data: Option<Map<String, Json>>,
    /// Which entries of a list, by Shopify's names, such as `{status: any}`; a list of values is joined by commas.
    query: Option<Map<String, Json>>,
    /// The fields to give; all if none.
    fields: Option<Vec<String>>,
    /// The most entries of a list, 250 by default; `truncated` says that there are more.
    #[schemars(range(min = 1, max = 5000))]
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Id {
    Number(u64),
    Text(String),
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    /// As in the config.
    operation: Operation,
    /// The source's name.
    data_source: String,
    /// The order, product, customer or stock; of a list its entries.
    data: Json,
    /// How many entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    /// Whether there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

impl Config {
    fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(SOURCE)
    }
}

fn validate(config: &Written<'_>) -> Option<Validated> {
    config.requires("shopify", &["operation"]);
    let operation: Operation = config.choice("operation")?;
    let name = config.literal("operation").unwrap_or_default();
    let (needed, others): (&[&str], &[&str]) = match operation.verb() {
        Verb::Get if operation == Operation::InventoryGet => (&[], &["resourceId", "query", "limit"]),
        Verb::Get => (&["resourceId"], &["resourceId", "fields"]),
        Verb::List => (&[], &["query", "fields", "limit"]),
        Verb::Create => (&["data"], &["data"]),
        Verb::Update | Verb::Adjust => (&["resourceId", "data"], &["resourceId", "data"]),
        Verb::Cancel => (&["resourceId"], &["resourceId", "data"]),
    };
    config.requires(name, needed);
    config.takes_only(name, &[others, &["operation", "source"]].concat());
    if operation == Operation::InventoryGet && !config.has("resourceId") && !config.has("query") {
        config
            .problem("", "`inventory.get` needs `resourceId`, or `query` with `inventory_item_ids` or `location_ids`");
    }
    if let Some(Json::String(text)) = config.get("resourceId")
        && !text.contains("{{")
        && let Err(message) = id::read(text, operation.kind())
    {
        config.problem("/resourceId", message);
    }
    if let (Operation::OrdersUpdate, Some(Json::String(word))) =
        (operation, config.get("data").and_then(|data| data.get("status")))
        && let Err(message) = status::settable(word)
    {
        config.problem("/data/status", message);
    }
    let source = if config.has("source") { config.literal("source")? } else { SOURCE };
    Some(match operation.verb() {
        Verb::Get | Verb::List => Validated::harmless(vec![Need::reads(source)]),
        Verb::Update | Verb::Cancel => Validated::harmless(vec![Need::writes(source)]),
        Verb::Create | Verb::Adjust => Validated::harmful(vec![Need::writes(source)]),
    })
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    let api = call.api(config.source())?;
    let done = perform::perform(&config, &api, call)?;
    let source = config.source().to_owned();
    Ok(Output {
        success: true,
        operation: config.operation,
        data_source: source,
        data: done.data,
        count: done.count,
        truncated: done.truncated,
    })
}

#[cfg(test)]
mod tests;
