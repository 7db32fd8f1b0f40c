//! Says in words what tools returned: counts, names, totals, and nothing that is not in there.

use remit_domain::model::ToolOffer;
use serde_json::{Map, Value};

use super::ToolResult;

/// What every answer ends with.
pub(super) const DISCLAIMER: &str = "(This is Remit's offline model: it picks tools by matching words and repeats what \
    they return. Set OPENAI_API_KEY or OPENAI_BASE_URL for a model that thinks.)";

/// The most items of a list that are named.
const NAMED: usize = 3;
/// The most plain values of a result that are told.
const PLAIN: usize = 8;
/// The most characters of one text that are repeated.
const TEXT: usize = 240;

/// Keys that name an item, the best first.
const LABELS: &[&str] =
    &["name", "title", "product_title", "product_name", "order_number", "subject", "code", "email", "sku", "id", "uri"];
/// Keys that tell items apart or say how they stand.
const DETAILS: &[&str] = &["company", "status", "total_amount", "value", "inventory_quantity", "id"];

/// The answer in words.
pub(super) fn of(results: &[ToolResult<'_>], offered: &[ToolOffer]) -> String {
    if results.is_empty() {
        let names: Vec<&str> = offered.iter().map(|tool| tool.name.as_str()).collect();
        return match names.as_slice() {
            [] => format!("I have no tools here, so there is nothing that I could look up. {DISCLAIMER}"),
            names => {
                format!(
                    "I found nothing in your message that fits a tool. I can use: {}. {DISCLAIMER}",
                    names.join(", ")
                )
            }
        };
    }
    let mut lines: Vec<String> = results.iter().map(line).collect();
    lines.push(DISCLAIMER.to_owned());
    lines.join("\n")
}

fn line(result: &ToolResult<'_>) -> String {
    match result.failure() {
        Some(error) => format!("- {} failed: {}", result.tool, cut(error)),
        None => format!("- {}: {}", result.tool, describe(result.answer())),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Object(fields) => object(fields),
        Value::Array(items) => list("results", items),
        Value::Null => "nothing".to_owned(),
        plain => text(plain),
    }
}

fn object(fields: &Map<String, Value>) -> String {
    let lists = fields.iter().filter_map(|(name, value)| Some(list(name, value.as_array()?)));
    let plain = fields.iter().filter(|(_, value)| is_plain(value));
    let plain = plain.take(PLAIN).map(|(name, value)| format!("{} {}", words(name), text(value)));
    let mut parts: Vec<String> = lists.chain(plain).collect();
    if parts.is_empty() {
        let nested = fields.iter().filter_map(|(name, value)| Some(format!("{} {}", words(name), label(value)?)));
        parts = nested.take(PLAIN).collect();
    }
    if parts.is_empty() { "an empty answer".to_owned() } else { parts.join("; ") }
}

fn list(name: &str, items: &[Value]) -> String {
    let labels: Vec<String> = items.iter().take(NAMED).filter_map(label).collect();
    let name = words(name);
    let more = items.len().saturating_sub(labels.len());
    match (items.len(), labels.is_empty()) {
        (0, _) => format!("no {name}"),
        (count, true) => format!("{count} {name}"),
        (count, false) if more == 0 => format!("{count} {name}: {}", labels.join(", ")),
        (count, false) => format!("{count} {name}: {}, and {more} more", labels.join(", ")),
    }
}

/// An item by its name, with what tells it apart.
fn label(item: &Value) -> Option<String> {
    let Value::Object(fields) = item else { return is_plain(item).then(|| text(item)) };
    let plain = |key: &&&str| fields.get(**key).is_some_and(is_plain);
    let key = LABELS.iter().find(plain)?;
    let details = DETAILS.iter().filter(|detail| *detail != key).filter(plain);
    let details: Vec<String> = details.filter_map(|detail| fields.get(*detail)).take(3).map(text).collect();
    let name = fields.get(*key).map(text)?;
    Some(if details.is_empty() { name } else { format!("{name} ({})", details.join(", ")) })
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => cut(&other.to_string()),
    }
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn cut(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(TEXT) {
        words.truncate(end);
        words.push('…');
    }
    words
}
