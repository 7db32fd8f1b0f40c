//! What a column was declared as, which SQLite keeps but does not enforce: the only place where it
//! says that a number is exact, or a text a date.

/// A declared type, as far as it changes how a value is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    /// `DECIMAL(p, s)` or `NUMERIC`: digits, with as many after the point as declared.
    Decimal(Option<usize>),
    Boolean,
    Date,
    Time,
    Timestamp,
    Uuid,
    Json,
    /// Nothing that the value itself does not say; computed columns too.
    Plain,
}

/// Reads a declaration such as `DECIMAL(10, 2)`: its name in lower case, and what it means.
pub(super) fn read(declaration: &str) -> (String, Declared) {
    let lower = declaration.trim().to_ascii_lowercase();
    let (name, arguments) = match lower.split_once('(') {
        Some((name, arguments)) => (name.trim(), arguments.trim_end_matches([')', ' '])),
        None => (lower.as_str(), ""),
    };
    let scale = || arguments.split_once(',').and_then(|(_, scale)| scale.trim().parse().ok());
    let declared = match name {
        // SQL's own rule: a precision without a scale has none.
        "decimal" | "numeric" if !arguments.is_empty() => Declared::Decimal(Some(scale().unwrap_or(0))),
        "decimal" | "numeric" => Declared::Decimal(None),
        "bool" | "boolean" => Declared::Boolean,
        "date" => Declared::Date,
        "time" => Declared::Time,
        "datetime" | "timestamp" => Declared::Timestamp,
        "uuid" => Declared::Uuid,
        "json" => Declared::Json,
        _ => Declared::Plain,
    };
    (name.to_owned(), declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_as_written() {
        for (declaration, name, declared) in [
            ("DECIMAL(10, 2)", "decimal", Declared::Decimal(Some(2))),
            ("numeric(8,3)", "numeric", Declared::Decimal(Some(3))),
            ("DECIMAL(10)", "decimal", Declared::Decimal(Some(0))),
            ("Decimal", "decimal", Declared::Decimal(None)),
            ("VARCHAR(255)", "varchar", Declared::Plain),
            ("BOOLEAN", "boolean", Declared::Boolean),
            ("TIMESTAMP", "timestamp", Declared::Timestamp),
            ("DATETIME", "datetime", Declared::Timestamp),
            ("", "", Declared::Plain),
        ] {
            assert_eq!(read(declaration), (name.to_owned(), declared), "{declaration}");
        }
    }
}
