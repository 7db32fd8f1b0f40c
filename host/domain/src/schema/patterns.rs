//! What the patterns of a schema take: text to parse, and memory for as long as the schema is there.
//!
//! Deliberately absent: matching, which is `jsonschema`'s.

use std::collections::BTreeSet;

use jsonschema_regex::{Search, search_form, to_rust_regex};
use regex_automata::meta;

use super::NotASchema;

/// The most of one schema.
const MOST: usize = 64;
/// The most bytes of one's text. A class of Unicode's is a few letters, and some KiB as soon as it is parsed.
const MAX_TEXT_BYTES: usize = 1 << 10;
/// The largest program that one is compiled to, in bytes; what is kept of it may be several times that.
pub(super) const MAX_PROGRAM_BYTES: usize = 64 << 10;
/// What all of one schema may take when they are compiled.
const MAX_BYTES: usize = 1 << 20;
/// What a search keeps of what it learnt about one, for each thread that searches at once. Where it was in
/// a text takes at most 256 KiB more.
pub(super) const MAX_CACHE_BYTES: usize = 32 << 10;
/// A class of characters that is counted and not compiled.
const CLASS_BYTES: usize = 8 << 10;

/// The patterns of a schema, each once, as each is compiled once.
#[derive(Default)]
pub(super) struct Patterns<'a>(BTreeSet<&'a str>);

impl<'a> Patterns<'a> {
    /// Errors: one that is too long, or one too many.
    pub(super) fn add(&mut self, pattern: &'a str) -> Result<(), NotASchema> {
        if pattern.len() > MAX_TEXT_BYTES {
            return Err(NotASchema(format!("it is too large: a pattern is longer than {MAX_TEXT_BYTES} bytes")));
        }
        self.0.insert(pattern);
        if self.0.len() > MOST {
            return Err(NotASchema(format!("it is too large: there are more than {MOST} patterns")));
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// What they take, in bytes. Errors: one that is none, and what is too large.
    pub(super) fn bytes(&self) -> Result<usize, NotASchema> {
        let mut bytes = 0_usize;
        for pattern in &self.0 {
            bytes = bytes.saturating_add(compiled(pattern)?);
            if bytes > MAX_BYTES {
                return Err(NotASchema(format!("it is too large: its patterns take more than {MAX_BYTES} bytes")));
            }
        }
        Ok(bytes)
    }
}

/// What one takes, compiled as `jsonschema` compiles it.
fn compiled(pattern: &str) -> Result<usize, NotASchema> {
    let refused = || {
        let shown: String = pattern.chars().take(64).collect();
        NotASchema(format!("the pattern `{shown}` is none, or too large"))
    };
    let translated = to_rust_regex(pattern).map_err(|()| refused())?;
    let built = |text: &str| {
        let limits = meta::Config::new().nfa_size_limit(Some(MAX_PROGRAM_BYTES)).hybrid_cache_capacity(MAX_CACHE_BYTES);
        meta::Builder::new().configure(limits).build(text).map(|regex| regex.memory_usage()).map_err(|_| refused())
    };
    match search_form(pattern, &translated) {
        Some(Search::RepeatedClass(_)) => Ok(CLASS_BYTES),
        Some(Search::Collapsed(text)) => built(&text),
        None => built(&translated),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MAX_BYTES, compiled};
    use crate::schema::{NotASchema, Schema};

    fn of(patterns: impl IntoIterator<Item = String>) -> Value {
        let each: Vec<Value> = patterns.into_iter().map(|pattern| json!({"pattern": pattern})).collect();
        json!({"type": "object", "properties": {"a": {"type": "string", "anyOf": each}}})
    }

    #[test]
    fn what_all_patterns_take_is_bounded() {
        // Each is below what one may take; it is their sum that is refused.
        let large = |at: usize| format!("^(x{at}[a-z]{{1,99}}|y[0-9]{{1,99}}z)*$");
        let one = compiled(&large(0)).unwrap_or_default();
        assert!((20_000..MAX_BYTES / 4).contains(&one), "{one}");
        let fit = MAX_BYTES / one;
        assert!(fit < 64, "their number is not what refuses them: {fit}");
        assert!(Schema::new(of((0..fit - 1).map(large))).is_ok_and(|it| it.pattern_bytes() > one * (fit - 2)));
        let told = Schema::new(of((0..64).map(large))).map(drop);
        assert!(told.as_ref().is_err_and(|NotASchema(why)| why.contains("take more than 1048576 bytes")), "{told:?}");
        // The same one again is compiled once.
        assert!(Schema::new(of((0..100).map(|_| large(0)))).is_ok_and(|it| it.patterns() == 1));
        // Names of properties are patterns too.
        let named: serde_json::Map<String, Value> = (0..64).map(|at| (large(at), json!({}))).collect();
        assert!(Schema::new(json!({"type": "object", "patternProperties": named})).is_err());
    }

    #[test]
    fn a_pattern_that_is_large_by_itself_is_refused() {
        for hostile in [
            r"^(\p{L}{500}x)*$".to_owned(),
            r"^(((a{100}){100}){100}b)*$".to_owned(),
            r"\p{L}".repeat(500),
            "(a".to_owned(),
            "(?=a)b".to_owned(),
        ] {
            assert!(Schema::new(of([hostile.clone()])).is_err(), "{hostile}");
        }
    }

    #[test]
    fn what_tools_have_is_small() {
        for usual in [
            r"^\p{L}{500}$",
            r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
            r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$",
            r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12})$",
            r"^cust_\d+$",
            r"^\w+$",
        ] {
            assert!(compiled(usual).is_ok_and(|bytes| bytes < MAX_BYTES / 16), "{usual}: {:?}", compiled(usual));
        }
    }
}
