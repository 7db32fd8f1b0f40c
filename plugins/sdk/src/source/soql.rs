//! Query strings for services that take no parameters: values become literals that hold whatever they hold.

use std::fmt::Write as _;

use rust_decimal::Decimal;

use crate::{Error, Result, Timestamp};

/// A value in a SOQL statement, for [`soql!`](crate::soql).
#[derive(Debug, Clone, PartialEq)]
pub struct Literal(String);

impl Literal {
    /// For `LIKE`: any text that has this in it.
    pub fn contains(text: &str) -> Self {
        Self(format!("'%{}%'", escaped(text, true)))
    }

    /// For `LIKE`: any text that begins with this.
    pub fn starts_with(text: &str) -> Self {
        Self(format!("'{}%'", escaped(text, true)))
    }

    /// For `IN`: one of these. Without any, no value is: `IN` takes no empty list, so it gets a null.
    pub fn one_of<T: Into<Self>>(values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<String> = values.into_iter().map(|value| value.into().0).collect();
        Self(if values.is_empty() { "(null)".to_owned() } else { format!("({})", values.join(", ")) })
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Self {
        Self(format!("'{}'", escaped(text, false)))
    }
}

impl From<String> for Literal {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Literal {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

impl From<i32> for Literal {
    fn from(value: i32) -> Self {
        Self(value.to_string())
    }
}

impl From<i64> for Literal {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

impl From<u32> for Literal {
    fn from(value: u32) -> Self {
        Self(value.to_string())
    }
}

impl From<Decimal> for Literal {
    fn from(value: Decimal) -> Self {
        Self(value.to_string())
    }
}

impl From<Timestamp> for Literal {
    fn from(value: Timestamp) -> Self {
        Self(value.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Literal {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(|| Self("null".to_owned()), Into::into)
    }
}

/// What Salesforce's reference lists as reserved characters, each with a backslash; those of `LIKE` too.
fn escaped(text: &str, like: bool) -> String {
    let mut made = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '\'' | '"' => made.extend(['\\', character]),
            '%' | '_' if like => made.extend(['\\', character]),
            '\n' => made.push_str("\\n"),
            '\r' => made.push_str("\\r"),
            '\t' => made.push_str("\\t"),
            '\u{8}' => made.push_str("\\b"),
            '\u{c}' => made.push_str("\\f"),
            other if other.is_control() => {
                let _never_fails = write!(made, "\\u{:04X}", u32::from(other));
            }
            other => made.push(other),
        }
    }
    made
}

/// A statement with a value for each `?`. Errors: `refused` if there are more or fewer of them.
#[doc(hidden)]
pub fn fill(statement: &'static str, values: &[Literal]) -> Result<String> {
    let mut made = String::with_capacity(statement.len());
    let mut values = values.iter();
    let mut quoted = false;
    for character in statement.chars() {
        quoted ^= character == '\'';
        match character {
            '?' if !quoted => {
                let value = values.next().ok_or_else(|| Error::refused("the statement has more `?` than values"))?;
                made.push_str(&value.0);
            }
            other => made.push(other),
        }
    }
    match values.next() {
        None => Ok(made),
        Some(_) => Err(Error::refused("the statement has fewer `?` than values")),
    }
}

/// A text in quotes for searches whose grammar has no escape (Shopify, Zendesk): `email:"a@b.example"`. None
/// for one that could leave the quotes.
pub fn phrase(text: &str) -> Option<String> {
    let leaves = |character: char| matches!(character, '"' | '\\') || character.is_control();
    (!text.is_empty() && !text.contains(leaves)).then(|| format!("\"{text}\""))
}

/// A SOQL statement with values in place of each `?`: texts in quotes and escaped, numbers, truth values,
/// times and nothing as they are. The statement itself is a literal, so that no text of a caller gets into it.
///
/// ```
/// use remit_sdk::{soql, source::Literal};
///
/// let name = "O'Neil 100%";
/// let statement = soql!("SELECT Id FROM Contact WHERE LastName LIKE ? LIMIT ?", Literal::contains(name), 10)?;
/// assert_eq!(statement, r"SELECT Id FROM Contact WHERE LastName LIKE '%O\'Neil 100\%%' LIMIT 10");
/// # Ok::<(), remit_sdk::Error>(())
/// ```
///
/// Errors: `refused` if there are more or fewer values than `?`.
#[macro_export]
macro_rules! soql {
    ($statement:literal $(, $value:expr)* $(,)?) => {
        $crate::source::fill_soql($statement, &[$($crate::source::Literal::from($value)),*])
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leaves_its_quotes() {
        for (value, expected) in [
            ("Ada", r"'Ada'"),
            ("O'Neil", r"'O\'Neil'"),
            (r"x' OR Name != '", r"'x\' OR Name != \''"),
            (r"\", r"'\\'"),
            (r"\' OR Id != '", r"'\\\' OR Id != \''"),
            ("a\"b\nc\rd\te", r#"'a\"b\nc\rd\te'"#),
            ("\u{0}\u{7f}", r"'\u0000\u007F'"),
            ("100%_", "'100%_'"),
            ("?", "'?'"),
            ("ü–𝕏", "'ü–𝕏'"),
        ] {
            let made = soql!("SELECT Id FROM Contact WHERE Name = ?", value).unwrap();
            assert_eq!(made, format!("SELECT Id FROM Contact WHERE Name = {expected}"), "{value:?}");
        }
        assert_eq!(Literal::contains(r"5%_\'").0, r"'%5\%\_\\\'%'");
        assert_eq!(Literal::starts_with("a_").0, r"'a\_%'");
    }

    #[test]
    fn values_of_each_kind_have_their_form() {
        let made = soql!(
            "SELECT Id FROM Lead WHERE Id IN ? AND IsConverted = ? AND Rating = ? AND Score > ? AND Company = 'a?' LIMIT ?",
            Literal::one_of(["a", "b'"]),
            false,
            None::<&str>,
            Decimal::new(125, 1),
            10,
        );
        let expected = r"SELECT Id FROM Lead WHERE Id IN ('a', 'b\'') AND IsConverted = false AND Rating = null AND Score > 12.5 AND Company = 'a?' LIMIT 10";
        assert_eq!(made.unwrap(), expected);
        assert_eq!(Literal::one_of(Vec::<String>::new()).0, "(null)");
        assert!(soql!("SELECT Id FROM Lead WHERE Id = ?").is_err());
        assert!(soql!("SELECT Id FROM Lead", 1).is_err());
    }

    #[test]
    fn a_phrase_that_could_leave_its_quotes_is_none() {
        assert_eq!(phrase("a@b.example OR x").as_deref(), Some("\"a@b.example OR x\""));
        for text in ["", "a\"b", "a\\", "a\nb"] {
            assert_eq!(phrase(text), None, "{text:?}");
        }
    }
}
