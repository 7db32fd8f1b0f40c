//! An answer of a wanted form, always the same to the same words: the first of what is listed, else `0`, `false`,
//! an empty list, an id that was said (`customer_id`), or the words that say who answers.

use serde_json::{Map, Value, json};

use super::{arguments, facts::Facts};

/// The deepest schema that is filled; deeper parts are null.
const MAX_DEPTH: usize = 16;

/// A value that meets a schema of plain shape: `type`, `enum`, `const`, `default`, `properties`, `required`.
pub(super) fn value(schema: &Value, facts: &Facts) -> Value {
    at("", schema, facts, 0)
}

/// `name` is what the value is called, where it is called anything.
fn at(name: &str, schema: &Value, facts: &Facts, depth: usize) -> Value {
    let listed = schema.get("enum").and_then(Value::as_array).and_then(|listed| listed.first());
    let examples = schema.get("examples").and_then(Value::as_array).and_then(|examples| examples.first());
    let given = schema.get("const").or_else(|| schema.get("default")).or(listed).or(examples);
    if let Some(value) = given {
        return value.clone();
    }
    if depth == MAX_DEPTH {
        return Value::Null;
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => schema.get("properties").map(|_| "object"),
    };
    match kind {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let filled =
                properties.into_iter().flatten().map(|(name, part)| (name.clone(), at(name, part, facts, depth + 1)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Some("number" | "integer") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => Value::Bool(false),
        Some("array") => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(16);
            let item = schema.get("items").map_or(Value::Null, |items| at("", items, facts, depth + 1));
            (0..least).map(|_| item.clone()).collect()
        }
        Some("null") => Value::Null,
        _ => {
            let id = arguments::id_of(name).and_then(|noun| arguments::fitting(&noun, facts));
            id.map_or_else(|| json!("said by the offline model"), Value::String)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_there_and_of_its_type() {
        let schema = json!({
            "type": "object",
            "properties": {
                "score": {"type": "number"}, "level": {"type": "string", "examples": ["low", "high"]},
                "ok": {"type": "boolean"}, "tags": {"type": "array"}, "any": {"type": ["string", "number"]},
                "kind": {"enum": ["a", "b"]}, "deep": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}},
            },
        });
        let expected = json!({
            "score": 0, "level": "low", "ok": false, "tags": [], "any": "said by the offline model", "kind": "a",
            "deep": {"n": 1},
        });
        assert_eq!(value(&schema, &Facts::default()), expected);
        let mut deep = json!({"type": "number"});
        for _ in 0..100 {
            deep = json!({"type": "object", "properties": {"a": deep}});
        }
        assert!(value(&deep, &Facts::default()).is_object());
    }

    #[test]
    fn an_id_that_was_said_is_the_one_that_is_wanted() {
        let said = "Order ord_00017 of {\"customers\":[{\"id\":\"cust_801\",\"name\":\"Ann\"}]}";
        let facts = Facts::of(said, &[], &[]);
        let wanted = |name: &str| {
            let filled = value(&json!({"properties": {name: {"type": "string"}}}), &facts);
            filled.get(name).cloned().unwrap_or_default()
        };
        assert_eq!((wanted("customer_id"), wanted("order_id")), (json!("cust_801"), json!("ord_00017")));
        assert_eq!(wanted("ticket_id"), "said by the offline model");
    }
}
