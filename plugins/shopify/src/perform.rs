//! The requests that an operation comes to.

use std::time::Duration;

use remit_sdk::{
    prelude::*,
    serde_json::{self, Map, Value as Json},
    source::{Paging, Response},
};

use crate::{
    Config, Id, id,
    operation::{Operation, Verb},
    status,
};

/// The most entries that Shopify puts on a page, and that a step gives if it says no number.
const PAGE: u32 = 250;
/// The most that a step may ask for.
const MAX_LIMIT: u32 = 5_000;
/// What a page may need: with less to go no further one is asked for.
const TIME_FOR_A_PAGE: Duration = Duration::from_millis(500);

/// What an operation came to.
pub(crate) struct Done {
    pub data: Json,
    pub count: Option<usize>,
    pub truncated: Option<bool>,
}

pub(crate) fn perform(config: &Config, api: &Api, call: &Call) -> Result<Done> {
    let operation = config.operation;
    let (path, one) = (operation.path(), operation.one());
    match operation.verb() {
        Verb::Get if operation == Operation::InventoryGet => levels(config, api, call),
        Verb::Get => {
            let request = Request::get(format!("{path}/{}.json", id_of(config)?));
            let response = asked(api, &fields(request, config))?;
            Ok(Done::one(opened(api, &response, one)?))
        }
        Verb::List => list(config, api, call, query(config)?),
        Verb::Create => {
            let request = Request::post(format!("{path}.json")).json(&json!({one: data(config)?}))?;
            Ok(Done::one(opened(api, &asked(api, &request)?, one)?))
        }
        Verb::Update => {
            let id = id_of(config)?;
            let mut data = data(config)?.clone();
            if operation == Operation::OrdersUpdate {
                status::kept(&mut data, id, api)?;
            }
            data.insert("id".to_owned(), id.into());
            let request = Request::put(format!("{path}/{id}.json")).json(&json!({one: data}))?;
            Ok(Done::one(opened(api, &asked(api, &request)?, one)?))
        }
        Verb::Cancel => cancel(config, api),
        Verb::Adjust => adjust(config, api),
    }
}

/// An order that is cancelled stays so, whoever did it: a second request finds what the first has done.
fn cancel(config: &Config, api: &Api) -> Result<Done> {
    let id = id_of(config)?;
    let body = config.data.clone().unwrap_or_default();
    let request = Request::post(format!("orders/{id}/cancel.json")).json(&body)?;
    let refused = match asked(api, &request) {
        Ok(response) => return Ok(Done::one(opened(api, &response, "order")?)),
        Err(refused) => refused,
    };
    if !matches!(refused.cause(), Some(Cause::Rejected(_))) {
        return Err(refused);
    }
    let found = asked(api, &Request::get(format!("orders/{id}.json")))?;
    let order = opened(api, &found, "order")?;
    let cancelled = order.get("cancelled_at").is_some_and(|at| !at.is_null());
    if cancelled { Ok(Done::one(order)) } else { Err(refused) }
}

fn adjust(config: &Config, api: &Api) -> Result<Done> {
    let data = data(config)?;
    let number = |name: &str| {
        let pointer = format!("/data/{name}");
        let value = data.get(name).ok_or_else(|| Error::invalid(&pointer, format!("`{name}` is needed")))?;
        let whole = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        whole.ok_or_else(|| Error::invalid(&pointer, format!("`{name}` is a whole number")))
    };
    let place = match data.get("location_id") {
        Some(Json::String(text)) if text.starts_with("gid:") => {
            id::read(text, "Location").map_err(|message| Error::invalid("/data/location_id", message))?.into()
        }
        _ => Json::from(number("location_id")?),
    };
    if let Some(other) = data.keys().find(|key| !["location_id", "available_adjustment"].contains(&key.as_str())) {
        return Err(Error::invalid(format!("/data/{other}"), format!("an adjustment takes no `{other}`")));
    }
    let body = json!({
        "inventory_item_id": id_of(config)?, "location_id": place,
        "available_adjustment": number("available_adjustment")?,
    });
    let request = Request::post("inventory_levels/adjust.json").json(&body)?;
    Ok(Done::one(opened(api, &asked(api, &request)?, "inventory_level")?))
}

fn levels(config: &Config, api: &Api, call: &Call) -> Result<Done> {
    let mut query = query(config)?;
    if config.resource_id.is_some() {
        query.push(("inventory_item_ids".to_owned(), id_of(config)?.to_string()));
    }
    list(config, api, call, query)
}

