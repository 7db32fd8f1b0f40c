//! Paths and addresses as authors write them: names in braces, a query behind, letters that need encoding.

use remit_sdk::{
    Error, Result,
    serde_json::{Map, Value as Json},
    source::segment,
};

/// A path or an address without its query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub path: String,
    pub query: Vec<(String, String)>,
}

/// Whether an address is one that can be asked. Errors: what is wrong, for people.
pub(crate) fn scheme(url: &str) -> Result<(), String> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let rest = if lower.starts_with("https://") {
        url.get(8..)
    } else if lower.starts_with("http://") {
        url.get(7..)
    } else {
        None
    };
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', '?', '#']) => Ok(()),
        _ => Err(format!("`{url}` is no whole address: write `https://…`")),
    }
}

/// Fills the names in braces, parts the query off, and encodes what an address can't hold. A fragment is for
/// browsers and falls away.
///
/// Errors: `invalid` at `pointer`.
pub(crate) fn filled(place: &str, params: Option<&Map<String, Json>>, pointer: &str) -> Result<Address> {
    let mut filled = String::with_capacity(place.len());
    let mut rest = place;
    let mut used = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| Error::invalid(pointer, "a `{` without its `}`"))?;
        let value = params.and_then(|params| params.get(name));
        let value = value.ok_or_else(|| Error::invalid(pointer, format!("`params` has nothing for `{{{name}}}`")))?;
        let value = text(value, &format!("/params/{name}"))?;
        // What is no segment at all would name what stands above.
        if matches!(value.as_str(), "" | "." | "..") {
            return Err(Error::invalid(
                format!("/params/{name}"),
                "an empty value, or one of dots, is no part of a path",
            ));
        }
        used.push(name);
        filled.push_str(before);
        filled.push_str(&segment(&value));
        rest = after;
    }
    filled.push_str(rest);
    if let Some((name, _)) = params.into_iter().flatten().find(|(name, _)| !used.contains(&name.as_str())) {
        return Err(Error::invalid(format!("/params/{name}"), format!("nothing stands for `{{{name}}}`")));
    }
    let whole = filled.split_once('#').map_or(filled.as_str(), |(before, _)| before);
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Ok(Address { path: encoded(path), query })
}

/// A value as a text. Errors: `invalid` at `pointer` for what is none.
pub(crate) fn text(value: &Json, pointer: &str) -> Result<String> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        Json::Bool(value) => Ok(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            Err(Error::invalid(pointer, format!("a text, number or boolean is needed here, not {value}")))
        }
    }
}

/// A path whose other characters are escaped; what is escaped already stays so.
fn encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use remit_sdk::{Error, json, serde_json::Value as Json};

    use super::{Address, filled, scheme};

    fn of(place: &str, params: Json) -> Result<Address, String> {
        filled(place, params.as_object(), "/path").map_err(|error| match error {
            Error::Invalid(problems) => problems[0].pointer.clone(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn values_stay_segments() {
        let address = of("customers/{id}/notes?sort=-at&q=a%20b#x", json!({"id": "../a/b?c"})).unwrap();
        let query = [("sort", "-at"), ("q", "a b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(address, Address { path: "customers/..%2Fa%2Fb%3Fc/notes".to_owned(), query: query.to_vec() });
        assert_eq!(of("caf\u{e9} 1%20x", json!(null)).unwrap().path, "caf%C3%A9%201%20x");
        assert_eq!(of("a/{n}", json!({"n": 7})).unwrap().path, "a/7");
    }

    #[test]
    fn what_fills_nothing_is_named() {
        for (place, params, pointer) in [
            ("a/{id}", json!({}), "/path"),
            ("a/{id", json!({"id": 1}), "/path"),
            ("a/{id}", json!({"id": ".."}), "/params/id"),
            ("a/{id}", json!({"id": ""}), "/params/id"),
            ("a/{id}", json!({"id": null}), "/params/id"),
            ("a/{id}", json!({"id": ["x"]}), "/params/id"),
            ("a", json!({"id": 1}), "/params/id"),
        ] {
            assert_eq!(of(place, params).unwrap_err(), pointer, "{place}");
        }
    }

    #[test]
    fn addresses_are_whole() {
        for fit in ["https://a.example", "HTTP://a.example/x?y", "https://{{ inputs.host }}/x"] {
            assert_eq!(scheme(fit), Ok(()), "{fit}");
        }
        for bad in ["", "a.example", "//a", "file:///etc/passwd", "https://", "https:///x", "ftp://a", "ü"] {
            assert!(scheme(bad).is_err(), "{bad}");
        }
    }
}
