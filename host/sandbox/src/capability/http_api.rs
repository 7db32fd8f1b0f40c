//! `remit:data/http-api`: other people's HTTP services.

use std::sync::Arc;

use remit_domain::{
    data::{Error, Handle, http_api},
    grant::Permit,
    limits::Limit,
};
use wasmtime::component::Resource;

use super::{Bag, Pending, Reader, common::error, pending::collect, sql::wrong_family};
use crate::{
    bindings::remit::data::{common::Error as WitError, http_api as wit},
    state::State,
    traffic::Size,
};

type Answer<T> = wasmtime::Result<Result<T, WitError>>;

/// What stands behind a guest's `api`.
#[derive(Clone)]
pub struct Api {
    permit: Permit,
    port: Arc<dyn http_api::Api>,
}

impl Api {
    /// The API for one request that is started and noted now.
    fn start(&self, request: &http_api::Request) -> Result<Self, Error> {
        Ok(Self { permit: self.permit.start(self.port.permission(request))?, ..self.clone() })
    }

    async fn send(&self, request: &http_api::Request) -> Result<http_api::Response, Error> {
        self.port.send(self.permit.access(self.port.permission(request))?, request).await
    }

    async fn open(&self, request: &http_api::Request) -> Result<http_api::ResponseHead, Error> {
        self.port.open(self.permit.access(self.port.permission(request))?, request).await
    }
}

/// What stands behind a guest's `pending-response`.
pub struct PendingResponse(Pending<http_api::Response>);

impl wit::Host for State {}

impl wit::HostApi for State {
    async fn take(&mut self, grants: Resource<Bag>, name: String) -> Answer<Resource<Api>> {
        self.enter(&name)?;
        let bag = self.table.get(&grants)?.0.clone();
        Ok(match bag.open(&name).await {
            Ok((permit, Handle::Api(port))) => Ok(self.table.push(Api { permit, port })?),
            Ok((_, other)) => Err(wrong_family(&name, other.family())),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn send(&mut self, api: Resource<Api>, asked: wit::Request) -> Answer<wit::Response> {
        self.enter(&asked)?;
        let api = self.table.get(&api)?.clone();
        let answered = api.send(&request(asked)).await;
        self.answer(answered.map(response))
    }

    async fn start_send(
        &mut self,
        api: Resource<Api>,
        asked: wit::Request,
    ) -> wasmtime::Result<Resource<PendingResponse>> {
        self.enter(&asked)?;
        let asked = request(asked);
        let api = self.table.get(&api)?.start(&asked);
        let operation = async move { api?.send(&asked).await };
        let pending = Pending::start(&self.pending, self.limits.size(Limit::Pending), operation);
        Ok(self.table.push(PendingResponse(pending))?)
    }

    async fn open(&mut self, api: Resource<Api>, asked: wit::Request) -> Answer<wit::ResponseHead> {
        self.enter(&asked)?;
        let asked = request(asked);
        // The pieces of the body are read under the permit of the request, and not noted each.
        let api = match self.table.get(&api)?.start(&asked) {
            Ok(api) => api,
            Err(refused) => return Ok(Err(error(refused))),
        };
        let head = match api.open(&asked).await {
            Ok(head) => head,
            Err(failure) => return Ok(Err(error(failure))),
        };
        let body = self.table.push(Reader { permit: api.permit, path: None, body: head.body })?;
        self.answer(Ok(wit::ResponseHead { status: head.status, headers: head.headers, body }))
    }

    async fn drop(&mut self, api: Resource<Api>) -> wasmtime::Result<()> {
        self.table.delete(api)?;
        Ok(())
    }
}

impl wit::HostPendingResponse for State {
    async fn ready(&mut self, pending: Resource<PendingResponse>) -> wasmtime::Result<bool> {
        self.enter(&())?;
        Ok(self.table.get(&pending)?.0.ready())
    }

    async fn get(&mut self, pending: Resource<PendingResponse>) -> Answer<wit::Response> {
        self.enter(&())?;
        let underway = self.table.get_mut(&pending)?.0.take();
        let answered = collect(underway).await?;
        self.answer(answered.map(response))
    }

    async fn drop(&mut self, pending: Resource<PendingResponse>) -> wasmtime::Result<()> {
        self.table.delete(pending)?;
        Ok(())
    }
}

impl Size for wit::Request {
    fn size(&self) -> usize {
        ((&self.path, &self.query, &self.headers), &self.body, &self.idempotency_key).size()
    }
}

impl Size for wit::Response {
    fn size(&self) -> usize {
        (&self.headers, &self.body).size()
    }
}

impl Size for wit::ResponseHead {
    fn size(&self) -> usize {
        (&self.headers, &self.body).size()
    }
}

fn request(request: wit::Request) -> http_api::Request {
    http_api::Request {
        method: match request.method {
            wit::Method::Get => http_api::Method::Get,
            wit::Method::Head => http_api::Method::Head,
            wit::Method::Post => http_api::Method::Post,
            wit::Method::Put => http_api::Method::Put,
            wit::Method::Patch => http_api::Method::Patch,
            wit::Method::Delete => http_api::Method::Delete,
        },
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: request.body,
        idempotency_key: request.idempotency_key,
    }
}

fn response(response: http_api::Response) -> wit::Response {
    wit::Response { status: response.status, headers: response.headers, body: response.body }
}