fn list(config: &Config, api: &Api, call: &Call, query: Vec<(String, String)>) -> Result<Done> {
    let limit = config.limit.unwrap_or(PAGE);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::invalid("/limit", format!("`limit` is a number from 1 to {MAX_LIMIT}")));
    }
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let path = config.operation.path();
    let mut first = Request::get(format!("{path}.json")).query("limit", PAGE.min(limit));
    first.query.extend(query);
    let pages = api.pages(fields(first, config), Paging::Link).keeping(&["limit", "fields"]);
    let (mut entries, mut more) = (Vec::new(), false);
    for page in pages {
        let page = page?;
        let mut body: Json = api.json_of(&page)?;
        let found = body.get_mut(path).and_then(Json::as_array_mut).map(std::mem::take);
        entries.extend(found.ok_or_else(|| Error::refused(format!("the shop's answer has no `{path}`")))?);
        more = page.header("link").is_some_and(|link| link.contains("rel=\"next\""));
        if entries.len() >= wanted {
            break;
        }
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        if more && call.remaining() < TIME_FOR_A_PAGE {
            return Err(Error::refused("the list is too long to read in the time left: ask for less by `limit`"));
        }
    }
    let truncated = more || entries.len() > wanted;
    entries.truncate(wanted);
    Ok(Done { count: Some(entries.len()), truncated: Some(truncated), data: entries.into() })
}

impl Done {
    fn one(data: Json) -> Self {
        Self { data, count: None, truncated: None }
    }
}

fn id_of(config: &Config) -> Result<u64> {
    match &config.resource_id {
        Some(Id::Number(id)) => Ok(*id),
        Some(Id::Text(text)) => {
            id::read(text.trim(), config.operation.kind()).map_err(|message| Error::invalid("/resourceId", message))
        }
        None => Err(Error::invalid("", "`resourceId` is needed")),
    }
}

fn data(config: &Config) -> Result<&Map<String, Json>> {
    let data = config.data.as_ref().filter(|data| !data.is_empty());
    data.ok_or_else(|| Error::invalid("/data", "`data` is needed: an object of values"))
}

fn fields(request: Request, config: &Config) -> Request {
    match &config.fields {
        Some(fields) if !fields.is_empty() => request.query("fields", fields.join(",")),
        _ => request,
    }
}

/// The filters of a list. `limit` and the cursor are the step's own.
fn query(config: &Config) -> Result<Vec<(String, String)>> {
    let mut query = Vec::new();
    for (name, value) in config.query.iter().flatten() {
        let pointer = format!("/query/{name}");
        if matches!(name.as_str(), "limit" | "fields" | "page_info") {
            return Err(Error::invalid(pointer, format!("`{name}` is no filter")));
        }
        let text = match value {
            Json::Array(values) => {
                values.iter().map(|value| plain(value, &pointer)).collect::<Result<Vec<_>>>()?.join(",")
            }
            value => plain(value, &pointer)?,
        };
        query.push((name.clone(), text));
    }
    Ok(query)
}

fn plain(value: &Json, pointer: &str) -> Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        _ => Err(Error::invalid(pointer, "a filter is a text, number or boolean, or a list of such")),
    }
}

/// A request that must succeed. A refusal tells in Shopify's words which value it is about.
fn asked(api: &Api, request: &Request) -> Result<Response> {
    let response = api.send(request)?;
    if response.is_success() { Ok(response) } else { Err(api.failure(request.method, &response, &words(&response))) }
}

/// What `errors` says: a text, or the faults of each field.
fn words(response: &Response) -> String {
    let body: Option<Json> = serde_json::from_slice(&response.body).ok();
    match body.as_ref().and_then(|body| body.get("errors")) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Object(fields)) => {
            let each = fields.iter().map(|(field, faults)| match faults {
                Json::Array(faults) => {
                    let faults: Vec<&str> = faults.iter().filter_map(Json::as_str).collect();
                    format!("{field} {}", faults.join(", "))
                }
                other => format!("{field} {}", other.as_str().unwrap_or_default()),
            });
            each.collect::<Vec<_>>().join("; ")
        }
        _ => String::new(),
    }
}

/// What an answer wraps. Errors: `refused` if it is not there.
fn opened(api: &Api, response: &Response, one: &str) -> Result<Json> {
    let mut body: Json = api.json_of(response)?;
    let found = body.get_mut(one).map(Json::take);
    found.ok_or_else(|| Error::refused(format!("the shop's answer has no `{one}`")))
}
