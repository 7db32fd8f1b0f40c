//! What a post's texts say: quietly, and in words where there are only blocks.

use remit_sdk::serde_json::Value as Json;

/// The most characters of the words taken from blocks.
const MAX_WORDS: usize = 3_000;

/// A text in which calls for everybody's attention are shown and not heard: `<!channel>`, `<!here>`,
/// `<!everyone>`, `<!subteam^…>`. A text from outside must not wake a room.
pub(crate) fn quiet(text: &str) -> String {
    text.replace("<!", "&lt;!")
}

/// As [`quiet`], of every text of a block that is read as markup.
pub(crate) fn quieten(block: &mut Json) {
    match block {
        Json::Object(members) => {
            let plain = members.get("type").is_some_and(|kind| kind == "plain_text");
            for (name, member) in members.iter_mut() {
                match member {
                    Json::String(text) if name == "text" && !plain => *text = quiet(text),
                    other => quieten(other),
                }
            }
            // The elements of rich text that call without markup.
            let calls = members.get("type").and_then(Json::as_str);
            if matches!(calls, Some("broadcast" | "usergroup")) {
                let words = members.get("range").and_then(Json::as_str).unwrap_or("group").to_owned();
                members.clear();
                members.insert("type".to_owned(), "text".into());
                members.insert("text".to_owned(), format!("@{words}").into());
            }
        }
        Json::Array(items) => items.iter_mut().for_each(quieten),
        _ => {}
    }
}

/// The words of headers and sections, a line each.
pub(crate) fn of_blocks(blocks: &[Json]) -> String {
    let worded = blocks.iter().filter(|block| {
        let kind = block.get("type").and_then(Json::as_str);
        matches!(kind, Some("header" | "section"))
    });
    let words: Vec<&str> = worded.filter_map(|block| block.pointer("/text/text").and_then(Json::as_str)).collect();
    words.join("\n").chars().take(MAX_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use remit_sdk::json;

    use super::{of_blocks, quiet, quieten};

    #[test]
    fn calls_for_attention_are_shown_and_not_heard() {
        assert_eq!(quiet("a <!channel> <!here|x> <@U1> <https://a>"), "a &lt;!channel> &lt;!here|x> <@U1> <https://a>");
        let mut block = json!({
            "type": "section",
            "text": {"type": "mrkdwn", "text": "<!channel> a"},
            "fields": [{"type": "plain_text", "text": "<!x>"}, {"type": "mrkdwn", "text": "<!everyone>"}],
            "elements": [{"type": "broadcast", "range": "channel"}],
        });
        quieten(&mut block);
        let expected = json!({
            "type": "section",
            "text": {"type": "mrkdwn", "text": "&lt;!channel> a"},
            "fields": [{"type": "plain_text", "text": "<!x>"}, {"type": "mrkdwn", "text": "&lt;!everyone>"}],
            "elements": [{"type": "text", "text": "@channel"}],
        });
        assert_eq!(block, expected);
    }

    #[test]
    fn blocks_have_words() {
        let blocks = [
            json!({"type": "header", "text": {"type": "plain_text", "text": "Flagged"}}),
            json!({"type": "divider"}),
            json!({"type": "section", "text": {"type": "mrkdwn", "text": "*Order:* 1"}}),
            json!({"type": "actions", "elements": []}),
            json!("x"),
        ];
        assert_eq!(of_blocks(&blocks), "Flagged\n*Order:* 1");
        assert_eq!(of_blocks(&[]), "");
    }
}
