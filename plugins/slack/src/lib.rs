//! Steps of type `slack`: the node `slack.run`. It posts through the channel `slack`, whose rooms are the
//! mapping's to say, and looks rooms and people up in an API source of Slack's.
//!
//! A repeated execution posts nothing twice: the post carries the step's idempotency key. Calls for everybody's
//! attention (`<!channel>`) are shown as text unless the step asks for them. It lacks files and reactions.

mod look;
mod text;

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    source::Post,
};

node_set![
    Node::new("run", "Posts to a room of Slack, changes a post, or looks up rooms and people.", run)
        .title("Slack")
        .validates(validate)
        .harmless_to_repeat()
];

/// The tenant's rooms, among the sources.
const CHANNEL: &str = "slack";
/// The API source that is asked for rooms and people if a step names none.
const API: &str = "slack_api";
/// The most blocks that Slack takes.
const MAX_BLOCKS: usize = 50;

/// What to do, and with what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Config {
    /// What to do.
    operation: Operation,
    /// The room, such as `#order-review`; the agent's own if none.
    channel: Option<String>,
    /// What the post says, in Slack's markup; beside `blocks` what is shown where those are not.
    text: Option<String>,
    /// Block Kit: <https://docs.slack.dev/block-kit>.
    blocks: Option<Vec<Json>>,
    /// The id of the post that begins the thread to answer in: `messageId` of an earlier step.
    thread: Option<String>,
    /// The id of the post to change: `messageId` of an earlier step.
    message_id: Option<String>,
    /// Whether the post may call for the attention of everybody in the room: `<!channel>` and its like.
    #[serde(default)]
    mentions: bool,
    /// The API source to look things up in; `slack_api` if none.
    source: Option<String>,
    /// Whom to look up: a mail address.
    email: Option<String>,
    /// Whom to look up: an id, such as `U012AB3CD`.
    user: Option<String>,
    /// The most rooms to list, 200 by default; `truncated` says that there are more.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(crate) enum Operation {
    #[serde(rename = "messages.send")]
    Send,
    #[serde(rename = "messages.update")]
    Update,
    #[serde(rename = "channels.list")]
    Channels,
    #[serde(rename = "users.lookup")]
    Lookup,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    /// Always true: a failure has no output of the step's own.
    success: bool,
    operation: Operation,
    /// The post's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// The room that was written to, where the step named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// The rooms, or the one looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    /// How many rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
    /// Whether there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

impl Output {
    pub(crate) fn of(operation: Operation) -> Self {
        Self { success: true, operation, message_id: None, channel: None, data: None, count: None, truncated: None }
    }
}

fn validate(config: &Written<'_>) -> Option<Validated> {
    config.requires("slack", &["operation"]);
    let operation: Operation = config.choice("operation")?;
    let keys: &[&str] = match operation {
        Operation::Send => &["channel", "text", "blocks", "thread", "mentions"],
        Operation::Update => &["messageId", "channel", "text", "blocks", "mentions"],
        Operation::Channels => &["source", "limit"],
        Operation::Lookup => &["source", "email", "user"],
    };
    let name = config.literal("operation").unwrap_or_default();
    config.takes_only(name, &[keys, &["operation"]].concat());
    let need = match operation {
        Operation::Send | Operation::Update => {
            if !config.has("text") && !config.has("blocks") {
                config.problem("", format!("`{name}` needs `text` or `blocks`"));
            }
            // A rare room, but one that the mapping can't be held against before it is known.
            if let Some(Json::String(channel)) = config.get("channel")
                && channel.trim().is_empty()
            {
                config.problem("/channel", "`channel` is empty");
            }
            Need::writes(CHANNEL)
        }
        Operation::Channels | Operation::Lookup => {
            if operation == Operation::Lookup && config.has("email") == config.has("user") {
                config.problem("", format!("`{name}` needs either `email` or `user`"));
            }
            match config.has("source") {
                true => Need::reads(config.literal("source")?),
                false => Need::reads(API),
            }
        }
    };
    if operation == Operation::Update {
        config.requires(name, &["messageId"]);
    }
    Some(Validated::harmless(vec![need]))
}

fn run(config: Config, _: Json, call: &Call) -> Result<Output> {
    match config.operation {
        Operation::Send => {
            let post = post(&config, call)?;
            let id = call.channel(CHANNEL)?.post(&post)?;
            Ok(Output { message_id: Some(id), channel: post.room, ..Output::of(config.operation) })
        }
        Operation::Update => {
            let post = post(&config, call)?;
            let id = config.message_id.filter(|id| !id.is_empty());
            let id = id.ok_or_else(|| Error::invalid("/messageId", "which post is to be changed?"))?;
            call.channel(CHANNEL)?.update(&id, &post)?;
            Ok(Output { message_id: Some(id), channel: post.room, ..Output::of(config.operation) })
        }
        Operation::Channels => look::channels(&config, &call.api(config.source())?),
        Operation::Lookup => look::person(&config, &call.api(config.source())?),
    }
}

impl Config {
    fn source(&self) -> &str {
        self.source.as_deref().unwrap_or(API)
    }
}

fn post(config: &Config, call: &Call) -> Result<Post> {
    let room = config.channel.as_deref().map(str::trim);
    if room.is_some_and(str::is_empty) {
        return Err(Error::invalid("/channel", "`channel` is empty"));
    }
    let mut blocks = config.blocks.clone().unwrap_or_default();
    if blocks.len() > MAX_BLOCKS {
        return Err(Error::invalid("/blocks", format!("a post has {MAX_BLOCKS} blocks at most")));
    }
    let mut text = config.text.clone().unwrap_or_default();
    if text.trim().is_empty() {
        text = text::of_blocks(&blocks);
    }
    if text.trim().is_empty() {
        return Err(Error::invalid("/text", "a post says something"));
    }
    if !config.mentions {
        text = text::quiet(&text);
        blocks.iter_mut().for_each(text::quieten);
    }
    let blocks = if blocks.is_empty() { None } else { Some(blocks) };
    let blocks = blocks.map(|blocks| serde_json::to_string(&blocks)).transpose();
    let blocks = blocks.map_err(|error| Error::refused(format!("the blocks do not serialise: {error}")))?;
    let key = Some(call.context().idempotency_key.clone());
    Ok(Post { blocks, thread: config.thread.clone(), idempotency_key: key, ..Post::text(room, text) })
}

#[cfg(test)]
mod tests;
