//! Pages by cursor: `limit`, `page_info` and the `Link` header.
//!
//! A cursor holds the filters of the first request, as Shopify's does, so that a page cannot be asked
//! for with others. It does not hold `fields`, and the link does not repeat them: who wants narrow
//! entries asks for them on each page. It is opaque to clients but not signed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::{Answer, Call};

/// Shopify's default number of entries on a page.
const DEFAULT_LIMIT: usize = 50;
/// The most entries on a page.
const MAX_LIMIT: usize = 250;

/// Filters of a list, from the query or from the cursor.
pub(super) type Filters = BTreeMap<String, String>;

/// One entry of a list.
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) value: Value,
}

/// Answers with one page of the entries that `select` gives for the filters, which come in the order
/// of their ids. Only the names in `known` filter; other parameters are ignored, as Shopify does.
pub(super) fn answer(
    key: &str,
    call: &Call<'_>,
    known: &[&str],
    select: impl FnOnce(&Filters) -> Result<Vec<Entry>, Refusal>,
) -> Result<Answer, Refusal> {
    let limit = limit(call.query)?;
    let cursor = call.query.get("page_info").map(|text| Cursor::decode(text)).transpose()?;
    let given = known.iter().find(|name| call.query.contains_key(**name));
    if let (Some(_), Some(name)) = (&cursor, given) {
        return Err(Refusal::bad_request("status", &format!("{name} cannot be passed when page_info is present.")));
    }
    let filters = match &cursor {
        Some(cursor) => cursor.filters.clone(),
        None => call
            .query
            .iter()
            .filter(|(name, _)| known.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let all = select(&filters)?;
    let (start, end) = bounds(&all, cursor.as_ref(), limit);
    let mut links = Vec::new();
    let page: Vec<Entry> = all.iter().skip(start).take(end - start).map(|entry| entry.clone_for(call.query)).collect();
    if let (Some(first), true) = (page.first(), start > 0) {
        links.push(link(call, limit, "previous", &Cursor { id: first.id, before: true, filters: filters.clone() }));
    }
    if let (Some(last), true) = (page.last(), end < all.len()) {
        links.push(link(call, limit, "next", &Cursor { id: last.id, before: false, filters }));
    }
    let values = page.into_iter().map(|entry| entry.value).collect();
    let link = (!links.is_empty()).then(|| links.join(", "));
    Ok(Answer { link, ..Answer::ok(key, Value::Array(values)) })
}

impl Entry {
    /// The entry with the `fields` that the query asks for.
    fn clone_for(&self, query: &BTreeMap<String, String>) -> Self {
        let value = match (query.get("fields"), &self.value) {
            (Some(fields), Value::Object(object)) => {
                let wanted: Vec<&str> = fields.split(',').map(str::trim).collect();
                let kept = object.iter().filter(|(name, _)| wanted.contains(&name.as_str()));
                Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            (_, value) => value.clone(),
        };
        Self { id: self.id, value }
    }
}

fn limit(query: &BTreeMap<String, String>) -> Result<usize, Refusal> {
    let Some(text) = query.get("limit") else { return Ok(DEFAULT_LIMIT) };
    match text.parse() {
        Ok(limit @ 1..=MAX_LIMIT) => Ok(limit),
        _ => Err(Refusal::bad_request("limit", "expected Integer between 1 and 250")),
    }
}

fn bounds(all: &[Entry], cursor: Option<&Cursor>, limit: usize) -> (usize, usize) {
    match cursor {
        None => (0, limit.min(all.len())),
        Some(cursor) if cursor.before => {
            let end = all.partition_point(|entry| entry.id < cursor.id);
            (end.saturating_sub(limit), end)
        }
        Some(cursor) => {
            let start = all.partition_point(|entry| entry.id <= cursor.id);
            (start, (start + limit).min(all.len()))
        }
    }
}

fn link(call: &Call<'_>, limit: usize, relation: &str, cursor: &Cursor) -> String {
    format!("<{}?page_info={}&limit={limit}>; rel=\"{relation}\"", call.address, cursor.encode())
}

struct Cursor {
    id: u64,
    before: bool,
    filters: Filters,
}

impl Cursor {
    fn encode(&self) -> String {
        let text = json!({ "id": self.id, "before": self.before, "filters": self.filters }).to_string();
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn decode(text: &str) -> Result<Self, Refusal> {
        Self::read(text).ok_or_else(|| Refusal::bad_request("page_info", "Invalid value."))
    }

    fn read(text: &str) -> Option<Self> {
        let digits = text.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        let bytes: Vec<u8> = digits.collect::<Option<_>>()?;
        let object: Map<String, Value> = serde_json::from_slice(&bytes).ok()?;
        let filters = object.get("filters")?.as_object()?.iter();
        let filters = filters.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Some(Self {
            id: object.get("id")?.as_u64()?,
            before: object.get("before")?.as_bool()?,
            filters: filters.collect::<Option<_>>()?,
        })
    }
}
