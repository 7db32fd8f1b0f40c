//! The part of SOQL that the stand-in understands:
//! `SELECT a, b FROM Kind [WHERE a = 'x' [AND b LIKE '%y%']…] [ORDER BY a [ASC|DESC]] [LIMIT n]`.
//!
//! It lacks relationships, functions, OR and every other operator, and says so for them.

use std::iter::Peekable;
use std::vec::IntoIter;

/// A query taken apart. Names of fields and objects are not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) fields: Vec<String>,
    pub(super) kind: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) order: Option<Order>,
    pub(super) limit: Option<usize>,
}

/// One condition; all must hold. Text compares without case, as in Salesforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) field: String,
    pub(super) test: Test,
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    /// Is this text.
    Equals(String),
    /// Has no value.
    IsNull,
    /// Is like this pattern with `%` and `_`.
    Like(String),
}

/// How the records are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) field: String,
    pub(super) descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Comma,
    Equals,
}

/// Reads a query.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn parse(text: &str) -> Result<Statement, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    keyword(&mut tokens, "SELECT")?;
    let mut fields = vec![word(&mut tokens)?];
    while tokens.next_if_eq(&Token::Comma).is_some() {
        fields.push(word(&mut tokens)?);
    }
    keyword(&mut tokens, "FROM")?;
    let kind = word(&mut tokens)?;
    let mut conditions = Vec::new();
    if taken(&mut tokens, "WHERE") {
        conditions.push(condition(&mut tokens)?);
        while taken(&mut tokens, "AND") {
            conditions.push(condition(&mut tokens)?);
        }
    }
    let mut order = None;
    if taken(&mut tokens, "ORDER") {
        keyword(&mut tokens, "BY")?;
        let field = word(&mut tokens)?;
        let descending = taken(&mut tokens, "DESC");
        if !descending {
            let _default = taken(&mut tokens, "ASC");
        }
        order = Some(Order { field, descending });
    }
    let mut limit = None;
    if taken(&mut tokens, "LIMIT") {
        let number = word(&mut tokens)?;
        limit = Some(number.parse().map_err(|_error| format!("unexpected token: '{number}'"))?);
    }
    match tokens.next() {
        None => Ok(Statement { fields, kind, conditions, order, limit }),
        Some(token) => Err(unexpected(Some(token))),
    }
}

fn condition(tokens: &mut Peekable<IntoIter<Token>>) -> Result<Condition, String> {
    let field = word(tokens)?;
    let like = taken(tokens, "LIKE");
    if !like && tokens.next_if_eq(&Token::Equals).is_none() {
        return Err(unexpected(tokens.next()));
    }
    let test = match (tokens.next(), like) {
        (Some(Token::Text(text)), true) => Test::Like(text),
        (Some(Token::Text(text)), false) => Test::Equals(text),
        (Some(Token::Word(word)), false) if word.eq_ignore_ascii_case("null") => Test::IsNull,
        (Some(Token::Word(word)), false) if is_literal(&word) => Test::Equals(word),
        (other, _) => return Err(unexpected(other)),
    };
    Ok(Condition { field, test })
}

/// Numbers and booleans stand without quotes.
fn is_literal(word: &str) -> bool {
    word.parse::<f64>().is_ok() || ["true", "false"].contains(&word.to_lowercase().as_str())
}

fn keyword(tokens: &mut Peekable<IntoIter<Token>>, name: &str) -> Result<(), String> {
    if taken(tokens, name) { Ok(()) } else { Err(unexpected(tokens.next())) }
}

fn taken(tokens: &mut Peekable<IntoIter<Token>>, name: &str) -> bool {
    tokens.next_if(|token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(name))).is_some()
}

fn word(tokens: &mut Peekable<IntoIter<Token>>) -> Result<String, String> {
    match tokens.next() {
        Some(Token::Word(word)) => Ok(word),
        other => Err(unexpected(other)),
    }
}

fn unexpected(token: Option<Token>) -> String {
    match token {
        None => "unexpected token: '<EOF>'".to_owned(),
        Some(Token::Word(text) | Token::Text(text)) => format!("unexpected token: '{text}'"),
        Some(Token::Comma) => "unexpected token: ','".to_owned(),
        Some(Token::Equals) => "unexpected token: '='".to_owned(),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            ',' => tokens.push(Token::Comma),
            '=' => tokens.push(Token::Equals),
            '\'' => tokens.push(Token::Text(quoted(&mut rest)?)),
            letter if is_word(letter) => {
                let mut word = String::from(letter);
                while let Some(more) = rest.next_if(|next| is_word(*next)) {
                    word.push(more);
                }
                tokens.push(Token::Word(word));
            }
            other => return Err(format!("unexpected token: '{other}'")),
        }
    }
    Ok(tokens)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-')
}

fn quoted(rest: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match rest.next() {
            Some('\'') => return Ok(text),
            Some('\\') => match rest.next() {
                Some('n') => text.push('\n'),
                Some(escaped @ ('\'' | '\\' | '"' | '%' | '_')) => text.push(escaped),
                _ => return Err("Invalid string literal: illegal character sequence".to_owned()),
            },
            Some(letter) => text.push(letter),
            None => return Err("unterminated string literal".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, Order, Statement, Test, parse};

    #[test]
    fn reads_all_its_parts() {
        let text = r"select Id, Name from Contact where Email = 'o\'hara@x.example' and Name like '%a_' order by Name desc limit 5";
        let condition = |field: &str, test| Condition { field: field.to_owned(), test };
        assert_eq!(
            parse(text),
            Ok(Statement {
                fields: vec!["Id".to_owned(), "Name".to_owned()],
                kind: "Contact".to_owned(),
                conditions: vec![
                    condition("Email", Test::Equals("o'hara@x.example".to_owned())),
                    condition("Name", Test::Like("%a_".to_owned())),
                ],
                order: Some(Order { field: "Name".to_owned(), descending: true }),
                limit: Some(5),
            })
        );
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (text, message) in [
            ("", "unexpected token: '<EOF>'"),
            ("SELECT Id Contact", "unexpected token: 'Contact'"),
            ("SELECT Id FROM Contact WHERE Email = 'x' OR Name = 'y'", "unexpected token: 'OR'"),
            ("SELECT Id FROM Contact WHERE Email = 'x", "unterminated string literal"),
            ("SELECT Id FROM Contact WHERE Email > 'x'", "unexpected token: '>'"),
            ("SELECT Id FROM Contact LIMIT many", "unexpected token: 'many'"),
            ("SELECT COUNT() FROM Contact", "unexpected token: '('"),
            (r"SELECT Id FROM Contact WHERE Email = '\x'", "Invalid string literal: illegal character sequence"),
        ] {
            assert_eq!(parse(text), Err(message.to_owned()), "{text}");
        }
    }
}
