//! Zendesk's Support and Help Center APIs: tickets, comments, search, users and articles.
//!
//! State begins with TechStart's own tickets. It lacks views, triggers, organisations and rate limits;
//! search knows `type`, `status`, `priority`, `tags`, `requester` and words.

mod seed;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use anyhow::Result;
use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::asked::{Asked, serve};
use crate::running::Running;

/// The agent of the demo's account.
pub const USER: &str = "support@techstart.com";
/// That agent's API token.
pub const TOKEN: &str = "zendesk-demo-techstart";
/// The most entries on a page.
const MAX_PAGE: usize = 100;

/// Starts TechStart's account; port 0 takes a free one.
///
/// # Errors
/// When the address cannot be bound or is not loopback.
pub async fn start(addr: SocketAddr) -> Result<Running> {
    serve(addr, Account::default(), answer, fault).await
}

struct Account {
    tickets: Vec<Value>,
    /// By the ticket's id.
    comments: Vec<(u64, Value)>,
    users: Vec<Value>,
    articles: Vec<Value>,
}

impl Default for Account {
    fn default() -> Self {
        let (tickets, comments) = seed::tickets();
        Self { tickets, comments, users: seed::users(), articles: seed::articles() }
    }
}

type Answer = Result<(StatusCode, Value), StatusCode>;

fn answer(account: &mut Account, asked: &Asked) -> Response {
    let word = format!("Basic {}", STANDARD.encode(format!("{USER}/token:{TOKEN}")));
    if asked.header("authorization") != Some(&word) {
        return fault(StatusCode::UNAUTHORIZED);
    }
    match dispatch(account, asked) {
        Ok((status, body)) => (status, Json(body)).into_response(),
        Err(status) => fault(status),
    }
}

