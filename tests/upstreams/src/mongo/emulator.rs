//! A server of somebody else's that speaks MongoDB's protocol and keeps documents in SQLite: `nx-27017` of
//! PyPI. Its gaps are named where tests meet them.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bson::{Document, doc};
use serde_json::Value;
use tokio::net::TcpStream;

use super::wire;

/// How long the server may take until it answers, on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A running server. Dropping it ends the server and deletes its data.
#[derive(Debug)]
pub struct Emulator {
    server: Child,
    folder: PathBuf,
    port: u16,
}

impl Emulator {
    /// Starts a server, or says why there is none: `None` if it is not installed, unless the variable
    /// `REMIT_TEST_ALL` is set, which forbids skipping.
    ///
    /// # Errors
    /// When it is installed and does not start, or is missing and must not be.
    pub async fn start_if_installed() -> Result<Option<Self>> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/venv/bin/nx-27017");
        if program.is_file() {
            return Self::start(&program).await.map(Some);
        }
        ensure!(
            std::env::var_os("REMIT_TEST_ALL").is_none(),
            "nx-27017 is not installed, and REMIT_TEST_ALL forbids to skip what needs it"
        );
        Ok(None)
    }

    async fn start(program: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("remit-mongo-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        // What a process of the same number left behind.
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--data-dir"])
            .arg(&folder)
            .arg("--log-file")
            .arg(folder.join("log"))
            .arg("--pid-file")
            .arg(folder.join("pid"))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nx-27017 cannot be started")?;
        let mut this = Self { server, folder, port };
        this.wait().await?;
        Ok(this)
    }

    /// Where one of its databases is; a database is made when it is first used.
    pub fn url(&self, database: &str) -> String {
        format!("mongodb://127.0.0.1:{}/{database}", self.port)
    }

    /// Puts documents into a collection, as somebody else than the host would.
    ///
    /// # Errors
    /// When the server refuses them.
    pub async fn seed(&self, database: &str, collection: &str, documents: &[Value]) -> Result<()> {
        let documents: Vec<Document> = documents.iter().map(bson::serialize_to_document).collect::<Result<_, _>>()?;
        let count = i64::try_from(documents.len())?;
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let insert = doc! { "insert": collection, "documents": documents, "ordered": true, "$db": database };
        wire::write(&mut stream, 1, &insert).await?;
        let answer = wire::read(&mut stream).await?.context("no answer")?.command;
        let inserted = answer.get("n").and_then(|n| n.as_i64().or_else(|| n.as_i32().map(i64::from)));
        ensure!(inserted == Some(count), "the documents were not taken: {answer}");
        Ok(())
    }

    /// Ends the server at once, as a crash would; connections to it break.
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        Ok(())
    }

    async fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("nx-27017 ended with {status}: {}", self.log());
            }
            ensure!(began.elapsed() < START, "nx-27017 does not answer: {}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        let _gone = self.kill();
        let _absent = std::fs::remove_dir_all(&self.folder);
    }
}
