//! How a definition becomes a connected client. What an address may set, the host sets over it where it
//! bounds what a source costs or says when a change is made.

use std::sync::Arc;

use bson::Document;
use mongodb::{
    Client,
    event::{
        EventHandler,
        cmap::{CmapEvent, ConnectionClosedReason},
    },
    options::{Acknowledgment, ClientOptions, ConnectionString, Credential},
};
use remit_domain::{
    SourceName,
    data::Error,
    source::{Credentials, Definition, DocumentServer},
};
use secrecy::ExposeSecret as _;

use super::{Connected, reach::Reach};
use crate::{Settings, observe};

/// Where a database is, and as whom.
pub(super) struct Address {
    parsed: ConnectionString,
    database: String,
    credentials: Credentials,
    source: SourceName,
}

impl Address {
    /// Errors: `invalid`, without a word of the address.
    pub(super) fn new(definition: &Definition, server: &DocumentServer) -> Result<Self, Error> {
        let name = &definition.name;
        let uri = server.credentials.uri.as_ref().or(server.uri.as_ref());
        let uri = uri.ok_or_else(|| Error::Invalid(format!("source `{name}` names no address")))?.expose_secret();
        // DNS would choose hosts and options.
        if !uri.starts_with("mongodb://") {
            return Err(Error::Invalid(format!("the address of source `{name}` is not a mongodb:// URL")));
        }
        // The cause would show the address.
        let wrong = |_| Error::Invalid(format!("the address of source `{name}` is not one that the driver takes"));
        let parsed = ConnectionString::parse(uri).map_err(wrong)?;
        let database = server.database.clone().or_else(|| parsed.default_database.clone());
        let database = database.filter(|name| !name.is_empty());
        let database = database.ok_or_else(|| Error::Invalid(format!("source `{name}` names no database")))?;
        if parsed.write_concern.as_ref().and_then(|concern| concern.w.as_ref()) == Some(&Acknowledgment::Nodes(0)) {
            return Err(Error::Invalid(format!("source `{name}` has changes that nobody confirms (`w=0`)")));
        }
        Ok(Self { parsed, database, credentials: server.credentials.clone(), source: name.clone() })
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Makes a client, which connects when it is first used. Errors: `invalid` for options that do not go
    /// together.
    pub(super) async fn connect(&self, settings: &Settings) -> Result<Connected, Error> {
        let unfit = |error: mongodb::error::Error| {
            tracing::warn!(%error, source = %self.source, "a MongoDB address can't be used");
            Error::Invalid(format!("the address of source `{}` can't be used", self.source))
        };
        let mut options = ClientOptions::parse(self.parsed.clone()).await.map_err(unfit)?;
        let concern = options.write_concern.as_ref().map(bson::serialize_to_document).transpose();
        let concern: Option<Document> =
            concern.map_err(|_| Error::Invalid(format!("source `{}` has an odd write concern", self.source)))?;
        let reach = Arc::new(Reach::new(options.hosts.len()));
        self.bound(&mut options, settings);
        options.cmap_event_handler = Some(EventHandler::callback(count));
        let watching = reach.clone();
        options.sdam_event_handler = Some(EventHandler::callback(move |event| watching.note(event)));
        let client = Client::with_options(options).map_err(unfit)?;
        Ok(Connected { client, reach, concern })
    }

    fn bound(&self, options: &mut ClientOptions, settings: &Settings) {
        options.app_name = Some("remit".to_owned());
        options.max_pool_size = Some(u32::try_from(settings.connections_per_source.max(1)).unwrap_or(u32::MAX));
        options.min_pool_size = None;
        options.max_idle_time = Some(settings.idle_timeout);
        options.connect_timeout = Some(settings.connect_timeout);
        options.server_selection_timeout = Some(settings.selection_timeout);
        // A change is sent once: whether to repeat one is the guest's to say, who is told that it is uncertain.
        options.retry_writes = Some(false);
        options.retry_reads = Some(true);
        let named = options.credential.as_ref().is_some_and(|credential| credential.username.is_some());
        if let (Some(user), false) = (&self.credentials.user, named) {
            let credential = options.credential.get_or_insert_with(Credential::default);
            credential.username = Some(user.clone());
            credential.password = self.credentials.password.as_ref().map(|word| word.expose_secret().to_owned());
            // As in an address with a user in it.
            if credential.source.is_none() {
                credential.source = options.default_database.clone();
            }
        }
    }
}

/// Counts connections, as those of other families are.
fn count(event: CmapEvent) {
    match event {
        CmapEvent::ConnectionReady(_) => observe::connected("documents", "ok"),
        CmapEvent::ConnectionClosed(closed) if matches!(closed.reason, ConnectionClosedReason::Error) => {
            observe::connected("documents", "unavailable");
        }
        _ => {}
    }
}
