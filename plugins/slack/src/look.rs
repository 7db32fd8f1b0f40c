//! Looking rooms and people up in Slack's Web API, which answers 200 whatever went wrong, and says so in `ok`.

use remit_sdk::{
    SourceFailure,
    prelude::*,
    serde_json::Value as Json,
    source::{Paging, Response},
};

use crate::{Config, Output};

/// How many rooms are listed if a step says no number.
const DEFAULT_LIMIT: u32 = 200;
/// The most that it may ask for.
const MAX_LIMIT: u32 = 1_000;
/// How many Slack gives at once.
const PAGE: u32 = 200;

pub(crate) fn channels(config: &Config, api: &Api) -> Result<Output> {
    let limit = config.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::invalid("/limit", format!("`limit` is a number from 1 to {MAX_LIMIT}")));
    }
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let first = Request::get("conversations.list")
        .query("exclude_archived", "true")
        .query("types", "public_channel,private_channel")
        .query("limit", PAGE.min(limit + 1));
    let mut rooms = Vec::new();
    for page in api.pages(first, Paging::Cursor("/response_metadata/next_cursor", "cursor")) {
        let mut page = fine(config, api, &page?)?;
        let found = page.pointer_mut("/channels").and_then(Json::as_array_mut).map(std::mem::take);
        rooms.extend(found.unwrap_or_default().iter().map(room));
        if rooms.len() > wanted {
            break;
        }
    }
    let truncated = rooms.len() > wanted;
    rooms.truncate(wanted);
    let count = Some(rooms.len());
    Ok(Output { data: Some(rooms.into()), count, truncated: Some(truncated), ..Output::of(config.operation) })
}

pub(crate) fn person(config: &Config, api: &Api) -> Result<Output> {
    let request = match (&config.email, &config.user) {
        (Some(email), None) => Request::get("users.lookupByEmail").query("email", email),
        (None, Some(user)) => Request::get("users.info").query("user", user),
        _ => return Err(Error::invalid("", "either `email` or `user` says whom to look up")),
    };
    let mut found = fine(config, api, &api.fetch(&request)?)?;
    let person = found.pointer_mut("/user").map(Json::take).unwrap_or_default();
    let of = |pointer: &str| person.pointer(pointer).cloned().unwrap_or_default();
    let data = json!({
        "id": of("/id"), "name": of("/name"), "realName": of("/profile/real_name"), "email": of("/profile/email"),
        "title": of("/profile/title"), "deleted": of("/deleted"),
    });
    Ok(Output { data: Some(data), ..Output::of(config.operation) })
}

fn room(room: &Json) -> Json {
    let of = |name: &str| room.get(name).cloned().unwrap_or_default();
    json!({"id": of("id"), "name": of("name"), "isPrivate": of("is_private"), "isMember": of("is_member")})
}

/// An answer that says `ok`. Errors: what Slack says else: `not-found` for what is not there, otherwise `rejected`.
fn fine(config: &Config, api: &Api, response: &Response) -> Result<Json> {
    let body: Json = api.json_of(response)?;
    if body.get("ok") == Some(&Json::Bool(true)) {
        return Ok(body);
    }
    let code = body.get("error").and_then(Json::as_str).unwrap_or("unknown").to_owned();
    let message = format!("Slack answered `{code}`");
    Err(match code.as_str() {
        "users_not_found" | "user_not_found" | "channel_not_found" => {
            Error::Source(SourceFailure { source: config.source().to_owned(), cause: Cause::NotFound(message) })
        }
        _ => api.refusal(Some(&code), message),
    })
}
