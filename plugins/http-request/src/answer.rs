//! What a service answered: read, or a failure by its status.

use remit_sdk::{
    prelude::*,
    serde_json::{Map, Value as Json},
    source::{Method, Response},
};

use crate::{Config, Expect, Output};

/// The most words of an answer that a failure looks at.
const MAX_WORDS: usize = 100;

/// Errors: for a status that is not expected, `not-found` (404, 410), `throttled` (429), `unavailable` (503, and
/// 5xx of what only reads), `uncertain` (5xx of what writes), otherwise `rejected` with the status as its code.
pub(crate) fn read(config: &Config, api: &Api, method: Method, response: Response) -> Result<Output> {
    let expected = match &config.expect {
        None => response.is_success(),
        Some(Expect::One(status)) => *status == response.status,
        Some(Expect::Any(statuses)) => statuses.contains(&response.status),
    };
    if !expected {
        return Err(api.failure(method, &response, &words(&response)));
    }
    let data = data(api, &response)?;
    let mut headers: Map<String, Json> = Map::new();
    for (name, value) in response.headers {
        let joined = match headers.get(&name).and_then(Json::as_str) {
            Some(first) => format!("{first}, {value}"),
            None => value,
        };
        headers.insert(name, joined.into());
    }
    Ok(Output { success: true, status: response.status, headers, data })
}

/// An answer's text on one line; nothing of a page for people.
fn words(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body);
    let plain = !text.trim_start().starts_with('<');
    text.split_whitespace().filter(|_| plain).take(MAX_WORDS).collect::<Vec<_>>().join(" ")
}

/// The body: what JSON holds, or the text. Errors: `rejected` for JSON that is none and for what is no text.
fn data(api: &Api, response: &Response) -> Result<Json> {
    if response.body.is_empty() {
        return Ok(Json::Null);
    }
    let kind = response.header("content-type").unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind == "application/json" || kind.ends_with("+json") {
        return api.json_of(response);
    }
    match std::str::from_utf8(&response.body) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(api.refusal(None, "the answer is no text in UTF-8")),
    }
}
