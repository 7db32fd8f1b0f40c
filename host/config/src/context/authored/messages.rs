//! Where messages may go: of a tenant, and of each of its agents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where an agent may send messages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappedNotifications {
    /// Slack.
    #[expect(dead_code, reason = "checked for shape; this build sends no messages")]
    pub slack: Option<MappedSlack>,
    /// Mail.
    pub email: Option<MappedEmail>,
}

/// Where an agent may post.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappedSlack {
    /// Channels beside the agent's own, such as `#order-review`.
    #[serde(default)]
    #[schemars(inner(regex(pattern = r"^#")))]
    #[expect(dead_code, reason = "checked for shape; this build sends no messages")]
    pub channels: Vec<String>,
}

/// What an agent may mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappedEmail {
    /// The templates it may use; all of the tenant's without it.
    pub templates: Option<Vec<String>>,
}

/// Where messages may go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Notifications {
    /// Slack.
    pub slack: Option<Slack>,
    /// Mail.
    pub email: Option<Email>,
}

/// Slack.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Slack {
    /// Each agent's own channel, by the agent's name.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "string", "pattern": "^#"}))]
    pub channels: BTreeMap<String, String>,
    /// The webhook's URL: a secret, better kept in `{credentials}_WEBHOOK`.
    pub webhook: Option<String>,
    /// The prefix of the environment variable that holds the webhook's URL.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
}

/// Mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Email {
    /// The sender's address.
    #[schemars(regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    #[expect(dead_code, reason = "checked for shape; this build sends no messages")]
    pub from: String,
    /// Templates: the name that workflows use, and the template's own.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
    /// Patterns of recipients, such as `*@techstart.com`; any recipient without it.
    #[expect(dead_code, reason = "checked for shape; this build sends no messages")]
    pub to: Option<Vec<String>>,
}
