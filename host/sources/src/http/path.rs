//! A guest's path below a base URL, checked so that no reading of it leads elsewhere.

use percent_encoding::percent_decode_str;
use remit_domain::data::Error;
use url::Url;

/// The most bytes of a URL, query included: what common servers take.
pub(super) const MAX_URL_BYTES: usize = 16 * 1024;
/// How often a path may be encoded over: more than any server undoes.
const MAX_DECODINGS: usize = 4;

/// The URL of a path and query below a base, which ends with a slash. Errors: `invalid`.
pub(super) fn join(base: &Url, path: &str, query: &[(String, String)]) -> Result<Url, Error> {
    check(path)?;
    let mut url = base.clone();
    // Whole paths are compared, not resolved: what a URL parser would change is not what was asked for.
    let whole = if path.is_empty() { bare(base).to_owned() } else { format!("{}{path}", base.path()) };
    url.set_path(&whole);
    if url.path() != whole || url.origin() != base.origin() || !url.path().starts_with(bare(base)) {
        return Err(invalid("would be read as another path"));
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(Error::Invalid(format!("path and query come to more than {MAX_URL_BYTES} bytes")));
    }
    Ok(url)
}

/// The path of a base URL without its last slash, unless it is the root.
fn bare(base: &Url) -> &str {
    match base.path() {
        "/" => "/",
        path => path.trim_end_matches('/'),
    }
}

/// Whether a path is one that can't be read as leading elsewhere. Errors: `invalid`.
pub(super) fn check(path: &str) -> Result<(), Error> {
    if path.starts_with('/') {
        return Err(invalid("is relative: it does not begin with a slash"));
    }
    if path.contains(['?', '#']) {
        return Err(invalid("has no query or fragment; the query is given apart"));
    }
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => {
                let (high, low) = (bytes.next(), bytes.next());
                high.is_some_and(|byte| byte.is_ascii_hexdigit()) && low.is_some_and(|byte| byte.is_ascii_hexdigit())
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte),
        };
        if !allowed {
            return Err(invalid("is not percent-encoded"));
        }
    }
    // A first part with a colon could be read as a scheme.
    if path.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(invalid("begins with what could be a scheme; write the colon as %3A"));
    }
    // Each time it is decoded, since a service may decode more than once.
    let mut decoded = path.to_owned();
    for level in 0..=MAX_DECODINGS {
        segments(&decoded, level == 0)?;
        let next = percent_decode_str(&decoded).decode_utf8().map_err(|_| invalid("is not UTF-8"))?.into_owned();
        if next == decoded {
            return Ok(());
        }
        decoded = next;
    }
    Err(invalid("is encoded over and over"))
}

fn segments(path: &str, written: bool) -> Result<(), Error> {
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Err(invalid("has a backslash or control character"));
    }
    if path.starts_with('/') {
        return Err(invalid("is relative: it does not begin with a slash"));
    }
    for segment in path.split('/') {
        // Some servers take off what follows a semicolon before they look for dots.
        let name = segment.split(';').next().unwrap_or_default();
        if matches!(name.trim(), "." | "..") {
            return Err(invalid("has `.` or `..` as a part"));
        }
    }
    if written && path.contains("//") {
        return Err(invalid("has an empty part"));
    }
    Ok(())
}

fn invalid(why: &str) -> Error {
    Error::Invalid(format!("the path {why}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn below(base: &str, path: &str) -> Result<String, Error> {
        join(&base.parse().unwrap(), path, &[]).map(String::from)
    }

    #[test]
    fn paths_stay_below_the_base() {
        for (path, expected) in [
            ("orders.json", "https://h/admin/orders.json"),
            ("orders/42/", "https://h/admin/orders/42/"),
            ("a%20b/c%2Fd", "https://h/admin/a%20b/c%2Fd"),
            ("people/a@b.example", "https://h/admin/people/a@b.example"),
            ("x/..a/...", "https://h/admin/x/..a/..."),
            ("", "https://h/admin"),
        ] {
            assert_eq!(below("https://h/admin/", path).unwrap(), expected);
        }
        assert_eq!(below("https://h/", "").unwrap(), "https://h/");
        let query = [("q".to_owned(), "a b&c=d#e".to_owned()), ("é".to_owned(), "%".to_owned())];
        let url = join(&"https://h/v/".parse().unwrap(), "s", &query).unwrap();
        assert_eq!(url.as_str(), "https://h/v/s?q=a+b%26c%3Dd%23e&%C3%A9=%25");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_invalid() {
        for path in [
            "/",
            "/etc",
            "//evil.example/x",
            "\\\\evil.example",
            "..",
            ".",
            "../x",
            "a/..",
            "a/../../b",
            "a/./b",
            "%2e%2e/x",
            "a/%2E%2e/b",
            "%252e%252e/x",
            "%25252e%25252e/x",
            "%2525252525252e",
            "..%2fx",
            "..%5cx",
            "a%5c..%5cb",
            "a\\b",
            "..;/x",
            "..;a=b/x",
            "%2e%2e%3b/x",
            "a//b",
            "http://evil.example/",
            "https:evil",
            "javascript:x",
            "a:b",
            "@evil.example/\u{e9}",
            "a b",
            "a\tb",
            "a\nb",
            "a\r\nHost: x",
            "a%0d%0aHost",
            "a%00",
            "a%7f",
            "a?b=c",
            "a#b",
            "a%",
            "a%2",
            "a%zz",
            "é",
            "a%ff",
            "%2f",
            "%2fetc",
            "a<b",
            "a\"b",
            "a{b}",
            "a|b",
            "a^b",
            "a`b",
        ] {
            let result = below("https://h/admin/", path);
            assert_eq!(result.as_ref().map_err(Error::case), Err("invalid"), "{path:?}");
        }
        assert!(below("https://h/", &"a".repeat(MAX_URL_BYTES)).is_err());
    }
}
