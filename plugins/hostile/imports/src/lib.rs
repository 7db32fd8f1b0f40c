//! A guest that imports `remit:notify/notify` beside what every host has: a host that lacks it refuses it
//! by that name.

use remit_sdk::{
    prelude::*,
    source::{Condition, Post},
};

tool_set![
    Tool::new("publish", "Writes a file and tells a room.", publish).writes("documents").writes("slack").additive()
];

fn publish(_: NoArguments, call: &Call) -> Result<Reply> {
    call.folder("documents")?.write("news.txt", b"news", &Condition::Always)?;
    let id = call.channel("slack")?.post(&Post::text(None, "There is news."))?;
    Ok(Reply::text(id))
}

#[cfg(test)]
mod tests {
    use remit_sdk::testing::{self, FakeChannel, FakeFolder};

    use super::tool_set;

    #[test]
    fn publishes_where_it_may() {
        let (folder, channel) = (FakeFolder::new(), FakeChannel::new());
        let call = testing::call().writes("documents", &folder).writes("slack", &channel).build();
        assert!(tool_set().call("publish", "{}", &call).is_ok());
        assert_eq!(folder.bytes("news.txt").as_deref(), Some(&b"news"[..]));
        assert_eq!(channel.sent().len(), 1);
        let call = testing::call().reads("documents", &folder).writes("slack", &channel).build();
        assert!(tool_set().call("publish", "{}", &call).is_err());
    }
}
