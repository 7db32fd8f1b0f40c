//! JSON Schemas of tools, compiled once and asked before a guest sees anything.

mod patterns;

use std::{collections::HashMap, sync::Arc};

use patterns::Patterns;
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
    /// See [`Cost`].
    cost: u64,
    patterns: usize,
    pattern_bytes: usize,
}

impl Schema {
    /// The most problems that one check reports.
    pub const MAX_PROBLEMS: usize = 20;
    /// The most that one check may be made to compute: the schema's cost for each part of the value. Some
    /// tenths of a second; a tool's whole answer of 4 MiB against its schema of some tens stays below.
    pub const MAX_WORK: u64 = 10_000_000;
    /// What a check may cost of which each problem is told: finding them all takes memory for each.
    const MAX_TOLD: u64 = 100_000;

    /// Compiles a schema from JSON text. Errors: [`NotASchema`].
    pub fn parse(text: &str) -> Result<Self, NotASchema> {
        Self::new(serde_json::from_str(text).map_err(|error| NotASchema(error.to_string()))?)
    }

    /// Compiles a schema. Errors: [`NotASchema`].
    pub fn new(authored: Value) -> Result<Self, NotASchema> {
        let patterns = Patterns::default();
        let mut cost = Cost { root: &authored, known: HashMap::new(), on_the_way: Vec::new(), patterns };
        let each = cost.of(&authored)?;
        let (patterns, pattern_bytes) = (cost.patterns.count(), cost.patterns.bytes()?);
        // Linear in its input: a plugin's pattern can't make the host search for ever.
        let engine = jsonschema::PatternOptions::regex()
            .size_limit(patterns::MAX_PROGRAM_BYTES)
            .dfa_size_limit(patterns::MAX_CACHE_BYTES);
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .with_pattern_options(engine)
            .build(&authored)
            .map_err(|error| NotASchema(error.to_string()))?;
        let validator = Arc::new(validator);
        Ok(Self { authored: Arc::new(authored), validator, cost: each, patterns, pattern_bytes })
    }

    /// How many patterns are in it. A search in one takes memory too, for each thread that searches.
    pub fn patterns(&self) -> usize {
        self.patterns
    }

    /// What these take, compiled, for as long as the schema is there.
    pub fn pattern_bytes(&self) -> usize {
        self.pattern_bytes
    }

    /// The schema as written.
    pub fn authored(&self) -> &Value {
        &self.authored
    }

    /// Checks a value. Errors: what is wrong, up to [`Self::MAX_PROBLEMS`].
    pub fn check(&self, value: &Value) -> Result<(), Vec<Problem>> {
        let work = self.cost.saturating_mul(parts(value));
        let whole = |message: &str| Err(vec![Problem { pointer: String::new(), message: message.to_owned() }]);
        if work > Self::MAX_WORK {
            return whole("it is too large to be checked: its parts times those of its schema are more than 10000000");
        }
        if self.validator.is_valid(value) {
            return Ok(());
        }
        if work > Self::MAX_TOLD {
            return whole("it does not meet its schema, and is too large to be told where");
        }
        let problems = self.validator.iter_errors(value).take(Self::MAX_PROBLEMS);
        Err(problems.map(|error| problem(&error)).collect())
    }
}

impl Schema {
    /// Checks a value in which something is to be filled in later: what `open` knows counts as any value.
    /// Where such a part lies deeper, only what holds whatever it becomes is a problem.
    ///
    /// Errors: as [`Self::check`].
    pub fn check_unfilled(&self, value: &Value, open: &dyn Fn(&Value) -> bool) -> Result<(), Vec<Problem>> {
        /// Each may be one that what is filled in mends.
        const MOST: usize = 1_000;
        let Err(problems) = self.check(value) else { return Ok(()) };
        if !holds(value, open) || self.cost.saturating_mul(parts(value)) > Self::MAX_TOLD {
            return Err(problems);
        }
        let stays = |error: &jsonschema::ValidationError<'_>| {
            let pointer = error.instance_path().to_string();
            value.pointer(&pointer).is_none_or(|at| !open(at) && (lasting(error.kind()) || !holds(at, open)))
        };
        let stay = self.validator.iter_errors(value).take(MOST).filter(stays).take(Self::MAX_PROBLEMS);
        let stay: Vec<Problem> = stay.map(|error| problem(&error)).collect();
        if stay.is_empty() { Ok(()) } else { Err(stay) }
    }
}

