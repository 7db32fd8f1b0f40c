//! The web: absolute URLs of the hosts that a tenant's context lists, without any credential.
//!
//! Whether a listed host may be reached at all is the guard's to say: a private address takes the operator's
//! word. Deliberately absent: redirects, which could lead to a host that is not listed.

use remit_domain::{data::Error, source::WebHost};
use url::{Host, Url};

use super::path::{self, MAX_URL_BYTES};

/// The URL that a request names, with its query.
///
/// Errors: `invalid` for what is no absolute URL of HTTP; `denied` for a host that is not listed.
pub(super) fn url(hosts: &[WebHost], text: &str, query: &[(String, String)]) -> Result<Url, Error> {
    let invalid = |why: &str| Error::Invalid(format!("the URL {why}"));
    if text.len() > MAX_URL_BYTES || text.contains(|c: char| c.is_control() || c == '\\' || c.is_whitespace()) {
        return Err(invalid("is too long, or has a space, a backslash or a control character"));
    }
    let mut url: Url = text.parse().map_err(|_| invalid("is not absolute: https://host/path"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("is neither of http nor of https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Denied("a URL carries no user and no password".to_owned()));
    }
    if url.fragment().is_some() {
        return Err(invalid("has a fragment"));
    }
    // Whether a request reads is decided by its query as well, and looked for in one place alone.
    if url.query().is_some() {
        return Err(invalid("has a query, which belongs into the request's own"));
    }
    // As it will be connected to: what a parser makes of other spellings is decided here and nowhere else.
    let host = match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(_)) | None => return Err(denied()),
    };
    if !hosts.iter().any(|listed| listed.is(&host, url.port())) {
        return Err(denied());
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    if url.as_str().len() > MAX_URL_BYTES {
        return Err(invalid("comes to too many bytes"));
    }
    Ok(url)
}

/// Host and path, as a mapping's `only.paths` names them: `api.example.com/v1`, and with a port that is not the
/// scheme's own `api.example.com:8443/v1`.
///
/// Errors: `invalid` for a path that could be read as another one.
pub(super) fn place(url: &Url) -> Result<String, Error> {
    let path = url.path().trim_start_matches('/');
    path::check(path)?;
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    // What else answers on the host's other ports was not meant.
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("{host}{port}/{path}"))
}

fn denied() -> Error {
    Error::Denied("this host is not one of those that the tenant's `network.allow` lists".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Vec<WebHost> {
        let host = |name: &str, below, port| WebHost { name: name.to_owned(), below, port };
        vec![
            host("api.example.com", false, None),
            host("example.org", true, None),
            host("127.0.0.1", false, Some(8080)),
        ]
    }

    fn tried(text: &str) -> Result<String, &'static str> {
        url(&listed(), text, &[]).map(String::from).map_err(|error| error.case())
    }

    #[test]
    fn only_what_is_listed_is_reached_however_it_is_spelt() {
        for (text, expected) in [
            ("https://api.example.com/a", "https://api.example.com/a"),
            ("http://API.Example.com:80", "http://api.example.com/"),
            ("https://api.example.com./a", "https://api.example.com./a"),
            ("https://a.b.example.org/x", "https://a.b.example.org/x"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
            ("http://0x7f000001:8080/", "http://127.0.0.1:8080/"),
        ] {
            assert_eq!(tried(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "https://example.com/",
            "https://evil-api.example.com/",
            "https://api.example.com.evil.example/",
            "https://example.org/",
            "https://notexample.org/",
            "https://api.example.com:8443/",
            "http://127.0.0.1/",
            "http://127.0.0.1:8081/",
            "http://[::1]:8080/",
            "http://169.254.169.254/",
            "https://user@api.example.com/",
            "https://api.example.com:secret@evil.example/",
        ] {
            assert_eq!(tried(text), Err("denied"), "{text}");
        }
        for text in [
            "",
            "/a",
            "api.example.com/a",
            "//api.example.com/a",
            "ftp://api.example.com/",
            "file:///etc/passwd",
            "https://",
            "https://api.example.com/#a",
            "https://api.example.com/a?_method=DELETE",
            "https:\\\\api.example.com\\a",
            "https://api.example.com/\r\nX: y",
            "https://api.example.com/a b",
        ] {
            assert_eq!(tried(text), Err("invalid"), "{text}");
        }
        let query = [("q".to_owned(), "a b&c".to_owned())];
        let with = url(&listed(), "https://api.example.com/a", &query).map(String::from);
        assert_eq!(with.ok().as_deref(), Some("https://api.example.com/a?q=a+b%26c"));
    }

    #[test]
    fn a_mapping_names_host_and_path() {
        let place = |text: &str| url(&listed(), text, &[]).and_then(|url| place(&url)).map_err(|error| error.case());
        assert_eq!(place("https://api.example.com/v1/../v2/x").as_deref(), Ok("api.example.com/v2/x"));
        assert_eq!(place("https://api.example.com./").as_deref(), Ok("api.example.com/"));
        assert_eq!(place("https://api.example.com:443/a").as_deref(), Ok("api.example.com/a"));
        assert_eq!(place("http://127.0.0.1:8080/a").as_deref(), Ok("127.0.0.1:8080/a"));
        assert_eq!(place("https://api.example.com/v1/%2e%2e%2fadmin"), Err("invalid"));
    }
}
