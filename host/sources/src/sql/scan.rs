//! Reads a guest's statement token by token, so that nothing but one plain statement is left of it:
//! comments go, literals and parameters become markers, and what has no place is refused.
//!
//! It knows no grammar: whether the statement reads or writes is [`super::classify`]'s to say. What
//! comes out is simple enough that a parser and the database can't read it differently: MariaDB runs
//! what stands in `/*M! … */`, and string escapes are where parsers err.

mod bigquery;

use std::fmt::Write as _;

use remit_domain::data::{Error, sql::Dialect, sql::MAX_PARAMETERS};

/// The most tokens of a statement. Every binary operator can deepen the parsed tree by one, and a
/// tree is walked and dropped recursively; a thousand parameters with commas are far from it.
pub(super) const MAX_TOKENS: u32 = 8_192;
/// The most calls of `POSITION` in a statement. The parser reads the argument of each twice, so that
/// nested ones double the work with every level.
const MAX_POSITIONS: u32 = 4;

/// A statement with its literals and parameters taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Parameters as `:1`, string literals as `'L0;'`, no comments, no `;`.
    pub(super) text: String,
    /// The string literals as they were written, quotes included.
    pub(super) literals: Vec<String>,
    /// How many values it takes.
    pub(super) parameters: usize,
    /// Its words outside quotes, in lower case.
    pub(super) words: Vec<String>,
}

/// Takes a statement apart. Errors: `invalid` for what is malformed; `denied` for several statements,
/// comments that the database would run, and variables.
pub(super) fn scan(dialect: Dialect, statement: &str) -> Result<Scanned, Error> {
    if let Some(control) = statement.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(invalid(format!("the statement has a control character, U+{:04X}", u32::from(control))));
    }
    let mut scanner = Scanner {
        dialect,
        rest: statement,
        text: String::with_capacity(statement.len()),
        literals: Vec::new(),
        words: Vec::new(),
        tokens: 0,
        positions: 0,
        style: None,
        highest: 0,
        used: Vec::new(),
    };
    while scanner.step()? {}
    scanner.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Question,
    Dollar,
}

struct Scanner<'a> {
    dialect: Dialect,
    rest: &'a str,
    text: String,
    literals: Vec<String>,
    words: Vec<String>,
    tokens: u32,
    positions: u32,
    style: Option<Style>,
    highest: usize,
    used: Vec<bool>,
}

impl<'a> Scanner<'a> {
    /// Reads one token; false at the end.
    fn step(&mut self) -> Result<bool, Error> {
        let Some(first) = self.rest.chars().next() else { return Ok(false) };
        let second = self.rest.chars().nth(1);
        if first.is_whitespace() {
            self.take(first.len_utf8());
            self.space();
            return Ok(true);
        }
        match (first, second) {
            ('/', Some('*')) => return self.block_comment().map(|()| true),
            ('-', Some('-')) if self.dashes_comment() => return self.line_comment(),
            ('#', _) if matches!(self.dialect, Dialect::Mysql | Dialect::BigQuery) => return self.line_comment(),
            _ => {}
        }
        self.tokens += 1;
        if self.tokens > MAX_TOKENS {
            return Err(invalid(format!("the statement has more than {MAX_TOKENS} words and signs")));
        }
        match first {
            '\'' | '"' if self.dialect == Dialect::BigQuery => self.warehouse_literal(first)?,
            '\'' => self.literal('\'')?,
            '"' if self.dialect == Dialect::Mysql => self.literal('"')?,
            '"' => self.quoted('"', '"')?,
            '`' if self.dialect == Dialect::Postgres => return Err(invalid("names are quoted by `\"`")),
            '`' => self.quoted('`', '`')?,
            // `U&"…"` is a name with escapes.
            '&' if self.dialect == Dialect::Postgres && matches!(second, Some('"' | '\'')) && self.after_word("u") => {
                return Err(invalid("names and strings with escapes (`U&`) are not admitted"));
            }
            '@' if self.dialect == Dialect::Postgres => self.operator(),
            ':' if self.dialect == Dialect::Postgres && second == Some(':') => {
                self.take(2);
                self.text.push_str("::");
            }
            '[' if self.dialect == Dialect::Sqlite => self.quoted('[', ']')?,
            '?' => self.question(second)?,
            '$' => self.dollar()?,
            ';' => self.end()?,
            '@' => return Err(Error::Denied("variables (`@`) are not admitted".to_owned())),
            ':' => return Err(invalid("parameters are written `?` or `$1`, not with a colon")),
            '\\' => return Err(invalid("a backslash has no place outside quotes")),
            c if is_word(c) => self.word()?,
            // MySQL reads `--1` as twice minus; apart, no parser takes it for a comment.
            '-' if second == Some('-') => self.emit_apart("-"),
            '(' => self.opening()?,
            c => {
                self.take(c.len_utf8());
                self.text.push(c);
            }
        }
        Ok(true)
    }

