//! Shape: a located value against the JSON Schema of an authored type, all faults at once, in words
//! for the person who wrote the file.

use std::collections::BTreeMap;

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

use super::{Located, join};
use crate::{
    fault::{Fault, closest, one_of},
    schema,
};

pub(super) fn read<T: DeserializeOwned + schemars::JsonSchema>(located: &Located) -> (Option<T>, Vec<Fault>) {
    let schema = schema::of::<T>();
    let mut shape = Shape { located, schema: &schema, faults: Vec::new(), amended: BTreeMap::new(), fatal: false };
    match jsonschema::draft202012::new(&schema) {
        Ok(validator) => validator.iter_errors(located.value()).for_each(|error| shape.explain(&error)),
        Err(error) => shape.faults.push(located.at("", format!("no schema for this file: {error}"))),
    }
    let Shape { mut faults, amended, fatal, .. } = shape;
    if fatal {
        return (None, faults);
    }
    let mut value = located.value().clone();
    amended.into_iter().rev().for_each(|(pointer, instead)| amend(&mut value, &pointer, instead));
    whole_numbers(&mut value);
    match serde_json::from_value(value) {
        Ok(made) => (Some(made), faults),
        Err(error) => {
            if faults.is_empty() {
                faults.push(located.at("", error.to_string()));
            }
            (None, faults)
        }
    }
}

struct Shape<'a> {
    located: &'a Located,
    schema: &'a Value,
    faults: Vec<Fault>,
    /// What stands in for faulty values so that the rest can still be made; `None` leaves one out.
    amended: BTreeMap<String, Option<Value>>,
    fatal: bool,
}

