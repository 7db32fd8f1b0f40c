//! Whether any server of a deployment answers. The driver waits for one in silence for as long as it may,
//! even where each has just refused; here that is said at once.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bson::doc;
use mongodb::{Database, ServerType, event::sdam::SdamEvent, options::ServerAddress};
use remit_domain::data::Error;
use tokio::sync::watch;

use super::error;

/// The least time between two looks of the driver at a server. A refusal of that age is a new one.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

/// What the driver tells of the servers.
#[derive(Debug)]
pub(super) struct Reach {
    /// How many servers the address names.
    hosts: usize,
    seen: watch::Sender<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether any is known to answer.
    known: bool,
    /// When one last did not.
    refused: HashMap<ServerAddress, Instant>,
}

impl Reach {
    pub(super) fn new(hosts: usize) -> Self {
        Self { hosts: hosts.max(1), seen: watch::Sender::default() }
    }

    pub(super) fn note(&self, event: SdamEvent) {
        match event {
            SdamEvent::TopologyDescriptionChanged(change) => {
                let answers = |kind| !matches!(kind, ServerType::Unknown);
                let known = change.new_description.servers().values().any(|server| answers(server.server_type()));
                self.seen.send_modify(|seen| seen.known = known);
            }
            SdamEvent::ServerHeartbeatFailed(failure) => {
                self.seen.send_modify(|seen| {
                    seen.refused.insert(failure.server_address, Instant::now());
                });
            }
            // A server that the deployment no longer has.
            SdamEvent::ServerClosed(closed) => {
                self.seen.send_modify(|seen| {
                    seen.refused.remove(&closed.address);
                });
            }
            _ => {}
        }
    }

    /// Returns once a server answers; at once if one is known to. Errors: `unavailable` once each has
    /// refused anew, or if none has answered in time.
    pub(super) async fn wait(&self, database: &Database, allowed: Duration) -> Result<(), Error> {
        let began = Instant::now();
        let refused = |seen: &Seen| {
            let new = seen.refused.values().filter(|at| began.saturating_duration_since(**at) < LOOKS_EVERY);
            new.count() >= self.hosts
        };
        let mut seen = self.seen.subscribe();
        if seen.borrow().known {
            return Ok(());
        }
        // Who asks makes the driver look again, now and not at its next turn.
        let asked = async { database.run_command(doc! { "ping": 1 }).await };
        tokio::select! {
            biased;
            seen = seen.wait_for(|seen| seen.known || refused(seen)) => match seen {
                Ok(seen) if seen.known => Ok(()),
                _ => Err(error::unreachable()),
            },
            answer = asked => answer.map(drop).map_err(|error| error::unreached(&error)),
            () = tokio::time::sleep(allowed) => Err(error::unreachable()),
        }
    }
}
