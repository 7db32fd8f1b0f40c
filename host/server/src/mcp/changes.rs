//! Who listens is told when its agent finds other tools or resources than before: a version was activated,
//! the operator's components or the tenant's context were read anew.
//!
//! Deliberately absent: what changed. Clients ask for the lists again, under the grants of that moment.

use std::{
    convert::Infallible,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use remit_domain::{Catalogue, RequestId, catalogue::Caller, plugin::Shelf};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Door, INVALID_REQUEST, failed, rpc_error};
use crate::{
    http::{
        Standing,
        error::Failure,
        extract::{self, Path},
    },
    mcp::convert,
    shares::{Bounds, Shares, Turn},
};

/// Who listens holds a connection and little more.
const LISTENERS: Bounds = Bounds { what: "listeners", of_one: 64, of_all: 512 };
/// Who still listens after this begins again.
const LISTENING: Duration = Duration::from_secs(900);
/// How often it is asked whether who listens would still be let in; before each notice it is asked too.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often a proxy between is shown that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where changes are noticed.
#[derive(Clone)]
pub(super) struct Changes {
    catalogue: Catalogue,
    shelf: Arc<dyn Shelf>,
    listeners: Shares,
    /// Cancelled when the host begins to end: nobody is waited for who only listens.
    stopping: CancellationToken,
}

/// One who listens.
pub(super) struct Listener {
    changes: Changes,
    caller: Caller,
    standing: Standing,
    generation: u64,
    seen: Seen,
    until: Instant,
    ended: bool,
    _turn: Turn,
}

/// What an agent finds, as far as it takes to see that it is something else.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    tools: u64,
    resources: u64,
}

/// Which lists are others than before; at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) tools: bool,
    pub(super) resources: bool,
}

impl Changes {
    pub(super) fn new(catalogue: Catalogue, shelf: Arc<dyn Shelf>, stopping: CancellationToken) -> Self {
        Self { catalogue, shelf, listeners: Shares::new(LISTENERS), stopping }
    }

    /// Begins to listen. Errors: `Busy`.
    pub(super) fn listen(&self, caller: Caller, standing: Standing) -> Result<Listener, remit_domain::Error> {
        let turn = self.listeners.take(&caller.context.tenant)?;
        // Looked at first, so that a change right after it is noticed.
        let generation = self.shelf.generation(&caller.context.tenant);
        let seen = self.see(&caller);
        let (changes, until) = (self.clone(), Instant::now() + LISTENING);
        Ok(Listener { changes, caller, standing, generation, seen, until, ended: false, _turn: turn })
    }

    fn see(&self, caller: &Caller) -> Seen {
        let tools = self.catalogue.tools(caller);
        let tools = tools.iter().map(|offered| json!(convert::tool(offered.tool())));
        let fixed = self.catalogue.resources(caller).into_iter().map(|it| json!(convert::resource(it)));
        let families = self.catalogue.templates(caller).into_iter().map(|it| json!(convert::template(it)));
        Seen { tools: hash(tools), resources: hash(fixed.chain(families)) }
    }
}

fn hash(listed: impl Iterator<Item = Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    listed.for_each(|item| item.to_string().hash(&mut hasher));
    hasher.finish()
}

impl Listener {
    /// Waits for the next change. `None` once there is nothing more to hear: the host is ending, or it is time
    /// to begin again.
    ///
    /// Errors: why who listens would not be let in any more; it is the last.
    pub(super) async fn next(&mut self) -> Result<Option<Changed>, Failure> {
        loop {
            let tenant = self.caller.context.tenant.clone();
            self.generation = tokio::select! {
                generation = self.changes.shelf.changed(&tenant, self.generation) => generation,
                () = tokio::time::sleep(LOOK_AGAIN) => self.generation,
                () = self.changes.stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(self.until) => return Ok(None),
            };
            let principal = self.standing.again().await?;
            let Caller { agent, door, request, .. } = self.caller.clone();
            let context = self.changes.catalogue.context(&tenant)?;
            self.caller = Caller::new(principal, context, agent.as_str(), door, request)?;
            let now = self.changes.see(&self.caller);
            let changed =
                Changed { tools: now.tools != self.seen.tools, resources: now.resources != self.seen.resources };
            self.seen = now;
            if changed.tools || changed.resources {
                return Ok(Some(changed));
            }
        }
    }
}

/// One for each list that has changed.
fn notices(changed: Changed) -> Vec<Value> {
    let notices = [(changed.tools, "tools"), (changed.resources, "resources")].into_iter();
    let notice = |list| json!({ "jsonrpc": "2.0", "method": format!("notifications/{list}/list_changed") });
    notices.filter(|(changed, _)| *changed).map(|(_, list)| notice(list)).collect()
}

/// Streams notices to clients of the older protocol era, who ask for them so.
#[utoipa::path(
    get, path = "/mcp/{tenant}/{agent}", tag = "mcp",
    params(("tenant" = String, Path), ("agent" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "a stream of JSON-RPC notifications"),
        (status = 404, body = Object), (status = 406, body = Object), (status = 429, body = Object)
    )
)]
pub(crate) async fn stream(
    State(door): State<Door>,
    Path((tenant, agent)): Path<(String, String)>,
    request: Request,
) -> Response {
    let accepts = request.headers().get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    let mut wanted = accepts.flat_map(|accept| accept.split(','));
    if !wanted.any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream") {
        let said = "a GET is answered with a stream alone";
        let data = json!({ "code": "not_acceptable", "hint": "send Accept: text/event-stream" });
        return rpc_error(StatusCode::NOT_ACCEPTABLE, INVALID_REQUEST, said, data);
    }
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::random);
    let Some(standing) = request.extensions().get::<Standing>().cloned() else {
        return failed(&remit_domain::Error::Internal("a request that no gate has let in".into()));
    };
    let caller = extract::principal(request.extensions());
    let caller = caller.and_then(|principal| door.caller(principal, &tenant, &agent, id));
    let listener = match caller.and_then(|caller| door.changes.listen(caller, standing)) {
        Ok(listener) => listener,
        Err(error) => return failed(&error),
    };
    let told = stream::unfold(listener, async |mut listener| {
        if listener.ended {
            return None;
        }
        let told = match listener.next().await {
            Ok(None) => return None,
            Ok(Some(changed)) => notices(changed),
            // Of all that may be said in such a stream, an error is what a client hands on.
            Err(refused) => {
                listener.ended = true;
                let error =
                    json!({ "code": INVALID_REQUEST, "message": refused.error(), "data": { "code": refused.code() } });
                vec![json!({ "jsonrpc": "2.0", "id": null, "error": error })]
            }
        };
        let told = told.into_iter().map(|said| Event::default().event("message").data(said.to_string()));
        Some((stream::iter(told.map(Ok::<_, Infallible>).collect::<Vec<_>>()), listener))
    });
    let told = futures::StreamExt::flatten(told);
    Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
