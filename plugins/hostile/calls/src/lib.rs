//! A guest for the host's tests: each tool attacks the host, or breaks its own promises, in one way,
//! and tells what came of it where it lives to tell.
//!
//! Nothing here is an example of how to write a plugin.

mod escape;
mod exhaust;
mod folder;
mod handles;
mod lie;
mod reach;
mod tell;
mod wait;
mod wasi;

use remit_sdk::prelude::*;

tool_set! {
    title: "Attacks on the host",
    tools: [
        Tool::new("spin", "Loops for ever.", exhaust::spin),
        Tool::new("sleep", "Sleeps.", exhaust::sleep),
        Tool::new("grow", "Takes all the memory it can get.", exhaust::grow),
        Tool::new("recurse", "Calls itself without end.", exhaust::recurse),
        Tool::new("trap", "Panics.", exhaust::trap),
        Tool::new("big_output", "Answers at length.", exhaust::big_output),
        Tool::new("deep_output", "Answers with lists in lists.", exhaust::deep_output),
        Tool::new("end", "Ends in ways that no tool should.", exhaust::end),
        Tool::new("shout", "Hands the host more than it wants to hear.", exhaust::shout).reads("primary"),
        Tool::new("wait_many", "Has many queries under way at once.", exhaust::wait_many).reads("primary"),
        Tool::new("hoard", "Takes a handle again and again.", exhaust::hoard).reads("primary"),
        Tool::new("hoard_timers", "Sets timers without end.", exhaust::hoard_timers),
        Tool::new("wait", "Waits for what never comes.", wait::wait).reads("primary"),
        Tool::new("abandon", "Begins what it does not end.", wait::abandon).writes("primary"),
        Tool::new("flood", "Logs and reports progress without end.", exhaust::flood),
        Tool::new("bad_output", "Breaks its output schema.", lie::bad_output),
        Tool::new("bad_error", "Fails in words of others.", lie::bad_error),
        Tool::new("bad_content", "Answers what is no answer.", lie::bad_content),
        Tool::new("write_documents", "Writes through a read handle of documents.", escape::write_documents)
            .reads("analytics"),
        Tool::new("write_read_only", "Writes through a read handle.", escape::write_read_only).reads("primary"),
        Tool::new("escape_api", "Sends to an address of the caller's choice.", escape::escape_api).reads("ecommerce"),
        Tool::new("escape_folder", "Looks for a way out of a folder.", folder::escape).reads("documents"),
        Tool::new("spoil_folder", "Looks for a way out of a folder, and writes there.", folder::spoil)
            .writes("storage"),
        Tool::new("litter", "Begins files that it does not end.", folder::litter).writes("storage"),
        Tool::new("mail", "Sends a mail of the caller's choice.", tell::mail)
            .writes_if_granted("email")
            .writes_if_granted("slack"),
        Tool::new("post", "Posts what the caller chooses.", tell::post)
            .writes_if_granted("slack")
            .writes_if_granted("email"),
        Tool::new("mail_reading", "Sends a mail through a read handle.", tell::mail).reads("email"),
        Tool::new("open_ungranted", "Takes a source that it did not declare.", reach::open_ungranted).reads("primary"),
        Tool::new("environment", "Looks around for what no plugin should see.", reach::environment),
        Tool::new("clocks", "Looks at the time, as closely as it can.", reach::clocks),
        Tool::new("random", "Asks for randomness.", reach::random),
        Tool::new("speak", "Writes and reads where a program would.", reach::speak),
        Tool::new("misuse", "Uses a handle out of its time.", handles::misuse).reads("primary"),
        Tool::new("remember", "Keeps what it was handed for the next call.", handles::remember).reads("primary"),
        Tool::new("forge", "Uses a handle that it was not given.", reach::forge).reads("primary"),
    ],
}

#[cfg(test)]
mod tests {
    use remit_sdk::testing::{self, FakeApi, FakeChannel, FakeDatabase, FakeFolder};

    use super::tool_set;

    #[test]
    fn attacks_that_do_not_need_a_host_are_told() {
        let (database, api) = (FakeDatabase::sqlite(), FakeApi::new());
        let (documents, storage) = (FakeFolder::new(), FakeFolder::new());
        let channel = FakeChannel::new();
        let call = testing::call()
            .reads("primary", &database)
            .reads("ecommerce", &api)
            .reads("documents", &documents)
            .writes("storage", &storage)
            .writes("slack", &channel)
            .reads("email", &channel)
            .build();
        let cases = [
            ("write_read_only", r#"{"statement":"DELETE FROM customers","through":"execute"}"#, "Denied"),
            ("write_read_only", r#"{"statement":"DELETE FROM customers","through":"transaction"}"#, "Denied"),
            ("write_read_only", r#"{"statement":"DELETE FROM customers","through":"query"}"#, "Invalid"),
            ("escape_api", r#"{"path":"../secrets"}"#, "404"),
            ("escape_api", r#"{"path":"x","method":"delete"}"#, "Denied"),
            ("escape_folder", r#"{"path":"../x","through":"read"}"#, "Invalid"),
            ("escape_folder", r#"{"path":"x","through":"write"}"#, "Denied"),
            ("spoil_folder", r#"{"path":"x","through":"create"}"#, "allowed: 7"),
            ("litter", r#"{"count":2,"trap":false}"#, "2 begun"),
            ("open_ungranted", r#"{"name":"analytics"}"#, "NotGranted"),
            ("post", r#"{"text":"x"}"#, "sent: message-1"),
            ("mail", r#"{"channel":"slack","subject":"a\r\nBcc: b@x.example","text":"x"}"#, "Invalid"),
            ("mail_reading", r#"{"subject":"a","text":"x"}"#, "Denied"),
            ("wait_many", r#"{"count":3}"#, r#""failed":3"#),
        ];
        for (tool, arguments, told) in cases {
            let answer = tool_set().call(tool, arguments, &call).ok().and_then(|it| it.structured).unwrap_or_default();
            assert!(answer.contains(told), "{tool}: {answer}");
        }
    }
}
