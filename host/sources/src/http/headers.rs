//! Headers, both ways: what a guest may set, and what it may see of an answer's.

use super::{links::Links, provider::Facts};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use remit_domain::data::{Error, http_api::MAX_HEADERS};

/// Headers that belong to the host or the connection, whoever the provider is. Those that override a
/// request's method would make a read of it in name only.
const DENIED: [&str; 25] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
];

/// What may always be set.
const USUAL: [&str; 10] = [
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "prefer",
    "x-request-id",
];

/// Answers' headers that a guest sees, a last `*` standing for anything: what the body is, how old, how
/// much more there is and how soon to ask again. Others may name hosts, accounts and sessions.
const SHOWN: [&str; 15] = [
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "link",
    "location",
    "ratelimit-*",
    "retry-after",
    "sforce-limit-info",
    "x-ratelimit-*",
    "x-request-id",
    "x-shopify-shop-api-call-limit",
];

/// A guest's headers. `credential` is the header that the host sets itself.
///
/// Errors: `denied` for a header that is the host's; `invalid` for one that is none; `limit`.
pub(super) fn request(
    headers: &[(String, String)],
    facts: &Facts,
    credential: Option<&HeaderName>,
) -> Result<HeaderMap, Error> {
    if headers.len() > MAX_HEADERS {
        return Err(Error::Limit { name: "max-headers", allowed: MAX_HEADERS as u64 });
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let shown: String = name.chars().take(64).collect();
        let invalid = || Error::Invalid(format!("the header `{}` is malformed", shown.escape_default()));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_str(value).map_err(|_| invalid())?;
        let lower = name.as_str();
        let admitted = !DENIED.contains(&lower)
            && !lower.starts_with("proxy-")
            && !lower.starts_with("x-forwarded-")
            && !lower.starts_with("sec-")
            && credential != Some(&name)
            && !facts.sends.iter().any(|(own, _)| *own == lower)
            && (USUAL.contains(&lower) || facts.headers.is_none_or(|list| list.iter().any(|one| fits(lower, one))));
        if !admitted {
            return Err(Error::Denied(format!("the header `{lower}` is not a plugin's to set")));
        }
        map.append(name, value);
    }
    Ok(map)
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// An answer's headers as a guest sees them. Addresses below the base URL become relative to it;
/// others, and what names the host all the same, are left out.
pub(super) fn response(headers: &HeaderMap, links: &Links<'_>) -> Vec<(String, String)> {
    let host = links.base.host_str().unwrap_or_default().to_ascii_lowercase();
    let seen = headers.iter().filter_map(|(name, value)| {
        if !SHOWN.iter().any(|shown| fits(name.as_str(), shown)) {
            return None;
        }
        let value = value.to_str().ok()?;
        let value = match *name {
            header::LINK => links.header(value)?,
            header::LOCATION => links.relative(value)?,
            _ => value.to_owned(),
        };
        (!value.to_ascii_lowercase().contains(&host)).then(|| (name.as_str().to_owned(), value))
    });
    seen.collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use remit_domain::source::Provider;
    use url::Url;

    use super::{super::provider::facts, *};

    fn try_one(provider: Provider, name: &str, value: &str) -> Result<(), &'static str> {
        let own = HeaderName::from_static("x-shopify-access-token");
        let headers = [(name.to_owned(), value.to_owned())];
        request(&headers, facts(provider), Some(&own)).map(drop).map_err(|error| error.case())
    }

    #[test]
    fn a_guest_sets_no_header_of_the_hosts() {
        for name in [
            "Authorization",
            "cookie",
            "HOST",
            "Connection",
            "Transfer-Encoding",
            "content-length",
            "TE",
            "Upgrade",
            "proxy-authorization",
            "Proxy-Anything",
            "X-Forwarded-For",
            "X-HTTP-Method-Override",
            "Accept-Encoding",
            "X-Shopify-Access-Token",
            "user-agent",
            "Idempotency-Key",
            "sec-fetch-site",
        ] {
            for provider in [Provider::Shopify, Provider::Salesforce, Provider::Rest] {
                assert_eq!(try_one(provider, name, "x"), Err("denied"), "{name}");
            }
        }
        for (name, value) in
            [("a\r\nb", "x"), ("a b", "x"), ("", "x"), ("a:", "x"), ("accept", "x\r\nHost: y"), ("accept", "x\0")]
        {
            assert_eq!(try_one(Provider::Rest, name, value), Err("invalid"), "{name:?} {value:?}");
        }
        assert_eq!(try_one(Provider::Rest, "X-Anything", "x"), Ok(()));
        assert_eq!(try_one(Provider::Shopify, "X-Anything", "x"), Err("denied"));
        assert_eq!(try_one(Provider::Klaviyo, "Revision", "2020-01-01"), Err("denied"));
        assert_eq!(try_one(Provider::Shopify, "Content-Type", "application/json"), Ok(()));
        assert_eq!(try_one(Provider::Salesforce, "Sforce-Query-Options", "batchSize=200"), Ok(()));
        let many = vec![("accept".to_owned(), "x".to_owned()); MAX_HEADERS + 1];
        assert_eq!(request(&many, facts(Provider::Rest), None).unwrap_err().case(), "limit");
    }

    #[test]
    fn an_answer_shows_no_host_and_keeps_its_paging() {
        let base: Url = "https://Shop.Example/admin/api/2024-01/".parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("set-cookie", "session=1"),
            ("x-request-id", "abc"),
            ("x-ratelimit-remaining", "7"),
            ("ratelimit-policy", "10;w=1"),
            ("x-proxied-by", "edge.internal"),
            ("x-shopid", "4711"),
            ("www-authenticate", "Basic realm=\"internal\""),
            ("etag", "\"edge.SHOP.example\""),
            ("x-shopify-shop-api-call-limit", "1/40"),
            ("location", "https://shop.example/admin/api/2024-01/orders/1.json"),
            (
                "link",
                "<https://shop.example/admin/api/2024-01/orders.json?page_info=a,b&limit=2>; rel=\"previous\", \
                 <https://shop.example/admin/api/2024-01/orders.json?page_info=c>; rel=\"next\", \
                 <https://evil.example/x>; rel=\"other\"",
            ),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let seen = response(&headers, &Links { base: &base, secret: None });
        let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("content-type", "application/json"),
                ("x-request-id", "abc"),
                ("x-ratelimit-remaining", "7"),
                ("ratelimit-policy", "10;w=1"),
                ("x-shopify-shop-api-call-limit", "1/40"),
                ("location", "orders/1.json"),
                (
                    "link",
                    "<orders.json?page_info=a,b&limit=2>; rel=\"previous\", <orders.json?page_info=c>; rel=\"next\""
                ),
            ]
        );
        let mut elsewhere = HeaderMap::new();
        for target in ["http://shop.example/admin/api/2024-01/x", "https://evil.example/", "/other", "//evil.example/"]
        {
            elsewhere.insert(header::LOCATION, HeaderValue::from_static(target));
            assert_eq!(response(&elsewhere, &Links { base: &base, secret: None }), [], "{target}");
        }
    }
}
