//! Slack's rooms of one tenant: by a bot's token (`chat.postMessage`, `chat.update`) or by an incoming webhook,
//! which can do no more than post.
//!
//! Deliberately absent: reading anything there, which is an API source's.

mod answer;
mod ticket;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use remit_domain::{
    AgentName, TenantId,
    data::{
        Error, Refusal, Rejection,
        notify::{Channel, MAX_BLOCKS, Mail, Post, Room},
    },
    grant::Writing,
    source::{self, Definition, SlackAccess},
};
use reqwest::header;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use self::{answer::Told, ticket::Ticket};
use super::{
    Asked, Desk, Notify, bounded,
    inbox::{Inbox, Kept},
    once::{Begun, Turn},
};
use crate::{
    Settings,
    guard::{Guard, Refused, Timeouts},
    observe::counted,
};

/// Where Slack's API is.
const API: &str = "https://slack.com/api/";

/// Slack's rooms of one tenant.
pub(crate) struct Workspace {
    desk: Desk,
    definition: Arc<Definition>,
    way: Way,
    timeout: Duration,
}

/// How a post goes.
enum Way {
    /// Nowhere.
    Kept(Arc<Inbox>),
    /// By a bot.
    Bot { client: reqwest::Client, base: Url, token: SecretString },
    /// By a webhook, whose address is the secret.
    Webhook { client: reqwest::Client, url: SecretString },
}

/// What a post says, checked.
struct Words {
    text: String,
    blocks: Option<Value>,
}

/// Where a post stands.
enum Place {
    /// In this room, of those that are kept.
    Kept(String),
    /// At Slack.
    Slack(Ticket),
}

impl Place {
    fn room(&self) -> &str {
        match self {
            Self::Kept(room) => room,
            Self::Slack(ticket) => &ticket.room,
        }
    }
}

impl Workspace {
    /// Errors: `invalid` for a definition that cannot work, as without a credential; `denied` for an address
    /// that the guard refuses.
    pub(crate) fn new(
        tenant: &TenantId,
        definition: &Arc<Definition>,
        notify: &Notify,
        guard: &Guard,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let timeout = settings.api_timeout;
        let client = || {
            guard.client(Timeouts { connect: settings.connect_timeout.min(timeout / 2), read: timeout }).map_err(
                |error| {
                    tracing::error!(%error, "an HTTP client could not be set up");
                    Error::unavailable("the HTTP client could not be set up")
                },
            )
        };
        let address = |text: &str| {
            let url = Url::parse(text).map_err(|_| Error::Invalid("Slack's address is not a URL".to_owned()))?;
            guard.check(&url).map_err(refused)?;
            Ok::<_, Error>(url)
        };
        let way = match (&notify.inbox, &rules(definition)?.access) {
            (Some(inbox), _) => Way::Kept(inbox.clone()),
            (None, Some(SlackAccess::Bot { token, uri })) => {
                let base = match uri {
                    Some(uri) => address(uri.expose_secret())?.join("/api/"),
                    None => Url::parse(API),
                };
                let base = base.map_err(|_| Error::Invalid("Slack's address is not a URL".to_owned()))?;
                Way::Bot { client: client()?, base, token: token.clone() }
            }
            (None, Some(SlackAccess::Webhook(url))) => {
                address(url.expose_secret())?;
                Way::Webhook { client: client()?, url: url.clone() }
            }
            (None, None) => {
                return Err(Error::Invalid("Slack has neither a bot's token nor a webhook here".to_owned()));
            }
        };
        Ok(Self { desk: Desk::new(tenant, &definition.name, notify), definition: definition.clone(), way, timeout })
    }

