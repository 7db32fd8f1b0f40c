//! `GET /api/workflows/executions/{id}/events`: what a run does, while it does it.
//!
//! Each event is an entry of the run's journal, by whose number a client that comes back goes on
//! (`Last-Event-ID`). They are read piece by piece as the client takes them, so that a slow one holds a piece and
//! no more; the connection is cut when it takes nothing at all. Deliberately absent: a queue for anybody.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Extension, State as FromState},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt as _, stream};
use remit_domain::{Error, schema::Problem};
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{
    super::{
        access,
        error::{Body, Failure},
        extract::{Path, Tenant},
    },
    State,
    shown::{self, Sight},
};
use crate::shares::{Bounds, Turn};

/// Its route.
pub(crate) const ROUTE: &str = "/api/workflows/executions/{id}/events";
/// Who watches holds a connection and a piece of a journal.
pub(crate) const WATCHERS: Bounds = Bounds { what: "watchers", of_one: 32, of_all: 256 };
/// Who still watches after this begins again, where it was.
const WATCHING: Duration = Duration::from_secs(900);
/// How often it is asked whether who watches would still be let in.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often a run is looked at that another process may be at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a proxy between is shown that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The entries that are read at once.
const PIECE: usize = 16;
/// When a client comes back after its connection broke.
const RETRY: Duration = Duration::from_secs(2);

/// One who watches.
struct Watcher {
    state: State,
    tenant: Tenant,
    standing: access::Standing,
    run: remit_domain::execution::RunId,
    after: u64,
    written: Option<watch::Receiver<u64>>,
    /// How it ended, once that is known: then what is left of the journal is still told.
    end: Option<Value>,
    looked: Instant,
    until: Instant,
    over: bool,
    _turn: Turn,
}

/// Streams what a run does: `began`, `waiting`, `ended` (a step), `signalled`, `resolved`, `cancelled`, and at last
/// `end` with how the run stands.
#[utoipa::path(
    get, path = "/api/workflows/executions/{id}/events", tag = "workflows",
    params(
        ("id" = String, Path), ("X-Context" = String, Header, description = "the tenant"),
        ("Last-Event-ID" = Option<u64>, Header, description = "the last event that was received: only later ones are sent")
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "server-sent events"),
        (status = 204, description = "it has ended, and there is nothing after that event"),
        (status = 404, body = Body), (status = 429, body = Body)
    )
)]
pub(crate) async fn stream(
    FromState(state): FromState<State>,
    tenant: Tenant,
    Path(id): Path<String>,
    Extension(standing): Extension<access::Standing>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let after = last(&headers)?;
    let found = state.workflows.find(&tenant.principal, &tenant.context.tenant, &id).await?;
    let run = found.run.id.clone();
    // Before anything is read, so that nothing comes in between.
    let written = state.workflows.watch(&run);
    // A browser that is told so comes back no more.
    if let (Some(after), Some(_)) = (after, &found.end)
        && state.workflows.entries(&run, after, 1).await?.is_empty()
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let turn = state.watching.take(&tenant.context.tenant)?;
    let now = Instant::now();
    let watcher = Watcher {
        state,
        tenant,
        standing,
        run,
        after: after.unwrap_or(0),
        written,
        end: None,
        looked: now,
        until: now + WATCHING,
        over: false,
        _turn: turn,
    };
    let told = stream::unfold(watcher, async |mut watcher| Some((stream::iter(watcher.next().await?), watcher)));
    let told = told.flatten().map(Ok::<_, Infallible>);
    Ok(Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The event that a client had last.
fn last(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(given) = headers.get("last-event-id") else { return Ok(None) };
    let number = given.to_str().ok().and_then(|text| text.trim().parse().ok());
    let message = "not the id of an event".to_owned();
    number
        .map(Some)
        .ok_or_else(|| Error::InvalidArguments(vec![Problem { pointer: "/Last-Event-ID".to_owned(), message }]))
}

impl Watcher {
    /// What is to be told next; `None` once nothing more is.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.over {
            return None;
        }
        match self.told().await {
            Ok(Some(events)) => Some(events),
            Ok(None) => None,
            Err(refused) => {
                self.over = true;
                let said = json!({"error": refused.error(), "code": refused.code()});
                Some(vec![Event::default().event("error").data(said.to_string())])
            }
        }
    }

    async fn told(&mut self) -> Result<Option<Vec<Event>>, Failure> {
        loop {
            // First of all, as there may be more to tell for as long as anybody listens.
            if Instant::now() >= self.until || self.state.stopping.is_cancelled() {
                return Ok(None);
            }
            if self.end.is_none() && self.looked.elapsed() >= LOOK_AGAIN {
                self.look().await?;
            }
            let sight = Sight::of(&self.tenant.principal);
            let entries = self.state.workflows.entries(&self.run, self.after, PIECE).await?;
            if let Some((last, _)) = entries.last() {
                self.after = *last;
                let event = |(at, entry): &(u64, _)| {
                    let (name, said) = shown::event(&self.run, entry, sight);
                    Event::default().id(at.to_string()).event(name).retry(RETRY).data(said.to_string())
                };
                return Ok(Some(entries.iter().map(event).collect()));
            }
            // The end came with its last entries, and these were read since.
            if let Some(end) = self.end.take() {
                self.over = true;
                return Ok(Some(vec![Event::default().event("end").data(end.to_string())]));
            }
            if self.written.is_none() {
                self.look().await?;
                if self.end.is_some() {
                    continue;
                }
            }
            let stopping = self.state.stopping.clone();
            let wait = if self.written.is_some() { LOOK_AGAIN } else { LOOK };
            let written = async {
                match &mut self.written {
                    Some(written) => written.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // It is no longer at work here: it has ended, or the host is ending.
                goes_on = written => if !goes_on { self.written = None },
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(self.until) => return Ok(None),
            }
        }
    }

    /// Looks whether the run has ended, and whether who watches would still be let in.
    async fn look(&mut self) -> Result<(), Failure> {
        if self.looked.elapsed() >= LOOK_AGAIN {
            self.looked = Instant::now();
            let principal = self.standing.again().await?;
            let other = principal.tenant().is_some_and(|own| *own != self.tenant.context.tenant);
            if other {
                return Err(Error::NotYourTenant.into());
            }
            self.tenant.principal = principal;
        }
        let (principal, tenant) = (&self.tenant.principal, &self.tenant.context.tenant);
        let found = self.state.workflows.find(principal, tenant, self.run.as_str()).await?;
        self.end = found.end.is_some().then(|| {
            let mut end = shown::summary(&found, Sight::of(principal));
            shown::hide(&mut end);
            end
        });
        if self.end.is_none() && self.written.is_none() {
            // Taken up again meanwhile, perhaps.
            self.written = self.state.workflows.watch(&self.run);
            // What was written before this is read once more.
            self.written.iter_mut().for_each(watch::Receiver::mark_changed);
        }
        Ok(())
    }
}
