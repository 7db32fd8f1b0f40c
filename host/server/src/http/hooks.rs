//! `/api/hooks/{tenant}/{workflow}`: requests of others that begin workflows, proved by a signature.
//!
//! Whoever does not show that they know the secret learns nothing, not even whether there is such a tenant.
//! Deliberately absent: what a signature is made of (`remit-workflow`).

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json,
    extract::{Request, State as FromState},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use ipnet::IpNet;
use remit_domain::{
    Catalogue, Error,
    schema::Problem,
    usage::{Meter, Payer},
};
use remit_workflow::triggers::{self, Refusal, Triggers};
use serde_json::{Value, json};

use super::{
    error::{Body, Failure},
    extract::{self, Path},
    strangers::{self, Strangers},
};

/// The most bytes of a delivery.
const MAX_BYTES: usize = 256 * 1024;

/// What the route stands on.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) catalogue: Catalogue,
    pub(crate) triggers: Triggers,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) proxies: Arc<[IpNet]>,
}

/// Begins a workflow with the body, an object, as its inputs. A repeated delivery is the same execution.
#[utoipa::path(
    post, path = "/api/hooks/{tenant}/{workflow}", tag = "workflows", request_body = Object,
    params(
        ("tenant" = String, Path), ("workflow" = String, Path),
        ("X-Remit-Timestamp" = String, Header, description = "now, in seconds since 1970"),
        ("X-Remit-Signature" = String, Header, description = "`sha256=` and the HMAC-SHA256 of `<timestamp>.<body>` in hex"),
        ("X-Remit-Delivery" = Option<String>, Header, description = "the sender's name for the delivery: with the same one a repeated delivery is the same execution")
    ),
    responses(
        (status = 202, body = Object, description = "`{success, executionId, href}`"),
        (status = 403, body = Body), (status = 404, body = Body), (status = 409, body = Body),
        (status = 413, body = Body), (status = 422, body = Body), (status = 429, body = Body)
    )
)]
pub(crate) async fn deliver(
    FromState(state): FromState<State>,
    Path((tenant, workflow)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let from = strangers::address(&parts.extensions, &parts.headers, &state.proxies);
    let body = extract::read_up_to(body, MAX_BYTES).await?;
    let shown = triggers::Request {
        timestamp: text(&parts.headers, "x-remit-timestamp"),
        signature: text(&parts.headers, "x-remit-signature"),
        word: text(&parts.headers, "x-remit-delivery"),
        body: &body,
    };
    let proven = state.triggers.prove(&tenant, &workflow, shown).map_err(|refusal| refused(&state, from, refusal))?;
    let payer = Payer::new(&proven.principal, Some(&proven.context));
    state.catalogue.usage().take(&payer, Meter::Requests, 1)?;
    let inputs: Value = extract::parse(&body)?;
    if !inputs.is_object() {
        let message = "the body is what the workflow is given: an object".to_owned();
        return Err(Error::InvalidArguments(vec![Problem { pointer: String::new(), message }]).into());
    }
    let begun = state.triggers.deliver(proven, inputs).await.map_err(|refusal| refused(&state, from, refusal))?;
    let href = format!("/api/workflows/executions/{}", begun.id);
    let shown = json!({"success": true, "executionId": begun.id, "repeated": !begun.is_new, "href": href});
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, href)], Json(shown)).into_response())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn refused(state: &State, from: Option<IpAddr>, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Unknown => match state.strangers.note(from) {
            Ok(()) => Failure::new(StatusCode::NOT_FOUND, "hook_missing", "there is no such hook")
                .hint("or the signature is not that of its secret, over `<timestamp>.<body>`"),
            Err(failure) => failure,
        },
        Refusal::Stale => Failure::new(
            StatusCode::FORBIDDEN,
            "delivery_stale",
            "the delivery was signed too long ago, or is yet to be",
        ),
        Refusal::Replayed => Failure::new(StatusCode::CONFLICT, "delivery_replayed", "this delivery came before"),
        Refusal::Paused => Failure::new(StatusCode::CONFLICT, "trigger_paused", "this hook is paused"),
        Refusal::Other(error) => error.into(),
    }
}
