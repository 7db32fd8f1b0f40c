//! Values that know where they stand: a JSON value with the file, line and column of each of its
//! keys and values, read from JSON or YAML, and merged as RFC 7386 says without losing a place.
//!
//! Deliberately absent: what the values mean.

mod json;
mod shape;
#[cfg(test)]
mod tests;
mod yaml;

use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::fault::{Fault, Spot};

/// A text with the name that its faults give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// As faults show it.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

impl File {
    /// A text under a name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads a file below a root, relative to which faults name it.
    ///
    /// Errors: it can't be read, is longer than 1 MiB, or is not UTF-8.
    pub fn read(root: &Path, path: &Path) -> Result<Self, Fault> {
        /// No configuration is longer.
        const MAX_BYTES: u64 = 1024 * 1024;
        let name = shown(root, path);
        let fault = |message: String| Fault::new(&name, Spot::START, message);
        let unreadable = |error: std::io::Error| fault(format!("can't be read: {error}"));
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let length = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
        if length as u64 > MAX_BYTES {
            return Err(fault(format!("longer than {MAX_BYTES} bytes")));
        }
        Ok(Self { name, text })
    }
}

/// A value with its places.
#[derive(Debug, Clone)]
pub struct Located {
    value: Value,
    /// By JSON pointer; the empty pointer is the whole.
    places: BTreeMap<String, Place>,
    /// Faults that left a value behind: duplicate keys, unquoted templates and the like.
    faults: Vec<Fault>,
}

#[derive(Debug, Clone)]
struct Place {
    file: Arc<str>,
    /// Members of objects only.
    key: Option<Spot>,
    value: Spot,
}

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 64;

impl Located {
    /// Reads strict JSON (RFC 8259): no comments, no trailing commas. Errors: the syntax fault.
    pub fn json(file: &File) -> Result<Self, Fault> {
        json::read(file)
    }

    /// Reads one YAML 1.2 document, without anchors, aliases, tags and merge keys. A text without any
    /// content is an empty object. Errors: the syntax fault.
    pub fn yaml(file: &File) -> Result<Self, Fault> {
        yaml::read(file)
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What stands at a JSON pointer.
    pub fn get(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer)
    }

    /// A fault of the value at a JSON pointer; of what it is missing from, if there is none.
    pub fn at(&self, pointer: &str, message: impl Into<String>) -> Fault {
        self.fault(pointer, message.into(), false)
    }

    /// A fault of the key at a JSON pointer.
    pub fn at_key(&self, pointer: &str, message: impl Into<String>) -> Fault {
        self.fault(pointer, message.into(), true)
    }

    fn fault(&self, pointer: &str, message: String, key: bool) -> Fault {
        let mut at = pointer;
        loop {
            if let Some(place) = self.places.get(at) {
                let spot = if key && at == pointer { place.key.unwrap_or(place.value) } else { place.value };
                return Fault::new(&*place.file, spot, message);
            }
            match at.rfind('/') {
                Some(cut) => at = at.get(..cut).unwrap_or_default(),
                None => return Fault::new("", Spot::START, message),
            }
        }
    }

    /// Checks the shape against the type's JSON Schema and makes the type.
    ///
    /// All faults come at once, those of reading included. The type is there whenever the faults
    /// leave enough of the value to make it from, so that its meaning can be checked as well.
    pub fn read<T: DeserializeOwned + schemars::JsonSchema>(&self) -> (Option<T>, Vec<Fault>) {
        let (made, mut faults) = shape::read(self);
        faults.extend(self.faults.iter().cloned());
        (made, faults)
    }

    /// Applies a merge patch (RFC 7386), places included: what the patch says stands in the patch's
    /// file from now on. A `null` that removes nothing is a fault, since it is most likely a typo.
    pub fn merge(&mut self, patch: Self) {
        self.faults.extend(patch.faults.iter().cloned());
        let mut value = std::mem::take(&mut self.value);
        self.merge_at("", &mut value, patch.value.clone(), &patch);
        self.value = value;
    }

    fn merge_at(&mut self, pointer: &str, target: &mut Value, patched: Value, patch: &Self) {
        let Value::Object(members) = patched else {
            self.forget(pointer);
            for (at, place) in patch.under(pointer) {
                self.places.insert(at.clone(), place.clone());
            }
            *target = patched;
            return;
        };
        if !target.is_object() {
            self.forget(pointer);
            if let Some(place) = patch.places.get(pointer) {
                self.places.insert(pointer.to_owned(), place.clone());
            }
            *target = Value::Object(Map::new());
        }
        let Value::Object(object) = target else { return };
        for (name, value) in members {
            let at = join(pointer, &name);
            if value.is_null() {
                if object.shift_remove(&name).is_none() {
                    self.faults.push(patch.at_key(&at, format!("there is no `{name}` to remove")));
                }
                self.forget(&at);
                continue;
            }
            if !object.contains_key(&name)
                && let Some(place) = patch.places.get(&at)
            {
                self.places.insert(at.clone(), place.clone());
            }
            self.merge_at(&at, object.entry(name).or_insert(Value::Null), value, patch);
        }
    }

    fn forget(&mut self, pointer: &str) {
        let below = format!("{pointer}/");
        self.places.retain(|at, _| at != pointer && !at.starts_with(&below));
    }

    fn under<'a>(&'a self, pointer: &'a str) -> impl Iterator<Item = (&'a String, &'a Place)> {
        self.places
            .range(pointer.to_owned()..)
            .take_while(move |(at, _)| at.starts_with(pointer))
            .filter(move |(at, _)| at.get(pointer.len()..).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// A path as faults show it.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// A JSON pointer one step deeper.
pub fn join(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}
