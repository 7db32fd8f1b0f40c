//! A server that notes what it is asked for, and answers as it is told to.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use bson::{DateTime, Document, doc};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::wire;

/// What drivers send for themselves.
const OWN: [&str; 5] = ["hello", "isMaster", "ismaster", "ping", "endSessions"];

/// How a command is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With this.
    With(Document),
    /// The connection ends instead.
    HangUp,
    /// Not at all, while the connection stays.
    Silence,
}

/// A running server. Dropping it ends it and its connections.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    commands: Vec<Document>,
    answers: HashMap<String, VecDeque<Answer>>,
    connections: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Starts a server on a free port of loopback.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = tokio::spawn(serve(stream, shared.clone()));
                lock(&shared).connections.push(connection);
            }
        });
        Ok(Self { address, state, task })
    }

    /// Where it is, as `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next command of this name so; those after it have answers of their own.
    pub fn answer(&self, command: &str, answer: Answer) {
        lock(&self.state).answers.entry(command.to_owned()).or_default().push_back(answer);
    }

    /// The commands so far, less what drivers send for themselves.
    pub fn received(&self) -> Vec<Document> {
        let state = lock(&self.state);
        state.commands.iter().filter(|command| !OWN.contains(&name(command))).cloned().collect()
    }

    /// Forgets the commands so far.
    pub fn forget(&self) {
        lock(&self.state).commands.clear();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
        lock(&self.state).connections.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Ok(Some(message)) = wire::read(&mut stream).await {
        let answer = {
            let mut state = lock(&state);
            let answer = state.answers.get_mut(name(&message.command)).and_then(VecDeque::pop_front);
            let answer = answer.unwrap_or_else(|| Answer::With(usual(&message.command)));
            state.commands.push(message.command);
            answer
        };
        match answer {
            Answer::With(document) => {
                if wire::write(&mut stream, message.number, &document).await.is_err() {
                    return;
                }
            }
            Answer::HangUp => return,
            Answer::Silence => {}
        }
    }
}

fn name(command: &Document) -> &str {
    command.keys().next().map(String::as_str).unwrap_or_default()
}

/// The answer of a server without any documents.
fn usual(command: &Document) -> Document {
    let name = name(command);
    match name {
        "hello" | "isMaster" | "ismaster" => doc! {
            "ok": 1, "isWritablePrimary": true, "ismaster": true, "helloOk": true, "readOnly": false,
            "maxBsonObjectSize": 16 * 1024 * 1024, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30, "minWireVersion": 0, "maxWireVersion": 21, "localTime": DateTime::now(),
        },
        "ping" | "endSessions" | "killCursors" => doc! { "ok": 1 },
        "find" | "aggregate" => {
            let place = command.get_str("$db").unwrap_or_default();
            let space = format!("{place}.{}", command.get_str(name).unwrap_or_default());
            doc! { "ok": 1, "cursor": { "id": 0_i64, "ns": space, "firstBatch": [] } }
        }
        "insert" => {
            let count = command.get_array("documents").map_or(0, Vec::len);
            doc! { "ok": 1, "n": i64::try_from(count).unwrap_or_default() }
        }
        "update" => doc! { "ok": 1, "n": 0, "nModified": 0 },
        "delete" => doc! { "ok": 1, "n": 0 },
        "saslStart" => doc! {
            "ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "canary-account failed on canary-host",
        },
        _ => doc! { "ok": 0, "code": 59, "codeName": "CommandNotFound", "errmsg": "no such command" },
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