/// Whether something in a value is to be filled in later.
fn holds(value: &Value, open: &dyn Fn(&Value) -> bool) -> bool {
    open(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, open)),
            Value::Object(members) => members.values().any(|member| holds(member, open)),
            _ => false,
        }
}

/// Whether a value breaks the rule whatever becomes of what lies in it.
fn lasting(kind: &jsonschema::error::ValidationErrorKind) -> bool {
    use jsonschema::error::ValidationErrorKind as Kind;
    matches!(
        kind,
        Kind::AdditionalItems { .. }
            | Kind::AdditionalProperties { .. }
            | Kind::FalseSchema
            | Kind::MaxItems { .. }
            | Kind::MaxProperties { .. }
            | Kind::MinItems { .. }
            | Kind::MinProperties { .. }
            | Kind::PropertyNames { .. }
            | Kind::Required { .. }
            | Kind::Type { .. }
    )
}

fn problem(error: &jsonschema::ValidationError<'_>) -> Problem {
    // A whole value may be large and private: the message names it by its place only.
    Problem { pointer: error.instance_path().to_string(), message: error.masked().to_string() }
}

/// The parts of a value: each element, each field, and each 64 bytes of a text, which a pattern reads.
fn parts(value: &Value) -> u64 {
    let text = |text: &str| u64::try_from(text.len() / 64).unwrap_or(u64::MAX);
    let inner = match value {
        Value::Array(items) => items.iter().map(parts).fold(0, u64::saturating_add),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| text(key).saturating_add(parts(value))).fold(0, u64::saturating_add)
        }
        Value::String(it) => text(it),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner.saturating_add(1)
}

/// What checking a value against a schema can cost at most, in schemas looked at for each part of the
/// value. Whoever writes a schema chooses that: two references in each of thirty definitions are 2^30.
struct Cost<'a> {
    root: &'a Value,
    /// By reference, once it is counted.
    known: HashMap<&'a str, u64>,
    /// The references that are being counted: one that comes again is a cycle.
    on_the_way: Vec<&'a str>,
    patterns: Patterns<'a>,
}

impl<'a> Cost<'a> {
    /// A tool's schema has some tens.
    const MOST: u64 = 10_000;
    /// Each level is a call within a call, here and in what compiles and checks.
    const MOST_DEEP: usize = 32;

