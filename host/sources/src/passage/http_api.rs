//! Other people's HTTP services on their way.

use std::sync::Arc;

use async_trait::async_trait;
use remit_domain::{
    data::{
        Error,
        http_api::{self, Method, Reader, Request, Response, ResponseHead},
    },
    grant::{Access, Permission},
    operation::{Digest, Extent, UnderWay},
};

use super::{Came, Kept, MAX_BYTES, Passage, end, head, is_certain, rows, shape::shape};
use crate::{
    breaker::Verdict,
    kept::{Answer, Key, Shelf},
    observe::There,
};

/// A service whose requests go the way.
pub(super) struct Api {
    passage: Arc<Passage>,
    api: Arc<dyn http_api::Api>,
}

impl Api {
    pub(super) fn new(passage: Arc<Passage>, api: Arc<dyn http_api::Api>) -> Self {
        Self { passage, api }
    }

    /// What a request for something that may be given again is kept by: that is a GET.
    fn key(&self, access: &Access<'_>, request: &Request) -> Option<Key> {
        let Request { method, path, query, headers, body, idempotency_key } = request;
        let texts = query.iter().chain(headers).map(|(name, value)| name.len() + value.len());
        let bytes = texts.fold(path.len(), usize::saturating_add);
        if *method != Method::Get || body.is_some() || idempotency_key.is_some() || bytes > MAX_BYTES {
            return None;
        }
        let (query, headers) = (format!("{query:?}"), format!("{headers:?}"));
        let asked = [b"GET".as_slice(), path.as_bytes(), query.as_bytes(), headers.as_bytes()];
        Some(self.passage.key(access.scope(), asked))
    }
}

#[async_trait]
impl http_api::Api for Api {
    fn permission(&self, request: &Request) -> Permission {
        self.api.permission(request)
    }

    async fn send(&self, access: Access<'_>, request: &Request) -> Result<Response, Error> {
        let (recorder, digest) = (access.recorder(), digest(request));
        if self.permission(request) == Permission::Write {
            let run = self.api.send(access, request);
            return self.passage.write(&recorder, "send", digest, run).await;
        }
        let scoped = access.clone();
        let key = || self.key(&scoped, request);
        self.passage.read(&recorder, "send", digest, key, self.api.send(access, request)).await
    }

    async fn open(&self, access: Access<'_>, request: &Request) -> Result<ResponseHead, Error> {
        let under_way = access.recorder().begin("open", Some(digest(request)))?;
        let leave = match self.passage.breaker.ask() {
            Ok(leave) => leave,
            Err(refused) => {
                under_way.end(refused.case(), Extent::default());
                return Err(refused);
            }
        };
        let there = There::operation(self.passage.family);
        let changes = self.permission(request) == Permission::Write;
        let write = self.passage.shelf.as_ref().filter(|_| changes).map(Shelf::write);
        let result = self.api.open(access, request).await;
        end(leave, &result);
        if let Some(write) = write.filter(|_| is_certain(&result)) {
            write.end();
        }
        match result {
            Ok(head) => {
                let outcome = outcome(head.status);
                let body = Body::new(head.body, under_way, outcome, there);
                Ok(ResponseHead { body: Box::new(body), ..head })
            }
            Err(error) => {
                under_way.end(error.case(), Extent::default());
                Err(error)
            }
        }
    }
}

/// A body whose reading is part of its request: recorded with its bytes, when it ends or is let go.
pub(super) struct Body {
    body: Box<dyn Reader>,
    under_way: Option<UnderWay>,
    outcome: &'static str,
    bytes: u64,
    _there: There,
}

impl Body {
    pub(super) fn new(body: Box<dyn Reader>, under_way: UnderWay, outcome: &'static str, there: There) -> Self {
        Self { body, under_way: Some(under_way), outcome, bytes: 0, _there: there }
    }

    fn end(&mut self, outcome: &'static str) {
        if let Some(under_way) = self.under_way.take() {
            under_way.end(outcome, Extent { rows: 0, bytes: self.bytes, cached: false });
        }
    }
}

#[async_trait]
impl Reader for Body {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, Error> {
        let read = self.body.read(max).await;
        match &read {
            Ok(Some(piece)) => self.bytes = self.bytes.saturating_add(rows(piece.len())),
            Ok(None) => self.end(self.outcome),
            Err(error) => self.end(error.case()),
        }
        read
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.end(self.outcome);
    }
}

/// Of the method, the path, the query's names, and the shape of a body that is JSON.
fn digest(request: &Request) -> Digest {
    let names: Vec<&str> = request.query.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join("&");
    let body = request.body.as_deref().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
    let method = match request.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    };
    Digest::of(&[method, head(&request.path), head(&names), &shape(body)])
}

fn outcome(status: u16) -> &'static str {
    match status {
        ..400 => "ok",
        400..500 => "status-4xx",
        500.. => "status-5xx",
    }
}

/// What a status says of the service. A 500 may say of this request alone, which a guest may have made just
/// so; one that can't reach what is behind it, or is overloaded, says so by these three.
fn verdict(status: u16) -> Verdict {
    if matches!(status, 502..=504) { Verdict::Fails("status-5xx") } else { Verdict::Answers }
}

impl Came for Response {
    fn extent(&self) -> Extent {
        Extent { rows: 0, bytes: rows(self.body.len()), cached: false }
    }

    fn verdict(&self) -> Verdict {
        verdict(self.status)
    }

    fn outcome(&self) -> &'static str {
        outcome(self.status)
    }
}

impl Came for ResponseHead {
    fn verdict(&self) -> Verdict {
        verdict(self.status)
    }
}

impl Kept for Response {
    fn bytes(&self) -> u64 {
        const EACH: usize = 2 * size_of::<String>();
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + EACH);
        rows(headers.fold(self.body.len(), usize::saturating_add))
    }

    fn kept(&self) -> Option<Answer> {
        let forbids = |(name, value): &(String, String)| {
            name == "cache-control" && value.to_ascii_lowercase().contains("no-store")
        };
        let keeps = (200..300).contains(&self.status) && !self.headers.iter().any(forbids);
        keeps.then(|| Answer::Response(Arc::new(self.clone())))
    }

    fn again(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Response(response) => Some(Arc::unwrap_or_clone(response)),
            Answer::Rows(_) | Answer::Documents(_) | Answer::Count(_) => None,
        }
    }
}
