//! A component on its way in: raw or as a form, read piece by piece, never more of it than may be.
//!
//! Deliberately absent: what the bytes are.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest as _, Multipart, Request},
    http::{HeaderMap, StatusCode, header},
};
use futures::{Stream, StreamExt as _};
use http_body_util::Limited;
use remit_domain::signature;

use crate::{
    http::{error::Failure, extract},
    shares::Bounds,
};

/// Each is held in memory while it comes and is examined.
pub(in crate::http) const TURNS: Bounds = Bounds { what: "uploads", of_one: 2, of_all: 8 };
/// How long one may take to come, however steadily: its turn is wanted by others.
const WHOLE_TIME: Duration = Duration::from_secs(300);
/// What a form has around its fields.
const FORM_BYTES: usize = 64 << 10;
/// What is read and thrown away of one that is too large.
const DISCARDED_BYTES: usize = 16 << 20;
/// A signature has 137 characters.
const SIGNATURE_BYTES: usize = 1024;
/// The fields of a form.
const COMPONENT: &str = "component";
const SIGNATURE: &str = "signature";

/// Reads a component of at most `most` bytes, with the signature that comes with it.
///
/// Errors: 413 for a larger one; 408 for one that does not come in time; 400 for one that breaks off, that
/// is empty or a form without it; 415 for what says that it is something else.
pub(super) async fn receive(request: Request, most: u64) -> Result<(Vec<u8>, Option<String>), Failure> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let form = form(request.headers())?;
    let signed = request.headers().get(signature::HEADER).map(|value| value.to_str().unwrap_or_default().to_owned());
    let receiving = async { if form { in_form(request, most).await } else { Ok((raw(request, most).await?, None)) } };
    let late = |_| Failure::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time");
    let (wasm, signature) = tokio::time::timeout(WHOLE_TIME, receiving).await.map_err(late)??;
    if wasm.is_empty() {
        return Err(bad("the body is empty: send the component's bytes"));
    }
    Ok((wasm, signature.or(signed)))
}

async fn raw(request: Request, most: usize) -> Result<Vec<u8>, Failure> {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    // Who asks before sending is told before; who sends at once is heard out, or would not hear.
    let asks = request.headers().contains_key(header::EXPECT);
    if asks && announced.is_some_and(|announced: usize| announced > most) {
        return Err(too_large(most));
    }
    collect(request.into_body().into_data_stream(), most).await
}

/// Whether the body is a form; else it is the component itself, whatever curl says of `--data-binary`.
fn form(headers: &HeaderMap) -> Result<bool, Failure> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(false) };
    let essence = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => Ok(true),
        "application/wasm" | "application/octet-stream" | "application/x-www-form-urlencoded" => Ok(false),
        _ => {
            let said = "the body must be a component";
            let said = Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", said);
            Err(said.hint("send Content-Type: application/wasm, or a form with the field `component`"))
        }
    }
}

async fn in_form(request: Request, most: usize) -> Result<(Vec<u8>, Option<String>), Failure> {
    // Boundaries and headers are read by no one who counts: the whole is bounded.
    let whole = most.saturating_add(FORM_BYTES).saturating_add(DISCARDED_BYTES);
    let request = request.map(|body| Body::new(Limited::new(body, whole)));
    let mut fields = Multipart::from_request(request, &()).await.map_err(|error| bad(error.body_text()))?;
    let (mut wasm, mut signature) = (None, None);
    loop {
        let Some(field) = fields.next_field().await.map_err(|error| extract::broken(&error))? else { break };
        let twice = match field.name() {
            Some(COMPONENT) => wasm.replace(collect(field, most).await?).is_some(),
            Some(SIGNATURE) => {
                let text = String::from_utf8(collect(field, SIGNATURE_BYTES).await?);
                signature.replace(text.map_err(|_| bad("the signature is not a text"))?).is_some()
            }
            other => {
                let other: String = other.unwrap_or_default().chars().take(64).collect();
                return Err(bad(format!("there is no field `{other}`: a form has `component` and `signature`")));
            }
        };
        if twice {
            return Err(bad("a field comes twice"));
        }
    }
    Ok((wasm.ok_or_else(|| bad("the form has no field `component`"))?, signature))
}

async fn collect<E>(pieces: impl Stream<Item = Result<Bytes, E>>, most: usize) -> Result<Vec<u8>, Failure>
where
    E: std::error::Error + 'static,
{
    let mut pieces = std::pin::pin!(pieces);
    let (mut whole, mut length) = (Vec::new(), 0_usize);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| extract::broken(&error))?;
        length = length.saturating_add(piece.len());
        if length <= most {
            whole.extend_from_slice(&piece);
        } else {
            whole = Vec::new();
        }
        if length.saturating_sub(most) > DISCARDED_BYTES {
            break;
        }
    }
    if length > most { Err(too_large(most)) } else { Ok(whole) }
}

fn too_large(most: usize) -> Failure {
    let said = format!("the body is larger than the {most} bytes that this tenant may upload");
    let said = Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", said);
    said.hint("the operator's settings hold `componentBytes` under `limits.uploads`")
}

fn bad(said: impl Into<String>) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "bad_request", said)
}
