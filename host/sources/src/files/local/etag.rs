//! Names for what a file holds, without reading it.
//!
//! A file that this host writes is a new one with a time of its own, to the nanosecond, so that no two
//! writes have one name; a change in place by somebody else shows in its times. What that leaves: two
//! changes in place of one length within one tick of the system's clock (4 ms).

use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::place::Found;

impl Found {
    /// An etag. It says nothing of the disk, as a hash of it.
    pub(super) fn etag(&self) -> String {
        let mut hash = Sha256::new();
        let (device, number) = self.number;
        for figure in [device, number, self.size] {
            hash.update(figure.to_le_bytes());
        }
        for (seconds, nanoseconds) in self.changed {
            hash.update(seconds.to_le_bytes());
            hash.update(nanoseconds.to_le_bytes());
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// When the content last changed, in RFC 3339.
    pub(super) fn modified(&self) -> Option<String> {
        let [(seconds, nanoseconds), _] = self.changed;
        let at = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        OffsetDateTime::from_unix_timestamp_nanos(at).ok()?.format(&Rfc3339).ok()
    }
}