    fn opening(&mut self) -> Result<(), Error> {
        let before = self.text.trim_end();
        let called = before.trim_end_matches(is_word).len();
        if before.get(called..).is_some_and(|word| word.eq_ignore_ascii_case("position")) {
            self.positions += 1;
            if self.positions > MAX_POSITIONS {
                return Err(invalid(format!("a statement calls `POSITION` at most {MAX_POSITIONS} times")));
            }
        }
        self.take(1);
        self.text.push('(');
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        if !self.text.ends_with(' ') && !self.text.is_empty() {
            self.text.push(' ');
        }
    }

    fn emit_apart(&mut self, sign: &str) {
        self.take(sign.len());
        self.text.push_str(sign);
        self.space();
    }

    fn dashes_comment(&self) -> bool {
        let after = self.rest.chars().nth(2);
        self.dialect != Dialect::Mysql || after.is_none_or(char::is_whitespace)
    }

    fn line_comment(&mut self) -> Result<bool, Error> {
        let length = self.rest.find('\n').unwrap_or(self.rest.len());
        self.take(length);
        self.space();
        Ok(true)
    }

    fn block_comment(&mut self) -> Result<(), Error> {
        let inside = self.rest.get(2..).unwrap_or_default();
        if inside.starts_with('!') || inside.starts_with("M!") || inside.starts_with("m!") {
            return Err(Error::Denied("comments that the database runs (`/*!`) are not admitted".to_owned()));
        }
        let length = inside.find("*/").ok_or_else(|| invalid("a comment is not closed"))?;
        self.take(length + 4);
        self.space();
        Ok(())
    }

