//! A mail server that does as it is told: it takes mail, or goes wrong at one place.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Where it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// It takes no connections of this host.
    NoGreeting,
    /// It says nothing at all.
    Silence,
    /// It refuses the second recipient.
    Recipient,
    /// It is too busy for a sender.
    Busy,
    /// It closes when a recipient is named.
    ClosesBefore,
    /// It refuses the text once it has it.
    Text,
    /// It closes once it has the text.
    ClosesAfter,
    /// It says nothing once it has the text.
    SilentAfter,
    /// It closes a connection after each mail, without a word.
    ClosesIdle,
    /// It does not know the account.
    Account,
}

/// What it was told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) commands: Vec<String>,
    pub(super) messages: Vec<String>,
}

pub(super) struct Server {
    pub(super) port: u16,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Seen>>::default();
        let of_all = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                of_all.lock().unwrap().connections += 1;
                // A connection that breaks is the test's own doing.
                let seen = of_all.clone();
                tokio::spawn(async move { serve(stream, trouble, &seen).await.ok() });
            }
        });
        Self { port, seen, task }
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }
}

async fn serve(stream: TcpStream, trouble: Trouble, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    match trouble {
        Trouble::Silence => return std::future::pending().await,
        Trouble::NoGreeting => stream.write_all(b"554 canary-host takes nothing\r\n").await?,
        _ => stream.write_all(b"220 canary-host ESMTP\r\n").await?,
    }
    let (mut recipients, mut line) = (0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim_end().to_owned();
        seen.lock().unwrap().commands.push(command.clone());
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-canary-host\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
            "AUTH" if trouble == Trouble::Account => "535 canary-host does not know you",
            "AUTH" => "235 welcome",
            "MAIL" if trouble == Trouble::Busy => "451 canary-host is busy",
            "MAIL" => {
                recipients = 0;
                "250 ok"
            }
            "RCPT" if trouble == Trouble::ClosesBefore => return Ok(()),
            "RCPT" => {
                recipients += 1;
                let refused = trouble == Trouble::Recipient && recipients > 1;
                if refused { "550 canary-person is not here" } else { "250 ok" }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut text = String::new();
                loop {
                    line.clear();
                    if stream.read_line(&mut line).await? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    text.push_str(&line);
                }
                seen.lock().unwrap().messages.push(text);
                match trouble {
                    Trouble::Text => "554 canary-host does not like the words",
                    Trouble::ClosesAfter => return Ok(()),
                    Trouble::SilentAfter => return std::future::pending().await,
                    Trouble::ClosesIdle => {
                        stream.write_all(b"250 taken\r\n").await?;
                        return Ok(());
                    }
                    _ => "250 taken",
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            "NOOP" | "RSET" => "250 ok",
            _ => "500 what?",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}
