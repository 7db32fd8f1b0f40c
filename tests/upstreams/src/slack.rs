//! Slack's Web API: channels and their messages, people, posting and changing messages; and an incoming webhook.
//!
//! The API answers 200 with `ok` false where something is wrong, as Slack does; the webhook a word. It lacks
//! files and events, and looks at blocks no closer than whether they are a list.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use crate::asked::{Asked, serve};
use crate::running::Running;

/// The bot token of the demo's workspace.
pub const TOKEN: &str = "xoxb-demo-techstart";
/// The path of the workspace's incoming webhook, which is its secret.
pub const WEBHOOK: &str = "/services/T0TECH/B0REMIT/demo-webhook";
/// The bot itself.
const BOT: &str = "U0REMIT";
/// How many entries stand on a page that asks for no size.
const PAGE: usize = 100;

/// Channels of the demo's contexts.
const CHANNELS: [&str; 8] =
    ["general", "sales", "support", "marketing", "order-review", "hot-leads", "fraud-review", "daily-reports"];
/// People: id, name, mail address.
const PEOPLE: [(&str, &str, &str); 3] = [
    ("U0SALES", "Sam Sales", "sam@techstart.com"),
    ("U0SUPPORT", "Sue Support", "sue@techstart.com"),
    (BOT, "remit", "remit@techstart.com"),
];

/// Starts TechStart's workspace; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr) -> Result<Running> {
    serve(addr, Workspace::default(), answer, fault).await
}

#[derive(Default)]
struct Workspace {
    /// By the channel's id, oldest first.
    messages: BTreeMap<String, Vec<Value>>,
    posted: u32,
}

fn answer(workspace: &mut Workspace, asked: &Asked) -> Response {
    if asked.path.starts_with("/services/") {
        return webhook(workspace, asked);
    }
    let method = asked.path.strip_prefix("/api/").unwrap_or_default().to_owned();
    if asked.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refused("invalid_auth");
    }
    let given = Given::of(asked);
    match dispatch(workspace, &method, &given) {
        Ok(mut body) => {
            if let Some(body) = body.as_object_mut() {
                body.insert("ok".to_owned(), true.into());
            }
            Json(body).into_response()
        }
        Err(error) => refused(error),
    }
}

impl Workspace {
    fn keep(&mut self, channel: &str, words: Map<String, Value>, thread: Option<&str>) -> Value {
        self.posted += 1;
        let mut message = words;
        message.insert("type".to_owned(), "message".into());
        message.insert("user".to_owned(), BOT.into());
        message.insert("ts".to_owned(), format!("1790000000.{:06}", self.posted).into());
        if let Some(thread) = thread {
            message.insert("thread_ts".to_owned(), thread.into());
        }
        let message = Value::Object(message);
        self.messages.entry(channel.to_owned()).or_default().push(message.clone());
        message
    }
}

/// What the webhook answers: `ok`, or a word with a status.
fn webhook(workspace: &mut Workspace, asked: &Asked) -> Response {
    if asked.path != WEBHOOK {
        return (StatusCode::NOT_FOUND, "no_service").into_response();
    }
    let Some(object) = asked.object(None) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    let given = Given(object.into_iter().collect());
    match (given.channel(), given.words()) {
        (Ok(channel), Ok(words)) => {
            workspace.keep(&id_of(channel), words, None);
            "ok".into_response()
        }
        (Err(error), _) => (StatusCode::NOT_FOUND, error).into_response(),
        (_, Err(error)) => (StatusCode::BAD_REQUEST, error).into_response(),
    }
}

/// A method's arguments, which come in the query, a form or JSON.
struct Given(BTreeMap<String, Value>);

impl Given {
    fn of(asked: &Asked) -> Self {
        let json = asked.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let mut given: BTreeMap<String, Value> = match asked.object(None).filter(|_| json) {
            Some(object) => object.into_iter().collect(),
            None => asked.form().map(|(name, value)| (name, value.into())).collect(),
        };
        for name in ["channel", "cursor", "limit", "email", "user", "text", "ts"] {
            if let Some(value) = asked.get(name) {
                given.insert(name.to_owned(), value.into());
            }
        }
        Self(given)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// Text and blocks, of which there must be one.
    fn words(&self) -> Result<Map<String, Value>, &'static str> {
        let mut words = Map::new();
        if let Some(text) = self.text("text") {
            words.insert("text".to_owned(), text.into());
        }
        match self.0.get("blocks") {
            Some(Value::Array(blocks)) => drop(words.insert("blocks".to_owned(), blocks.clone().into())),
            Some(_) => return Err("invalid_blocks"),
            None => {}
        }
        if words.is_empty() { Err("no_text") } else { Ok(words) }
    }

