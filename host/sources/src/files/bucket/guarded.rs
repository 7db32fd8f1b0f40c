//! The way of the object store's client to the network: through the guard, as all HTTP.
//!
//! The client has no condition for the end of an upload in parts, where S3 takes one: it is added here.

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, header};
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};

#[derive(Debug, Clone)]
pub(super) struct Guarded {
    client: reqwest::Client,
    condition: Option<(HeaderName, HeaderValue)>,
}

impl Guarded {
    pub(super) fn new(client: reqwest::Client) -> Self {
        Self { client, condition: None }
    }

    /// An upload ends only where nothing is.
    pub(super) fn absent(self) -> Self {
        Self { condition: Some((header::IF_NONE_MATCH, HeaderValue::from_static("*"))), ..self }
    }

    /// An upload ends only where this is. None if it can't be sent.
    pub(super) fn unchanged(self, etag: &str) -> Option<Self> {
        Some(Self { condition: Some((header::IF_MATCH, HeaderValue::from_str(etag).ok()?)), ..self })
    }
}

impl HttpConnector for Guarded {
    /// The options are the guard's.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let ends = request.method() == Method::POST
            && request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("uploadId=")));
        if let Some((name, value)) = self.condition.clone().filter(|_| ends) {
            // It is not signed, and need not be: the connection is.
            request.headers_mut().insert(name, value);
        }
        self.client.call(request).await
    }
}
