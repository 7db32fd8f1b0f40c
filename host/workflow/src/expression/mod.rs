//! Expressions in texts: `{{ … }}` over what a run knows. A text that is one expression and nothing else
//! becomes that expression's value, whatever its type; in any other text, values are written out.
//!
//! The language: members (`a.b`, `a["b"]`, `a[0]`), literals, lists and objects; `or and not` (or `|| && !`)
//! over booleans; `== != < <= > >=` (and `===`, `!==`, which mean the same: nothing is converted), `in`,
//! `not in`; `+ - * / %`, `~` which joins texts; `a if c else b`, `c ? a : b`; `a ?? b` and
//! `a | default(b)` where `a` may be missing or null; `is defined` and other tests; filters after `|`.
//!
//! Deliberately absent: loops, functions, assignments, dates and chance: the same values give the same
//! answer, in time that grows with their size alone.

mod ast;
mod evaluate;
mod filter;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::evaluate::{MAX_MADE, text};
pub(crate) use self::{
    ast::{Expr, Filter, Operator, Reference, Test},
    evaluate::{Failure, Names, boolean, kind},
};

/// A text that may hold expressions, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Template {
    /// Holds none.
    Plain(String),
    /// Is one and nothing else: its value keeps its type.
    Whole(Expr),
    /// Texts and expressions in turn: always a text.
    Mixed(Vec<Piece>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    Expr(Expr),
}

impl Template {
    /// Reads a text. Errors: the braces don't fit, or an expression can't be read.
    pub(crate) fn read(whole: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = whole;
        // Braces of the text itself, such as those of a JSON body, may well close in pairs.
        let mut open = 0_usize;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            plain.push_str(before);
            if let Some(inside) = after.strip_prefix("{{") {
                let end = end_of(inside).ok_or_else(|| format!("`{{{{ {}` has no `}}}}`", cut(inside)))?;
                let (expression, after) = inside.split_at(end);
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Expr(expr(expression)?));
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            if after.starts_with("}}") && open == 0 {
                return Err("`}}` without `{{`".to_owned());
            }
            open = if after.starts_with('{') { open + 1 } else { open.saturating_sub(1) };
            let (brace, after) = after.split_at(1);
            plain.push_str(brace);
            rest = after;
        }
        plain.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Plain(plain));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        match <[Piece; 1]>::try_from(pieces) {
            Ok([Piece::Expr(expr)]) => Ok(Self::Whole(expr)),
            Ok([piece]) => Ok(Self::Mixed(vec![piece])),
            Err(pieces) => Ok(Self::Mixed(pieces)),
        }
    }

    /// Its expressions, in order.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let (whole, pieces) = match self {
            Self::Plain(_) => (None, [].as_slice()),
            Self::Whole(expr) => (Some(expr), [].as_slice()),
            Self::Mixed(pieces) => (None, pieces.as_slice()),
        };
        let within = pieces.iter().filter_map(|piece| match piece {
            Piece::Expr(expr) => Some(expr),
            Piece::Text(_) => None,
        });
        whole.into_iter().chain(within)
    }

    /// What it comes to. Errors: an expression's; a text that is too long.
    pub(crate) fn fill(&self, names: &dyn Names) -> Result<Value, Failure> {
        match self {
            Self::Plain(text) => Ok(Value::String(text.clone())),
            Self::Whole(expr) => expr.evaluate(names),
            Self::Mixed(pieces) => {
                let mut made = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => made.push_str(text),
                        Piece::Expr(expr) => made.push_str(&text(&expr.evaluate(names)?)),
                    }
                    if made.len() > MAX_MADE {
                        return Err(Failure::Wrong(format!("a text of more than {MAX_MADE} bytes")));
                    }
                }
                Ok(Value::String(made))
            }
        }
    }
}

/// What is said of a condition that is text, or several expressions.
pub(crate) const NO_CONDITION: &str = "a condition is one expression";

/// A condition: one expression, with nothing but space around it. Errors: it is not.
pub(crate) fn condition(text: &str) -> Result<Expr, String> {
    match Template::read(text.trim())? {
        Template::Whole(expr) => Ok(expr),
        _ => Err(NO_CONDITION.to_owned()),
    }
}