    /// A string literal: kept as it is, and a marker in its place.
    fn literal(&mut self, quote: char) -> Result<(), Error> {
        let escapes = self.dialect == Dialect::Mysql;
        let mut chars = self.rest.char_indices().skip(1).peekable();
        let length = loop {
            let Some((at, c)) = chars.next() else { return Err(invalid("a string is not closed")) };
            if c == '\\' && escapes {
                chars.next();
            } else if c == quote {
                if chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                } else {
                    break at + c.len_utf8();
                }
            }
        };
        let written = self.take(length).to_owned();
        if self.after_word("x") {
            // A hexadecimal literal: the parser keeps it as it is.
            let digits = written.trim_matches('\'');
            if quote != '\'' || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || digits.len() % 2 == 1 {
                return Err(invalid("a hexadecimal literal has pairs of the digits 0-9 and a-f"));
            }
            self.text.push_str(&written);
            return Ok(());
        }
        // `N'…'` and the like are read differently by parsers; apart they are a name and a literal.
        if self.text.ends_with(is_word) {
            self.space();
        }
        let _infallible = write!(self.text, "'L{};'", self.literals.len());
        self.literals.push(written);
        Ok(())
    }

    fn after_word(&self, word: &str) -> bool {
        let tail: String = self.text.chars().rev().take_while(|c| is_word(*c)).collect();
        tail.eq_ignore_ascii_case(word)
    }

    /// A quoted name. One with quotes or backslashes inside has no use but to confuse.
    fn quoted(&mut self, open: char, close: char) -> Result<(), Error> {
        let inside = self.rest.get(1..).unwrap_or_default();
        let length = inside.find(close).ok_or_else(|| invalid("a quoted name is not closed"))?;
        let name = inside.get(..length).unwrap_or_default();
        let doubled = inside.get(length + 1..).is_some_and(|after| after.starts_with(close));
        if doubled || name.is_empty() || name.contains(['\\', '\'', '"', '`', '[', ']']) {
            return Err(invalid("a quoted name has no quotes, brackets or backslashes inside"));
        }
        if self.text.ends_with(is_word) {
            self.space();
        }
        self.text.push(open);
        self.text.push_str(name);
        self.text.push(close);
        self.take(length + 2);
        Ok(())
    }

    fn question(&mut self, second: Option<char>) -> Result<(), Error> {
        if second.is_some_and(|c| c.is_ascii_digit()) {
            return Err(invalid("numbered parameters are written `$1`, not `?1`"));
        }
        self.take(1);
        self.parameter(Style::Question, self.highest + 1)
    }

    fn dollar(&mut self) -> Result<(), Error> {
        let digits = self.rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        let after = self.rest.get(1 + digits..).and_then(|rest| rest.chars().next());
        let number = self.rest.get(1..1 + digits).and_then(|digits| digits.parse::<usize>().ok());
        match number {
            Some(number) if number > 0 && !after.is_some_and(is_word) => {
                self.take(1 + digits);
                self.parameter(Style::Dollar, number)
            }
            _ => Err(invalid("`$` begins a parameter: `$1`, `$2`, …")),
        }
    }

    fn parameter(&mut self, style: Style, number: usize) -> Result<(), Error> {
        if *self.style.get_or_insert(style) != style {
            return Err(invalid("parameters are written `?` or `$1`, not both in one statement"));
        }
        if number > MAX_PARAMETERS {
            return Err(too_many_parameters());
        }
        self.highest = self.highest.max(number);
        self.used.resize(self.used.len().max(number), false);
        if let Some(used) = self.used.get_mut(number - 1) {
            *used = true;
        }
        if self.text.ends_with(is_word) {
            self.space();
        }
        let _infallible = write!(self.text, ":{number}");
        if self.rest.starts_with(is_word) {
            self.space();
        }
        Ok(())
    }

    /// A semicolon: only space and comments may follow.
    fn end(&mut self) -> Result<(), Error> {
        self.take(1);
        let before = self.text.len();
        while !self.rest.is_empty() {
            let tokens = self.tokens;
            self.step()?;
            if self.tokens != tokens {
                return Err(Error::Denied("one statement at a time is admitted".to_owned()));
            }
        }
        self.text.truncate(before);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Error> {
        let length = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let word = self.take(length);
        // `1$$ … $$` is a number and a string to some versions of PostgreSQL.
        if self.dialect == Dialect::Postgres && word.contains('$') {
            return Err(invalid("a name has no `$` inside"));
        }
        self.text.push_str(word);
        self.words.push(word.to_lowercase());
        Ok(())
    }

    /// PostgreSQL's `@>` and the like: a sign as any other.
    fn operator(&mut self) {
        self.take(1);
        self.text.push('@');
    }

    fn finish(self) -> Result<Scanned, Error> {
        if let Some(unused) = self.used.iter().position(|used| !used) {
            return Err(invalid(format!("parameter ${} is not used in the statement", unused + 1)));
        }
        let text = self.text.trim_end().to_owned();
        if text.is_empty() {
            return Err(invalid("the statement is empty"));
        }
        Ok(Scanned { text, literals: self.literals, parameters: self.highest, words: self.words })
    }
}

