//! A model behind an OpenAI-compatible server.
//!
//! Deliberately absent: the library's own configuration and retries. The former reads the
//! environment and panics on a key that no header can carry; the latter cannot be bounded.

use std::{fmt, time::Instant};

use async_openai::{Client, config::Config, error::OpenAIError};
use async_trait::async_trait;
use remit_domain::{
    Error,
    model::{Completion, Model, Request},
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument;

use crate::{
    Limits,
    transport::{Failure, Transport},
    wire,
};

/// One model of one server.
pub(crate) struct Compatible {
    name: String,
    client: Client<Endpoint>,
}

impl Compatible {
    /// Cheap: the connections live in `http`.
    ///
    /// Errors: [`Error::ModelUnavailable`] if the key cannot stand in a header.
    pub(crate) fn new(
        name: &str,
        base_url: &str,
        key: Option<&SecretString>,
        http: reqwest::Client,
        limits: Limits,
    ) -> Result<Self, Error> {
        let endpoint = Endpoint::new(base_url, key)
            .map_err(|cause| Error::ModelUnavailable { retry_after_ms: None, cause: cause.into() })?;
        let transport = Transport::new(http.clone(), limits, key.cloned());
        let service = tower::service_fn(move |request| {
            let transport = transport.clone();
            async move { transport.send(request).await }
        });
        Ok(Self { name: name.to_owned(), client: Client::build(http, endpoint).with_http_service(service) })
    }

    async fn ask(&self, request: &Request) -> Result<Completion, Error> {
        let question = wire::Question::new(&self.name, request);
        let answer: Result<wire::Answer, OpenAIError> = self.client.chat().create_byot(question).await;
        answer.map_err(into_domain)?.into_completion(&request.tools)
    }
}

#[async_trait]
impl Model for Compatible {
    fn name(&self) -> &str {
        &self.name
    }

    async fn complete(&self, request: &Request) -> Result<Completion, Error> {
        let began = Instant::now();
        let span = tracing::info_span!("model_request", model = self.name, tools = request.tools.len());
        let result = self.ask(request).instrument(span).await;
        let outcome = result.as_ref().err().map_or("ok", Error::code);
        let model = || self.name.clone();
        metrics::counter!("remit_model_requests_total", "model" => model(), "outcome" => outcome).increment(1);
        metrics::histogram!("remit_model_response_seconds", "model" => model()).record(began.elapsed());
        if let Ok(Completion { usage, .. }) = &result {
            metrics::counter!("remit_model_tokens_total", "model" => model(), "kind" => "prompt")
                .increment(usage.prompt_tokens);
            metrics::counter!("remit_model_tokens_total", "model" => model(), "kind" => "completion")
                .increment(usage.completion_tokens);
        }
        result
    }
}

fn into_domain(error: OpenAIError) -> Error {
    match error {
        OpenAIError::Boxed(cause) => match cause.downcast::<Failure>() {
            Ok(failure) => (*failure).into(),
            Err(cause) => Error::Internal(cause),
        },
        OpenAIError::Reqwest(cause) => Failure::Unreachable(cause.without_url()).into(),
        // The other variants may quote the server's answer.
        _ => Error::Model { reason: "its answer could not be read".to_owned(), cause: None },
    }
}

/// Where the server is and how it knows us.
struct Endpoint {
    base_url: String,
    key: SecretString,
    headers: HeaderMap,
}

/// A key with characters that no header can carry, such as the line break at the end of a file.
#[derive(Debug, thiserror::Error)]
#[error("the key has characters that no HTTP header can carry")]
struct UnfitKey;

impl Endpoint {
    fn new(base_url: &str, key: Option<&SecretString>) -> Result<Self, UnfitKey> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let value = format!("Bearer {}", key.expose_secret());
            let mut value = HeaderValue::try_from(value).map_err(|_| UnfitKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { base_url: base_url.to_owned(), key: key.cloned().unwrap_or_default(), headers })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
