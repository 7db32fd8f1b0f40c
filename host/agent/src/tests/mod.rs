//! The chat with fake ports: [`rounds`] of calls, and what surrounds them in [`conversations`].

mod ask;
mod conversations;
mod rounds;
mod workflows;

use remit_domain::model::Message;
use serde_json::Value;

use crate::fakes::Stage;

/// What the model was shown of tools' answers, as JSON, up to its last turn.
fn shown(stage: &Stage) -> anyhow::Result<Vec<Value>> {
    let seen = stage.model.seen();
    let messages = seen.last().map(|request| request.messages.as_slice()).unwrap_or_default();
    let contents = messages.iter().filter_map(|message| match message {
        Message::Tool { content, .. } => Some(content),
        _ => None,
    });
    Ok(contents.map(|content| serde_json::from_str(content)).collect::<Result<_, _>>()?)
}
