//! Parts of WASI that the standard library does not pass on as they are.

/// So many random bytes, asked for at once.
pub(crate) fn random(bytes: usize) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    return bindings::wasi::random::random::get_random_bytes(bytes.try_into().unwrap_or(u64::MAX));
    #[cfg(not(target_arch = "wasm32"))]
    vec![0; bytes]
}

/// Sets so many timers, all at once, and gives none back.
pub(crate) fn timers(count: u32) -> usize {
    #[cfg(target_arch = "wasm32")]
    {
        let timer = |_| bindings::wasi::clocks::monotonic_clock::subscribe_duration(u64::MAX);
        (0..count).map(timer).collect::<Vec<_>>().len()
    }
    #[cfg(not(target_arch = "wasm32"))]
    count.try_into().unwrap_or(usize::MAX)
}

#[cfg(target_arch = "wasm32")]
mod bindings {
    // Another version than that of the standard library, which has the whole of these interfaces.
    wit_bindgen::generate!({
        inline: "
            package hostile:calls;
            world asks {
                import wasi:random/random@0.2.1;
                import wasi:clocks/monotonic-clock@0.2.1;
            }
            package wasi:random@0.2.1 {
                interface random { get-random-bytes: func(len: u64) -> list<u8>; }
            }
            package wasi:io@0.2.1 {
                interface poll { resource pollable { block: func(); } }
            }
            package wasi:clocks@0.2.1 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.1.{pollable};
                    type duration = u64;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }
        ",
        generate_all,
    });
}