/// A value whose texts may hold expressions, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// Holds none.
    Plain(Value),
    Text(Template),
    List(Vec<Form>),
    Object(Vec<(String, Form)>),
}

impl Form {
    /// Reads a value. Errors: the first text's that can't be read.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(match Template::read(text)? {
                Template::Plain(text) => Self::Plain(Value::String(text)),
                template => Self::Text(template),
            }),
            Value::Array(items) => {
                let items = items.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
                let plain = items.iter().all(|item| matches!(item, Self::Plain(_)));
                Ok(if plain { Self::Plain(value.clone()) } else { Self::List(items) })
            }
            Value::Object(members) => Self::object(members),
            other => Ok(Self::Plain(other.clone())),
        }
    }

    /// Reads an object. Errors as [`Self::read`].
    pub(crate) fn object(members: &Map<String, Value>) -> Result<Self, String> {
        let read = members.iter().map(|(name, member)| Ok((name.clone(), Self::read(member)?)));
        let read = read.collect::<Result<Vec<_>, String>>()?;
        let plain = read.iter().all(|(_, member)| matches!(member, Self::Plain(_)));
        Ok(if plain { Self::Plain(Value::Object(members.clone())) } else { Self::Object(read) })
    }

    /// What it comes to. Errors: an expression's, with the place of its text within the value.
    pub(crate) fn fill(&self, names: &dyn Names) -> Result<Value, Unfilled> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(template) => {
                template.fill(names).map_err(|failure| Unfilled { pointer: String::new(), failure })
            }
            Self::List(items) => {
                let filled =
                    items.iter().enumerate().map(|(at, item)| item.fill(names).map_err(|it| it.under(&at.to_string())));
                filled.collect()
            }
            Self::Object(members) => {
                let filled = members
                    .iter()
                    .map(|(name, member)| Ok((name.clone(), member.fill(names).map_err(|it| it.under(name))?)));
                filled.collect::<Result<Map<_, _>, Unfilled>>().map(Value::Object)
            }
        }
    }

    /// Shows all expressions in it.
    pub(crate) fn visit(&self, seen: &mut dyn FnMut(&Expr)) {
        match self {
            Self::Plain(_) => {}
            Self::Text(template) => template.expressions().for_each(seen),
            Self::List(items) => items.iter().for_each(|item| item.visit(seen)),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.visit(seen)),
        }
    }
}

/// Why a value can't be filled in, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfilled {
    /// A JSON pointer within the value.
    pub(crate) pointer: String,
    pub(crate) failure: Failure,
}

impl Unfilled {
    fn under(self, name: &str) -> Self {
        Self { pointer: format!("/{name}{}", self.pointer), ..self }
    }
}

impl std::fmt::Display for Unfilled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "{}", self.failure),
            pointer => write!(f, "{} (at {pointer})", self.failure),
        }
    }
}

fn expr(inside: &str) -> Result<Expr, String> {
    let trimmed = inside.trim();
    if trimmed.is_empty() {
        return Err("`{{ }}` holds nothing".to_owned());
    }
    parser::parse(trimmed).map_err(|unreadable| {
        let near = trimmed.get(unreadable.at..).unwrap_or_default();
        let near = if near.is_empty() { "at its end".to_owned() } else { format!("at `{}`", cut(near)) };
        format!("`{{{{ {} }}}}` {near}: {}", cut(trimmed), unreadable.message)
    })
}

/// Where the `}}` stands that closes an expression, texts and braces within it left out.
fn end_of(inside: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut rest = inside;
    loop {
        let at = rest.find(['{', '}', '\'', '"'])?;
        let here = rest.get(at..)?;
        let offset = inside.len() - here.len();
        rest = match here.chars().next()? {
            '\'' | '"' => after_text(here),
            '{' => {
                open += 1;
                here.get(1..)?
            }
            _ if open > 0 => {
                open -= 1;
                here.get(1..)?
            }
            _ if here.starts_with("}}") => return Some(offset),
            _ => here.get(1..)?,
        };
    }
}

/// What follows a quoted text that begins here; nothing if it does not end.
fn after_text(text: &str) -> &str {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return "" };
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return text.get(at + 1..).unwrap_or_default();
        }
    }
    ""
}

fn cut(text: &str) -> String {
    text.trim().chars().take(40).collect()
}
