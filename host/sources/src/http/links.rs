//! Addresses in answers, made relative to the base URL: a guest follows them without learning a host.
//!
//! Deliberately absent: addresses in streams, and those at places of a body that no provider's facts
//! name: a service's data is the tenant's own.

use std::collections::HashMap;

use serde_json::value::RawValue;
use url::Url;

/// What answers' addresses are relative to.
pub(super) struct Links<'a> {
    pub(super) base: &'a Url,
    /// The parameter that carries the credential, which some services repeat in addresses.
    pub(super) secret: Option<&'a str>,
}

impl Links<'_> {
    /// An address below the base URL, relative to it.
    pub(super) fn relative(&self, target: &str) -> Option<String> {
        let target = self.base.join(target).ok()?;
        let path = target.path().strip_prefix(self.base.path())?;
        let same = target.origin() == self.base.origin() && target.username().is_empty() && target.password().is_none();
        same.then(|| match self.query(&target) {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        })
    }

    /// A URL's query as it stands, or written anew without the secret.
    fn query(&self, target: &Url) -> Option<String> {
        let query = target.query()?;
        let Some(secret) = self.secret else { return Some(query.to_owned()) };
        if !target.query_pairs().any(|(name, _)| name == secret) {
            return Some(query.to_owned());
        }
        let mut kept = url::form_urlencoded::Serializer::new(String::new());
        kept.extend_pairs(target.query_pairs().filter(|(name, _)| name != secret));
        Some(kept.finish()).filter(|query| !query.is_empty())
    }

    /// A `Link` header: `<https://host/base/orders?page=2>; rel="next"` as `<orders?page=2>; rel="next"`.
    pub(super) fn header(&self, value: &str) -> Option<String> {
        let mut kept = Vec::new();
        let mut rest = value;
        while let Some((_, found)) = rest.split_once('<') {
            let (target, after) = found.split_once('>')?;
            // The next link begins with the next `<`; a comma before it ends this one's parameters.
            let end = after.find('<').unwrap_or(after.len());
            let (parameters, next) = after.split_at_checked(end)?;
            if let Some(target) = self.relative(target) {
                kept.push(format!("<{target}>{}", parameters.trim_end().trim_end_matches(',').trim_end()));
            }
            rest = next;
        }
        (!kept.is_empty()).then(|| kept.join(", "))
    }

    /// A JSON body whose addresses at these places, one or two members deep, are relative. One that lies
    /// on the same host and not below the base URL becomes null; one of another host, or what is no
    /// address, stays. All other bytes stay as they are.
    pub(super) fn body(&self, body: Vec<u8>, places: &[&str]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(&body) else { return body };
        if places.is_empty() || !text.trim_start().starts_with('{') {
            return body;
        }
        let mut changes: Vec<_> = places.iter().filter_map(|place| self.change(text, place)).collect();
        if changes.is_empty() {
            return body;
        }
        changes.sort_by_key(|(start, _, _)| *start);
        let mut made = String::with_capacity(text.len());
        let mut done = 0;
        for (start, end, value) in changes {
            made.push_str(text.get(done..start).unwrap_or_default());
            made.push_str(&value);
            done = end;
        }
        made.push_str(text.get(done..).unwrap_or_default());
        made.into_bytes()
    }

    /// Where in a text an address stands that is to be another, and what is to stand there.
    fn change(&self, text: &str, place: &str) -> Option<(usize, usize, String)> {
        let mut found = text;
        for member in place.split('/').skip(1) {
            let members: HashMap<String, &RawValue> = serde_json::from_str(found).ok()?;
            found = members.get(member)?.get();
        }
        let written: String = serde_json::from_str(found).ok()?;
        let address = written.starts_with('/') || written.starts_with("http://") || written.starts_with("https://");
        let target = self.base.join(&written).ok().filter(|_| address)?;
        let value = match self.relative(&written) {
            Some(relative) => serde_json::to_string(&relative).ok()?,
            None if target.host() == self.base.host() => "null".to_owned(),
            None => return None,
        };
        // What was found is a part of the text, so that the distance of their beginnings is its place.
        let start = (found.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        Some((start, start + found.len(), value))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn rewritten(body: &str, secret: Option<&str>) -> String {
        let base = "https://acme.example/api/v2/".parse().unwrap();
        let places = ["/next_page", "/links/next", "/links/prev"];
        String::from_utf8(Links { base: &base, secret }.body(body.as_bytes().to_vec(), &places)).unwrap()
    }

    #[test]
    fn addresses_of_pages_become_relative_and_nothing_else_changes() {
        for (body, expected) in [
            (
                r#"{"n": 1.10, "next_page": "https:\/\/acme.example\/api\/v2\/tickets.json?page=2&a=b%20c", "x":[1] }"#,
                r#"{"n": 1.10, "next_page": "tickets.json?page=2&a=b%20c", "x":[1] }"#,
            ),
            (
                r#"{"links":{"next":"/api/v2/x?page[after]=k","prev":null}}"#,
                r#"{"links":{"next":"x?page[after]=k","prev":null}}"#,
            ),
            (
                r#"{"links":{"prev":"https://acme.example/api/v2/a","next":"https://acme.example/api/v2/b"}}"#,
                r#"{"links":{"prev":"a","next":"b"}}"#,
            ),
            (r#"{"next_page":"https://acme.example/other"}"#, r#"{"next_page":null}"#),
            (r#"{"next_page":"http://acme.example/api/v2/x"}"#, r#"{"next_page":null}"#),
            (r#"{"next_page":"https://user:word@acme.example/api/v2/x"}"#, r#"{"next_page":null}"#),
        ] {
            assert_eq!(rewritten(body, None), expected);
        }
        for same in [
            r#"{"next_page":"https://other.example/api/v2/x"}"#,
            r#"{"next_page":2}"#,
            r#"{"next_page":"chapter 2"}"#,
            r#"{"other":"https://acme.example/api/v2/x"}"#,
            r#"["https://acme.example/api/v2/x"]"#,
            r#"{"next_page":"https://acme.example/api/v2/x""#,
            "",
        ] {
            assert_eq!(rewritten(same, None), same);
        }
    }

    #[test]
    fn a_credential_in_an_address_is_taken_out() {
        let body = r#"{"next_page":"https://acme.example/api/v2/x?page=2&api_key=canary&q=a+b"}"#;
        assert_eq!(rewritten(body, Some("api_key")), r#"{"next_page":"x?page=2&q=a+b"}"#);
        let body = r#"{"next_page":"https://acme.example/api/v2/x?api%5Fkey=canary"}"#;
        assert_eq!(rewritten(body, Some("api_key")), r#"{"next_page":"x"}"#);
    }
}
