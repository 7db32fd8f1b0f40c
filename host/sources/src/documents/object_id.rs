//! Ids for documents without one: MongoDB's ObjectId, 12 bytes of time, process and count.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

/// A new id, as Extended JSON writes it.
pub(super) fn make() -> Value {
    // Five random bytes for the process, and three to begin to count with.
    static RANDOM: LazyLock<[u8; 16]> = LazyLock::new(|| uuid::Uuid::new_v4().into_bytes());
    static COUNT: LazyLock<AtomicU32> = LazyLock::new(|| {
        let [.., x, y, z] = *RANDOM;
        AtomicU32::new(u32::from_be_bytes([0, x, y, z]))
    });
    let [a, b, c, d, e, ..] = *RANDOM;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() & 0xffff_ffff;
    let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0x00ff_ffff;
    serde_json::json!({ "$oid": format!("{seconds:08x}{a:02x}{b:02x}{c:02x}{d:02x}{e:02x}{count:06x}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_have_the_form() {
        let (one, two) = (make(), make());
        assert_ne!(one, two);
        let text = one.get("$oid").and_then(Value::as_str).unwrap_or_default();
        assert!(text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    }
}