/// A statement in an engine's own form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendered {
    /// What the engine is given.
    pub(super) text: String,
    /// For each `?` of the text the number of its parameter, from 0; for numbered parameters in order.
    pub(super) binds: Vec<usize>,
    /// Where each `?` stands.
    pub(super) marks: Vec<usize>,
}

/// Puts literals and parameters back, in the engine's own style.
///
/// `text` is a scanned text, or what a parser made of one: markers may have moved, not changed.
/// Errors: `invalid` if a marker can't be read, which a parser that keeps literals never causes.
pub(super) fn render(dialect: Dialect, text: &str, scanned: &Scanned) -> Result<Rendered, Error> {
    let lost = || invalid("the statement is too unusual to be checked");
    let mut out = String::with_capacity(text.len() + scanned.literals.iter().map(String::len).sum::<usize>());
    let mut binds = Vec::with_capacity(scanned.parameters);
    let mut marks = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`', '[', ':']) {
        let (before, found) = rest.split_at_checked(at).ok_or_else(lost)?;
        out.push_str(before);
        let inside = found.get(1..).ok_or_else(lost)?;
        match found.as_bytes().first() {
            Some(b'\'') => {
                let length = inside.find('\'').ok_or_else(lost)?;
                let marker = inside.get(..length).ok_or_else(lost)?;
                if before.ends_with(['x', 'X']) && marker.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    let _infallible = write!(out, "'{marker}'");
                } else {
                    literals(marker, scanned, &mut out).ok_or_else(lost)?;
                }
                rest = inside.get(length + 1..).ok_or_else(lost)?;
            }
            Some(b':') if inside.starts_with(':') => {
                out.push_str("::");
                rest = inside.get(1..).ok_or_else(lost)?;
            }
            Some(b':') => {
                let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
                let number: usize = inside.get(..digits).and_then(|digits| digits.parse().ok()).ok_or_else(lost)?;
                if number == 0 || number > scanned.parameters {
                    return Err(lost());
                }
                match dialect {
                    Dialect::Mysql | Dialect::BigQuery => {
                        marks.push(out.len());
                        out.push('?');
                        binds.push(number - 1);
                    }
                    Dialect::Sqlite | Dialect::Postgres => {
                        let sign = if dialect == Dialect::Sqlite { '?' } else { '$' };
                        let _infallible = write!(out, "{sign}{number}");
                    }
                }
                rest = inside.get(digits..).ok_or_else(lost)?;
            }
            // MariaDB has no names in brackets.
            Some(b'[') if dialect != Dialect::Sqlite => {
                out.push('[');
                rest = inside;
            }
            Some(open) => {
                let close = if *open == b'[' { ']' } else { char::from(*open) };
                let length = inside.find(close).ok_or_else(lost)? + 2;
                out.push_str(found.get(..length).ok_or_else(lost)?);
                rest = found.get(length..).ok_or_else(lost)?;
            }
            None => return Err(lost()),
        }
    }
    out.push_str(rest);
    if !matches!(dialect, Dialect::Mysql | Dialect::BigQuery) {
        binds.extend(0..scanned.parameters);
    }
    Ok(Rendered { text: out, binds, marks })
}

/// Writes the literals of a marker, `L3;` or several that stood side by side.
fn literals(marker: &str, scanned: &Scanned, out: &mut String) -> Option<()> {
    for (count, one) in marker.strip_suffix(';')?.split(';').enumerate() {
        let number: usize = one.strip_prefix('L')?.parse().ok()?;
        if count > 0 {
            out.push(' ');
        }
        out.push_str(scanned.literals.get(number)?);
    }
    Some(())
}

/// What more parameters than a statement may have come to.
pub(super) fn too_many_parameters() -> Error {
    Error::Limit { name: "max-parameters", allowed: MAX_PARAMETERS as u64 }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || (!c.is_ascii() && !c.is_whitespace())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::Invalid(message.into())
}

#[cfg(test)]
mod tests;
