//! A statement put together of names, which are checked and quoted, and of values, which are bound.

use remit_sdk::{
    Error, Result,
    serde_json::Value as Json,
    source::{Dialect, Value},
};

/// How a statement names its parameters: one way or the other, never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `?`, in the order of their values.
    Question,
    /// `$1`, by number.
    Dollar,
}

/// A statement in the making.
pub(crate) struct Statement {
    pub text: String,
    quote: char,
    style: Style,
    /// The values of an author's own text with `$1`: their numbers come first.
    given: Vec<Value>,
    values: Vec<Value>,
}

impl Statement {
    /// One that begins with this text. `given` are the values of a text that is still to come and names them by
    /// `$1`; none where it names them otherwise.
    pub(crate) fn new(dialect: &Dialect, text: &str, style: Style, given: Vec<Value>) -> Self {
        // SQLite takes a name in double quotes that no column has for a text, and finds nothing wrong.
        let quote = if *dialect == Dialect::Postgres { '"' } else { '`' };
        Self { text: text.to_owned(), quote, style, given, values: Vec::new() }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a table's name, which may have others before it: `sales.orders`.
    pub(crate) fn table(&mut self, name: &str) -> Result<()> {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() > 3 {
            return Err(Error::invalid("/collection", format!("`{name}` is no name of a table")));
        }
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                self.push(".");
            }
            self.name(part, "/collection")?;
        }
        Ok(())
    }

    /// Adds a column's name, quoted. Errors: `invalid` at `pointer` for what is none.
    pub(crate) fn name(&mut self, name: &str, pointer: &str) -> Result<()> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let fits = name.len() <= 128
            && name.starts_with(first)
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        if !fits {
            return Err(Error::invalid(pointer, format!("`{name}` is no name of a column or table")));
        }
        self.text.push(self.quote);
        self.text.push_str(name);
        self.text.push(self.quote);
        Ok(())
    }

    /// Adds a place for a value, and the value.
    pub(crate) fn value(&mut self, value: &Json) {
        self.values.push(bound(value));
        match self.style {
            Style::Question => self.text.push('?'),
            Style::Dollar => self.text.push_str(&format!("${}", self.given.len() + self.values.len())),
        }
    }

    /// The values of an author's own text with `?`, which has just been added.
    pub(crate) fn values(&mut self, values: Vec<Value>) {
        self.values.extend(values);
    }

    /// The text and its values.
    pub(crate) fn finish(self) -> (String, Vec<Value>) {
        let Self { text, mut given, values, .. } = self;
        given.extend(values);
        (text, given)
    }
}

/// How an author's SQL names its parameters.
pub(crate) fn style(text: &str) -> Style {
    if outside_quotes(text)
        .any(|part| part.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
    {
        Style::Dollar
    } else {
        Style::Question
    }
}

/// How many values an author's SQL takes: as many as it has `?`, or the highest number.
pub(crate) fn parameters(text: &str) -> usize {
    match style(text) {
        Style::Question => outside_quotes(text).map(|part| part.matches('?').count()).sum(),
        Style::Dollar => outside_quotes(text)
            .flat_map(|part| part.split('$').skip(1))
            .filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                rest.get(..end)?.parse::<usize>().ok()
            })
            .max()
            .unwrap_or(0),
    }
}

/// Whether a statement changes rows of a table without saying which.
pub(crate) fn changes_all(text: &str) -> bool {
    let words: Vec<String> = outside_quotes(text)
        .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .map(str::to_ascii_lowercase)
        .filter(|word| !word.is_empty())
        .collect();
    let first = words.first().map(String::as_str);
    matches!(first, Some("update" | "delete")) && !words.iter().any(|word| word == "where")
}

/// The parts of a statement that stand in no quotes.
fn outside_quotes(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(open) = rest.find(['\'', '"', '`']) else { return Some(std::mem::take(&mut rest)) };
        let (part, quoted) = rest.split_at(open);
        let quote = quoted.chars().next().unwrap_or('\'');
        let inside = quoted.get(1..).unwrap_or_default();
        // A doubled quote ends one quoted part and begins the next.
        rest = inside.split_once(quote).map_or("", |(_, after)| after);
        Some(part)
    })
}

/// A value as it is bound. What is no whole number is sent in its digits: no binary fraction rounds a price.
pub(crate) fn bound(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(it) => Value::Boolean(*it),
        Json::Number(number) => match (number.as_i64(), number.to_string()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, digits) if digits.contains(['e', 'E']) => Value::Real(number.as_f64().unwrap_or_default()),
            (None, digits) => Value::Decimal(digits),
        },
        Json::String(it) => Value::Text(it.clone()),
        Json::Array(_) | Json::Object(_) => Value::Json(value.to_string()),
    }
}

/// As [`bound`], each.
pub(crate) fn all_bound(values: Option<&Vec<Json>>) -> Vec<Value> {
    values.into_iter().flatten().map(bound).collect()
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        json,
        source::{Dialect, Value},
    };

    use super::{Statement, Style, bound, changes_all, parameters, style};

    #[test]
    fn names_are_quoted_as_the_dialect_has_it_or_refused() {
        let named = |dialect: Dialect, name: &str| {
            let mut statement = Statement::new(&dialect, "", Style::Question, Vec::new());
            statement.table(name).map(|()| statement.finish().0)
        };
        assert_eq!(named(Dialect::Mysql, "sales.orders").unwrap(), "`sales`.`orders`");
        assert_eq!(named(Dialect::Postgres, "orders").unwrap(), "\"orders\"");
        assert_eq!(named(Dialect::Sqlite, "_o1$").unwrap(), "`_o1$`");
        for bad in ["", "a`b", "a\"b", "a b", "a;b", "1a", "a.b.c.d", "a..b", "ü", "a--b", "a'b"] {
            assert!(named(Dialect::Mysql, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_are_counted_outside_quotes() {
        for (text, wanted, count) in [
            ("a = ? AND b = '?'", Style::Question, 1),
            ("a = $2 OR b = $1 OR c = '$9'", Style::Dollar, 2),
            ("a = 'it''s $1' AND `b$1` = ?", Style::Question, 1),
            ("price = '$5'", Style::Question, 0),
            ("a = 'open", Style::Question, 0),
        ] {
            assert_eq!((style(text), parameters(text)), (wanted, count), "{text}");
        }
    }

    #[test]
    fn changes_of_whole_tables_are_seen() {
        for (text, all) in [
            ("UPDATE t SET a = 'where'", true),
            (" delete\nfrom t", true),
            ("DELETE FROM t WHERE id = ?", false),
            ("INSERT INTO t (a) VALUES (?)", false),
            ("UPDATE t SET nowhere = 1", true),
        ] {
            assert_eq!(changes_all(text), all, "{text}");
        }
    }

    #[test]
    fn values_are_bound_exactly() {
        assert_eq!(bound(&json!(12.1)), Value::Decimal("12.1".to_owned()));
        assert_eq!(bound(&json!(u64::MAX)), Value::Decimal("18446744073709551615".to_owned()));
        assert_eq!(bound(&json!(-3)), Value::Integer(-3));
        assert_eq!(bound(&json!(1e300)), Value::Real(1e300));
        assert_eq!(bound(&json!({"a": 1})), Value::Json("{\"a\":1}".to_owned()));
        assert_eq!(bound(&json!(null)), Value::Null);
    }
}
