//! A guest that never finishes starting: its loop runs before any of its exports is called.

use remit_sdk::prelude::*;

tool_set![Tool::new("never", "Is never reached.", never)];

fn never(_: NoArguments, _: &Call) -> Result<Reply> {
    Ok(Reply::text("reached"))
}

#[cfg(target_arch = "wasm32")]
extern "C" fn spin() {
    loop {
        std::hint::black_box(());
    }
}

/// The linker gathers what the start of a module calls from this section.
#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "a section of the linker's")]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = spin;