    /// Asks Slack whether it takes the token. Of a webhook nothing can be asked without a post.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        match &self.way {
            Way::Bot { .. } => self.ask("auth.test", &Map::new(), &Turn::unkeyed()).await.map(drop),
            Way::Webhook { .. } | Way::Kept(_) => Ok(()),
        }
    }

    async fn run_post(&self, access: &Writing<'_>, post: &Post) -> Result<String, Error> {
        let room = self.room(access, post)?;
        let words = Words::of(post)?;
        let thread = post.thread.as_deref().map(|thread| self.thread(&room, thread)).transpose()?;
        let asked = Asked { agent: access.agent(), operation: "post", key: post.idempotency_key.as_deref(), count: 1 };
        match self.desk.begin(asked).await? {
            Begun::Before(id) => Ok(id),
            Begun::Now(turn) => {
                let made = self.make(access.agent(), &room, words, thread, &turn).await;
                turn.end(made).await
            }
        }
    }

    async fn make(
        &self,
        agent: &AgentName,
        room: &Room,
        words: Words,
        thread: Option<String>,
        turn: &Turn,
    ) -> Result<String, Error> {
        match &self.way {
            Way::Kept(inbox) => {
                let id = format!("{room}/{}", Uuid::now_v7());
                let kept = Kept { kind: "post", room: Some(room.to_string()), thread, ..words.kept(id.clone()) };
                inbox.keep(&self.desk.tenant, self.of(agent, kept));
                Ok(id)
            }
            Way::Bot { token, .. } => {
                let mut body = words.body();
                body.insert("channel".to_owned(), room.as_str().into());
                if let Some(thread) = thread {
                    body.insert("thread_ts".to_owned(), thread.into());
                }
                let told = self.ask("chat.postMessage", &body, turn).await?;
                let ticket = told.ticket(room).ok_or_else(|| lost("Slack did not say which post it made"))?;
                Ok(ticket.sealed(token, &self.desk.tenant))
            }
            Way::Webhook { client, url } => {
                let mut body = words.body();
                // Webhooks of Slack's older kind take it; one of the newer kind posts to its own room alone.
                body.insert("channel".to_owned(), room.as_str().into());
                let request = client.post(url.expose_secret());
                self.told(request, &body, turn).await?.of_webhook()?;
                Ok(format!("{room}/{}", Uuid::now_v7()))
            }
        }
    }

    async fn run_update(&self, access: &Writing<'_>, id: &str, post: &Post) -> Result<(), Error> {
        let words = Words::of(post)?;
        let place = self.place(access, id)?;
        let asked =
            Asked { agent: access.agent(), operation: "update", key: post.idempotency_key.as_deref(), count: 1 };
        match self.desk.begin(asked).await? {
            Begun::Before(_) => Ok(()),
            Begun::Now(turn) => {
                let replaced = self.replace(access.agent(), id, place, words, &turn).await;
                turn.end(replaced.map(|()| id.to_owned())).await.map(drop)
            }
        }
    }

    /// Where a post stands. Errors: `not-found` for an id that is not one of this channel's, and for a room that
    /// the mapping does not list.
    fn place(&self, access: &Writing<'_>, id: &str) -> Result<Place, Error> {
        let place = match &self.way {
            Way::Kept(inbox) => inbox.room_of(&self.desk.tenant, id).map(Place::Kept),
            Way::Bot { token, .. } => Ticket::open(id, token, &self.desk.tenant).map(Place::Slack),
            Way::Webhook { .. } => return Err(no_bot("replace a post")),
        };
        place.filter(|place| access.scope().holds(place.room())).ok_or_else(no_post)
    }

    async fn replace(&self, agent: &AgentName, id: &str, place: Place, words: Words, turn: &Turn) -> Result<(), Error> {
        match (place, &self.way) {
            (Place::Kept(room), Way::Kept(inbox)) => {
                let kept = Kept { kind: "update", room: Some(room), ..words.kept(id.to_owned()) };
                inbox.keep(&self.desk.tenant, self.of(agent, kept));
                Ok(())
            }
            (Place::Slack(ticket), _) => {
                let mut body = words.body();
                body.insert("channel".to_owned(), ticket.channel.into());
                body.insert("ts".to_owned(), ticket.ts.into());
                self.ask("chat.update", &body, turn).await.map(drop)
            }
            (Place::Kept(_), _) => Err(no_post()),
        }
    }

    /// A message that is kept, with whose it is.
    fn of(&self, agent: &AgentName, kept: Kept) -> Kept {
        Kept { channel: self.desk.name.to_string(), agent: agent.to_string(), ..kept }
    }

    /// The room that a post goes to. Errors: `denied` for one that the mapping does not list.
    fn room(&self, access: &Writing<'_>, post: &Post) -> Result<Room, Error> {
        let room = match &post.room {
            Some(room) => Room::new(room)?,
            None => rules(&self.definition)?.rooms.get(access.agent()).cloned().ok_or_else(|| {
                Error::Invalid("the post names no room, and the agent has none of its own".to_owned())
            })?,
        };
        if access.scope().holds(room.as_str()) {
            Ok(room)
        } else {
            Err(Error::Denied(format!("the agent may not post to {room}")))
        }
    }

    /// What a thread is called by Slack. Errors: `not-found` for one that no post of this channel began there.
    fn thread(&self, room: &Room, thread: &str) -> Result<String, Error> {
        match &self.way {
            Way::Kept(inbox) => {
                let there = inbox.room_of(&self.desk.tenant, thread).is_some_and(|own| own == room.as_str());
                if there { Ok(thread.to_owned()) } else { Err(no_post()) }
            }
            Way::Bot { token, .. } => {
                let ticket = Ticket::open(thread, token, &self.desk.tenant);
                ticket.filter(|ticket| ticket.room == room.as_str()).map(|ticket| ticket.ts).ok_or_else(no_post)
            }
            Way::Webhook { .. } => Err(no_bot("answer in a thread")),
        }
    }

    /// Calls a method of Slack's API. Errors: whatever it says.
    async fn ask(&self, method: &str, body: &Map<String, Value>, turn: &Turn) -> Result<Told, Error> {
        let Way::Bot { client, base, token } = &self.way else { return Err(no_bot("do this")) };
        let url = base.join(method).map_err(|_| Error::Invalid("Slack's address is not a URL".to_owned()))?;
        let request = client.post(url).bearer_auth(token.expose_secret());
        self.told(request, body, turn).await?.of_api()
    }

    async fn told(
        &self,
        request: reqwest::RequestBuilder,
        body: &Map<String, Value>,
        turn: &Turn,
    ) -> Result<Told, Error> {
        let deadline = Instant::now() + self.timeout;
        let json = serde_json::to_vec(body).map_err(|_| Error::Invalid("the post can't be written".to_owned()))?;
        let request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8").body(json);
        turn.sends();
        let sent = tokio::time::timeout_at(deadline.into(), request.send()).await;
        let answer = sent.map_err(|_| lost("Slack did not answer; the post may have been made"))?.map_err(failure)?;
        Told::read(answer, deadline).await
    }
}

