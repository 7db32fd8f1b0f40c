//! What Slack answers, as the contract's errors. Of its words only codes are told.

use std::time::Instant;

use remit_domain::data::{Error, Refusal, Rejection, Wait, notify::Room};
use reqwest::{StatusCode, header};
use serde_json::Value;

use super::ticket::Ticket;

/// The most bytes of an answer that are looked at: it repeats the post.
const MAX_BYTES: usize = 512 * 1024;
/// How long to wait where Slack does not say.
const WAIT_MS: u32 = 1_000;

/// An answer.
pub(super) struct Told {
    status: StatusCode,
    retry_after_ms: Option<u32>,
    body: Vec<u8>,
    json: Value,
}

impl Told {
    /// Errors: `uncertain` if it breaks off.
    pub(super) async fn read(mut answer: reqwest::Response, deadline: Instant) -> Result<Self, Error> {
        let status = answer.status();
        let seconds =
            answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        let mut body = Vec::new();
        let reading = async {
            while let Some(piece) = answer.chunk().await.ok()? {
                if body.len().saturating_add(piece.len()) > MAX_BYTES {
                    return None;
                }
                body.extend_from_slice(&piece);
            }
            Some(())
        };
        let read = tokio::time::timeout_at(deadline.into(), reading).await;
        if !matches!(read, Ok(Some(()))) && status.is_success() {
            return Err(unknown());
        }
        Ok(Self {
            status,
            retry_after_ms: seconds.map(|seconds| seconds.saturating_mul(1_000)),
            body,
            json: Value::Null,
        })
    }

    /// Of a method of the API, which says by `ok` what it did.
    pub(super) fn of_api(mut self) -> Result<Self, Error> {
        self.status()?;
        self.json = serde_json::from_slice(&self.body).map_err(|_| unknown())?;
        let text = |name: &str| self.json.get(name).and_then(Value::as_str);
        match self.json.get("ok").and_then(Value::as_bool) {
            Some(true) => Ok(self),
            Some(false) => Err(self.refusal(text("error").unwrap_or_default())),
            None => Err(unknown()),
        }
    }

    /// Of a webhook, which says `ok` or a code.
    pub(super) fn of_webhook(self) -> Result<(), Error> {
        let said = std::str::from_utf8(&self.body).unwrap_or_default().trim();
        match self.status {
            status if status.is_success() && said == "ok" => Ok(()),
            status if status.is_success() => Err(unknown()),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                Err(self.refusal(said))
            }
            _ => self.status(),
        }
    }

    /// The post that was made.
    pub(super) fn ticket(&self, room: &Room) -> Option<Ticket> {
        let text = |name: &str| self.json.get(name)?.as_str();
        Ticket::new(room, text("channel")?, text("ts")?)
    }

    /// What the status alone says.
    fn status(&self) -> Result<(), Error> {
        match self.status {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS => Err(self.throttled()),
            StatusCode::SERVICE_UNAVAILABLE => Err(Error::Unavailable(Wait {
                message: "Slack takes no posts now".to_owned(),
                retry_after_ms: self.retry_after_ms,
            })),
            status if status.is_server_error() => Err(unknown()),
            status => Err(rejected(&status.as_u16().to_string())),
        }
    }

    /// What a code says: <https://docs.slack.dev/reference/methods/chat.postMessage>.
    fn refusal(&self, code: &str) -> Error {
        let is_code = !code.is_empty() && code.len() <= 64 && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        match code {
            "ratelimited" | "rate_limited" => self.throttled(),
            "service_unavailable" => Error::Unavailable(Wait {
                message: "Slack takes no posts now".to_owned(),
                retry_after_ms: self.retry_after_ms,
            }),
            // By Slack's own word some of it may have been done.
            "internal_error" | "fatal_error" | "request_timeout" => unknown(),
            "channel_not_found" => Error::NotFound("Slack knows no such room".to_owned()),
            "message_not_found" | "thread_not_found" => Error::NotFound("Slack knows no such post".to_owned()),
            code => rejected(if is_code { code } else { "unknown" }),
        }
    }

    fn throttled(&self) -> Error {
        Error::Throttled(Wait {
            message: "Slack's limit of posts is used up".to_owned(),
            retry_after_ms: Some(self.retry_after_ms.unwrap_or(WAIT_MS)),
        })
    }
}

fn unknown() -> Error {
    Error::Uncertain("Slack's answer does not say what became of the post".to_owned())
}

fn rejected(code: &str) -> Error {
    let message = match code {
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" | "no_service"
        | "invalid_token" => "Slack does not accept the host's credential",
        "not_in_channel" => "the bot is no member of the room",
        "is_archived" | "channel_is_archived" => "the room is archived",
        "invalid_blocks" | "invalid_blocks_format" => "Slack does not take these blocks",
        "msg_too_long" | "msg_blocks_too_long" => "the post is longer than Slack takes",
        _ => "Slack refused the post",
    };
    Error::Rejected(Rejection { reason: Refusal::Rule, code: Some(code.to_owned()), message: message.to_owned() })
}
