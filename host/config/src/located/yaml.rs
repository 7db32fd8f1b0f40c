//! YAML 1.2, with places, as a strict subset: what people trip over is a fault with a hint rather
//! than a surprise. Plain `yes`, `no`, `on`, `off` (booleans elsewhere, texts here), numbers that
//! would lose digits, unquoted `{{ }}` (valid YAML: a nested map) are refused.
//!
//! Deliberately absent: anchors, aliases, tags, merge keys and further documents. A text is what it
//! says, so that no short file grows into a long value.

use std::sync::Arc;

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{
    File, Located, MAX_DEPTH, Place, join,
    json::{first, narrow},
};
use crate::fault::{Fault, Spot};

pub(super) fn read(file: &File) -> Result<Located, Fault> {
    let options = granit_parser::options! { emit_comments: false, emit_unresolved_aliases: true };
    let mut reader = Reader {
        file: file.name.as_str().into(),
        text: &file.text,
        events: Parser::new_from_str_with_options(&file.text, options),
        located: Located { value: Value::Object(Map::new()), places: Default::default(), faults: Vec::new() },
    };
    let whole = Place { file: reader.file.clone(), key: None, value: Spot::START };
    reader.located.places.insert(String::new(), whole);
    let mut documents = 0_u32;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    reader.complain(span.start, "a second document", "one file holds one document: remove the `---`");
                    break;
                }
            }
            event => {
                let value = reader.node(event, span, "", None, 0)?;
                if !value.is_null() {
                    reader.located.value = value;
                }
            }
        }
    }
    Ok(reader.located)
}

struct Reader<'t> {
    file: Arc<str>,
    text: &'t str,
    events: Parser<'t, StrInput<'t>>,
    located: Located,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        self.events.next().transpose().map_err(|error| self.syntax(&error))
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let from = error.marker().line().saturating_sub(1);
        let mut lines = self.text.lines().enumerate().skip(from);
        let tab = lines.clone().find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'));
        let unquoted = lines.next().is_some_and(|(_, line)| {
            let before = line.find("{{").and_then(|at| line.get(..at)).unwrap_or_default();
            before.trim_end().ends_with([':', '-', ',', '['])
        });
        let hint = match tab {
            _ if unquoted => Some("quote the value: a text that begins with `{{` needs quotes".to_owned()),
            Some((at, _)) => Some(format!("line {} is indented by a tab: use spaces", at + 1)),
            None => None,
        };
        Fault::new(&*self.file, spot(*error.marker()), error.info()).hint_if(hint)
    }

    fn complain(&mut self, at: Marker, message: impl Into<String>, hint: &str) {
        self.located.faults.push(Fault::new(&*self.file, spot(at), message).hint(hint));
    }

    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        pointer: &str,
        key: Option<Spot>,
        depth: usize,
    ) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::new(&*self.file, spot(span.start), format!("nested deeper than {MAX_DEPTH}")));
        }
        let place = Place { file: self.file.clone(), key, value: spot(span.start) };
        self.located.places.insert(pointer.to_owned(), place);
        self.refuse_properties(&event, span);
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Ok(match plain(&text) {
                Ok(value) => value,
                Err(trap) => {
                    self.complain(span.start, trap.message, trap.hint);
                    trap.meant
                }
            }),
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::MappingStart(..) if self.slice(span.start).starts_with("{{") => {
                let end = self.skip(Event::MappingStart(granit_parser::StructureStyle::Flow, 0, None))?;
                let from = span.start.byte_offset().unwrap_or_default();
                let to = end.and_then(|end| end.byte_offset()).unwrap_or_default();
                let template = self.text.get(from..to).unwrap_or("{{ … }}").to_owned();
                let message = format!("`{template}` without quotes is a nested map");
                self.complain(span.start, message, "quote it: \"{{ … }}\"");
                Ok(Value::String(template))
            }
            Event::MappingStart(..) => self.mapping(pointer, depth),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some((event, span)) = self.next()? {
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event, span, &join(pointer, &items.len().to_string()), None, depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            _ => Ok(Value::Null),
        }
    }

    fn mapping(&mut self, pointer: &str, depth: usize) -> Result<Value, Fault> {
        let mut members = Map::new();
        while let Some((event, span)) = self.next()? {
            let name = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, ..) => {
                    if style == ScalarStyle::Plain && text == "<<" {
                        self.complain(span.start, "a merge key", "write the keys out");
                    }
                    text.into_owned()
                }
                other => {
                    self.complain(span.start, "a key that is not a text", "a key is one word or a quoted text");
                    self.skip(other)?;
                    String::new()
                }
            };
            let key = spot(span.start);
            let at = join(pointer, &name);
            if members.contains_key(&name) {
                let fault = Fault::new(&*self.file, key, format!("duplicate key `{name}`"));
                self.located.faults.push(fault.hint_if(first(&self.located, &at)));
            }
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span, &at, Some(key), depth + 1)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }

    /// Reads on to the end of a node that has begun, and says where that is.
    fn skip(&mut self, begun: Event<'t>) -> Result<Option<Marker>, Fault> {
        let mut open = usize::from(matches!(begun, Event::MappingStart(..) | Event::SequenceStart(..)));
        let mut end = None;
        while open > 0 {
            let Some((event, span)) = self.next()? else { break };
            match event {
                Event::MappingStart(..) | Event::SequenceStart(..) => open += 1,
                Event::MappingEnd | Event::SequenceEnd => open -= 1,
                _ => {}
            }
            end = Some(span.end);
        }
        Ok(end)
    }

    fn refuse_properties(&mut self, event: &Event<'t>, span: Span) {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(_, anchor, tag)
            | Event::MappingStart(_, anchor, tag) => (*anchor != 0, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => (true, false),
            _ => (false, false),
        };
        if anchor {
            self.complain(span.start, "anchors and aliases are not read", "write the value out");
        }
        if tag {
            self.complain(span.start, "tags are not read", "quote a text, or leave the tag out");
        }
    }

    fn slice(&self, from: Marker) -> &'t str {
        from.byte_offset().and_then(|at| self.text.get(at..)).unwrap_or_default()
    }
}

