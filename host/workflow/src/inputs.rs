//! What a workflow takes: inputs held against their declaration, and that declaration as a JSON Schema.

use std::collections::BTreeMap;

use remit_domain::{
    Error,
    schema::{Problem, Schema},
};
use serde_json::{Map, Value, json};

use crate::{
    authored::{self, Input},
    run::{MAX_DEPTH, shallow},
};

/// A refusal with its place.
pub(crate) fn problem(pointer: &str, message: impl Into<String>) -> Error {
    Error::InvalidArguments(vec![Problem { pointer: pointer.to_owned(), message: message.into() }])
}

/// Inputs as a workflow takes them, defaults filled in.
pub(crate) fn taken(workflow: &authored::Workflow, inputs: Value) -> Result<Value, Error> {
    let mut given = match inputs {
        Value::Null => Map::new(),
        Value::Object(members) => members,
        _ => return Err(problem("/inputs", "not an object")),
    };
    if !given.values().all(|value| shallow(value, MAX_DEPTH)) {
        return Err(problem("/inputs", "nested too deep"));
    }
    let Some(declared) = &workflow.inputs else { return Ok(given.into()) };
    for (name, input) in declared {
        if let Some(default) = input.default.clone().filter(|_| !given.contains_key(name)) {
            given.insert(name.clone(), default);
        }
    }
    let given = Value::Object(given);
    let schema = Schema::new(schema(declared)).map_err(|error| Error::Internal(error.to_string().into()))?;
    let under = |problem: Problem| Problem { pointer: format!("/inputs{}", problem.pointer), ..problem };
    let checked = schema.check(&given);
    checked.map_err(|problems| Error::InvalidArguments(problems.into_iter().map(under).collect()))?;
    Ok(given)
}

/// The JSON Schema of declared inputs.
pub(crate) fn schema(declared: &BTreeMap<String, Input>) -> Value {
    let required = declared.iter().filter(|(_, input)| needed(input));
    json!({
        "type": "object",
        "properties": declared.iter().map(|(name, input)| (name.clone(), property(input))).collect::<Map<_, _>>(),
        "required": required.map(|(name, _)| name).collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

/// Whether an input must be given.
pub(crate) fn needed(input: &Input) -> bool {
    input.required.unwrap_or(true) && input.default.is_none()
}

/// The JSON Schema of one of them.
pub(crate) fn property(input: &Input) -> Value {
    let mut property = Map::new();
    property.insert("type".to_owned(), serde_json::to_value(input.kind).unwrap_or_default());
    if let Some(description) = &input.description {
        property.insert("description".to_owned(), description.clone().into());
    }
    if let Some(default) = &input.default {
        property.insert("default".to_owned(), default.clone());
    }
    if let Some(options) = &input.options {
        property.insert("enum".to_owned(), options.clone().into());
    }
    Value::Object(property)
}
