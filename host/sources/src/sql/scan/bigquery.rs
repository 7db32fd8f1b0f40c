//! BigQuery's literals, which end differently from those of other databases.

use std::fmt::Write as _;

use remit_domain::data::Error;

use super::{Scanner, invalid, is_word};

impl Scanner<'_> {
    /// A literal of BigQuery's: quotes are doubled nowhere, and three of them make a literal of
    /// several lines. Raw strings and bytes, which begin with letters, are left to parameters.
    pub(super) fn warehouse_literal(&mut self, quote: char) -> Result<(), Error> {
        if ["r", "b", "rb", "br"].iter().any(|prefix| self.after_word(prefix)) {
            return Err(invalid("raw strings and bytes (`r''`, `b''`) are given as parameters"));
        }
        let (one, three) = (quote.to_string(), quote.to_string().repeat(3));
        let close = if self.rest.starts_with(&three) { three } else { one };
        let mut escaped = false;
        let mut end = None;
        for (at, c) in self.rest.char_indices().skip(close.len()) {
            match c {
                '\n' | '\r' if close.len() == 1 => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if self.rest.get(at..).is_some_and(|rest| rest.starts_with(&close)) => {
                    end = Some(at + close.len());
                    break;
                }
                _ => {}
            }
        }
        let end = end.ok_or_else(|| invalid("a string is not closed"))?;
        let written = self.take(end).to_owned();
        if self.rest.starts_with(['\'', '"']) {
            return Err(invalid("a quote inside a string is written with a backslash"));
        }
        if self.text.ends_with(is_word) {
            self.space();
        }
        let _infallible = write!(self.text, "'L{};'", self.literals.len());
        self.literals.push(written);
        Ok(())
    }
}
