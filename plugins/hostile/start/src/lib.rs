//! A guest that never finishes starting: its loop runs before any of its exports is called.

use remit_sdk::prelude::*;

tool_set![Tool::new("never", "Is never reached.", never)];

fn never(_: NoArguments, _: &Call) -> Result<Reply> {
    Ok(Reply::text("reached"))
}

/// What a module exports by this name is called when it is instantiated.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "the attack needs this very name")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    loop {
        std::hint::black_box(());
    }
}
