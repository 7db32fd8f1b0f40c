//! Notifications: the channels of a tenant, and what each agent may send through them.
//!
//! A channel is a source like any other to the one who decides: here agents get their permission and their
//! scope for it, of rooms and of templates. Deliberately absent: anything sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use remit_domain::{
    AgentName, SourceName,
    data::notify::{Address, Pattern, Room},
    grant::Permission,
    scope::Scope,
    source::{Definition, Kind, Mail, Slack, SlackAccess},
    tenant::Agent,
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{
    Reader,
    authored::{self, Sends},
};
use crate::{environment::Part, fault::closest, located::join};

type Sources = BTreeMap<SourceName, Arc<Definition>>;
type Agents = BTreeMap<AgentName, Agent>;

const SLACK: &str = "/notifications/slack";
const EMAIL: &str = "/notifications/email";

impl Reader<'_> {
    /// Adds the tenant's channels to its sources, and to its agents' mappings what they may send.
    pub(super) fn notifications(&mut self, authored: &authored::Context, sources: &mut Sources, agents: &mut Agents) {
        let channels = authored.notifications.as_ref();
        let slack = channels.and_then(|channels| channels.slack.as_ref());
        let email = channels.and_then(|channels| channels.email.as_ref());
        if let Some(slack) = slack {
            let kind = self.slack(authored, slack);
            self.channel(SLACK, Slack::NAME, Kind::Slack(kind), sources);
        }
        if let Some(email) = email {
            let kind = self.mail(email);
            if let Some(kind) = kind {
                self.channel(EMAIL, Mail::NAME, Kind::Mail(kind), sources);
            }
        }
        for (name, mapping) in &authored.agent_mappings {
            let at = format!("{}/notifications", join("/agentMappings", name));
            let mapped = mapping.notifications.as_ref();
            let listed = mapped.and_then(|mapped| mapped.slack.as_ref());
            let own = slack.and_then(|slack| slack.channels.get(name));
            if let (None, Some(_)) = (slack, listed) {
                self.missing(&join(&at, "slack"), "slack");
            }
            let rooms: BTreeSet<String> =
                listed.into_iter().flat_map(|listed| &listed.channels).chain(own).cloned().collect();
            for (place, room) in listed.into_iter().flat_map(|listed| listed.channels.iter().enumerate()) {
                self.room(&format!("{at}/slack/channels/{place}"), room);
            }
            if slack.is_some() && !rooms.is_empty() {
                grant(agents, name, Slack::NAME, Some(Scope::only(rooms.iter().cloned())));
            }
            let listed = mapped.and_then(|mapped| mapped.email.as_ref());
            if let (None, Some(_)) = (email, listed) {
                self.missing(&join(&at, "email"), "email");
            }
            let Some(email) = email else { continue };
            let templates = listed.and_then(|listed| listed.templates.as_ref());
            for (place, template) in templates.into_iter().flatten().enumerate() {
                if !email.templates.contains_key(template) {
                    let at = format!("{at}/email/templates/{place}");
                    let message = format!("`notifications.email.templates` has no `{template}`");
                    let known = email.templates.keys().map(String::as_str);
                    self.faults.push(self.located.at(&at, message).hint_if(closest(template, known)));
                }
            }
            let send = listed.map(|listed| listed.send).unwrap_or_default();
            let templates = match (templates, send) {
                (_, Sends::None) => continue,
                (None, Sends::All) => None,
                (None, Sends::Templates) => Some(email.templates.keys().cloned().collect()),
                (Some(listed), _) => Some(listed.clone()),
            };
            let free = (send == Sends::All).then(|| Mail::FREE_TEXT.to_owned());
            grant(
                agents,
                name,
                Mail::NAME,
                templates.map(|names: Vec<String>| Scope::only(names.into_iter().chain(free))),
            );
        }
    }

    /// Puts a channel among the sources, whose names are each given once.
    fn channel(&mut self, pointer: &str, name: &'static str, kind: Kind, sources: &mut Sources) {
        for category in ["databases", "apis", "files"] {
            let at = join(&format!("/dataSources/{category}"), name);
            if self.located.get(&at).is_some() {
                let fault =
                    self.located.at_key(&at, format!("`{name}` is the name of the channel `notifications.{name}`"));
                self.faults.push(fault.hint(format!("give the source another name, such as `{name}_api`")));
                return;
            }
        }
        let Ok(source) = SourceName::new(name) else { return };
        let revision = self.revision(pointer, &kind);
        let definition =
            Definition { name: source.clone(), authored_kind: name.to_owned(), kind, revision, cache: None };
        sources.insert(source, Arc::new(definition));
    }

    fn missing(&mut self, pointer: &str, channel: &str) {
        self.faults.push(self.located.at_key(pointer, format!("there is no `notifications.{channel}`")));
    }

    fn room(&mut self, pointer: &str, text: &str) -> Option<Room> {
        match Room::new(text) {
            Ok(room) => Some(room),
            Err(_) => {
                self.at(pointer, format!("`{text}` is not a room's name"), "such as `#order-review`, without spaces");
                None
            }
        }
    }

    fn slack(&mut self, authored: &authored::Context, slack: &authored::Slack) -> Slack {
        let agents: BTreeSet<&str> =
            authored.prompts.agents.keys().chain(authored.agent_mappings.keys()).map(String::as_str).collect();
        let mut rooms = BTreeMap::new();
        for (agent, room) in &slack.channels {
            let at = join(&format!("{SLACK}/channels"), agent);
            if !agents.contains(agent.as_str()) {
                let fault = self.located.at_key(&at, format!("there is no agent `{agent}`"));
                self.faults.push(fault.hint_if(closest(agent, agents.iter().copied())));
            }
            if let (Some(room), Ok(agent)) = (self.room(&at, room), AgentName::new(agent)) {
                rooms.insert(agent, room);
            }
        }
        Slack { rooms, access: self.slack_access(slack) }
    }

    /// The tenant's own way to Slack; else, without credentials of its own, the host's bot; else the webhook
    /// that stands in the file.
    fn slack_access(&mut self, slack: &authored::Slack) -> Option<SlackAccess> {
        let at_webhook = format!("{SLACK}/webhook");
        if slack.webhook.as_ref().is_some_and(|url| !url.starts_with("https://")) {
            self.at(&at_webhook, "not an https address", "Slack gives it out as `https://…`");
            return None;
        }
        let in_file = slack.webhook.clone().map(SecretString::from).map(SlackAccess::Webhook);
        let notifications = &self.around.host.notifications;
        let Some(credentials) = &slack.credentials else {
            let bot = notifications.bot.as_ref();
            let bot = bot.map(|bot| SlackAccess::Bot { token: bot.token.clone(), uri: bot.uri.clone() });
            let access = bot.or(in_file);
            if access.is_none() && !notifications.dry_run {
                self.unset(SLACK, "SLACK_BOT_TOKEN is", "the channel `slack`");
            }
            return access;
        };
        let pointer = format!("{SLACK}/credentials");
        if !self.may_use(&pointer, credentials) {
            return None;
        }
        let [token, webhook, uri] =
            [Part::Token, Part::Webhook, Part::Uri].map(|part| self.part(&pointer, credentials, part));
        if webhook.is_some() && slack.webhook.is_some() {
            let name = Part::Webhook.variable(credentials);
            self.at(&at_webhook, format!("{name} is set as well"), "keep the variable");
        }
        if let Some(url) = &webhook
            && !is_safe(url.expose_secret())
        {
            let name = Part::Webhook.variable(credentials);
            self.at(&pointer, format!("{name}: not an https address"), "Slack gives it out as `https://…`");
            return None;
        }
        let own = token.map(|token| SlackAccess::Bot { token, uri }).or_else(|| webhook.map(SlackAccess::Webhook));
        let access = own.or(in_file);
        if access.is_none() && !self.around.host.notifications.dry_run {
            let variables =
                format!("{} or {} is", Part::Token.variable(credentials), Part::Webhook.variable(credentials));
            self.unset(&pointer, &variables, "the channel `slack`");
        }
        access
    }

    fn mail(&mut self, email: &authored::Email) -> Option<Mail> {
        let mut to = Vec::new();
        for (place, text) in email.to.iter().flatten().enumerate() {
            match Pattern::new(text) {
                Some(pattern) => to.push(pattern),
                None => {
                    let message = format!("`{text}` is not a pattern of addresses");
                    self.at(&format!("{EMAIL}/to/{place}"), message, "such as `*@techstart.com`");
                }
            }
        }
        let mut templates = BTreeMap::new();
        for (name, folder) in &email.templates {
            let at = join(&format!("{EMAIL}/templates"), name);
            if name == Mail::FREE_TEXT {
                self.at(&at, format!("`{name}` can't be a template's name"), "it stands for texts without one");
            }
            if let Some(template) = self.template(&at, folder) {
                templates.insert(name.clone(), template);
            }
        }
        let notifications = &self.around.host.notifications;
        if notifications.smtp.is_none() && !notifications.dry_run {
            self.unset(EMAIL, "EMAIL_SMTP_HOST is", "the channel `email`");
        }
        let Ok(from) = Address::new(&email.from) else {
            let hint = "such as `noreply@techstart.com`, without a name";
            self.at(&format!("{EMAIL}/from"), "not a mail address", hint);
            return None;
        };
        let to = email.to.is_some().then_some(to);
        Some(Mail { from, templates, to, server: self.around.host.notifications.smtp.clone() })
    }
}

/// Lets an agent write to a channel, within a scope.
fn grant(agents: &mut Agents, agent: &str, channel: &str, scope: Option<Scope>) {
    let mapping = agents.get_mut(agent).and_then(|agent| agent.mapping.as_mut());
    let (Some(mapping), Ok(channel)) = (mapping, SourceName::new(channel)) else { return };
    // A source of the same name is a fault by now, and no channel.
    if mapping.permissions.insert(channel.clone(), Permission::Write).is_none() {
        mapping.order.push(channel.clone());
    }
    if let Some(scope) = scope {
        mapping.scopes.insert(channel, scope);
    }
}

/// Whether a secret may travel to an address: encrypted, or not out of this machine.
fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}
