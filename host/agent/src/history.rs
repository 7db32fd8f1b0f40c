//! How much of a conversation the model is reminded of.

use remit_domain::model::Message;

use crate::{Settings, turn};

/// The most messages that are read to be reminded of some: as many as may be kept, and the longest
/// exchange, so that the newest one is always there from its beginning.
pub(crate) fn most(settings: &Settings) -> usize {
    let round = 1 + turn::MAX_LISTED;
    let exchange = settings.max_tool_calls.saturating_mul(round).saturating_add(2);
    settings.max_history_messages.saturating_add(exchange)
}

/// The newest exchanges that fit, oldest first. An exchange begins with what the user said; it is
/// kept whole, or without its tool calls and their results, or not at all, so that no call is ever
/// parted from its result.
pub(crate) fn recent(messages: Vec<Message>, settings: &Settings) -> Vec<Message> {
    let mut room = Room { messages: settings.max_history_messages, bytes: settings.max_history_bytes };
    let mut kept: Vec<Vec<Message>> = Vec::new();
    for exchange in exchanges(messages).into_iter().rev() {
        let fitting = if room.holds(&exchange) { exchange } else { condensed(exchange) };
        if !room.holds(&fitting) {
            break;
        }
        room.take(&fitting);
        kept.push(fitting);
    }
    kept.into_iter().rev().flatten().collect()
}

fn exchanges(messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut exchanges: Vec<Vec<Message>> = Vec::new();
    for message in messages {
        match (&message, exchanges.last_mut()) {
            (Message::User { .. }, _) => exchanges.push(vec![message]),
            (_, Some(exchange)) => exchange.push(message),
            // Nothing begins a conversation but a user.
            (_, None) => {}
        }
    }
    exchanges
}

/// What was said, without what was done.
fn condensed(exchange: Vec<Message>) -> Vec<Message> {
    let said = exchange.into_iter().filter(|message| match message {
        Message::User { .. } => true,
        Message::Assistant { content, tool_calls } => content.is_some() && tool_calls.is_empty(),
        Message::System { .. } | Message::Tool { .. } => false,
    });
    said.collect()
}

struct Room {
    messages: usize,
    bytes: usize,
}

impl Room {
    fn holds(&self, exchange: &[Message]) -> bool {
        exchange.len() <= self.messages && bytes(exchange) <= self.bytes
    }

    fn take(&mut self, exchange: &[Message]) {
        self.messages = self.messages.saturating_sub(exchange.len());
        self.bytes = self.bytes.saturating_sub(bytes(exchange));
    }
}

fn bytes(messages: &[Message]) -> usize {
    let of = |message: &Message| match message {
        Message::System { content } | Message::User { content } | Message::Tool { content, .. } => content.len(),
        Message::Assistant { content, tool_calls } => {
            let calls = tool_calls.iter().map(|call| call.name.len() + call.arguments.len());
            content.as_ref().map_or(0, String::len) + calls.sum::<usize>()
        }
    };
    messages.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use remit_domain::model::ToolCall;

    use super::*;

    fn exchange(said: &str) -> Vec<Message> {
        let call = ToolCall { id: "1".to_owned(), name: "look".to_owned(), arguments: "{}".to_owned() };
        vec![
            Message::User { content: said.to_owned() },
            Message::Assistant { content: None, tool_calls: vec![call] },
            Message::Tool { tool_call_id: "1".to_owned(), content: "x".repeat(100) },
            Message::Assistant { content: Some(format!("re {said}")), tool_calls: Vec::new() },
        ]
    }

    fn check(max_history_messages: usize, max_history_bytes: usize, expected: Vec<Message>) {
        let settings = Settings { max_history_messages, max_history_bytes, ..Settings::default() };
        let stray = Message::Tool { tool_call_id: "0".to_owned(), content: "stray".to_owned() };
        let all = [vec![stray], exchange("a"), exchange("b")].concat();
        assert_eq!(recent(all, &settings), expected);
    }

    #[test]
    fn calls_are_never_parted_from_their_results() {
        check(40, 10_000, [exchange("a"), exchange("b")].concat());
        check(7, 10_000, [condensed(exchange("a")), exchange("b")].concat());
        check(5, 10_000, exchange("b"));
        check(3, 10_000, condensed(exchange("b")));
        check(40, 130, [condensed(exchange("a")), exchange("b")].concat());
        check(40, 50, [condensed(exchange("a")), condensed(exchange("b"))].concat());
        check(1, 10_000, Vec::new());
        check(0, 0, Vec::new());
    }

    #[test]
    fn what_is_read_holds_the_longest_exchange_and_all_that_may_be_kept() {
        let settings = Settings { max_history_messages: 4, max_tool_calls: 3, ..Settings::default() };
        let round = |_| {
            let tool_calls = Vec::new();
            let asks = Message::Assistant { content: None, tool_calls };
            let result = Message::Tool { tool_call_id: String::new(), content: String::new() };
            [vec![asks], vec![result; turn::MAX_LISTED]].concat()
        };
        let mut longest: Vec<Message> = exchange("c").into_iter().take(1).collect();
        longest.extend((0..settings.max_tool_calls).flat_map(round));
        longest.extend(exchange("c").pop());
        assert_eq!(most(&settings), longest.len() + 4);
        let mut read = [exchange("b"), longest.clone()].concat();
        assert_eq!(read.len(), most(&settings));
        let expected = [condensed(exchange("b")), condensed(longest)].concat();
        assert_eq!(recent(read.clone(), &settings), expected);
        // However much stands before them.
        read.insert(0, Message::Tool { tool_call_id: "0".to_owned(), content: "cut off".to_owned() });
        assert_eq!(recent(read, &settings), expected);
        let boundless = Settings { max_history_messages: usize::MAX, max_tool_calls: usize::MAX, ..settings };
        assert_eq!(most(&boundless), usize::MAX);
    }
}
