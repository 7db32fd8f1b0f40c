//! Lists in pages, as services tell where the next one is. The host gives addresses relative to the
//! source's root, so that one can be asked for as it stands.

use serde_json::Value;

use super::{Api, Request, Response};
use crate::{Error, Result};

/// How many pages are read of a list that says no limit.
const LIMIT: usize = 100;

/// How a service tells where the next page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// A `Link` header with `rel="next"` (Shopify).
    Link,
    /// An address at this place of the answer, as a JSON pointer: `/nextRecordsUrl` (Salesforce),
    /// `/next_page` or `/links/next` (Zendesk), `/links/next` (Klaviyo).
    Address(&'static str),
    /// A cursor at this place of the answer, and the parameter that takes it:
    /// `/response_metadata/next_cursor` and `cursor` (Slack), `/nextPageToken` and `pageToken` (Google).
    Cursor(&'static str, &'static str),
}

/// The pages of a list, each asked for when it is taken.
pub struct Pages<'a> {
    api: &'a Api,
    paging: Paging,
    next: Option<Request>,
    /// Parameters that each page is asked for with.
    lasting: Vec<(String, String)>,
    limit: usize,
    left: usize,
}

impl Api {
    /// The pages of a list, from the first on. Each must succeed, as with [`Api::fetch`].
    ///
    /// After the first failure there are no more. A list of more than 100 pages, or what
    /// [`Pages::limit`] says, is `refused`: who wants only some takes only some.
    pub fn pages(&self, first: Request, paging: Paging) -> Pages<'_> {
        Pages { api: self, paging, next: Some(first), lasting: Vec::new(), limit: LIMIT, left: LIMIT }
    }
}

impl Pages<'_> {
    /// As many pages at most.
    #[must_use]
    pub fn limit(self, pages: usize) -> Self {
        Self { limit: pages, left: pages, ..self }
    }

    /// Parameters of the first request that each page is asked for with, where its address lacks them:
    /// Shopify's addresses have no `fields`.
    #[must_use]
    pub fn keeping(self, names: &[&str]) -> Self {
        let first = self.next.iter().flat_map(|first| &first.query);
        let lasting = first.filter(|(name, _)| names.contains(&name.as_str())).cloned().collect();
        Self { lasting, ..self }
    }

    /// The entries of all pages, which stand at this place of each answer, as a JSON pointer.
    pub fn entries<T: serde::de::DeserializeOwned>(self, list: &str) -> Result<Vec<T>> {
        let api = self.api;
        let mut all = Vec::new();
        for page in self {
            let mut body: Value = api.json_of(&page?)?;
            let entries = body.pointer_mut(list).map(Value::take).unwrap_or_else(|| Value::Array(Vec::new()));
            let entries: Vec<T> = serde_json::from_value(entries)
                .map_err(|error| Error::refused(format!("a page's entries are not as expected: {error}")))?;
            all.extend(entries);
        }
        Ok(all)
    }

    fn following(&self, asked: &Request, page: &Response) -> Option<Request> {
        let place = |pointer: &str| {
            let body: Value = serde_json::from_slice(&page.body).ok()?;
            let found = body.pointer(pointer)?;
            let text = found.as_str().map(str::to_owned).or_else(|| found.as_number().map(ToString::to_string));
            text.filter(|text| !text.is_empty())
        };
        let mut next = Request { body: asked.body.clone(), ..asked.clone() };
        match self.paging {
            Paging::Link => (next.path, next.query) = address(link(page.header("link")?)?),
            Paging::Address(pointer) => (next.path, next.query) = address(&place(pointer)?),
            Paging::Cursor(pointer, parameter) => {
                next.query.retain(|(name, _)| name != parameter);
                next.query.push((parameter.to_owned(), place(pointer)?));
            }
        }
        for (name, value) in &self.lasting {
            if !next.query.iter().any(|(other, _)| other == name) {
                next.query.push((name.clone(), value.clone()));
            }
        }
        // A page that leads to itself would never end.
        ((&next.path, &next.query) != (&asked.path, &asked.query)).then_some(next)
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Response>;

    fn next(&mut self) -> Option<Self::Item> {
        let request = self.next.take()?;
        if self.left == 0 {
            return Some(Err(Error::refused(format!("The list has more than {} pages", self.limit))));
        }
        self.left -= 1;
        let page = self.api.fetch(&request);
        if let Ok(page) = &page {
            self.next = self.following(&request, page);
        }
        Some(page)
    }
}