impl Words {
    /// Errors: `invalid`; `limit`.
    fn of(post: &Post) -> Result<Self, Error> {
        bounded([post.text.len(), post.blocks.as_ref().map_or(0, String::len)])?;
        let blocks = post.blocks.as_deref().map(|blocks| match serde_json::from_str(blocks) {
            Ok(Value::Array(blocks)) if (1..=MAX_BLOCKS).contains(&blocks.len()) => Ok(Value::Array(blocks)),
            _ => Err(Error::Invalid(format!("blocks are a JSON array of 1 to {MAX_BLOCKS} objects"))),
        });
        let blocks = blocks.transpose()?;
        if post.text.trim().is_empty() && blocks.is_none() {
            return Err(Error::Invalid("the post says nothing".to_owned()));
        }
        if post.text.contains('\0') {
            return Err(Error::Invalid("the text holds a zero byte".to_owned()));
        }
        Ok(Self { text: post.text.clone(), blocks })
    }

    fn body(self) -> Map<String, Value> {
        let mut body = Map::from_iter([("text".to_owned(), self.text.into())]);
        if let Some(blocks) = self.blocks {
            body.insert("blocks".to_owned(), blocks);
        }
        body
    }

    fn kept(self, id: String) -> Kept {
        Kept { id, text: self.text, blocks: self.blocks, ..Kept::default() }
    }
}

#[async_trait]
impl Channel for Workspace {
    async fn send(&self, _: Writing<'_>, _: &Mail) -> Result<String, Error> {
        Err(Error::Denied("this channel is a chat's rooms, and not mail".to_owned()))
    }

    async fn post(&self, access: Writing<'_>, post: &Post) -> Result<String, Error> {
        counted("notify", "post", self.run_post(&access, post)).await
    }

    async fn update(&self, access: Writing<'_>, id: &str, post: &Post) -> Result<(), Error> {
        counted("notify", "update", self.run_update(&access, id, post)).await
    }
}

fn rules(definition: &Definition) -> Result<&source::Slack, Error> {
    match &definition.kind {
        source::Kind::Slack(rules) => Ok(rules),
        _ => Err(Error::Invalid("the channel is not Slack".to_owned())),
    }
}

/// What a request that was not answered comes to. What the client says of it names the webhook.
fn failure(error: reqwest::Error) -> Error {
    if let Some(refusal) = Refused::of(&error) {
        return refused(*refusal);
    }
    let connects = error.is_connect();
    tracing::warn!(error = %error.without_url(), "Slack was not reached or did not answer");
    if connects {
        Error::unavailable("Slack could not be reached")
    } else {
        lost("Slack did not answer; the post may have been made")
    }
}

fn refused(_: Refused) -> Error {
    Error::Denied("Slack's address is not one that the operator's network rules allow".to_owned())
}

fn lost(message: &str) -> Error {
    Error::Uncertain(message.to_owned())
}

fn no_post() -> Error {
    Error::NotFound("this channel has no such post".to_owned())
}

fn no_bot(what: &str) -> Error {
    let message = format!("a webhook can't {what}: that takes a bot's token");
    Error::Rejected(Rejection { reason: Refusal::Rule, code: None, message })
}
