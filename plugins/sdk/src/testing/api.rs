//! An HTTP service that answers by method and path.

use std::{cell::RefCell, fmt, rc::Rc};

use serde_json::Value as Json;

use super::handles::{Handle, Reader};
use crate::{
    Cause,
    source::{Method, Request, Response},
};

type Answer = Rc<dyn Fn(&Request) -> Result<Response, Cause>>;

/// A service in memory: what it has no answer for is 404. Clones are the same service.
#[derive(Clone, Default)]
pub struct FakeApi(Rc<Inner>);

#[derive(Default)]
struct Inner {
    answers: RefCell<Vec<(Method, String, Answer)>>,
    /// What reads although its method may write.
    reading: RefCell<Vec<(Method, String)>>,
    requests: RefCell<Vec<Request>>,
}

impl FakeApi {
    /// One that knows no path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET of a path with JSON and 200.
    #[must_use]
    pub fn json(self, path: &str, body: Json) -> Self {
        self.answer(Method::Get, path, move |_| Ok(Response::of_json(200, &body)))
    }

    /// Answers requests of a method to a path with a bare status.
    #[must_use]
    pub fn status(self, method: Method, path: &str, status: u16) -> Self {
        self.answer(method, path, move |_| Ok(Response { status, headers: Vec::new(), body: Vec::new() }))
    }

    /// Fails requests of a method to a path before there is an answer.
    #[must_use]
    pub fn fails(self, method: Method, path: &str, cause: Cause) -> Self {
        self.answer(method, path, move |_| Err(cause.clone()))
    }

    /// Answers requests of a method to a path by what they hold.
    #[must_use]
    pub fn answer(
        self,
        method: Method,
        path: &str,
        answer: impl Fn(&Request) -> Result<Response, Cause> + 'static,
    ) -> Self {
        self.0.answers.borrow_mut().push((method, path.to_owned(), Rc::new(answer)));
        self
    }

    /// Takes requests of a method to a path for reading, as a host does with what a service is known to read by:
    /// queries of GraphQL, searches.
    #[must_use]
    pub fn reads(self, method: Method, path: &str) -> Self {
        self.0.reading.borrow_mut().push((method, path.to_owned()));
        self
    }

    /// What was asked so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.0.requests.borrow().clone()
    }
}

impl fmt::Debug for FakeApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeApi").field("requests", &self.0.requests.borrow().len()).finish_non_exhaustive()
    }
}

impl Response {
    /// An answer in JSON, for fakes.
    pub fn of_json(status: u16, body: &Json) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }
}

impl Handle<FakeApi> {
    pub(crate) fn send(&self, request: &Request) -> Result<Response, Cause> {
        let known = |(method, path): &(Method, String)| *method == request.method && *path == request.path;
        let reads =
            matches!(request.method, Method::Get | Method::Head) || self.fake.0.reading.borrow().iter().any(known);
        let inner = if reads { &self.fake.0 } else { &self.for_writing()?.0 };
        inner.requests.borrow_mut().push(request.clone());
        let answers = inner.answers.borrow();
        let fitting = answers.iter().find(|(method, path, _)| *method == request.method && *path == request.path);
        match fitting {
            Some((_, _, answer)) => answer(request),
            None => Ok(Response { status: 404, headers: Vec::new(), body: Vec::new() }),
        }
    }

    pub(crate) fn start_send(&self, request: &Request) -> PendingResponse {
        PendingResponse(self.send(request))
    }

    pub(crate) fn open(&self, request: &Request) -> Result<ResponseHead, Cause> {
        let Response { status, headers, body } = self.send(request)?;
        Ok(ResponseHead { status, headers, body: Reader::of(body) })
    }
}

pub(crate) struct PendingResponse(Result<Response, Cause>);

impl PendingResponse {
    pub(crate) fn ready(&self) -> bool {
        true
    }

    pub(crate) fn get(&self) -> Result<Response, Cause> {
        self.0.clone()
    }
}

pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Reader,
}
