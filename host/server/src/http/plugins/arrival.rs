//! A component on its way in: raw or as a form, read piece by piece, never more of it than may be.
//!
//! Deliberately absent: what the bytes are.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, Bytes},
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
/// What a form has before a field's data, its headers included: the reader looks through all of it again with
/// each piece that comes.
const FORM_BYTES: usize = 64 << 10;
/// RFC 2046, 5.1.1. It is looked for in each piece.
const BOUNDARY_BYTES: usize = 70;
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
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = kind.split(';').find_map(|part| part.trim_start().strip_prefix("boundary="));
    if boundary.is_some_and(|boundary| boundary.trim_matches('"').len() > BOUNDARY_BYTES) {
        return Err(bad("the form's boundary is longer than 70 characters"));
    }
    // Who reads forms counts nothing: the whole is bounded, and what stands between fields is.
    let whole = most.saturating_add(FORM_BYTES).saturating_add(DISCARDED_BYTES);
    let left = Arc::new(AtomicUsize::new(FORM_BYTES));
    let request = request.map(|body| {
        let pieces = Body::new(Limited::new(body, whole)).into_data_stream();
        Body::from_stream(Pieces { pieces, left: left.clone(), rests: false })
    });
    let mut fields = Multipart::from_request(request, &()).await.map_err(|error| bad(error.body_text()))?;
    let (mut wasm, mut signature) = (None, None);
    loop {
        left.store(FORM_BYTES, Ordering::Relaxed);
        let next = fields.next_field().await.map_err(|error| match left.load(Ordering::Relaxed) {
            0 => bad(format!("the form has more than {FORM_BYTES} bytes before a field")),
            _ => extract::broken(&error),
        });
        let Some(field) = next? else { break };
        left.store(usize::MAX, Ordering::Relaxed);
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

/// A form's pieces, one at a time: who reads a form takes all that is there before it looks at any.
struct Pieces {
    pieces: BodyDataStream,
    /// How many bytes may come before there is a field again.
    left: Arc<AtomicUsize>,
    rests: bool,
}

impl Stream for Pieces {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(Some(Err(axum::Error::new("too much before a field"))));
        }
        let piece = ready!(self.pieces.poll_next_unpin(cx));
        if let Some(Ok(piece)) = &piece {
            self.rests = true;
            // The last piece may have more: what is too much is only said to who asks for a further one.
            self.left.store(left.saturating_sub(piece.len()), Ordering::Relaxed);
        }
        Poll::Ready(piece)
    }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use futures::stream;

    use super::*;

    const MOST: u64 = 1 << 20;
    const BOUNDARY: &str = "x-boundary";

    /// Receives a form in pieces of so many bytes. Gives what came of it, and how many bytes were asked for.
    async fn received(boundary: &str, form: Vec<u8>, piece: usize) -> (Result<usize, (u16, String)>, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let pieces: Vec<Bytes> = form.chunks(piece).map(Bytes::copy_from_slice).collect();
        let pieces = stream::iter(pieces).map(move |piece| {
            counted.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, axum::Error>(piece)
        });
        let kind = format!("multipart/form-data; boundary={boundary}");
        let request = Request::builder().header(header::CONTENT_TYPE, kind).body(Body::from_stream(pieces)).unwrap();
        let came = receive(request, MOST).await.map(|(wasm, _)| wasm.len());
        (came.map_err(|refused| (refused.status().as_u16(), refused.error().to_owned())), asked.load(Ordering::Relaxed))
    }

    fn part(headers: &str, data: &[u8]) -> Vec<u8> {
        [format!("--{BOUNDARY}\r\n{headers}\r\n\r\n").as_bytes(), data, b"\r\n"].concat()
    }

    fn named(name: &str) -> String {
        format!("Content-Disposition: form-data; name=\"{name}\"")
    }

    #[tokio::test]
    async fn a_form_is_read_in_whatever_pieces_it_comes() {
        let end = format!("--{BOUNDARY}--\r\n");
        let padded = format!("X-More: {}\r\n{}", "y".repeat(8_000), named("component"));
        for headers in [named("component"), padded] {
            let form =
                [part(&named("signature"), b"s"), part(&headers, &[7; 300_000]), end.clone().into_bytes()].concat();
            for piece in [1, 7, 1_000, 100_000, 1_000_000] {
                let (came, _) = received(BOUNDARY, form.clone(), piece).await;
                assert_eq!(came, Ok(300_000), "in pieces of {piece}");
            }
        }
    }

    #[tokio::test]
    async fn what_stands_before_a_field_is_bounded() {
        let long = |text: &str| text.repeat((2 << 20) / text.len()).into_bytes();
        let opened = format!("--{BOUNDARY}\r\n").into_bytes();
        let endless = |begins: &[u8], text: &str| [begins, &long(text)].concat();
        let signed = part(&named("signature"), b"s");
        for (what, form) in [
            ("a header without an end", endless(&opened, "X-Header: y")),
            ("headers without an end", endless(&opened, "X-Header: y\r\n")),
            ("nothing but text", endless(b"", "before the first boundary\r\n")),
            ("boundaries that are almost one", endless(b"", "--x-boundar")),
            ("padding", endless(format!("--{BOUNDARY}").as_bytes(), "    ")),
            ("headers of a second field", endless(&[&signed[..], &opened].concat(), "X-Header: y\r\n")),
        ] {
            for piece in [256, 5_000] {
                let (came, asked) = received(BOUNDARY, form.clone(), piece).await;
                assert_eq!(came.as_ref().map_err(|(status, _)| *status), Err(400), "{what}: {came:?}");
                assert!(asked <= FORM_BYTES + 4 * piece, "{what}: {asked} bytes were asked for");
            }
        }
    }

    #[tokio::test]
    async fn a_form_has_two_fields_and_a_short_boundary() {
        let many: Vec<u8> = (0..100_000).flat_map(|_| part(&named("x"), b"")).collect();
        let (came, asked) = received(BOUNDARY, many, 1_000).await;
        assert!(came.as_ref().is_err_and(|(status, said)| *status == 400 && said.contains("no field `x`")), "{came:?}");
        assert!(asked <= 2_000, "{asked}");
        let end = format!("--{BOUNDARY}--").into_bytes();
        let twice = [part(&named("component"), b"a"), part(&named("component"), b"b"), end.clone()].concat();
        let (came, _) = received(BOUNDARY, twice, 1_000).await;
        assert!(came.as_ref().is_err_and(|(_, said)| said.contains("twice")), "{came:?}");
        let headers = "X-Header: y\r\n".repeat(40) + &named("component");
        let (came, _) = received(BOUNDARY, part(&headers, b"a"), 1_000).await;
        assert!(came.as_ref().is_err_and(|(status, _)| *status == 400), "40 headers: {came:?}");
        let (came, asked) = received(&"b".repeat(71), vec![0; 10_000], 100).await;
        assert!(came.as_ref().is_err_and(|(_, said)| said.contains("boundary")), "{came:?}");
        assert_eq!(asked, 0);
        let large = [part(&named("component"), &vec![0; 3 << 19]), end].concat();
        let (came, _) = received(BOUNDARY, large, 10_000).await;
        assert!(came.as_ref().is_err_and(|(status, _)| *status == 413), "{came:?}");
    }
}
