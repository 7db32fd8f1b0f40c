//! JSON Schemas of the authored types, for editors and for the check of shape: one source for both.
//!
//! Deliberately absent: the schema of workflows, which `remit-workflow` derives from its own types.

use serde_json::Value;

/// The schemas that stand in `configs/schema/`, by file name.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("context.schema.json", of::<crate::context::authored::Context>()),
        ("host.schema.json", of::<crate::host::authored::Host>()),
    ]
}

/// The schema of an authored type. A key that may be left out may not be `null` instead.
pub fn of<T: schemars::JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    without_null(&mut schema);
    schema
}

/// A schema as its file holds it.
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(alternatives)) = members.get_mut("anyOf") {
                alternatives.retain(|one| one.get("type").is_none_or(|name| name != "null"));
                if let [only] = alternatives.as_slice() {
                    let only = only.clone();
                    members.shift_remove("anyOf");
                    if let Value::Object(only) = only {
                        only.into_iter().for_each(|(key, value)| {
                            members.entry(key).or_insert(value);
                        });
                    }
                }
            }
            if members.get("default").is_some_and(Value::is_null) {
                members.shift_remove("default");
            }
            members.values_mut().for_each(without_null);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                if property.get("description").and_then(Value::as_str).is_none() {
                    found.push(format!("{path}.{name}"));
                }
            }
        }
        if let Some(members) = schema.as_object() {
            members.iter().for_each(|(name, inner)| undescribed(inner, &format!("{path}.{name}"), found));
        }
    }

    #[test]
    fn every_key_is_described() {
        let mut found = Vec::new();
        all().iter().for_each(|(name, schema)| undescribed(schema, name, &mut found));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/schema");
        for (name, schema) in all() {
            let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            assert!(committed == text(&schema), "configs/schema/{name} has drifted: run `cargo xtask schema`");
        }
    }
}