/// The address with `rel="next"` of a `Link` header.
fn link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, found)) = rest.split_once('<') {
        let (target, after) = found.split_once('>')?;
        let relation = after.split('<').next().unwrap_or_default();
        if relation.replace([' ', '"'], "").contains(";rel=next") {
            return Some(target);
        }
        rest = after;
    }
    None
}

/// A path, and its query decoded.
fn address(text: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    (path.to_owned(), pairs.collect())
}

/// What a query's part stands for; what is no escape stands for itself.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (digit(ahead.next()), digit(ahead.next())) {
                (Some(high), Some(low)) => {
                    bytes.push(high * 16 + low);
                    rest = ahead;
                }
                _ => bytes.push(byte),
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        source::Method,
        testing::{self, FakeApi},
    };

    /// A service with the pages 1 to 3, each of which says where the next is as `tell` has it.
    fn service(tell: fn(u32, &mut Response, &mut Value)) -> FakeApi {
        FakeApi::new().answer(Method::Get, "things", move |request| {
            let page =
                request.query.iter().find(|(name, _)| name == "page").map_or(1, |(_, page)| page.parse().unwrap());
            let mut body = json!({"things": [page * 10, page * 10 + 1]});
            let mut answer = Response::of_json(200, &body);
            if page < 3 {
                tell(page + 1, &mut answer, &mut body);
            }
            answer.body = body.to_string().into_bytes();
            Ok(answer)
        })
    }

    fn by_address() -> FakeApi {
        service(|next, _, body| body["links"] = json!({"next": format!("things?page={next}&q=a+b%26c%zz")}))
    }

    fn all(fake: &FakeApi, paging: Paging) -> Vec<u32> {
        let call = testing::call().reads("s", fake).build();
        let first = Request::get("things").query("fields", "id").header("x-kept", "1");
        call.api("s").unwrap().pages(first, paging).keeping(&["fields"]).entries("/things").unwrap()
    }

    #[test]
    fn each_way_to_tell_of_more_is_followed_to_the_end() {
        let expected = [10, 11, 20, 21, 30, 31];
        let fake = by_address();
        assert_eq!(all(&fake, Paging::Address("/links/next")), expected);
        let asked = fake.requests();
        let kept = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(asked[1].query, [kept("page", "2"), kept("q", "a b&c%zz"), kept("fields", "id")]);
        assert_eq!(asked[2].headers, [kept("x-kept", "1")]);
        let by_link = service(|next, answer, _| {
            let link = format!("<things?page={}>; rel=\"previous\", <things?page={next}>; rel=\"next\"", next - 2);
            answer.headers.push(("link".to_owned(), link));
        });
        assert_eq!(all(&by_link, Paging::Link), expected);
        let by_cursor = service(|next, _, body| body["meta"] = json!({"cursor": next}));
        assert_eq!(all(&by_cursor, Paging::Cursor("/meta/cursor", "page")), expected);
    }

    #[test]
    fn a_list_that_is_too_long_or_fails_is_not_taken_for_whole() {
        let fake = by_address();
        let call = testing::call().reads("s", &fake).build();
        let api = call.api("s").unwrap();
        let pages = || api.pages(Request::get("things"), Paging::Address("/links/next"));
        assert!(matches!(pages().limit(2).entries::<u32>("/things"), Err(Error::Refused(_))));
        assert_eq!(pages().limit(3).entries::<u32>("/things").unwrap().len(), 6);
        assert_eq!(pages().take(1).count(), 1);
        let broken = service(|_, answer, _| answer.status = 503);
        let call = testing::call().reads("s", &broken).build();
        let api = call.api("s").unwrap();
        let mut pages = api.pages(Request::get("things"), Paging::Link);
        assert!(pages.next().unwrap().is_err() && pages.next().is_none());
        // One that leads to itself ends.
        let circle = FakeApi::new().json("things", json!({"next": "things"}));
        let call = testing::call().reads("s", &circle).build();
        assert_eq!(call.api("s").unwrap().pages(Request::get("things"), Paging::Address("/next")).count(), 1);
    }
}
