//! An order's `status`, which Shopify does not let anybody set: it is what the order's payment and fulfilment come
//! to. A word of a shop's own, such as `processing`, is kept as the order's attribute `status`, which Shopify
//! shows beside the order.

use remit_sdk::{
    Error, Result,
    prelude::json,
    serde_json::{Map, Value as Json},
    source::{Api, Request},
};

/// The attribute that holds it.
const ATTRIBUTE: &str = "status";

/// Whether a word can be an order's status. Errors: what else to do, for people.
pub(crate) fn settable(word: &str) -> Result<(), String> {
    match word {
        "cancelled" | "canceled" => Err("an order is cancelled by `orders.cancel`".to_owned()),
        "open" | "closed" | "any" => Err(format!("`{word}` is Shopify's own word, and nobody's to set")),
        _ if word.trim().is_empty() => Err("a status is a word".to_owned()),
        _ => Ok(()),
    }
}

/// Takes `status` out of an order's new values, and adds it to the attributes that the order has, or is to have.
pub(crate) fn kept(data: &mut Map<String, Json>, order: u64, api: &Api) -> Result<()> {
    let Some(status) = data.remove("status") else { return Ok(()) };
    let word = status.as_str().ok_or_else(|| Error::invalid("/data/status", "a status is a text"))?;
    settable(word).map_err(|message| Error::invalid("/data/status", message))?;
    let mut attributes = match data.remove("note_attributes") {
        Some(Json::Array(attributes)) => attributes,
        Some(_) => return Err(Error::invalid("/data/note_attributes", "attributes are a list")),
        None => {
            let request = Request::get(format!("orders/{order}.json")).query("fields", "id,note_attributes");
            let mut found: Json = api.fetch_json(&request)?;
            match found.pointer_mut("/order/note_attributes").map(Json::take) {
                Some(Json::Array(attributes)) => attributes,
                _ => Vec::new(),
            }
        }
    };
    attributes.retain(|attribute| attribute.get("name").and_then(Json::as_str) != Some(ATTRIBUTE));
    attributes.push(json!({"name": ATTRIBUTE, "value": word}));
    data.insert("note_attributes".to_owned(), attributes.into());
    Ok(())
}
