//! `locations` and `inventory_levels`.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::page::{self, Entry};
use super::store::{Store, moment};
use super::{Answer, Call};
use crate::data::catalogue::LOCATIONS;

/// The most ids of one request.
const MAX_IDS: usize = 50;

pub(super) fn locations() -> Value {
    LOCATIONS.iter().map(|(id, name)| json!({ "id": id, "name": name, "active": true })).collect()
}

pub(super) fn levels(store: &Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    page::answer("inventory_levels", call, &["inventory_item_ids", "location_ids"], |filters| {
        let items = ids(filters.get("inventory_item_ids"))?;
        let places = ids(filters.get("location_ids"))?;
        if items.is_none() && places.is_none() {
            let message = "You must include inventory_item_ids, location_ids, or both as filter parameters.";
            return Err(Refusal::unprocessable("base", message));
        }
        let wanted = |ids: &Option<Vec<u64>>, id: u64| ids.as_ref().is_none_or(|ids| ids.contains(&id));
        let mut entries = Vec::new();
        for product in store.products.values() {
            let variants = product.variants.iter().filter(|variant| wanted(&items, variant.inventory_item_id));
            for variant in variants {
                let places = LOCATIONS.iter().zip(variant.stock).filter(|((place, _), _)| wanted(&places, *place));
                for ((place, _), available) in places {
                    let value = level(variant.inventory_item_id, *place, available, &moment(product.created_at));
                    // A level has no id of its own; a running number orders the pages.
                    entries.push(Entry { id: entries.len() as u64, value });
                }
            }
        }
        Ok(entries)
    })
}

pub(super) fn adjust(store: &mut Store, call: &Call<'_>) -> Result<Answer, Refusal> {
    let body = call.plain()?;
    let field = |name: &str| body.get(name).and_then(Value::as_i64).ok_or_else(|| Refusal::missing(name));
    let (item, place, by) = (field("inventory_item_id")?, field("location_id")?, field("available_adjustment")?);
    let now = store.now_text();
    let mut variants = store.products.values_mut().flat_map(|product| &mut product.variants);
    let variant = variants.find(|variant| i64::try_from(variant.inventory_item_id) == Ok(item));
    let position = LOCATIONS.iter().position(|(id, _)| i64::try_from(*id) == Ok(place));
    let (Some(variant), Some(position)) = (variant, position) else { return Err(Refusal::not_found()) };
    let Some(stock) = variant.stock.get_mut(position) else { return Err(Refusal::not_found()) };
    *stock = stock.checked_add(by).ok_or_else(|| Refusal::unprocessable("available_adjustment", "is too large"))?;
    let available = *stock;
    let place = u64::try_from(place).map_err(|_error| Refusal::not_found())?;
    Ok(Answer::ok("inventory_level", level(variant.inventory_item_id, place, available, &now)))
}

fn level(item: u64, place: u64, available: i64, updated_at: &str) -> Value {
    json!({ "inventory_item_id": item, "location_id": place, "available": available, "updated_at": updated_at })
}

fn ids(text: Option<&String>) -> Result<Option<Vec<u64>>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let ids: Result<Vec<u64>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    match ids {
        Ok(ids) if ids.len() <= MAX_IDS => Ok(Some(ids)),
        Ok(_) => Err(Refusal::unprocessable("base", "maximum of 50 ids")),
        Err(_) => Err(Refusal::bad_request("ids", "expected String to be a list of ids")),
    }
}
