//! Expressions in texts: where `{{` and `}}` stand, and what is referred to between them.
//!
//! Deliberately absent: evaluating them.

/// What stands between one `{{` and its `}}`, trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expression<'t>(pub &'t str);

/// A path that begins with one of the names that a run provides, such as `steps.a.output.b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The name and what follows it, as far as it is written out.
    pub path: Vec<String>,
}

/// The expressions of a text. Errors: the braces don't fit.
pub(crate) fn expressions(text: &str) -> Result<Vec<Expression<'_>>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    // Braces of the text itself, such as those of a JSON body, may well close in pairs.
    let mut open = 0_usize;
    while let Some(at) = rest.find(['{', '}']) {
        let after = rest.get(at..).unwrap_or_default();
        if let Some(inside) = after.strip_prefix("{{") {
            let end = end_of(inside).ok_or_else(|| format!("`{{{{ {}` has no `}}}}`", cut(inside)))?;
            let expression = inside.get(..end).unwrap_or_default().trim();
            if expression.is_empty() {
                return Err("`{{ }}` holds nothing".to_owned());
            }
            found.push(Expression(expression));
            rest = inside.get(end + 2..).unwrap_or_default();
            continue;
        }
        if after.starts_with("}}") && open == 0 {
            return Err("`}}` without `{{`".to_owned());
        }
        open = if after.starts_with('{') { open + 1 } else { open.saturating_sub(1) };
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(found)
}

/// The expression that is the whole of a text, if there is one.
pub(crate) fn whole(text: &str) -> bool {
    let text = text.trim();
    text.strip_prefix("{{").and_then(end_of).is_some_and(|end| end + 4 == text.len())
}

impl Expression<'_> {
    /// What it refers to: every name that is not a key, a member or a part of a text, with its path.
    pub(crate) fn references(self) -> Vec<Reference> {
        let mut found = Vec::new();
        let mut rest = self.0;
        let mut member = false;
        while let Some(first) = rest.chars().next() {
            if first == '\'' || first == '"' {
                rest = after_text(rest);
                member = false;
            } else if first.is_ascii_alphabetic() || first == '_' {
                let (name, after) = word(rest);
                rest = after;
                if !member {
                    let mut path = vec![name.to_owned()];
                    while let Some((step, after)) = step(rest) {
                        path.push(step.to_owned());
                        rest = after;
                    }
                    found.push(Reference { path });
                }
                member = false;
            } else {
                // A space keeps the dot before it.
                if !first.is_whitespace() {
                    member = first == '.' || first.is_ascii_digit();
                }
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        found
    }
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

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end..).unwrap_or_default())
}

/// One `.name` or `["name"]`.
fn step(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if let Some(after) = text.strip_prefix('.') {
        let (name, rest) = word(after.trim_start());
        return (!name.is_empty()).then_some((name, rest));
    }
    let inside = text.strip_prefix('[')?.trim_start();
    let quote = inside.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let rest = after_text(inside);
    let name = inside.get(1..inside.len() - rest.len())?.strip_suffix(quote)?;
    Some((name, rest.trim_start().strip_prefix(']')?))
}

fn cut(text: &str) -> String {
    text.trim().chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<&[&str], &str>) {
        let found = expressions(text).map(|found| found.iter().map(|one| one.0).collect::<Vec<_>>());
        let found = found.as_ref().map(Vec::as_slice).map_err(String::as_str);
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn braces_must_fit() {
        check("plain { text }", Ok(&[]));
        check("{{a}} and {{ b }}", Ok(&["a", "b"]));
        check("${{ a }}", Ok(&["a"]));
        check("{\"a\": {\"b\": \"{{ c }}\"}}", Ok(&["c"]));
        check("{{ {'a': {'b': 1}} }}", Ok(&["{'a': {'b': 1}}"]));
        check("{{ '}}' }}", Ok(&["'}}'"]));
        check("{{ \"\\\"}}\" }}", Ok(&["\"\\\"}}\""]));
        check("{{ a", Err("`{{ a` has no `}}`"));
        check("{{ a }", Err("`{{ a }` has no `}}`"));
        check("{{ 'a }}", Err("`{{ 'a }}` has no `}}`"));
        check("a }}", Err("`}}` without `{{`"));
        check("{{ }}", Err("`{{ }}` holds nothing"));
        check("ü {{ 'ü' }} ü", Ok(&["'ü'"]));
    }

    #[test]
    fn a_condition_is_one_expression() {
        for (text, is) in
            [("{{ a }}", true), (" {{ a }}\n", true), ("{{ a }} x", false), ("{{a}}{{b}}", false), ("a", false)]
        {
            assert_eq!(whole(text), is, "{text}");
        }
    }

    #[test]
    fn references_are_found_outside_texts() {
        let refs = |text: &str| {
            let paths = Expression(text).references().into_iter().map(|reference| reference.path.join("."));
            paths.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(refs("steps.a.output.x < 0.3"), "steps.a.output.x");
        assert_eq!(refs("steps['a']['output'] === \"steps.b\""), "steps.a.output");
        assert_eq!(refs("x.steps.a + inputs . y"), "x.steps.a inputs.y");
        assert_eq!(refs("f(x).steps.a"), "f x");
        assert_eq!(refs("1.steps"), "");
        assert_eq!(refs("steps[inputs.id]"), "steps inputs.id");
    }
}
