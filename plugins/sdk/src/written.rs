//! A step's `config` as a workflow's file has it: expressions stand unfilled. No types: a value may be of
//! another one until it is filled in.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Problem, Validated};

/// A step's `config` as it is written, and what is found wrong with it: all of it is noted, so that an author
/// learns of every fault at once.
pub struct Written<'a> {
    config: &'a Value,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Written<'a> {
    pub(crate) fn of(config: &'a Value) -> Self {
        Self { config, problems: RefCell::default() }
    }

    /// The value of a key; none if it is null, as where the key is left out.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    /// Whether a key has a value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A text that must be written out, since it decides what the step may use. None if it is missing; an
    /// expression, an empty text or anything else is noted.
    pub fn literal(&self, key: &str) -> Option<&'a str> {
        match self.get(key)? {
            value if Self::is_expression(value) => {
                self.problem(place(key), format!("`{key}` can't be an expression: it decides what the step may use"));
            }
            Value::String(text) if text.trim().is_empty() => self.problem(place(key), format!("`{key}` is empty")),
            Value::String(text) => return Some(text),
            _ => self.problem(place(key), format!("`{key}` is a text")),
        }
        None
    }

    /// As [`Self::literal`], read as one of the values of an enum. What is none of them is noted.
    pub fn choice<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let text = self.literal(key)?;
        match serde_json::from_value(Value::from(text)) {
            Ok(choice) => Some(choice),
            Err(error) => {
                self.problem(place(key), error.to_string());
                None
            }
        }
    }

    /// Notes each of these keys that has no value. `what` needs them: a kind of step, or an operation.
    pub fn requires(&self, what: &str, keys: &[&str]) {
        for key in keys.iter().filter(|key| !self.has(key)) {
            self.problem("", format!("`{what}` needs `{key}`"));
        }
    }

    /// Notes each key beyond these that has a value: `what` takes only these.
    pub fn takes_only(&self, what: &str, keys: &[&str]) {
        let given = self.config.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        for (key, _) in given.filter(|(key, _)| !keys.contains(&key.as_str())) {
            self.problem(place(key), format!("`{what}` takes no `{key}`"));
        }
    }

    /// Notes what is wrong with a value; `pointer` is a JSON pointer to it.
    pub fn problem(&self, pointer: impl Into<String>, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::at(pointer, message));
    }

    /// Whether a value is a text with an expression in it.
    pub fn is_expression(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.contains("{{"))
    }

    /// Every text with an expression in it that stands below a key, by a JSON pointer to it, with its
    /// text.
    pub fn expressions(&self, key: &str) -> Vec<(String, &'a str)> {
        let mut found = Vec::new();
        if let Some(value) = self.get(key) {
            expressions(place(key), value, &mut found);
        }
        found
    }

    pub(crate) fn done(self, validated: Validated) -> Result<Validated, Vec<Problem>> {
        let problems = self.problems.into_inner();
        if problems.is_empty() { Ok(validated) } else { Err(problems) }
    }
}

fn expressions<'a>(pointer: String, value: &'a Value, found: &mut Vec<(String, &'a str)>) {
    match value {
        Value::String(text) if text.contains("{{") => found.push((pointer, text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| expressions(format!("{pointer}/{at}"), item, found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| expressions(format!("{pointer}{}", place(key)), member, found));
        }
        _ => {}
    }
}

/// A JSON pointer to a key.
fn place(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::Written;
    use crate::{Problem, Validated};

    #[derive(Debug, PartialEq, Deserialize)]
    enum Verb {
        #[serde(rename = "orders.get")]
        Get,
    }

    #[test]
    fn every_fault_is_noted_with_its_place() {
        let config = json!({
            "operation": "orders.gett", "source": "{{ inputs.where }}", "a/b": 1, "empty": " ", "gone": null, "list": [],
        });
        let written = Written::of(&config);
        assert_eq!((written.choice::<Verb>("operation"), written.literal("source")), (None, None));
        assert_eq!((written.literal("empty"), written.literal("gone"), written.literal("list")), (None, None, None));
        written.requires("orders.get", &["operation", "gone"]);
        written.takes_only("orders.get", &["operation", "source", "empty", "list"]);
        let problems = written.done(Validated::harmless(Vec::new())).unwrap_err();
        let places: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(places, ["/operation", "/source", "/empty", "/list", "", "/a~1b"]);
        assert_eq!(problems.get(4), Some(&Problem::at("", "`orders.get` needs `gone`")));
    }

    #[test]
    fn what_is_written_out_is_read() {
        let config = json!({"operation": "orders.get", "where": {"a~": ["x {{ y }}", 1], "b": "plain"}});
        let written = Written::of(&config);
        assert_eq!(written.choice("operation"), Some(Verb::Get));
        assert_eq!(written.expressions("where"), [("/where/a~0/0".to_owned(), "x {{ y }}")]);
        assert_eq!(written.expressions("gone"), []);
        let validated = Validated::harmful(Vec::new()).plain(vec!["/where".to_owned()]);
        assert_eq!(written.done(validated.clone()), Ok(validated));
    }
}
