//! `notifications` of `host.yaml`, and what of the environment all tenants' channels share: the mail server and
//! the bot of Slack.

use std::{net::IpAddr, num::NonZeroU32};

use remit_domain::source::MailServer;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Checker, is_host_name};
use crate::environment::{Environment, Part};

/// The credentials of the mail server, and of the bot.
const SMTP: &str = "EMAIL_SMTP";
const BOT: &str = "SLACK_BOT";
/// Where servers take mail of those who have an account (RFC 6409).
const SUBMISSION: u16 = 587;

/// Messages to people.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Authored {
    /// Keep messages and show them at `GET /api/notifications`, and send none. For demonstrations.
    pub dry_run: bool,
    /// How much one tenant may send through one channel in a minute: a post counts once, a mail once for each
    /// recipient.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_minute: u32,
    /// Let mail go unencrypted to a mail server that is not this machine, where that server has no STARTTLS.
    pub plain_smtp: bool,
}

impl Default for Authored {
    fn default() -> Self {
        Self { dry_run: false, per_minute: 60, plain_smtp: false }
    }
}

/// Messages to people.
#[derive(Debug)]
pub struct Notifications {
    /// Whether messages are kept and none is sent.
    pub dry_run: bool,
    /// How much one tenant may send through one channel in a minute.
    pub per_minute: NonZeroU32,
    /// The server that takes mail, if one is set.
    pub smtp: Option<MailServer>,
    /// The bot of tenants without a way of their own, if one is set.
    pub bot: Option<Bot>,
}

/// A bot of Slack.
#[derive(Debug, Clone)]
pub struct Bot {
    /// Its token.
    pub token: SecretString,
    /// Replaces the scheme and host of Slack's API.
    pub uri: Option<SecretString>,
}

impl Checker<'_> {
    pub(super) fn notifications(&mut self, authored: &Authored, env: &Environment) -> Notifications {
        let token = self.shared(env, BOT, Part::Token);
        let uri = self.shared(env, BOT, Part::Uri);
        Notifications {
            dry_run: authored.dry_run,
            per_minute: NonZeroU32::new(authored.per_minute).unwrap_or(NonZeroU32::MIN),
            smtp: self.smtp(authored.plain_smtp, env),
            bot: token.map(|token| Bot { token, uri }),
        }
    }

    fn smtp(&mut self, plain: bool, env: &Environment) -> Option<MailServer> {
        let (host, port) = (env.plain("EMAIL_SMTP_HOST"), env.plain("EMAIL_SMTP_PORT"));
        let user = self.shared(env, SMTP, Part::User);
        let password = self.shared(env, SMTP, Part::Password);
        let host = host?.to_owned();
        if !is_host_name(&host) && host.parse::<IpAddr>().is_err() {
            self.complain("/notifications", "EMAIL_SMTP_HOST is not a host's name", Some("without scheme and port"));
        }
        let port = match port.map(str::parse::<u16>) {
            None => SUBMISSION,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => {
                self.complain("/notifications", "EMAIL_SMTP_PORT is not a port", Some("such as 587 or 465"));
                SUBMISSION
            }
        };
        if user.is_some() != password.is_some() {
            let message = "only one of EMAIL_SMTP_USER and EMAIL_SMTP_PASS is set";
            self.complain("/notifications", message, Some("set both, or none for a server without accounts"));
        }
        let user = user.map(|user| user.expose_secret().to_owned());
        Some(MailServer { host, port, plain, user, password })
    }

    fn shared(&mut self, env: &Environment, credentials: &str, part: Part) -> Option<SecretString> {
        env.part(credentials, part)
            .map_err(|error| self.complain("/notifications", error.to_string(), None))
            .ok()
            .flatten()
    }
}
