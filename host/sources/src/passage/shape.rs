//! The shape of a JSON text: its names and brackets, without its values.
//!
//! What a record tells of a filter or document is a digest of its shape: a value, be it a customer's address,
//! could be guessed from a digest that covers it. Deliberately absent: whether it is JSON, which the
//! connector finds out.

use super::MAX_BYTES;

/// The shape of a text, of its first [`MAX_BYTES`].
pub(super) fn shape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut shape = String::new();
    let mut rest = bytes.get(..MAX_BYTES.min(bytes.len())).unwrap_or_default();
    while let Some((&first, after)) = rest.split_first() {
        match first {
            b'"' => {
                let (name, after) = string(after);
                let then = after.trim_ascii_start();
                if then.first() == Some(&b':') {
                    shape.push_str(&String::from_utf8_lossy(name));
                    shape.push(':');
                    rest = then.get(1..).unwrap_or_default();
                } else {
                    shape.push('?');
                    rest = after;
                }
            }
            b'{' | b'}' | b'[' | b']' | b',' => {
                shape.push(char::from(first));
                rest = after;
            }
            byte if byte.is_ascii_whitespace() => rest = after,
            _ => {
                shape.push('?');
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b'"' | b'{' | b'['));
                rest = rest.get(end.unwrap_or(rest.len()).max(1)..).unwrap_or_default();
            }
        }
    }
    shape
}

/// What stands before the quote that ends a string, and what after it.
fn string(text: &[u8]) -> (&[u8], &[u8]) {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    match end {
        Some(end) => (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default()),
        None => (text, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_values_go() {
        for (text, expected) in [
            (r#"{"email": "ada@example.com", "age": {"$gt": 36}}"#, "{email:?,age:{$gt:?}}"),
            (r#"[{"$match": {"a": {"$in": [1, "x", null]}}}, true]"#, "[{$match:{a:{$in:[?,?,?]}}},?]"),
            (r#"{"a\"b" : "c\\"}"#, r#"{a\"b:?}"#),
            ("", ""),
            (r#""unfinished"#, "?"),
            ("not json at all", "?"),
            (r#"{"a": 1 "b""#, "{a:??"),
        ] {
            assert_eq!(shape(text), expected, "{text}");
        }
        assert!(shape(&"[".repeat(1 << 20)).len() <= MAX_BYTES);
    }
}
