//! JSON Schemas of tools, compiled once and asked before a guest sees anything.

use std::sync::Arc;

use serde_json::Value;

/// What is wrong with a value, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// A JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// For people.
    pub message: String,
}

/// A text that is not a JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Schema: {0}")]
pub struct NotASchema(pub String);

/// A schema, as written and as compiled. References outside itself are refused.
#[derive(Debug, Clone)]
pub struct Schema {
    authored: Arc<Value>,
    validator: Arc<jsonschema::Validator>,
}

impl Schema {
    /// The most problems that one check reports.
    pub const MAX_PROBLEMS: usize = 20;

    /// Compiles a schema from JSON text. Errors: [`NotASchema`].
    pub fn parse(text: &str) -> Result<Self, NotASchema> {
        Self::new(serde_json::from_str(text).map_err(|error| NotASchema(error.to_string()))?)
    }

    /// Compiles a schema. Errors: [`NotASchema`].
    pub fn new(authored: Value) -> Result<Self, NotASchema> {
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            // Linear in its input: a plugin's pattern can't make the host search for ever.
            .with_pattern_options(jsonschema::PatternOptions::regex().size_limit(1 << 20))
            .build(&authored)
            .map_err(|error| NotASchema(error.to_string()))?;
        Ok(Self { authored: Arc::new(authored), validator: Arc::new(validator) })
    }

    /// The schema as written.
    pub fn authored(&self) -> &Value {
        &self.authored
    }

    /// Checks a value. Errors: what is wrong, up to [`Self::MAX_PROBLEMS`].
    pub fn check(&self, value: &Value) -> Result<(), Vec<Problem>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let problems = self.validator.iter_errors(value).take(Self::MAX_PROBLEMS);
        Err(problems
            .map(|error| Problem {
                pointer: error.instance_path().to_string(),
                // A whole value may be large and private: the message names it by its place only.
                message: error.masked().to_string(),
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: Value, value: Value) -> Result<Vec<Problem>, NotASchema> {
        Ok(Schema::new(schema)?.check(&value).err().unwrap_or_default())
    }

    #[test]
    fn a_problem_names_the_field_and_not_the_value() -> Result<(), NotASchema> {
        let schema = json!({"type": "object", "properties": {"limit": {"type": "integer", "maximum": 10}}});
        let found = problems(schema, json!({"limit": 4242}))?;
        assert_eq!(found.iter().map(|it| it.pointer.as_str()).collect::<Vec<_>>(), ["/limit"]);
        assert!(found.iter().all(|it| !it.message.contains("4242")), "{found:?}");
        Ok(())
    }

    #[test]
    fn schemas_that_are_none_or_reach_outside_are_refused() {
        for bad in [
            json!({"type": "nothing"}),
            json!({"$ref": "http://127.0.0.1/x"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"type": "string", "pattern": "(a"}),
        ] {
            assert!(Schema::new(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_schema_that_refers_to_itself_without_end_does_not_end_the_host() {
        let checked = Schema::new(json!({"type": "object", "$ref": "#"})).map(|schema| schema.check(&json!({"a": 1})));
        assert!(matches!(checked, Ok(Ok(())) | Err(_)), "{checked:?}");
        let mutual = json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}});
        let checked = Schema::new(mutual).map(|schema| schema.check(&json!({"a": 1})));
        assert!(matches!(checked, Ok(Ok(())) | Err(_)), "{checked:?}");
    }

    #[test]
    fn a_pattern_that_makes_backtracking_explode_takes_no_time() -> Result<(), NotASchema> {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}});
        assert_eq!(problems(schema, json!({"a": format!("{}b", "a".repeat(10_000))}))?.len(), 1);
        Ok(())
    }
}
