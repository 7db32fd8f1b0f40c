//! Where messages may go: of a tenant, and of each of its agents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where an agent may send messages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappedNotifications {
    /// Slack.
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
    pub channels: Vec<String>,
}

/// What an agent may mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct MappedEmail {
    /// The templates it may use; all of the tenant's without it.
    pub templates: Option<Vec<String>>,
    /// `all`: texts of its own beside templates; `templates`: nothing but these; `none`: no mail at all.
    #[serde(default)]
    pub send: Sends,
}

/// What mails an agent may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Sends {
    /// Texts of its own, and templates.
    #[default]
    All,
    /// Templates alone.
    Templates,
    /// None.
    None,
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
    /// The webhook's URL: a secret, better kept in `{credentials}_WEBHOOK`. Used where no bot's token is set.
    pub webhook: Option<String>,
    /// The prefix of the environment variables that hold the tenant's own access: `{credentials}_TOKEN` (a
    /// bot's token), else `{credentials}_WEBHOOK`. Without it posts go by the host's bot (`SLACK_BOT_TOKEN`),
    /// if it has one.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9_]*$"))]
    pub credentials: Option<String>,
}

/// Mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Email {
    /// The sender's address.
    #[schemars(regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub from: String,
    /// Templates: the name that workflows use, and the template's own, which is its folder in
    /// `configs/templates/<tenant>/`.
    #[serde(default)]
    pub templates: BTreeMap<String, String>,
    /// Patterns of recipients, such as `*@techstart.com`; any recipient without it. A mail that names none goes
    /// to those that are whole addresses.
    pub to: Option<Vec<String>>,
}
