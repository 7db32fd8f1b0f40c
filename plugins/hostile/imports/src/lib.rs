//! A guest that imports an interface that no host has, beside what every host has: it is refused by that name.

use remit_sdk::{prelude::*, source::Condition};

#[cfg(target_arch = "wasm32")]
mod beyond {
    //! What it wants of the host.

    wit_bindgen::generate!({
        inline: "package hostile:beyond@0.1.0;
            interface power { all: func() -> string; }
            world wanting { import power; }",
    });
}

tool_set![Tool::new("publish", "Writes a file, with more power than it has.", publish).writes("documents").additive()];

fn publish(_: NoArguments, call: &Call) -> Result<Reply> {
    #[cfg(target_arch = "wasm32")]
    let news = beyond::hostile::beyond::power::all();
    #[cfg(not(target_arch = "wasm32"))]
    let news = "news".to_owned();
    call.folder("documents")?.write("news.txt", news.as_bytes(), &Condition::Always)?;
    Ok(Reply::text(news))
}

#[cfg(test)]
mod tests {
    use remit_sdk::testing::{self, FakeFolder};

    use super::tool_set;

    #[test]
    fn publishes_where_it_may() {
        let folder = FakeFolder::new();
        let call = testing::call().writes("documents", &folder).build();
        assert!(tool_set().call("publish", "{}", &call).is_ok());
        assert_eq!(folder.bytes("news.txt").as_deref(), Some(&b"news"[..]));
        let call = testing::call().reads("documents", &folder).build();
        assert!(tool_set().call("publish", "{}", &call).is_err());
    }
}