fn dispatch(account: &mut Account, asked: &Asked) -> Answer {
    let mut parts = asked.parts("/api/v2/").ok_or(StatusCode::NOT_FOUND)?;
    if let Some(last) = parts.last_mut() {
        *last = last.strip_suffix(".json").unwrap_or(last).to_owned();
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let get = matches!(asked.method, Method::GET | Method::HEAD);
    match (parts.as_slice(), &asked.method) {
        (["tickets"], _) if get => page(asked, "tickets", &account.tickets),
        (["tickets"], &Method::POST) => account.create(asked),
        (["tickets", "count"], _) if get => {
            ok(json!({"count": {"value": account.tickets.len(), "refreshed_at": seed::NOW}}))
        }
        (["tickets", id], _) if get => ok(json!({"ticket": account.tickets.get(account.place(id)?)})),
        (["tickets", id], &Method::PUT) => account.update(id, asked),
        (["tickets", id, "comments"], _) if get => {
            let id = id.parse::<u64>().map_err(|_| StatusCode::NOT_FOUND)?;
            let found: Vec<_> = account.comments.iter().filter(|(of, _)| *of == id).map(|(_, it)| it.clone()).collect();
            page(asked, "comments", &found)
        }
        (["search"], _) if get => {
            let query = asked.get("query").ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
            let mut found: Vec<Value> = account.tickets.iter().filter(|it| account.meets(it, query)).cloned().collect();
            for ticket in &mut found {
                set(ticket, "result_type", "ticket".into());
            }
            page(asked, "results", &found)
        }
        (["users", "me"], _) if get => ok(json!({"user": account.users.first()})),
        (["users", "search"], _) if get => {
            let query = asked.get("query").unwrap_or_default().to_lowercase();
            let found: Vec<_> = account.users.iter().filter(|user| text_of(user).contains(&query)).cloned().collect();
            page(asked, "users", &found)
        }
        (["users", id], _) if get => ok(json!({"user": one(&account.users, id)?})),
        (["help_center", "articles"], _) if get => page(asked, "articles", &account.articles),
        (["help_center", "articles", "search"], _) if get => {
            let query = asked.get("query").unwrap_or_default();
            let found: Vec<_> = account.articles.iter().filter(|it| has_words(it, query)).cloned().collect();
            page(asked, "results", &found)
        }
        (["help_center", "articles", id], _) if get => ok(json!({"article": one(&account.articles, id)?})),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

impl Account {
    fn place(&self, id: &str) -> Result<usize, StatusCode> {
        let id: u64 = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
        self.tickets.iter().position(|ticket| ticket["id"] == id).ok_or(StatusCode::NOT_FOUND)
    }

    fn create(&mut self, asked: &Asked) -> Answer {
        let given = asked.object(Some("ticket")).ok_or(StatusCode::BAD_REQUEST)?;
        let body = given.get("comment").and_then(|comment| comment.get("body")).and_then(Value::as_str);
        let body = body.filter(|body| !body.is_empty()).ok_or(StatusCode::UNPROCESSABLE_ENTITY)?.to_owned();
        let id = self.tickets.iter().filter_map(|ticket| ticket["id"].as_u64()).max().unwrap_or_default() + 1;
        let subject = given.get("subject").and_then(Value::as_str).unwrap_or(&body).to_owned();
        let requester = given.get("requester_id").and_then(Value::as_u64).unwrap_or(seed::AGENT);
        let mut ticket = seed::ticket(id, &subject, &body, requester);
        change(&mut ticket, &given)?;
        self.tickets.push(ticket.clone());
        self.comment(id, &body, true);
        Ok((StatusCode::CREATED, json!({"ticket": ticket})))
    }

    fn update(&mut self, id: &str, asked: &Asked) -> Answer {
        let place = self.place(id)?;
        let given = asked.object(Some("ticket")).ok_or(StatusCode::BAD_REQUEST)?;
        let ticket = self.tickets.get_mut(place).ok_or(StatusCode::NOT_FOUND)?;
        change(ticket, &given)?;
        let (changed, id) = (ticket.clone(), ticket["id"].as_u64().unwrap_or_default());
        if let Some(comment) = given.get("comment") {
            let body = comment.get("body").and_then(Value::as_str).ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
            self.comment(id, body, comment.get("public") != Some(&Value::Bool(false)));
        }
        ok(json!({"ticket": changed}))
    }

    fn comment(&mut self, ticket: u64, body: &str, public: bool) {
        let id = 90_000 + self.comments.len() as u64;
        self.comments.push((ticket, seed::comment(id, seed::AGENT, body, public)));
    }

    /// Whether a ticket is one that a search asks for.
    fn meets(&self, ticket: &Value, query: &str) -> bool {
        let rank =
            |status: &str| ["new", "open", "pending", "hold", "solved", "closed"].iter().position(|it| *it == status);
        terms(query).iter().all(|term| {
            if let Some(bound) = term.strip_prefix("status<") {
                return rank(ticket["status"].as_str().unwrap_or_default()) < rank(bound);
            }
            match term.split_once(':') {
                Some(("type", kind)) => kind == "ticket",
                Some((name @ ("status" | "priority"), value)) => ticket[name] == value,
                Some(("tags", tag)) => ticket["tags"].as_array().is_some_and(|tags| tags.iter().any(|it| it == tag)),
                Some(("requester", email)) => {
                    let user = self.users.iter().find(|user| user["id"] == ticket["requester_id"]);
                    user.is_some_and(|user| user["email"] == email)
                }
                _ => has_words(ticket, term),
            }
        })
    }
}

const STATUSES: [&str; 6] = ["new", "open", "pending", "hold", "solved", "closed"];
const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];

fn change(ticket: &mut Value, given: &Map<String, Value>) -> Result<(), StatusCode> {
    let listed = |value: &Value, list: &[&str]| value.as_str().is_some_and(|value| list.contains(&value));
    for (name, value) in given {
        let fine = match name.as_str() {
            "status" => listed(value, &STATUSES),
            "priority" => listed(value, &PRIORITIES),
            "type" => listed(value, &["problem", "incident", "question", "task"]),
            "subject" => value.is_string(),
            "assignee_id" | "group_id" => value.is_u64() || value.is_null(),
            "tags" => value.is_array(),
            // What else can be given is taken and not kept, as comments are.
            _ => continue,
        };
        if !fine {
            return Err(StatusCode::UNPROCESSABLE_ENTITY);
        }
        set(ticket, name, value.clone());
    }
    Ok(())
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn ok(body: Value) -> Answer {
    Ok((StatusCode::OK, body))
}

fn one<'a>(list: &'a [Value], id: &str) -> Result<&'a Value, StatusCode> {
    let id: u64 = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    list.iter().find(|it| it["id"] == id).ok_or(StatusCode::NOT_FOUND)
}

/// The words of a search; quoted ones stay together.
fn terms(query: &str) -> Vec<String> {
    let parts = query.split('"').enumerate();
    let all = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    all.collect()
}

fn has_words(value: &Value, query: &str) -> bool {
    let text = text_of(value);
    terms(query).iter().all(|word| text.contains(&word.to_lowercase()))
}

/// What can be searched of something.
fn text_of(value: &Value) -> String {
    let fields = ["subject", "description", "title", "body", "name", "email"];
    let texts: Vec<_> = fields.iter().filter_map(|field| value.get(field)?.as_str()).collect();
    texts.join(" ").to_lowercase()
}

/// One page, by cursor (`page[size]`, `page[after]`) or by number (`page`, `per_page`), as Zendesk has both.
fn page(asked: &Asked, key: &str, all: &[Value]) -> Answer {
    let cut = |start: usize, size: usize| all.iter().skip(start).take(size).cloned().collect::<Vec<_>>();
    if let Some(size) = asked.number("page[size]") {
        let (size, after) = (size.clamp(1, MAX_PAGE), asked.number("page[after]").unwrap_or_default());
        let end = after.saturating_add(size).min(all.len());
        let more = end < all.len();
        let next = more.then(|| asked.address(&with(asked, &[("page[size]", size), ("page[after]", end)])));
        return ok(json!({
            key: cut(after, size),
            "meta": {"has_more": more, "after_cursor": more.then(|| end.to_string())},
            "links": {"next": next, "prev": null},
        }));
    }
    let (number, size) = (asked.number("page").unwrap_or(1).max(1), asked.number("per_page").unwrap_or(MAX_PAGE));
    let size = size.clamp(1, MAX_PAGE);
    let start = (number - 1).saturating_mul(size);
    let to = |number: usize| asked.address(&with(asked, &[("page", number), ("per_page", size)]));
    ok(json!({
        key: cut(start, size),
        "count": all.len(),
        "next_page": (start.saturating_add(size) < all.len()).then(|| to(number + 1)),
        "previous_page": (number > 1).then(|| to(number - 1)),
    }))
}

/// The parameters of another page: the search, and these.
fn with<'a>(asked: &Asked, more: &[(&'a str, usize)]) -> Vec<(&'a str, String)> {
    let search = asked.get("query").map(|query| ("query", query.to_owned()));
    search.into_iter().chain(more.iter().map(|(name, number)| (*name, number.to_string()))).collect()
}

/// The answer of a status that a test asked for, or that a request came to.
fn fault(status: StatusCode) -> Response {
    let body = match status {
        StatusCode::UNAUTHORIZED => json!({"error": "Couldn't authenticate you"}),
        StatusCode::NOT_FOUND => json!({"error": "RecordNotFound", "description": "Not found"}),
        StatusCode::UNPROCESSABLE_ENTITY => {
            json!({"error": "RecordInvalid", "description": "Record validation errors", "details": {}})
        }
        StatusCode::TOO_MANY_REQUESTS => {
            json!({"error": "APIRateLimitExceeded", "description": "Number of allowed API requests per minute exceeded"})
        }
        other => json!({"error": other.canonical_reason().unwrap_or("Error")}),
    };
    (status, Json(body)).into_response()
}
