//! JSON Schemas from types, built only when a plugin is asked to describe itself: a call needs none.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// What `structured` calls a list, which MCP wants inside an object.
pub(crate) const ITEMS: &str = "items";
/// What `structured` calls any other answer that is no object.
pub(crate) const RESULT: &str = "result";

/// The schema of a tool's arguments.
pub(crate) fn of_arguments<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = of::<T>(SchemaSettings::draft2020_12().for_deserialize());
    schema.entry("type").or_insert_with(|| json!("object"));
    schema
}

/// The schema of a tool's answer as `Answer` writes it: an object as it is, a list as its `items`, a
/// scalar as its `result`. None for a type that is now an object and now not.
pub(crate) fn of_answer<T: JsonSchema>() -> Option<Map<String, Value>> {
    let mut schema = of::<T>(SchemaSettings::draft2020_12().for_serialize());
    let kind = schema.get("type").and_then(Value::as_str).map(str::to_owned);
    match kind.as_deref() {
        Some("object") => Some(schema),
        Some("array") => Some(wrapped(ITEMS, schema)),
        Some("string" | "number" | "integer" | "boolean" | "null") => Some(wrapped(RESULT, schema)),
        _ if all_objects(&schema) => {
            schema.insert("type".into(), json!("object"));
            Some(schema)
        }
        _ => None,
    }
}

/// The schema of a step's output, as it is.
pub(crate) fn of_output<T: JsonSchema>() -> Map<String, Value> {
    of::<T>(SchemaSettings::draft2020_12().for_serialize())
}

/// Whether a tagged enum's variants are all objects.
fn all_objects(schema: &Map<String, Value>) -> bool {
    let variants = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    variants.is_some_and(|variants| {
        variants.iter().all(|variant| variant.get("type").and_then(Value::as_str) == Some("object"))
    })
}

fn wrapped(name: &str, mut schema: Map<String, Value>) -> Map<String, Value> {
    let definitions = schema.remove("$defs");
    let mut outer = Map::new();
    outer.insert("type".into(), json!("object"));
    outer.insert("properties".into(), json!({ name: schema }));
    outer.insert("required".into(), json!([name]));
    if let Some(definitions) = definitions {
        outer.insert("$defs".into(), definitions);
    }
    outer
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let settings = settings.with(|settings| {
        settings.meta_schema = None;
        // Some models' function calling reads no `$ref`.
        settings.inline_subschemas = true;
    });
    let schema: Value = settings.into_generator().into_root_schema_for::<T>().into();
    match schema {
        Value::Object(mut map) => {
            map.remove("title");
            map
        }
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::{of_answer, of_arguments};
    use crate::Money;

    /// What to look for.
    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Search {
        /// Part of the name.
        name: String,
        #[serde(default = "ten")]
        #[schemars(range(max = 100))]
        limit: u32,
    }

    fn ten() -> u32 {
        10
    }

    #[test]
    fn arguments_carry_comments_defaults_and_bounds() {
        assert_eq!(
            Value::Object(of_arguments::<Search>()),
            json!({
                "description": "What to look for.",
                "type": "object",
                "properties": {
                    "name": { "description": "Part of the name.", "type": "string" },
                    "limit": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": 100, "default": 10 },
                },
                "required": ["name"],
            })
        );
    }

    #[test]
    fn answers_are_objects() {
        #[derive(Serialize, JsonSchema)]
        #[serde(tag = "kind")]
        enum Found {
            One { name: String },
            None,
        }
        let _ = [Found::One { name: String::new() }, Found::None];
        let of = |schema: Option<serde_json::Map<String, Value>>| schema.map(Value::Object);
        assert_eq!(
            of(of_answer::<Vec<Money>>()),
            Some(json!({
                "type": "object",
                "properties": { "items": { "type": "array", "items": { "type": "number" } } },
                "required": ["items"],
            }))
        );
        assert_eq!(
            of(of_answer::<String>()),
            Some(json!({ "type": "object", "properties": { "result": { "type": "string" } }, "required": ["result"] }))
        );
        assert_eq!(of(of_answer::<Found>()).and_then(|it| it.get("type").cloned()), Some(json!("object")));
        assert_eq!(of(of_answer::<Option<Search>>()), None);
    }
}