impl Shape<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().to_string();
        let instance = error.instance();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                let known = self.siblings(error, "properties");
                for name in unexpected {
                    let at = join(&pointer, name);
                    let fault = self.located.at_key(&at, format!("unknown key `{name}`"));
                    self.faults.push(fault.hint_if(one_of(name, known.iter().map(String::as_str))));
                    self.amended.insert(at, None);
                }
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                self.faults.push(self.located.at(&pointer, format!("`{name}` is missing")));
                self.fatal = true;
            }
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                let allowed = self.constants(error);
                if !allowed.is_empty() {
                    self.not_one_of(&pointer, instance, &allowed);
                    return;
                }
                // The alternative that failed deepest is the one that was meant.
                let meant = context
                    .iter()
                    .filter(|errors| errors.iter().all(|error| error.instance_path().to_string() != pointer))
                    .max_by_key(|errors| errors.iter().map(|error| error.instance_path().to_string().len()).max());
                match meant {
                    Some(errors) => errors.iter().for_each(|error| self.explain(error)),
                    None => self.wrong_type(&pointer, instance, &self.alternatives(error)),
                }
            }
            Kind::Type { .. } => {
                let wanted = match self.schema.pointer(error.schema_path().as_str()) {
                    Some(Value::String(one)) => vec![one.clone()],
                    Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                    _ => Vec::new(),
                };
                self.wrong_type(&pointer, instance, &wanted);
            }
            Kind::Enum { options } => {
                let allowed: Vec<String> =
                    options.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
                self.not_one_of(&pointer, instance, &allowed);
            }
            Kind::Constant { expected_value } => {
                let allowed: Vec<String> = expected_value.as_str().map(str::to_owned).into_iter().collect();
                self.not_one_of(&pointer, instance, &allowed);
            }
            Kind::Minimum { limit } => self.out_of_range(&pointer, instance, format!("less than {limit}")),
            Kind::Maximum { limit } => self.out_of_range(&pointer, instance, format!("more than {limit}")),
            // The types take these as they are.
            Kind::MinLength { .. } => self.complain(&pointer, "may not be empty", None),
            Kind::MinItems { .. } => self.complain(&pointer, "may not be an empty list", None),
            Kind::Pattern { pattern } => self.complain(&pointer, format!("must have the form {pattern}"), None),
            _ => {
                self.complain(&pointer, error.masked().to_string(), None);
                self.fatal = true;
            }
        }
    }

    /// A fault of a value; if reading it was a fault already, that one says it better.
    fn complain(&mut self, pointer: &str, message: impl Into<String>, hint: Option<String>) {
        let fault = self.located.at(pointer, message).hint_if(hint);
        if !self.located.faults.iter().any(|other| other.same_place(&fault)) {
            self.faults.push(fault);
        }
    }

    fn out_of_range(&mut self, pointer: &str, instance: &Value, message: String) {
        self.complain(pointer, message, None);
        self.amend(pointer, instance, None);
    }

    fn wrong_type(&mut self, pointer: &str, instance: &Value, wanted: &[String]) {
        let names: Vec<&str> = wanted.iter().map(|name| article(name)).collect();
        let text_wanted = wanted.iter().any(|name| name == "string");
        let hint = match instance {
            Value::Null => Some("leave the key out if nothing is meant".to_owned()),
            Value::Number(_) | Value::Bool(_) if text_wanted => Some("quote it".to_owned()),
            _ => None,
        };
        let message = format!("expected {}, found {}", names.join(" or "), article(kind(instance)));
        self.complain(pointer, message, hint);
        if wanted.iter().all(|name| !matches!(name.as_str(), "object" | "array")) {
            self.amend(pointer, instance, text_wanted.then(|| instance.to_string().into()));
        } else {
            self.fatal = true;
        }
    }

    fn not_one_of(&mut self, pointer: &str, instance: &Value, allowed: &[String]) {
        let shown = match instance {
            Value::String(word) if word.len() <= 40 => format!("`{word}`"),
            other => article(kind(other)).to_owned(),
        };
        let hint = instance.as_str().and_then(|word| closest(word, allowed.iter().map(String::as_str)));
        self.complain(pointer, format!("{shown} is not one of {}", allowed.join(", ")), hint);
        self.amend(pointer, instance, allowed.first().map(|word| word.as_str().into()));
    }

    /// Leaves a faulty scalar out of its object (if it is required, making the type fails and that is
    /// that), or puts something in its place in its list, so that the others keep theirs.
    fn amend(&mut self, pointer: &str, instance: &Value, instead: Option<Value>) {
        let parent = pointer.rsplit_once('/').and_then(|(parent, _)| self.located.get(parent));
        let scalar = !instance.is_object() && !instance.is_array();
        match parent {
            Some(Value::Object(_)) if scalar => drop(self.amended.insert(pointer.to_owned(), None)),
            Some(Value::Array(_)) if scalar && instead.is_some() => {
                drop(self.amended.insert(pointer.to_owned(), instead));
            }
            _ => self.fatal = true,
        }
    }

    /// The names in a map that stands beside the keyword that failed.
    fn siblings(&self, error: &ValidationError<'_>, keyword: &str) -> Vec<String> {
        let path = error.schema_path().to_string();
        let beside = path.rsplit_once('/').map(|(parent, _)| join(parent, keyword)).unwrap_or_default();
        let names = self.schema.pointer(&beside).and_then(Value::as_object);
        names.into_iter().flat_map(|names| names.keys().cloned()).collect()
    }

    /// The words that an `anyOf` or `oneOf` consists of, if it consists of words.
    fn constants(&self, error: &ValidationError<'_>) -> Vec<String> {
        let alternatives = self.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
        let mut words = Vec::new();
        for alternative in alternatives.into_iter().flatten() {
            match (alternative.get("const"), alternative.get("enum")) {
                (Some(word), _) => words.extend(word.as_str().map(str::to_owned)),
                (_, Some(list)) => {
                    words.extend(list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => return Vec::new(),
            }
        }
        words
    }

    fn alternatives(&self, error: &ValidationError<'_>) -> Vec<String> {
        let alternatives = self.schema.pointer(error.schema_path().as_str()).and_then(Value::as_array);
        let types = alternatives.into_iter().flatten().filter_map(|one| one.get("type").and_then(Value::as_str));
        types.map(str::to_owned).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "null" => "nothing",
        "boolean" => "true or false",
        "number" => "a number",
        "integer" => "a whole number",
        "string" => "a text",
        "array" => "a list",
        _ => "an object",
    }
}

fn amend(value: &mut Value, pointer: &str, instead: Option<Value>) {
    match (instead, pointer.rsplit_once('/')) {
        (Some(instead), _) => {
            if let Some(place) = value.pointer_mut(pointer) {
                *place = instead;
            }
        }
        (None, Some((parent, name))) => {
            if let Some(Value::Object(members)) = value.pointer_mut(parent) {
                members.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
            }
        }
        (None, None) => {}
    }
}

/// JSON Schema takes `30.0` for a whole number, serde does not.
fn whole_numbers(value: &mut Value) {
    /// Beyond this a float is no longer exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < EXACT {
                // In range and without a fraction, as just checked.
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
