//! Other people's HTTP services. The host adds base URL and credentials.

use std::{collections::VecDeque, rc::Rc};

use serde::{Serialize, de::DeserializeOwned};

use super::{Method, Reader, Request, Response};
use crate::{Cause, Error, Pending, Refusal, Rejection, Result, Wait, handles};

/// How many requests [`Api::fetch_all`] has under way at once; the host allows a call 16 in all.
const AT_ONCE: usize = 8;

/// The most characters of a service's own words that a failure tells.
const MAX_WORDS: usize = 300;

/// An HTTP service that the call was handed.
pub struct Api {
    name: Rc<str>,
    handle: handles::Api,
}

/// An answer whose body is read in pieces.
pub struct Stream {
    /// 200 to 599.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Reader,
}

impl Api {
    pub(crate) fn take(grants: &handles::Grants, name: &str) -> Result<Self> {
        let handle = handles::Api::take(grants, name).map_err(|cause| Error::of_taking(name, cause))?;
        Ok(Self { name: name.into(), handle })
    }

    /// Sends a request and gives the answer, whatever its status.
    pub fn send(&self, request: &Request) -> Result<Response> {
        self.handle.send(request).map_err(|cause| Error::of_source(&self.name, cause))
    }

    /// Begins a request; as [`Self::send`] when it is collected.
    pub fn start_send(&self, request: &Request) -> Pending<Response> {
        let name = Rc::clone(&self.name);
        Pending::new(self.handle.start_send(request), handles::PendingResponse::ready, move |pending| {
            pending.get().map_err(|cause| Error::of_source(&name, cause))
        })
    }

    /// Sends a request that must succeed. Errors: a status that is not 2xx, by what it says: `not-found`
    /// for 404 and 410, `throttled` for 429, `unavailable` (or, if the request writes, `uncertain`) for
    /// 5xx, otherwise `rejected`.
    pub fn fetch(&self, request: &Request) -> Result<Response> {
        succeeded(&self.name, request.method, self.send(request)?)
    }

    /// Begins a request; as [`Self::fetch`] when it is collected.
    pub fn start_fetch(&self, request: &Request) -> Pending<Response> {
        let (name, method) = (Rc::clone(&self.name), request.method);
        self.start_send(request).map(move |response| succeeded(&name, method, response))
    }

    /// Sends a request that must succeed, and reads the answer as JSON.
    pub fn fetch_json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        self.json_of(&self.fetch(request)?)
    }

    /// Fetches several, some at a time, and gives each its own answer, in order.
    pub fn fetch_all(&self, requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response>> {
        let mut under_way = VecDeque::with_capacity(AT_ONCE);
        let mut answers = Vec::new();
        for request in requests {
            if under_way.len() == AT_ONCE {
                answers.extend(under_way.pop_front().map(Pending::get));
            }
            under_way.push_back(self.start_fetch(&request));
        }
        answers.extend(under_way.into_iter().map(Pending::get));
        answers
    }

    /// Sends a request and gives the answer, whatever its status, when its head has come.
    pub fn open(&self, request: &Request) -> Result<Stream> {
        let head = self.handle.open(request).map_err(|cause| Error::of_source(&self.name, cause))?;
        let body = Reader::new(Rc::clone(&self.name), head.body);
        Ok(Stream { status: head.status, headers: head.headers, body })
    }

    /// The failure that an answer's status says, as [`Self::fetch`] gives it, with words of the service's own
    /// behind it: the first 300 characters.
    pub fn failure(&self, method: Method, response: &Response, words: &str) -> Error {
        failure(&self.name, method, response, words)
    }

    /// The service's own refusal of a request that it answered with a status of success. Its code, if it has
    /// one, is the service's.
    pub fn refusal(&self, code: Option<&str>, message: impl Into<String>) -> Error {
        rejected(&self.name, code.map(str::to_owned), message.into())
    }

    /// An answer's body, read as JSON. Errors: `rejected` if it is something else.
    pub fn json_of<T: DeserializeOwned>(&self, response: &Response) -> Result<T> {
        serde_json::from_slice(&response.body)
            .map_err(|error| rejected(&self.name, None, format!("the answer is not as expected: {error}")))
    }
}