struct Trap {
    message: String,
    hint: &'static str,
    meant: Value,
}

/// A plain scalar by the core schema of YAML 1.2, without its traps.
fn plain(text: &str) -> Result<Value, Trap> {
    let trap = |message: String, hint: &'static str| Trap { message, hint, meant: Value::String(text.to_owned()) };
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Err(trap(format!("`{text}` without quotes"), "write `true`, or quote it if the word is meant"));
        }
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Err(trap(format!("`{text}` without quotes"), "write `false`, or quote it if the word is meant"));
        }
        _ => {}
    }
    let digits = text.trim_start_matches(['-', '+']);
    if text.len() - digits.len() > 1 || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Value::String(text.to_owned()));
    }
    if matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return Err(trap(format!("`{text}` is not a number that JSON has"), "quote it if the text is meant"));
    }
    if digits.starts_with("0x") || digits.starts_with("0o") {
        return Err(trap(format!("`{text}` could be a text or a number"), "write the number in tens, or quote it"));
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(trap(format!("`{text}` would lose its leading zero"), "quote it"));
        }
        let whole = text.trim_start_matches('+');
        let number = whole.parse::<i64>().map(Number::from).or_else(|_| whole.parse::<u64>().map(Number::from));
        return number
            .map(Value::Number)
            .map_err(|_| trap(format!("`{text}` has more digits than a number keeps"), "quote it"));
    }
    let float = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    match text.parse::<f64>().ok().filter(|_| float).and_then(Number::from_f64) {
        Some(number) => Ok(Value::Number(number)),
        None => Ok(Value::String(text.to_owned())),
    }
}

fn spot(marker: Marker) -> Spot {
    Spot { line: narrow(marker.line()), column: narrow(marker.col() + 1) }
}
