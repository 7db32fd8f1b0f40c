//! The server that takes a tenant's mail for delivery, by SMTP: connections that are used again, encrypted
//! unless the operator says otherwise.
//!
//! A mail is handed over step by step, so that it is known of each failure whether the mail may have arrived:
//! before its text is sent, surely not. Deliberately absent: what a server says, which may name hosts and
//! people; its code is told, and no more.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lettre::{
    address::Envelope,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};
use remit_domain::{
    data::{Error, Refusal, Rejection, Wait},
    source::MailServer,
};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use super::once::Turn;
use crate::Settings;

/// The most connections of one tenant's channel at once.
const MAX_CONNECTIONS: usize = 4;
/// How long a connection may lie idle and still be used: servers close them after some minutes.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// The port of which TLS is spoken from the first byte.
const IMPLICIT_TLS: u16 = 465;

/// A server that takes mail.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    account: Option<Credentials>,
    hello: ClientId,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
    connect_timeout: Duration,
    acquire_timeout: Duration,
    probe_timeout: Duration,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// From the first byte.
    Implicit,
    /// By STARTTLS, or there is no connection.
    Required,
    /// By STARTTLS if the server has it.
    IfOffered,
}

impl Tls {
    fn of(server: &MailServer) -> Self {
        match server.port {
            IMPLICIT_TLS => Self::Implicit,
            _ if server.plain || is_this_machine(&server.host) => Self::IfOffered,
            _ => Self::Required,
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why a step failed.
#[derive(Debug)]
enum Failed {
    /// The server answered no.
    Answer(Error),
    /// The connection broke, or the server was silent for too long.
    Broken,
}

impl Server {
    /// `hello` is what this host calls itself. Errors: `invalid` for a password without a user.
    pub(super) fn new(server: &MailServer, hello: &str, settings: &Settings) -> Result<Self, Error> {
        let account = match (&server.user, &server.password) {
            (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.expose_secret().to_owned())),
            (None, None) => None,
            _ => return Err(Error::Invalid("the mail server's account is one of user and password".to_owned())),
        };
        Ok(Self {
            host: server.host.clone(),
            port: server.port,
            tls: Tls::of(server),
            account,
            hello: ClientId::Domain(hello.to_owned()),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            idle: Mutex::default(),
            connect_timeout: settings.connect_timeout.min(settings.api_timeout / 2),
            acquire_timeout: settings.acquire_timeout,
            probe_timeout: settings.probe_timeout,
        })
    }

    /// Hands a mail over for all recipients, or for none.
    ///
    /// Errors: `unavailable`, `throttled` and `rejected`: it was not taken; `uncertain`: it may have been.
    pub(super) async fn deliver(
        &self,
        envelope: &Envelope,
        bytes: &[u8],
        turn: &Turn,
        deadline: Instant,
    ) -> Result<(), Error> {
        let _place = self.place(deadline).await?;
        let mut connection = self.begin(envelope, deadline).await?;
        turn.sends();
        let lost = || Error::Uncertain("the mail server did not confirm the mail; it may have taken it".to_owned());
        match tokio::time::timeout_at(deadline.into(), connection.message(bytes)).await {
            Ok(Ok(_)) => {
                self.keep(connection);
                Ok(())
            }
            // An answer with a code says that it was not taken.
            Ok(Err(error)) if error.status().is_some() => Err(refusal(&error)),
            Ok(Err(_)) | Err(_) => Err(lost()),
        }
    }

    /// Asks whether the server answers, and takes the account.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.probe_timeout;
        let _place = self.place(deadline).await?;
        if let Some(mut connection) = self.take()
            && let Ok(true) = tokio::time::timeout_at(deadline.into(), connection.test_connected()).await
        {
            self.keep(connection);
            return Ok(());
        }
        let connection = self.connect(deadline).await?;
        self.keep(connection);
        Ok(())
    }

    /// Closes connections that lie idle since before an instant.
    pub(super) fn close_idle(&self, before: Instant) {
        self.idle().retain(|(since, _)| *since >= before);
    }

    async fn place(&self, deadline: Instant) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        let until = deadline.min(Instant::now() + self.acquire_timeout);
        match tokio::time::timeout_at(until.into(), self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Error::Throttled(Wait {
                message: "all connections to the mail server are in use".to_owned(),
                retry_after_ms: Some(1_000),
            })),
        }
    }

    /// A connection that waits for the mail's text. One that was kept may have been closed by the server
    /// meanwhile: then another is tried.
    async fn begin(&self, envelope: &Envelope, deadline: Instant) -> Result<AsyncSmtpConnection, Error> {
        while let Some(kept) = self.take() {
            match started(kept, envelope, deadline).await {
                Ok(connection) => return Ok(connection),
                Err(Failed::Answer(error)) => return Err(error),
                Err(Failed::Broken) => {}
            }
        }
        let connection = self.connect(deadline).await?;
        started(connection, envelope, deadline).await.map_err(|failed| match failed {
            Failed::Answer(error) => error,
            Failed::Broken => Error::unavailable("the mail server broke off before it took the mail"),
        })
    }

    async fn connect(&self, deadline: Instant) -> Result<AsyncSmtpConnection, Error> {
        let until = deadline.min(Instant::now() + self.connect_timeout);
        match tokio::time::timeout_at(until.into(), self.connected()).await {
            Ok(connected) => connected,
            Err(_) => Err(Error::unavailable("the mail server did not answer in time")),
        }
    }

    async fn connected(&self) -> Result<AsyncSmtpConnection, Error> {
        let parameters = || {
            TlsParameters::builder(self.host.clone()).build_rustls().map_err(|error| {
                tracing::error!(%error, "TLS for mail could not be set up");
                Error::unavailable("TLS for mail could not be set up")
            })
        };
        let implicit = if self.tls == Tls::Implicit { Some(parameters()?) } else { None };
        let server = (self.host.as_str(), self.port);
        let connecting = AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, implicit, None);
        let mut connection = connecting.await.map_err(|error| unreached(&error))?;
        if self.tls != Tls::Implicit {
            if connection.can_starttls() {
                connection.starttls(parameters()?, &self.hello).await.map_err(|error| unreached(&error))?;
            } else if self.tls == Tls::Required {
                return Err(rejected(None, "the mail server offers no encryption, and none may go without"));
            }
        }
        if let Some(account) = &self.account {
            let proved = connection.auth(DEFAULT_MECHANISMS, account).await;
            proved.map_err(|error| match error.status() {
                Some(_) if error.is_permanent() => {
                    rejected(code(&error), "the mail server did not accept the host's account")
                }
                None if error.is_client() => {
                    rejected(None, "the mail server has no way to prove an account that this host knows")
                }
                _ => unreached(&error),
            })?;
        }
        Ok(connection)
    }

    /// The connection that was used last, if it is not too old.
    fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle();
        idle.retain(|(since, connection)| since.elapsed() < FRESH_FOR && !connection.has_broken());
        idle.pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle();
        if idle.len() < MAX_CONNECTIONS && !connection.has_broken() {
            idle.push((Instant::now(), connection));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, AsyncSmtpConnection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names sender and recipients. A connection on which a step fails is closed, so that nothing is left of it.
async fn started(
    mut connection: AsyncSmtpConnection,
    envelope: &Envelope,
    deadline: Instant,
) -> Result<AsyncSmtpConnection, Failed> {
    let steps = async {
        connection.command(Mail::new(envelope.from().cloned(), Vec::new())).await?;
        for to in envelope.to() {
            connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
        }
        connection.command(Data).await.map(drop)
    };
    match tokio::time::timeout_at(deadline.into(), steps).await {
        Ok(Ok(())) => Ok(connection),
        Ok(Err(error)) if error.status().is_some() => Err(Failed::Answer(refusal(&error))),
        Ok(Err(_)) | Err(_) => Err(Failed::Broken),
    }
}

/// What a server's no comes to.
fn refusal(error: &SmtpError) -> Error {
    let code = code(error);
    match code.as_deref() {
        // Too much of this sender for now, by RFC 5321 and by habit.
        Some("421" | "450" | "451" | "452" | "454") => {
            Error::unavailable(format!("the mail server does not take the mail now ({})", code.unwrap_or_default()))
        }
        _ if error.is_transient() => Error::unavailable("the mail server does not take the mail now"),
        Some("535" | "530") => rejected(code, "the mail server wants an account that it accepts"),
        Some("550" | "551" | "553" | "501") => rejected(code, "the mail server refused the sender or a recipient"),
        Some("552") => rejected(code, "the mail is larger than the mail server takes"),
        _ => rejected(code, "the mail server refused the mail"),
    }
}

fn rejected(code: Option<String>, message: &str) -> Error {
    Error::Rejected(Rejection { reason: Refusal::Rule, code, message: message.to_owned() })
}

fn unreached(error: &SmtpError) -> Error {
    // What it says names the host: for the operator alone.
    tracing::warn!(%error, cause = ?std::error::Error::source(error), "a mail server was not reached");
    if error.status().is_some_and(|_| error.is_permanent()) {
        return rejected(code(error), "the mail server takes no mail of this host");
    }
    let tls = error.is_tls();
    Error::unavailable(if tls {
        "the mail server's encryption could not be trusted"
    } else {
        "the mail server could not be reached"
    })
}

fn code(error: &SmtpError) -> Option<String> {
    error.status().map(|code| code.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_leaves_the_machine_encrypted_unless_the_operator_says_otherwise() {
        let of = |host: &str, port: u16, plain: bool| {
            Tls::of(&MailServer { host: host.to_owned(), port, plain, user: None, password: None })
        };
        for (host, port, plain, expect) in [
            ("smtp.sendgrid.net", 587, false, Tls::Required),
            ("smtp.sendgrid.net", 25, false, Tls::Required),
            ("smtp.sendgrid.net", 465, false, Tls::Implicit),
            ("smtp.sendgrid.net", 465, true, Tls::Implicit),
            ("relay.internal", 25, true, Tls::IfOffered),
            ("10.0.0.7", 25, false, Tls::Required),
            ("localhost.evil.example", 25, false, Tls::Required),
            ("127.0.0.1", 1025, false, Tls::IfOffered),
            ("::1", 25, false, Tls::IfOffered),
            ("LocalHost", 25, false, Tls::IfOffered),
        ] {
            assert_eq!(of(host, port, plain), expect, "{host}:{port} {plain}");
        }
    }
}
