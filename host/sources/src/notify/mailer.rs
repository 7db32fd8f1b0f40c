//! Mail of one tenant: checked, and handed to the server that takes it, or kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use remit_domain::{
    AgentName, TenantId,
    data::{
        Error,
        notify::{Channel, Mail, Post},
    },
    grant::Writing,
    source::{self, Definition},
};

use super::{
    Asked, Desk, Notify,
    inbox::Kept,
    letter::Letter,
    message::written,
    once::{Begun, Turn},
    smtp::Server,
    template::Templates,
};
use crate::{Settings, observe::counted};

/// Mail of one tenant.
pub(crate) struct Mailer {
    desk: Desk,
    definition: Arc<Definition>,
    templates: Templates,
    /// None where messages go nowhere.
    server: Option<Server>,
    timeout: Duration,
}

impl Mailer {
    /// Errors: `invalid` for a definition that cannot work, as without a server.
    pub(crate) fn new(
        tenant: &TenantId,
        definition: &Arc<Definition>,
        notify: &Notify,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let rules = rules(definition)?;
        let server = match (&notify.inbox, &rules.server) {
            (Some(_), _) => None,
            (None, Some(server)) => Some(Server::new(server, rules.from.domain(), settings)?),
            (None, None) => {
                return Err(Error::Invalid("no mail server is set for this host (EMAIL_SMTP_HOST)".to_owned()));
            }
        };
        let templates = Templates::new(&rules.templates)?;
        let desk = Desk::new(tenant, &definition.name, notify);
        Ok(Self { desk, definition: definition.clone(), templates, server, timeout: settings.api_timeout })
    }

    /// Asks the server whether it takes mail of this host.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        match &self.server {
            Some(server) => server.probe().await,
            None => Ok(()),
        }
    }

    /// Closes connections that lie idle since before an instant.
    pub(crate) fn close_idle(&self, before: Instant) {
        if let Some(server) = &self.server {
            server.close_idle(before);
        }
    }

    async fn run_send(&self, access: &Writing<'_>, mail: &Mail) -> Result<String, Error> {
        let letter = Letter::new(rules(&self.definition)?, &self.templates, access.scope(), mail)?;
        let (key, count) = (mail.idempotency_key.as_deref(), letter.recipients());
        let asked = Asked { agent: access.agent(), operation: "send", key, count };
        match self.desk.begin(asked).await? {
            Begun::Before(id) => Ok(id),
            Begun::Now(turn) => {
                let handed = self.hand_over(access.agent(), letter, &turn).await;
                turn.end(handed).await
            }
        }
    }

    async fn hand_over(&self, agent: &AgentName, letter: Letter, turn: &Turn) -> Result<String, Error> {
        let id = letter.id.clone();
        match (&self.server, &self.desk.inbox) {
            (Some(server), _) => {
                let (envelope, bytes) = written(&letter)?;
                server.deliver(&envelope, &bytes, turn, Instant::now() + self.timeout).await?;
            }
            (None, Some(inbox)) => {
                let (channel, agent) = (self.desk.name.to_string(), agent.to_string());
                inbox.keep(&self.desk.tenant, Kept { channel, agent, ..letter.kept() });
            }
            (None, None) => return Err(Error::unavailable("no mail server is set")),
        }
        Ok(id)
    }
}

fn rules(definition: &Definition) -> Result<&source::Mail, Error> {
    match &definition.kind {
        source::Kind::Mail(rules) => Ok(rules),
        _ => Err(Error::Invalid("the channel is not mail".to_owned())),
    }
}

#[async_trait]
impl Channel for Mailer {
    async fn send(&self, access: Writing<'_>, mail: &Mail) -> Result<String, Error> {
        counted("notify", "send", self.run_send(&access, mail)).await
    }

    async fn post(&self, _: Writing<'_>, _: &Post) -> Result<String, Error> {
        Err(no_rooms())
    }

    async fn update(&self, _: Writing<'_>, _: &str, _: &Post) -> Result<(), Error> {
        Err(no_rooms())
    }
}

fn no_rooms() -> Error {
    Error::Denied("this channel is mail, and has no rooms".to_owned())
}
