//! An expression's text as words, signs and literals, each with its place.

use serde_json::{Number, Value};

/// One piece of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A number or a text.
    Literal(Value),
    /// A name or a word of the language.
    Word(String),
    /// One of [`SIGNS`].
    Sign(&'static str),
}

/// Those that begin alike: the longest first.
const SIGNS: [&str; 31] = [
    "===", "!==", "==", "!=", "<=", ">=", "&&", "||", "??", "<", ">", "!", "|", "+", "-", "*", "/", "%", "~", "(", ")",
    "[", "]", "{", "}", ",", ".", ":", "?", "=", ";",
];

/// The tokens of an expression, each with the byte that it begins at.
///
/// Errors: what can't be read, and where.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, (String, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(first) = rest.chars().next() else { break };
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, length) = if first == '"' || first == '\'' {
            quoted(rest, first).map_err(|message| (message, at))?
        } else if first.is_ascii_digit() {
            number(rest).map_err(|message| (message, at))?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Token::Word(rest.get(..end).unwrap_or_default().to_owned()), end)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err((format!("`{first}` is not part of the language"), at));
        };
        found.push((token, at));
        at += length;
    }
    Ok(found)
}

/// A text in quotes, and how long it is with them.
fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, c)) = characters.next() {
        match c {
            _ if c == quote => return Ok((Token::Literal(Value::String(text)), at + c.len_utf8())),
            '\\' => match characters.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(c @ ('\\' | '\'' | '"' | '/')) => text.push(c),
                Some(c) => return Err(format!("`\\{c}` stands for nothing")),
                None => break,
            },
            _ => text.push(c),
        }
    }
    Err(format!("a text without its closing {quote}"))
}

fn number(rest: &str) -> Result<(Token, usize), String> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(rest);
    let mut whole = true;
    let after = rest.get(end..).unwrap_or_default();
    if let Some(fraction) = after.strip_prefix('.').filter(|text| text.starts_with(|c: char| c.is_ascii_digit())) {
        end += 1 + digits(fraction);
        whole = false;
    }
    let after = rest.get(end..).unwrap_or_default();
    if after.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return Err("a name can't begin with a digit".to_owned());
    }
    let text = rest.get(..end).unwrap_or_default();
    let number = if whole {
        text.parse::<i64>().map(Number::from).map_err(|_| format!("`{text}` is too large"))?
    } else {
        text.parse().ok().and_then(Number::from_f64).ok_or_else(|| format!("`{text}` is no number"))?
    };
    Ok((Token::Literal(Value::Number(number)), end))
}