    fn number(&self, name: &str) -> Option<usize> {
        let value = self.0.get(name)?;
        value.as_u64().and_then(|number| usize::try_from(number).ok()).or_else(|| value.as_str()?.parse().ok())
    }

    /// The channel's place, by its id or its name.
    fn channel(&self) -> Result<usize, &'static str> {
        let wanted = self.text("channel").ok_or("channel_not_found")?;
        let found = CHANNELS
            .iter()
            .enumerate()
            .position(|(at, name)| wanted == id_of(at) || wanted.strip_prefix('#').unwrap_or(wanted) == *name);
        found.ok_or("channel_not_found")
    }
}

fn dispatch(workspace: &mut Workspace, method: &str, given: &Given) -> Result<Value, &'static str> {
    match method {
        "auth.test" => Ok(json!({"team": "TechStart", "team_id": "T0TECH", "user": "remit", "user_id": BOT})),
        "conversations.list" => {
            let all: Vec<_> = (0..CHANNELS.len()).filter_map(channel).collect();
            page(given, "channels", &all)
        }
        "conversations.info" => Ok(json!({"channel": channel(given.channel()?)})),
        "conversations.history" => {
            let held = workspace.messages.get(&id_of(given.channel()?));
            let newest: Vec<_> = held.into_iter().flatten().rev().cloned().collect();
            page(given, "messages", &newest)
        }
        "users.list" => page(given, "members", &PEOPLE.map(person)),
        "users.info" => found(|(id, ..)| Some(*id) == given.text("user")),
        "users.lookupByEmail" => found(|(_, _, email)| Some(*email) == given.text("email")),
        "chat.postMessage" => {
            let channel = id_of(given.channel()?);
            let thread = given.text("thread_ts");
            let held = workspace.messages.get(&channel).into_iter().flatten();
            if thread.is_some_and(|thread| !held.clone().any(|it| it["ts"] == thread)) {
                return Err("thread_not_found");
            }
            let message = workspace.keep(&channel, given.words()?, thread);
            Ok(json!({"channel": channel, "ts": message.get("ts"), "message": message}))
        }
        "chat.update" => {
            let channel = id_of(given.channel()?);
            let (words, ts) = (given.words()?, given.text("ts").ok_or("message_not_found")?);
            let held = workspace.messages.get_mut(&channel).into_iter().flatten().find(|it| it["ts"] == ts);
            let message = held.and_then(Value::as_object_mut).ok_or("message_not_found")?;
            message.extend(words.clone());
            Ok(json!({"channel": channel, "ts": ts, "text": words.get("text")}))
        }
        _ => Err("unknown_method"),
    }
}

fn id_of(place: usize) -> String {
    format!("C0{place:04}")
}

fn channel(place: usize) -> Option<Value> {
    let name = CHANNELS.get(place)?;
    Some(
        json!({"id": id_of(place), "name": name, "is_channel": true, "is_private": false, "is_archived": false, "is_member": true}),
    )
}

fn person((id, name, email): (&str, &str, &str)) -> Value {
    json!({"id": id, "name": name, "deleted": false, "profile": {"real_name": name, "email": email}})
}

fn found(is: impl Fn(&&(&str, &str, &str)) -> bool) -> Result<Value, &'static str> {
    let one = PEOPLE.iter().find(is).ok_or("users_not_found")?;
    Ok(json!({"user": person(*one)}))
}

fn page(given: &Given, key: &str, all: &[Value]) -> Result<Value, &'static str> {
    let size = given.number("limit").unwrap_or(PAGE).clamp(1, 1000);
    let start = match given.text("cursor") {
        Some(cursor) => cursor.strip_prefix("next:").and_then(|at| at.parse().ok()).ok_or("invalid_cursor")?,
        None => 0_usize,
    };
    let end = start.saturating_add(size).min(all.len());
    let next = if end < all.len() { format!("next:{end}") } else { String::new() };
    let entries: Vec<_> = all.iter().skip(start).take(size).collect();
    Ok(json!({key: entries, "has_more": !next.is_empty(), "response_metadata": {"next_cursor": next}}))
}

