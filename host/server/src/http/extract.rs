//! What handlers take from a request: whose it is, and its JSON.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{FromRef, FromRequest, FromRequestParts, Request},
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
};
use futures::StreamExt as _;
use remit_domain::{
    Catalogue, Error, RequestId, TenantId, access::Principal, audit::Door, catalogue::Caller, schema::Problem,
    tenant::Context,
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{MAX_BODY_BYTES, error::Failure};
use crate::connections::Slow;

/// The header that names the tenant.
pub(crate) const CONTEXT_HEADER: &str = "x-context";

/// The tenant that a request names, as its context is now.
pub(crate) struct Tenant {
    pub(crate) context: Arc<Context>,
    pub(crate) principal: Principal,
    pub(crate) request: RequestId,
}

impl Tenant {
    /// One of the tenant's agents as the caller of this request. Errors: as [`Caller::new`].
    pub(crate) fn caller(&self, agent: &str, door: Door) -> Result<Caller, Error> {
        Caller::new(self.principal.clone(), self.context.clone(), agent, door, self.request.clone())
    }
}

impl<S> FromRequestParts<S> for Tenant
where
    S: Send + Sync,
    Catalogue: FromRef<S>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let principal = principal(&parts.extensions)?;
        let tenant = named(&parts.headers, &principal)?;
        let context = Catalogue::from_ref(state).context(&tenant)?;
        let request = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::random);
        Ok(Self { context, principal, request })
    }
}

/// Who asks, as the gate found. Errors: [`Error::BadKey`] if nobody was let in.
pub(crate) fn principal(extensions: &Extensions) -> Result<Principal, Error> {
    extensions.get::<Principal>().cloned().ok_or(Error::BadKey)
}

/// The tenant that a request is for: the one that its key belongs to, else the one that it names.
pub(super) fn named(headers: &HeaderMap, principal: &Principal) -> Result<TenantId, Failure> {
    let mut given = headers.get_all(CONTEXT_HEADER).iter();
    let named = match (given.next(), principal.tenant()) {
        (Some(named), _) => named,
        (None, Some(own)) => return Ok(own.clone()),
        (None, None) => {
            let missing = Failure::new(StatusCode::BAD_REQUEST, "missing_header", "the header X-Context is missing");
            return Err(missing.hint("it names the tenant, such as `X-Context: techstart`"));
        }
    };
    if given.any(|other| other != named) {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "bad_request", "X-Context names several tenants"));
    }
    if principal.tenant().is_some_and(|own| own.as_str().as_bytes() != named.as_bytes()) {
        return Err(Error::NotYourTenant.into());
    }
    let tenant = named.to_str().ok().and_then(|name| TenantId::new(name).ok());
    Ok(tenant.ok_or_else(|| Error::UnknownTenant(printable(named.as_bytes())))?)
}

fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect()
}

/// The variables of a path. What is not UTF-8 once decoded is 400, in JSON like any failure.
pub(crate) struct Path<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Ok(Self(axum::extract::Path::from_request_parts(parts, state).await?.0))
    }
}

/// The variables of a query. What does not fit is 400, in JSON like any failure.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        Ok(Self(axum::extract::Query::from_request_parts(parts, state).await?.0))
    }
}

/// A JSON body. Read as JSON whether it says so, says nothing, or says what curl says of `-d` when it
/// is told nothing (a form); any other content type is 415.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S, T> FromRequest<S> for JsonBody<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        check_content_type(request.headers())?;
        parse(&read(request.into_body()).await?).map(Self)
    }
}

/// A JSON body that may be left out: then it is what an empty one stands for.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S, T> FromRequest<S> for OptionalJson<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default,
{
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = read(body).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        check_content_type(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") || essence == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    let said = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body must be JSON");
    Err(said.hint("send Content-Type: application/json"))
}

/// What is read and thrown away of a body that is too large, so that a client that is still sending
/// gets the answer and not a broken connection.
const DISCARDED_BYTES: usize = 16 << 20;

/// Reads a body, up to [`MAX_BODY_BYTES`].
///
/// Errors: 413 for a larger one; 408 for one that does not come in time; 400 for one that breaks off.
pub(crate) async fn read(body: Body) -> Result<Bytes, Failure> {
    read_up_to(body, MAX_BODY_BYTES).await
}

/// As [`read`], with a bound of its own.
pub(crate) async fn read_up_to(body: Body, most: usize) -> Result<Bytes, Failure> {
    let mut pieces = body.into_data_stream();
    let (mut whole, mut length) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        length = length.saturating_add(piece.len());
        if length <= most {
            whole.extend_from_slice(&piece);
        } else if length > DISCARDED_BYTES {
            break;
        }
    }
    if length > most {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Failure::new(status, "body_too_large", "the body is larger than this host takes"));
    }
    Ok(whole.into())
}

/// A body that broke off: 408 if it did not come in time, else 400.
pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    if Slow::caused(error) {
        return Failure::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time");
    }
    Failure::new(StatusCode::BAD_REQUEST, "bad_request", "the body could not be read to its end")
}

/// Errors: 400 with line and column for what is not JSON; 422 with the field for JSON of another shape.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        unfit(&path, &error.into_inner())
    })?;
    deserializer.end().map_err(|error| unfit(".", &error))?;
    Ok(parsed)
}

fn unfit(path: &str, error: &serde_json::Error) -> Failure {
    let message = strip_position(&error.to_string());
    if error.classify() == Category::Data {
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        return Failure::from(Error::InvalidArguments(vec![Problem { pointer, message }]));
    }
    let at = format!("line {}, column {}", error.line(), error.column());
    Failure::new(StatusCode::BAD_REQUEST, "bad_json", format!("malformed JSON at {at}: {message}"))
}

/// serde_json's text without the ` at line 1 column 2` that it ends with.
fn strip_position(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}
