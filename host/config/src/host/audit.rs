//! `audit` in `host.yaml`: as it is written, and checked.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// How the audit log is kept.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Authored {
    /// After how many rows a segment is closed.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub segment_rows: u32,
    /// After how many hours a segment is closed that has fewer rows.
    #[schemars(range(min = 1, max = 8_760))]
    pub segment_hours: u32,
    /// For how many days rows are kept: closed segments whose newest row is older are removed whole. All
    /// rows are kept without it.
    #[schemars(range(min = 1, max = 36_500))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// Where signed statements go of how the log stands.
    pub checkpoints: Checkpoints,
}

impl Default for Authored {
    fn default() -> Self {
        Self { segment_rows: 10_000, segment_hours: 24, keep_days: None, checkpoints: Checkpoints::default() }
    }
}

/// Checkpoints: what shows that a log was cut or made anew. To be kept where nobody who can write the
/// journal can write.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Checkpoints {
    /// A file that each is appended to as a line, such as one on another machine's share.
    #[schemars(length(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// An address that each is posted to as JSON. A private one has to stand under `network.allow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How often, if there were new rows.
    #[schemars(range(min = 1, max = 10_080))]
    pub every_minutes: u32,
    /// After how many new rows without waiting for that.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub every_rows: u32,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { file: None, url: None, every_minutes: 10, every_rows: 10_000 }
    }
}

/// How the audit log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// After how many rows a segment is closed.
    pub segment_rows: u32,
    /// After what time a segment is closed that has fewer rows.
    pub segment_age: Duration,
    /// For how long rows are kept; for ever without it.
    pub keep: Option<Duration>,
    /// The file that checkpoints are appended to.
    pub checkpoint_file: Option<PathBuf>,
    /// The address that they are posted to.
    pub checkpoint_url: Option<Url>,
    /// How often, if there were new rows.
    pub checkpoint_every: Duration,
    /// After how many new rows without waiting for that.
    pub checkpoint_rows: u32,
}

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
