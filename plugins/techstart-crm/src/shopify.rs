//! Shopify's habits: ids in two forms, and lists in pages that a `Link` header joins.

use std::ops::ControlFlow;
use std::time::Duration;

use remit_sdk::{prelude::*, source::Response};

/// The most entries that Shopify puts on a page.
pub(crate) const PAGE: u32 = 250;

/// What a page, and the answer made of it, may need: with less to go, no further one is asked for.
const TIME_FOR_A_PAGE: Duration = Duration::from_millis(500);

/// An id of some kind of thing: `632910392`, or `gid://shopify/Product/632910392`. None if it is
/// neither, or names another kind.
pub(crate) fn id(text: &str, kind: &str) -> Option<u64> {
    let digits = match text.strip_prefix("gid://shopify/") {
        Some(path) => path.strip_prefix(kind)?.strip_prefix('/')?.split('?').next()?,
        None => text,
    };
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// What may stand beside a cursor, and is not part of it: each page must be asked for with it anew.
const BESIDE_A_CURSOR: [&str; 2] = ["limit", "fields"];

/// Reads a list page by page until `visit` breaks off or there is no further one. Each page has the
/// fields and the size of the first, whether or not the link to it says so.
///
/// Errors: `refused` if the call's time is over before.
pub(crate) fn pages(
    call: &Call,
    api: &Api,
    first: Request,
    mut visit: impl FnMut(&Response) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let path = first.path.clone();
    let lasting = |(name, _): &&(String, String)| BESIDE_A_CURSOR.contains(&name.as_str());
    let lasting: Vec<_> = first.query.iter().filter(lasting).cloned().collect();
    let mut request = first;
    loop {
        let page = api.fetch(&request)?;
        let next = next_page(&page).map(|next| with(next, &lasting)).filter(|next| *next != request.query);
        if visit(&page)?.is_break() {
            return Ok(());
        }
        let Some(next) = next else { return Ok(()) };
        if call.cancelled() {
            return Err(Error::Cancelled);
        }
        if call.remaining() < TIME_FOR_A_PAGE {
            return Err(Error::refused("The list is too long to read in the time left"));
        }
        request = Request::get(&path);
        request.query = next;
    }
}

/// A query, and of `lasting` what it does not name.
fn with(mut query: Vec<(String, String)>, lasting: &[(String, String)]) -> Vec<(String, String)> {
    for (name, value) in lasting {
        if !query.iter().any(|(other, _)| other == name) {
            query.push((name.clone(), value.clone()));
        }
    }
    query
}

/// The query of the next page, from `Link: <https://…?page_info=…&limit=250>; rel="next"`. Address and
/// host are left aside: the path is the one asked for before.
fn next_page(page: &Response) -> Option<Vec<(String, String)>> {
    let mut rest = page.header("link")?;
    while let Some((_, from_address)) = rest.split_once('<') {
        let (address, after) = from_address.split_once('>')?;
        let relation = after.split(['<', ',']).next().unwrap_or_default();
        if relation.replace([' ', '"'], "").contains(";rel=next") {
            let (_, query) = address.split_once('?')?;
            return Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use remit_sdk::{
        prelude::*,
        source::{Method, Response},
        testing::{self, FakeApi},
    };

    use super::{id, next_page, pages};

    #[test]
    fn ids_come_in_two_forms() {
        assert_eq!(id("632910392", "Product"), Some(632_910_392));
        assert_eq!(id("gid://shopify/Product/632910392", "Product"), Some(632_910_392));
        for bad in ["", "-1", "12a", "gid://shopify/Product/", "gid://shopify/Order/1", "gid://shopify/Product/../1"] {
            assert_eq!(id(bad, "Product"), None, "{bad}");
        }
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        let next = |link: &str| {
            let mut page = Response::of_json(200, &json!({}));
            page.headers.push(("link".to_owned(), link.to_owned()));
            next_page(&page)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            next(
                r#"<https://a/p.json?limit=5&page_info=x,y>; rel="previous", <https://a/p.json?page_info=a%3D%2Bb&limit=5>; rel="next""#
            ),
            Some(vec![pair("page_info", "a=+b"), pair("limit", "5")])
        );
        assert_eq!(next(r#"<https://a/p.json?page_info=b>; rel="previous""#), None);
        for bad in ["", "<", "<>", "rel=next", r#"<https://a/p.json>; rel="next""#] {
            assert_eq!(next(bad), None, "{bad}");
        }
        assert_eq!(next_page(&Response::of_json(200, &json!({}))), None);
    }

    #[test]
    fn each_page_is_asked_for_with_the_fields_and_the_size_of_the_first() -> Result<()> {
        let api = FakeApi::new().answer(Method::Get, "p.json", |request| {
            let cursor = request.query.iter().find(|(name, _)| name == "page_info").map(|(_, value)| value.as_str());
            let next = match cursor {
                None => "page_info=two",
                // The third has a link to itself, which is not followed.
                Some(_) => "limit=100&page_info=three",
            };
            let mut response = Response::of_json(200, &json!({}));
            response.headers.push(("link".to_owned(), format!("<https://shop.example/p.json?{next}>; rel=\"next\"")));
            Ok(response)
        });
        let call = testing::call().reads("ecommerce", &api).build();
        let first = Request::get("p.json").query("status", "active").query("limit", 250).query("fields", "id,title");
        pages(&call, &call.api("ecommerce")?, first, |_| Ok(ControlFlow::Continue(())))?;
        let asked = api.requests().into_iter().map(|request| {
            let query = request.query.iter().map(|(name, value)| format!("{name}={value}"));
            query.collect::<Vec<_>>().join("&")
        });
        let expected = [
            "status=active&limit=250&fields=id,title",
            "page_info=two&limit=250&fields=id,title",
            "limit=100&page_info=three&fields=id,title",
        ];
        assert_eq!(asked.collect::<Vec<_>>(), expected);
        Ok(())
    }
}
