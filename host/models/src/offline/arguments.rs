//! Arguments: fills a tool's schema from facts.
//!
//! Deliberately absent: guessing. What the message does not say stays out; a required argument that
//! cannot be filled keeps the tool from being called.

use serde_json::{Map, Value};

use super::{facts::Facts, words};

/// As much of the arguments as the facts give.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// What was found.
    pub(super) arguments: Map<String, Value>,
    /// The required ones that were not.
    pub(super) missing: Vec<String>,
}

/// Names of arguments that say what to look for.
const QUERIES: &[&str] = &["query", "q", "search", "search_query", "term", "keyword", "keywords"];
/// Names of arguments that take a text in the user's own words.
const TEXTS: &[&str] =
    &["notes", "note", "content", "body", "message", "text", "description", "title", "comment", "subject"];
/// Things that are named by a SKU or another label rather than by an id with their own name in it.
const LABELLED: &[&str] = &["product", "item", "sku", "machine", "equipment", "part", "variant"];
/// Values of enumerations that are too common as words to be meant.
const COMMON: &[&str] = &["any", "all", "other", "normal", "none", "default"];

/// Fills what a schema asks for. `nouns` are the stems of what the tool is about: not worth searching for.
pub(super) fn fill(schema: &Value, said: &str, facts: &Facts, nouns: &[String]) -> Filled {
    let mut filled = Filled::default();
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|list| list.iter().any(|it| it.as_str() == Some(name)));
    for (name, property) in properties.into_iter().flatten() {
        let required = is_required(name);
        let property = resolve(schema, property);
        match value(schema, name, property, required, said, facts, nouns) {
            Some(value) => {
                filled.arguments.insert(name.clone(), value);
            }
            None if required => match property.get("default") {
                Some(default) => {
                    filled.arguments.insert(name.clone(), default.clone());
                }
                None => filled.missing.push(name.clone()),
            },
            None => {}
        }
    }
    filled
}

fn value(
    root: &Value,
    name: &str,
    property: &Value,
    required: bool,
    said: &str,
    facts: &Facts,
    nouns: &[String],
) -> Option<Value> {
    if let Some(fixed) = property.get("const") {
        return required.then(|| fixed.clone());
    }
    let choices = choices(root, property);
    if !choices.is_empty() {
        return choice(&choices, said).map(Value::String);
    }
    if !takes_text(root, property) {
        return None;
    }
    string(name, property, required, said, facts, nouns).map(Value::String)
}

fn string(name: &str, property: &Value, required: bool, said: &str, facts: &Facts, nouns: &[String]) -> Option<String> {
    let lower = name.to_lowercase();
    let quoted = || facts.quoted.first().cloned();
    if let Some(noun) = id_of(name) {
        let known = || facts.known.get(&format!("{noun}_id")).filter(|_| required).cloned();
        return fitting(&noun, facts).or_else(known);
    }
    if let Some(known) = facts.known.get(name) {
        return Some(known.clone());
    }
    if lower.contains("email") || property.get("format").and_then(Value::as_str) == Some("email") {
        return facts.emails.first().cloned();
    }
    if QUERIES.contains(&lower.as_str()) {
        let someone = quoted().or_else(|| facts.emails.first().cloned()).or_else(|| facts.names.first().cloned());
        return someone.or_else(|| required.then(|| salient(said, nouns))?);
    }
    if lower == "sku" {
        return facts.ids.iter().find(|id| fits("sku", id)).cloned();
    }
    if lower == "name" || lower == "company" || lower.ends_with("_name") {
        return quoted().or_else(|| facts.names.first().cloned());
    }
    if TEXTS.contains(&lower.as_str()) && required {
        return quoted().or_else(|| facts.after_colon.clone());
    }
    required.then(quoted)?
}

/// The id of a thing of this kind that was said.
pub(super) fn fitting(noun: &str, facts: &Facts) -> Option<String> {
    facts.ids.iter().find(|id| fits(noun, id)).cloned()
}

/// The thing whose id an argument takes: `customer` of `customer_id` and `customerId`.
pub(super) fn id_of(name: &str) -> Option<String> {
    let noun = name.strip_suffix("_id").or_else(|| name.strip_suffix("Id"))?;
    (!noun.is_empty()).then(|| noun.to_lowercase())
}

/// Whether an id is of a thing: its letters begin the thing's name, or the thing goes by labels.
fn fits(noun: &str, id: &str) -> bool {
    let letters: String = id.chars().take_while(char::is_ascii_alphabetic).collect::<String>().to_lowercase();
    let own =
        !letters.is_empty() && !id.starts_with("gid://") && (noun.starts_with(&letters) || letters.starts_with(noun));
    let label = id.contains('-') || id.starts_with("gid://") || letters.is_empty();
    own || (label && LABELLED.contains(&noun))
}

/// The words of a message that are worth searching for, as it writes them.
fn salient(said: &str, nouns: &[String]) -> Option<String> {
    let words = words::of(said);
    let worth = words.iter().filter(|word| !words::empty(word) && !nouns.contains(&words::stem(word)));
    let worth: Vec<&str> = worth.map(String::as_str).take(4).collect();
    (!worth.is_empty()).then(|| worth.join(" "))
}

/// The choice that the message names: all of its words, or at least its last one.
fn choice(choices: &[&str], said: &str) -> Option<String> {
    let said: Vec<String> = words::of(said).iter().map(|word| words::stem(word)).collect();
    let names = |choice: &&&str| {
        let words = words::of(choice);
        let last = words.last().map(|word| words::stem(word));
        !COMMON.contains(*choice) && last.is_some_and(|last| !words::empty(&last) && said.contains(&last))
    };
    choices.iter().find(names).map(|choice| (*choice).to_owned())
}

/// The texts that an enumeration allows, in each of the ways a schema may write it.
fn choices<'a>(root: &'a Value, property: &'a Value) -> Vec<&'a str> {
    if let Some(list) = property.get("enum").and_then(Value::as_array) {
        return list.iter().filter_map(Value::as_str).collect();
    }
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| property.get(*key)?.as_array()).flatten();
    let each = alternatives.map(|alternative| resolve(root, alternative)).filter(|it| !std::ptr::eq(*it, property));
    each.flat_map(|alternative| match alternative.get("const").and_then(Value::as_str) {
        Some(text) => vec![text],
        None => named(alternative),
    })
    .collect()
}

/// One level of an alternative's own choices; deeper ones are not looked for.
fn named(alternative: &Value) -> Vec<&str> {
    let own = alternative.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let consts = alternative.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    own.chain(consts.filter_map(|it| it.get("const")?.as_str())).collect()
}

fn takes_text(root: &Value, property: &Value) -> bool {
    let is_text = |schema: &Value| match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    let alternatives = property.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    is_text(property) || alternatives.map(|it| resolve(root, it)).any(is_text)
}

/// What a reference into the same schema means; anything else means itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
    target.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}