fn refused(error: &str) -> Response {
    Json(json!({"ok": false, "error": error})).into_response()
}

/// The answer of a status that a test asked for.
fn fault(status: StatusCode) -> Response {
    let error = if status == StatusCode::TOO_MANY_REQUESTS { "ratelimited" } else { "internal_error" };
    (status, Json(json!({"ok": false, "error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::client::send;

    #[tokio::test]
    async fn messages_are_posted_and_read_and_lists_are_paged() -> Result<()> {
        let running = start(([127, 0, 0, 1], 0).into()).await?;
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json; charset=utf-8")];
        let message = json!({"channel": "#hot-leads", "text": "ACME called"});
        let posted = send(&running, "POST", "/api/chat.postMessage", &headers, Some(message)).await?.json()?;
        assert_eq!((posted["ok"].as_bool(), posted["channel"].as_str()), (Some(true), Some("C00005")));
        let history = send(&running, "GET", "/api/conversations.history?channel=C00005", &headers, None).await?;
        assert_eq!(history.json()?["messages"][0]["text"], "ACME called");
        let (mut target, mut names) = ("/api/conversations.list?limit=3".to_owned(), Vec::new());
        loop {
            let body = send(&running, "GET", &target, &headers, None).await?.json()?;
            let page = body["channels"].as_array().into_iter().flatten();
            names.extend(page.filter_map(|it| it["name"].as_str().map(str::to_owned)));
            match body["response_metadata"]["next_cursor"].as_str() {
                Some(cursor) if !cursor.is_empty() => {
                    target = format!("/api/conversations.list?limit=3&cursor={cursor}")
                }
                _ => break,
            }
        }
        assert_eq!(names, CHANNELS);
        for (target, error) in [
            ("/api/users.lookupByEmail?email=nobody@x", "users_not_found"),
            ("/api/conversations.history?channel=none", "channel_not_found"),
            ("/api/conversations.list?cursor=x", "invalid_cursor"),
            ("/api/no.method", "unknown_method"),
        ] {
            assert_eq!(send(&running, "GET", target, &headers, None).await?.json()?["error"], error);
        }
        assert_eq!(send(&running, "GET", "/api/auth.test", &[], None).await?.json()?["error"], "invalid_auth");
        Ok(())
    }

    #[tokio::test]
    async fn blocks_threads_and_the_webhook_are_kept() -> Result<()> {
        let running = start(([127, 0, 0, 1], 0).into()).await?;
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json; charset=utf-8")];
        let blocks = json!([{"type": "divider"}]);
        let post = json!({"channel": "#order-review", "blocks": blocks});
        let first = send(&running, "POST", "/api/chat.postMessage", &headers, Some(post)).await?.json()?;
        assert_eq!(first["message"]["blocks"], blocks);
        for (thread, error) in [(first["ts"].clone(), Value::Null), ("1.0".into(), "thread_not_found".into())] {
            let answer = json!({"channel": "#order-review", "text": "yes", "thread_ts": thread});
            let answer = send(&running, "POST", "/api/chat.postMessage", &headers, Some(answer)).await?.json()?;
            assert_eq!(answer["error"], error);
        }
        let changed = json!({"channel": first["channel"], "ts": first["ts"], "text": "done"});
        assert_eq!(send(&running, "POST", "/api/chat.update", &headers, Some(changed)).await?.json()?["ok"], true);
        let hook = json!({"channel": "#order-review", "text": "by the hook"});
        assert_eq!(send(&running, "POST", WEBHOOK, &[], Some(hook)).await?.status, 200);
        for (path, body) in [
            ("/services/other", json!({"text": "x", "channel": "#order-review"})),
            (WEBHOOK, json!({"text": "x", "channel": "#nowhere"})),
            (WEBHOOK, json!({"channel": "#order-review"})),
        ] {
            assert!(send(&running, "POST", path, &[], Some(body)).await?.status >= 400);
        }
        let history =
            send(&running, "GET", "/api/conversations.history?channel=C00004", &headers, None).await?.json()?;
        let texts: Vec<_> =
            history["messages"].as_array().into_iter().flatten().map(|it| it["text"].as_str()).collect();
        assert_eq!(texts, [Some("by the hook"), Some("yes"), Some("done")]);
        Ok(())
    }
}
