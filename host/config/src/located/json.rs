//! Strict JSON, with places.

use std::sync::Arc;

use jsonc_parser::{
    ParseOptions,
    ast::{ObjectPropName, Value as Node},
    common::Ranged,
};
use serde_json::{Map, Value};

use super::{File, Located, MAX_DEPTH, Place, join};
use crate::fault::{Fault, Spot};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn read(file: &File) -> Result<Located, Fault> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let parsed =
        jsonc_parser::parse_to_ast(text, &jsonc_parser::CollectOptions::default(), &STRICT).map_err(|error| {
            let spot = Spot { line: narrow(error.line_display()), column: narrow(error.column_display()) };
            Fault::new(&file.name, spot, lowercase(&error.kind().to_string()))
        })?;
    let Some(root) = parsed.value else {
        return Err(Fault::new(&file.name, Spot::START, "the file is empty"));
    };
    let mut reader = Reader {
        file: file.name.as_str().into(),
        text,
        lines: line_starts(text),
        located: Located { value: Value::Null, places: Default::default(), faults: Vec::new() },
    };
    let value = reader.node(&root, "", None, 0)?;
    Ok(Located { value, ..reader.located })
}

struct Reader<'t> {
    file: Arc<str>,
    text: &'t str,
    lines: Vec<usize>,
    located: Located,
}

impl Reader<'_> {
    fn node(&mut self, node: &Node<'_>, pointer: &str, key: Option<Spot>, depth: usize) -> Result<Value, Fault> {
        let spot = self.spot(node.start());
        if depth > MAX_DEPTH {
            return Err(Fault::new(&*self.file, spot, format!("nested deeper than {MAX_DEPTH}")));
        }
        self.located.places.insert(pointer.to_owned(), Place { file: self.file.clone(), key, value: spot });
        Ok(match node {
            Node::NullKeyword(_) => Value::Null,
            Node::BooleanLit(literal) => Value::Bool(literal.value),
            Node::StringLit(literal) => Value::String(literal.value.clone().into_owned()),
            Node::NumberLit(literal) => serde_json::from_str(literal.value)
                .map_err(|_| Fault::new(&*self.file, spot, format!("`{}` is not a JSON number", literal.value)))?,
            Node::Array(array) => {
                let mut items = Vec::with_capacity(array.elements.len());
                for (at, element) in array.elements.iter().enumerate() {
                    items.push(self.node(element, &join(pointer, &at.to_string()), None, depth + 1)?);
                }
                Value::Array(items)
            }
            Node::Object(object) => {
                let mut members = Map::new();
                for property in &object.properties {
                    let name = match &property.name {
                        ObjectPropName::String(name) => name.value.to_string(),
                        ObjectPropName::Word(name) => name.value.to_owned(),
                    };
                    let key = self.spot(property.name.start());
                    let at = join(pointer, &name);
                    if members.contains_key(&name) {
                        let fault = Fault::new(&*self.file, key, format!("duplicate key `{name}`"));
                        self.located.faults.push(fault.hint_if(first(&self.located, &at)));
                    }
                    let value = self.node(&property.value, &at, Some(key), depth + 1)?;
                    members.insert(name, value);
                }
                Value::Object(members)
            }
        })
    }

    fn spot(&self, offset: usize) -> Spot {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.lines.get(at)).copied().unwrap_or_default();
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        Spot { line: narrow(line), column: narrow(column + 1) }
    }
}

/// Where a duplicate key stood first, as a hint.
pub(super) fn first(located: &Located, pointer: &str) -> Option<String> {
    located.places.get(pointer).and_then(|place| place.key).map(|spot| format!("the first is on line {}", spot.line))
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn lowercase(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

pub(super) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