impl Request {
    /// Reads a path, relative to the base URL: `customers/42`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path)
    }

    /// Posts to a path.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::Post, path)
    }

    /// Replaces what is at a path.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::Put, path)
    }

    /// Changes what is at a path.
    pub fn patch(path: impl Into<String>) -> Self {
        Self::new(Method::Patch, path)
    }

    /// Deletes what is at a path.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path)
    }

    /// A request of any method. The path is percent-encoded already: [`segment`] does a part of it.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let (query, headers) = (Vec::new(), Vec::new());
        Self { method, path: path.into(), query, headers, body: None, idempotency_key: None }
    }

    /// Adds to the query; the host encodes it.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.query.push((name.into(), value.to_string()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, in JSON. Errors: `refused` if it does not serialise.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::refused(format!("the request does not serialise: {error}")))?;
        self.body = Some(body);
        Ok(self.header("content-type", "application/json"))
    }

    /// Makes a repeated request harmless where the service knows such keys.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// A part of a path, percent-encoded: `a/b c` becomes `a%2Fb%20c`.
pub fn segment(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn succeeded(name: &str, method: Method, response: Response) -> Result<Response> {
    if response.is_success() { Ok(response) } else { Err(failure(name, method, &response, "")) }
}

fn failure(name: &str, method: Method, response: &Response, words: &str) -> Error {
    let status = response.status;
    let words: String = words.chars().filter(|c| !c.is_control()).take(MAX_WORDS).collect();
    let message = match words.trim() {
        "" => format!("the service answered {status}"),
        words => format!("the service answered {status}: {words}"),
    };
    let retry_after_ms = response
        .header("retry-after")
        .and_then(|seconds| seconds.trim().parse::<f64>().ok())
        .map(|seconds| (seconds * 1000.0) as u32);
    let reads = matches!(method, Method::Get | Method::Head);
    let cause = match status {
        404 | 410 => Cause::NotFound(message),
        429 => Cause::Throttled(Wait { message, retry_after_ms }),
        503 => Cause::Unavailable(Wait { message, retry_after_ms }),
        500..=599 if reads => Cause::Unavailable(Wait { message, retry_after_ms }),
        500..=599 => Cause::Uncertain(message),
        _ => return rejected(name, Some(status.to_string()), message),
    };
    Error::of_source(name, cause)
}

fn rejected(name: &str, code: Option<String>, message: String) -> Error {
    Error::of_source(name, Cause::Rejected(Rejection { reason: Refusal::Rule, code, message }))
}

#[cfg(test)]
mod tests {
    use super::{failure, segment};
    use crate::{
        Cause,
        source::{Method, Response},
    };

    #[test]
    fn a_failure_tells_what_the_service_said() {
        let of = |method, status, words: &str| {
            let headers = vec![("retry-after".to_owned(), "1.5".to_owned())];
            failure("shop", method, &Response { status, headers, body: Vec::new() }, words)
        };
        assert!(
            matches!(of(Method::Get, 404, "").cause(), Some(Cause::NotFound(it)) if it == "the service answered 404")
        );
        assert!(
            matches!(of(Method::Post, 429, "").cause(), Some(Cause::Throttled(it)) if it.retry_after_ms == Some(1500))
        );
        assert!(of(Method::Get, 500, "").may_be_repeated() && of(Method::Post, 503, "").may_be_repeated());
        assert!(matches!(of(Method::Post, 500, "").cause(), Some(Cause::Uncertain(_))));
        let refused = of(Method::Put, 422, &format!("email\nis invalid{}", "x".repeat(400)));
        let Some(Cause::Rejected(rejection)) = refused.cause() else { panic!("{refused:?}") };
        assert_eq!((rejection.code.as_deref(), rejection.message.len()), (Some("422"), 300 + 26));
        assert!(rejection.message.starts_with("the service answered 422: emailis invalidx"));
    }

    #[test]
    fn segments_hold_no_separator() {
        assert_eq!(segment("a/b ../ü?#"), "a%2Fb%20..%2F%C3%BC%3F%23");
    }
}