    fn of(&mut self, schema: &'a Value) -> Result<u64, NotASchema> {
        let mut cost = 1_u64;
        match schema {
            Value::Array(items) => {
                for item in items {
                    cost = cost.saturating_add(self.of(item)?);
                }
            }
            Value::Object(fields) => {
                for (key, value) in fields {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(target)) => cost = cost.saturating_add(self.referred(target)?),
                        ("$dynamicRef" | "$recursiveRef" | "$id" | "$anchor" | "$dynamicAnchor", Value::String(_)) => {
                            return Err(NotASchema(format!("`{key}` is not admitted: refer to `#/$defs/…`")));
                        }
                        // Counted where they are referred to.
                        ("$defs" | "definitions", Value::Object(_)) => {}
                        // Data, not schemas; some of it is compared with each part.
                        ("const" | "enum" | "required", data) => cost = cost.saturating_add(parts(data)),
                        ("default" | "examples", _) => {}
                        ("pattern", Value::String(pattern)) => self.patterns.add(pattern)?,
                        // Their keys are names, whatever they look like.
                        ("properties" | "patternProperties" | "dependentSchemas", Value::Object(named)) => {
                            for (name, schema) in named {
                                if key == "patternProperties" {
                                    self.patterns.add(name)?;
                                }
                                cost = cost.saturating_add(self.of(schema)?);
                            }
                        }
                        (_, Value::Object(_) | Value::Array(_)) => cost = cost.saturating_add(self.of(value)?),
                        _ => {}
                    }
                }
                // What is beside these is looked at a second time, to know what it has covered.
                for again in ["unevaluatedProperties", "unevaluatedItems"] {
                    cost = cost.saturating_mul(if fields.contains_key(again) { 2 } else { 1 });
                }
            }
            _ => {}
        }
        if cost > Self::MOST {
            return Err(NotASchema("it is too large: its references, written out".to_owned()));
        }
        Ok(cost)
    }

    fn referred(&mut self, target: &'a str) -> Result<u64, NotASchema> {
        if let Some(cost) = self.known.get(target) {
            return Ok(*cost);
        }
        if self.on_the_way.len() >= Self::MOST_DEEP {
            return Err(NotASchema("its references lead too deep".to_owned()));
        }
        let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let Some(schema) = found.filter(|_| !self.on_the_way.contains(&target)) else {
            let target: String = target.chars().take(128).collect();
            return Err(NotASchema(format!("`{target}` refers to nothing within it, or in a circle")));
        };
        self.on_the_way.push(target);
        let cost = self.of(schema)?;
        self.on_the_way.pop();
        self.known.insert(target, cost);
        Ok(cost)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

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
    fn schemas_whose_check_would_not_end_are_refused() {
        let doubling = |depth: usize| {
            let def = |at: usize| {
                let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
                (format!("d{at}"), json!({"allOf": [next, next]}))
            };
            let mut defs: serde_json::Map<String, Value> = (0..depth).map(def).collect();
            defs.insert(format!("d{depth}"), json!({"type": "object"}));
            json!({"type": "object", "$ref": "#/$defs/d0", "$defs": defs})
        };
        assert!(Schema::new(doubling(5)).is_ok());
        let patterns = |count: usize| {
            let each: Vec<_> = (0..count).map(|at| json!({"pattern": format!("a{at}")})).collect();
            json!({"type": "object", "anyOf": each})
        };
        assert!(Schema::new(patterns(64)).is_ok());
        let chain = |depth: usize| {
            let def = |at: usize| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
            let mut defs: serde_json::Map<String, Value> = (0..depth).map(def).collect();
            defs.insert(format!("d{depth}"), json!({"type": "object"}));
            json!({"type": "object", "$ref": "#/$defs/d0", "$defs": defs})
        };
        assert!(Schema::new(chain(20)).is_ok());
        let defs = doubling(30).get("$defs").cloned();
        let named_like_a_keyword =
            json!({"type": "object", "properties": {"default": {"$ref": "#/$defs/d0"}}, "$defs": defs});
        for bad in [
            named_like_a_keyword,
            chain(2_000),
            doubling(30),
            patterns(65),
            json!({"type": "object", "$ref": "#"}),
            json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
            json!({"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}}),
            json!({"type": "object", "properties": {"x": {"$dynamicRef": "#x"}}}),
        ] {
            assert!(Schema::new(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_check_can_be_made_to_compute_is_bounded() -> Result<(), NotASchema> {
        let slow = Schema::new(json!({"type": "object", "properties": {
            "numbers": {"type": "array", "items": {"allOf": vec![json!({"minimum": 1}); 2_000]}},
            "names": {"type": "array", "items": {"enum": (0..2_000).collect::<Vec<_>>()}},
        }}))?;
        let of = |count: usize| json!({"numbers": vec![7; count]});
        assert_eq!(slow.check(&of(1_000)), Ok(()));
        let told = |value: Value| slow.check(&value).map_err(|found| (found.len(), found.first().cloned()));
        for value in [of(100_000), json!({"names": vec![1_999; 100_000]}), json!({"numbers": "x".repeat(1 << 20)})] {
            let Err((1, Some(told))) = told(value) else { panic!("it was checked") };
            assert!(told.message.contains("too large to be checked"), "{told:?}");
        }
        let Err((1, Some(told))) = told(json!({"numbers": vec![0; 1_000]})) else { panic!("it is wrong") };
        assert!(told.message.contains("too large to be told where"), "{told:?}");
        Ok(())
    }

    #[test]
    fn what_looks_again_at_what_is_beside_it_counts_twice() {
        let nested = |depth: usize| {
            let inner = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
            (0..depth).fold(inner, |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}))
        };
        assert!(Schema::new(nested(8)).is_ok_and(|schema| schema.check(&json!({"a": 1})).is_ok()));
        assert!(Schema::new(nested(20)).is_err());
    }

    #[test]
    fn a_pattern_that_makes_backtracking_explode_takes_no_time() -> Result<(), NotASchema> {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}});
        assert_eq!(problems(schema, json!({"a": format!("{}b", "a".repeat(10_000))}))?.len(), 1);
        Ok(())
    }
}
